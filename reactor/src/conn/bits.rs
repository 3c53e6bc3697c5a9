//! What is asked of a line many times a message, in one byte each: what the kernel last said of its
//! descriptor, what makes its service more than a read and a flush, and what its handler hears of a
//! flush.
//!
//! Never: decides anything.

/// What the kernel last said of a descriptor: three bits.
///
/// *readable* and *writable* are cleared when it says would-block or does less than was asked.
/// *ended* (the peer's end, a hang-up, an error or urgent data was seen) stays: while it is set a
/// short read does not clear *readable*, since no further event will come for the end that lies
/// behind the data.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub(crate) struct Ready(u8);

impl Ready {
    pub(crate) const NOTHING: Self = Self(0);
    // The first two are the kernel's own bits, so that most events need no translation.
    pub(crate) const READABLE: Self = Self(1);
    pub(crate) const WRITABLE: Self = Self(4);
    pub(crate) const ENDED: Self = Self(2);

    #[inline]
    pub(crate) const fn from_bits(bits: u8) -> Self {
        Self(bits)
    }

    #[inline]
    pub(crate) const fn bits(self) -> u8 {
        self.0
    }

    #[inline]
    pub(crate) fn has(self, bits: Self) -> bool {
        self.0 & bits.0 != 0
    }

    #[inline]
    pub(crate) fn add(&mut self, bits: Self) {
        self.0 |= bits.0;
    }

    #[inline]
    pub(crate) fn clear(&mut self, bits: Self) {
        self.0 &= !bits.0;
    }
}

/// What a line is counted for ([`crate::census`], [`crate::ledger`]).
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub(crate) struct Origin(u8);

impl Origin {
    pub(crate) const NOTHING: Self = Self(0);
    /// It counts among all, and among those of its listener.
    pub(crate) const ENTERED: Self = Self(1);
    /// It counts among those of its peer.
    pub(crate) const PEER_ENTERED: Self = Self(2);
    /// Its end has been counted.
    pub(crate) const END_COUNTED: Self = Self(4);

    /// Whether the census knows of it.
    #[inline]
    pub(crate) fn is_counted(self) -> bool {
        self.has(Self(Self::ENTERED.0 | Self::PEER_ENTERED.0))
    }

    pub(crate) fn has(self, bits: Self) -> bool {
        self.0 & bits.0 != 0
    }

    pub(crate) fn add(&mut self, bits: Self) {
        self.0 |= bits.0;
    }
}

/// What makes a service more than a read and a flush: callbacks that are due without an event, a
/// lock, limits of its own. One byte, so that nearly all lines are told to have none by one look.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub(crate) struct Marks(u8);

impl Marks {
    pub(crate) const NOTHING: Self = Self(0);
    pub(crate) const STARTTLS: Self = Self(1);
    pub(crate) const CONNECT: Self = Self(2);
    /// A pair of predrain and drain, although nothing is queued (S63).
    pub(crate) const DRAIN: Self = Self(4);
    /// A handler waits to take over.
    pub(crate) const ATTACH: Self = Self(8);
    /// What is due whether or not the line can be written to.
    pub(crate) const CALLS: Self = Self(11);
    /// What is not due any more when the connection is closing.
    pub(crate) const BEFORE_END: Self = Self(7);
    /// Nothing is sent until it is unlocked, but by the end of the connection (S70).
    pub(crate) const WRITE_LOCK: Self = Self(16);
    /// `Line::tuning` has something that a service must ask for.
    pub(crate) const TUNED: Self = Self(32);
    /// More is queued than the high water mark, or was, and the low one is not reached.
    pub(crate) const HIGH: Self = Self(64);
    /// Its handshake is counted among those under way.
    pub(crate) const HANDSHAKE: Self = Self(128);

    #[inline]
    pub(crate) const fn bits(self) -> u8 {
        self.0
    }

    #[inline]
    pub(crate) fn has(self, bits: Self) -> bool {
        self.0 & bits.0 != 0
    }

    pub(crate) fn add(&mut self, bits: Self) {
        self.0 |= bits.0;
    }

    /// Whether one was due; from now on it is not.
    #[inline]
    pub(crate) fn take(&mut self, bits: Self) -> bool {
        let due = self.has(bits);
        self.0 &= !bits.0;
        due
    }
}

/// What the handler of a line hears of a flush; known from the first that it was told of.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub(crate) struct Hears(u8);

impl Hears {
    pub(crate) const UNKNOWN: Self = Self(0);
    /// Its type has neither `on_predrain` nor `on_drain`: there is nobody to call.
    pub(crate) const NOTHING: Self = Self(1);
    pub(crate) const FLUSHES: Self = Self(2);
    /// Every bit there is.
    pub(crate) const ALL: Self = Self(u8::MAX);

    #[inline]
    pub(crate) const fn bits(self) -> u8 {
        self.0
    }
}
