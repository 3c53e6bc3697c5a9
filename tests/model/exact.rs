//! Every schedule of few threads, by loom.

mod lib {
    pub(crate) use loom::sync::atomic::AtomicBool as Rung;
    pub(crate) use loom::sync::atomic::{AtomicBool, AtomicUsize, Ordering, fence};
    pub(crate) use loom::sync::mpsc::{Sender, channel};
    pub(crate) use loom::thread::spawn;
    use std::hash::Hash;

    /// loom does not know that nothing comes between a read-modify-write and what it has read, and
    /// so orders plain stores before some that they cannot be before. The flag's plain stores are
    /// all one thread's and all else are read-modify-writes, so in truth they are ordered as they
    /// are executed: which is what a swap says.
    pub(crate) fn store(flag: &AtomicBool, value: bool, order: Ordering) {
        flag.swap(value, order);
    }

    /// Who runs.
    pub(crate) fn thread() -> usize {
        let text = format!("{:?}", loom::thread::current().id());
        text.len() + usize::from(text.as_bytes()[text.len() - 2])
    }

    pub(crate) fn describe(_: &AtomicUsize, _: impl Hash) {}

    pub(crate) fn note(_: impl Hash) {}

    pub(crate) fn arrive(_: impl Hash) {}
}

mod error {
    pub(crate) use shardpoll::Undelivered;
}

#[path = "channel.rs"]
mod channel;
#[path = "../../shard/src/mailbox.rs"]
#[allow(dead_code, reason = "as for `play`")]
mod mailbox;
#[path = "play.rs"]
#[allow(dead_code, reason = "a shard that ends looks again and again, which loom cannot bear")]
mod play;
#[path = "sync.rs"]
mod sync;

use crate::planted::{Bug, finds};
use crate::shape::{AN_EVENT, ONE_LETTER, Shape, THREE_LETTERS, TWO_LETTERS};
use std::sync::Arc;

/// Every schedule in which a thread that could go on is interrupted at most so often (`None`: every
/// schedule); gives how many there are.
fn every_schedule(shape: Shape, interruptions: Option<usize>) -> usize {
    use std::sync::atomic::{AtomicUsize, Ordering};
    let played = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&played);
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = interruptions;
    builder.check(move || {
        count.fetch_add(1, Ordering::Relaxed);
        play::play(shape);
    });
    played.load(Ordering::Relaxed)
}

#[test]
fn no_schedule_of_one_sender_with_two_letters_leaves_one_behind() {
    let played = every_schedule(Shape { senders: 1, ..TWO_LETTERS }, None);
    println!("{played} schedules");
    assert!(played > 1_000, "{played}");
}

#[test]
fn no_schedule_of_two_senders_with_three_letters_and_two_interruptions_leaves_one_behind() {
    let played = every_schedule(THREE_LETTERS, Some(2));
    println!("{played} schedules");
    assert!(played > 10_000, "{played}");
}

#[test]
fn no_schedule_of_a_shard_that_is_woken_by_an_event_leaves_a_letter_behind() {
    let played = every_schedule(AN_EVENT, Some(2));
    println!("{played} schedules");
    assert!(played > 1_000, "{played}");
}

#[test]
fn planted_bugs_are_found_on_a_weak_machine() {
    for bug in [Bug::NoFenceInWake, Bug::NoFenceInPark, Bug::NoSecondLook, Bug::FlagNotTaken] {
        assert!(finds(bug, || _ = every_schedule(ONE_LETTER, Some(2))), "{bug:?} was not found");
    }
}
