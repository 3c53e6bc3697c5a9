//! Resident memory of a server per idle TLS connection.
//!
//! Never: needs a clock; so the servers stand one after the other, and the clients have all
//! descriptors for one of them.

use crate::candidate::Candidate;
use crate::credentials;
use crate::failure::Failure;
use crate::load::Load;
use crate::report::{Ratio, Row};
use crate::scenario::{Lines, Scenario};
use crate::spread::Spread;
use crate::window::Place;
use shardpoll::raise_descriptor_limit;
use shardpoll_bench::memory::{descriptors, resident};

/// Connections at the first and at the second look.
const FEW: usize = 500;
const MANY: usize = 10_000;

/// Descriptors that a process has beside its connections.
const SPARE: u64 = 100;

/// Longer than opening all connections can take, in seconds: none may be closed as too silent.
const READ_TIMEOUT: u64 = 3600;

pub(crate) fn measure(
    scenario: Scenario,
    candidates: &[Candidate],
    place: Place,
) -> Result<Vec<Row>, Failure> {
    let needed = MANY as u64 + SPARE;
    let limit = raise_descriptor_limit().map_err(Failure::io("descriptor limit"))?;
    if limit < needed {
        return Err(Failure::Descriptors { needed, limit });
    }
    let mut rows: Vec<Row> = Vec::new();
    for &candidate in candidates {
        let [few, many] = growth(candidate, place)?;
        let bytes = (many as f64 - few as f64) / (MANY - FEW) as f64;
        let detail =
            format!("{} KiB at {FEW}, {} KiB at {MANY} connections", few / 1024, many / 1024);
        let value = Spread::of(vec![bytes]);
        rows.push(Row { value, detail, ..Row::new(scenario, candidate) });
    }
    let bytes: Vec<_> = rows.iter().map(|row| row.value.median).collect();
    for (row, candidate) in rows.iter_mut().zip(candidates) {
        let base = candidates.iter().position(|other| *other == candidate.base());
        let base = base.expect("each stands beside its base");
        let spread = Spread::of(vec![row.value.median / bytes[base]]);
        row.ratio = Some(Ratio { of: candidates[base].name(), spread });
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
    let load = Load::start(Some(place.client_cpu))?;
    let tls = candidate.provider.map(|_| credentials::client(false));
    let mut group = load.group(server.addr, tls);
    let mut sizes = [0; 2];
    let mut open = 0;
    for (size, connections) in sizes.iter_mut().zip([FEW, MANY]) {
        group.grow_to(Lines { connections, size: 64, depth: 1 })?;
        group.echo_from(open)?;
        open = connections;
        let there = descriptors(server.pid).map_err(Failure::io("the server's descriptors"))?;
        if there < connections {
            return Err(candidate.failed(format!("has only {there} descriptors open")));
        }
        *size = resident(server.pid).map_err(Failure::io("the server's memory"))?.all;
    }
    drop(group);
    load.end()?;
    server.end().map_err(|error| candidate.failed(error.to_string()))?;
    Ok(sizes)
}
