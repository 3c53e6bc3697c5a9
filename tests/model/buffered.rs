//! Every state that two senders and a shard can come into on a machine with store buffers, and
//! random schedules of more of them: by shuttle.

mod lib {
    pub(crate) use super::machine::{
        AtomicBool, AtomicUsize, arrive, describe, fence, note, thread,
    };
    pub(crate) use shuttle::sync::mpsc::{Sender, channel};
    pub(crate) use shuttle::thread::spawn;
    pub(crate) use std::sync::atomic::AtomicBool as Rung;
    pub(crate) use std::sync::atomic::Ordering;

    /// As the machine does it.
    pub(crate) fn store(flag: &AtomicBool, value: bool, order: Ordering) {
        flag.store(value, order);
    }
}

mod error {
    pub(crate) use shardpoll::Undelivered;
}

#[path = "channel.rs"]
mod channel;
#[path = "machine.rs"]
mod machine;
#[path = "../../shard/src/mailbox.rs"]
mod mailbox;
#[path = "play.rs"]
mod play;
#[path = "sync.rs"]
mod sync;

use crate::planted::{Bug, finds};
use crate::shape::{AN_EVENT, ONE_LETTER, Shape, TWO_LETTERS};
use shuttle::scheduler::{RandomScheduler, Schedule, Scheduler, Task, TaskId};
use shuttle::{Config, FailurePersistence, Runner};
use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// How many random schedules of each world are tried, if `MODEL_SCHEDULES` does not say how many.
const SCHEDULES: usize = 5_000;

/// Goes into every state once, depth first. Two schedules that have led to the same state have the
/// same future, so the second ends there.
#[derive(Default)]
struct Exhaustive {
    /// Where there was a choice: who has not been chosen yet; the last is the one under way.
    choices: Vec<Vec<TaskId>>,
    /// How many of them this schedule has come to.
    depth: usize,
    seen: HashSet<u64>,
    begun: bool,
    states: Arc<AtomicUsize>,
}

impl Scheduler for Exhaustive {
    fn new_execution(&mut self) -> Option<Schedule> {
        if std::mem::replace(&mut self.begun, true) {
            while let Some(choice) = self.choices.last_mut() {
                choice.pop();
                if !choice.is_empty() {
                    break;
                }
                self.choices.pop();
            }
            self.choices.last()?;
        }
        self.depth = 0;
        Some(Schedule::new(0))
    }

    fn next_task(&mut self, runnable: &[&Task], _: Option<TaskId>, _: bool) -> Option<TaskId> {
        let all = || runnable.iter().map(|task| task.id());
        let mut able: Vec<_> = all().filter(|&thread| !machine::rests(thread)).collect();
        if able.is_empty() {
            able.extend(all());
        }
        if let [only] = able[..] {
            return Some(only);
        }
        if self.depth == self.choices.len() {
            if !self.seen.insert(machine::state(able.iter().copied())) {
                return None;
            }
            self.states.store(self.seen.len(), Ordering::Relaxed);
            self.choices.push(able);
        }
        self.depth += 1;
        self.choices[self.depth - 1].last().copied()
    }

    fn next_u64(&mut self) -> u64 {
        unreachable!("nothing in these worlds asks for a random number")
    }
}

fn config() -> Config {
    let mut config = Config::new();
    config.failure_persistence = FailurePersistence::None;
    config.silence_warnings = true;
    config
}

/// Every state; gives how many there are in which more than one thread could go on.
fn every_state(world: impl Fn() + Send + Sync + 'static) -> usize {
    let (states, scheduler) = (Arc::default(), Exhaustive::default());
    let scheduler = Exhaustive { states: Arc::clone(&states), ..scheduler };
    Runner::new(scheduler, config()).run(move || machine::run(true, &world));
    states.load(Ordering::Relaxed)
}

/// Random schedules of one world, as many as `MODEL_SCHEDULES` says.
fn random(what: &str, world: impl Fn() + Send + Sync + 'static) {
    let asked = std::env::var("MODEL_SCHEDULES").ok();
    let schedules = asked.map_or(SCHEDULES, |text| text.parse().expect("a number of schedules"));
    let scheduler = RandomScheduler::new(schedules);
    let played = Runner::new(scheduler, config()).run(move || machine::run(false, &world));
    println!("{played} random schedules of {what}");
    assert_eq!(played, schedules);
}

#[test]
fn no_state_of_two_senders_with_two_letters_leaves_one_behind() {
    let states = every_state(|| play::play(TWO_LETTERS));
    println!("{states} states");
    // As many as there were when this was written, or so: what plays no schedules finds nothing.
    assert!(states > 10_000, "{states}");
}

#[test]
fn no_state_of_a_shard_that_is_woken_by_an_event_leaves_a_letter_behind() {
    let states = every_state(|| play::play(AN_EVENT));
    println!("{states} states");
    assert!(states > 1_000, "{states}");
}

#[test]
fn no_state_of_a_shard_that_ends_loses_an_order_or_leaves_a_task() {
    let states = every_state(|| play::end(1));
    println!("{states} states");
    assert!(states > 50, "{states}");
}

#[test]
fn no_random_schedule_of_four_senders_leaves_a_letter_behind() {
    let shape = Shape { senders: 4, letters: 3, capacity: 12, orders: false, events: 1 };
    random("four senders", move || play::play(shape));
}

#[test]
fn no_random_schedule_with_a_full_mailbox_and_orders_tells_anyone_wrong() {
    let shape = Shape { senders: 2, letters: 3, capacity: 2, orders: true, events: 1 };
    random("a full mailbox and orders", move || play::play(shape));
}

#[test]
fn no_random_schedule_of_a_shard_that_ends_loses_an_order_or_leaves_a_task() {
    random("a shard that ends", || play::end(3));
}

/// A push is a read-modify-write here, which empties the buffer as well: the sender's fence is for
/// other machines, and `exact` misses it.
#[test]
fn planted_bugs_are_found_on_a_machine_with_store_buffers() {
    for bug in [Bug::NoFenceInPark, Bug::NoSecondLook, Bug::FlagNotTaken] {
        assert!(finds(bug, || _ = every_state(|| play::play(ONE_LETTER))), "{bug:?} was not found");
    }
    assert!(!finds(Bug::NoFenceInWake, || _ = every_state(|| play::play(ONE_LETTER))));
}
