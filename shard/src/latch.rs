//! Who has ended, and who waits for it.
//!
//! Never: on the path of a byte.

use parking_lot::{Condvar, Mutex};
use std::sync::Arc;
use std::time::Duration;

/// Counts shards that have ended.
pub(crate) struct Latch {
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    running: usize,
    failed: bool,
}

impl Latch {
    pub(crate) fn new(running: usize) -> Self {
        let state = Mutex::new(State { running, failed: false });
        Self { state, changed: Condvar::new() }
    }

    /// A shard has ended.
    pub(crate) fn ended(&self, failed: bool) {
        let mut state = self.state.lock();
        state.running -= 1;
        state.failed |= failed;
        self.changed.notify_all();
    }

    /// Waits for this long, or until a shard has ended; whether all have.
    pub(crate) fn all_ended_within(&self, time: Duration) -> bool {
        let mut state = self.state.lock();
        if state.running > 0 {
            // Whichever of both it was, what counts is how many run.
            let _either = self.changed.wait_for(&mut state, time);
        }
        state.running == 0
    }

    /// Waits until all shards have ended or one has failed; true for the latter.
    pub(crate) fn wait(&self) -> bool {
        let mut state = self.state.lock();
        while state.running > 0 && !state.failed {
            self.changed.wait(&mut state);
        }
        state.failed
    }
}

/// Tells the latch of one shard's end, whatever ends it.
pub(crate) struct Ended {
    latch: Arc<Latch>,
    failed: bool,
}

impl Ended {
    pub(crate) fn new(latch: Arc<Latch>) -> Self {
        Self { latch, failed: true }
    }

    /// The shard ends in order.
    pub(crate) fn in_order(&mut self) {
        self.failed = false;
    }
}

impl Drop for Ended {
    fn drop(&mut self) {
        self.latch.ended(self.failed);
    }
}
