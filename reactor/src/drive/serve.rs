//! The service of one line: callbacks owed, one read, one flush, the end if it has come, and what
//! will bring the loop back to it. The only place from which a line's callbacks run.
//!
//! Never: serves a line inside the service of another.
//!
//! Invariants:
//! 1. While a line is served its handler is out of the table, so no callback reaches it twice.
//! 2. A panic of user code ends the line it was called for and nothing else.

use super::Reactor;
use super::decrypt::Unread;
use super::read::receive;
use crate::api::{CloseReason, PanicPolicy};
use crate::conn::{Marks, Ready, Stage};
use crate::core::{Callback, Core, Door, Held, drop_panic};
use crate::id::ConnId;
use crate::sys::{Event, Events, Sys};
use crate::table::Entry;
use std::any::Any;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Why a line is served.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Cause {
    /// The kernel has reported this.
    Event(Ready),
    /// User code or a limit has changed its state, or it stopped early.
    Asked,
    /// A callback is due, and neither the kernel nor a change of state says so.
    Owed(Owed),
}

/// What a line is served for when that is one callback.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Owed {
    /// Its read timeout has passed.
    Silence,
    /// The loop drains.
    DrainBegin,
}

impl<S: Sys> Reactor<S> {
    /// Serves what a batch of events speaks of, one after the other.
    pub(super) fn serve_batch(&mut self, events: &Events) {
        self.serve_events(events, |_| ());
    }

    /// As [`serve_batch`](Self::serve_batch), but each service is timed.
    #[cold]
    pub(super) fn serve_batch_timed(&mut self, events: &Events) {
        let mut before = self.core.now;
        self.serve_events(events, |reactor| {
            let now = reactor.sys.now();
            reactor.core.pulse.service_times.record(before, now);
            before = now;
        });
    }

    /// One `catch_unwind` for the batch, entered again behind the event whose service panicked: one
    /// for each event would cost a tenth of a small message. `after` is called behind each service.
    #[inline(always)]
    fn serve_events(&mut self, events: &Events, mut after: impl FnMut(&mut Self)) {
        let mut held = None;
        let mut events = events.raw().iter();
        loop {
            let rest = AssertUnwindSafe(|| {
                for event in &mut events {
                    self.serve_event(Event::of(event), &mut held);
                    after(self);
                }
            });
            match catch_unwind(rest) {
                Ok(()) => break,
                Err(panic) => self.panicked(panic, held.take()),
            }
        }
        self.core.staging.end();
        self.core.pulse.serve(None, None);
    }

    /// Serves one line.
    pub(super) fn serve(&mut self, id: ConnId, cause: Cause) {
        let mut held = None;
        let service = AssertUnwindSafe(|| self.service(id, cause, &mut held));
        if let Err(panic) = catch_unwind(service) {
            self.panicked(panic, held);
        }
        self.core.pulse.serve(None, None);
    }

    /// Any service; [`serve_event`](Self::serve_event) is its short cut.
    #[inline(never)]
    pub(super) fn service(&mut self, id: ConnId, cause: Cause, held: &mut Held) {
        let Self { sys, fds, core, rx, .. } = self;
        let Core { table, staging, traffic, now, pulse, first_room, .. } = core;
        let Some(line) = table.line_mut(id) else {
            return self.serve_other(id, cause, held);
        };
        pulse.serve(Some(id), line.listener);
        if let Cause::Event(ready) = cause {
            line.ready.add(ready);
        }
        std::mem::swap(held, &mut line.handler);
        let simple = line.is_simple() && !matches!(cause, Cause::Owed(_));
        let door = if simple && line.outbox.is_empty() {
            Door::Direct
        } else if line.may_stage() {
            Door::Open
        } else {
            Door::Closed
        };
        staging.begin(id, *first_room, door);
        match fds.get(id.slot()) {
            _ if !simple => self.take_in_other(id, held, cause),
            Some(Some(fd)) if line.ready.has(Ready::READABLE) => {
                let result = receive(sys, fd, rx, line, *now, traffic);
                return self.take_in_simple(id, held, result);
            }
            _ => {}
        }
        self.finish(id, held);
    }

    /// What the read of a line that is simply open has brought, and the rest of its service.
    #[inline]
    pub(super) fn take_in_simple(&mut self, id: ConnId, held: &mut Held, read: io::Result<usize>) {
        let Self { core, rx, .. } = self;
        match read {
            Ok(count @ 1..) => {
                let data = &rx[..count];
                core.call(id, held, Callback::Incoming, |h, c| h.on_incoming(c, data));
            }
            other => return self.no_input(id, held, other),
        }
        self.finish(id, held);
    }

    /// The rest of a service whose input has been taken.
    #[inline(never)]
    pub(super) fn finish(&mut self, id: ConnId, held: &mut Held) {
        let Core { table, staging, .. } = &mut self.core;
        // What comes from here on may use the read buffer, or be asked what is staged.
        staging.settle(&self.rx);
        if !staging.is_direct() {
            self.flush_other(id, held);
        } else if !staging.is_empty() && table.served_mut(id).ready.has(Ready::WRITABLE) {
            self.flush_staged(id, held);
        }
        if !self.core.staging.is_empty() {
            self.core.unstage(id, &[]);
        }
        self.conclude(id, held);
    }

    /// The output side of a line that is not simply open, or has something in its outbox.
    #[inline(never)]
    pub(super) fn flush_other(&mut self, id: ConnId, held: &mut Held) {
        if self.flush_sealed(id, held) {
            return;
        }
        self.core.exchange_handlers(id, held);
        self.upgrade(id, held);
        let line = self.core.line(id);
        if line.ready.has(Ready::WRITABLE)
            && (line.marks.has(Marks::DRAIN) || self.core.has_output(id))
        {
            self.flush(id, held);
        }
    }

    /// An event for something else than a line.
    #[inline(never)]
    fn serve_other(&mut self, id: ConnId, cause: Cause, held: &mut Held) {
        self.core.staging.end();
        match (self.core.table.entry_mut(id), cause) {
            (Some(Entry::Listener(_)), _) => self.accept(id, held),
            (Some(Entry::Watch(_)), Cause::Event(ready)) => {
                self.core.pulse.serve(None, None);
                self.serve_watch(id, ready);
            }
            (Some(Entry::Attempt(attempt)), _) => {
                let attempt = *attempt;
                self.attempt_event(id, attempt);
            }
            // Its slot was freed earlier in this batch (B4).
            _ => self.core.pulse.counters.stale_events.add(1),
        }
    }

    /// The input side of a line that is not simply open.
    #[inline(never)]
    fn take_in_other(&mut self, id: ConnId, held: &mut Held, cause: Cause) {
        if self.takes_short_way(id, cause) {
            return;
        }
        let line = self.core.line(id);
        if line.is_quietly_sealed() && line.gate.is_open() && !matches!(cause, Cause::Owed(_)) {
            return self.take_in_sealed(id, held);
        }
        self.core.exchange_handlers(id, held);
        let now = self.core.now;
        self.core.line(id).open_gate(now);
        if self.core.line(id).is_connecting() {
            self.finish_dial(id);
        }
        let awaits = matches!(self.core.line(id).stage, Stage::Preface(_));
        if awaits && !self.read_preface(id, held) {
            return;
        }
        self.call_owed(id, held);
        match cause {
            Cause::Owed(Owed::Silence) => return self.judge_silence(id, held),
            Cause::Owed(Owed::DrainBegin) => return self.tell_drain_begin(id, held),
            Cause::Event(_) | Cause::Asked => {}
        }
        let line = self.core.line(id);
        if line.wants_read() && line.has_input() {
            self.read_any(id, held);
        } else {
            self.look_for_end(id, held);
        }
    }

    /// Ends a service: makes sure that something will bring the loop back to the line.
    #[inline(always)]
    pub(super) fn conclude(&mut self, id: ConnId, held: &mut Held) {
        let Core { table, staging, spans, .. } = &mut self.core;
        let (line, alarm) = table.served_with_alarm(id);
        let at_rest = staging.is_direct() && line.is_idle();
        if !at_rest || line.read_deadline(spans) < alarm.due {
            return self.conclude_other(id, held);
        }
        staging.end();
        std::mem::swap(held, &mut line.handler);
    }

    /// Also carries the end of the line on, and frees it.
    #[inline(never)]
    pub(super) fn conclude_other(&mut self, id: ConnId, held: &mut Held) {
        if self.passing.is_some() {
            return self.conclude_passing(id, held);
        }
        self.conclude_fully(id, held);
    }

    /// As [`conclude_other`](Self::conclude_other), with nothing on its way through a link.
    #[inline(never)]
    pub(super) fn conclude_long(&mut self, id: ConnId, held: &mut Held) {
        self.conclude_fully(id, held);
    }

    /// With all that a service may have to look for.
    #[inline(always)]
    fn conclude_fully(&mut self, id: ConnId, held: &mut Held) {
        // No flush follows, so what is written from now on is queued.
        self.core.staging.close();
        self.tell_water(id, held);
        self.core.exchange_handlers(id, held);
        if self.core.line(id).tuning.is_some() {
            self.pull(id, held);
            self.end_one_side(id);
            self.core.feed(id);
            let now = self.core.now;
            self.core.line(id).keep_pace(now);
            self.core.settle_travel(id);
        }
        self.core.count_handshake(id);
        if self.core.queued >= self.core.nearly_full {
            self.core.hold_to_shard_cap(id);
        }
        if self.core.line(id).is_ending() {
            self.end(id, held);
        }
        self.core.staging.clear();
        self.core.staging.end();
        self.core.recount(id);
        let line = self.core.line(id);
        if matches!(line.stage, Stage::Closed(_)) {
            return self.free(id, held.take());
        }
        std::mem::swap(held, &mut line.handler);
        self.core.arm(id);
        let Core { table, agenda, .. } = &mut self.core;
        let line = table.served_mut(id);
        if line.has_work() && !line.on_agenda {
            line.on_agenda = true;
            agenda.push(id);
        }
    }

    /// The service of the line whose bytes are staged has panicked. Under
    /// [`PanicPolicy::Close`] its handler is dropped and never called again, and the connection
    /// ends; under [`PanicPolicy::Continue`] the callback counts as returned.
    #[cold]
    fn panicked(&mut self, panic: Box<dyn Any + Send>, mut held: Held) {
        let message = panic_message(&*panic);
        drop_panic(panic);
        let served = self.core.staging.line();
        self.core.staging.settle(&self.rx);
        let callback = self.core.pulse.calling();
        self.core.count_panic(served);
        let Some(id) = served else {
            return self.core.drop_user_value(held);
        };
        let goes_on = self.core.config.panic_policy == PanicPolicy::Continue;
        if goes_on && held.is_some() && self.core.table.line(id).is_some_and(|line| !line.told) {
            let rest = AssertUnwindSafe(|| self.go_on(id, &mut held, callback, &message));
            match catch_unwind(rest) {
                Ok(()) => return,
                Err(again) => {
                    drop_panic(again);
                    self.core.count_panic(Some(id));
                }
            }
        }
        self.core.staging.clear();
        self.core.staging.close();
        // What came for this line is for no other.
        self.unread = Unread::default();
        self.plain.clear();
        self.delivered = 0;
        self.core.drop_user_value(held.take());
        if let Some(line) = self.core.table.line_mut(id) {
            // One that lingers has had its end: the peer shall still get all that was sent.
            if !std::mem::replace(&mut line.told, true) {
                line.fail(CloseReason::HandlerPanic);
            }
            self.conclude_other(id, &mut held);
        }
    }

    /// The rest of a service whose callback has panicked and counts as returned (S27).
    fn go_on(&mut self, id: ConnId, held: &mut Held, callback: Callback, message: &str) {
        self.core.call_out(id, held, Callback::Panic, |h, c| h.on_panic(c, message));
        match callback {
            Callback::Detach => self.core.attach_next(id, held),
            // A second panic, in there, ends it.
            Callback::Connect if self.core.phase.tells() => self.tell_drain_begin(id, held),
            Callback::ReadTimeout => self.core.line(id).fail(CloseReason::Silent),
            _ => {}
        }
        if self.core.next_handlers.iter().any(|(to, _)| *to == id) {
            self.core.line(id).marks.add(Marks::ATTACH);
        }
        self.hold_back_undelivered(id);
        self.core.unstage(id, &[]);
        self.begin_session(id, held);
        // It was called just before an attempt to send, which is made now; else a handler that
        // always panics there would never be sent for.
        if callback == Callback::Predrain {
            self.send(id);
            if self.core.is_drained(id) {
                self.tell_drained(id, held);
            }
        }
        self.core.unstage(id, &[]);
        if self.core.line(id).told {
            // It was its last callback, and it has had it.
            drop(held.take());
        }
        self.conclude_other(id, held);
    }
}

/// What a panic says, if it says it in words.
fn panic_message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    let owned = || panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(owned).unwrap_or("a panic without words").to_owned()
}
