//! From records to plaintext to `on_incoming`, and what a handshake comes to.
//!
//! Never: reads from the kernel, or sends.
//!
//! Invariants:
//! 1. Plaintext that is not delivered at once waits in the line's stash; the shard's buffers are
//!    empty between two services.
//! 2. Records of an open line are opened one after the other, each delivered before the next; once
//!    one may not be, all that are left are opened and wait.

use super::Reactor;
use crate::api::{CloseReason, Status};
use crate::conn::{Channel, Line, Marks, Stage};
use crate::core::{Callback, Core, Held};
use crate::id::ConnId;
use crate::sys::Sys;
use shardpoll_timers::Tick;
use shardpoll_tls::Error;
use shardpoll_tls::copy::append;
use std::ops::Range;

/// Input of the line that is served which has yet to be decrypted: where in which buffer.
#[derive(Default)]
pub(super) struct Unread {
    wide: bool,
    at: Range<usize>,
}

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
    let established = handshaking && tls.session.is_established();
    if !wire.is_empty() {
        line.owe(wire, now);
    }
    // A step of the handshake starts the timeout anew (S93).
    if handshaking {
        line.begins_to_wait(now);
    }
    Some(Opened { established, failure })
}

impl<S: Sys> Reactor<S> {
    /// All that was read is decrypted; what may not be delivered now is held back.
    pub(super) fn decrypt(&mut self, id: ConnId, held: &mut Held, size: usize, count: usize) {
        let wide = size > self.rx.len();
        if self.core.line(id).stage.is_open() {
            return self.decrypt_open(id, held, wide, count);
        }
        let Self { core, rx, wide_rx, plain, wire, .. } = self;
        let rx = if wide { wide_rx } else { rx };
        let now = core.now;
        let opened = open(core.line(id), &mut rx[..count], plain, wire, now);
        self.opened(id, held, opened);
    }

    /// Decrypts what an open line has received, and delivers each record from where it lies.
    pub(super) fn decrypt_open(&mut self, id: ConnId, held: &mut Held, wide: bool, count: usize) {
        self.unread = Unread { wide, at: 0..count };
        let mut failure = None;
        while !self.unread.at.is_empty() && self.core.line(id).may_deliver() {
            if let Err(error) = self.decrypt_next(id, held) {
                failure = Some(error);
                break;
            }
        }
        self.hold_back_undelivered(id);
        if let Some(error) = failure {
            self.tls_failed(id, error);
        }
        let line = self.core.line(id);
        if line.has_held_back_input() && line.gate.hears_end() {
            self.end_in_order(id);
        }
    }

    /// Decrypts a record, or more than that, and delivers it.
    #[inline]
    fn decrypt_next(&mut self, id: ConnId, held: &mut Held) -> Result<(), Error> {
        let Self { core, rx, wide_rx, unread, plain, wire, .. } = self;
        let Core { table, config, now, .. } = core;
        let line = table.served_mut(id);
        let tuned = line.tuning.is_some();
        let Stage::Open(Channel::Tls(tls)) = &mut line.stage else { return Ok(()) };
        let rx = if unread.wide { wide_rx } else { rx };
        wire.clear();
        let next = tls.session.next(&mut rx[unread.at.clone()], plain, wire);
        tls.has_unread = next.as_ref().is_ok_and(|next| next.taken < unread.at.len());
        if !wire.is_empty() {
            line.owe(wire, *now);
        }
        let data = match next {
            Ok(next) => {
                unread.at.start += next.taken;
                next.data
            }
            Err(error) => {
                unread.at = 0..0;
                self.deliver_pieces(id, held);
                return Err(error);
            }
        };
        if tuned || !plain.is_empty() || data.len() > config.read_size_bytes {
            append(plain, data);
            self.deliver_pieces(id, held);
            if self.delivered < self.plain.len() {
                self.hold_back_undelivered(id);
            }
            self.plain.clear();
            self.delivered = 0;
        } else if !data.is_empty() {
            core.call_out(id, held, Callback::Incoming, |h, c| h.on_incoming(c, data));
        }
        Ok(())
    }

    /// What is left of the input of this service is decrypted, to be held back.
    fn decrypt_unread(&mut self, id: ConnId) {
        let Unread { wide, at } = std::mem::take(&mut self.unread);
        let Self { core, rx, wide_rx, plain, wire, .. } = self;
        let now = core.now;
        let line = core.line(id);
        let Stage::Open(Channel::Tls(tls)) = &mut line.stage else { return };
        let rx = if wide { wide_rx } else { rx };
        wire.clear();
        tls.has_unread = false;
        let read = tls.session.receive(&mut rx[at], plain, wire);
        if !wire.is_empty() {
            line.owe(wire, now);
        }
        if let Err(error) = read {
            self.tls_failed(id, error);
        }
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

    fn deliver_plain(&mut self, id: ConnId, held: &mut Held) {
        self.deliver_pieces(id, held);
        self.hold_back_undelivered(id);
        if self.core.line(id).gate.hears_end() {
            self.end_in_order(id);
        }
    }

    /// Calls `on_incoming` with what is in `plain`, in pieces of at most the read size.
    fn deliver_pieces(&mut self, id: ConnId, held: &mut Held) {
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
    }

    /// What was decrypted and not delivered waits; on a line that is no longer open it is dropped.
    pub(super) fn hold_back_undelivered(&mut self, id: ConnId) {
        if !self.unread.at.is_empty() {
            self.decrypt_unread(id);
        }
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
