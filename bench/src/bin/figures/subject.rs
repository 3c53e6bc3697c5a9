//! Small programs that do nothing but one operation, to be counted: this very program, under a word
//! of its own, in a process of its own.
//!
//! Each is made ready for [`MOST`] of its operations and carries out as many as it is told, so that
//! two counts differ in the operation alone. Nothing in it depends on time, chance or threads.
//!
//! Never: does anything that a user of the library could not.

use crate::failure::Failure;
use clap::ValueEnum;
use shardpoll::{Engine, Pinning, Turn};
use shardpoll_timers::{Heap, Tick};
use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The most that any of them is told to do.
pub(crate) const MOST: u64 = 11_000;

/// Timers that are pending beside those which the operation is about.
pub(crate) const PENDING: u64 = 10_000;

/// Letters that wait for a shard when its turn comes.
pub(crate) const LETTERS_A_TURN: u64 = 100;

/// What is counted.
#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Subject {
    TimerInsert,
    TimerCancel,
    TimerReschedule,
    TimerPop,
    Letter,
}

impl Subject {
    pub(crate) fn carry_out(self, times: u64) -> Result<(), Failure> {
        match self {
            Self::Letter => return letters(times),
            Self::TimerInsert => insert(times),
            Self::TimerCancel => cancel(times),
            Self::TimerReschedule => reschedule(times),
            Self::TimerPop => pop(times),
        }
        Ok(())
    }
}

/// Deadlines within a minute, as evenly spread as can be, and in no order: the multiples of the
/// golden ratio.
fn deadline(number: u64) -> Tick {
    const SPREAD: u64 = 0x9E37_79B9_7F4A_7C15;
    const MINUTE: u128 = 60_000_000_000;
    let nanos = (u128::from(number.wrapping_mul(SPREAD)) * MINUTE) >> 64;
    Tick::from_nanos(u64::try_from(nanos).expect("less than a minute"))
}

/// A heap with so many timers, in numbers from 0, and room for all that may come.
fn heap(pending: u64) -> Heap<u64> {
    let room = usize::try_from(PENDING + MOST).expect("a constant");
    let mut heap = Heap::with_capacity(room);
    for number in 0..pending {
        heap.insert(deadline(number), number);
    }
    heap
}

// The operations stay functions of their own, so that a budget's breakdown can name them.
#[inline(never)]
fn insert(times: u64) {
    let mut heap = heap(PENDING);
    for number in 0..times {
        black_box(heap.insert(deadline(PENDING + number), number));
    }
}

#[inline(never)]
fn cancel(times: u64) {
    let mut heap = heap(PENDING);
    let timers: Vec<_> =
        (0..MOST).map(|number| heap.insert(deadline(PENDING + number), number)).collect();
    for timer in timers.into_iter().zip(0..times) {
        black_box(heap.remove(timer.0));
    }
}

#[inline(never)]
fn reschedule(times: u64) {
    let mut heap = heap(0);
    let timers: Vec<_> = (0..PENDING).map(|number| heap.insert(deadline(number), number)).collect();
    for (number, &timer) in (0..times).zip(timers.iter().cycle()) {
        black_box(heap.reschedule(timer, deadline(PENDING + number)));
    }
}

#[inline(never)]
fn pop(times: u64) {
    let mut heap = heap(PENDING + MOST);
    heap.start_turn(Tick::MAX);
    for _ in 0..times {
        let (timer, number) = heap.pop_due().expect("there are as many");
        black_box(number);
        heap.retire(timer);
    }
}

/// Posts letters from this thread to a shard on this thread, whose turn then reads them all: the
/// real mailbox and the real loop, one after the other, so nobody ever finds the other asleep.
fn letters(times: u64) -> Result<(), Failure> {
    let builder = Engine::builder().shards(1).pinning(Pinning::None).watchdog(None);
    let (engine, mut workers) = builder.workers()?;
    let mut worker = workers.pop().expect("one was asked for").start();
    let remote = engine.remote();
    let read = Arc::new(AtomicU64::new(0));
    let turn_failed = Failure::io("a turn of a shard");
    for _ in 0..times / LETTERS_A_TURN {
        for _ in 0..LETTERS_A_TURN {
            let read = Arc::clone(&read);
            let letter = move |_: &mut shardpoll::Local<'_>| {
                read.fetch_add(1, Ordering::Relaxed);
            };
            let posted = remote.run(0, letter);
            posted.map_err(|refused| Failure::Subject { why: format!("a letter: {refused}") })?;
        }
        worker.turn(Some(Duration::ZERO)).map_err(&turn_failed)?;
    }
    let read = read.load(Ordering::Relaxed);
    if read != times {
        return Err(Failure::Subject { why: format!("{read} of {times} letters were read") });
    }
    engine.quit(Duration::ZERO);
    while worker.turn(None).map_err(&turn_failed)? != Turn::Drained {}
    drop(worker);
    engine.join()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_subject_does_as_often_as_it_is_told() {
        for subject in Subject::value_variants() {
            for times in [0, LETTERS_A_TURN, MOST] {
                subject.carry_out(times).expect("no kernel refuses an epoll");
            }
        }
    }

    #[test]
    fn deadlines_are_spread_over_a_minute_in_no_order() {
        let ticks: Vec<_> = (0..1000).map(|number| deadline(number).as_nanos()).collect();
        let below = |limit| ticks.iter().filter(|&&tick| tick < limit).count();
        assert_eq!(below(60_000_000_000), 1000);
        assert!((499..=501).contains(&below(30_000_000_000)));
        let falls = ticks.windows(2).filter(|pair| pair[1] < pair[0]).count();
        assert!((300..700).contains(&falls), "{falls}");
    }
}
