//! Flow control in the hands of a simulated handler: pauses, locks, limits, waits of its own.
//!
//! Never: forgets to tell the history what it has asked for.

use super::actor::Actor;
use super::record::{Flow, Record};
use shardpoll_reactor::{Conn, Credit, Tick, Wait};
use std::num::NonZeroU64;
use std::rc::Rc;
use std::time::Duration;

impl Actor {
    fn flow(&self, change: impl FnOnce(&mut Flow)) {
        change(&mut self.shared.borrow_mut().records[self.me].flow);
    }

    /// Changes something of the flow of its own connection.
    pub fn regulate(&self, conn: &mut Conn<'_>) {
        match self.roll(18) {
            0..5 => self.pause(conn),
            5..8 => self.pause_for(conn),
            8 => self.resume(conn),
            9..11 => self.limit(conn),
            11..13 => self.lock(conn),
            13 => self.wait_for_input(conn),
            14..16 => self.set_credit(conn),
            16 => conn.set_write_timeout(self.wait()),
            _ => conn.read_size(1 + self.roll(5000) as usize),
        }
    }

    fn pause(&self, conn: &mut Conn<'_>) {
        conn.pause();
        self.flow(|flow| flow.paused = true);
        self.later(conn, |record, conn, now, timeout| {
            record.flow.resume(now, timeout);
            conn.resume();
        });
    }

    fn resume(&self, conn: &mut Conn<'_>) {
        conn.resume();
        let now = conn.local().now();
        let timeout = self.shared.borrow().read_timeout;
        self.flow(|flow| flow.resume(now, timeout));
    }

    fn pause_for(&self, conn: &mut Conn<'_>) {
        let now = conn.local().now();
        if self.roll(8) == 0 {
            // Its clock is stopped, if it has not run out: paused until somebody resumes.
            conn.pause_for(None);
            self.flow(|flow| {
                let runs = flow.paused_until.is_some_and(|until| until > now);
                flow.paused_until = runs.then_some(Tick::MAX);
            });
            return;
        }
        let time = self.span(200);
        conn.pause_for(Some(time));
        self.flow(|flow| flow.paused_until = Some(now.saturating_add(time)));
    }

    fn limit(&self, conn: &mut Conn<'_>) {
        let now = conn.local().now();
        let rate = NonZeroU64::new(u64::from(self.roll(3)) * 50_000);
        conn.limit(rate);
        self.flow(|flow| flow.rate = rate.map(|rate| (rate.get(), now)));
    }

    fn lock(&self, conn: &mut Conn<'_>) {
        conn.pause_writes();
        let backlog = conn.backlog();
        let is_plain = !self.shared.borrow().records[self.me].tls;
        // Under TLS what was sealed before still goes out.
        self.flow(|flow| flow.locked = is_plain.then_some(backlog));
        self.later(conn, |record, conn, _, _| {
            record.flow.locked = None;
            conn.resume_writes();
        });
    }

    fn set_credit(&self, conn: &mut Conn<'_>) {
        let amount = self.roll(3000) as usize;
        let credit = match self.roll(4) {
            0 => Credit::Chunks(amount % 4),
            _ => Credit::Bytes(amount),
        };
        conn.set_credit(Some(credit));
        self.flow(|flow| flow.credit = Some(credit));
        self.later(conn, move |record, conn, _, _| {
            let flow = &mut record.flow;
            match (amount % 3, flow.credit) {
                (0, Some(Credit::Bytes(left))) => {
                    conn.grant(Credit::Bytes(100));
                    flow.credit = Some(Credit::Bytes(left + 100));
                }
                _ => {
                    conn.set_credit(None);
                    flow.credit = None;
                }
            }
        });
    }

    fn wait_for_input(&self, conn: &mut Conn<'_>) {
        let (wait, now) = (self.wait(), conn.local().now());
        conn.set_read_timeout(wait);
        let usual = self.shared.borrow().read_timeout;
        self.flow(|flow| {
            flow.silence_due = match wait {
                Wait::Default => now.saturating_add(usual),
                Wait::Off => Tick::MAX,
                Wait::After(time) => now.saturating_add(time),
            };
        });
    }

    fn wait(&self) -> Wait {
        match self.roll(4) {
            0 => Wait::Default,
            1 => Wait::Off,
            _ => Wait::After(self.span(2000)),
        }
    }

    /// Silence was told: from now on the usual wait counts.
    pub fn expect_silence(&self, conn: &mut Conn<'_>) {
        let now = conn.local().now();
        let usual = self.shared.borrow().read_timeout;
        self.flow(|flow| flow.silence_due = now.saturating_add(usual));
    }

    /// Does this to its connection in a while, if it is still there.
    fn later(
        &self,
        conn: &mut Conn<'_>,
        deed: impl Fn(&mut Record, &mut Conn<'_>, Tick, Duration) + 'static,
    ) {
        let (shared, me, id) = (Rc::clone(&self.shared), self.me, conn.id());
        conn.local().add_timer(self.span(300), move |local, _| {
            let now = local.now();
            if let Some(mut conn) = local.conn(id) {
                let history = &mut *shared.borrow_mut();
                deed(&mut history.records[me], &mut conn, now, history.read_timeout);
            }
            None
        });
    }
}

impl Flow {
    fn resume(&mut self, now: Tick, timeout: Duration) {
        (self.paused, self.paused_until) = (false, None);
        self.silence_due = now.saturating_add(timeout);
    }
}
