//! [`TimerId`]: the name of one timer, for as long as its heap lives.
//!
//! Never: points into memory, or names a second timer of the same heap.
//!
//! Invariants:
//! 1. The generation is never 0, so an id is never 0 and `Option<TimerId>` needs no extra space.
//! 2. A (slot, generation) pair is given out at most once by one heap.

use std::fmt;
use std::num::{NonZeroU32, NonZeroU64};

/// Names one timer: 8 bytes, and so is `Option<TimerId>`.
///
/// The id stays the same while its timer is armed again after a run, and is dead for ever once the
/// timer was removed or retired: no later timer of the same heap gets it (S12). It means nothing to
/// another heap.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TimerId(NonZeroU64);

const _: () = assert!(size_of::<Option<TimerId>>() == 8);

impl TimerId {
    pub(crate) fn new(generation: NonZeroU32, slot: u32) -> Self {
        let word = (u64::from(generation.get()) << 32) | u64::from(slot);
        Self(NonZeroU64::new(word).expect("its upper half, the generation, is not 0"))
    }

    #[expect(clippy::cast_possible_truncation, reason = "the lower half is the slot")]
    pub(crate) const fn slot(self) -> u32 {
        self.0.get() as u32
    }

    pub(crate) const fn generation(self) -> u32 {
        (self.0.get() >> 32) as u32
    }
}

impl fmt::Debug for TimerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TimerId({}v{})", self.slot(), self.generation())
    }
}
