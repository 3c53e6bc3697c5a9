//! Resident memory of a server per idle connection.
//!
//! Never: needs a clock; so the servers stand one after the other.

use crate::candidate::Candidate;
use crate::clients::{Clients, Handshake, Order};
use crate::compare::{self, Measured, Part};
use crate::failure::Failure;
use crate::report::Row;
use crate::scenario::{Lines, Scenario};
use crate::window::Place;
use shardpoll_bench::memory::{descriptors, resident};

/// Connections at the first and at the second look.
const FEW: usize = 500;
const MANY: usize = 10_000;

/// Longer than opening all connections can take, in seconds: none may be closed as too silent.
const READ_TIMEOUT: u64 = 3600;

pub(crate) fn measure(
    scenario: Scenario,
    candidates: &[Candidate],
    place: Place,
) -> Result<Vec<Row>, Failure> {
    crate::need_descriptors(MANY)?;
    let (mut measured, mut details) = (Vec::new(), Vec::new());
    for &candidate in candidates {
        let [few, many] = growth(candidate, place)?;
        let bytes = (many as f64 - few as f64) / (MANY - FEW) as f64;
        measured.push(Measured::once(candidate, bytes));
        let [few, many] = [few, many].map(|bytes| bytes / 1024);
        details.push(format!("{few} KiB at {FEW}, {many} KiB at {MANY} connections"));
    }
    let mut rows = compare::rows(Part::whole(scenario), &measured);
    for (row, detail) in rows.iter_mut().zip(details) {
        row.detail = detail;
    }
    Ok(rows)
}

/// The resident set with few and with many connections, each after one echo.
fn growth(candidate: Candidate, place: Place) -> Result<[u64; 2], Failure> {
    let options = [
        "--cpu".into(),
        place.server_cpu.to_string(),
        "--read-timeout".into(),
        READ_TIMEOUT.to_string(),
    ];
    let server = candidate.start(&[], &options)?;
    let tls = candidate.provider.map(|_| Handshake::Full);
    let mut clients = Clients::start(server.addr, tls, Some(place.client_cpu))?;
    let mut sizes = [0; 2];
    let mut open = 0;
    for (size, connections) in sizes.iter_mut().zip([FEW, MANY]) {
        clients.order(Order::GrowTo(Lines { connections, size: 64, depth: 1 }))?;
        clients.order(Order::EchoFrom(open))?;
        open = connections;
        let there = descriptors(server.pid).map_err(Failure::io("the server's descriptors"))?;
        if there < connections {
            return Err(candidate.failed(format!("has only {there} descriptors open")));
        }
        *size = resident(server.pid).map_err(Failure::io("the server's memory"))?.all;
    }
    clients.end()?;
    server.end().map_err(|error| candidate.failed(error.to_string()))?;
    Ok(sizes)
}
