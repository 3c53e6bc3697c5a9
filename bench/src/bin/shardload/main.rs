//! `shardload`: an echo server on the engine, the load that drives it, and the main job of both.
//!
//! | file | what it does |
//! |---|---|
//! | `cli`, `units`, `target` | what may be asked for, and how it is written |
//! | `reach` | targets looked up, and how they are dialed |
//! | `failure` | what can go wrong, and the exit code of each |
//! | `serve` | the echo server alone |
//! | `job`, `child` | no arguments: servers in child processes, and the load on each |
//! | `run`, `load` | one load: a client engine, its phases, its outcome |
//! | `swarm`, `client` | what runs on a client shard: connections and their phases |
//! | `live`, `report` | the progress line; the table and the JSON |
//! | `notices` | the engine's warnings, on standard error |
//!
//! Never: trusts an echo; every byte that comes back is compared with the one that should.

#![forbid(unsafe_code)]

mod assertion;
mod child;
mod cli;
mod client;
mod failure;
mod job;
mod live;
mod load;
mod notices;
mod outcome;
mod reach;
mod report;
mod run;
#[expect(dead_code, reason = "swarm drives conversations soon")]
mod script;
mod serve;
mod swarm;
mod target;
mod units;

use failure::Failure;
use shardpoll_bench::command_line;
use std::process::ExitCode;

fn main() -> ExitCode {
    notices::print();
    match command_line::parse().map_err(Failure::from).and_then(carry_out) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            failure.tell();
            failure.exit_code()
        }
    }
}

fn carry_out(command: cli::Cli) -> Result<(), Failure> {
    match command.command {
        Some(cli::Command::Serve(serve)) => serve::serve(&serve),
        Some(cli::Command::Echo(run)) => run::run(&run),
        Some(cli::Command::Scripts(options)) => script::scripts(&options),
        Some(_) => Err(Failure::Usage("not on this branch yet".into())),
        None => job::job(&command.job),
    }
}
