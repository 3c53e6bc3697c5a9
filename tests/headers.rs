//! `headers`: PROXY headers by the seed, most of them bad, judged beside a published decoder.
//!
//! Exit 0 when no promise was broken, 1 when one was or for a bad command line.

#![allow(clippy::disallowed_methods, reason = "a command measures its own time")]

use shardpoll_tests::headers::{Tally, hunt};
use shardpoll_tests::program;
use shardpoll_tests::simulation::fresh_seed;
use std::process::ExitCode;
use std::time::{Duration, Instant};

const USAGE: &str = "headers [--seconds N (default 30) | --seeds N] [--seed S]";

/// Cases between two looks at the clock.
const AT_A_TIME: u64 = 10_000;

fn main() -> ExitCode {
    program::run("headers", |args| {
        let args: Vec<String> = args.iter().copied().map(str::to_owned).collect();
        let (mut seconds, mut seeds, mut seed) = (None, None, None);
        let known =
            &mut [("--seconds", &mut seconds), ("--seeds", &mut seeds), ("--seed", &mut seed)];
        program::numbers(&args, known).map_err(|wrong| format!("{wrong}\n{USAGE}"))?;
        let first = seed.unwrap_or_else(fresh_seed);
        let most = seeds.or_else(|| seed.filter(|_| seconds.is_none()).map(|_| 1));
        let most = most.unwrap_or(u64::MAX);
        let time = Duration::from_secs(seconds.unwrap_or(30));
        println!("first seed   {first}");
        let (began, mut tally) = (Instant::now(), Tally::default());
        while tally.cases < most && (most != u64::MAX || began.elapsed() < time) {
            let next = first.wrapping_add(tally.cases);
            let count = AT_A_TIME.min(most - tally.cases);
            hunt(next, count, &mut tally).map_err(|(seed, how)| format!("seed {seed}: {how}"))?;
        }
        let seconds = began.elapsed().as_secs_f64();
        let rate = tally.cases as f64 * 60.0 / seconds;
        print!("{tally}");
        println!("in           {seconds:.1} s: {rate:.0} a minute");
        println!("violations   0");
        Ok(())
    })
}
