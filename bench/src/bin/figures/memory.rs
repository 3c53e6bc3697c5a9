//! Resident memory of the server per idle connection, plain and TLS.
//!
//! Never: counts what the kernel keeps for a socket.

use crate::crowd::Crowd;
use crate::driver::Driver;
use crate::failure::Failure;
use crate::report::{Figure, Section};
use crate::server;
use shardpoll::raise_descriptor_limit;
use shardpoll_bench::child::Child;
use shardpoll_bench::memory::{Resident, descriptors, resident};
use std::path::Path;

/// Connections at the first and at the second look.
const FEW: usize = 500;
const MANY: usize = 10_000;

/// Descriptors that a process has beside its connections.
const SPARE: u64 = 100;

/// Longer than opening all connections can take: none may be closed as too silent.
const OPTIONS: [&str; 2] = ["--read-timeout", "1h"];

/// Makes sure that this process and its servers may have all the connections.
pub(crate) fn prepare() -> Result<(), Failure> {
    let needed = MANY as u64 + SPARE;
    let limit = raise_descriptor_limit().map_err(Failure::io("descriptor limit"))?;
    if limit < needed {
        return Err(Failure::Descriptors { connections: MANY, needed, limit });
    }
    Ok(())
}

pub(crate) fn measure(program: &Path) -> Result<Section, Failure> {
    let figures =
        vec![figure("plain", 400.0, plain(program)?), figure("TLS 1.3", 4300.0, tls(program)?)];
    let how = format!(
        "the server's resident set (Rss of /proc/PID/smaps_rollup) with {MANY} connections less \
         that with {FEW}, divided by the {} between: what it takes to start is in both. Each \
         connection has had one 64-byte echo and is idle. The user's state is the echo handler's: \
         none. Memory of the kernel, such as sockets and their buffers, is not in it. The plain \
         client is blocking sockets, the TLS client the library's own, with a certificate it does \
         not check.",
        MANY - FEW
    );
    Ok(Section { title: "Resident bytes per idle connection", figures, how })
}

fn figure(name: &'static str, goal: f64, [few, many]: [Resident; 2]) -> Figure {
    let per_connection =
        |few: u64, many: u64| (many as f64 - few as f64) / (MANY as f64 - FEW as f64);
    let detail = format!(
        "{} KiB at {FEW}, {} KiB at {MANY}; anonymous memory alone {:.0} each",
        few.all / 1024,
        many.all / 1024,
        per_connection(few.anonymous, many.anonymous),
    );
    Figure {
        name,
        value: per_connection(few.all, many.all),
        goal: Some(goal),
        digits: 0,
        detail,
        held: None,
    }
}

fn plain(program: &Path) -> Result<[Resident; 2], Failure> {
    let server = server::start(program, &[], &OPTIONS)?;
    let mut driver = Driver::new(server.addr);
    driver.grow_to(FEW)?;
    let few = look(&server, FEW)?;
    driver.grow_to(MANY)?;
    let many = look(&server, MANY)?;
    server.end()?;
    Ok([few, many])
}

fn tls(program: &Path) -> Result<[Resident; 2], Failure> {
    let server = server::start(program, &[], &[OPTIONS[0], OPTIONS[1], "--tls"])?;
    let mut crowd = Crowd::start(server.addr, true)?;
    crowd.grow_to(FEW)?;
    let few = look(&server, FEW)?;
    crowd.grow_to(MANY)?;
    let many = look(&server, MANY)?;
    crowd.end()?;
    server.end()?;
    Ok([few, many])
}

/// Looks at the server, having made sure that it still has all its connections.
fn look(server: &Child, connections: usize) -> Result<Resident, Failure> {
    let open = descriptors(server.pid).map_err(Failure::io("the server's descriptors"))?;
    if open < connections {
        let why = format!("has {open} descriptors open, fewer than the {connections} connections");
        return Err(Failure::Server { why });
    }
    resident(server.pid).map_err(Failure::io("the server's memory"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_is_the_growth_by_connection() {
        let at = |all, anonymous| Resident { all, anonymous };
        let figure = figure("x", 400.0, [at(9_500, 0), at(9_500 * 301, 9_500 * 200)]);
        assert!((figure.value - 300.0).abs() < 1e-9, "{figure:?}");
        assert!(figure.detail.contains("alone 200 each"), "{figure:?}");
    }
}
