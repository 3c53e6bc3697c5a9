//! Worlds of many seeds around one loop; each is judged after every turn.

use shardpoll_tests::simulation::{Enough, Plan, Search, all_cores, fresh_seed, play, search};
use std::time::Instant;

/// How many fresh seeds a run tries, if `SIM_SEEDS` does not say how many.
const SEEDS: u64 = 2_000;

/// From so many seeds on, what is usual must have been seen.
const MANY: u64 = 300;

fn from_env(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is {text}: it must be a number")))
}

/// Fresh seeds each time; `SIM_SEED` tries just one, `SIM_SEEDS` so many.
#[test]
fn worlds_of_fresh_seeds_keep_every_promise() {
    let one = from_env("SIM_SEED");
    let first = one.unwrap_or_else(fresh_seed);
    let seeds = one.map_or_else(|| from_env("SIM_SEEDS").unwrap_or(SEEDS), |_| 1);
    let began = Instant::now();
    let enough = Enough::Seeds(seeds);
    let one_shard = |seed| play(&Plan::new(seed));
    let outcome = search(&Search { first, enough, threads: all_cores() }, one_shard);
    if let Some(failure) = outcome.failure {
        let (seed, violation) = (failure.seed, failure.violation);
        panic!(
            "seed {seed}: {violation}\n\
             replay: SIM_SEED={seed} cargo test -p shardpoll-tests --test behaviour sim::one_shard"
        );
    }
    let (seconds, sum) = (began.elapsed().as_secs_f64(), outcome.sum);
    println!("{seeds} seeds from {first} in {seconds:.1} s\n{sum:?}\n{}", sum.faults);
    if seeds >= MANY {
        // A world in which nothing happens would prove nothing.
        assert!(sum.complete > seeds && sum.bytes_in > 1000 * seeds, "{sum:?}");
    }
}

#[test]
fn the_same_seed_is_the_same_history() {
    let digest = |seed| play(&Plan::new(seed)).expect("no violation").digest;
    for seed in 0..40 {
        assert_eq!(digest(seed), digest(seed), "seed {seed}");
    }
    assert_ne!(digest(1), digest(2));
}
