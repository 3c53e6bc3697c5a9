//! A load on a server that is there already: carried out, reported, judged.
//!
//! Never: begins before it has looked whether all that was asked for can be done.

use crate::cli::Measure;
use crate::drive::{Logged, Watchers, drive};
use crate::failure::Failure;
use crate::live::Live;
use crate::load::Load;
use crate::outcome::{Document, Instance, Run};
use crate::report;
use crate::start;
use crate::units::StartTime;
use shardpoll::Signals;
use shardpoll_bench::clock::calendar;
use shardpoll_bench::cpu;
use shardpoll_bench::machine::Machine;
use shardpoll_bench::tools;
use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::process;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::SystemTime;

/// What a shell says of a process that SIGINT ended.
const INTERRUPTED: i32 = 130;

/// Carries a load out, and shows what came of it.
pub(crate) fn run(load: &Load, measure: &Measure) -> Result<(), Failure> {
    load.check()?;
    if let Some(pid) = measure.server_pid {
        cpu::process_time(pid).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => Failure::Usage(format!(
                "--server-pid {pid}: there is no such process on this machine"
            )),
            _ => Failure::Usage(format!("--server-pid {pid}: {error}")),
        })?;
    }
    for assertion in &measure.assertions {
        assertion.may_hold(load.per_second.is_some(), measure.server_pid.is_some())?;
    }
    if let (Some(page), Some(log)) = (&measure.report, &measure.hdr_out)
        && page == log
    {
        let text = format!("--report and --hdr-out are both {}", page.display());
        return Err(Failure::Usage(text));
    }
    for (option, path) in [("--report", &measure.report), ("--hdr-out", &measure.hdr_out)] {
        path.as_deref().map_or(Ok(()), |path| may_write(option, path))?;
    }
    let wait = measure.start_at.map(|StartTime(at)| start::until(at, calendar()));
    let wait = wait.transpose()?;
    let interrupted = interrupts()?;
    if let (Some(StartTime(at)), Some(wait)) = (measure.start_at, wait) {
        if !measure.quiet {
            eprintln!("shardload: begins in {:.0} s", wait.as_secs_f64());
        }
        start::wait(at, &interrupted)?;
    }
    let command = command();
    let log = measure.hdr_out.as_deref().map(|path| Logged {
        path,
        command: &command,
        instance: measure.instance,
    });
    let live = Live::new(measure.quiet);
    let started = calendar();
    let run = drive(load, &Watchers { interrupted: &interrupted, live: &live, log })?;
    let document = document(vec![run], started, measure.instance);
    show(&document, measure.json, measure.report.as_deref())?;
    report::verdict(&document.runs, &measure.assertions)
}

/// What is known of the runs, as one document.
pub(crate) fn document(
    runs: Vec<Run>,
    started: SystemTime,
    instance: Option<Instance>,
) -> Document {
    Document {
        version: env!("CARGO_PKG_VERSION").into(),
        machine: Machine::read(),
        command: command(),
        started: humantime::format_rfc3339_millis(started).to_string(),
        instance,
        runs,
    }
}

/// Writes the report, and prints it, even where the one cannot be done.
pub(crate) fn show(document: &Document, json: bool, page: Option<&Path>) -> Result<(), Failure> {
    let written = page.map_or(Ok(()), |path| {
        let written = fs::write(path, report::page(document));
        written.map_err(|source| Failure::File { option: "--report", path: path.into(), source })
    });
    let text = if json { report::json(document) } else { report::table(document) };
    report::print(&text).and(written)
}

/// As it was given, the program by its name.
fn command() -> Vec<String> {
    let given = std::env::args_os().skip(1).map(|word| word.to_string_lossy().into_owned());
    std::iter::once("shardload".into()).chain(given).collect()
}

/// Says whether the file can be written, so that a run is not made for nothing; leaves none behind.
pub(crate) fn may_write(option: &'static str, path: &Path) -> Result<(), Failure> {
    let is_new = fs::symlink_metadata(path).is_err();
    let failed = |source| Failure::File { option, path: path.into(), source };
    File::options().create(true).append(true).open(path).map_err(failed)?;
    if is_new { fs::remove_file(path).map_err(failed) } else { Ok(()) }
}

/// A flag that the first SIGINT or SIGTERM sets; the second ends the process.
///
/// To be called before any other thread starts, since all must inherit what is blocked.
pub(crate) fn interrupts() -> Result<Arc<AtomicBool>, Failure> {
    let mut signals = Signals::block().map_err(Failure::io("signals"))?;
    let interrupted = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&interrupted);
    let wait = move || {
        for exit in [false, true] {
            if let Err(error) = signals.wait() {
                eprintln!("shardload: signals can no longer be read, ending: {error}");
            }
            if exit {
                process::exit(INTERRUPTED);
            }
            flag.store(true, Ordering::Relaxed);
        }
    };
    tools::thread("signals", wait).map_err(Failure::io("cannot start a thread"))?;
    Ok(interrupted)
}
