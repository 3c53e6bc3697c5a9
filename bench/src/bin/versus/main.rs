//! `versus`: this engine beside its peers, in one run: processor time, instructions and memory.
//!
//! | file | what it does |
//! |---|---|
//! | `cli` | what may be asked for |
//! | `failure` | why there is no table, and the exit code of each reason |
//! | `scenario` | the scenarios as data: what is sent, what is counted, what it may cost |
//! | `candidate` | who takes part: engine and provider |
//! | `serve`, `peers` | a server, in a process of its own: ours, and each peer's |
//! | `credentials` | the same TLS configuration for every server; the client's |
//! | `load`, `line`, `visit` | the clients: lasting connections, and ones that come and go |
//! | `window`, `rounds` | one look at one server; going round and round over all of them |
//! | `idle`, `instructions` | what needs no clock: memory, and callgrind's counts |
//! | `letters` | one thread to another: ours, tokio's channel, a bare channel |
//! | `spread` | median, quartiles, ratios, and which rounds count |
//! | `report` | the tables, and a line of JSON for each row |
//!
//! Never: compares times of different rounds; this machine is not the same a second later.

#![forbid(unsafe_code)]

mod candidate;
mod cli;
mod credentials;
mod failure;
mod idle;
mod instructions;
mod letters;
mod line;
mod load;
mod peers;
mod report;
mod rounds;
mod scenario;
mod serve;
mod spread;
mod visit;
mod window;

use candidate::Candidate;
use cli::{Cli, Command};
use failure::Failure;
use report::Report;
use scenario::Kind;
use std::process::ExitCode;

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
    if let Some(Command::Serve(serve)) = asked.command {
        return serve::serve(&serve);
    }
    if cfg!(debug_assertions) {
        return Err(Failure::Unoptimised);
    }
    let place = window::Place::choose();
    let mut report = Report::begin(&asked, place)?;
    for scenario in asked.scenarios() {
        let candidates = Candidate::all(scenario.is_tls(), &asked.providers());
        let rows = match scenario.kind() {
            Kind::Lines(_) | Kind::Visits { .. } => {
                rounds::measure(scenario, &candidates, place, &asked)?
            }
            Kind::Idle => idle::measure(scenario, &candidates, place)?,
            Kind::Letters => letters::measure(place, &asked)?,
            Kind::Instructions => instructions::measure(&asked.providers())?,
        };
        report.add(scenario, rows)?;
    }
    let missed = report.end();
    if asked.check && !missed.is_empty() { Err(Failure::Missed(missed)) } else { Ok(()) }
}
