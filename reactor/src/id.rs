//! The names of connections, watches, listeners and timers. A connection's or watch's is one word:
//! shard, slot, generation.
//!
//! Never: hands out an id, or knows whether one is alive; [`crate::table`] does.
//!
//! Invariants:
//! 1. A generation is never 0, so the word is never 0 and `Option<ConnId>` is one word too.
//! 2. The same word is the key under which the kernel reports events, so one comparison kills every
//!    kind of staleness: event, timer, letter or user handle.

use std::fmt;
use std::num::{NonZeroU32, NonZeroU64};

const SLOT_BITS: u32 = 22;
const GENERATION_BITS: u32 = 32;

/// How many shards an engine may have: what 10 bits can name.
pub const MAX_SHARDS: usize = 1 << (64 - SLOT_BITS - GENERATION_BITS);

/// How many connections, listeners and watches one shard may hold at a time.
pub(crate) const MAX_SLOTS: usize = 1 << SLOT_BITS;

/// Which loop this is, among those of one process: what the ids of its connections begin with.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Place {
    pub(crate) shard: u16,
    pub(crate) generation: NonZeroU32,
}

impl Place {
    /// The only loop, or the first of an engine.
    pub const FIRST: Self = Self { shard: 0, generation: NonZeroU32::MIN };

    /// Shard `shard` of the `engine`-th engine of this process.
    ///
    /// Engines begin counting their connections far apart, so that an id of one is not taken for a
    /// connection of another.
    ///
    /// # Panics
    /// If `shard` is not below [`MAX_SHARDS`].
    #[must_use]
    pub fn new(shard: u16, engine: u32) -> Self {
        assert!(usize::from(shard) < MAX_SHARDS, "an engine has at most {MAX_SHARDS} shards");
        // Multiples of an odd number near 2^32 times the golden ratio lie evenly over the range.
        let generation = engine.wrapping_mul(0x9E37_79B1).wrapping_add(1);
        Self { shard, generation: NonZeroU32::new(generation).unwrap_or(NonZeroU32::MIN) }
    }
}

/// Names one connection for as long as the process lives.
///
/// `Copy` and `Send`: keep it where you like. Once the connection is gone the id is dead for ever,
/// and everything asked of it does nothing; it is never taken for a later connection.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnId(NonZeroU64);

const _: () = assert!(size_of::<Option<ConnId>>() == 8);

impl ConnId {
    #[inline]
    pub(crate) fn new(shard: u16, slot: u32, generation: u32) -> Option<Self> {
        let word = u64::from(shard) << (SLOT_BITS + GENERATION_BITS)
            | u64::from(slot) << GENERATION_BITS
            | u64::from(generation);
        NonZeroU64::new(word).map(Self)
    }

    /// What the kernel was told to report; `None` for 0, which is the waker's.
    #[inline]
    pub(crate) fn from_key(key: u64) -> Option<Self> {
        NonZeroU64::new(key).map(Self)
    }

    #[inline]
    pub(crate) fn key(self) -> u64 {
        self.0.get()
    }

    /// The number of the shard that owns the connection, counted from 0.
    #[inline]
    #[must_use]
    pub fn shard(self) -> usize {
        (self.0.get() >> (SLOT_BITS + GENERATION_BITS)) as usize & (MAX_SHARDS - 1)
    }

    #[inline]
    pub(crate) fn slot(self) -> usize {
        (self.0.get() >> GENERATION_BITS) as usize & (MAX_SLOTS - 1)
    }

    /// As the table counts them.
    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "a slot's number has 22 bits")]
    pub(crate) fn slot_number(self) -> u32 {
        self.slot() as u32
    }

    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "the low half is the generation")]
    pub(crate) fn generation(self) -> u32 {
        self.0.get() as u32
    }
}

impl fmt::Debug for ConnId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ConnId({self})")
    }
}

/// `shard.slot.generation`, for logs.
impl fmt::Display for ConnId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.shard(), self.slot(), self.generation())
    }
}

/// Names one watch for as long as the process lives; dead for ever once the watch is over.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct WatchId(pub(crate) ConnId);

impl WatchId {
    /// The number of the shard that has the watch, counted from 0.
    #[must_use]
    pub fn shard(self) -> usize {
        self.0.shard()
    }
}

impl fmt::Debug for WatchId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WatchId({self})")
    }
}

/// `shard.slot.generation`, for logs.
impl fmt::Display for WatchId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Names one listening address; the same on every shard that listens there.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
// The number and 1, so that "none" needs no room.
pub struct ListenerId(NonZeroU32);

const _: () = assert!(size_of::<Option<ListenerId>>() == 4);

impl ListenerId {
    /// The id with this number. Whoever adds listeners to a reactor chooses the numbers.
    ///
    /// # Panics
    /// If the number is `u32::MAX`, which none can have.
    #[must_use]
    pub const fn new(number: u32) -> Self {
        Self(NonZeroU32::MIN.checked_add(number).expect("a listener's number is below u32::MAX"))
    }

    /// What [`key`](Self::key) gave; `None` for 0.
    pub(crate) fn from_key(key: u32) -> Option<Self> {
        NonZeroU32::new(key).map(Self)
    }

    #[inline]
    pub(crate) fn key(self) -> u32 {
        self.0.get()
    }

    /// The number given to [`ListenerId::new`].
    #[must_use]
    pub const fn number(self) -> u32 {
        self.0.get() - 1
    }
}

impl fmt::Debug for ListenerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ListenerId({})", self.number())
    }
}

/// Names one timer of one shard; dead once the timer is done or stopped.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct TimerId {
    // Without it an id shown to the wrong loop could name another timer there.
    pub(crate) place: Place,
    pub(crate) id: shardpoll_timers::TimerId,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_survive_the_word() {
        let corners = [
            (0, 0, 1),
            (1023, 0, 1),
            (0, (1 << 22) - 1, 1),
            (1023, (1 << 22) - 1, u32::MAX),
            (5, 77, 9),
        ];
        for (shard, slot, generation) in corners {
            let id = ConnId::new(shard, slot, generation).expect("generation is not 0");
            assert_eq!(id.shard(), usize::from(shard));
            assert_eq!(id.slot(), slot as usize);
            assert_eq!(id.generation(), generation);
            assert_eq!(ConnId::from_key(id.key()), Some(id));
        }
    }

    #[test]
    fn the_wakers_key_names_no_connection() {
        assert_eq!(ConnId::from_key(0), None);
    }
}
