//! Kernel to read buffer to channel to `on_incoming`.
//!
//! Never: reads more than once a service, so that a line which always has input cannot starve
//! others.
//!
//! Invariants:
//! 1. Nothing is delivered while the gate is closed or the stage is not `Open`.
//! 2. After *ended* only the end of input or an error clears *readable*.

use super::Reactor;
use crate::api::{CloseReason, Silence, Status};
use crate::conn::{Channel, LINGER_BYTES, Line, Marks, Ready, Reason, Stage};
use crate::core::{Callback, Core, Counters, Held};
use crate::id::ConnId;
use crate::sys::Sys;
use shardpoll_timers::Tick;
use shardpoll_tls::Error;
use std::io;

impl<S: Sys> Reactor<S> {
    /// One read of a line that is not simply open, and what it brings; of a plain one so many
    /// bytes at most.
    fn read(&mut self, id: ConnId, held: &mut Held, most: usize) {
        let discards =
            matches!(self.core.line(id).stage, Stage::Flushing { .. } | Stage::Lingering { .. });
        let size = if discards { self.rx.len() } else { self.core.read_size(id) };
        match self.receive(id, size, most) {
            Ok(0) => self.input_ended(id),
            Ok(count) => self.take_in(id, held, size, count),
            Err(error) => self.read_failed(id, error),
        }
    }

    /// One `recv` into the read buffer of this size.
    fn receive(&mut self, id: ConnId, size: usize, most: usize) -> io::Result<usize> {
        let Self { sys, fds, core, rx, wide_rx, .. } = self;
        let Core { table, counters, now, .. } = core;
        let line = table.served_mut(id);
        let Some(Some(fd)) = fds.get(id.slot()) else {
            return Err(io::ErrorKind::WouldBlock.into());
        };
        // Never that of all: who is simply open reads as much as `rx` holds.
        let rx = if size > rx.len() {
            if wide_rx.len() < size {
                *wide_rx = vec![0; size].into_boxed_slice();
            }
            wide_rx
        } else {
            rx
        };
        let size = match line.stage {
            Stage::Open(Channel::Plain) => line.piece(size).min(most),
            _ => size,
        };
        let count = receive(sys, fd, &mut rx[..size], line, *now, counters)?;
        if let Some(tuning) = &mut line.tuning {
            // One that was set for this wait only (S84).
            tuning.read_due = None;
            if let Some(rate) = &mut tuning.rate {
                if rate.charge(count, *now) > *now {
                    line.gate.close(Reason::Limited);
                }
            }
        }
        Ok(count)
    }

    /// The read of a line that is simply open did not bring input.
    #[cold]
    pub(super) fn no_input(&mut self, id: ConnId, result: io::Result<usize>) {
        self.core.staging.close();
        match result {
            Ok(_) => self.input_ended(id),
            Err(error) => self.read_failed(id, error),
        }
    }

    /// Input of a line that is not simply open.
    fn take_in(&mut self, id: ConnId, held: &mut Held, size: usize, count: usize) {
        let line = self.core.line(id);
        match &mut line.stage {
            Stage::Open(Channel::Plain) => {
                line.spend(count);
                let rx = if size > self.rx.len() { &self.wide_rx } else { &self.rx };
                let data = &rx[..count];
                match line.link() {
                    Some(link) => self.core.forward(id, link, data),
                    None => {
                        let call = Callback::Incoming;
                        self.core.call_out(id, held, call, |h, c| h.on_incoming(c, data));
                    }
                }
            }
            Stage::Open(Channel::Tls(_)) | Stage::Handshaking(_) => {
                self.decrypt(id, held, size, count);
            }
            Stage::Lingering { discarded } => {
                *discarded += count;
                if *discarded > LINGER_BYTES {
                    line.fail(CloseReason::Asked);
                }
            }
            // Discarded, so that the kernel does not answer our end with a reset (S76).
            _ => {}
        }
    }

    /// Everything that was read is decrypted at once; what may not be delivered now is held back.
    fn decrypt(&mut self, id: ConnId, held: &mut Held, size: usize, count: usize) {
        let Self { core, rx, wide_rx, plain, delivered, wire, .. } = self;
        let rx = if size > rx.len() { wide_rx } else { rx };
        plain.clear();
        *delivered = 0;
        wire.clear();
        let now = core.now;
        let line = core.line(id);
        let handshaking = matches!(line.stage, Stage::Handshaking(_));
        let Some(tls) = line.stage.tls_mut() else {
            return;
        };
        let result = tls.session.receive(&mut rx[..count], plain, wire);
        let owed_nothing = tls.owed.is_empty();
        tls.owed.extend(wire);
        let established = handshaking && tls.session.is_established();
        // A step of the handshake, or the first byte owed, starts the timeout anew (S93, S92).
        if handshaking || owed_nothing && !wire.is_empty() {
            line.begins_to_wait(now);
        }
        if established {
            self.established(id, held);
        }
        self.deliver_plain(id, held);
        if let Err(error) = result {
            self.tls_failed(id, error);
        }
    }

    fn established(&mut self, id: ConnId, held: &mut Held) {
        let Core { table, now, .. } = &mut self.core;
        let Some(line) = table.line_mut(id) else {
            return;
        };
        let next = match line.stage.take() {
            Stage::Handshaking(tls) => Stage::Open(Channel::Tls(tls)),
            other => other,
        };
        line.enter(next);
        line.begins_to_listen(*now);
        line.marks.add(Marks::CONNECT);
        line.marks.add(Marks::DRAIN);
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

    fn read_failed(&mut self, id: ConnId, error: io::Error) {
        let line = self.core.line(id);
        match error.kind() {
            io::ErrorKind::WouldBlock => line.ready.clear(Ready::READABLE),
            // Still readable, so the agenda brings it back.
            io::ErrorKind::Interrupted => {}
            _ => line.fail(CloseReason::from_io(error)),
        }
    }

    fn input_ended(&mut self, id: ConnId) {
        let line = self.core.line(id);
        line.input_ended = true;
        line.ready.clear(Ready::READABLE);
        // A FIN without close_notify may be somebody who cuts the stream: told, never hidden
        // (S118).
        if let Stage::Handshaking(tls) | Stage::Open(Channel::Tls(tls)) = &mut line.stage {
            if let Err(error) = tls.session.end_of_input() {
                return line.fail(CloseReason::from_tls(error));
            }
        }
        if line.stage.is_open() && self.core.outlives_its_input(id) {
            return;
        }
        let line = self.core.line(id);
        // What was written still goes out: the peer may only have finished asking (S82).
        if line.stage.is_open() && !self.core.is_drained(id) {
            return self.core.close(id, CloseReason::PeerClosed);
        }
        let line = self.core.line(id);
        match &line.stage {
            Stage::Open(_) => line.fail(CloseReason::PeerClosed),
            Stage::Lingering { .. } => line.fail(CloseReason::Asked),
            _ => {}
        }
    }

    /// A line whose link has lost its target is not read; that it has ended is told all the same,
    /// once nothing unread lies before the end (S145).
    pub(super) fn look_for_end(&mut self, id: ConnId, held: &mut Held) {
        let line = self.core.line(id);
        if !line.gate.lets_end() || !line.stage.is_open() {
            return;
        }
        if line.has_held_back_input() {
            return self.end_in_order(id);
        }
        if !line.ready.has(Ready::ENDED) {
            return;
        }
        if line.stage.tls().is_some() {
            return self.look_for_tls_end(id, held);
        }
        let Self { sys, fds, .. } = self;
        let Some(Some(fd)) = fds.get(id.slot()) else { return };
        match sys.at_end(fd) {
            Ok(true) => self.input_ended(id),
            Ok(false) => {}
            Err(error) => self.read_failed(id, error),
        }
    }

    /// Under TLS the end may lie in a record: what has come is decrypted, a read a service, until
    /// there is something to be held back.
    fn look_for_tls_end(&mut self, id: ConnId, held: &mut Held) {
        if !self.core.line(id).ready.has(Ready::READABLE) {
            return;
        }
        self.read(id, held, usize::MAX);
        let Core { table, agenda, .. } = &mut self.core;
        let line = table.served_mut(id);
        let Stage::Open(Channel::Tls(tls)) = &line.stage else { return };
        // Its closed gate is no work that would bring it back.
        if tls.stash.is_empty() && line.ready.has(Ready::READABLE) && !line.on_agenda {
            line.on_agenda = true;
            agenda.push(id);
        }
    }

    /// The peer's TLS has ended, if nothing lies before its end: answered by an end in order,
    /// close_notify, then FIN.
    fn end_in_order(&mut self, id: ConnId) {
        let Stage::Open(Channel::Tls(tls)) = &self.core.line(id).stage else { return };
        let ended = tls.stash.is_empty() && tls.session.peer_closed();
        if ended && !self.core.outlives_its_input(id) {
            self.core.close(id, CloseReason::PeerClosed);
        }
    }

    /// Gives what was held back before anything new.
    pub(super) fn read_any(&mut self, id: ConnId, held: &mut Held) {
        let line = self.core.line(id);
        let mut room = usize::MAX;
        // What comes before it is open, or when it is closing, is not the target's.
        if let Some(link) = line.link().filter(|_| line.stage.is_open()) {
            room = self.core.room_at_target(id, link);
            if room == 0 {
                // Its event is used up: nobody else would look.
                return self.look_for_end(id, held);
            }
        }
        if self.core.line(id).has_held_back_input() {
            self.deliver_held_back(id, held);
        } else {
            self.read(id, held, room);
        }
    }

    /// The read timeout has passed: looks once more, and only then judges (O7).
    pub(super) fn judge_silence(&mut self, id: ConnId, held: &mut Held) {
        let line = self.core.line(id);
        line.ready.add(Ready::READABLE);
        if line.wants_read() {
            self.read_any(id, held);
        }
        let Core { table, spans, now, .. } = &mut self.core;
        let line = table.served_mut(id);
        // Input, or a callback of this service, may have moved it.
        if line.silence_due(spans) > *now || !line.stage.is_open() {
            return;
        }
        if let Some(tuning) = &mut line.tuning {
            // It is used up; what the callback sets counts (S86).
            tuning.read_due = None;
        }
        let verdict = self.core.call(id, held, Callback::ReadTimeout, |h, c| h.on_read_timeout(c));
        let now = self.core.now;
        let line = self.core.line(id);
        match verdict {
            _ if !line.stage.is_open() => {}
            Some(Silence::Keep) => line.last_read = now,
            Some(Silence::Close) | None => line.fail(CloseReason::Silent),
        }
        // Behind the verdict, which a panic of the next handler would lose.
        self.core.exchange_handlers(id, held);
    }
}

/// One `recv`, and what it says of the line.
#[inline(always)]
pub(super) fn receive<S: Sys>(
    sys: &mut S,
    fd: &S::Fd,
    rx: &mut [u8],
    line: &mut Line,
    now: Tick,
    counters: &mut Counters,
) -> io::Result<usize> {
    let result = sys.recv(fd, rx);
    if let Ok(count @ 1..) = result {
        // Saves the read that would only fail: new input is a new edge.
        if count < rx.len() && !line.ready.has(Ready::ENDED) {
            line.ready.clear(Ready::READABLE);
        }
        line.last_read = now;
        counters.bytes_in += count as u64;
    }
    result
}
