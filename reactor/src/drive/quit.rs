//! The end of the loop: orderly, with a deadline, or at once. `drain` is its gentle beginning.
//!
//! Never: cuts a connection before the deadline, or in silence.

use super::Reactor;
use super::serve::Cause;
use super::splice::Pipe;
use crate::api::CloseReason;
use crate::conn::Stage;
use crate::core::Due;
use crate::id::ConnId;
use crate::phase::Phase;
use crate::sys::Sys;
use crate::table::Entry;
use shardpoll_timers::Tick;
use std::time::Duration;

/// Whether a loop goes on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Turn {
    /// There may be more to do.
    Live,
    /// The loop was asked to quit and nothing is left on it (S148).
    Drained,
    /// A signal handler has interrupted the wait; only when
    /// [asked for](Reactor::interruptible).
    Interrupted,
}

impl<S: Sys> Reactor<S> {
    /// Closes everything in order and ends the loop when it is gone (S147 to S151).
    ///
    /// A connection that has sent everything still waits for the peer's end, for at most 2 s (O8).
    /// What is still there after `forced_after` is cut, and told
    /// [`CloseReason::Quitting`]. Outgoing connections are refused from now on. A second call can
    /// only bring the deadline forward, and so does one while the loop [drains](Self::drain).
    pub fn quit(&mut self, forced_after: Duration) {
        self.core.now = self.sys.now();
        let deadline = self.core.now.saturating_add(forced_after);
        let deadline = deadline.min(self.core.phase.deadline());
        let was = std::mem::replace(&mut self.core.phase, Phase::Quitting { deadline });
        if was == Phase::Serving {
            self.core.begin_report();
        }
        if !was.quits() {
            self.core.close_all(&|| CloseReason::Asked);
        }
    }

    /// Withdraws a [`quit`](Self::quit) or a [`drain`](Self::drain): the loop goes on, and opens
    /// connections and listeners again. What was closed stays closed, listeners too (S149), and
    /// connections that were told of a drain are not told of its end.
    pub fn cancel_quit(&mut self) {
        self.core.phase = Phase::Serving;
    }

    pub(super) fn end_of_turn(&mut self) -> Turn {
        let live = if self.interruptible && self.sys.was_interrupted() {
            Turn::Interrupted
        } else {
            Turn::Live
        };
        if self.core.phase == Phase::Serving {
            return live;
        }
        self.carry_end_on();
        if !self.core.is_over() {
            return live;
        }
        // Nothing of a drained loop is left.
        self.pipe = Pipe::Unopened;
        Turn::Drained
    }

    /// Whether the loop was told to end, and nothing is left on it: what the last turn has said by
    /// [`Turn::Drained`], unless something has come since, or the quit was withdrawn.
    #[must_use]
    pub fn is_drained(&self) -> bool {
        self.core.is_over()
    }

    #[cold]
    fn carry_end_on(&mut self) {
        let now = self.core.now;
        if matches!(self.core.phase, Phase::Accepting { until, .. } if now >= until) {
            self.begin_to_refuse();
        }
        let deadline = self.core.phase.deadline();
        if self.core.phase.refuses() && now >= deadline {
            self.core.phase = Phase::Quitting { deadline };
            for id in self.core.table.snapshot() {
                self.cut(id);
            }
        } else if matches!(self.core.phase, Phase::Refusing { .. }) && self.core.awaits_nobody() {
            self.close_the_rest();
        }
    }

    fn cut(&mut self, id: ConnId) {
        match self.core.table.entry_mut(id) {
            Some(Entry::Line(line)) => {
                // The end that one of the others has had, or is about to be told, came first.
                let awaits = matches!(line.stage, Stage::Preface(_));
                let has_ended = line.told && !awaits || matches!(line.stage, Stage::Closed(_));
                self.core.shutdown.cut += u64::from(!has_ended);
                line.fail(CloseReason::Quitting);
                self.serve(id, Cause::Asked);
            }
            Some(Entry::Listener(_)) => {
                self.free_listener(id);
                self.forget_listener(id);
            }
            Some(Entry::Watch(_)) => self.free_watch(id, None),
            // The line of an attempt ends it.
            Some(Entry::Vacant(_) | Entry::Attempt(_)) | None => {}
        }
    }
}

/// What users have left on the loop is dropped piece by piece, so that a panic in the `Drop` of one
/// is caught and counted like any other.
impl<S: Sys> Drop for Reactor<S> {
    fn drop(&mut self) {
        self.drop_user_values();
    }
}

impl<S: Sys> Reactor<S> {
    pub(super) fn drop_user_values(&mut self) {
        for id in self.core.table.snapshot() {
            let entry = self.core.table.remove(id);
            if let Some(Entry::Line(line)) = &entry {
                self.leave(line.listener, &line.peer, line.origin);
            }
            let core = &mut self.core;
            match entry {
                Some(Entry::Line(line)) => core.drop_user_value(line),
                Some(Entry::Listener(listener)) => core.drop_user_value(listener),
                Some(Entry::Watch(watch)) => core.drop_user_value(watch),
                Some(Entry::Vacant(_) | Entry::Attempt(_)) | None => {}
            }
        }
        let core = &mut self.core;
        while let Some((_, listener)) = self.ended_listeners.pop() {
            core.drop_user_value(listener);
        }
        while let Some((_, handler)) = core.next_handlers.pop() {
            core.drop_user_value(handler);
        }
        core.timers.start_turn(Tick::MAX);
        while let Some((timer, due)) = core.timers.pop_due() {
            core.timers.retire(timer);
            if let Due::Slot(slot) = due {
                core.table.rings_for(slot);
            }
            core.drop_user_value(due);
        }
        core.show_traffic();
        core.pulse.end();
    }
}
