//! The heap against a model too simple to be wrong, by seeded random operations.
//!
//! The model keeps the pending timers in an unordered list and scans it for every answer. After
//! each operation its complete result is compared, and the heap checks its own invariants. A
//! failing run prints its mix, seed and step, which repeat it.
//!
//! Never: reads a clock, or draws a seed that is not written here.

use std::collections::HashSet;

use fastrand::Rng;
use shardpoll_timers::{Heap, Tick, TimerId};

const SEEDS: [u64; 5] = [1, 2, 3, 0xdead_beef, u64::MAX];
const STEPS: usize = 10_000;

/// Above this many live timers a step ends one instead of making one.
const LIVE_MAX: usize = 200;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Pending { due: Tick, armed: u64, value: u64 },
    Running,
    Stopped,
    Dead,
}

/// Every timer that ever was, dead ones too, and the open turn.
#[derive(Default)]
struct Model {
    timers: Vec<(TimerId, State)>,
    /// Which of `timers` are not dead: so that a step need not scan the dead.
    live: Vec<usize>,
    armings: u64,
    now: Tick,
    /// How many armings there were when the turn began; none may run before the first turn.
    old: u64,
    operations: u64,
}

impl Model {
    fn arm(&mut self, due: Tick, value: u64) -> State {
        self.armings += 1;
        self.operations += 1;
        State::Pending { due: due.max(self.now), armed: self.armings, value }
    }

    /// The (deadline, arming, timer) of all that are pending.
    fn pending(&self) -> impl Iterator<Item = (Tick, u64, usize)> {
        self.live.iter().filter_map(|&timer| match self.timers[timer].1 {
            State::Pending { due, armed, .. } => Some((due, armed, timer)),
            _ => None,
        })
    }

    fn bury(&mut self, timer: usize) {
        self.timers[timer].1 = State::Dead;
        self.live.retain(|&other| other != timer);
    }

    fn remove(&mut self, timer: usize) -> Option<u64> {
        match self.timers[timer].1 {
            State::Pending { value, .. } => {
                self.operations += 1;
                self.bury(timer);
                Some(value)
            }
            State::Running => {
                self.timers[timer].1 = State::Stopped;
                None
            }
            State::Stopped | State::Dead => None,
        }
    }

    fn reschedule(&mut self, timer: usize, due: Tick) -> bool {
        let State::Pending { value, .. } = self.timers[timer].1 else {
            return false;
        };
        self.timers[timer].1 = self.arm(due, value);
        true
    }

    fn pop_due(&mut self) -> Option<(TimerId, u64)> {
        let may_run = |&(due, armed, _): &(Tick, u64, usize)| due <= self.now && armed <= self.old;
        let (_, _, timer) = self.pending().filter(may_run).min()?;
        let (id, State::Pending { value, .. }) = self.timers[timer] else {
            unreachable!("only pending timers were looked at");
        };
        self.operations += 1;
        self.timers[timer].1 = State::Running;
        Some((id, value))
    }

    fn rearm(&mut self, timer: usize, due: Tick, value: u64) -> Result<(), u64> {
        match self.timers[timer].1 {
            State::Running => {
                self.timers[timer].1 = self.arm(due, value);
                Ok(())
            }
            State::Stopped => {
                self.bury(timer);
                Err(value)
            }
            State::Pending { .. } | State::Dead => Err(value),
        }
    }

    fn retire(&mut self, timer: usize) {
        if matches!(self.timers[timer].1, State::Running | State::Stopped) {
            self.bury(timer);
        }
    }
}

/// What a run is made of.
struct Mix {
    name: &'static str,
    /// How often, in relation to the others: insert, remove, reschedule, turn, pop, rearm, retire.
    weights: [u32; 7],
    /// Deadlines lie within this of now, before or after; small means many are equal.
    span: u64,
    /// Whether a turn may begin before the last one did.
    steps_back: bool,
}

impl Mix {
    const fn new(name: &'static str, weights: [u32; 7], span: u64) -> Self {
        Self { name, weights, span, steps_back: false }
    }
}

/// Says how to repeat a run that failed.
struct Repeat {
    mix: &'static str,
    seed: u64,
    step: usize,
}

impl Drop for Repeat {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("failed: mix {:?}, seed {:#x}, step {}", self.mix, self.seed, self.step);
        }
    }
}

struct Run<'a> {
    mix: &'a Mix,
    rng: Rng,
    heap: Heap<u64>,
    model: Model,
    ids: HashSet<TimerId>,
    next_value: u64,
}

impl Run<'_> {
    fn step(&mut self) {
        let weights = &self.mix.weights;
        let sum: u32 = weights.iter().sum();
        let mut draw = self.rng.u32(..sum);
        let mut verb = 0;
        while draw >= weights[verb] {
            draw -= weights[verb];
            verb += 1;
        }
        match verb {
            0 if self.model.live.len() < LIVE_MAX => self.insert(),
            0 | 1 => {
                let timer = self.timer(is_pending);
                let id = self.model.timers[timer].0;
                assert_eq!(self.heap.remove(id), self.model.remove(timer), "remove {id:?}");
            }
            2 => {
                let timer = self.timer(is_pending);
                let (id, due) = (self.model.timers[timer].0, self.due());
                let (got, want) =
                    (self.heap.reschedule(id, due), self.model.reschedule(timer, due));
                assert_eq!(got, want, "reschedule {id:?} to {due:?}");
            }
            3 => self.turn(),
            4 => assert_eq!(self.heap.pop_due(), self.model.pop_due(), "pop_due"),
            5 => {
                let timer = self.timer(has_run);
                let (id, due, value) = (self.model.timers[timer].0, self.due(), self.value());
                let (got, want) =
                    (self.heap.rearm(id, due, value), self.model.rearm(timer, due, value));
                assert_eq!(got, want, "rearm {id:?} to {due:?}");
            }
            _ => {
                let timer = self.timer(has_run);
                self.heap.retire(self.model.timers[timer].0);
                self.model.retire(timer);
            }
        }
        self.compare();
    }

    fn insert(&mut self) {
        let (due, value) = (self.due(), self.value());
        let id = self.heap.insert(due, value);
        assert!(self.ids.insert(id), "{id:?} was given out before");
        let state = self.model.arm(due, value);
        self.model.live.push(self.model.timers.len());
        self.model.timers.push((id, state));
    }

    fn turn(&mut self) {
        let (now, span) = (self.model.now.as_nanos(), self.mix.span);
        let back = self.mix.steps_back && self.rng.u8(..4) == 0;
        let now = if back { now - self.rng.u64(..=span) } else { now + self.rng.u64(..=span) };
        let now = Tick::from_nanos(now);
        self.heap.start_turn(now);
        self.model.now = now;
        self.model.old = self.model.armings;
    }

    /// What no operation may leave different.
    fn compare(&mut self) {
        let model = &self.model;
        let pending = model.pending().count();
        assert_eq!((self.heap.len(), self.heap.is_empty()), (pending, pending == 0), "len");
        let running = model.live.len() - pending;
        assert_eq!(self.heap.running(), running, "running");
        let next_due = model.pending().map(|(due, ..)| due).min();
        assert_eq!(self.heap.next_due(), next_due, "next_due");
        assert_eq!(self.heap.operations(), model.operations, "operations");
        // A few live timers, and a few of all that ever were.
        for probe in 0..6 {
            let timer = match self.rng.choice(&model.live) {
                Some(&timer) if probe < 3 => timer,
                _ => self.rng.usize(..model.timers.len()),
            };
            let (id, state) = model.timers[timer];
            let due = match state {
                State::Pending { due, .. } => Some(due),
                _ => None,
            };
            let live = matches!(state, State::Pending { .. } | State::Running);
            assert_eq!((self.heap.due(id), self.heap.is_live(id)), (due, live), "{id:?} {state:?}");
        }
        self.heap.assert_invariants();
    }

    /// Most often a timer in the wanted state, else any live one, now and then any that ever was.
    fn timer(&mut self, wanted: fn(&State) -> bool) -> usize {
        let model = &self.model;
        let fits = |timer: &&usize| wanted(&model.timers[**timer].1);
        let fitting: Vec<usize> = model.live.iter().filter(fits).copied().collect();
        let chosen = match self.rng.u8(..10) {
            0 => None,
            1 => self.rng.choice(&model.live),
            _ => self.rng.choice(&fitting),
        };
        chosen.copied().unwrap_or_else(|| self.rng.usize(..model.timers.len()))
    }

    fn due(&mut self) -> Tick {
        let (now, span) = (self.model.now.as_nanos(), self.mix.span);
        let nanos = match self.rng.u8(..16) {
            0 => u64::MAX,
            1 => 0,
            2..=4 => now - self.rng.u64(..=span),
            5 => now,
            _ => now + self.rng.u64(..=span),
        };
        Tick::from_nanos(nanos)
    }

    fn value(&mut self) -> u64 {
        self.next_value += 1;
        self.next_value
    }
}

fn is_pending(state: &State) -> bool {
    matches!(state, State::Pending { .. })
}

fn has_run(state: &State) -> bool {
    matches!(state, State::Running | State::Stopped)
}

fn run(mix: &Mix) {
    for seed in SEEDS {
        let mut repeat = Repeat { mix: mix.name, seed, step: 0 };
        let mut run = Run {
            mix,
            rng: Rng::with_seed(seed),
            heap: Heap::new(),
            model: Model::default(),
            ids: HashSet::new(),
            next_value: 0,
        };
        // Deadlines in the past need a past, and stale ids a first timer.
        run.heap.start_turn(Tick::from_nanos(1 << 40));
        run.model.now = Tick::from_nanos(1 << 40);
        run.insert();
        for step in 0..STEPS {
            repeat.step = step;
            run.step();
        }
        let dead = run.model.timers.len() - run.model.live.len();
        assert!(dead > STEPS / 100, "a run with {dead} dead timers proves little");
    }
}

#[test]
fn an_even_mix_agrees_with_the_model() {
    run(&Mix::new("even", [3, 1, 2, 1, 4, 2, 1], 1_000));
}

#[test]
fn equal_deadlines_agree_with_the_model() {
    run(&Mix::new("equal deadlines", [6, 1, 4, 1, 6, 4, 2], 2));
}

#[test]
fn long_turns_agree_with_the_model() {
    run(&Mix::new("long turns", [20, 8, 20, 1, 20, 18, 2], 50));
}

#[test]
fn stops_and_stale_ids_agree_with_the_model() {
    run(&Mix::new("many stopped", [10, 12, 2, 2, 8, 4, 2], 100));
}

#[test]
fn a_clock_that_steps_back_agrees_with_the_model() {
    let mix = Mix::new("clock steps back", [4, 1, 2, 2, 4, 3, 1], 40);
    run(&Mix { steps_back: true, ..mix });
}

#[test]
fn a_large_crowd_comes_out_sorted() {
    let mut rng = Rng::with_seed(7);
    let mut heap = Heap::with_capacity(50_000);
    let mut sorted: Vec<(Tick, u64)> =
        (0..50_000).map(|value| (Tick::from_nanos(rng.u64(..20_000)), value)).collect();
    for &(due, value) in &sorted {
        heap.insert(due, value);
    }
    heap.assert_invariants();
    sorted.sort_unstable();
    heap.start_turn(Tick::from_nanos(20_000));
    for (_, value) in sorted {
        let (id, popped) = heap.pop_due().expect("as many come out as went in");
        assert_eq!(popped, value);
        heap.retire(id);
    }
    assert!(heap.pop_due().is_none() && heap.is_empty());
}
