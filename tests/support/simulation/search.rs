//! Many worlds over several threads, until enough was seen or one breaks a promise.
//!
//! Never: plays; it hands seeds out and adds reports up.

use super::Report;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// When a search is over.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Enough {
    /// So many worlds were played.
    Seeds(u64),
    /// So many connections were made, over all worlds.
    Connections(u64),
}

/// Which seeds to try.
#[derive(Clone, Debug)]
pub struct Search {
    /// The first seed; the others follow it.
    pub first: u64,
    /// When to stop.
    pub enough: Enough,
    /// How many threads play, at least 1.
    pub threads: usize,
}

/// A world that broke a promise.
#[derive(Clone, Debug)]
pub struct Failure {
    /// What to play again.
    pub seed: u64,
    /// What may not be.
    pub violation: String,
}

/// What a search has found.
#[derive(Clone, Default, Debug)]
pub struct Outcome {
    /// Worlds that were played to their end.
    pub seeds: u64,
    /// The sum over them.
    pub sum: Report,
    /// The failure with the least seed, if any.
    pub failure: Option<Failure>,
}

/// Fresh seeds in each run, short enough to be typed.
#[must_use]
pub fn fresh_seed() -> u64 {
    fastrand::u64(1..1 << 48)
}

/// As many threads as the process may use at once.
#[must_use]
pub fn all_cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Plays until it is enough, or until a world breaks a promise.
///
/// # Panics
/// When a thread of the search itself panics.
#[must_use]
pub fn search(search: &Search, play: impl Fn(u64) -> Result<Report, String> + Sync) -> Outcome {
    let next = AtomicU64::new(0);
    let connections = AtomicU64::new(0);
    let over = AtomicBool::new(false);
    let outcome = Mutex::new(Outcome::default());
    let player = || {
        let mut own = Outcome::default();
        while !over.load(Ordering::Relaxed) {
            let count = next.fetch_add(1, Ordering::Relaxed);
            let wanted = match search.enough {
                Enough::Seeds(wanted) => count < wanted,
                Enough::Connections(wanted) => connections.load(Ordering::Relaxed) < wanted,
            };
            if !wanted {
                break;
            }
            let seed = search.first.wrapping_add(count);
            match play(seed) {
                Ok(report) => {
                    connections.fetch_add(report.connections, Ordering::Relaxed);
                    own.seeds += 1;
                    own.sum.add(&report);
                }
                Err(violation) => {
                    own.failure = Some(Failure { seed, violation });
                    over.store(true, Ordering::Relaxed);
                }
            }
        }
        outcome.lock().expect("no player panics while it adds").add(own);
    };
    std::thread::scope(|scope| {
        for _ in 0..search.threads.max(1) {
            scope.spawn(player);
        }
    });
    outcome.into_inner().expect("no player panics while it adds")
}

impl Outcome {
    fn add(&mut self, other: Self) {
        self.seeds += other.seeds;
        self.sum.add(&other.sum);
        let least = |failure: &Option<Failure>| failure.as_ref().map_or(u64::MAX, |f| f.seed);
        if least(&other.failure) < least(&self.failure) {
            self.failure = other.failure;
        }
    }
}
