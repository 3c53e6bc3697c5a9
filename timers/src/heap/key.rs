//! [`Key`]: what the heap is ordered by, and whose it is.
//!
//! Never: changes; a timer that is armed anew gets a new key.
//!
//! Invariants:
//! 1. No two keys of one heap have the same `seq`, so no two are equal.

use crate::Tick;

#[derive(Clone, Copy)]
pub(super) struct Key {
    pub(super) due: Tick,
    /// The number of the arming: makes equal deadlines run in order (S22), and tells a turn's
    /// timers from those armed in it (S16). 64 bits last 584 years at one arming a nanosecond.
    pub(super) seq: u64,
    pub(super) slot: u32,
}

impl Key {
    pub(super) fn is_before(&self, other: &Self) -> bool {
        self.rank() < other.rank()
    }

    /// One wide number compares without a branch that depends on the data.
    fn rank(&self) -> u128 {
        (u128::from(self.due.as_nanos()) << 64) | u128::from(self.seq)
    }
}

/// The first of some siblings, and its place among them.
#[inline(always)]
pub(super) fn earliest(keys: &[Key]) -> Option<(usize, Key)> {
    let mut best = (0, *keys.first()?);
    for (offset, key) in keys.iter().enumerate().skip(1) {
        if key.is_before(&best.1) {
            best = (offset, *key);
        }
    }
    Some(best)
}
