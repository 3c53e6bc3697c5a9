//! `shardload run`: one load on a server that is there already.
//!
//! Never: knows the server's process, so its processor time is left out.

use crate::cli::Echo;
use crate::failure::Failure;
use crate::live::Live;
use crate::load::Load;
use crate::reach::Endpoint;
use crate::report::{self, Report};
use crate::serve::helper;
use serde::Serialize;
use shardpoll::Signals;
use shardpoll_bench::machine::Machine;
use std::process;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// What a shell says of a process that SIGINT ended.
const INTERRUPTED: i32 = 130;

#[derive(Serialize)]
struct Json<'a> {
    version: &'static str,
    machine: &'a Machine,
    #[serde(flatten)]
    report: &'a Report,
}

/// Drives the target and prints what came of it.
pub(crate) fn run(options: &Echo) -> Result<(), Failure> {
    let interrupted = interrupts()?;
    let endpoint = Endpoint::resolve(&options.reach, false)?.swap_remove(0);
    let load = Load {
        name: if endpoint.begins_with_tls() { "TLS" } else { "plain" }.into(),
        endpoint,
        connections: options.measure.connections,
        size: options.size,
        depth: options.depth,
        duration: options.measure.duration,
        threads: options.measure.threads,
        server_pid: None,
    };
    let report = load.drive(&interrupted, &Live::new(options.measure.quiet))?;
    let machine = Machine::read();
    if options.measure.json {
        let version = env!("CARGO_PKG_VERSION");
        report::print(&report::json(&Json { version, machine: &machine, report: &report }))?;
    } else {
        report::print(&report::table(std::slice::from_ref(&report), &machine))?;
    }
    report::verdict(&[report])
}

/// A flag that the first SIGINT or SIGTERM sets; the second ends the process.
///
/// To be called before any other thread starts, since all must inherit what is blocked.
pub(crate) fn interrupts() -> Result<Arc<AtomicBool>, Failure> {
    let mut signals = Signals::block().map_err(Failure::io("signals"))?;
    let interrupted = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&interrupted);
    helper("signals", move || {
        for exit in [false, true] {
            if let Err(error) = signals.wait() {
                eprintln!("shardload: signals can no longer be read, ending: {error}");
            }
            if exit {
                process::exit(INTERRUPTED);
            }
            flag.store(true, Ordering::Relaxed);
        }
    })?;
    Ok(interrupted)
}
