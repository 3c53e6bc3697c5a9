//! The clockwork of an open loop: hands each message to its connection when it is due.
//!
//! Never: waits for an answer; a connection that is not free keeps what it owes.

use super::Swarm;
use super::echo::Client;
use crate::schedule::Schedule;
use shardpoll::Local;
use std::fs;
use std::rc::Rc;
use std::time::Duration;

/// Messages that are handed out at a time: at a rate that is beyond this machine, more would become
/// due meanwhile each time, without end.
const MOST_A_TURN: u64 = 4096;

/// Asks the kernel to wake this thread on time: by default it may be 50 us late
/// (proc_pid_timerslack_ns(5)). Where that cannot be set, the lateness is measured all the same.
pub(super) fn sharpen_timers() {
    let thread = fs::read_link("/proc/thread-self");
    if let Some(id) = thread.ok().as_deref().and_then(|path| path.file_name()) {
        let path = format!("/proc/{}/timerslack_ns", id.display());
        let _as_it_was = fs::write(path, "1");
    }
}

impl Swarm {
    pub(super) fn begin_pace(self: &Rc<Self>, local: &mut Local<'_>, per_second: f64) {
        let up = self.state.borrow().up.clone();
        if up.is_empty() {
            return;
        }
        let schedule = Schedule::new(self.state.borrow().begun, per_second);
        for (place, id) in up.iter().enumerate() {
            local.with::<Client, _>(*id, |client, _| client.join(schedule, place, up.len()));
        }
        let (swarm, mut number) = (Rc::clone(self), 0);
        local.add_timer(Duration::ZERO, move |local, _| {
            if !swarm.is_running() {
                return None;
            }
            // What becomes due meanwhile is for the next turn: others want to be served as well.
            let now = swarm.clock.nanos();
            let all = schedule.due_by(now);
            let end = all.min(number + MOST_A_TURN);
            while number < end {
                let place = usize::try_from(number % up.len() as u64).expect("less than a length");
                let due = schedule.due(number);
                number += 1;
                let owing =
                    local.with::<Client, _>(up[place], |client, conn| client.owe(conn, due));
                if owing.is_none() {
                    // Its connection has ended, and nobody takes its place.
                    swarm.state.borrow_mut().owed += 1;
                }
            }
            swarm.state.borrow_mut().pending = all - number;
            Some(Duration::from_nanos(schedule.due(number).saturating_sub(now)))
        });
    }
}
