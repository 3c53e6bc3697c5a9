//! `shardload`: load for servers that speak anything but HTTP, and servers to try it on.
//!
//! | file | what it does |
//! |---|---|
//! | `cli`, `units`, `target`, `assertion` | what may be asked for, and how it is written |
//! | `failure` | what can go wrong, and the exit code of each |
//! | `serve` | the servers |
//! | `reach`, `limits` | how targets are reached, and whether this machine has what it takes |
//! | `share`, `start` | of several instances: which connections are ours, and when all begin |
//! | `load`, `run`, `job` | what one run is; one that was asked for; all of the main job |
//! | `drive`, `gather` | a client engine and its phases; what its shards have counted |
//! | `swarm` | what runs on a client shard: connections and what is done on them |
//! | `script` | conversations, as files describe them |
//! | `schedule`, `tally`, `counts` | when operations are due; what is counted of them |
//! | `outcome`, `report`, `live` | what came of it; how it is shown, at the end and meanwhile |
//! | `compare`, `merge` | what can be done with results of earlier runs |
//! | `child` | servers of the main job, in processes of their own |
//! | `manual` | completions and manual pages |
//! | `notices` | the engine's warnings, on standard error |
//!
//! Never: trusts an echo; every byte that comes back is compared with the one that should.

#![forbid(unsafe_code)]

mod assertion;
mod child;
mod cli;
mod compare;
mod counts;
mod drive;
mod failure;
mod gather;
mod job;
mod limits;
mod live;
mod load;
mod manual;
mod merge;
mod notices;
mod outcome;
mod reach;
mod report;
mod run;
mod schedule;
mod script;
mod serve;
mod share;
mod start;
mod swarm;
mod tally;
mod target;
mod units;

use cli::{Cli, Command};
use failure::Failure;
use load::Load;
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

fn carry_out(command: Cli) -> Result<(), Failure> {
    let Some(named) = command.command else { return job::job(&command.job) };
    let (load, measure) = match &named {
        Command::Serve(serve) => return serve::serve(serve),
        Command::Completions(shell) => return manual::completions(shell),
        Command::Man(man) => return manual::manual(man),
        Command::Echo(options) => (Load::echo(options), &options.measure),
        Command::Churn(options) => (Load::churn(options), &options.measure),
        Command::Idle(options) => (Load::idle(options), &options.measure),
        Command::Bulk(options) => (Load::bulk(options), &options.measure),
        Command::Abuse(options) => (Load::abuse(options), &options.measure),
        Command::Script(options) => (Load::script(options), &options.measure),
        Command::Scripts(options) => return script::scripts(options),
        Command::Compare(options) => return compare::compare(options),
        Command::Merge(options) => return merge::merge(options),
    };
    run::run(&load?, measure)
}
