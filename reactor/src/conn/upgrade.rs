//! The change of an open connection from plain to TLS: what has yet to leave in clear, and what
//! begins behind it.
//!
//! Never: calls user code or the kernel.
//!
//! Invariants:
//! 1. `clear` holds what was written before the upgrade was asked for, and nothing is added to it:
//!    what is written later waits in the line's outbox, which only a session empties.

use super::channel::TlsChannel;
use super::outbox::Outbox;

/// An upgrade that waits for its plaintext to be out.
pub(crate) struct Upgrade {
    pub(crate) tls: Box<TlsChannel>,
    /// What leaves in clear.
    pub(crate) clear: Outbox,
    /// A client says its hello; a server waits for it, and says nothing before: who has not yet
    /// heard the answer would take it for plaintext.
    pub(crate) speaks_first: bool,
    /// What the handler has of the peer's first records.
    pub(crate) leftover: Vec<u8>,
    /// Whether anything that comes before the last byte has left in clear is an injection.
    pub(crate) refuses_input: bool,
}

impl Upgrade {
    /// The bytes to send next, at most so many, and whether they are the last ones.
    pub(crate) fn next(&self, most: usize) -> (&[u8], bool) {
        let front = self.clear.front();
        let next = &front[..front.len().min(most)];
        (next, next.len() == self.clear.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use shardpoll_timers::Tick;
    use shardpoll_tls::{ClientContext, Session};

    #[test]
    fn only_the_end_of_the_last_chunk_is_the_last_piece() {
        let name = "localhost".try_into().expect("a host name");
        let session = Session::client(&ClientContext::insecure(), name).expect("a session");
        let tls = TlsChannel::new(session, Tick::ZERO);
        let mut clear = Outbox::default();
        clear.push_chunk(super::super::Chunk::Owned(vec![1; 5]));
        clear.push_chunk(super::super::Chunk::Owned(vec![2; 3]));
        let mut upgrade =
            Upgrade { tls, clear, speaks_first: true, leftover: Vec::new(), refuses_input: true };
        assert_eq!(upgrade.next(usize::MAX), (&[1; 5][..], false));
        upgrade.clear.consume(5);
        assert_eq!(upgrade.next(2), (&[2; 2][..], false));
        assert_eq!(upgrade.next(3), (&[2; 3][..], true));
        upgrade.clear.consume(3);
        assert_eq!(upgrade.next(1), (&[][..], true));
    }
}
