//! The main job: a plain and a TLS server, small and large messages on each, and a fixed rate; one
//! table, one report.
//!
//! Never: runs two loads at once; the machine's CPUs are for one.

use crate::child;
use crate::cli::{Job, Reach};
use crate::drive::{Watchers, drive};
use crate::failure::Failure;
use crate::live::Live;
use crate::load::Load;
use crate::outcome::{Run, Workload};
use crate::reach::Endpoint;
use crate::report;
use crate::run::{document, interrupts, may_write, show};
use crate::share::Share;
use crate::swarm::Work;
use crate::target::{Security, Target};
use shardpoll_bench::child::Child;
use shardpoll_bench::clock::calendar;
use std::time::Duration;

/// Enough to keep some always ready, few enough to fit any limit of descriptors.
const CONNECTIONS: usize = 50;

/// What is driven in turn.
struct Shape {
    name: &'static str,
    size: usize,
    depth: usize,
    per_second: Option<f64>,
}

/// A request of a small protocol, one at a time; bulk, which fills the engine's read buffer; and
/// the first again at a rate that leaves the server idle for the most part, as servers are.
const SHAPES: [Shape; 3] = [
    Shape { name: "small", size: 64, depth: 1, per_second: None },
    Shape { name: "large", size: 16 * 1024, depth: 4, per_second: None },
    Shape { name: "at a rate", size: 64, depth: 1, per_second: Some(5_000.0) },
];

const TIMEOUT: Duration = Duration::from_secs(10);

/// Runs all loads, prints what came of them, and writes the report.
pub(crate) fn job(options: &Job) -> Result<(), Failure> {
    may_write("--report", &options.report)?;
    let interrupted = interrupts()?;
    let live = Live::new(options.json);
    let watchers = Watchers { interrupted: &interrupted, live: &live, log: None };
    let (mut runs, started) = (Vec::new(), calendar());
    let ended = match all_loads(options, &watchers, &mut runs) {
        // What came before it is worth a table.
        Err(Failure::Interrupted) if !runs.is_empty() => Ok(()),
        other => other,
    };
    if runs.is_empty() {
        return ended;
    }
    let document = document(runs, started, None);
    show(&document, options.json, Some(&options.report))?;
    if !options.json {
        report::print(format!("\nThe report: {}\n", options.report.display()))?;
    }
    report::verdict(&document.runs, &[]).and(ended)
}

/// Stops at the first load that went wrong: what it found is worth more than what would follow.
fn all_loads(options: &Job, watchers: &Watchers<'_>, runs: &mut Vec<Run>) -> Result<(), Failure> {
    for tls in [false, true] {
        let server = child::start(tls)?;
        for shape in &SHAPES {
            let run = drive(&load(&server, tls, shape, options)?, watchers)?;
            let over = run.errors.total + run.errors.lost > 0 || run.interrupted;
            runs.push(run);
            if over {
                return Ok(server.end()?);
            }
        }
        server.end()?;
    }
    Ok(())
}

fn load(server: &Child, tls: bool, shape: &Shape, options: &Job) -> Result<Load, Failure> {
    let (host, port) = (server.addr.ip().to_string(), server.addr.port());
    let security = if tls { Security::AtOnce } else { Security::Never };
    let reach = Reach::to(Target::Tcp { security, host, port }, tls);
    let Shape { name, size, depth, per_second } = *shape;
    Ok(Load {
        name: format!("{}, {name}", if tls { "TLS" } else { "plain" }),
        workload: Workload::Echo,
        work: Work::Echo { size, depth },
        endpoints: Endpoint::resolve(&reach, false)?.into(),
        connections: Share { first: 0, count: CONNECTIONS, all: CONNECTIONS },
        per_second,
        warmup: Duration::ZERO,
        duration: options.duration,
        threads: 1,
        timeout: TIMEOUT,
        server_pid: Some(server.pid),
    })
}
