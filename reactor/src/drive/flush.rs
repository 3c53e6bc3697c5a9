//! Staging buffer and outbox to channel to kernel.
//!
//! Never: sends more than a bounded amount in one service, or tries a send after one was short.
//!
//! Invariants:
//! 1. Bytes leave in the order they were written: what TLS has sealed, then the outbox, then what
//!    is staged. Bytes are staged only while the outbox is empty.
//! 2. A line whose output is left over is either not *writable* (an edge will come) or has work.

mod seal;

use super::Reactor;
use crate::api::{CloseReason, WhenFull};
use crate::conn::{Channel, Line, Marks, Ready, Reason, Stage};
use crate::core::{Callback, Core, Held, Staging, Traffic};
use crate::id::ConnId;
use crate::sys::Sys;
use shardpoll_timers::Tick;
use std::io;

/// The most one line sends before others have their turn.
pub(super) const FLUSH_BYTES: usize = 256 * 1024;

/// How much is sealed for one send: a send of four records costs little more than one of one.
pub(super) const SEAL_BYTES: usize = 64 * 1024;

impl<S: Sys> Reactor<S> {
    /// Predrain, one attempt to send, and drain when all has gone (S58 to S62), in the common case:
    /// the line can be written to, and has nothing but what its callback has just staged.
    #[inline(always)]
    pub(super) fn flush_staged(&mut self, id: ConnId, held: &mut Held) {
        self.core.call_predrain(id, held);
        let Self { sys, fds, core, .. } = self;
        let Core { staging, traffic, .. } = core;
        let staged = staging.as_slice();
        // Predrain may have closed the line, or queued a chunk.
        let drained = match fds.get(id.slot()) {
            Some(Some(fd)) if staging.is_direct() => match sys.send(fd, staged) {
                Ok(taken) if taken == staged.len() => {
                    traffic.bytes_out += taken as u64;
                    staging.clear();
                    true
                }
                result => {
                    self.keep_staged(id, result);
                    false
                }
            },
            _ => {
                self.core.exchange_handlers(id, held);
                self.send(id);
                self.core.is_drained(id)
            }
        };
        if drained {
            self.core.call_drain(id, held);
        }
    }

    /// The kernel did not take all that was staged: the rest waits in the outbox.
    #[cold]
    pub(super) fn keep_staged(&mut self, id: ConnId, result: io::Result<usize>) {
        self.core.staging.settle(&self.rx);
        if let Some(mut out) = self.out(id) {
            let offered = out.staging.len();
            let taken = out.account(result, offered);
            out.keep_staged(taken);
        }
    }

    /// Predrain, one attempt to send, and drain, for a line that can be written to and has
    /// something to send; also the pair of callbacks that is owed with nothing to send (S63).
    #[inline(never)]
    pub(super) fn flush(&mut self, id: ConnId, held: &mut Held) {
        let staged = !self.core.staging.is_empty();
        let line = self.core.line(id);
        let queued = !line.outbox.is_empty() && line.is_unlocked();
        let application = staged || queued || line.marks.has(Marks::DRAIN);
        if !application || !line.may_flush() {
            // What TLS itself has to say is no business of the handler's.
            return self.send(id);
        }
        line.marks.take(Marks::DRAIN);
        self.core.call_out(id, held, Callback::Predrain, |h, c| h.on_predrain(c));
        self.send(id);
        if self.core.is_drained(id) {
            self.tell_drained(id, held);
        } else {
            self.owe_drain(id);
        }
    }

    /// When all is sealed and some of it left over, drain follows when that has gone.
    #[cold]
    pub(super) fn owe_drain(&mut self, id: ConnId) {
        let empty = self.core.staging.is_empty();
        let line = self.core.line(id);
        if empty && line.stage.is_open() && line.outbox.is_empty() {
            line.marks.add(Marks::DRAIN);
        }
    }

    /// All is out; the handler of a link's target is not told (S142).
    pub(super) fn tell_drained(&mut self, id: ConnId, held: &mut Held) {
        if !self.core.line(id).is_fed() {
            self.core.call_drain(id, held);
            self.core.exchange_handlers(id, held);
        }
    }

    /// The handler of an open line is told when its queue has passed a water mark.
    pub(super) fn tell_water(&mut self, id: ConnId, held: &mut Held) {
        let Core { table, config, now, .. } = &mut self.core;
        let line = table.served_mut(id);
        let queued = line.queued();
        let was_high = line.marks.has(Marks::HIGH);
        // A panic of on_status may have put on_connect off to the next service.
        if !line.stage.is_open() || line.marks.has(Marks::CONNECT) {
            return;
        }
        if !was_high && queued > config.high_water_bytes {
            line.marks.add(Marks::HIGH);
            if line.when_full == WhenFull::PausePeer {
                line.gate.close(Reason::Pressure);
            }
            self.core.call_out(id, held, Callback::HighWater, |h, c| h.on_high_water(c));
        } else if was_high && queued <= config.low_water_bytes {
            line.marks.take(Marks::HIGH);
            if line.gate.open(Reason::Pressure) {
                line.begins_to_listen(*now);
            }
            self.core.call_out(id, held, Callback::LowWater, |h, c| h.on_low_water(c));
        }
    }

    /// Sends what the stage allows, once.
    #[inline(never)]
    pub(super) fn send(&mut self, id: ConnId) {
        let mut wire = std::mem::take(&mut self.wire);
        if let Some(mut out) = self.out(id) {
            out.send(&mut wire);
        }
        self.wire = wire;
    }

    /// Sends what is in `wire`, with our FIN to follow at once; what is left over is owed.
    pub(super) fn send_last(&mut self, id: ConnId) {
        let wire = std::mem::take(&mut self.wire);
        if let Some(mut out) = self.out(id).filter(|_| !wire.is_empty()) {
            let result = out.sys.send_last(out.fd, &wire);
            out.keep_sealed(&wire, result, false);
        }
        self.wire = wire;
    }

    /// Sends so many bytes of what was read for another line; what the kernel does not take waits
    /// in the outbox, which is empty.
    pub(super) fn send_read(&mut self, id: ConnId, count: usize) {
        let Self { sys, fds, core, rx, .. } = self;
        let Core { table, staging, traffic, now, .. } = core;
        let line = table.served_mut(id);
        let data = &rx[..count];
        let mut taken = 0;
        if let Some(Some(fd)) = fds.get(id.slot()) {
            let mut out = Out { sys, fd, line, staging, traffic, now: *now };
            let result = out.sys.send(fd, data);
            taken = out.account(result, count);
        }
        if taken < count {
            table.served_mut(id).keep(&data[taken..], *now);
            core.recount(id);
        }
    }

    pub(super) fn out(&mut self, id: ConnId) -> Option<Out<'_, S>> {
        let Self { sys, fds, core, .. } = self;
        let Core { table, staging, traffic, now, .. } = core;
        let line = table.served_mut(id);
        let fd = fds.get(id.slot())?.as_ref()?;
        Some(Out { sys, fd, line, staging, traffic, now: *now })
    }
}

/// One line, and what it sends through.
pub(super) struct Out<'a, S: Sys> {
    sys: &'a mut S,
    fd: &'a S::Fd,
    line: &'a mut Line,
    staging: &'a mut Staging,
    traffic: &'a mut Traffic,
    now: Tick,
}

impl<S: Sys> Out<'_, S> {
    /// What is left of the staged bytes waits in the outbox.
    #[cold]
    fn keep_staged(&mut self, taken: usize) {
        self.staging.close();
        self.line.keep(&self.staging.as_slice()[taken..], self.now);
        self.staging.clear();
    }

    fn send(&mut self, wire: &mut Vec<u8>) {
        match self.line.stage {
            Stage::Open(Channel::Plain) | Stage::Flushing { channel: Channel::Plain, .. } => {
                self.keep_staged(0);
                self.send_queued();
            }
            Stage::Open(_) | Stage::Handshaking(_) | Stage::Flushing { .. } => self.send_tls(wire),
            // An upgrade sends by itself: what is queued now is for its session.
            Stage::Upgrading(_)
            | Stage::Preface(_)
            | Stage::Connecting(_)
            | Stage::Lingering { .. }
            | Stage::Closed(_) => {}
        }
    }

    fn send_queued(&mut self) {
        let mut budget = FLUSH_BYTES;
        while budget > 0 && !self.line.outbox.is_empty() && self.line.is_unlocked() {
            let front = self.line.outbox.front();
            let offered = front.len().min(budget);
            let result = self.sys.send(self.fd, &front[..offered]);
            let taken = self.account(result, offered);
            self.line.outbox.consume(taken);
            if taken < offered {
                return self.line.outbox.trim();
            }
            budget -= taken;
        }
    }

    /// Sends the next piece of what leaves in clear before an upgrade; false when not all of it
    /// went.
    pub(super) fn send_clear(&mut self, most: usize) -> bool {
        let Stage::Upgrading(upgrade) = &self.line.stage else { return false };
        let (piece, _) = upgrade.next(most);
        let offered = piece.len();
        let result = self.sys.send(self.fd, piece);
        let taken = self.account(result, offered);
        if let Stage::Upgrading(upgrade) = &mut self.line.stage {
            upgrade.clear.consume(taken);
            upgrade.clear.trim();
        }
        taken == offered
    }

    /// Sends what is in a pipe; gives how many bytes the kernel took, `None` when it takes none
    /// this way.
    pub(super) fn splice(&mut self, pipe: &mut S::Pipe, count: usize) -> Option<usize> {
        let result = self.sys.splice_out(pipe, self.fd, count);
        let kind = result.as_ref().map_err(io::Error::kind);
        if let Err(io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported) = kind {
            return None;
        }
        Some(self.account(result, count))
    }

    /// Draws the conclusions from one send; gives how many bytes the kernel took.
    #[inline]
    pub(super) fn account(&mut self, result: io::Result<usize>, offered: usize) -> usize {
        match result {
            Ok(taken) => {
                self.line.last_progress = self.now;
                if let Some(tuning) = &mut self.line.tuning {
                    tuning.sent(taken);
                }
                self.traffic.bytes_out += taken as u64;
                if taken < offered {
                    self.line.ready.clear(Ready::WRITABLE);
                }
                taken
            }
            Err(error) => {
                send_failed(self.line, error);
                0
            }
        }
    }
}

#[cold]
fn send_failed(line: &mut Line, error: io::Error) {
    match error.kind() {
        io::ErrorKind::WouldBlock => line.ready.clear(Ready::WRITABLE),
        // Still writable, so the agenda brings it back.
        io::ErrorKind::Interrupted => {}
        _ => line.fail(CloseReason::from_io(error)),
    }
}
