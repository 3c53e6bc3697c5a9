//! The two ends of a connection: the callbacks owed to a new one, and the way of an old one out.
//!
//! Never: reads.
//!
//! Invariants:
//! 1. `on_disconnect` is called at most once, and nothing after it.

use super::Reactor;
use crate::api::{CloseKind, CloseReason};
use crate::conn::{Channel, Fin, Marks, Ready, Reason, Stage};
use crate::core::{Callback, Core, Door, Held};
use crate::id::{ConnId, ListenerId};
use crate::sys::Sys;

impl<S: Sys> Reactor<S> {
    /// Callbacks that are due without an event, in their order (S112, S114).
    pub(super) fn call_owed(&mut self, id: ConnId, held: &mut Held) {
        if self.core.line(id).tuning.is_some() {
            self.tell_travel(id, held);
        }
        let line = self.core.line(id);
        if line.marks.take(Marks::STARTTLS) && matches!(line.stage, Stage::Handshaking(_)) {
            self.core.call_out(id, held, Callback::Starttls, |h, c| h.on_starttls(c));
        }
        let line = self.core.line(id);
        if line.marks.take(Marks::CONNECT) && line.stage.is_open() {
            line.connected = true;
            self.core.call_out(id, held, Callback::Connect, |h, c| h.on_connect(c));
            if self.core.phase.tells() {
                self.tell_drain_begin(id, held);
            }
        }
    }

    /// The first service of a line that was open at once, and owes nothing but `on_connect`.
    #[inline(always)]
    pub(super) fn begin(&mut self, id: ConnId, listener: ListenerId, held: &mut Held) {
        let Core { staging, pulse, first_room, .. } = &mut self.core;
        pulse.serve(Some(id), Some(listener));
        staging.begin(id, *first_room, Door::Direct);
        self.core.call(id, held, Callback::Connect, |h, c| h.on_connect(c));
        if !self.core.staging.is_direct() || !self.core.staging.is_empty() {
            // It has written, or changed its line.
            return self.finish(id, held);
        }
        self.conclude(id, held);
    }

    /// The whole end of a line that [parts](crate::conn::Line::part): its handler is told.
    #[inline(always)]
    pub(super) fn part(&mut self, id: ConnId, listener: Option<ListenerId>, held: &mut Held) {
        let reason = CloseReason::PeerClosed;
        self.core.count_plain_end(listener, CloseKind::PeerClosed);
        log::debug!("connection {id}: ended: {reason}");
        self.core.call(id, held, Callback::Disconnect, |h, c| h.on_disconnect(c, &reason));
        // It owns nothing: to drop it would be a look for nothing.
        std::mem::forget(reason);
        self.core.pulse.call(Callback::Drop);
        drop(held.take());
        self.core.staging.end();
        if self.core.next_handlers.is_empty() {
            self.give_up(id);
        } else {
            self.free(id, None);
        }
    }

    /// The line is flushing or closed: carries its end on.
    #[cold]
    pub(super) fn end(&mut self, id: ConnId, held: &mut Held) {
        match self.core.line(id).stage {
            Stage::Flushing { .. } => self.end_output(id, held),
            Stage::Closed(_) => self.tell(id, held),
            _ => {}
        }
    }

    /// Everything is out: close_notify under TLS, then our FIN, then the handler is told, then a
    /// while of waiting for the peer's end (O8).
    fn end_output(&mut self, id: ConnId, held: &mut Held) {
        let line = self.core.line(id);
        if line.has_output() {
            return;
        }
        if let Stage::Flushing { channel: Channel::Tls(tls), .. } = &mut line.stage {
            self.wire.clear();
            tls.session.close(&mut self.wire);
            self.send_last(id);
            if self.core.line(id).has_output() {
                return;
            }
        }
        self.send_fin(id);
        self.look_behind_tls(id);
        self.tell(id, held);
    }

    /// Behind the peer's close_notify there is most often its FIN: then nothing is left to wait
    /// for.
    fn look_behind_tls(&mut self, id: ConnId) {
        let Self { sys, fds, core, .. } = self;
        let line = core.line(id);
        let Stage::Flushing { channel: Channel::Tls(tls), .. } = &line.stage else { return };
        if !tls.session.peer_closed() || !line.ready.has(Ready::ENDED) {
            return;
        }
        if let Some(Some(fd)) = fds.get(id.slot()) {
            // An error is found once more by whoever lingers.
            line.input_ended |= sys.at_end(fd).unwrap_or(false);
        }
    }

    /// Our side of a line that stays open ends, once everything queued has gone.
    pub(super) fn end_one_side(&mut self, id: ConnId) {
        let Self { core, wire, .. } = self;
        let now = core.now;
        let line = core.line(id);
        let fin = line.tuning.as_ref().map_or(Fin::Open, |tuning| tuning.fin);
        if fin == Fin::Open || fin == Fin::Sent || !line.stage.is_open() || !line.is_drained() {
            return;
        }
        let mut next = Fin::Sent;
        if let (Fin::Asked, Some(tls)) = (fin, line.stage.tls_mut()) {
            wire.clear();
            if let Err(error) = tls.session.end_output(wire) {
                return line.fail(CloseReason::from_tls(error));
            }
            tls.owed.extend(wire);
            // It has only now begun to wait (S92).
            line.begins_to_wait(now);
            next = Fin::Sealed;
        }
        line.tune().fin = next;
        if next == Fin::Sealed {
            if line.ready.has(Ready::WRITABLE) {
                self.send(id);
            }
            // Sent whole, or brought back by an edge or the agenda.
            if self.core.line(id).is_drained() {
                self.end_one_side(id);
            }
            return;
        }
        self.send_fin(id);
        let line = self.core.line(id);
        if line.gate.has(Reason::Ended) {
            line.fail(CloseReason::PeerClosed);
        }
    }

    fn send_fin(&mut self, id: ConnId) {
        let line = self.core.line(id);
        let (Stage::Flushing { .. } | Stage::Open(_), Some(Some(fd))) =
            (&line.stage, self.fds.get(id.slot()))
        else {
            return;
        };
        if let Err(error) = self.sys.shutdown(fd) {
            // The peer has reset it meanwhile: nothing to wait for.
            log::debug!("connection {id}: shutdown failed: {error}");
            line.input_ended = true;
        }
    }

    /// Tells the handler of the end, once, and drops it.
    fn tell(&mut self, id: ConnId, held: &mut Held) {
        let now = self.core.now;
        let line = self.core.line(id);
        let reason = match line.stage.take() {
            Stage::Closed(reason) => reason,
            Stage::Flushing { channel, reason } => {
                if let Channel::Tls(tls) = channel {
                    line.ended_tls = Some(tls);
                }
                if line.input_ended {
                    line.enter(Stage::Closed(CloseReason::Asked));
                } else {
                    line.enter(Stage::Lingering { discarded: 0 });
                    line.last_progress = now;
                }
                reason
            }
            other => {
                line.enter(other);
                return;
            }
        };
        let told = std::mem::replace(&mut line.told, true);
        self.core.count_end(id, reason.kind());
        // Whoever has waited for its end on the other side of a link waits no longer.
        self.core.unlink(id);
        self.core.release_sources(id);
        if !told {
            log::debug!("connection {id}: ended: {reason}");
            self.core.call(id, held, Callback::Disconnect, |h, c| h.on_disconnect(c, &reason));
        }
        // It may linger for a while, and is asked by nobody.
        self.core.line(id).ended_tls = None;
        self.core.pulse.call(Callback::Drop);
        drop(held.take());
    }

    /// The line is over and its handler has been told: its descriptor is closed and its slot given
    /// up.
    pub(super) fn free(&mut self, id: ConnId, held: Held) {
        if held.is_some() {
            self.core.drop_user_value(held);
        }
        while let Some(next) = self.core.take_next_handler(id) {
            self.core.drop_user_value(next);
        }
        self.give_up(id);
    }

    /// Closes the descriptor of a line without a handler, and gives up its slot.
    #[inline(always)]
    fn give_up(&mut self, id: ConnId) {
        let Some(line) = self.core.table.line_mut(id) else {
            return;
        };
        #[cfg(feature = "sim")]
        self.transitions.close(std::mem::take(&mut line.journey));
        if line.race.is_some() || line.origin.is_counted() {
            self.give_up_counted(id);
        } else {
            self.give_up_slot(id);
        }
    }

    /// As [`give_up`](Self::give_up), of a line that the census knows of, or that still tries
    /// addresses.
    #[cold]
    fn give_up_counted(&mut self, id: ConnId) {
        let race = self.core.line(id).race.take();
        if let Some(line) = self.core.table.line(id).filter(|line| line.origin.is_counted()) {
            self.leave(line.listener, &line.peer, line.origin);
        }
        self.give_up_slot(id);
        if let Some(race) = race {
            race.running.into_iter().for_each(|attempt| self.drop_attempt(attempt));
        }
    }

    #[inline(always)]
    fn give_up_slot(&mut self, id: ConnId) {
        let Some(line) = self.core.table.line_mut(id) else {
            return;
        };
        let (listener, opened, counted) = (line.listener, line.opened, line.counted);
        self.core.table.discard(id);
        self.core.queued -= counted;
        if self.core.shards > 1 && listener.is_some() {
            self.tell_left(opened);
        }
        self.close_fd(id);
        if !self.ended_listeners.is_empty() {
            self.forget_ended_listeners();
        }
        self.core.pulse.counters.closed.add(1);
        self.core.count_gone(listener);
    }

    #[inline(always)]
    pub(super) fn close_fd(&mut self, id: ConnId) {
        if let Some(fd) = self.fds.get_mut(id.slot()).and_then(Option::take) {
            self.sys.close(fd);
            self.descriptor_freed = true;
        }
    }
}
