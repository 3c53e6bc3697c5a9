//! From intervals and histograms to what a chart can hold: few points, and none of them hidden.
//!
//! Never: draws. Where seconds are put together, the worst of them is what remains of a latency.

use crate::outcome::Interval;
use hdrhistogram::Histogram;

/// A chart has so many columns at most; more could not be told apart.
pub(super) const MOST_POINTS: usize = 120;

/// Several intervals that follow each other, or one.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Point {
    pub(super) from: f64,
    pub(super) to: f64,
    /// Operations a second over all of it.
    pub(super) rate: f64,
    /// Of all bytes, both ways, a second.
    pub(super) bytes_per_second: f64,
    pub(super) connects_per_second: f64,
    pub(super) errors: u64,
    /// Of each, that of the worst interval.
    pub(super) p50_us: Option<f64>,
    pub(super) p99_us: Option<f64>,
    pub(super) max_us: Option<f64>,
    pub(super) uncorrected_p99_us: Option<f64>,
}

/// As few as needed, each of as many intervals as the others.
pub(super) fn points(intervals: &[Interval]) -> Vec<Point> {
    let each = intervals.len().div_ceil(MOST_POINTS).max(1);
    intervals.chunks(each).map(point).collect()
}

fn point(of: &[Interval]) -> Point {
    let from = of.first().map_or(0.0, |first| first.at_seconds);
    let to = of.last().map_or(from, |last| last.at_seconds + last.seconds);
    let seconds = of.iter().map(|interval| interval.seconds).sum::<f64>().max(f64::MIN_POSITIVE);
    let sum = |count: fn(&Interval) -> u64| of.iter().map(count).sum::<u64>();
    let a_second = |count: u64| if count == 0 { 0.0 } else { count as f64 / seconds };
    let worst =
        |figure: fn(&Interval) -> Option<f64>| of.iter().filter_map(figure).max_by(f64::total_cmp);
    Point {
        from,
        to,
        rate: a_second(sum(|interval| interval.operations)),
        bytes_per_second: a_second(sum(|interval| interval.sent_bytes + interval.received_bytes)),
        connects_per_second: a_second(sum(|interval| interval.connects)),
        errors: sum(|interval| interval.errors),
        p50_us: worst(|interval| interval.p50_us),
        p99_us: worst(|interval| interval.p99_us),
        max_us: worst(|interval| interval.max_us),
        uncorrected_p99_us: worst(|interval| interval.uncorrected_p99_us),
    }
}

/// Steps between two nines of a percentile curve.
const STEPS_PER_NINE: u32 = 32;

/// Nines, so 2 for 99 %, and the time in microseconds that so many were quicker than; ends with the
/// largest, at one of all.
pub(super) fn curve(histogram: &Histogram<u64>, most_nines: f64) -> Vec<(f64, f64)> {
    if histogram.is_empty() {
        return Vec::new();
    }
    let all = (histogram.len() as f64).log10();
    let steps = (0_u32..).map(|step| f64::from(step) / f64::from(STEPS_PER_NINE));
    let steps = steps.take_while(|&nines| nines < all && nines <= most_nines);
    let mut points = steps.map(|nines| (nines, 1.0 - 10_f64.powf(-nines))).peekable();
    let mut seen = 0_u64;
    let mut curve = Vec::new();
    for step in histogram.iter_recorded() {
        seen += step.count_since_last_iteration();
        let micros = step.value_iterated_to() as f64 / 1e3;
        let share = seen as f64 / histogram.len() as f64;
        while let Some((nines, _)) = points.next_if(|(_, wanted)| *wanted <= share) {
            curve.push((nines, micros));
        }
    }
    curve.extend((all <= most_nines).then(|| (all, histogram.max() as f64 / 1e3)));
    curve
}

/// Times that fall between two borders, and what share of all they are.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) struct Bucket {
    pub(super) from_us: f64,
    pub(super) to_us: f64,
    pub(super) share: f64,
}

/// Between two borders lies at least this factor, so that those of the histogram do not show.
const LEAST_FACTOR: f64 = 1.02;

const BUCKETS: i32 = 48;

/// Borders that all of these histograms fit between, but for their quickest thousandth; as far from
/// each other as logarithms tell.
pub(super) fn borders(histograms: &[&Histogram<u64>]) -> Vec<f64> {
    let filled = histograms.iter().filter(|histogram| !histogram.is_empty());
    let quick = |histogram: &&&Histogram<u64>| histogram.value_at_quantile(0.001).max(1);
    let smallest = filled.clone().map(|histogram| quick(&histogram)).min().unwrap_or(1);
    let largest = filled.map(|histogram| histogram.max()).max().unwrap_or(1);
    let (from, to) = (smallest as f64 / 1e3 * 0.999, largest as f64 / 1e3 * 1.001);
    let factor = (to / from).powf(1.0 / f64::from(BUCKETS)).max(LEAST_FACTOR);
    let mut borders = vec![from];
    for step in 1..=BUCKETS {
        let border = from * factor.powi(step);
        borders.push(border);
        if border >= to {
            break;
        }
    }
    borders
}

/// How the times of one histogram fall between them.
pub(super) fn buckets(histogram: &Histogram<u64>, borders: &[f64]) -> Vec<Bucket> {
    let mut counts = vec![0_u64; borders.len().saturating_sub(1)];
    for step in histogram.iter_recorded() {
        let micros = step.value_iterated_to() as f64 / 1e3;
        let above = borders.partition_point(|&border| border <= micros);
        let place = above.saturating_sub(1).min(counts.len().saturating_sub(1));
        if let Some(count) = counts.get_mut(place) {
            *count += step.count_since_last_iteration();
        }
    }
    let all = histogram.len().max(1) as f64;
    let bucket = |(pair, count): (&[f64], u64)| Bucket {
        from_us: pair[0],
        to_us: pair[1],
        share: count as f64 / all,
    };
    borders.windows(2).zip(counts).map(bucket).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample::{self, histogram as of};

    #[test]
    fn an_hour_of_seconds_becomes_few_points_that_hide_no_stall() {
        let mut intervals = sample::echo("plain", 3600).intervals;
        intervals[1801].p99_us = Some(5e6);
        intervals[1801].errors = 3;
        let points = points(&intervals);
        assert_eq!(points.len(), MOST_POINTS);
        assert_eq!((points[0].from, points[119].to), (0.0, 3600.0));
        assert_eq!(points.iter().filter(|point| point.p99_us == Some(5e6)).count(), 1);
        assert_eq!(points.iter().map(|point| point.errors).sum::<u64>(), 3);
        assert!(points.iter().all(|point| (48_000.0..54_000.0).contains(&point.rate)));
    }

    #[test]
    fn few_intervals_stay_as_they_are_and_none_are_none() {
        assert_eq!(points(&sample::echo("plain", 5).intervals).len(), 5);
        assert_eq!(points(&[]), []);
        let still =
            Interval { seconds: 0.0, operations: 0, ..sample::echo("a", 1).intervals[0].clone() };
        assert_eq!(point(&[still]).rate, 0.0);
    }

    #[test]
    fn a_curve_rises_to_the_largest() {
        let histogram = of((1..=10_000).map(|micros| micros * 1000));
        let curve = curve(&histogram, 7.0);
        assert!(curve.is_sorted_by(|a, b| a.0 < b.0 && a.1 <= b.1), "{curve:?}");
        let at = |nines: f64| curve.iter().find(|point| point.0 == nines).expect("a step").1;
        assert!((at(1.0) / 9_000.0 - 1.0).abs() < 0.002 && (at(2.0) / 9_900.0 - 1.0).abs() < 0.002);
        assert_eq!(curve.last(), Some(&(4.0, histogram.max() as f64 / 1e3)));
        assert_eq!(super::curve(&of([]), 7.0), []);
        assert_eq!(super::curve(&of([5_000]), 7.0).len(), 1);
        let lone = super::curve(&of((0..99).map(|_| 1_000).chain([9_000_000])), 7.0);
        assert!(lone.last().is_some_and(|&(nines, micros)| nines == 2.0 && micros > 8_900.0));
        assert!(super::curve(&histogram, 3.0).last().is_some_and(|&(nines, _)| nines == 3.0));
    }

    #[test]
    fn every_time_falls_between_two_borders() {
        for histogram in
            [of((1..5000).map(|step| step * step)), of([7]), of([0, 0]), of([u64::MAX / 4])]
        {
            let borders = borders(&[&histogram]);
            let buckets = buckets(&histogram, &borders);
            let all: f64 = buckets.iter().map(|bucket| bucket.share).sum();
            assert!((all - 1.0).abs() < 1e-9, "{all}");
            assert!(buckets.len() <= 48 && !buckets.is_empty());
        }
        assert_eq!(buckets(&of([]), &borders(&[])).iter().map(|it| it.share).sum::<f64>(), 0.0);
    }
}
