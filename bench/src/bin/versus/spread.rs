//! Median and quartiles, and which rounds count.
//!
//! Never: drops a round for its result.

use serde::Serialize;

/// The middle of several measurements, and the middle half of them.
#[derive(Clone, Copy, PartialEq, Debug, Serialize)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) q1: f64,
    pub(crate) q3: f64,
}

impl Spread {
    /// Of at least one value.
    pub(crate) fn of(mut values: Vec<f64>) -> Self {
        values.sort_by(f64::total_cmp);
        let at = |quarter: usize| {
            let (place, rest) =
                (quarter * (values.len() - 1) / 4, quarter * (values.len() - 1) % 4);
            let above = values.get(place + 1).copied().unwrap_or(values[place]);
            values[place] + (above - values[place]) * rest as f64 / 4.0
        };
        Self { median: at(2), q1: at(1), q3: at(3) }
    }
}

/// The rounds that count for a row: those that nobody disturbed, if they are at least half of
/// them; else all.
pub(crate) fn that_count(disturbed: &[bool]) -> Vec<usize> {
    let quiet: Vec<_> = (0..disturbed.len()).filter(|&round| !disturbed[round]).collect();
    if 2 * quiet.len() >= disturbed.len() { quiet } else { (0..disturbed.len()).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quartiles_lie_between_the_values_they_divide() {
        let spread = Spread::of(vec![5.0, 1.0, 4.0, 2.0, 3.0]);
        assert_eq!(spread, Spread { median: 3.0, q1: 2.0, q3: 4.0 });
        let spread = Spread::of(vec![2.0, 1.0]);
        assert_eq!(spread, Spread { median: 1.5, q1: 1.25, q3: 1.75 });
        assert_eq!(Spread::of(vec![7.0]), Spread { median: 7.0, q1: 7.0, q3: 7.0 });
    }

    #[test]
    fn disturbed_rounds_are_dropped_only_while_half_remain() {
        assert_eq!(that_count(&[false, true, false, true]), [0, 2]);
        assert_eq!(that_count(&[false, true, true]), [0, 1, 2]);
        assert_eq!(that_count(&[true, true]), [0, 1]);
    }
}
