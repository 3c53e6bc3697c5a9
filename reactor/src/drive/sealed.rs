//! The short way of a line that is open under TLS and has nothing special: one read, its records
//! opened where they lie, what its callbacks have staged sealed and sent at once.
//!
//! All that is not so goes the long way, `read`, `decrypt` and `flush`, which comes to the same.
//!
//! Never: serves a line that has something queued, held back or marked.

use super::Reactor;
use super::flush::SEAL_BYTES;
use super::read::tls_read_size;
use crate::conn::Ready;
use crate::core::{Core, Held};
use crate::id::ConnId;
use crate::sys::Sys;
use std::io;

/// What has become of what was staged.
enum Sent {
    All,
    /// The rest is owed.
    Some,
    /// There is more to it.
    Nothing,
}

impl<S: Sys> Reactor<S> {
    /// The input side of a line that is quiet and not gated.
    #[inline(never)]
    pub(super) fn take_in_sealed(&mut self, id: ConnId, held: &mut Held) {
        if !self.core.line(id).ready.has(Ready::READABLE) {
            return;
        }
        let size = tls_read_size(self.core.config.read_size_bytes);
        match self.receive(id, size, usize::MAX) {
            Ok(count @ 1..) => self.decrypt_open(id, held, size > self.rx.len(), count),
            Ok(_) => self.input_ended(id),
            Err(error) => self.read_failed(id, error),
        }
    }

    /// The output side; false when it is for the long way.
    #[inline(never)]
    pub(super) fn flush_sealed(&mut self, id: ConnId, held: &mut Held) -> bool {
        let Core { table, staging, .. } = &mut self.core;
        let line = table.served_mut(id);
        if !staging.is_open() || !line.is_quietly_sealed() {
            return false;
        }
        if staging.is_empty() {
            staging.come_to_rest();
            return true;
        }
        if !line.ready.has(Ready::WRITABLE) {
            return false;
        }
        self.core.call_predrain(id, held);
        match self.send_staged_sealed(id) {
            Sent::All => {
                self.core.staging.come_to_rest();
                self.core.call_drain(id, held);
            }
            Sent::Some => self.owe_drain(id),
            Sent::Nothing => {
                self.core.exchange_handlers(id, held);
                self.send(id);
                if self.core.is_drained(id) {
                    self.tell_drained(id, held);
                } else {
                    self.owe_drain(id);
                }
            }
        }
        true
    }

    /// Seals what is staged, and sends it.
    #[inline]
    fn send_staged_sealed(&mut self, id: ConnId) -> Sent {
        let Self { sys, fds, core, wire, .. } = self;
        let Core { table, staging, traffic, .. } = core;
        let line = table.served_mut(id);
        let staged = staging.as_slice();
        // Predrain may have closed the line, or queued a chunk.
        let fits = staging.is_open() && line.is_quietly_sealed() && staged.len() <= SEAL_BYTES;
        let (Some(Some(fd)), Some(tls), true) = (fds.get(id.slot()), line.stage.tls_mut(), fits)
        else {
            return Sent::Nothing;
        };
        wire.clear();
        if tls.session.send(staged, wire).is_err() {
            // It says so once more, on the long way.
            tls.owed.extend(wire);
            return Sent::Nothing;
        }
        staging.clear();
        match sys.send(fd, wire) {
            Ok(taken) if taken == wire.len() => {
                traffic.bytes_out += taken as u64;
                Sent::All
            }
            result => {
                self.keep_sealed(id, result);
                Sent::Some
            }
        }
    }

    /// The kernel did not take all that was sealed: the rest is owed.
    #[cold]
    fn keep_sealed(&mut self, id: ConnId, result: io::Result<usize>) {
        let wire = std::mem::take(&mut self.wire);
        if let Some(mut out) = self.out(id) {
            out.keep_sealed(&wire, result, false);
        }
        self.wire = wire;
    }
}
