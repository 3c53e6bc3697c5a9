//! Going round and round: whatever is compared has a short window in every round, so that whatever
//! else this machine does, it does to all. Then median and quartiles, and which rounds count.
//!
//! Every other round goes the other way round. The first is for warming up, and is not counted.
//!
//! Never: drops a round for its result.

use serde::Serialize;

/// Goes over all of them, so many times and once more; gives what `window` has given, for each.
///
/// # Errors
/// The first that `window` gives.
pub fn go_round<T, W, E>(
    all: &mut [T],
    rounds: u32,
    mut window: impl FnMut(&mut T) -> Result<W, E>,
) -> Result<Vec<Vec<W>>, E> {
    let mut windows: Vec<Vec<W>> = all.iter().map(|_| Vec::new()).collect();
    for round in 0..=rounds {
        for turn in 0..all.len() {
            let at = if round % 2 == 0 { turn } else { all.len() - 1 - turn };
            let window = window(&mut all[at])?;
            if round > 0 {
                windows[at].push(window);
            }
        }
    }
    Ok(windows)
}

/// The middle of several measurements, and the middle half of them.
#[derive(Clone, Copy, PartialEq, Debug, Serialize)]
pub struct Spread {
    /// The second quartile.
    pub median: f64,
    /// The first one.
    pub q1: f64,
    /// The third one.
    pub q3: f64,
}

impl Spread {
    /// Of at least one value.
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    pub fn of(mut values: Vec<f64>) -> Self {
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
#[must_use]
pub fn that_count(disturbed: &[bool]) -> Vec<usize> {
    let quiet: Vec<_> = (0..disturbed.len()).filter(|&round| !disturbed[round]).collect();
    if 2 * quiet.len() >= disturbed.len() { quiet } else { (0..disturbed.len()).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_other_round_goes_the_other_way_and_the_first_does_not_count() {
        let mut order = Vec::new();
        let windows = go_round(&mut ['a', 'b', 'c'], 2, |name| {
            order.push(*name);
            Ok::<_, ()>(order.len())
        });
        assert_eq!(order, ['a', 'b', 'c', 'c', 'b', 'a', 'a', 'b', 'c']);
        assert_eq!(windows.expect("none failed"), [[6, 7], [5, 8], [4, 9]]);
    }

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
