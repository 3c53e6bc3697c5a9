//! What is counted, second by second: the warm-up, the window, and its pieces.
//!
//! Never: waits; timers of the shard say when a piece is over.
//!
//! Invariants:
//! 1. The pieces of the window follow each other without a gap, and each but the last is about a
//!    second long.

use super::{Event, Phase, Swarm};
use crate::tally::Tally;
use shardpoll::Local;
use std::rc::Rc;
use std::time::Duration;

/// The length of a piece.
const PIECE: Duration = Duration::from_secs(1);

/// A piece of the window, of one shard.
#[derive(Debug)]
pub(crate) struct Cut {
    /// Counted from 0; those of all shards with the same index belong together.
    pub(crate) index: usize,
    /// Since the window began.
    pub(crate) at: Duration,
    pub(crate) length: Duration,
    pub(crate) tally: Tally,
}

impl Swarm {
    /// Sets the timers of the window; to be called when it all begins.
    pub(super) fn measure(self: &Rc<Self>, local: &mut Local<'_>) {
        let swarm = Rc::clone(self);
        let total = self.plan.warmup + self.plan.duration;
        local.add_timer(total, move |local, _| {
            swarm.stop(local);
            None
        });
        if self.plan.warmup.is_zero() {
            return self.next_piece(local);
        }
        let swarm = Rc::clone(self);
        local.add_timer(self.plan.warmup, move |local, _| {
            swarm.end_warmup();
            swarm.next_piece(local);
            None
        });
    }

    /// What went well so far is forgotten; what went wrong is not.
    fn end_warmup(&self) {
        let state = &mut *self.state.borrow_mut();
        if state.phase != Phase::Running {
            return;
        }
        state.cut = self.clock.nanos();
        let tally = self.replace_tally(&mut state.tally);
        state.outside.errors.add(&tally.errors);
        state.outside.connects += tally.connects;
    }

    /// Ends a piece after a second, unless little would be left for the last one.
    fn next_piece(self: &Rc<Self>, local: &mut Local<'_>) {
        if self.left() < PIECE + PIECE / 2 {
            return;
        }
        let swarm = Rc::clone(self);
        local.add_timer(PIECE, move |_, _| {
            if !swarm.is_running() {
                return None;
            }
            swarm.cut();
            (swarm.left() >= PIECE + PIECE / 2).then_some(PIECE)
        });
    }

    fn since_cut(&self) -> Duration {
        Duration::from_nanos(self.clock.nanos() - self.state.borrow().cut)
    }

    /// Of the window, from now on.
    fn left(&self) -> Duration {
        let since = Duration::from_nanos(self.clock.nanos() - self.state.borrow().begun);
        (self.plan.warmup + self.plan.duration).saturating_sub(since)
    }

    /// Sends away what was counted since the last time.
    fn cut(&self) {
        let state = &mut *self.state.borrow_mut();
        let now = self.clock.nanos();
        let length = Duration::from_nanos(now - state.cut);
        let (index, at) = (state.cuts, state.window);
        state.cuts += 1;
        let tally = self.replace_tally(&mut state.tally);
        state.window += length;
        state.cut = now;
        self.tell(Event::Interval(Box::new(Cut { index, at, length, tally })));
    }

    /// Ends the last piece, or the warm-up that nothing came after. What is too short to have a
    /// rate belongs to what comes after the window.
    pub(super) fn end_window(&self) {
        let since = Duration::from_nanos(self.clock.nanos() - self.state.borrow().begun);
        if since < self.plan.warmup {
            self.end_warmup();
        } else if self.state.borrow().cuts == 0 || self.since_cut() > PIECE / 20 {
            self.cut();
        }
    }

    fn replace_tally(&self, tally: &mut Tally) -> Tally {
        std::mem::replace(tally, Tally::new(self.plan.per_second.is_some()))
    }
}
