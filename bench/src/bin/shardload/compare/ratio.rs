//! How much larger one set of values is than another, and how sure that is.
//!
//! The ratio is the median of the ratios of all pairs, one value from each side (the estimator of
//! Hodges and Lehmann, on logarithms), and its spread is the 95 % confidence interval that belongs
//! to it: pairs from the `k`-th smallest to the `k`-th largest, with `k` from the rank-sum test of
//! Mann and Whitney. It asks nothing of how the values are distributed, and a stall in one second
//! does not widen it without bounds. It does take the values of a side for independent of each
//! other; how one run differs from the next is not in them.
//!
//! Never: judges; `compare` does.

/// Fewer values on a side cannot say more than noise.
pub(super) const FEWEST: usize = 5;

/// Of the normal distribution, for 95 % on both sides.
const Z_95: f64 = 1.96;

/// What the other side is, as a multiple of the one.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) struct Ratio {
    pub(super) median: f64,
    pub(super) low: f64,
    pub(super) high: f64,
}

/// Nothing when there are too few on a side.
pub(super) fn ratio(before: &[f64], after: &[f64]) -> Option<Ratio> {
    if before.len().min(after.len()) < FEWEST {
        return None;
    }
    let one = |after: f64, before: f64| if after == before { 1.0 } else { after / before };
    let mut pairs: Vec<f64> = after
        .iter()
        .flat_map(|&after| before.iter().map(move |&before| one(after, before)))
        .collect();
    pairs.sort_by(f64::total_cmp);
    let (from, to) = (before.len() as f64, after.len() as f64);
    let spread = Z_95 * (from * to * (from + to + 1.0) / 12.0).sqrt();
    // From 1 on; five on both sides give 3, as the exact table of the test does.
    let beyond = from * to / 2.0 - spread;
    let rank = (1..=pairs.len()).take_while(|&rank| rank as f64 <= beyond).count().max(1);
    let (low, high) = (pairs.get(rank - 1)?, pairs.get(pairs.len() - rank)?);
    Some(Ratio { median: median(&pairs)?, low: *low, high: *high })
}

/// Of values in order.
fn median(sorted: &[f64]) -> Option<f64> {
    let (below, above) =
        (sorted.get((sorted.len().max(1) - 1) / 2)?, sorted.get(sorted.len() / 2)?);
    Some((below + above) / 2.0)
}

/// Of values in any order.
pub(super) fn median_of(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    median(&sorted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn five_on_each_side_use_the_third_pair_from_both_ends() {
        let before = [1.0, 1.0, 1.0, 1.0, 1.0];
        let ratio = ratio(&before, &[10.0, 11.0, 12.0, 13.0, 14.0]).expect("five are enough");
        // 25 pairs, five of each: the third from below is among the first five.
        assert_eq!(ratio, Ratio { median: 12.0, low: 10.0, high: 14.0 });
        assert_eq!(super::ratio(&before[1..], &before), None);
        assert_eq!(super::ratio(&before, &[]), None);
    }

    #[test]
    fn a_stall_in_one_second_moves_little() {
        let steady: Vec<f64> = (0..20).map(|step| 100.0 + f64::from(step % 4)).collect();
        let mut stalled = steady.clone();
        stalled[7] = 0.0;
        let ratio = ratio(&steady, &stalled).expect("twenty are enough");
        assert!((ratio.median - 1.0).abs() < 0.01 && ratio.low > 0.97 && ratio.high < 1.03);
    }

    #[test]
    fn what_is_the_same_is_called_different_in_one_of_twenty_at_most() {
        let mut random = fastrand::Rng::with_seed(3);
        let rounds = 1_000;
        for count in [5, 12, 25] {
            let mut side = || (0..count).map(|_| 50.0 + random.f64() * 10.0).collect::<Vec<_>>();
            let differ = (0..rounds).filter(|_| {
                let ratio = ratio(&side(), &side()).expect("enough");
                ratio.low > 1.0 || ratio.high < 1.0
            });
            let share = differ.count() as f64 / f64::from(rounds);
            assert!((0.02..0.07).contains(&share), "{count}: {share}");
        }
    }

    #[test]
    fn nothing_beside_nothing_is_the_same() {
        let ratio = ratio(&[0.0; 5], &[0.0; 5]).expect("five are enough");
        assert_eq!(ratio, Ratio { median: 1.0, low: 1.0, high: 1.0 });
    }
}
