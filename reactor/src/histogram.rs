//! How long something takes, sorted into spans that double.
//!
//! Never: reads a clock.

use crate::counters::Count;
use shardpoll_timers::Tick;
use std::time::Duration;

/// Spans, the open one behind the last bound included.
const SPANS: usize = 26;

/// The first bound is 2 to this power, in nanoseconds.
const FIRST_BITS: u32 = 10;

/// How often something took how long.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Histogram {
    counts: [u64; SPANS],
    sum_nanos: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { counts: [0; SPANS], sum_nanos: 0 }
    }
}

impl Histogram {
    /// How often it took no longer than a bound and longer than the one before, by bound. Bounds
    /// are 1.024 us and its doubles up to 17 s; `None` stands for what took longer than all.
    pub fn spans(&self) -> impl Iterator<Item = (Option<Duration>, u64)> {
        let last = SPANS - 1;
        let bound =
            move |span: usize| (span < last).then(|| Duration::from_nanos(1 << FIRST_BITS << span));
        self.counts.iter().enumerate().map(move |(span, count)| (bound(span), *count))
    }

    /// How often it was measured.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// How long all took together.
    #[must_use]
    pub fn sum(&self) -> Duration {
        Duration::from_nanos(self.sum_nanos)
    }

    /// Adds what another has measured.
    pub fn add(&mut self, other: &Self) {
        for (sum, more) in self.counts.iter_mut().zip(other.counts) {
            *sum += more;
        }
        self.sum_nanos += other.sum_nanos;
    }

    #[cfg(test)]
    fn record(&mut self, nanos: u64) {
        self.counts[span_of(nanos)] += 1;
        self.sum_nanos = self.sum_nanos.saturating_add(nanos);
    }
}

/// A bound belongs to the span it ends.
#[inline]
fn span_of(nanos: u64) -> usize {
    let units = nanos.saturating_sub(1) >> FIRST_BITS;
    // How many bits it has, told from the place of the first of an odd number, which is never 0.
    ((units << 1 | 1).ilog2() as usize).min(SPANS - 1)
}

/// A [`Histogram`] that one thread adds to and any thread may read.
#[derive(Debug)]
pub(crate) struct Times {
    counts: [Count; SPANS],
    sum_nanos: Count,
}

impl Default for Times {
    fn default() -> Self {
        Self { counts: std::array::from_fn(|_| Count::default()), sum_nanos: Count::default() }
    }
}

impl Times {
    #[inline]
    pub(crate) fn record(&self, began: Tick, ended: Tick) {
        let nanos = ended.as_nanos().saturating_sub(began.as_nanos());
        self.counts[span_of(nanos)].add(1);
        self.sum_nanos.add(nanos);
    }

    pub(crate) fn read(&self) -> Histogram {
        Histogram {
            counts: std::array::from_fn(|span| self.counts[span].value()),
            sum_nanos: self.sum_nanos.value(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_belongs_to_the_span_it_ends() {
        for span in 0..SPANS - 1 {
            let bound = 1 << FIRST_BITS << span;
            assert_eq!((span_of(bound), span_of(bound + 1)), (span, (span + 1).min(SPANS - 1)));
        }
        assert_eq!((span_of(0), span_of(u64::MAX)), (0, SPANS - 1));
    }

    #[test]
    fn what_is_recorded_is_read_and_summed() {
        let times = Times::default();
        let mut plain = Histogram::default();
        for nanos in [0, 1024, 1025, 3_000_000, u64::MAX >> 8] {
            times.record(Tick::from_nanos(5), Tick::from_nanos(nanos + 5));
            plain.record(nanos);
        }
        assert_eq!(times.read(), plain);
        let mut twice = plain;
        twice.add(&plain);
        assert_eq!((twice.count(), twice.sum()), (10, 2 * plain.sum()));
        let filled: Vec<_> = plain.spans().filter(|(_, count)| *count > 0).collect();
        let bounds = [Some(1024), Some(2048), Some(1024 << 12), None];
        assert_eq!(filled.iter().map(|(_, count)| *count).collect::<Vec<_>>(), [2, 1, 1, 1]);
        assert_eq!(
            filled.iter().map(|(bound, _)| *bound).collect::<Vec<_>>(),
            bounds.map(|nanos| nanos.map(Duration::from_nanos))
        );
    }
}
