//! The last two minutes of a server, a sample a second.
//!
//! Never: asks for a sample by itself.

use shardpoll::{Counters, ListenerCounters, ListenerId, Snapshot};
use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// How many samples are kept.
const KEPT: usize = 121;

/// What had been counted at a time.
#[derive(Clone, Debug)]
pub(super) struct Sample {
    /// Since the server began.
    at: Duration,
    /// Of the listener that serves.
    pub(super) served: ListenerCounters,
    /// By the shard's number.
    pub(super) shards: Vec<Counters>,
}

#[derive(Default)]
pub(super) struct History(Mutex<VecDeque<Sample>>);

impl History {
    pub(super) fn add(&self, at: Duration, snapshot: &Snapshot, listener: ListenerId) {
        let sample = Sample {
            at,
            served: snapshot.listener(listener).unwrap_or_default(),
            shards: snapshot.shards.iter().map(|shard| shard.counters).collect(),
        };
        let mut samples = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if samples.len() == KEPT {
            samples.pop_front();
        }
        samples.push_back(sample);
    }

    /// The oldest first.
    pub(super) fn samples(&self) -> Vec<Sample> {
        let samples = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        samples.iter().cloned().collect()
    }
}

impl Sample {
    pub(super) fn bytes_in(&self) -> u64 {
        self.shards.iter().map(|shard| shard.bytes_in).sum()
    }

    pub(super) fn bytes_out(&self) -> u64 {
        self.shards.iter().map(|shard| shard.bytes_out).sum()
    }

    /// How much of something there was a second, since an earlier sample.
    pub(super) fn rate(&self, since: &Self, of: impl Fn(&Self) -> u64) -> f64 {
        let time = self.at.saturating_sub(since.at);
        per_second(of(self).saturating_sub(of(since)), time)
    }
}

#[expect(clippy::cast_precision_loss, reason = "a figure to look at")]
fn per_second(count: u64, time: Duration) -> f64 {
    if time.is_zero() { 0.0 } else { count as f64 / time.as_secs_f64() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_what_was_added_by_the_time() {
        let mut counters = Counters::default();
        let at = Duration::from_secs(7);
        let first = Sample { at, served: ListenerCounters::default(), shards: vec![counters] };
        counters.bytes_in = 3000;
        let then = at + Duration::from_secs(2);
        let later = Sample { at: then, shards: vec![counters, counters], ..first.clone() };
        let rate = later.rate(&first, Sample::bytes_in);
        assert!((rate - 3000.0).abs() < 1e-6, "{rate}");
        // Nothing was measured in no time.
        assert_eq!(first.rate(&first, Sample::bytes_in).to_bits(), 0);
        assert_eq!(first.rate(&later, Sample::bytes_in).to_bits(), 0);
    }

    #[test]
    fn two_minutes_are_kept() {
        let history = History::default();
        for _ in 0..200 {
            history.add(Duration::ZERO, &Snapshot::default(), ListenerId::new(0));
        }
        assert_eq!(history.samples().len(), KEPT);
    }
}
