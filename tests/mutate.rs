//! `mutate`: TLS connections by the seed whose bytes are changed on the way.
//!
//! Exit 0 when no promise was broken, 1 when one was, 2 for a bad command line.

#![allow(clippy::disallowed_methods, reason = "a command measures its own time")]

use shardpoll_tests::mutation::{Found, Hunt, Until, hunt};
use shardpoll_tests::program;
use shardpoll_tests::simulation::fresh_seed;
use std::process::ExitCode;
use std::time::{Duration, Instant};

const USAGE: &str = "\
mutate [--seconds N | --seeds N] [--seed S] [--threads N]

  --seconds N   play so long (default 30)
  --seeds N     play so many cases
  --seed S      the first seed (default: a fresh one); alone: play just this one
  --threads N   how many threads play (default: one a core)";

/// A case takes milliseconds.
const LONGEST: Duration = Duration::from_secs(60);

const REPLAY: &str = "replay: cargo run --release -p shardpoll-tests --bin mutate -- --seed";

fn options(args: &[String]) -> Result<Hunt, String> {
    let (mut seconds, mut seeds, mut seed, mut threads) = (None, None, None, None);
    let known = &mut [
        ("--seconds", &mut seconds),
        ("--seeds", &mut seeds),
        ("--seed", &mut seed),
        ("--threads", &mut threads),
    ];
    program::numbers(args, known)?;
    let until = match (seconds, seeds, seed) {
        (Some(_), Some(_), _) => return Err("--seconds and --seeds exclude each other".into()),
        (Some(seconds), None, _) => Until::Time(Duration::from_secs(seconds)),
        (None, Some(seeds), _) => Until::Seeds(seeds),
        (None, None, Some(_)) => Until::Seeds(1),
        (None, None, None) => Until::Time(Duration::from_secs(30)),
    };
    let threads = program::threads(threads)?;
    Ok(Hunt { first: seed.unwrap_or_else(fresh_seed), until, threads, hangs: (LONGEST, hangs) })
}

/// A thread that hangs cannot be ended, so the process is.
fn hangs(seed: u64) {
    println!("a case takes longer than {LONGEST:?}: seed {seed}\n{REPLAY} {seed}");
    std::process::exit(1);
}

fn print(found: &Found, first: u64, time: Duration) {
    let Found { cases, tally, .. } = found;
    println!("cases        {cases} from {first}, in {:.1} s", time.as_secs_f64());
    println!("connections  {}", tally.connections);
    println!("established  {}", tally.established);
    println!("resumed      {}", tally.resumed);
    println!("upgrades     {}", tally.upgrades);
    println!("kept at most {} bytes for input to be completed", tally.kept_most);
    println!("\nends");
    for (end, count) in &tally.ends {
        println!("{count:>10}  {end}");
    }
}

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let plan = match options(&args) {
        Ok(plan) => plan,
        Err(wrong) => {
            eprintln!("mutate: {wrong}\n\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    println!("first seed   {}", plan.first);
    let began = Instant::now();
    let found = hunt(&plan);
    print(&found, plan.first, began.elapsed());
    match found.failure {
        Some((seed, how)) => {
            println!("violation in seed {seed}: {how}\n{REPLAY} {seed}");
            ExitCode::FAILURE
        }
        None => {
            println!("violations   0");
            ExitCode::SUCCESS
        }
    }
}
