//! `simulate`: seeded worlds around the loop, by the million connections.
//!
//! Exit 0 when no promise was broken and everything was seen often enough, 1 when not, 2 for a bad
//! command line.

#![allow(clippy::disallowed_methods, reason = "a command measures its own time")]

use shardpoll_reactor::{Fault, Transitions};
use shardpoll_tests::program;
use shardpoll_tests::shards;
use shardpoll_tests::simulation::{DRAWN, Enough, Outcome, Plan, Search, fresh_seed, play, search};
use std::process::ExitCode;
use std::time::{Duration, Instant};

const USAGE: &str = "\
simulate [--shards N] [--connections N | --seeds N] [--seed S] [--threads N] [--least N]

  --shards N       play worlds of two to so many shards, with letters, drains and quits, in place
                   of those of one
  --connections N  play until so many connections were made (default 1000000)
  --seeds N        play so many worlds
  --seed S         the first seed (default: a fresh one); alone: play just this one
  --threads N      how many threads play (default: one a core)
  --least N        how often each kind of fault and each transition must have been seen
                   (default: once in 1000 connections asked for; 0 for --seeds)";

struct Options {
    search: Search,
    least: u64,
    shards: Option<u64>,
}

fn options(args: &[String]) -> Result<Options, String> {
    let (mut connections, mut seeds, mut seed) = (None, None, None);
    let (mut threads, mut least, mut shards) = (None, None, None);
    let known = &mut [
        ("--connections", &mut connections),
        ("--seeds", &mut seeds),
        ("--seed", &mut seed),
        ("--threads", &mut threads),
        ("--least", &mut least),
        ("--shards", &mut shards),
    ];
    program::numbers(args, known)?;
    let enough = match (connections, seeds, seed) {
        (Some(_), Some(_), _) => return Err("--connections and --seeds exclude each other".into()),
        (Some(connections), None, _) => Enough::Connections(connections),
        (None, Some(seeds), _) => Enough::Seeds(seeds),
        (None, None, Some(_)) => Enough::Seeds(1),
        (None, None, None) => Enough::Connections(1_000_000),
    };
    let usual = match enough {
        Enough::Connections(count) if shards.is_none() => count / 1000,
        _ => 0,
    };
    let threads = program::threads(threads)?;
    let first = seed.unwrap_or_else(fresh_seed);
    let search = Search { first, enough, threads };
    Ok(Options { search, least: least.unwrap_or(usual), shards })
}

/// What was seen less often than asked for.
fn missing(outcome: &Outcome, least: u64) -> Vec<String> {
    let faults = &outcome.sum.faults;
    let faults = Fault::ALL.into_iter().map(|fault| (format!("{fault:?}"), faults.of(fault)));
    let made: &Transitions = &outcome.sum.transitions;
    let steps = DRAWN.iter().map(|&(from, to)| (format!("{from:?} to {to:?}"), made.of(from, to)));
    let rare = faults.chain(steps).filter(|&(_, count)| count < least);
    rare.map(|(what, count)| format!("{what}: {count} times, not {least}")).collect()
}

fn print(outcome: &Outcome, first: u64, time: Duration) {
    let Outcome { seeds, sum, .. } = outcome;
    println!("seeds        {seeds} from {first}, in {:.1} s", time.as_secs_f64());
    println!("connections  {}", sum.connections);
    println!("turns        {}", sum.turns);
    println!("callbacks    {}", sum.callbacks);
    println!("bytes in     {}", sum.bytes_in);
    println!("bytes out    {}", sum.bytes_out);
    println!("complete     {} directions, to an orderly end", sum.complete);
    println!("relayed      {} of them, over links", sum.relayed);
    println!("panics       {}, all planned", sum.panics);
    println!("letters      {} between shards", sum.letters);
    println!("cut          {} by a deadline of many shards", sum.cut);
    print!("\nfaults\n{}\ntransitions\n{}\n", sum.faults, sum.transitions);
}

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let options = match options(&args) {
        Ok(options) => options,
        Err(wrong) => {
            eprintln!("simulate: {wrong}\n\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    let began = Instant::now();
    let outcome = match options.shards {
        None => search(&options.search, |seed| play(&Plan::new(seed))),
        Some(most) => {
            let most = usize::try_from(most).unwrap_or(usize::MAX);
            search(&options.search, move |seed| shards::play(seed, most))
        }
    };
    print(&outcome, options.search.first, began.elapsed());
    if let Some(failure) = &outcome.failure {
        println!("violation in seed {}: {}", failure.seed, failure.violation);
        let command = "cargo run --release -p shardpoll-tests --bin simulate -- --seed";
        let shards = options.shards.map(|most| format!(" --shards {most}"));
        println!("replay: {command} {}{}", failure.seed, shards.unwrap_or_default());
        return ExitCode::FAILURE;
    }
    println!("violations   0");
    let missing = missing(&outcome, options.least);
    for what in &missing {
        println!("too rare: {what}");
    }
    if missing.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
