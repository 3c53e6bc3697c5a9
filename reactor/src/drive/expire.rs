//! Due timers: limits of connections, rests of listeners, pauses of watches, users' timers.
//!
//! Never: trusts an alarm: a line's true deadline is computed when its slot's comes up.

use super::Reactor;
use super::serve::{Cause, Owed};
use crate::api::CloseReason;
use crate::conn::{Limit, Ready, Stage};
use crate::core::{Callback, Due, Task};
use crate::id::{ConnId, TimerId};
use crate::proxy::ProxyError;
use crate::sys::Sys;
use crate::table::Alarm;
use shardpoll_timers::{Tick, TimerId as HeapId};

impl<S: Sys> Reactor<S> {
    pub(super) fn expire(&mut self) {
        while let Some((timer, due)) = self.core.timers.pop_due() {
            match due {
                Due::Slot(slot) => self.slot_due(timer, slot),
                Due::Listener(id) => {
                    self.core.timers.retire(timer);
                    self.end_rest(id);
                }
                Due::Watch(id) => {
                    self.core.timers.retire(timer);
                    self.end_watch_pause(id);
                }
                Due::ListenerPause(id) => {
                    self.core.timers.retire(timer);
                    self.end_pause(timer, id);
                }
                Due::ListenerEnd(id) => {
                    self.core.timers.retire(timer);
                    self.look_at_end(id);
                }
                Due::Task(task) => self.run_task(timer, task),
            }
        }
    }

    fn run_task(&mut self, timer: HeapId, mut task: Task) {
        let id = TimerId { place: self.core.place, id: timer };
        let again = self.core.run(Callback::Timer, |local| task(local, id)).flatten();
        let finished = match again {
            Some(after) => {
                let due = self.core.now.saturating_add(after);
                self.core.timers.rearm(timer, due, Due::Task(task)).err()
            }
            None => Some(Due::Task(task)),
        };
        if let Some(task) = finished {
            self.core.timers.retire(timer);
            self.core.drop_user_value(task);
        }
    }

    fn slot_due(&mut self, timer: HeapId, slot: u32) {
        let core = &mut self.core;
        let Some(id) = core.table.rings_for(slot) else {
            return core.timers.retire(timer);
        };
        let (line, alarm) = core.table.served_with_alarm(id);
        line.excuse(core.last_turn);
        let (due, limit) = line.deadline(&core.spans);
        if due > core.now && due != Tick::MAX {
            alarm.due = due;
            // Nobody removes an alarm, so it is armed again.
            let _refused = core.timers.rearm(timer, due, Due::Slot(slot));
            return;
        }
        *alarm = Alarm::NONE;
        core.timers.retire(timer);
        if due == Tick::MAX {
            return;
        }
        if limit == Limit::Read {
            return self.serve(id, Cause::Owed(Owed::Silence));
        }
        // Its event may still wait behind others: it is served once more, and only then judged
        // (O7).
        line.ready.add(Ready::READABLE);
        // Tried without an event, a send may find room that is no progress of the peer: the kernel
        // reports none below a third of its buffer.
        if limit != Limit::Write || self.events.is_full() {
            line.ready.add(Ready::WRITABLE);
        }
        self.serve(id, Cause::Asked);
        let core = &mut self.core;
        let Some(line) = core.table.line_mut(id) else { return };
        let (due, limit) = line.deadline(&core.spans);
        if due > core.now {
            return;
        }
        match limit {
            Limit::Read => return self.serve(id, Cause::Owed(Owed::Silence)),
            Limit::Attempt => self.next_attempt(id),
            Limit::Connect => line.fail(CloseReason::ConnectTimeout),
            Limit::Preface => {
                self.refuse_header(id, ProxyError::Late);
            }
            Limit::Handshake => {
                let connected = line.connected;
                line.fail(CloseReason::HandshakeTimeout { connected });
            }
            Limit::Write => line.fail(CloseReason::NotDraining),
            Limit::Linger => line.fail(CloseReason::Asked),
            // Its service opens it.
            Limit::Gate => {}
            // If it is not, the next window has begun.
            Limit::Pace => {
                if let Some(sending) = line.is_too_slow(core.now) {
                    line.fail(CloseReason::TooSlow { sending });
                    core.pulse.counters.too_slow.add(1);
                }
            }
            Limit::Lifetime => self.end_life(id),
        }
        self.serve(id, Cause::Asked);
    }

    /// A line may not live longer: it is closed in order, and cut when it is closing for too long.
    fn end_life(&mut self, id: ConnId) {
        let core = &mut self.core;
        let line = core.line(id);
        match &line.stage {
            Stage::Flushing { reason, .. } => {
                let counted = matches!(reason, CloseReason::TooOld);
                core.pulse.counters.too_old.add(u64::from(!counted));
                core.line(id).fail(CloseReason::TooOld);
            }
            _ => {
                core.pulse.counters.too_old.add(1);
                core.close(id, CloseReason::TooOld);
            }
        }
    }
}
