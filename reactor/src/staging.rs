//! Bytes on their way from a callback to the kernel, of the one line that is being served.
//!
//! Never: holds bytes between two services.

use crate::id::ConnId;
use shardpoll_tls::copy::{PIECE_BYTES, append};

use std::ops::Range;

/// What the callbacks of the line that is being served have written to it: sent when they have
/// returned, so that most bytes are never queued at all.
///
/// A large piece of the very input that a callback was lent is not copied: the read buffer is not
/// used before the service is over, so it is enough to know which piece. It can be told by its
/// address, since nothing else can lie there. What is lent stands alone; another write, or anything
/// but the return of the callback, makes a copy of it ([`Staging::settle`]).
///
/// Invariant: the door is open only while the line that is served is open and its outbox empty.
/// Whoever changes that (close, a failure, a chunk that is queued) closes it, and the next write
/// looks at the line itself. While it is `Direct` the line is plain as well, so that the staged
/// bytes are all there is to send, as they are; or its service has nothing left to do
/// ([`Staging::come_to_rest`]).
#[derive(Default)]
pub(crate) struct Staging {
    line: Option<ConnId>,
    door: Door,
    /// One more than may be staged before [`Staging::lend`] is asked. Nothing may be when it
    /// is 0, not even an empty write.
    room: usize,
    bytes: Vec<u8>,
    /// Of the input that was lent; empty for none.
    lent: Range<usize>,
}

/// What becomes of writes to the line that is served.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub(crate) enum Door {
    /// They are queued, or refused.
    #[default]
    Closed,
    /// They are staged.
    Open,
    /// They are staged, and sent as they are.
    Direct,
}

/// What a service may stage at first, and one more: what is larger, or comes after it, is lent by
/// [`Staging::lend`], or copied by [`Staging::take_large`].
pub(crate) const FIRST_ROOM: usize = PIECE_BYTES + 1;

/// The most that is staged: more waits in the outbox, where it is sent in pieces.
pub(crate) const STAGED_BYTES: usize = 256 * 1024;

impl Staging {
    /// A service begins; `room` is what may be staged, in bytes, unless the door is closed.
    #[inline]
    pub(crate) fn begin(&mut self, id: ConnId, room: usize, door: Door) {
        debug_assert!(self.is_empty(), "staged bytes are sent or queued by their service");
        self.line = Some(id);
        self.door = door;
        self.room = if door == Door::Closed { 0 } else { room };
    }

    /// The service is over.
    #[inline]
    pub(crate) fn end(&mut self) {
        self.line = None;
    }

    /// Takes no more for now; what is staged stays.
    pub(crate) fn close(&mut self) {
        self.door = Door::Closed;
        self.room = 0;
    }

    /// Whether nobody has closed it since the service began.
    #[inline]
    pub(crate) fn is_open(&self) -> bool {
        self.door != Door::Closed
    }

    /// All that was staged has gone, and its line, though not plain, has nothing left to do: until
    /// somebody closes the door, its service ends as that of a plain one.
    #[inline]
    pub(crate) fn come_to_rest(&mut self) {
        debug_assert!(self.is_empty() && self.is_open(), "nothing is left");
        self.door = Door::Direct;
    }

    #[inline]
    pub(crate) fn is_direct(&self) -> bool {
        self.door == Door::Direct
    }

    /// Stages bytes for this line, if it is the one that is served and there is room.
    #[inline]
    pub(crate) fn take(&mut self, id: ConnId, data: &[u8]) -> bool {
        let fits = self.line == Some(id) && data.len() < self.room;
        if fits {
            self.room -= data.len();
            self.bytes.extend_from_slice(data);
        }
        fits
    }

    /// Notes which piece of the input `data` is, if it is one and all there is to stage: `cap` is
    /// one more than may be staged in all, `lent` the input of the callback that writes. Asked of
    /// what does not fit the room that was given at first, before [`take_large`](Self::take_large).
    #[inline]
    pub(crate) fn lend(&mut self, id: ConnId, data: &[u8], cap: usize, lent: &[u8]) -> bool {
        let offset = data.as_ptr().addr().wrapping_sub(lent.as_ptr().addr());
        let lends = self.line == Some(id)
            && self.door != Door::Closed
            && self.is_empty()
            && (1..cap).contains(&data.len())
            && offset < lent.len();
        if lends {
            self.lent = offset..offset + data.len();
            // The next write shall come by here.
            self.room = 0;
        }
        lends
    }

    /// As [`take`](Self::take), for what does not fit the room that was given at first, with `cap`
    /// and `lent` of [`lend`](Self::lend).
    pub(crate) fn take_large(&mut self, id: ConnId, data: &[u8], cap: usize, lent: &[u8]) -> bool {
        let fits =
            self.line == Some(id) && self.door != Door::Closed && self.len() + data.len() < cap;
        if !fits {
            return false;
        }
        self.settle(lent);
        append(&mut self.bytes, data);
        self.room = FIRST_ROOM.min(cap - self.bytes.len());
        true
    }

    /// Copies what was only lent.
    pub(crate) fn settle(&mut self, lent: &[u8]) {
        append(&mut self.bytes, &lent[std::mem::take(&mut self.lent)]);
    }

    /// The line that is being served.
    pub(crate) fn line(&self) -> Option<ConnId> {
        self.line
    }

    pub(crate) fn holds_for(&self, line: ConnId) -> bool {
        self.line == Some(line)
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.bytes.is_empty() && self.lent.is_empty()
    }

    /// How many bytes are staged.
    pub(crate) fn len(&self) -> usize {
        self.bytes.len() + self.lent.len()
    }

    /// Whether what is staged was not copied.
    #[inline]
    pub(crate) fn is_lent(&self) -> bool {
        !self.lent.is_empty()
    }

    /// What is staged, of the input of this service.
    pub(crate) fn piece<'a>(&'a self, lent: &'a [u8]) -> &'a [u8] {
        if self.is_lent() { &lent[self.lent.clone()] } else { &self.bytes }
    }

    /// What is staged and was copied: everything, once it is settled.
    #[inline]
    pub(crate) fn as_slice(&self) -> &[u8] {
        &self.bytes
    }

    #[inline]
    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        self.lent = 0..0;
    }

    /// As [`clear`](Self::clear), when nothing is lent.
    #[inline]
    pub(crate) fn clear_copied(&mut self) {
        self.bytes.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CAP: usize = 10_000;

    fn begun(id: ConnId) -> Staging {
        let mut staging = Staging::default();
        staging.begin(id, 1, Door::Direct);
        staging
    }

    fn large(staging: &mut Staging, id: ConnId, data: &[u8], cap: usize, lent: &[u8]) -> bool {
        staging.lend(id, data, cap, lent) || staging.take_large(id, data, cap, lent)
    }

    #[test]
    fn a_piece_of_the_input_is_lent_and_anything_else_is_copied() {
        let id = ConnId::new(0, 1, 1).expect("not 0");
        let input = vec![7; 5000];
        for (piece, lent) in [(&input[..], 0..5000), (&input[10..4000], 10..4000)] {
            let mut staging = begun(id);
            assert!(large(&mut staging, id, piece, CAP, &input));
            assert_eq!((staging.lent.clone(), staging.len()), (lent, piece.len()));
            assert_eq!(staging.piece(&input).as_ptr(), piece.as_ptr());
        }
        let mut staging = begun(id);
        assert!(large(&mut staging, id, &input.clone(), CAP, &input));
        assert!(!staging.is_lent() && staging.as_slice() == input);
        // There is no input at all.
        let mut staging = begun(id);
        assert!(large(&mut staging, id, &input, CAP, &[]) && !staging.is_lent());
    }

    #[test]
    fn what_is_written_behind_a_lent_piece_comes_behind_it() {
        let id = ConnId::new(0, 1, 1).expect("not 0");
        let input: Vec<u8> = (0_u8..=250).cycle().take(5000).collect();
        let mut staging = begun(id);
        assert!(large(&mut staging, id, &input[100..3000], CAP, &input));
        assert!(!staging.take(id, b"small"), "it must not come before");
        assert!(large(&mut staging, id, b"small", CAP, &input));
        assert!(large(&mut staging, id, &input[..2500], CAP, &input), "copied: it is not alone");
        assert!(!staging.is_lent());
        let all = [&input[100..3000], b"small", &input[..2500]].concat();
        assert_eq!(staging.as_slice(), all);
        assert!(!large(&mut staging, id, &input, CAP, &input), "beyond the cap");
        staging.close();
        assert!(!large(&mut staging, id, b"", CAP, &input) && !staging.take(id, b""));
    }
}
