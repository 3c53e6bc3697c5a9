//! What of two runs is compared: figures of their seconds, and figures that a run has once.
//!
//! Never: compares what has not the same unit.

use super::ratio::{FEWEST, median_of, ratio};
use crate::outcome::{Interval, Run, Workload};
use crate::report::show::{bytes, grouped, number, time};
use serde::Serialize;

/// One figure of both; the names are those of the JSON, and stay.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Compared {
    pub(super) figure: &'static str,
    #[serde(skip)]
    show: fn(f64) -> String,
    /// Of the seconds, their median.
    pub(super) before: f64,
    pub(super) after: f64,
    pub(super) ratio: Option<f64>,
    pub(super) low: Option<f64>,
    pub(super) high: Option<f64>,
    pub(super) verdict: Verdict,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Verdict {
    Faster,
    Slower,
    Noise,
    /// Fewer seconds than a spread can be got from.
    TooFew,
    /// A run has it once, so nothing says how it moves.
    Once,
}

impl Verdict {
    pub(super) fn words(self) -> &'static str {
        match self {
            Self::Faster => "faster",
            Self::Slower => "slower",
            Self::Noise => "noise",
            Self::TooFew => "too few seconds to tell",
            Self::Once => "",
        }
    }
}

impl Compared {
    pub(super) fn show(&self, value: f64) -> String {
        (self.show)(value)
    }
}

/// A figure that every second has.
struct Moving {
    name: &'static str,
    of: fn(&Interval) -> Option<f64>,
    show: fn(f64) -> String,
    more_is_faster: bool,
    on: fn(&Run) -> bool,
}

const MOVING: [Moving; 6] = [
    Moving {
        name: "operations/s",
        of: |interval| Some(interval.operations as f64 / interval.seconds),
        show: number,
        more_is_faster: true,
        on: |run| !matches!(run.workload, Workload::Idle | Workload::Bulk),
    },
    Moving {
        name: "MB/s sent",
        of: |interval| Some(interval.sent_bytes as f64 / interval.seconds / 1e6),
        show: number,
        more_is_faster: true,
        on: |run| run.workload == Workload::Bulk && run.sent_megabytes_per_second > 0.0,
    },
    Moving {
        name: "MB/s received",
        of: |interval| Some(interval.received_bytes as f64 / interval.seconds / 1e6),
        show: number,
        more_is_faster: true,
        on: |run| run.workload == Workload::Bulk && run.received_megabytes_per_second > 0.0,
    },
    Moving {
        name: "p50",
        of: |interval| interval.p50_us,
        show: time,
        more_is_faster: false,
        on: |_| true,
    },
    Moving {
        name: "p99",
        of: |interval| interval.p99_us,
        show: time,
        more_is_faster: false,
        on: |_| true,
    },
    Moving {
        name: "max",
        of: |interval| interval.max_us,
        show: time,
        more_is_faster: false,
        on: |_| true,
    },
];

type Once = (&'static str, fn(&Run) -> Option<f64>, fn(f64) -> String);

const ONCE: [Once; 8] = [
    ("connects/s", |run| run.connects_per_second, number),
    ("p99 of the whole run", |run| Some(run.latency.as_ref()?.p99_us), time),
    ("p99.9 of the whole run", |run| Some(run.latency.as_ref()?.p99_9_us), time),
    ("handshake p50", |run| Some(run.handshake.as_ref()?.p50_us), time),
    ("server CPU each", |run| run.server.as_ref()?.cpu_us_per_operation, time),
    ("server memory each", |run| run.server.as_ref()?.memory_per_connection_bytes, bytes),
    ("generator CPU each", |run| run.client.cpu_us_per_operation, time),
    ("errors", |run| Some((run.errors.total + run.errors.lost) as f64), grouped),
];

/// All that both runs have.
pub(super) fn compared(before: &Run, after: &Run) -> Vec<Compared> {
    let moving = MOVING.iter().filter(|moving| (moving.on)(before) && (moving.on)(after));
    let mut all: Vec<_> = moving.filter_map(|moving| seconds(moving, before, after)).collect();
    all.extend(ONCE.iter().filter_map(|&(figure, of, show)| {
        let (before, after) = (of(before)?, of(after)?);
        let ratio = if before == after { 1.0 } else { after / before };
        // None of an error is not a multiple of some.
        let ratio = ratio.is_finite().then_some(ratio);
        let verdict = Verdict::Once;
        Some(Compared { figure, show, before, after, ratio, low: None, high: None, verdict })
    }));
    all
}

fn seconds(moving: &Moving, before: &Run, after: &Run) -> Option<Compared> {
    let values = |run| whole(run).filter_map(moving.of).collect::<Vec<_>>();
    let (old, new) = (values(before), values(after));
    let ratio = ratio(&old, &new);
    let verdict = match ratio {
        None => Verdict::TooFew,
        Some(ratio) if ratio.low <= 1.0 && ratio.high >= 1.0 => Verdict::Noise,
        Some(ratio) if (ratio.low > 1.0) == moving.more_is_faster => Verdict::Faster,
        Some(_) => Verdict::Slower,
    };
    Some(Compared {
        figure: moving.name,
        show: moving.show,
        before: median_of(&old)?,
        after: median_of(&new)?,
        ratio: ratio.map(|ratio| ratio.median),
        low: ratio.map(|ratio| ratio.low),
        high: ratio.map(|ratio| ratio.high),
        verdict,
    })
}

/// The intervals of a run but for a piece at its end.
fn whole(run: &Run) -> impl Iterator<Item = &Interval> {
    let longest = run.intervals.iter().map(|interval| interval.seconds).fold(0.0, f64::max);
    run.intervals.iter().filter(move |it| it.seconds > 0.0 && it.seconds >= longest / 2.0)
}

/// How many seconds there must be.
pub(super) const SECONDS: usize = FEWEST;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample;

    fn verdict(all: &[Compared], figure: &str) -> Verdict {
        all.iter().find(|one| one.figure == figure).expect(figure).verdict
    }

    #[test]
    fn a_run_beside_itself_is_noise() {
        let run = sample::open("TLS", 20);
        let all = compared(&run, &run);
        for figure in ["operations/s", "p50", "p99", "max"] {
            assert_eq!(verdict(&all, figure), Verdict::Noise, "{figure}");
        }
        assert!(all.iter().all(|one| one.ratio == Some(1.0)), "{all:#?}");
    }

    #[test]
    fn more_operations_are_faster_and_more_time_is_slower() {
        let before = sample::echo("plain", 20);
        let mut after = before.clone();
        for interval in &mut after.intervals {
            interval.operations = interval.operations * 12 / 10;
            interval.p50_us = interval.p50_us.map(|p50| p50 * 1.2);
        }
        let all = compared(&before, &after);
        assert_eq!(verdict(&all, "operations/s"), Verdict::Faster);
        assert_eq!(verdict(&all, "p50"), Verdict::Slower);
        assert_eq!(verdict(&all, "p99"), Verdict::Noise);
        let back = compared(&after, &before);
        assert_eq!(verdict(&back, "operations/s"), Verdict::Slower);
        assert_eq!(verdict(&back, "p50"), Verdict::Faster);
    }

    #[test]
    fn few_seconds_tell_nothing_and_a_piece_at_the_end_is_none() {
        let mut run = sample::echo("plain", 5);
        assert_eq!(verdict(&compared(&run, &run), "p99"), Verdict::Noise);
        run.intervals[4].seconds = 0.01;
        let all = compared(&run, &run);
        assert_eq!(verdict(&all, "p99"), Verdict::TooFew);
        assert!(all[0].before < 60_000.0, "{all:#?}");
    }

    #[test]
    fn runs_without_anything_have_nothing_to_compare_but_errors() {
        let run = sample::empty("nothing", Workload::Echo);
        let all = compared(&run, &run);
        assert_eq!(all.iter().map(|one| one.figure).collect::<Vec<_>>(), ["errors"]);
        let mut failed = run.clone();
        failed.errors.total = 3;
        assert_eq!(compared(&run, &failed)[0].ratio, None);
    }
}
