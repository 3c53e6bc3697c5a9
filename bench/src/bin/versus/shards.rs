//! This engine with two shards beside itself with one: what the second adds to an echo.
//!
//! Each shard has as many connections, so that a turn of either has as much to do. Both shards
//! share the servers' CPU: the clients need the other, and what threads cost there is in the time.
//!
//! Never: compares different numbers of connections a shard.

use crate::candidate::Candidate;
use crate::cli::Cli;
use crate::clients::{Handshake, Order};
use crate::compare::{self, Measured, Part};
use crate::failure::Failure;
use crate::instructions::{self, ECHO, What};
use crate::peer::Peer;
use crate::report::Row;
use crate::rounds::{Stand, timed};
use crate::scenario::{Lines, Scenario};
use crate::spread::go_round;
use crate::window::Place;

/// How many it has, and with that many its connections and its options.
fn shards(of: Candidate) -> (usize, Lines, [String; 2]) {
    let shards = if of.peer == Peer::OneShard { 1 } else { 2 };
    let lines = Lines { connections: shards * ECHO.connections, ..ECHO };
    (shards, lines, ["--shards".into(), shards.to_string()])
}

pub(crate) fn measure(
    scenario: Scenario,
    candidates: &[Candidate],
    place: Place,
    asked: &Cli,
) -> Result<Vec<Row>, Failure> {
    let start = |&candidate| {
        let (_, lines, options) = shards(candidate);
        Stand::start(candidate, Handshake::Full, Some(lines), place, &options)
    };
    let mut stands = candidates.iter().map(start).collect::<Result<Vec<_>, Failure>>()?;
    let order = Order::LinesFor(asked.window);
    let windows = go_round(&mut stands, asked.rounds, |stand| stand.window(order))?;
    stands.into_iter().try_for_each(Stand::end)?;
    let counted = |&candidate| {
        let (_, lines, options) = shards(candidate);
        let cost = instructions::cost(What::Echo(lines), candidate, &options)?;
        Ok((Measured::once(candidate, cost.instructions), 1.0 / cost.turns))
    };
    let counted = candidates.iter().map(counted).collect::<Result<Vec<_>, Failure>>()?;
    let part = Part { what: "processor time", goal: None, ..Part::whole(scenario) };
    let mut rows = timed(part, candidates, windows);
    let (counts, turns): (Vec<_>, Vec<_>) = counted.into_iter().unzip();
    let part = Part { what: "instructions", ..Part::whole(scenario) };
    let mut more = compare::rows(part, &counts);
    for (row, echoes) in more.iter_mut().zip(turns) {
        row.unit = "instr";
        row.detail = format!("{echoes:.1} echoes a turn");
    }
    rows.extend(more);
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_shard_has_as_many_connections() {
        for (peer, many) in [(Peer::OneShard, 1), (Peer::Shardpoll, 2)] {
            let (shards, lines, options) = shards(Candidate::plain(peer));
            assert_eq!((shards, lines.connections), (many, many * ECHO.connections));
            assert_eq!(options, ["--shards".to_owned(), many.to_string()]);
        }
    }
}
