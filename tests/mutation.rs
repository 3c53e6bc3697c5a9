//! TLS connections whose bytes are changed on the way: the seeds that once failed, and fresh ones.
//!
//! The command `mutate` plays the same cases by the thousand.

use shardpoll_tests::mutation::{Found, Hunt, Until, hunt, play};
use shardpoll_tests::simulation::fresh_seed;
use std::time::Duration;

/// Seeds that broke a promise when they were found, or were thought to. What a seed means changes
/// with the cases; what it once showed is then to be found in the tests that are named.
const ONCE_FAILED: [u64; 1] = [
    // The engine's last words lay unread: the judge was wrong.
    25_309_293_480_080,
];

fn hunt_of(first: u64, seeds: u64) -> Found {
    let hangs = |seed| panic!("seed {seed} takes too long");
    let hangs: (Duration, fn(u64)) = (Duration::from_secs(60), hangs);
    hunt(&Hunt { first, until: Until::Seeds(seeds), threads: 2, hangs })
}

#[test]
fn seeds_that_once_failed_pass() {
    for seed in ONCE_FAILED {
        assert_eq!(play(seed).map(drop), Ok(()), "seed {seed}");
    }
}

#[test]
fn fresh_seeds_break_no_promise() {
    let found = hunt_of(fresh_seed(), 200);
    assert_eq!(found.failure, None);
    assert_eq!(found.cases, 200);
}

#[test]
fn the_cases_lead_into_every_corner() {
    let found = hunt_of(1, 400);
    assert_eq!(found.failure, None);
    let tally = &found.tally;
    assert!(tally.established > 200 && tally.resumed > 20 && tally.upgrades > 20, "{tally:?}");
    assert!(tally.connections > tally.established, "some handshakes fail: {tally:?}");
    assert!(tally.ends.len() > 30 && tally.kept_most > 16 * 1024, "{tally:?}");
}

#[test]
fn a_seed_is_the_same_case_whenever_it_is_played() {
    for seed in 0..24 {
        let [first, second] = [(); 2].map(|()| play(seed).map(|tally| format!("{tally:?}")));
        assert_eq!(first, second, "seed {seed}");
    }
}
