//! Where values lie on an axis, and where its ticks are.
//!
//! Never: draws.
//!
//! Invariants:
//! 1. `place` is from 0 to 1, whatever the value: nothing is drawn outside a chart.

use super::show;

/// One axis of a chart.
#[derive(Clone, Debug)]
pub(super) struct Axis {
    from: f64,
    to: f64,
    logarithmic: bool,
    pub(super) ticks: Vec<(f64, String)>,
}

/// More do not fit beside each other.
const MOST_TICKS: usize = 7;

impl Axis {
    /// From nothing to the largest, or a little more.
    pub(super) fn from_zero(largest: f64, label: fn(f64) -> String) -> Self {
        let largest = if largest.is_finite() && largest > 0.0 { largest } else { 1.0 };
        let step = steps(largest / 5.0).find(|step| largest / step <= 5.0).unwrap_or(largest);
        let count = (largest / step - 1e-9).ceil().max(1.0);
        let ticks = multiples(step, count);
        let ticks = ticks.map(|value| (value, label(value))).collect();
        Self { from: 0.0, to: step * count, logarithmic: false, ticks }
    }

    /// Logarithmic, for times; from a round value below the smallest to one above the largest.
    pub(super) fn of_times(smallest: f64, largest: f64) -> Self {
        let smallest = if smallest.is_finite() { smallest.max(1e-3) } else { 1.0 };
        let largest = if largest.is_finite() { largest.max(smallest) } else { smallest };
        let first = steps(smallest / 10.0).take_while(|&step| step <= smallest * 0.95);
        let from = first.last().unwrap_or(smallest);
        let mut round: Vec<f64> = Vec::new();
        for step in steps(from / 1.5) {
            round.push(step);
            if step >= largest * 0.999 && round.len() > 1 {
                break;
            }
        }
        let to = round.last().copied().unwrap_or(largest);
        if round.len() > MOST_TICKS {
            round.retain(|value| value.log10().fract().abs() < 1e-6);
        }
        let every = round.len().div_ceil(MOST_TICKS).max(1);
        let ticks = round.into_iter().step_by(every);
        let ticks = ticks.map(|value| (value, show::round_time(value))).collect();
        Self { from, to, logarithmic: true, ticks }
    }

    /// As [`Axis::of_times`], but from one of these times to the other, and no farther.
    pub(super) fn of_times_within(from: f64, to: f64) -> Self {
        let axis = Self::of_times(from, to);
        let within = |(value, _): &(f64, String)| (from..=to).contains(value);
        let mut ticks: Vec<_> = axis.ticks.into_iter().filter(within).collect();
        if ticks.len() < 2 {
            ticks = vec![(from, show::micro(from)), (to, show::micro(to))];
        }
        Self { from, to, logarithmic: true, ticks }
    }

    /// Seconds of a run, to its very end.
    pub(super) fn of_seconds(end: f64) -> Self {
        let end = if end.is_finite() && end > 0.0 { end } else { 1.0 };
        let round =
            [15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 900.0, 1800.0, 3600.0, 7200.0, 21_600.0];
        let below = steps(end / 10.0).take_while(|&step| step < 15.0);
        let step = below
            .chain(round)
            .find(|step| end / step <= 7.0)
            .unwrap_or_else(|| (end / 5.0 / 86_400.0).ceil() * 86_400.0);
        // A run hardly ends on the very millisecond.
        let ticks = multiples(step, (end / step + 0.05).floor());
        let ticks = ticks.map(|value| (value, show::seconds(value, end))).collect();
        Self { from: 0.0, to: end, logarithmic: false, ticks }
    }

    /// Percentiles, each nine as far from the one before, up to what so many values can tell.
    pub(super) fn of_nines(count: u64) -> Self {
        let nines = (count.max(20) as f64).log10().min(7.0);
        let names = ["50", "90", "99", "99.9", "99.99", "99.999", "99.9999", "99.99999"];
        let places = std::iter::once(0.5_f64.log10().abs()).chain((1..=7).map(f64::from));
        let ticks = places.zip(names.map(String::from));
        let ticks = ticks.filter(|(place, _)| *place <= nines).collect();
        Self { from: 0.0, to: nines, logarithmic: false, ticks }
    }

    pub(super) fn place(&self, value: f64) -> f64 {
        let scale = |value: f64| if self.logarithmic { value.max(1e-9).log10() } else { value };
        let (from, to) = (scale(self.from), scale(self.to));
        let share = (scale(value) - from) / (to - from);
        if share.is_finite() { share.clamp(0.0, 1.0) } else { 0.0 }
    }

    pub(super) fn end(&self) -> f64 {
        self.to
    }
}

/// From nothing on.
fn multiples(step: f64, count: f64) -> impl Iterator<Item = f64> {
    (0_u32..=1000).map(f64::from).take_while(move |&place| place <= count).map(move |it| it * step)
}

/// 1, 2, 5, 10, 20 and so on, from the first that is not below.
fn steps(from: f64) -> impl Iterator<Item = f64> {
    let decade = if from > 0.0 { from.log10().floor() } else { 0.0 };
    let decades = (0_u32..40).map(move |up| 10_f64.powf(decade + f64::from(up)));
    let steps = decades.flat_map(|decade| [decade, 2.0 * decade, 5.0 * decade]);
    steps.skip_while(move |&step| step < from * 0.999_999)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(axis: &Axis) -> Vec<&str> {
        axis.ticks.iter().map(|(_, label)| label.as_str()).collect()
    }

    #[test]
    fn a_linear_axis_begins_with_nothing_and_has_round_ticks() {
        let axis = Axis::from_zero(51_234.0, show::short);
        assert_eq!(labels(&axis), ["0", "20k", "40k", "60k"]);
        assert_eq!((axis.place(0.0), axis.place(30_000.0), axis.place(1e9)), (0.0, 0.5, 1.0));
        assert_eq!(labels(&Axis::from_zero(0.0, show::short)).len(), 6);
        assert!(labels(&Axis::from_zero(f64::NAN, show::short)).len() > 1);
    }

    #[test]
    fn an_axis_of_times_spans_what_there_is_and_a_little_more() {
        let axis = Axis::of_times(310.0, 2_100.0);
        assert_eq!(labels(&axis), ["200 µs", "500 µs", "1 ms", "2 ms", "5 ms"]);
        assert!(axis.place(310.0) > 0.0 && axis.place(2_100.0) < 1.0);
        let wide = Axis::of_times(2.5, 9_000_000.0);
        let decades = ["10 µs", "100 µs", "1 ms", "10 ms", "100 ms", "1 s", "10 s"];
        assert_eq!(labels(&wide), decades);
        for (smallest, largest) in
            [(1.0, 1.0), (0.0, 0.0), (5.0, 1.0), (f64::INFINITY, 0.0), (0.001, 6e8), (1e3, 1e3)]
        {
            let axis = Axis::of_times(smallest, largest);
            assert!((2..=MOST_TICKS).contains(&axis.ticks.len()), "{smallest} {largest}: {axis:?}");
            assert!(axis.to > axis.from, "{axis:?}");
        }
    }

    #[test]
    fn an_axis_within_two_times_names_at_least_both() {
        let axis = Axis::of_times_within(120.0, 9_000.0);
        assert_eq!(labels(&axis), ["200 µs", "500 µs", "1 ms", "2 ms", "5 ms"]);
        assert_eq!((axis.place(120.0), axis.place(9_000.0)), (0.0, 1.0));
        assert_eq!(
            labels(&Axis::of_times_within(1_100.0, 1_300.0)),
            ["1.10\u{a0}ms", "1.30\u{a0}ms"]
        );
    }

    #[test]
    fn seconds_have_ticks_at_times_that_people_use() {
        assert_eq!(labels(&Axis::of_seconds(5.0)), ["0", "1 s", "2 s", "3 s", "4 s", "5 s"]);
        assert_eq!(labels(&Axis::of_seconds(0.2)).last(), Some(&"0.2 s"));
        let hour = Axis::of_seconds(3600.0);
        assert_eq!(
            labels(&hour),
            ["0", "10 min", "20 min", "30 min", "40 min", "50 min", "60 min"]
        );
        assert_eq!(labels(&Axis::of_seconds(100.0)).last(), Some(&"90 s"));
        assert_eq!(labels(&Axis::of_seconds(4.96)).last(), Some(&"5 s"));
        for end in [0.0, 0.001, 1.0, 17.3, 61.0, 100_000.0, 1e7, f64::NAN] {
            let axis = Axis::of_seconds(end);
            assert!((2..=8).contains(&axis.ticks.len()), "{end}: {axis:?}");
        }
    }

    #[test]
    fn percentiles_go_as_far_as_their_count_can_tell() {
        assert_eq!(labels(&Axis::of_nines(500)), ["50", "90", "99"]);
        assert_eq!(labels(&Axis::of_nines(99)), ["50", "90"]);
        assert_eq!(labels(&Axis::of_nines(0)), ["50", "90"]);
        assert_eq!(labels(&Axis::of_nines(u64::MAX)).len(), 8);
    }
}
