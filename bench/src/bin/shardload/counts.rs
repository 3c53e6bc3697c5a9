//! A histogram that is being filled: as many counts as an HdrHistogram of our bounds has.
//!
//! Recording is a quarter of what a [`Histogram`] takes, which looks at more than its place; and of
//! a generator that is to be no limit every message records. Whoever wants to know more makes a
//! [`Histogram`] of it.
//!
//! Never: read while it is filled.
//!
//! Invariants:
//! 1. [`Counts::histogram`] says what one would in which each time was recorded.

use hdrhistogram::Histogram;

/// Times are kept up to 10 minutes, with three digits.
const LONGEST_NANOS: u64 = 600_000_000_000;

/// A histogram of nanoseconds; all of this program have the same bounds, so that they add up.
pub(crate) fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, LONGEST_NANOS, 3).expect("the bounds are constants that fit")
}

/// Three digits are kept by this many bits: what is below 2,048 is kept as it is, from there on
/// each power of two in 1,024 steps.
const BITS: u32 = 10;
const STEPS: usize = 1 << BITS;

/// Up to the place of the longest time.
const PLACES: usize = place(LONGEST_NANOS) + 1;

/// Of times in nanoseconds.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Counts(Box<[u64]>);

#[inline(always)]
const fn place(nanos: u64) -> usize {
    let shift = (nanos | STEPS as u64).ilog2() - BITS;
    #[expect(clippy::cast_possible_truncation, reason = "fewer than 2,048 are left of it")]
    let step = (nanos >> shift) as usize;
    shift as usize * STEPS + step
}

impl Counts {
    pub(crate) fn new() -> Self {
        Self(vec![0; PLACES].into())
    }

    /// Counts a time; one beyond the bounds as the bound.
    #[inline(always)]
    pub(crate) fn record(&mut self, nanos: u64) {
        self.0[place(nanos.clamp(1, LONGEST_NANOS))] += 1;
    }

    pub(crate) fn add(&mut self, other: &Self) {
        for (sum, more) in self.0.iter_mut().zip(&other.0) {
            *sum += more;
        }
    }

    /// The same as others know it.
    pub(crate) fn histogram(&self) -> Histogram<u64> {
        let mut histogram = histogram();
        for (place, &count) in self.0.iter().enumerate().filter(|(_, count)| **count > 0) {
            let shift = (place / STEPS).saturating_sub(1);
            let nanos = ((place - shift * STEPS) as u64) << shift;
            histogram.record_n(nanos, count).expect("it is within the bounds");
        }
        histogram
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_say_what_recording_each_time_would_have_said() {
        let (mut counts, mut whole) = (Counts::new(), histogram());
        let mut random = fastrand::Rng::with_seed(7);
        let edges = (0..41).flat_map(|bit| [(1 << bit) - 1, 1 << bit, (1 << bit) + 1]);
        let drawn = std::iter::repeat_with(|| random.u64(..) >> random.u32(20..64)).take(100_000);
        let bounds = [0, 1, LONGEST_NANOS, LONGEST_NANOS + 1, u64::MAX];
        for nanos in edges.chain(drawn.collect::<Vec<_>>()).chain(bounds) {
            counts.record(nanos);
            whole.saturating_record(nanos.clamp(1, LONGEST_NANOS));
        }
        assert_same(&counts.histogram(), &whole);
        let mut twice = counts.clone();
        twice.add(&counts);
        whole.add(whole.clone()).expect("the same bounds");
        assert_same(&twice.histogram(), &whole);
    }

    fn assert_same(one: &Histogram<u64>, other: &Histogram<u64>) {
        let figures = |of: &Histogram<u64>| (of.len(), of.min(), of.max(), of.mean().to_bits());
        assert_eq!(figures(one), figures(other));
        for (one, other) in one.iter_all().zip(other.iter_all()) {
            assert_eq!(one.value_iterated_to(), other.value_iterated_to());
            assert_eq!(one.count_at_value(), other.count_at_value(), "{}", one.value_iterated_to());
        }
    }
}
