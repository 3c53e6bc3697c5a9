//! From plain to TLS in the middle of a connection (S105 to S108, S122).
//!
//! Never: reads for the handler; what comes before the handshake is either an injection or its
//! first bytes.
//!
//! Invariants:
//! 1. The session sees nothing, and nothing of it leaves, before the last byte in clear has gone to
//!    the kernel.

use super::Reactor;
use super::flush::FLUSH_BYTES;
use crate::api::CloseReason;
use crate::conn::{Marks, Ready, Stage, Upgrade};
use crate::core::Held;
use crate::id::ConnId;
use crate::sys::Sys;
use std::io;

impl<S: Sys> Reactor<S> {
    /// Carries an upgrade on, if the line is in one.
    #[inline]
    pub(super) fn upgrade(&mut self, id: ConnId, held: &mut Held) {
        if matches!(self.core.line(id).stage, Stage::Upgrading(_)) && self.send_clear(id) {
            self.begin_handshake(id, held);
        }
    }

    /// Sends what leaves in clear, a bounded amount; whether all of it is out, and the handshake
    /// may begin.
    #[cold]
    fn send_clear(&mut self, id: ConnId) -> bool {
        let mut budget = FLUSH_BYTES;
        loop {
            let line = self.core.line(id);
            let can_send = line.is_unlocked() && line.ready.has(Ready::WRITABLE) && budget > 0;
            let Stage::Upgrading(upgrade) = &line.stage else { return false };
            let (piece, is_last) = upgrade.next(budget);
            let (offered, is_out) = (piece.len(), upgrade.clear.is_empty());
            if !is_out && !can_send {
                return false;
            }
            if is_last && upgrade.refuses_input && !self.has_sent_nothing(id) {
                return false;
            }
            if is_out {
                return true;
            }
            if !self.out(id).is_some_and(|mut out| out.send_clear(budget)) {
                return false;
            }
            if is_last {
                // What comes from now on may be the ClientHello.
                return true;
            }
            budget -= offered;
        }
    }

    /// Looks whether the peer has sent anything behind the command, which ends the line (S122).
    fn has_sent_nothing(&mut self, id: ConnId) -> bool {
        let Self { sys, fds, core, rx, .. } = self;
        let Some(Some(fd)) = fds.get(id.slot()) else { return false };
        let line = core.table.served_mut(id);
        match sys.recv(fd, rx) {
            Ok(0) => {
                line.input_ended = true;
                line.ready.clear(Ready::READABLE);
                // It will not shake hands; the answer goes out all the same (S82).
                core.close(id, CloseReason::PeerClosed);
            }
            Ok(_) => line.fail(CloseReason::Injected),
            Err(error) => match error.kind() {
                io::ErrorKind::WouldBlock => {
                    line.ready.clear(Ready::READABLE);
                    return true;
                }
                // Looked for again when the agenda brings it back.
                io::ErrorKind::Interrupted => {}
                _ => line.fail(CloseReason::from_io(error)),
            },
        }
        false
    }

    /// All that was to leave in clear has left.
    #[cold]
    fn begin_handshake(&mut self, id: ConnId, held: &mut Held) {
        let now = self.core.now;
        let line = self.core.line(id);
        let Upgrade { mut tls, leftover, .. } = match line.stage.take() {
            Stage::Upgrading(upgrade) => *upgrade,
            other => return line.enter(other),
        };
        tls.began = now;
        tls.stash.extend(&leftover);
        line.enter(Stage::Handshaking(tls));
        line.begins_to_wait(now);
        line.marks.add(Marks::STARTTLS);
        let listener = line.listener;
        self.core.count_handshake_begun(listener);
        self.call_owed(id, held);
        self.begin_session(id, held);
    }

    /// What a handshake has to say or to read first, once its handler has heard of it; a server may
    /// have nothing.
    pub(super) fn begin_session(&mut self, id: ConnId, held: &mut Held) {
        let Stage::Handshaking(tls) = &mut self.core.line(id).stage else { return };
        let first = tls.stash.take();
        if tls.session.is_to_start() || !first.is_empty() {
            self.decrypt_first(id, held, first);
        }
    }
}
