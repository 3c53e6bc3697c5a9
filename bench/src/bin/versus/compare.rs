//! From values by round to rows: medians, and ratios to the base and to the best library, each
//! taken within a round.
//!
//! Never: measures; compares values of different rounds.

use crate::candidate::Candidate;
use crate::peer::Peer;
use crate::report::{Ratio, Row};
use crate::scenario::{Goal, Scenario};
use crate::spread::{Spread, that_count};
use crate::window::Window;

/// What was measured of one candidate.
#[derive(Clone, Debug)]
pub(crate) struct Measured {
    pub(crate) candidate: Candidate,
    /// One for each round.
    pub(crate) values: Vec<f64>,
    /// Whether others disturbed it; as many.
    pub(crate) disturbed: Vec<bool>,
}

/// What a table, or one part of it, is about.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Part {
    pub(crate) scenario: Scenario,
    /// What is counted, where a scenario has several.
    pub(crate) what: &'static str,
    pub(crate) base: Peer,
    /// For this engine.
    pub(crate) goal: Option<Goal>,
}

impl Part {
    /// The only one of its scenario.
    pub(crate) fn whole(scenario: Scenario) -> Self {
        let spec = scenario.spec();
        Self { scenario, what: "", base: spec.base, goal: spec.goal }
    }
}

impl Measured {
    /// By windows, times this.
    pub(crate) fn of_windows(candidate: Candidate, windows: &[Window], scale: f64) -> Self {
        Self {
            candidate,
            values: windows.iter().map(|window| window.micros() * scale).collect(),
            disturbed: windows.iter().map(Window::is_disturbed).collect(),
        }
    }

    /// Something that is counted, so once is enough.
    pub(crate) fn once(candidate: Candidate, value: f64) -> Self {
        Self { candidate, values: vec![value], disturbed: vec![false] }
    }

    /// The rounds that count for a row, beside this one.
    pub(crate) fn counted(&self, other: &Self) -> Vec<usize> {
        let both = self.disturbed.iter().zip(&other.disturbed);
        that_count(&both.map(|(own, other)| *own || *other).collect::<Vec<_>>())
    }

    fn spread(&self, rounds: &[usize]) -> Spread {
        Spread::of(rounds.iter().map(|&round| self.values[round]).collect())
    }

    fn over(&self, other: &Self) -> Ratio {
        let ratio = |&round: &usize| self.values[round] / other.values[round];
        let spread = Spread::of(self.counted(other).iter().map(ratio).collect());
        Ratio { of: other.candidate.name(), spread }
    }

    fn median(&self) -> f64 {
        self.spread(&self.counted(self)).median
    }
}

/// One row each; without a ratio where what it is compared with is not here.
pub(crate) fn rows(part: Part, all: &[Measured]) -> Vec<Row> {
    let beside = |own: &Measured, peer: Peer| {
        all.iter().find(|other| other.candidate == own.candidate.beside(peer))
    };
    let row = |own: &Measured| {
        let base = beside(own, part.base);
        let with = base.unwrap_or(own);
        let quiet = own.disturbed.iter().zip(&with.disturbed).filter(|(a, b)| !**a && !**b);
        // Where the base is a library itself there is nothing more to say.
        let best = if part.base.is_library() { None } else { best_library(own, all) };
        Row {
            what: part.what,
            value: own.spread(&own.counted(with)),
            ratio: base.map(|base| own.over(base)),
            library: best.map(|best| own.over(best)),
            rounds: own.values.len(),
            quiet: quiet.count(),
            most: part.goal.filter(|_| own.candidate.peer == Peer::Shardpoll),
            ..Row::new(part.scenario, own.candidate)
        }
    };
    all.iter().map(row).collect()
}

fn best_library<'a>(own: &Measured, all: &'a [Measured]) -> Option<&'a Measured> {
    let rivals = all.iter().filter(|other| {
        other.candidate.peer.is_library() && other.candidate.provider == own.candidate.provider
    });
    rivals.min_by(|a, b| a.median().total_cmp(&b.median()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measured(peer: Peer, values: [f64; 3]) -> Measured {
        Measured {
            candidate: Candidate::plain(peer),
            values: values.into(),
            disturbed: vec![false; 3],
        }
    }

    #[test]
    fn ratios_are_taken_round_by_round() {
        let all = [
            measured(Peer::Shardpoll, [2.0, 6.0, 20.0]),
            measured(Peer::Floor, [1.0, 2.0, 4.0]),
            measured(Peer::Tokio, [4.0, 4.0, 4.0]),
        ];
        let rows = rows(Part::whole(Scenario::Echo50), &all);
        let ratio = rows[0].ratio.as_ref().expect("the floor is here");
        assert_eq!((ratio.of, ratio.spread.median), ("floor", 3.0));
        let library = rows[0].library.as_ref().expect("a library is here");
        assert_eq!((library.of, library.spread.median), ("tokio", 1.5));
        assert_eq!(rows[2].library.as_ref().map(|ratio| ratio.spread.median), Some(1.0));
    }

    #[test]
    fn rounds_that_either_side_was_disturbed_in_do_not_count() {
        let mut all =
            [measured(Peer::Shardpoll, [2.0, 2.0, 9.0]), measured(Peer::Floor, [1.0, 1.0, 1.0])];
        all[1].disturbed[2] = true;
        let rows = rows(Part::whole(Scenario::Echo50), &all);
        assert_eq!((rows[0].value.q3, rows[0].rounds, rows[0].quiet), (2.0, 3, 2));
        assert_eq!(rows[0].ratio.as_ref().map(|ratio| ratio.spread.q3), Some(2.0));
    }

    #[test]
    fn without_its_base_a_row_has_no_ratio() {
        let all = [measured(Peer::Shardpoll, [2.0; 3])];
        let rows = rows(Part::whole(Scenario::Echo50), &all);
        assert!(rows[0].ratio.is_none() && rows[0].library.is_none());
        assert_eq!(rows[0].value.median, 2.0);
    }
}
