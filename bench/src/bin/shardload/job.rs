//! The main job: a plain and a TLS server, small and large messages on each, one table.
//!
//! Never: runs two loads at once; the machine's CPUs are for one.

use crate::child;
use crate::cli::{Job, Reach};
use crate::failure::Failure;
use crate::live::Live;
use crate::load::Load;
use crate::reach::Endpoint;
use crate::report::{self, Report};
use crate::run::interrupts;
use crate::target::{Security, Target};
use serde::Serialize;
use shardpoll_bench::child::Child;
use shardpoll_bench::machine::Machine;
use std::sync::atomic::AtomicBool;

/// Enough to keep some always ready, few enough to fit any limit of descriptors.
const CONNECTIONS: usize = 50;

/// A request of a small protocol, one at a time; and bulk, which fills the engine's read buffer.
const SHAPES: [(usize, usize); 2] = [(64, 1), (16 * 1024, 4)];

#[derive(Serialize)]
struct Json<'a> {
    version: &'static str,
    machine: &'a Machine,
    runs: &'a [Report],
}

/// Runs all loads and prints what came of them.
pub(crate) fn job(options: &Job) -> Result<(), Failure> {
    let interrupted = interrupts()?;
    let mut reports = Vec::new();
    let ended = match all_loads(options, &interrupted, &mut reports) {
        // What came before it is worth a table.
        Err(Failure::Interrupted) if !reports.is_empty() => Ok(()),
        other => other,
    };
    if reports.is_empty() {
        return ended;
    }
    let machine = Machine::read();
    if options.json {
        let version = env!("CARGO_PKG_VERSION");
        report::print(&report::json(&Json { version, machine: &machine, runs: &reports }))?;
    } else {
        report::print(&report::table(&reports, &machine))?;
    }
    report::verdict(&reports).and(ended)
}

/// Stops at the first load that went wrong: what it found is worth more than what would follow.
fn all_loads(
    options: &Job,
    interrupted: &AtomicBool,
    reports: &mut Vec<Report>,
) -> Result<(), Failure> {
    let live = Live::new(false);
    for tls in [false, true] {
        let server = child::start(tls)?;
        for (size, depth) in SHAPES {
            let report = load(&server, tls, size, depth, options)?.drive(interrupted, &live)?;
            let over = report.errors > 0 || report.interrupted;
            reports.push(report);
            if over {
                return Ok(server.end()?);
            }
        }
        server.end()?;
    }
    Ok(())
}

fn load(
    server: &Child,
    tls: bool,
    size: usize,
    depth: usize,
    options: &Job,
) -> Result<Load, Failure> {
    let security = if tls { Security::AtOnce } else { Security::Never };
    let (host, port) = (server.addr.ip().to_string(), server.addr.port());
    let reach = Reach::to(Target::Tcp { security, host, port }, tls);
    Ok(Load {
        name: if tls { "TLS" } else { "plain" }.into(),
        endpoint: Endpoint::resolve(&reach, false)?.swap_remove(0),
        connections: CONNECTIONS,
        size,
        depth,
        duration: options.duration,
        threads: 1,
        server_pid: Some(server.pid),
    })
}
