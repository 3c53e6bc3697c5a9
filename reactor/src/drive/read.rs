//! Kernel to read buffer to channel to `on_incoming`.
//!
//! Never: reads more than once a service, so that a line which always has input cannot starve
//! others.
//!
//! Invariants:
//! 1. Nothing is delivered while the gate is closed or the stage is not `Open`.
//! 2. After *ended* only the end of input or an error clears *readable*.

use super::Reactor;
use crate::api::{CloseReason, Silence};
use crate::conn::{Channel, LINGER_BYTES, Line, Ready, Reason, Stage};
use crate::core::{Callback, Core, Held, Traffic};
use crate::id::ConnId;
use crate::sys::Sys;
use shardpoll_timers::Tick;
use std::io;

/// How many chunks a TLS line is read at once. A record that lies across two reads is copied: with
/// reads of the size of a record nearly all are, and each read brings one, so each send one, too.
const RECORDS_AT_A_TIME: usize = 4;

/// The most of that: what is decrypted and may not be delivered is held back.
const TLS_READ_BYTES: usize = 64 * 1024;

/// How much of a TLS line is read at once, when it is given chunks of this size.
#[inline]
pub(super) fn tls_read_size(chunk: usize) -> usize {
    (RECORDS_AT_A_TIME * chunk).min(TLS_READ_BYTES).max(chunk)
}

impl<S: Sys> Reactor<S> {
    /// One read of a line that is not simply open, and what it brings; of a plain one so many
    /// bytes at most.
    fn read(&mut self, id: ConnId, held: &mut Held, most: usize) {
        let discards =
            matches!(self.core.line(id).stage, Stage::Flushing { .. } | Stage::Lingering { .. });
        let size = if discards { self.rx.len() } else { self.read_size(id) };
        match self.receive(id, size, most) {
            Ok(0) => self.input_ended(id),
            Ok(count) => self.take_in(id, held, size, count),
            Err(error) => self.read_failed(id, error),
        }
    }

    /// How much to ask the kernel for at once.
    fn read_size(&mut self, id: ConnId) -> usize {
        let chunk = self.core.read_size(id);
        let line = self.core.line(id);
        let free = line.tuning.as_ref().is_none_or(|tuning| tuning.lets_all_in());
        if free && matches!(line.stage, Stage::Open(Channel::Tls(_))) {
            return tls_read_size(chunk);
        }
        chunk
    }

    /// One `recv` into the read buffer of this size.
    #[inline]
    pub(super) fn receive(&mut self, id: ConnId, size: usize, most: usize) -> io::Result<usize> {
        let Self { sys, fds, core, rx, wide_rx, .. } = self;
        let Core { table, traffic, now, .. } = core;
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
        let count = receive(sys, fd, &mut rx[..size], line, *now, traffic)?;
        if let Some(tuning) = &mut line.tuning {
            if tuning.received(count, *now) {
                line.gate.close(Reason::Limited);
            }
        }
        Ok(count)
    }

    /// The read of a line that is simply open did not bring input.
    #[cold]
    pub(super) fn no_input(&mut self, id: ConnId, held: &mut Held, result: io::Result<usize>) {
        match result {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                // It is simply open as before.
                self.core.line(id).ready.clear(Ready::READABLE);
                return self.conclude(id, held);
            }
            result => {
                self.core.staging.close();
                let line = self.core.line(id);
                match result {
                    Ok(_) if line.owes_nothing() => {
                        line.part();
                        let listener = line.listener;
                        return self.part(id, listener, held);
                    }
                    Ok(_) => self.input_ended(id),
                    Err(error) => self.read_failed(id, error),
                }
            }
        }
        self.flush_other(id, held);
        self.conclude_other(id, held);
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
                    Some(link) => {
                        line.is_bulk(count == size);
                        self.core.forward(id, link, data);
                    }
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

    pub(super) fn read_failed(&mut self, id: ConnId, error: io::Error) {
        let line = self.core.line(id);
        match error.kind() {
            io::ErrorKind::WouldBlock => line.ready.clear(Ready::READABLE),
            // Still readable, so the agenda brings it back.
            io::ErrorKind::Interrupted => {}
            _ => line.fail(CloseReason::from_io(error)),
        }
    }

    pub(super) fn input_ended(&mut self, id: ConnId) {
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
            if link.bulk && self.leaves_input(id, link) {
                return;
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
        // Not left to the target of its link, whose pull would come behind the verdict.
        line.is_bulk(false);
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
    traffic: &mut Traffic,
) -> io::Result<usize> {
    let result = sys.recv(fd, rx);
    if let Ok(count @ 1..) = result {
        // Saves the read that would only fail: new input is a new edge.
        if count < rx.len() && !line.ready.has(Ready::ENDED) {
            line.ready.clear(Ready::READABLE);
        }
        line.last_read = now;
        traffic.bytes_in += count as u64;
    }
    result
}
