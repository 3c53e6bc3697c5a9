//! Timers: ours, a heap, beside tokio-util's `DelayQueue`, a wheel of milliseconds, in one process
//! on one thread.
//!
//! Both hold the same number of timers, due within a minute, and carry out the same operations in
//! the same order. What time the wheel sees is tokio's paused clock, which each round moves.
//!
//! Never: counts what prepares an operation.

use crate::candidate::Candidate;
use crate::cli::Cli;
use crate::compare::{self, Measured, Part};
use crate::failure::Failure;
use crate::peer::Peer;
use crate::report::Row;
use crate::scenario::{Goal, Scenario};
use crate::spread::go_round;
use shardpoll_bench::clock::Clock;
use std::time::Duration;

mod heap;
mod wheel;

/// How far ahead timers are due at the most, in milliseconds.
const AHEAD: u64 = 60_000;

/// How many operations of a kind one window has: of the pending ones, and in all.
const SHARE: usize = 10;
const OPERATIONS: usize = 20_000;

/// How many are pending, the ratio to reach, and what the rows are called.
const CROWDS: [(usize, f64, [&str; KINDS]); 2] = [
    (10_000, 1.0, ["insert, 10^4", "reschedule, 10^4", "cancel, 10^4", "pop, 10^4"]),
    (1_000_000, 2.0, ["insert, 10^6", "reschedule, 10^6", "cancel, 10^6", "pop, 10^6"]),
];

const KINDS: usize = 4;

/// Who keeps timers; what is random is drawn before the clock is looked at.
trait Timers {
    /// Adds one for each delay, in milliseconds.
    fn insert(&mut self, delays: &[u64]);
    /// Moves the timers at these places to these delays from now.
    fn reschedule(&mut self, moves: &[(usize, u64)]);
    /// Takes out those at these places, one after the other; the last moves to the place of each.
    fn cancel(&mut self, places: &[usize]);
    /// Lets time pass; nothing is taken out.
    fn pass(&mut self, millis: u64);
    /// Takes out all that are due; gives how many.
    fn pop(&mut self) -> usize;
    /// How many are pending, which are at places from 0 on.
    fn len(&self) -> usize;
    /// Forgets the places of those that were popped.
    fn settle(&mut self);
}

/// One who keeps timers, and numbers that are the same for each.
struct Keeper {
    timers: Box<dyn Timers>,
    crowd: usize,
    random: u64,
}

impl Keeper {
    fn new(timers: Box<dyn Timers>, crowd: usize) -> Self {
        let mut keeper = Self { timers, crowd, random: 7 };
        let delays = keeper.delays(crowd);
        keeper.timers.insert(&delays);
        keeper
    }

    /// SplitMix64.
    fn below(&mut self, end: u64) -> u64 {
        self.random = self.random.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % end
    }

    fn place(&mut self, end: usize) -> usize {
        usize::try_from(self.below(end as u64)).expect("below a usize")
    }

    fn delays(&mut self, count: usize) -> Vec<u64> {
        (0..count).map(|_| 1 + self.below(AHEAD)).collect()
    }

    /// Nanoseconds for one operation of each kind.
    fn window(&mut self, clock: Clock) -> [f64; KINDS] {
        let batch = (self.crowd / SHARE).min(OPERATIONS);
        let mut sums = [(0_u64, 0_usize); KINDS];
        let mut add = |kind: usize, count: usize, began: u64| {
            sums[kind].0 += clock.nanos() - began;
            sums[kind].1 += count;
        };
        for _ in 0..OPERATIONS / batch {
            let delays = self.delays(batch);
            let began = clock.nanos();
            self.timers.insert(&delays);
            add(0, batch, began);
            let there = self.timers.len();
            let moves: Vec<_> =
                (0..batch).map(|_| (self.place(there), 1 + self.below(AHEAD))).collect();
            let began = clock.nanos();
            self.timers.reschedule(&moves);
            add(1, batch, began);
            let places: Vec<_> = (0..batch).map(|gone| self.place(there - gone)).collect();
            let began = clock.nanos();
            self.timers.cancel(&places);
            add(2, batch, began);
            self.timers.pass(AHEAD / (self.crowd / batch) as u64);
            let began = clock.nanos();
            let popped = self.timers.pop();
            add(3, popped, began);
            self.timers.settle();
            let again = self.delays(self.crowd - self.timers.len());
            self.timers.insert(&again);
        }
        sums.map(|(nanos, count)| nanos as f64 / count as f64)
    }
}

pub(crate) fn measure(asked: &Cli) -> Result<Vec<Row>, Failure> {
    let clock = Clock::start();
    let mut rows = Vec::new();
    for (crowd, goal, names) in CROWDS {
        let mut keepers = [
            Keeper::new(Box::new(heap::Ours::default()), crowd),
            Keeper::new(Box::new(wheel::Theirs::new()?), crowd),
        ];
        let windows =
            go_round(&mut keepers, asked.rounds, |keeper| Ok::<_, Failure>(keeper.window(clock)))?;
        for (kind, what) in names.into_iter().enumerate() {
            let measured = |(peer, windows): (Peer, &Vec<[f64; KINDS]>)| Measured {
                candidate: Candidate::plain(peer),
                values: windows.iter().map(|window| window[kind]).collect(),
                disturbed: vec![false; windows.len()],
            };
            let all: Vec<_> = [Peer::Shardpoll, Peer::DelayQueue]
                .into_iter()
                .zip(&windows)
                .map(measured)
                .collect();
            let part = Part {
                scenario: Scenario::Timers,
                what,
                base: Peer::DelayQueue,
                goal: Some(Goal::Ratio(goal)),
            };
            rows.extend(compare::rows(part, &all));
        }
    }
    Ok(rows)
}

/// So many milliseconds.
fn millis(count: u64) -> Duration {
    Duration::from_millis(count)
}
