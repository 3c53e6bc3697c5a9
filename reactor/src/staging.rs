//! Bytes on their way from a callback to the kernel, of the one line that is being served.
//!
//! Never: holds bytes between two services.

use crate::id::ConnId;
use shardpoll_tls::copy::{PIECE_BYTES, append};

/// What the callbacks of the line that is being served have written to it: sent when they have
/// returned, so that most bytes are never queued at all.
///
/// Invariant: there is room only while the line that is served is open and its outbox empty.
/// Whoever changes that (close, a failure, a chunk that is queued) closes the staging buffer, and
/// the next write looks at the line itself. While it is `direct` the line is plain as well, so that
/// the staged bytes are all there is to send, as they are; at the end of a service it may also be
/// one whose staged bytes have gone otherwise.
#[derive(Default)]
pub(crate) struct Staging {
    line: Option<ConnId>,
    direct: bool,
    /// One more than may be staged before [`Staging::take_large`] is asked. Nothing may be when it
    /// is 0, not even an empty write, and not there either.
    room: usize,
    bytes: Vec<u8>,
}

/// What a service may stage at first, and one more: what is larger, or comes after it, is copied by
/// [`Staging::take_large`].
pub(crate) const FIRST_ROOM: usize = PIECE_BYTES + 1;

/// The most that is staged: more waits in the outbox, where it is sent in pieces.
pub(crate) const STAGED_BYTES: usize = 256 * 1024;

impl Staging {
    /// A service begins; `room` is what may be staged, in bytes.
    #[inline]
    pub(crate) fn begin(&mut self, id: ConnId, room: usize, direct: bool) {
        debug_assert!(self.bytes.is_empty(), "staged bytes are sent or queued by their service");
        self.line = Some(id);
        self.direct = direct;
        self.room = room;
    }

    /// The service is over.
    #[inline]
    pub(crate) fn end(&mut self) {
        self.line = None;
    }

    /// Takes no more for now; what is staged stays.
    pub(crate) fn close(&mut self) {
        self.direct = false;
        self.room = 0;
    }

    /// Whether nobody has closed it since the service began.
    #[inline]
    pub(crate) fn is_open(&self) -> bool {
        self.room > 0
    }

    /// All that was staged has gone, and its line, though not plain, has nothing left to do: until
    /// somebody closes it the end of the service is that of a plain one.
    #[inline]
    pub(crate) fn settle(&mut self) {
        debug_assert!(self.bytes.is_empty() && self.room > 0, "nothing is left");
        self.direct = true;
    }

    #[inline]
    pub(crate) fn is_direct(&self) -> bool {
        self.direct
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

    /// As [`take`](Self::take), for what does not fit the room that was given at first: `cap` is
    /// one more than may be staged in all.
    pub(crate) fn take_large(&mut self, id: ConnId, data: &[u8], cap: usize) -> bool {
        let fits = self.line == Some(id) && self.room > 0 && self.bytes.len() + data.len() < cap;
        if fits {
            append(&mut self.bytes, data);
            self.room = FIRST_ROOM.min(cap - self.bytes.len());
        }
        fits
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
        self.bytes.is_empty()
    }

    #[inline]
    pub(crate) fn as_slice(&self) -> &[u8] {
        &self.bytes
    }

    #[inline]
    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
    }
}
