//! The double of `shard/src/sync.rs`, over the atomics of whichever library is `super::lib`.
//!
//! A fence knows which it is by who asks: the shard has one, in `park`, senders the other.

use super::lib;
use crate::planted::{Bug, is_planted};

pub(crate) use super::channel::{Receiver, Sender, TrySendError, bounded, unbounded};
pub(crate) use super::lib::{AtomicUsize, Ordering};
pub(crate) use std::sync::Arc;

/// Whether the world has failed: what is dropped now is in no world any more.
pub(crate) fn is_over() -> bool {
    std::thread::panicking()
}

/// The flag.
pub(crate) struct AtomicBool(lib::AtomicBool);

impl AtomicBool {
    pub(crate) fn new(value: bool) -> Self {
        Self(lib::AtomicBool::new(value))
    }

    pub(crate) fn load(&self, order: Ordering) -> bool {
        self.0.load(order)
    }

    pub(crate) fn store(&self, value: bool, order: Ordering) {
        if !is_over() {
            lib::store(&self.0, value, order);
        }
    }

    pub(crate) fn swap(&self, value: bool, order: Ordering) -> bool {
        if is_planted(Bug::FlagNotTaken) {
            return self.0.load(Ordering::Acquire);
        }
        self.0.swap(value, order)
    }
}

pub(crate) fn fence(order: Ordering) {
    if is_over() {
        return;
    }
    let bug = if super::play::is_shard() { Bug::NoFenceInPark } else { Bug::NoFenceInWake };
    if !is_planted(bug) {
        lib::fence(order);
    }
}
