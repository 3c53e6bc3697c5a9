//! `figures`: what an echo, a turn of the loop and an idle connection cost, each beside its goal.
//!
//! | file | what it does |
//! |---|---|
//! | `cli` | what may be asked for |
//! | `failure` | why there is no figure, and the exit code of each reason |
//! | `attack` | what descriptors used up, and peers that never read, cost; not part of `all` |
//! | `syscalls`, `instructions`, `memory`, `heap`, `closeall` | one figure each: how it is got |
//! | `driver`, `crowd` | the clients: plain blocking sockets; and the engine's own client |
//! | `server` | the echo server in a child process, alone or under a tool |
//! | `report` | goals, verdicts, text and JSON |
//!
//! Never: rests a verdict on time, but where time is what was promised (`attack`); counts and bytes
//! repeat on a busy machine, times do not.

#![forbid(unsafe_code)]

mod attack;
mod cli;
mod closeall;
mod crowd;
mod driver;
mod failure;
mod heap;
mod instructions;
mod memory;
mod report;
mod server;
mod syscalls;

use cli::What;
use failure::Failure;
use report::Report;
use shardpoll_bench::{command_line, tools};
use std::process::ExitCode;

fn main() -> ExitCode {
    match carry_out() {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            failure.tell();
            failure.exit_code()
        }
    }
}

fn carry_out() -> Result<(), Failure> {
    let asked: cli::Cli = command_line::parse()?;
    if cfg!(debug_assertions) {
        return Err(Failure::Unoptimised);
    }
    if let Some(addr) = asked.clients_of {
        return closeall::clients(addr, asked.tls);
    }
    // All of them before the first figure: a run that cannot end should not begin.
    let needs = [
        (What::Syscalls, tools::STRACE),
        (What::Instructions, tools::STRACE),
        (What::Instructions, tools::VALGRIND),
    ];
    let mut tools = Vec::new();
    for (what, tool) in needs {
        if asked.wants(what) && !tools.iter().any(|(known, _)| *known == tool) {
            tools.push((tool, tools::version(tool)?));
        }
    }
    if asked.wants(What::Memory) {
        memory::prepare()?;
    }
    if asked.wants(What::Closeall) {
        closeall::prepare()?;
    }
    let server = server::locate()?;
    if let Some(newer) = server::source_newer_than(&server) {
        let stale = Failure::Stale { server: server.clone(), newer };
        if asked.check {
            return Err(stale);
        }
        stale.tell();
    }
    let versions = tools.into_iter().map(|(_, version)| version).collect();
    let mut report = Report::begin(versions, asked.json)?;
    for (what, measure) in [
        (What::Syscalls, syscalls::measure as fn(&_) -> _),
        (What::Instructions, instructions::measure),
        (What::Memory, memory::measure),
        (What::Heap, |_| heap::measure()),
        (What::Attack, attack::measure),
        (What::Closeall, |_| closeall::measure()),
    ] {
        if asked.wants(what) {
            report.add(measure(&server)?)?;
        }
    }
    let missed = report.end()?;
    if asked.check && !missed.is_empty() { Err(Failure::Missed(missed)) } else { Ok(()) }
}
