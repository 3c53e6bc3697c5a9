//! How application bytes travel on a connection: as they are, or through a TLS session.
//!
//! Never: calls user code or the kernel.
//!
//! Invariants:
//! 1. Wire bytes in `owed` leave before anything sealed later; nothing is sealed while some wait.
//! 2. What is in `stash` is delivered, or given to the session, before anything received later.

use super::{Line, Marks, Stage};
use shardpoll_timers::Tick;
use shardpoll_tls::Session;
use shardpoll_tls::copy::append;

/// A closed set, so one branch instead of a call through a table.
pub(crate) enum Channel {
    Plain,
    Tls(Box<TlsChannel>),
}

/// A TLS session, and the bytes at its two ends that could not go on.
pub(crate) struct TlsChannel {
    pub(crate) session: Session,
    /// When the handshake began; it has a deadline as a whole (S93).
    pub(crate) began: Tick,
    /// Sealed, and not yet taken by the kernel.
    pub(crate) owed: Backlog,
    /// Decrypted, and not to be delivered now; before the session has begun, what it begins with.
    pub(crate) stash: Backlog,
    /// Whether behind the record that is delivered there are others, read and not yet decrypted.
    pub(crate) has_unread: bool,
}

impl TlsChannel {
    pub(crate) fn new(session: Session, began: Tick) -> Box<Self> {
        let (owed, stash) = (Backlog::default(), Backlog::default());
        Box::new(Self { session, began, owed, stash, has_unread: false })
    }

    /// Whether nothing waits at either end.
    #[inline]
    pub(crate) fn is_quiet(&self) -> bool {
        self.owed.is_empty() && self.stash.is_empty() && !self.session.peer_closed()
    }
}

impl Channel {
    /// Wire bytes that wait for the kernel.
    #[inline]
    pub(crate) fn owes(&self) -> bool {
        match self {
            Self::Plain => false,
            Self::Tls(tls) => !tls.owed.is_empty(),
        }
    }

    /// Plaintext, or the end of it, that waits for its handler.
    #[inline]
    pub(crate) fn has_held_back_input(&self) -> bool {
        match self {
            Self::Plain => false,
            Self::Tls(tls) => !tls.stash.is_empty() || tls.session.peer_closed(),
        }
    }
}

impl Line {
    /// Whether it is open under TLS, and nothing is queued, owed, held back or marked.
    #[inline]
    pub(crate) fn is_quietly_sealed(&self) -> bool {
        match &self.stage {
            Stage::Open(Channel::Tls(tls)) => {
                tls.is_quiet() && self.outbox.is_empty() && self.marks == Marks::NOTHING
            }
            _ => false,
        }
    }

    /// Queues what its session has said, beside the application's bytes. The first byte starts the
    /// send timeout (S92).
    pub(crate) fn owe(&mut self, wire: &[u8], now: Tick) {
        let Some(tls) = self.stage.tls_mut() else { return };
        let owed_nothing = tls.owed.is_empty();
        tls.owed.extend(wire);
        if owed_nothing {
            self.begins_to_wait(now);
        }
    }
}

/// Bytes that are consumed from the front; no memory while there are none.
#[derive(Default)]
pub(crate) struct Backlog {
    bytes: Vec<u8>,
    gone: usize,
}

impl Backlog {
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// What is left.
    pub(crate) fn as_slice(&self) -> &[u8] {
        &self.bytes[self.gone..]
    }

    /// Appends a copy.
    pub(crate) fn extend(&mut self, more: &[u8]) {
        if self.gone > 0 {
            self.bytes.drain(..self.gone);
            self.gone = 0;
        }
        append(&mut self.bytes, more);
    }

    /// Drops the first `count` bytes, and the memory with the last of them.
    pub(crate) fn consume(&mut self, count: usize) {
        self.gone += count;
        if self.gone >= self.bytes.len() {
            *self = Self::default();
        } else if self.gone > self.bytes.len() / 2 {
            // A peer that takes all but the last bytes shall not hold the others.
            *self = Self { bytes: self.as_slice().to_vec(), gone: 0 };
        }
    }

    /// Takes the bytes out, to lend them while the connection is lent too.
    pub(crate) fn take(&mut self) -> Vec<u8> {
        let mut bytes = std::mem::take(&mut self.bytes);
        bytes.drain(..std::mem::take(&mut self.gone));
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backlog_keeps_order_and_frees_itself_with_the_last_byte() {
        let mut backlog = Backlog::default();
        backlog.extend(b"abc");
        backlog.consume(2);
        backlog.extend(b"def");
        assert_eq!(backlog.as_slice(), b"cdef");
        backlog.consume(1);
        assert_eq!(backlog.take(), b"def");
        assert!(backlog.is_empty());
        backlog.extend(b"g");
        backlog.consume(1);
        assert_eq!(backlog.bytes.capacity(), 0);
    }
}
