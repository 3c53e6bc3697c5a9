//! What an echo costs with many connections beside what it costs with few, and whether that grows
//! faster than the floor's: there the kernel's tables and the caches are all there is.
//!
//! Each candidate stands twice, with few and with many connections, and both have their window in
//! every round.
//!
//! Never: has idle connections; each has a message in flight.

use crate::candidate::Candidate;
use crate::cli::Cli;
use crate::clients::{Handshake, Order};
use crate::compare::{self, Measured, Part};
use crate::failure::Failure;
use crate::report::Row;
use crate::rounds::Stand;
use crate::scenario::{Goal, Lines, Scenario};
use crate::spread::go_round;
use crate::window::{Place, Window};

/// A window with many is so many times as long: each connection is to have its turn, and again.
const LONGER: u64 = 2;

/// It has half as many rounds: its windows are long, and two for each candidate.
const FEWER: u32 = 2;

/// A candidate's windows, by round.
struct Pair {
    candidate: Candidate,
    few: Vec<Window>,
    many: Vec<Window>,
}

/// One of both.
type Side = fn(&Pair) -> &Vec<Window>;

pub(crate) fn measure(
    scenario: Scenario,
    [few, many]: [usize; 2],
    candidates: &[Candidate],
    place: Place,
    asked: &Cli,
) -> Result<Vec<Row>, Failure> {
    crate::need_descriptors(many)?;
    let mut stands = Vec::new();
    for &candidate in candidates {
        for (connections, millis) in [(few, asked.window), (many, asked.window * LONGER)] {
            let lines = Lines { connections, size: 64, depth: 1 };
            let stand = Stand::start(candidate, Handshake::Full, Some(lines), place, &[])?;
            stands.push((stand, Order::LinesFor(millis)));
        }
    }
    let windows = go_round(&mut stands, (asked.rounds / FEWER).max(2), |(stand, order)| {
        stand.window(*order)
    })?;
    stands.into_iter().try_for_each(|(stand, _)| stand.end())?;
    let mut windows = windows.into_iter();
    let pair = |&candidate: &Candidate| Pair {
        candidate,
        few: windows.next().expect("each stands twice"),
        many: windows.next().expect("each stands twice"),
    };
    let pairs: Vec<_> = candidates.iter().map(pair).collect();
    Ok(rows(scenario, &pairs))
}

fn rows(scenario: Scenario, pairs: &[Pair]) -> Vec<Row> {
    let part = |what, goal| Part { what, goal, ..Part::whole(scenario) };
    let mut rows = Vec::new();
    let sizes: [(&'static str, Side); 2] =
        [("with few connections", |pair| &pair.few), ("with all connections", |pair| &pair.many)];
    for (what, windows) in sizes {
        let measured = |pair: &Pair| Measured::of_windows(pair.candidate, windows(pair), 1.0);
        let measured: Vec<_> = pairs.iter().map(measured).collect();
        let mut told = compare::rows(part(what, None), &measured);
        for (row, pair) in told.iter_mut().zip(pairs) {
            row.told_by(windows(pair).clone(), 1.0);
        }
        rows.extend(told);
    }
    let growth: Vec<_> = pairs.iter().map(growth).collect();
    let told = compare::rows(part("all over few", Some(Goal::Ratio(1.05))), &growth);
    rows.extend(told.into_iter().map(|row| Row { unit: "x", library: None, ..row }));
    rows
}

/// How many times as much an echo costs with many, round by round.
fn growth(pair: &Pair) -> Measured {
    let both = || pair.few.iter().zip(&pair.many);
    Measured {
        candidate: pair.candidate,
        values: both().map(|(few, many)| many.micros() / few.micros()).collect(),
        disturbed: both().map(|(few, many)| few.is_disturbed() || many.is_disturbed()).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peer::Peer;

    fn window(micros: f64) -> Window {
        let server = micros / 1e6 * 1000.0;
        let (strangers, stolen) = (0.0, 0.0);
        Window { messages: 1000, seconds: 0.3, server, client: 0.2, strangers, stolen }
    }

    #[test]
    fn growth_is_compared_with_the_growth_of_the_floor() {
        let pair = |peer, few, many| Pair {
            candidate: Candidate::plain(peer),
            few: vec![window(few); 2],
            many: vec![window(many); 2],
        };
        let pairs = [pair(Peer::Shardpoll, 8.0, 12.0), pair(Peer::Floor, 10.0, 20.0)];
        let rows = rows(Scenario::Echo15000, &pairs);
        assert_eq!(rows.len(), 6);
        let last = &rows[4];
        assert_eq!((last.what, last.server), ("all over few", "shardpoll"));
        assert!((last.value.median - 1.5).abs() < 1e-9, "{last:?}");
        let ratio = last.ratio.as_ref().expect("the floor is here").spread.median;
        assert!((ratio - 0.75).abs() < 1e-9, "{last:?}");
        assert!(rows[..4].iter().all(|row| row.most.is_none()) && last.most.is_some());
    }
}
