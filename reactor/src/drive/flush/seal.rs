//! The output of a line under TLS: what is owed, then what can be sealed, in few sends.
//!
//! Never: decides when a line is sent for.

use super::{FLUSH_BYTES, Out, SEAL_BYTES};
use crate::api::CloseReason;
use crate::conn::Line;
use crate::sys::Sys;
use std::io;

/// The most that was sealed before and is copied once more, to leave with what follows it.
const JOINED_BYTES: usize = 4 * 1024;

impl<S: Sys> Out<'_, S> {
    pub(super) fn send_tls(&mut self, wire: &mut Vec<u8>) {
        let mut budget = FLUSH_BYTES;
        while budget > 0 {
            wire.clear();
            if !self.join_owed(wire) && !self.send_sealed() {
                return;
            }
            let waited = !wire.is_empty();
            let sealed = self.seal_pieces(wire);
            if wire.is_empty() {
                return;
            }
            budget = budget.saturating_sub(sealed);
            let result = self.sys.send(self.fd, wire);
            if !self.keep_sealed(wire, result, waited) {
                return;
            }
        }
    }

    /// What the kernel did not take of `wire` is owed; true when it took all.
    pub(in crate::drive) fn keep_sealed(
        &mut self,
        wire: &[u8],
        result: io::Result<usize>,
        waited: bool,
    ) -> bool {
        let taken = self.account(result, wire.len());
        if taken == wire.len() {
            return true;
        }
        if let Some(tls) = self.line.stage.tls_mut() {
            tls.owed.extend(&wire[taken..]);
        }
        self.line.outbox.trim();
        if !waited {
            // They have only now begun to wait.
            self.line.begins_to_wait(self.now);
        }
        false
    }

    /// Moves what was sealed before to `wire`, to leave in one send with what follows: tickets with
    /// the first answer, a Finished with the first question. False when it is not so little.
    fn join_owed(&mut self, wire: &mut Vec<u8>) -> bool {
        let Some(tls) = self.line.stage.tls_mut() else { return false };
        if tls.owed.is_empty() {
            return true;
        }
        let owed = tls.owed.as_slice();
        let joins = owed.len() <= JOINED_BYTES;
        if joins {
            wire.extend_from_slice(owed);
            tls.owed.consume(wire.len());
        }
        joins
    }

    /// Sends what was sealed before; false when some of it is left.
    fn send_sealed(&mut self) -> bool {
        let Some(tls) = self.line.stage.tls_mut() else { return false };
        if tls.owed.is_empty() {
            return true;
        }
        let owed = tls.owed.as_slice();
        let offered = owed.len();
        let result = self.sys.send(self.fd, owed);
        let taken = self.account(result, offered);
        if let Some(tls) = self.line.stage.tls_mut() {
            tls.owed.consume(taken);
        }
        taken == offered
    }

    /// Seals what one send is to take; gives how many bytes of plaintext that was. A session that
    /// fails meanwhile has failed the line; what it sealed before, and its alert, are in `wire`.
    fn seal_pieces(&mut self, wire: &mut Vec<u8>) -> usize {
        let mut sealed = 0;
        while sealed < SEAL_BYTES {
            match self.seal(wire, SEAL_BYTES - sealed) {
                Ok(0) => break,
                Ok(count) => {
                    sealed += count;
                    // Asked here, it costs a small answer less than one more look.
                    if self.staging.is_empty() && self.line.outbox.is_empty() {
                        break;
                    }
                }
                Err(error) => {
                    self.line.fail(CloseReason::from_tls(error));
                    break;
                }
            }
        }
        sealed
    }

    /// Seals the next piece of plaintext into `wire`, of at most so many bytes; gives how many it
    /// took, 0 when there is nothing to seal or no session that could.
    fn seal(&mut self, wire: &mut Vec<u8>, most: usize) -> Result<usize, shardpoll_tls::Error> {
        if !self.line.is_unlocked() {
            return Ok(0);
        }
        let Line { stage, outbox, .. } = &mut *self.line;
        let Some(tls) = stage.tls_mut().filter(|tls| tls.session.is_established()) else {
            return Ok(0);
        };
        let queued = outbox.front();
        let next = if queued.is_empty() { self.staging.as_slice() } else { queued };
        let piece = &next[..next.len().min(most)];
        if piece.is_empty() {
            return Ok(0);
        }
        tls.session.send(piece, wire)?;
        let sealed = piece.len();
        if !outbox.is_empty() {
            outbox.consume(sealed);
        } else if sealed == self.staging.as_slice().len() {
            self.staging.clear();
        } else {
            self.keep_staged(sealed);
        }
        Ok(sealed)
    }
}
