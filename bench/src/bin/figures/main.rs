//! `figures`: what an echo, a turn of the loop and an idle connection cost, each beside its goal.
//!
//! | file | what it does |
//! |---|---|
//! | `cli` | what may be asked for |
//! | `failure` | why there is no figure, and the exit code of each reason |
//! | `attack` | what descriptors used up, and peers that never read, cost; not part of `all` |
//! | `syscalls`, `instructions`, `operations` | one kind of figure each: what is counted |
//! | `memory`, `heap`, `closeall` | likewise |
//! | `generator`, `stall` | what `shardload` itself costs; what it says of a server that stops |
//! | `counting`, `subject` | a program under callgrind; the small ones that do one operation |
//! | `budget` | what counted rows took before, in `bench/budgets.json`, and the verdict |
//! | `driver`, `crowd` | the clients: plain blocking sockets; and the engine's own client |
//! | `server` | the echo server in a child process, alone or under a tool |
//! | `report` | goals, verdicts, text and JSON |
//!
//! Never: rests a verdict on time, but where time is what was promised (`attack`, `stall`, a part
//! of `generator`); counts and bytes repeat on a busy machine, times do not.

#![forbid(unsafe_code)]

mod attack;
mod budget;
mod cli;
mod closeall;
mod counting;
mod crowd;
mod driver;
mod failure;
mod generator;
mod heap;
mod instructions;
mod memory;
mod operations;
mod report;
mod server;
mod stall;
mod subject;
mod syscalls;

use budget::Budgets;
use cli::{Cli, What};
use failure::Failure;
use report::Report;
use shardpoll_bench::{command_line, tools};
use std::path::{Path, PathBuf};
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
    let asked: Cli = command_line::parse()?;
    if cfg!(debug_assertions) {
        return Err(Failure::Unoptimised);
    }
    if let Some(addr) = asked.clients_of {
        return closeall::clients(addr, asked.tls);
    }
    if let (Some(subject), Some(times)) = (asked.subject, asked.times) {
        return subject.carry_out(times);
    }
    if let (Some(addr), Some(connections), Some(millis)) =
        (asked.bare, asked.connections, asked.millis)
    {
        return generator::bare(addr, generator::Load { connections, millis });
    }
    if asked.record.is_some() && !asked.wants_every_guard() {
        let line = "--record is for all rows that have budgets: figures guards --record REASON";
        return Err(Failure::Usage(line.into()));
    }
    let mut report = Report::begin(prepare(&asked)?, asked.json)?;
    let budgets = budgets(&asked)?;
    let server = server(&asked)?;
    for (what, measure) in [
        (What::Syscalls, syscalls::measure as fn(&_) -> _),
        (What::Instructions, instructions::measure),
        (What::Instructions, |_| operations::measure()),
        (What::Memory, memory::measure),
        (What::Heap, |_| heap::measure()),
        (What::Attack, attack::measure),
        (What::Closeall, |_| closeall::measure()),
        (What::Generator, generator::count),
        (What::Generator, generator::time),
        (What::Stall, stall::measure),
    ] {
        if asked.wants(what) {
            report.add(measure(&server)?)?;
        }
    }
    if let Some(reason) = &asked.record {
        return record(report, budgets, &asked.budgets, reason);
    }
    let judged = budgets.judge(&report.held(), asked.wants_every_guard());
    report.add_budgets(judged)?;
    let missed = report.end()?;
    if asked.check && !missed.is_empty() { Err(Failure::Missed(missed)) } else { Ok(()) }
}

/// Looks for all that will be needed before the first figure: a run that cannot end should not
/// begin. Gives the tools' versions.
fn prepare(asked: &Cli) -> Result<Vec<String>, Failure> {
    let needs = [
        (What::Syscalls, tools::STRACE),
        (What::Instructions, tools::STRACE),
        (What::Instructions, tools::VALGRIND),
        (What::Generator, tools::STRACE),
        (What::Generator, tools::VALGRIND),
        (What::Generator, tools::TASKSET),
    ];
    let mut found = Vec::new();
    for (what, tool) in needs {
        if asked.wants(what) && !found.iter().any(|(known, _)| *known == tool) {
            found.push((tool, tools::version(tool)?));
        }
    }
    if asked.wants(What::Memory) {
        memory::prepare()?;
    }
    if asked.wants(What::Closeall) {
        closeall::prepare()?;
    }
    Ok(found.into_iter().map(|(_, version)| version).collect())
}

/// The budgets that will be needed; where they are recorded there may be none yet.
fn budgets(asked: &Cli) -> Result<Budgets, Failure> {
    let needed = asked.wants(What::Syscalls) || asked.wants(What::Instructions);
    if needed && (asked.record.is_none() || asked.budgets.exists()) {
        return Budgets::read(&asked.budgets);
    }
    Ok(Budgets::default())
}

/// The program whose figures these will be; an old one only if nothing is decided by them.
fn server(asked: &Cli) -> Result<PathBuf, Failure> {
    let server = server::locate()?;
    if let Some(newer) = server::source_newer_than(&server) {
        let stale = Failure::Stale { server: server.clone(), newer };
        if asked.check || asked.record.is_some() {
            return Err(stale);
        }
        stale.tell();
    }
    Ok(server)
}

fn record(report: Report, mut budgets: Budgets, path: &Path, reason: &str) -> Result<(), Failure> {
    let changes = budgets.record(&report.held(), reason)?;
    budgets.write(path)?;
    let _missed = report.end()?;
    for change in &changes {
        eprintln!("figures: {change}");
    }
    eprintln!("figures: {} of {} changed", changes.len(), path.display());
    Ok(())
}
