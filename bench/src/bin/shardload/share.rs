//! The share of one of several instances that run at the same time.
//!
//! Never: talks to the others; each knows its own by its number.
//!
//! Invariants:
//! 1. The shares of all instances add up to the whole, and no two have a connection in common.

use crate::failure::Failure;
use crate::outcome::Instance;

/// Which connections an instance has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Share {
    /// The number of its first.
    pub(crate) first: u64,
    pub(crate) count: usize,
    /// How many all instances have.
    pub(crate) all: usize,
}

/// Splits connections, and the rate by them: each connection has the same.
pub(crate) fn share(
    connections: usize,
    rate: Option<f64>,
    instance: Option<Instance>,
) -> Result<(Share, Option<f64>), Failure> {
    let Instance { number, of } = instance.unwrap_or(Instance { number: 1, of: 1 });
    if of > connections {
        return Err(Failure::Usage(format!(
            "--instance {number}/{of}: there are only --connections {connections} to share"
        )));
    }
    // 10 million of them at most, so that the product fits.
    let from = |number: usize| connections as u64 * number as u64 / of as u64;
    let (first, end) = (from(number - 1), from(number));
    let count = usize::try_from(end - first).expect("no more than connections");
    let rate = rate.map(|rate| rate * count as f64 / connections as f64);
    Ok((Share { first, count, all: connections }, rate))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_add_up_and_have_nothing_in_common() {
        for (connections, of) in [(1, 1), (10, 3), (7, 7), (1_000, 6), (10_000_000, 999)] {
            let (mut next, mut total) = (0, 0.0);
            for number in 1..=of {
                let instance = Some(Instance { number, of });
                let (share, rate) = share(connections, Some(5_000.0), instance).expect("enough");
                assert_eq!(share.first, next, "{number} of {of}");
                next += share.count as u64;
                total += rate.expect("there was one");
            }
            assert_eq!(next, connections as u64);
            assert!((total - 5_000.0_f64).abs() < 1e-6, "{total}");
        }
    }

    #[test]
    fn an_instance_without_a_connection_is_refused() {
        let error = share(2, None, Some(Instance { number: 1, of: 3 })).expect_err("too few");
        assert!(error.to_string().contains("--instance 1/3"), "{error}");
    }
}
