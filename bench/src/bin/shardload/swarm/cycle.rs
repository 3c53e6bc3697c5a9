//! Connections that come and go: so many under way at a time, in an open loop when they are due.
//!
//! Never: knows what is done on one; it says when to begin, and hears how it ended.
//!
//! Invariants:
//! 1. At most as many are under way, those that rest after a failure among them, as the plan has
//!    connections.

use super::opening::{Role, Ticket};
use super::{Phase, Swarm, Work};
use crate::schedule::Schedule;
use shardpoll::Local;
use std::rc::Rc;
use std::time::Duration;

/// How long the next one waits after a failure: whoever refuses does so at once, and without a rest
/// would be asked as fast as the CPU can.
const REST: Duration = Duration::from_millis(10);

/// A server that nobody has reached for so long is gone, if it was tried often enough.
const PATIENCE: Duration = Duration::from_secs(1);
const ATTEMPTS: u64 = 10;

#[derive(Debug, Default)]
pub(super) struct Cycle {
    schedule: Option<Schedule>,
    /// Under way, or resting after a failure.
    active: u64,
    /// So many have been begun.
    begun: u64,
    /// And so many have been due.
    due: u64,
    /// Since the last success, or the beginning.
    failures: u64,
    last_success: u64,
}

impl Swarm {
    pub(super) fn begin_cycle(self: &Rc<Self>, local: &mut Local<'_>) {
        let schedule = {
            let state = &mut *self.state.borrow_mut();
            let begun = state.begun;
            state.cycle.last_success = begun;
            state.cycle.schedule = self.plan.per_second.map(|rate| Schedule::new(begun, rate));
            state.cycle.schedule
        };
        let Some(schedule) = schedule else { return self.pump(local) };
        let swarm = Rc::clone(self);
        local.add_timer(Duration::ZERO, move |local, _| {
            if !swarm.is_running() {
                return None;
            }
            let now = swarm.clock.nanos();
            let next = {
                let state = &mut *swarm.state.borrow_mut();
                let due = schedule.due_by(now);
                state.owed += due - state.cycle.due;
                state.cycle.due = due;
                schedule.due(state.cycle.due)
            };
            swarm.pump(local);
            Some(Duration::from_nanos(next - now))
        });
    }

    /// Begins as many as may be.
    fn pump(self: &Rc<Self>, local: &mut Local<'_>) {
        while let Some(ticket) = self.next_ticket() {
            self.dial(local, self.cycle_role(), ticket);
        }
    }

    fn cycle_role(&self) -> &'static dyn Role {
        match self.plan.work {
            Work::Script(_) => &super::conversation::Speaker,
            _ => &super::visit::Visitor,
        }
    }

    fn next_ticket(&self) -> Option<Ticket> {
        let state = &mut *self.state.borrow_mut();
        let cycle = &mut state.cycle;
        let connections = self.plan.connections();
        let waits = cycle.schedule.is_some() && cycle.begun == cycle.due;
        if state.phase != Phase::Running || cycle.active == connections || waits {
            return None;
        }
        let dialed = self.clock.nanos();
        let due = cycle.schedule.map_or(dialed, |schedule| schedule.due(cycle.begun));
        if cycle.schedule.is_some() {
            state.owed -= 1;
            if cycle.active + 1 < connections {
                state.lateness.saturating_record(dialed.saturating_sub(due));
            }
        }
        // The first of each place is the place's own number, and no two have the same.
        let (round, place) = (cycle.begun / connections, cycle.begun % connections);
        let number = self.plan.numbers.start + place + round * self.plan.stride;
        cycle.begun += 1;
        cycle.active += 1;
        state.in_flight += 1;
        Some(Ticket { number, due, dialed })
    }

    /// One has gone well; it is not over yet.
    pub(super) fn succeeded(&self, due: u64, begun: u64) {
        let now = self.clock.nanos();
        self.state.borrow_mut().tally.done(due, begun, now);
        self.reached(now);
    }

    /// Somebody is there.
    pub(super) fn reached(&self, now: u64) {
        let cycle = &mut self.state.borrow_mut().cycle;
        cycle.failures = 0;
        cycle.last_success = now;
    }

    /// One that has gone well is over: there is room for the next.
    pub(super) fn over(self: &Rc<Self>, local: &mut Local<'_>) {
        {
            let state = &mut *self.state.borrow_mut();
            if state.phase == Phase::Done {
                // It counts as lost already.
                return;
            }
            state.cycle.active -= 1;
            state.in_flight -= 1;
        }
        self.pump(local);
        self.drained();
    }

    /// One has gone wrong; what it was has been counted.
    pub(super) fn cycle_failed(self: &Rc<Self>, local: &mut Local<'_>) {
        let deserted = {
            let now = self.clock.nanos();
            let state = &mut *self.state.borrow_mut();
            if state.phase == Phase::Done {
                // We are ending it, and it counts as lost already.
                return;
            }
            state.in_flight -= 1;
            let cycle = &mut state.cycle;
            cycle.failures += 1;
            let alone = Duration::from_nanos(now - cycle.last_success) >= PATIENCE;
            let deserted = alone && cycle.failures >= ATTEMPTS.max(3 * self.plan.connections());
            state.deserted |= deserted && state.phase == Phase::Running;
            deserted
        };
        if deserted {
            self.stop(local);
        }
        self.drained();
        let swarm = Rc::clone(self);
        local.add_timer(REST, move |local, _| {
            swarm.state.borrow_mut().cycle.active -= 1;
            swarm.pump(local);
            None
        });
    }
}
