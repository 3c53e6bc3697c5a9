//! From records to plaintext to `on_incoming`, and what a handshake comes to.
//!
//! Never: reads from the kernel, or sends.
//!
//! Invariants:
//! 1. Plaintext that is not delivered at once waits in the line's stash; the shard's buffer is
//!    empty between two services.

use super::Reactor;
use crate::api::{CloseReason, Status};
use crate::conn::{Channel, Line, Marks, Stage};
use crate::core::{Callback, Core, Held};
use crate::id::ConnId;
use crate::sys::Sys;
use shardpoll_timers::Tick;
use shardpoll_tls::Error;

/// What a session has made of its input.
struct Opened {
    /// The handshake was finished by it.
    established: bool,
    /// What went wrong behind all that was opened.
    failure: Option<Error>,
}

/// Gives a session its input; its plaintext goes to `plain`.
fn open(
    line: &mut Line,
    input: &mut [u8],
    plain: &mut Vec<u8>,
    wire: &mut Vec<u8>,
    now: Tick,
) -> Option<Opened> {
    plain.clear();
    wire.clear();
    let handshaking = matches!(line.stage, Stage::Handshaking(_));
    let tls = line.stage.tls_mut()?;
    let failure = tls.session.receive(input, plain, wire).err();
    let owed_nothing = tls.owed.is_empty();
    if !wire.is_empty() {
        tls.owed.extend(wire);
    }
    let established = handshaking && tls.session.is_established();
    // A step of the handshake, or the first byte owed, starts the timeout anew (S93, S92).
    if handshaking || owed_nothing && !wire.is_empty() {
        line.begins_to_wait(now);
    }
    Some(Opened { established, failure })
}

impl<S: Sys> Reactor<S> {
    /// Everything that was read is decrypted at once; what may not be delivered now is held back.
    pub(super) fn decrypt(&mut self, id: ConnId, held: &mut Held, size: usize, count: usize) {
        let Self { core, rx, wide_rx, plain, wire, .. } = self;
        let rx = if size > rx.len() { wide_rx } else { rx };
        let now = core.now;
        let opened = open(core.line(id), &mut rx[..count], plain, wire, now);
        self.opened(id, held, opened);
    }

    /// The first input of a session, which may be none: a client answers it with its hello.
    pub(super) fn decrypt_first(&mut self, id: ConnId, held: &mut Held, mut input: Vec<u8>) {
        let Self { core, plain, wire, .. } = self;
        let now = core.now;
        let opened = open(core.line(id), &mut input, plain, wire, now);
        self.opened(id, held, opened);
    }

    fn opened(&mut self, id: ConnId, held: &mut Held, opened: Option<Opened>) {
        let Some(Opened { established, failure }) = opened else { return };
        self.delivered = 0;
        if established {
            self.established(id, held);
        }
        self.deliver_plain(id, held);
        if let Some(error) = failure {
            self.tls_failed(id, error);
        }
    }

    fn established(&mut self, id: ConnId, held: &mut Held) {
        let Core { table, now, .. } = &mut self.core;
        let Some(line) = table.line_mut(id) else {
            return;
        };
        let mut resumed = false;
        let next = match line.stage.take() {
            Stage::Handshaking(tls) => {
                resumed = tls.session.info().resumed() == Some(true);
                Stage::Open(Channel::Tls(tls))
            }
            other => other,
        };
        let listener = line.listener;
        line.enter(next);
        line.begins_to_listen(*now);
        if !line.connected {
            line.marks.add(Marks::CONNECT);
        }
        line.marks.add(Marks::DRAIN);
        self.core.count_handshake_done(listener, resumed);
        let status = Status::HandshakeComplete;
        self.core.call_out(id, held, Callback::Status, |h, c| h.on_status(c, &status));
        self.call_owed(id, held);
    }

    /// Calls `on_incoming` with what was decrypted, in pieces of at most the read size.
    fn deliver_plain(&mut self, id: ConnId, held: &mut Held) {
        let Self { core, plain, delivered, .. } = self;
        *delivered = 0;
        while *delivered < plain.len() && core.line(id).may_deliver() {
            let link = core.line(id).link();
            let room = link.map_or(usize::MAX, |link| core.room_at_target(id, link));
            if room == 0 {
                // Its gate is closed now, or it is closing.
                continue;
            }
            let rest = &plain[*delivered..];
            let size = core.read_size(id).min(room);
            let line = core.line(id);
            let data = &rest[..rest.len().min(line.piece(size))];
            line.spend(data.len());
            // Before the call: should it panic, this piece has been delivered all the same.
            *delivered += data.len();
            match link {
                Some(link) => core.forward(id, link, data),
                None => {
                    core.call_out(id, held, Callback::Incoming, |h, c| h.on_incoming(c, data));
                }
            }
        }
        self.hold_back_undelivered(id);
        if self.core.line(id).gate.hears_end() {
            self.end_in_order(id);
        }
    }

    /// What was decrypted and not delivered waits; on a line that is no longer open it is dropped.
    pub(super) fn hold_back_undelivered(&mut self, id: ConnId) {
        let Self { core, plain, delivered, .. } = self;
        if let Stage::Open(Channel::Tls(tls)) = &mut core.line(id).stage {
            tls.stash.extend(&plain[*delivered..]);
        }
        plain.clear();
        *delivered = 0;
    }

    #[cold]
    pub(super) fn deliver_held_back(&mut self, id: ConnId, held: &mut Held) {
        let line = self.core.line(id);
        let Stage::Open(Channel::Tls(tls)) = &mut line.stage else {
            return;
        };
        self.plain = tls.stash.take();
        self.deliver_plain(id, held);
    }

    /// The alert that the session owes still goes out: the line is flushed, then closed.
    fn tls_failed(&mut self, id: ConnId, error: Error) {
        self.core.line(id).outbox.clear();
        self.core.staging.clear();
        self.core.close(id, CloseReason::from_tls(error));
    }

    /// The peer's TLS has ended, if nothing lies before its end: answered by an end in order,
    /// close_notify, then FIN.
    pub(super) fn end_in_order(&mut self, id: ConnId) {
        let Stage::Open(Channel::Tls(tls)) = &self.core.line(id).stage else { return };
        let ended = tls.stash.is_empty() && tls.session.peer_closed();
        if ended && !self.core.outlives_its_input(id) {
            self.core.close(id, CloseReason::PeerClosed);
        }
    }
}
