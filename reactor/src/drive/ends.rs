//! The two ends of a connection: the callbacks owed to a new one, and the way of an old one out.
//!
//! Never: reads.
//!
//! Invariants:
//! 1. `on_disconnect` is called at most once, and nothing after it.

use super::Reactor;
use crate::api::CloseReason;
use crate::conn::{Channel, Fin, Marks, Origin, Ready, Reason, Stage};
use crate::core::{Callback, Core, Door, Held};
use crate::id::ConnId;
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
    #[inline]
    pub(super) fn begin(&mut self, id: ConnId, held: &mut Held) {
        let Core { table, staging, pulse, first_room, .. } = &mut self.core;
        let line = table.served_mut(id);
        pulse.serve(Some(id), line.listener);
        line.connected = true;
        staging.begin(id, *first_room, Door::Direct);
        self.core.call(id, held, Callback::Connect, |h, c| h.on_connect(c));
        if !self.core.staging.is_direct() {
            self.flush_other(id, held);
        } else if !self.core.staging.is_empty() {
            self.flush_staged(id, held);
        }
        if !self.core.staging.is_empty() {
            self.core.unstage(id, &[]);
        }
        self.conclude(id, held);
    }

    /// The whole end of a line that was simple, and owes nothing: its peer has finished, and that
    /// is told.
    pub(super) fn part(&mut self, id: ConnId, held: &mut Held) {
        let reason = CloseReason::PeerClosed;
        let line = self.core.line(id);
        line.input_ended = true;
        line.told = true;
        line.origin.add(Origin::END_COUNTED);
        line.enter_from_plain(Stage::Closed(CloseReason::PeerClosed));
        let listener = line.listener;
        self.core.count_plain_end(listener, reason.kind());
        log::debug!("connection {id}: ended: {reason}");
        self.core.call(id, held, Callback::Disconnect, |h, c| h.on_disconnect(c, &reason));
        self.core.pulse.call(Callback::Drop);
        drop(held.take());
        self.core.staging.end();
        self.free(id, None);
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
        let Some(line) = self.core.table.line_mut(id) else {
            return;
        };
        let (listener, opened, race) = (line.listener, line.opened, line.race.take());
        self.core.queued -= line.counted;
        #[cfg(feature = "sim")]
        self.transitions.close(std::mem::take(&mut line.journey));
        if let Some(line) = self.core.table.line(id).filter(|line| line.origin.is_counted()) {
            self.leave(listener, &line.peer, line.origin);
        }
        self.core.table.discard(id);
        let now = self.core.now;
        if let (Some(router), Some(_)) = (self.balancer(), listener) {
            router.left(Some(now.saturating_since(opened)));
        }
        if let Some(race) = race {
            race.running.into_iter().for_each(|attempt| self.drop_attempt(attempt));
        }
        self.close_fd(id);
        if !self.ended_listeners.is_empty() {
            self.forget_ended_listeners();
        }
        self.core.pulse.counters.closed.add(1);
        self.core.count_gone(listener);
    }

    pub(super) fn close_fd(&mut self, id: ConnId) {
        if let Some(fd) = self.fds.get_mut(id.slot()).and_then(Option::take) {
            self.sys.close(fd);
            self.descriptor_freed = true;
        }
    }
}
