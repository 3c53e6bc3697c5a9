//! User-space instructions of a server per echo and per handshake, counted by callgrind: the
//! difference of two runs that differ in the number of messages alone.
//!
//! For the echoes strace, around callgrind, holds the server before each wait until all 50 messages
//! are there, so that a turn of its loop always has 50 events, whatever the engine.
//!
//! Never: counts what the kernel does, or a cache miss.

use crate::candidate::{Candidate, Provider};
use crate::credentials;
use crate::failure::Failure;
use crate::load::Load;
use crate::report::{Ratio, Row};
use crate::scenario::{Lines, Scenario};
use crate::spread::Spread;
use shardpoll_bench::counted::{self, Calls, Trace};
use shardpoll_bench::tools::{self, STRACE, Scratch, VALGRIND};

const READY: Lines = Lines { connections: 50, size: 64, depth: 1 };

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum What {
    /// Lockstep rounds, all messages ready at once.
    Echo,
    /// Connect, handshake, one echo, close; one after the other.
    Visit { resumed: bool },
}

impl What {
    /// How many times in the shorter and the longer run.
    fn times(self) -> [u64; 2] {
        match self {
            Self::Echo => [20, 220],
            Self::Visit { .. } => [20, 120],
        }
    }

    /// How many units one time is.
    fn units(self) -> u64 {
        match self {
            Self::Echo => READY.connections as u64,
            Self::Visit { .. } => 1,
        }
    }

    fn name(self, tls: bool) -> &'static str {
        match (self, tls) {
            (Self::Echo, false) => "plain echo, 50 ready",
            (Self::Echo, true) => "TLS echo, 50 ready",
            (Self::Visit { resumed: false }, _) => "visit, full handshake",
            (Self::Visit { resumed: true }, _) => "visit, resumed handshake",
        }
    }
}

/// What one unit costs, in instructions and in turns of the loop.
#[derive(Clone, Copy, Debug)]
struct Cost {
    instructions: f64,
    turns: f64,
}

pub(crate) fn measure(providers: &[Provider]) -> Result<Vec<Row>, Failure> {
    for tool in [STRACE, VALGRIND] {
        tools::version(tool)?;
    }
    let plain = Candidate::all(false, providers);
    let tls = Candidate::all(true, providers);
    let mut rows = compare(What::Echo, &plain)?;
    for what in [What::Echo, What::Visit { resumed: false }, What::Visit { resumed: true }] {
        rows.extend(compare(what, &tls)?);
    }
    Ok(rows)
}

fn compare(what: What, candidates: &[Candidate]) -> Result<Vec<Row>, Failure> {
    let costs: Vec<_> =
        candidates.iter().map(|&of| cost(what, of)).collect::<Result<_, Failure>>()?;
    let row = |(&candidate, cost): (&Candidate, &Cost)| {
        let base = candidates.iter().position(|other| *other == candidate.base());
        let base = base.expect("each stands beside its base");
        let ratio = Spread::of(vec![cost.instructions / costs[base].instructions]);
        let detail = match what {
            What::Echo => format!("{:.1} echoes a turn", 1.0 / cost.turns),
            What::Visit { .. } => format!("{:.1} turns each", cost.turns),
        };
        Row {
            what: what.name(candidate.provider.is_some()),
            value: Spread::of(vec![cost.instructions]),
            ratio: Some(Ratio { of: candidates[base].name(), spread: ratio }),
            detail,
            ..Row::new(Scenario::Instructions, candidate)
        }
    };
    Ok(candidates.iter().zip(&costs).map(row).collect())
}

fn cost(what: What, candidate: Candidate) -> Result<Cost, Failure> {
    let scratch = Scratch::new().map_err(Failure::io("a folder for the tools' output"))?;
    let [few, many] = what.times();
    let (less, fewer) = run(what, candidate, &scratch, few)?;
    let (more, waits) = run(what, candidate, &scratch, many)?;
    let units = ((many - few) * what.units()) as f64;
    let turns = waits.since(&fewer).total() as f64 / units;
    Ok(Cost { instructions: (more - less) as f64 / units, turns })
}

fn run(
    what: What,
    candidate: Candidate,
    scratch: &Scratch,
    times: u64,
) -> Result<(i64, Calls), Failure> {
    let (counts, waits) = (scratch.file("callgrind"), scratch.file("waits"));
    let trace = Trace { only_waits: true, hold: what == What::Echo };
    let mut under = counted::strace(&waits, trace);
    under.extend(counted::callgrind(&counts, &scratch.file("valgrind.log")));
    let server = candidate.start(&under, &[])?;
    let load = Load::start(None)?;
    let resumed = matches!(what, What::Visit { resumed: true });
    let tls = candidate.provider.map(|_| credentials::client(resumed));
    let mut group = load.group(server.addr, tls);
    match what {
        What::Echo => {
            group.grow_to(READY)?;
            group.rounds(times)?;
        }
        What::Visit { .. } => group.visits(times)?,
    }
    drop(group);
    load.end()?;
    server.end().map_err(|error| candidate.failed(error.to_string()))?;
    let counted = counted::instructions(&tools::read(VALGRIND, &counts)?)?;
    Ok((counted, Calls::parse(&tools::read(STRACE, &waits)?)?))
}
