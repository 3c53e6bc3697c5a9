//! Which stages connections go through, and how often: for the simulation, which has to see all.
//!
//! Never: decides anything; is compiled without the feature `sim`.
//!
//! Invariants:
//! 1. The last step of a line is the stage it is in (the loop's `check`).

use super::Stage;
use std::fmt;

/// A stage of a connection's life, or one of its two ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Step {
    /// It does not exist yet.
    Begun,
    /// A PROXY header is to come.
    Preface,
    /// The kernel is connecting.
    Connecting,
    /// What was written before an upgrade leaves in clear.
    Upgrading,
    /// TLS is being set up.
    Handshaking,
    /// Application bytes flow.
    Open,
    /// What is queued is sent to its end.
    Flushing,
    /// Our side has ended; the peer's is waited for.
    Lingering,
    /// The descriptor is about to be closed.
    Closed,
    /// Its descriptor and its slot are given up.
    Freed,
}

const STEPS: usize = Step::Freed as usize + 1;

impl Step {
    /// Every step, in the order of a life.
    pub const ALL: [Self; STEPS] = [
        Self::Begun,
        Self::Preface,
        Self::Connecting,
        Self::Upgrading,
        Self::Handshaking,
        Self::Open,
        Self::Flushing,
        Self::Lingering,
        Self::Closed,
        Self::Freed,
    ];

    pub(crate) fn of(stage: &Stage) -> Self {
        match stage {
            Stage::Preface(_) => Self::Preface,
            Stage::Connecting(_) => Self::Connecting,
            Stage::Upgrading(_) => Self::Upgrading,
            Stage::Handshaking(_) => Self::Handshaking,
            Stage::Open(_) => Self::Open,
            Stage::Flushing { .. } => Self::Flushing,
            Stage::Lingering { .. } => Self::Lingering,
            Stage::Closed(_) => Self::Closed,
        }
    }
}

const BITS: u32 = 4;
const _: () = assert!(STEPS <= 1 << BITS);

/// The steps of one line, the last one in the lowest bits; the first is 0, as is what follows none.
#[derive(Clone, Copy, Default)]
pub(crate) struct Journey(u64);

impl Journey {
    pub(crate) fn last(self) -> Step {
        let index = (self.0 & ((1 << BITS) - 1)) as usize;
        Step::ALL.get(index).copied().unwrap_or(Step::Begun)
    }

    /// The journey of a line that begins in this stage.
    pub(crate) fn begin(stage: &Stage) -> Self {
        let mut journey = Self::default();
        journey.enter(stage);
        journey
    }

    /// Notes that the line is there now, unless it was already.
    pub(crate) fn enter(&mut self, stage: &Stage) {
        self.note(Step::of(stage));
    }

    /// The oldest steps of a very long journey are forgotten.
    fn note(&mut self, next: Step) {
        if self.last() != next {
            self.0 = self.0 << BITS | next as u64;
        }
    }
}

/// How often connections went from one stage to another; counted when they are freed.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Transitions {
    counts: [[u64; STEPS]; STEPS],
}

impl Transitions {
    /// How often this transition was made.
    #[must_use]
    pub const fn of(&self, from: Step, to: Step) -> u64 {
        self.counts[from as usize][to as usize]
    }

    /// Every transition that was made, with its count.
    pub fn iter(&self) -> impl Iterator<Item = (Step, Step, u64)> {
        let pairs = Step::ALL.into_iter().flat_map(|from| Step::ALL.map(|to| (from, to)));
        pairs.map(|(from, to)| (from, to, self.of(from, to))).filter(|&(_, _, count)| count > 0)
    }

    /// Adds what happened in another loop.
    pub fn add(&mut self, other: &Self) {
        for (count, more) in self.counts.iter_mut().flatten().zip(other.counts.iter().flatten()) {
            *count += more;
        }
    }

    /// Adds the journey of a line that is freed now.
    pub(crate) fn close(&mut self, mut journey: Journey) {
        let mut to = Step::Freed;
        loop {
            let from = journey.last();
            self.counts[from as usize][to as usize] += 1;
            if from == Step::Begun {
                return;
            }
            (journey.0, to) = (journey.0 >> BITS, from);
        }
    }
}

/// One line a transition.
impl fmt::Display for Transitions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (from, to, count) in self.iter() {
            writeln!(f, "{count:>10}  {from:?} to {to:?}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_journey_counts_each_of_its_transitions_once() {
        let mut journey = Journey::default();
        for step in [Step::Connecting, Step::Open, Step::Open, Step::Closed] {
            journey.note(step);
        }
        assert_eq!(journey.last(), Step::Closed);
        let mut sum = Transitions::default();
        sum.close(journey);
        let made: Vec<_> = sum.iter().collect();
        let wanted = [
            (Step::Begun, Step::Connecting, 1),
            (Step::Connecting, Step::Open, 1),
            (Step::Open, Step::Closed, 1),
            (Step::Closed, Step::Freed, 1),
        ];
        assert_eq!(made, wanted);
    }
}
