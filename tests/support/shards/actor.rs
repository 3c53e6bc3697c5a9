//! The handlers of a world of many shards: what they do with their connections, and with others'.
//!
//! Never: judges; what happens is told to the history.

use super::history::{History, Shared};
use super::ledger::OUTSIDE;
use super::peer::{Reader, frame};
use shardpoll::sim::Sim;
use shardpoll::{CloseReason, Conn, Connect, DrainPlan, EngineState, Handler, Remote, Written};
use std::net::SocketAddr;
use std::time::Duration;

/// The number that a handler sends as on its own connection.
pub const OWN: u16 = 1000;

/// The number that letters from outside write as.
pub const FROM_OUTSIDE: u16 = 999;

/// How many frames a handler writes: two that echo each other come to an end.
const MOST_FRAMES: u64 = 30;

/// What a handler does when it is told of a drain.
#[derive(Clone, Copy)]
enum Manners {
    /// It says goodbye, and closes.
    Closes,
    /// It closes after what comes next.
    Waits,
    /// It stays until it is cut.
    Stays,
    /// It goes without a word.
    Aborts,
}

/// What every handler has of its world.
#[derive(Clone)]
pub struct Stage {
    pub history: Shared,
    pub remote: Remote<Sim>,
    pub at: SocketAddr,
}

impl Stage {
    /// Posts a letter to some shard; it shall be read there once, in order.
    pub fn post(&self, from: usize) {
        let to = self.history.borrow_mut().rng.usize(0..self.remote.shards());
        // A shard that ends reads what it was posted, but not what it then posts to itself.
        if to == from {
            return;
        }
        let (letter, receipt) = self.history.borrow().ledger.letter(from, to);
        if let Err(undelivered) = self.remote.run(to, move |_| letter.read()) {
            receipt.given_back();
            drop(undelivered);
        }
    }

    /// Writes to, or closes, some connection of some shard by a letter.
    pub fn reach(&self, from: usize) {
        let history = &mut *self.history.borrow_mut();
        let known: Vec<_> = history.lines.iter().filter_map(|line| line.id).collect();
        let Some(&to) = known.get(history.rng.usize(0..known.len().max(1))) else { return };
        if history.rng.u32(0..20) == 0 {
            let _ended = self.remote.close(to);
            return;
        }
        let sender = u16::try_from(from).unwrap_or(FROM_OUTSIDE);
        let number = history.sent.entry((sender, to)).or_default();
        if self.remote.write(to, frame(sender, *number).to_vec()).is_ok() {
            *number += 1;
        }
    }

    /// Gives an order to all shards.
    pub fn order(&self) {
        let history = &mut *self.history.borrow_mut();
        let millis = |history: &mut History| Duration::from_millis(history.rng.u64(0..1000));
        match history.rng.u32(0..4) {
            0 => self.remote.close_all(),
            1 => {
                let deadline = millis(history);
                history.bound(None, history.now.saturating_add(deadline));
                self.remote.quit(deadline);
            }
            _ => {
                let (accept_for, deadline) = (millis(history), millis(history));
                let by = history.now.saturating_add(accept_for).saturating_add(deadline);
                history.bound(None, by);
                let plan = DrainPlan::default().accept_for(accept_for).deadline(deadline);
                self.remote.drain(plan);
            }
        }
    }
}

pub struct Actor {
    stage: Stage,
    me: usize,
    manners: Manners,
    leaves: bool,
    reader: Reader,
}

impl Actor {
    pub fn new(stage: &Stage) -> Self {
        let history = &mut *stage.history.borrow_mut();
        let manners = match history.rng.u32(0..10) {
            0..4 => Manners::Closes,
            4..6 => Manners::Waits,
            6..9 => Manners::Stays,
            _ => Manners::Aborts,
        };
        let me = history.add_line();
        Self { stage: stage.clone(), me, manners, leaves: false, reader: Reader::default() }
    }

    pub fn number(&self) -> usize {
        self.me
    }

    fn enter(&self, what: &str, conn: &mut Conn<'_>) {
        let (id, state) = (conn.id(), conn.local().state());
        let now = conn.local().now();
        let history = &mut *self.stage.history.borrow_mut();
        history.now = history.now.max(now);
        history.enter(self.me, what, id, state);
    }

    fn leave(&self) {
        self.stage.history.borrow_mut().leave();
    }

    fn dice(&self, below: u32) -> u32 {
        self.stage.history.borrow_mut().rng.u32(0..below)
    }

    fn say(&self, conn: &mut Conn<'_>) {
        let number = self.stage.history.borrow().lines[self.me].frames;
        let wire = u32::try_from(number).expect("few");
        if number < MOST_FRAMES
            && matches!(conn.write(&frame(OWN, wire)), Written::Ok | Written::High)
        {
            self.stage.history.borrow_mut().lines[self.me].frames += 1;
        }
    }

    fn abort(&self, conn: &mut Conn<'_>) {
        self.stage.history.borrow_mut().end(self.me, conn.id().shard(), None);
        conn.abort();
    }

    fn act(&self, conn: &mut Conn<'_>) {
        let shard = conn.id().shard();
        if self.stage.history.borrow().calm {
            return self.say(conn);
        }
        match self.dice(100) {
            0..50 => self.say(conn),
            50..70 => self.stage.post(shard),
            70..85 => self.stage.reach(shard),
            85..88 => conn.close(),
            88 => self.abort(conn),
            89..94 => self.dial(conn),
            94 if self.stage.history.borrow().may_order && self.dice(8) == 0 => self.stage.order(),
            _ => {}
        }
    }

    fn dial(&self, conn: &mut Conn<'_>) {
        if self.stage.history.borrow().dials == 0 {
            return;
        }
        self.stage.history.borrow_mut().dials -= 1;
        let next = Self::new(&self.stage);
        let number = next.me;
        let refuses = conn.local().state() >= EngineState::DrainingRefusing;
        let opened = conn.local().connect(Connect::to(self.stage.at), next);
        let history = &mut *self.stage.history.borrow_mut();
        if opened.is_err() != refuses {
            history.violation(format!("line {number}: {opened:?}, refusing: {refuses}"));
        }
    }
}

impl Handler for Actor {
    fn on_connect(&mut self, conn: &mut Conn<'_>) {
        self.enter("on_connect", conn);
        self.stage.history.borrow_mut().connect(self.me);
        if self.dice(2) == 0 {
            self.say(conn);
        }
        self.leave();
    }

    fn on_incoming(&mut self, conn: &mut Conn<'_>, data: &[u8]) {
        self.enter("on_incoming", conn);
        let read = self.reader.take(data);
        {
            let history = &mut *self.stage.history.borrow_mut();
            history.input(self.me, conn.id().shard());
            history.note(data.len() as u64);
            if let Err(wrong) = read {
                history.violation(format!("line {}: {wrong}", self.me));
            }
            history.leave();
        }
        if self.leaves { conn.close() } else { self.act(conn) }
    }

    fn on_drain_begin(&mut self, conn: &mut Conn<'_>) {
        self.enter("on_drain_begin", conn);
        self.stage.history.borrow_mut().drain_begin(self.me, conn.id().shard());
        match self.manners {
            Manners::Closes => {
                self.say(conn);
                conn.close();
            }
            Manners::Waits => self.leaves = true,
            Manners::Stays => {}
            Manners::Aborts => self.abort(conn),
        }
        self.leave();
    }

    fn on_disconnect(&mut self, conn: &mut Conn<'_>, reason: &CloseReason) {
        self.enter("on_disconnect", conn);
        self.stage.history.borrow_mut().end(self.me, conn.id().shard(), Some(reason));
        self.leave();
        if self.dice(4) == 0 {
            self.stage.post(conn.id().shard());
        }
    }
}

impl Drop for Actor {
    fn drop(&mut self) {
        self.stage.history.borrow_mut().drop_handler(self.me);
    }
}

/// What the world outside does by letters.
pub fn outside(stage: &Stage) {
    if stage.history.borrow_mut().rng.bool() { stage.post(OUTSIDE) } else { stage.reach(OUTSIDE) }
}
