//! How far each shard is, who has ended, and who waits for it.
//!
//! Never: on the path of a byte.

use parking_lot::{Condvar, Mutex};
use shardpoll_reactor::{EngineState, ShardReport};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

/// The states by number, as shards write them.
const STATES: [EngineState; 4] = [
    EngineState::Serving,
    EngineState::DrainingAccepting,
    EngineState::DrainingRefusing,
    EngineState::Closed,
];

/// Counts shards that have ended, and knows how far the others are.
pub(crate) struct Latch {
    ends: Mutex<Ends>,
    changed: Condvar,
    /// By shard; each is written by its own.
    states: Box<[AtomicU8]>,
}

struct Ends {
    running: usize,
    failed: bool,
    reports: Vec<ShardReport>,
}

impl Latch {
    pub(crate) fn new(shards: usize) -> Self {
        let reports = vec![ShardReport::default(); shards];
        let ends = Mutex::new(Ends { running: shards, failed: false, reports });
        let states = (0..shards).map(|_| AtomicU8::new(EngineState::Serving as u8)).collect();
        Self { ends, changed: Condvar::new(), states }
    }

    /// Waits for this long, or until a shard has ended; whether all have.
    pub(crate) fn all_ended_within(&self, time: Duration) -> bool {
        let mut ends = self.ends.lock();
        if ends.running > 0 {
            // Whichever of both it was, what counts is how many run.
            let _either = self.changed.wait_for(&mut ends, time);
        }
        ends.running == 0
    }

    /// Waits until all shards have ended, and gives what they report; `None` as soon as one has
    /// failed.
    pub(crate) fn wait(&self) -> Option<Vec<ShardReport>> {
        let mut ends = self.ends.lock();
        while ends.running > 0 && !ends.failed {
            self.changed.wait(&mut ends);
        }
        (!ends.failed).then(|| ends.reports.clone())
    }

    /// How far one shard is; one that never was is closed.
    pub(crate) fn state_of(&self, shard: usize) -> EngineState {
        let state = self.states.get(shard).map(|state| state.load(Ordering::Acquire));
        let state = state.and_then(|state| STATES.get(usize::from(state)));
        state.copied().unwrap_or(EngineState::Closed)
    }

    /// How far the engine is: as far as the shard that is least far.
    pub(crate) fn state(&self) -> EngineState {
        let each = (0..self.states.len()).map(|shard| self.state_of(shard));
        each.min().unwrap_or(EngineState::Closed)
    }
}

/// Tells the latch how far one shard is, and of its end, whatever ends it.
pub(crate) struct Ended {
    latch: Arc<Latch>,
    shard: usize,
    known: EngineState,
    report: Option<ShardReport>,
}

impl Ended {
    pub(crate) fn new(latch: Arc<Latch>, shard: usize) -> Self {
        Self { latch, shard, known: EngineState::Serving, report: None }
    }

    /// The shard is this far; whether that is new.
    #[inline]
    pub(crate) fn note(&mut self, state: EngineState) -> bool {
        let changed = state != self.known;
        if changed {
            self.known = state;
            self.latch.states[self.shard].store(state as u8, Ordering::Release);
        }
        changed
    }

    /// Whether the shard was not on its way out when it was last asked.
    #[inline]
    pub(crate) fn is_serving(&self) -> bool {
        self.known == EngineState::Serving
    }

    /// The shard ends in order.
    pub(crate) fn in_order(&mut self, report: ShardReport) {
        self.report = Some(report);
    }
}

impl Drop for Ended {
    fn drop(&mut self) {
        self.note(EngineState::Closed);
        let mut ends = self.latch.ends.lock();
        ends.running -= 1;
        match self.report {
            Some(report) => ends.reports[self.shard] = report,
            None => ends.failed = true,
        }
        self.latch.changed.notify_all();
    }
}
