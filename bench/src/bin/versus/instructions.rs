//! User-space instructions of a server per message, per connection and per handshake, counted by
//! callgrind: the difference of two runs that differ in the number of messages alone.
//!
//! For messages strace, around callgrind, holds the server before each wait until those of all 50
//! connections are there, so that a turn of its loop always has 50 events, whatever the engine.
//!
//! Never: counts what the kernel does, or a cache miss.

use crate::candidate::{Candidate, Provider};
use crate::clients::{Clients, Handshake, Order};
use crate::compare::{self, Measured, Part};
use crate::failure::Failure;
use crate::peer::Peer;
use crate::report::Row;
use crate::scenario::{Goal, Lines, Scenario, present};
use crate::specs::{FEW, TLS};
use shardpoll_bench::counted::{self, Calls, Trace};
use shardpoll_bench::tools::{self, STRACE, Scratch, VALGRIND};

pub(crate) const ECHO: Lines = Lines { connections: 50, size: 64, depth: 1 };
const PIPE: Lines = Lines { connections: 50, size: 1024, depth: 16 };

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum What {
    /// Lockstep rounds, all messages ready at once.
    Echo(Lines),
    /// Connect, handshake, one echo, close; one after the other.
    Visit(Handshake),
}

impl What {
    /// How many times in the shorter and the longer run.
    fn times(self) -> [u64; 2] {
        match self {
            Self::Echo(lines) if lines.depth > 1 => [10, 60],
            Self::Echo(_) => [20, 220],
            Self::Visit(_) => [20, 120],
        }
    }

    /// How many units one time is.
    fn units(self) -> u64 {
        match self {
            Self::Echo(lines) => (lines.connections * lines.depth) as u64,
            Self::Visit(_) => 1,
        }
    }
}

/// One part of the table.
struct Count {
    what: What,
    part: Part,
    tls: bool,
}

fn counts() -> [Count; 6] {
    let count = |what, name, goal, tls| {
        let base = if tls { Peer::Tokio } else { Peer::Floor };
        let part = Part { scenario: Scenario::Instructions, what: name, base, goal };
        Count { what, part, tls }
    };
    let (echo, pipe) = (What::Echo(ECHO), What::Echo(PIPE));
    let visit = What::Visit(Handshake::Full);
    let resumed = What::Visit(Handshake::Resumed);
    [
        count(echo, "plain echo, 50 ready", Some(Goal::Value(250.0)), false),
        count(pipe, "pipe, 1 KiB, 16 deep", Some(Goal::Ratio(3.0)), false),
        count(visit, "connection", Some(Goal::Value(1500.0)), false),
        count(echo, "TLS echo, 50 ready", None, true),
        count(visit, "visit, full handshake", None, true),
        count(resumed, "visit, resumed handshake", None, true),
    ]
}

/// What one unit costs, in instructions and in turns of the loop.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cost {
    pub(crate) instructions: f64,
    pub(crate) turns: f64,
}

pub(crate) fn measure(providers: &[Provider]) -> Result<Vec<Row>, Failure> {
    for tool in [STRACE, VALGRIND] {
        tools::version(tool)?;
    }
    let mut rows = Vec::new();
    for count in counts() {
        let (_, peers) = present(if count.tls { TLS } else { FEW });
        let candidates = Candidate::all(&peers, if count.tls { providers } else { &[] });
        rows.extend(compare(&count, &candidates)?);
    }
    Ok(rows)
}

fn compare(count: &Count, candidates: &[Candidate]) -> Result<Vec<Row>, Failure> {
    let costs: Vec<_> =
        candidates.iter().map(|&of| cost(count.what, of, &[])).collect::<Result<_, Failure>>()?;
    let once =
        |(&candidate, cost): (&Candidate, &Cost)| Measured::once(candidate, cost.instructions);
    let measured: Vec<_> = candidates.iter().zip(&costs).map(once).collect();
    let mut rows = compare::rows(count.part, &measured);
    for (row, cost) in rows.iter_mut().zip(costs) {
        row.detail = match count.what {
            What::Echo(_) => format!("{:.1} echoes a turn", 1.0 / cost.turns),
            What::Visit(_) => format!("{:.1} turns each", cost.turns),
        };
    }
    Ok(rows)
}

/// Of a server that was started with these options.
pub(crate) fn cost(what: What, candidate: Candidate, options: &[String]) -> Result<Cost, Failure> {
    let scratch = Scratch::new().map_err(Failure::io("a folder for the tools' output"))?;
    let [few, many] = what.times();
    let (less, fewer) = run(what, candidate, options, &scratch, few)?;
    let (more, waits) = run(what, candidate, options, &scratch, many)?;
    let units = ((many - few) * what.units()) as f64;
    let turns = waits.since(&fewer).total() as f64 / units;
    Ok(Cost { instructions: (more - less) as f64 / units, turns })
}

fn run(
    what: What,
    candidate: Candidate,
    options: &[String],
    scratch: &Scratch,
    times: u64,
) -> Result<(i64, Calls), Failure> {
    let (counts, waits) = (scratch.file("callgrind"), scratch.file("waits"));
    let trace = Trace { only_waits: true, hold: matches!(what, What::Echo(_)) };
    let mut under = counted::strace(&waits, trace);
    under.extend(counted::callgrind(&counts, &scratch.file("valgrind.log")));
    let server = candidate.start(&under, options)?;
    let handshake = if let What::Visit(handshake) = what { handshake } else { Handshake::Full };
    let tls = candidate.provider.map(|_| handshake);
    let mut clients = Clients::start(server.addr, tls, None)?;
    match what {
        What::Echo(lines) => {
            clients.order(Order::GrowTo(lines))?;
            clients.order(Order::Rounds(times))?;
        }
        What::Visit(_) => drop(clients.order(Order::Visits(times))?),
    }
    clients.end()?;
    server.end().map_err(|error| candidate.failed(error.to_string()))?;
    let counted = counted::instructions(&tools::read(VALGRIND, &counts)?)?;
    Ok((counted, Calls::parse(&tools::read(STRACE, &waits)?)?))
}
