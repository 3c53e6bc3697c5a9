//! The gentle end of the loop: lines are told, listeners go on for a while, then nothing new is
//! opened, and the loop quits when no line is left or the deadline has come.
//!
//! Never: closes a line that may still end by itself.
//!
//! Invariants:
//! 1. Every line that is established while the loop drains, and every one that was there when it
//!    began, is told once, after its `on_connect` and before its end.

use super::Reactor;
use super::serve::{Cause, Owed};
use crate::api::{CloseReason, DrainPlan, EngineState, ShardReport};
use crate::core::{Callback, Held};
use crate::id::ConnId;
use crate::phase::Phase;
use crate::sys::Sys;

impl<S: Sys> Reactor<S> {
    /// Tells every connection ([`Handler::on_drain_begin`](crate::Handler::on_drain_begin)), and
    /// ends the loop when they have ended.
    ///
    /// For [`accept_for`](DrainPlan::accept_for) the listeners go on, and connections are opened as
    /// before; whoever is established is told right after `on_connect`. Then those who wait are
    /// accepted, the listeners are closed, and what would open anything is refused as while
    /// quitting (S150). What is there goes on until its handler, its peer or one of its limits ends
    /// it: an idle connection whose handler does not close it is not closed earlier than the
    /// [`deadline`](DrainPlan::deadline), and cut then ([`CloseReason::Quitting`]). As soon as no
    /// connection is left, watches are closed and the loop is over ([`Turn::Drained`]); timers do
    /// not keep it.
    ///
    /// A second call can only bring the two ends forward, and tells nobody again. While
    /// [quitting](Self::quit) likewise.
    ///
    /// [`Turn::Drained`]: crate::Turn::Drained
    pub fn drain(&mut self, plan: DrainPlan) {
        self.core.now = self.sys.now();
        let until = self.core.now.saturating_add(plan.accept_for);
        let deadline = until.saturating_add(plan.deadline);
        match &mut self.core.phase {
            Phase::Accepting { until: known, deadline: last } => {
                *known = until.min(*known);
                *last = deadline.min(*last);
            }
            Phase::Refusing { deadline: last } | Phase::Quitting { deadline: last } => {
                *last = deadline.min(*last);
            }
            Phase::Serving => {
                self.core.begin_report();
                self.core.phase = Phase::Accepting { until, deadline };
                self.tell_all();
            }
        }
    }

    /// Whether this loop is not on its way out: [`EngineState::Serving`].
    #[inline]
    #[must_use]
    pub fn is_serving(&self) -> bool {
        self.core.phase.serves()
    }

    /// How far this loop is on its way out.
    #[inline]
    #[must_use]
    pub fn state(&self) -> EngineState {
        self.core.state()
    }

    /// What has become of the connections since this loop was told to [drain](Self::drain) or to
    /// [quit](Self::quit), whichever was first; nothing when it was not, or that was withdrawn.
    #[must_use]
    pub fn drain_report(&self) -> ShardReport {
        self.core.drain_report()
    }

    fn tell_all(&mut self) {
        for id in self.core.table.snapshot() {
            if self.core.table.line(id).is_some_and(|line| line.hears_of_drain()) {
                self.serve(id, Cause::Owed(Owed::DrainBegin));
            }
        }
    }

    /// Tells the handler of a line that is being served, if it can still do something about it.
    pub(super) fn tell_drain_begin(&mut self, id: ConnId, held: &mut Held) {
        if self.core.line(id).hears_of_drain() {
            self.core.call_out(id, held, Callback::DrainBegin, |h, c| h.on_drain_begin(c));
        }
    }

    /// The time to accept is over.
    pub(super) fn begin_to_refuse(&mut self) {
        self.core.phase = Phase::Refusing { deadline: self.core.phase.deadline() };
        let listeners: Vec<_> = self.core.listeners.iter().map(|&(_, key)| key).collect();
        for key in listeners {
            self.end_listener(key);
        }
    }

    /// No line is left, and no listener that may still bring one: what else is there has nothing to
    /// wait for.
    pub(super) fn close_the_rest(&mut self) {
        self.core.phase = Phase::Quitting { deadline: self.core.phase.deadline() };
        self.core.close_all(&|| CloseReason::Asked);
    }
}
