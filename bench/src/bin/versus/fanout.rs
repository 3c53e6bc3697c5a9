//! One message to a crowd: processor time for each copy, and user-space instructions, which need no
//! clock.
//!
//! Never: says anything before all have heard what was said before.

use crate::candidate::Candidate;
use crate::cli::Cli;
use crate::clients::{Clients, Handshake, Order};
use crate::compare::{self, Measured, Part};
use crate::failure::Failure;
use crate::report::Row;
use crate::rounds::{Stand, timed};
use crate::scenario::{Goal, Scenario};
use crate::spread::go_round;
use crate::window::Place;
use shardpoll_bench::counted;
use shardpoll_bench::tools::{self, Scratch, VALGRIND};

/// Messages of the shorter and of the longer run that is counted: so many more that what the ends
/// of the connections cost, which is not the same twice, is little of it.
const SAID: [u64; 2] = [5, 35];

/// What makes a server tell all, and wait longer than elsewhere for who says nothing himself.
const FANOUT: [&str; 3] = ["--fanout", "--read-timeout", "600"];

pub(crate) fn measure(
    scenario: Scenario,
    crowd: usize,
    candidates: &[Candidate],
    place: Place,
    asked: &Cli,
) -> Result<Vec<Row>, Failure> {
    crate::need_descriptors(crowd)?;
    let start = |&candidate| {
        let more = FANOUT.map(String::from);
        let mut stand = Stand::start(candidate, Handshake::Full, None, place, &more)?;
        stand.order(Order::Gather(crowd))?;
        Ok(stand)
    };
    let mut stands = candidates.iter().map(start).collect::<Result<Vec<_>, Failure>>()?;
    let order = Order::SayFor(asked.window);
    let windows = go_round(&mut stands, asked.rounds, |stand| stand.window(order))?;
    stands.into_iter().try_for_each(Stand::end)?;
    let part = Part { what: "processor time", ..Part::whole(scenario) };
    let mut rows = timed(part, candidates, windows);
    let counted = |&candidate| Ok(Measured::once(candidate, instructions(candidate, crowd)?));
    let counted = candidates.iter().map(counted).collect::<Result<Vec<_>, Failure>>()?;
    let goal = Some(Goal::Ratio(0.5));
    let part = Part { what: "instructions", goal, ..Part::whole(scenario) };
    rows.extend(compare::rows(part, &counted).into_iter().map(|row| Row { unit: "instr", ..row }));
    Ok(rows)
}

/// User-space instructions for each copy: the difference of two runs that differ in the number of
/// messages alone.
fn instructions(candidate: Candidate, crowd: usize) -> Result<f64, Failure> {
    let scratch = Scratch::new().map_err(Failure::io("a folder for the tools' output"))?;
    let run = |said| -> Result<i64, Failure> {
        let counts = scratch.file("callgrind");
        let under = counted::callgrind(&counts, &scratch.file("valgrind.log"));
        let server = candidate.start(&under, &FANOUT.map(String::from))?;
        let mut clients = Clients::start(server.addr, None, None)?;
        clients.order(Order::Gather(crowd))?;
        clients.order(Order::Say(said))?;
        clients.end()?;
        server.end().map_err(|error| candidate.failed(error.to_string()))?;
        Ok(counted::instructions(&tools::read(VALGRIND, &counts)?)?)
    };
    tools::version(VALGRIND)?;
    let [few, many] = SAID;
    let more = run(many)? - run(few)?;
    Ok(more as f64 / ((many - few) as f64 * crowd as f64))
}
