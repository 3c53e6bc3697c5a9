//! Plays scenarios against the engine, and compares what happens with what is wanted.
//!
//! `conformance [--jobs N] [--shards N]... [--show] PATH...`: files or folders, wherever they lie.
//! Each file is played with one shard and with two. The format is told in
//! `tests/scenarios/README.md`.
//!
//! ```text
//!   fields ─► action, step, settings ─► scenario        what a file says; unknown keys are errors
//!   play ─► run, record                                 one run: who is who, what happens
//!     ├─► client ─► wire, certs, ports                  the peers' side
//!     └─► player ─► perform ─► methods, servers, dial, watches      the server's side
//!   trace, judge                                        what is compared, and how often
//! ```

#![forbid(unsafe_code)]
#![allow(clippy::disallowed_methods, reason = "the outside of an engine has threads and clocks")]

mod action;
mod certs;
mod client;
mod dial;
mod fields;
mod files;
mod headroom;
mod judge;
mod methods;
mod notices;
mod perform;
mod play;
mod player;
mod ports;
mod record;
mod run;
mod scenario;
mod servers;
mod settings;
mod step;
mod trace;
mod watches;
mod wire;

use judge::{Judged, judge};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

const USAGE: &str = "usage: conformance [--jobs N] [--shards N]... [--show] PATH...";

/// What the command line asks for.
#[derive(Default)]
struct Request {
    jobs: usize,
    shards: Vec<usize>,
    /// Whether the trace of a run that failed is printed.
    show: bool,
    /// Played once, and the trace printed as JSON: for scenarios that need a process of their own.
    alone: bool,
    paths: Vec<PathBuf>,
}

fn request(args: impl Iterator<Item = String>) -> Result<Request, String> {
    let mut request = Request { jobs: 4, ..Request::default() };
    let mut args = args;
    while let Some(arg) = args.next() {
        let mut number = || {
            let text = args.next().ok_or_else(|| format!("{arg} needs a number"))?;
            let number: usize = text.parse().map_err(|_| format!("{arg}: {text:?}"))?;
            if number == 0 { Err(format!("{arg}: 0")) } else { Ok(number) }
        };
        match arg.as_str() {
            "--jobs" => request.jobs = number()?,
            "--shards" => request.shards.push(number()?),
            "--show" => request.show = true,
            "--alone" => request.alone = true,
            _ if arg.starts_with('-') => return Err(format!("unknown option {arg}")),
            _ => request.paths.push(arg.into()),
        }
    }
    if request.shards.is_empty() {
        request.shards = vec![1, 2];
    }
    Ok(request)
}

fn main() -> ExitCode {
    notices::listen();
    let request = match request(std::env::args().skip(1)) {
        Ok(request) => request,
        Err(error) => return misused(&error),
    };
    let files = match files::scenarios(&request.paths) {
        Ok(files) if files.is_empty() => return misused("no scenarios"),
        Ok(files) => files,
        Err(error) => return misused(&error),
    };
    if request.alone {
        return judge::play_alone(&files[0], request.shards[0]);
    }
    let judged = judge_all(&request, &files);
    let failed = judged.iter().filter(|judged| judged.failure.is_some()).count();
    let replays: usize = judged.iter().map(|judged| judged.replays).sum();
    println!("{} passed, {failed} failed", judged.len() - failed);
    println!("{replays} runs were replayed for time");
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn misused(error: &str) -> ExitCode {
    eprintln!("conformance: {error}\n{USAGE}");
    ExitCode::from(2)
}

/// Plays all, several at a time, and prints the verdicts in the order of the files.
fn judge_all(request: &Request, files: &[PathBuf]) -> Vec<Judged> {
    let next = AtomicUsize::new(0);
    let done: Mutex<Vec<Option<Judged>>> = Mutex::new(files.iter().map(|_| None).collect());
    let printed = AtomicUsize::new(0);
    let work = || {
        while let Some(file) = files.get(next.fetch_add(1, Ordering::Relaxed)) {
            let judged = judge(file, &request.shards, request.show);
            let mut done = done.lock().expect("nothing panics while it is locked");
            let index = files.iter().position(|other| other == file);
            done[index.expect("it is one of them")] = Some(judged);
            while let Some(Some(judged)) = done.get(printed.load(Ordering::Relaxed)) {
                println!("{judged}");
                printed.fetch_add(1, Ordering::Relaxed);
            }
        }
    };
    thread::scope(|threads| {
        for _ in 0..request.jobs {
            threads.spawn(work);
        }
    });
    let done = done.into_inner().expect("nothing panics while it is locked");
    done.into_iter().flatten().collect()
}
