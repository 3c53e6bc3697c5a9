//! Worlds of many seeds around one loop; each is judged after every turn.

use super::world::{Plan, Report, play};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// How long fresh seeds are tried, if `SIM_SEEDS` does not say how many.
const BUDGET: Duration = Duration::from_secs(18);

/// The least that a run tries, however slow the machine.
const LEAST: u64 = 300;

fn from_env(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is {text}: it must be a number")))
}

/// Tries fresh seeds; `SIM_SEED` tries just one, `SIM_SEEDS` so many.
fn explore(test: &str, with_tls: bool) {
    let fresh = || {
        let time = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
        time.as_secs() << 20
    };
    let one = from_env("SIM_SEED");
    let base = one.unwrap_or_else(fresh);
    let wanted = if one.is_some() { Some(1) } else { from_env("SIM_SEEDS") };
    let (began, mut sum, mut seeds) = (Instant::now(), Report::default(), 0);
    loop {
        let over = seeds >= LEAST && began.elapsed() > BUDGET;
        if wanted.map_or(over, |wanted| seeds >= wanted) {
            break;
        }
        let seed = base + seeds;
        match play(&Plan::new(seed, with_tls)) {
            Ok(report) => sum.add(&report),
            Err(violation) => panic!(
                "seed {seed}: {violation}\n\
                 replay: SIM_SEED={seed} cargo test -p shardpoll-tests sim::one_shard::{test}"
            ),
        }
        seeds += 1;
    }
    let seconds = began.elapsed().as_secs_f64();
    println!("{seeds} seeds from {base} in {seconds:.1} s\n{sum:?}\n{}", sum.faults);
    if seeds >= LEAST {
        // A world in which nothing happens would prove nothing.
        assert!(sum.complete > seeds && sum.bytes_in > 1000 * seeds, "{sum:?}");
    }
}

#[test]
fn plain_worlds_keep_every_promise() {
    explore("plain_worlds_keep_every_promise", false);
}

#[test]
fn worlds_with_tls_keep_every_promise() {
    explore("worlds_with_tls_keep_every_promise", true);
}

#[test]
fn the_same_seed_is_the_same_history() {
    for seed in 0..20 {
        let digest = || play(&Plan::new(seed, false)).expect("no violation").digest;
        assert_eq!(digest(), digest(), "seed {seed}");
    }
    let digest = |seed| play(&Plan::new(seed, false)).expect("no violation").digest;
    assert_ne!(digest(1), digest(2));
}
