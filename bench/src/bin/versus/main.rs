//! `versus`: this engine beside its peers, in one run: processor time, instructions and memory.
//!
//! | file | what it does |
//! |---|---|
//! | `cli` | what may be asked for |
//! | `failure` | why there is no table, and the exit code of each reason |
//! | `scenario`, `specs` | the scenarios as data: what is sent, what is counted, what it may cost |
//! | `peer`, `candidate` | who takes part: the engines, and with whose TLS |
//! | `serve`, `peers` | a server, in a process of its own: ours, and each peer's |
//! | `credentials` | the same TLS configuration for every server; the client's |
//! | `clients`, `load`, `line`, `visit` | the clients, in a process of their own |
//! | `window`, `rounds` | one look at one server; going round and round over all of them |
//! | `scale` | many connections beside few |
//! | `idle`, `instructions` | what needs no clock: memory, and callgrind's counts |
//! | `letters` | one thread to another: ours, tokio's channel, a bare channel |
//! | `shards` | two shards beside one |
//! | `fanout`, `hearer` | what one says is told to all |
//! | `timers` | our heap of timers beside tokio-util's wheel |
//! | `spread`, `compare` | medians, which rounds count; from values to rows |
//! | `report` | the tables, and a line of JSON for each row |
//!
//! Never: compares times of different rounds; this machine is not the same a second later.

#![forbid(unsafe_code)]

mod candidate;
mod cli;
mod clients;
mod compare;
mod credentials;
mod failure;
mod fanout;
mod hearer;
mod idle;
mod instructions;
mod letters;
mod line;
mod load;
mod peer;
mod peers;
mod report;
mod rounds;
mod scale;
mod scenario;
mod serve;
mod shards;
mod specs;
mod timers;
mod visit;
mod window;

use clap::ValueEnum;
use cli::{Cli, Command};
use failure::Failure;
use peer::Peer;
use report::Report;
use scenario::Kind;
use shardpoll::raise_descriptor_limit;
use shardpoll_bench::spread;
use std::process::ExitCode;

/// Descriptors that a process has beside its connections.
const SPARE_DESCRIPTORS: u64 = 100;

fn main() -> ExitCode {
    match cli::parse().and_then(carry_out) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            failure.tell();
            failure.exit_code()
        }
    }
}

fn carry_out(asked: Cli) -> Result<(), Failure> {
    match &asked.command {
        Some(Command::Serve(serve)) => return serve::serve(serve),
        Some(Command::Load(load)) => return load::obey(load),
        Some(Command::Peers) => return report::peers(Peer::value_variants()),
        None => {}
    }
    if cfg!(debug_assertions) {
        return Err(Failure::Unoptimised);
    }
    let place = window::Place::choose();
    let mut report = Report::begin(&asked, place)?;
    for scenario in asked.scenarios() {
        let (candidates, absent) = scenario.candidates(&asked.providers());
        let rows = match scenario.spec().kind {
            Kind::Lines(_) | Kind::Visits { .. } => {
                rounds::measure(scenario, &candidates, place, &asked)?
            }
            Kind::Scale(sizes) => scale::measure(scenario, sizes, &candidates, place, &asked)?,
            Kind::Idle => idle::measure(scenario, &candidates, place)?,
            Kind::Letters => letters::measure(place, &asked)?,
            Kind::Shards => shards::measure(scenario, &candidates, place, &asked)?,
            Kind::Fanout(crowd) => fanout::measure(scenario, crowd, &candidates, place, &asked)?,
            Kind::Timers => timers::measure(&asked)?,
            Kind::Instructions => instructions::measure(&asked.providers())?,
        };
        report.add(scenario, rows, &absent)?;
    }
    let missed = report.end();
    if asked.check && !missed.is_empty() { Err(Failure::Missed(missed)) } else { Ok(()) }
}

/// So many connections to one server need to be possible, here and there.
fn need_descriptors(connections: usize) -> Result<(), Failure> {
    let needed = connections as u64 + SPARE_DESCRIPTORS;
    let limit = raise_descriptor_limit().map_err(Failure::io("descriptor limit"))?;
    if limit < needed { Err(Failure::Descriptors { needed, limit }) } else { Ok(()) }
}
