//! The events of libevent, over watches (S141).

use shardpoll::{EventAnswer, EventMode, events};
use shardpoll_tests::{Rig, read_text};
use std::cell::RefCell;
use std::rc::Rc;

/// Watches one end of a pair that can be read and written, answers so, and gives how often it was
/// called in some turns, whether the loop counts it, and how many events the last turns had.
fn calls(rig: &mut Rig, mode: EventMode, answers: &[EventAnswer]) -> (usize, usize, u64) {
    let mut pair = rig.pair();
    let left = Rc::new(RefCell::new((0, answers.to_vec())));
    let own = Rc::clone(&left);
    let watcher = events(mode, move |_watch| {
        let (count, answers) = &mut *own.borrow_mut();
        *count += 1;
        if answers.is_empty() { EventAnswer::Unchanged } else { answers.remove(0) }
    });
    let ours = pair.take();
    let id = rig.local(|local| local.watch(ours, mode.into(), watcher)).expect("room");
    pair.send("x");
    (0..4).for_each(|_| _ = rig.turn());
    let before = rig.counters().events;
    (0..2).for_each(|_| _ = rig.turn());
    let (count, events) = (left.borrow().0, rig.counters().events - before);
    let live = rig.live();
    rig.local(|local| local.stop_watch(id));
    rig.turn();
    (count, live, events)
}

#[test]
fn an_event_goes_on_until_it_is_left_and_a_left_one_still_counts() {
    // S141, S9: one turn registers it, five hear of it
    use EventAnswer::{Leave, Unchanged};
    for mut rig in Rig::both() {
        assert_eq!(calls(&mut rig, EventMode::Read, &[]), (5, 1, 2));
        assert_eq!(calls(&mut rig, EventMode::Write, &[]), (5, 1, 2));
        assert_eq!(calls(&mut rig, EventMode::ReadWrite, &[]), (10, 1, 2), "once for each half");
        assert_eq!(calls(&mut rig, EventMode::Read, &[Leave]), (1, 1, 0));
        assert_eq!(calls(&mut rig, EventMode::Write, &[Unchanged, Leave]), (2, 1, 0));
        assert_eq!(calls(&mut rig, EventMode::ReadWrite, &[Leave]), (1, 1, 0));
    }
}

#[test]
fn again_waits_for_what_the_mode_says() {
    // S141: whatever was set meanwhile
    for mut rig in Rig::both() {
        let mut pair = rig.pair();
        let texts = Rc::new(RefCell::new(Vec::new()));
        let own = Rc::clone(&texts);
        let watcher = events(EventMode::Read, move |watch| {
            own.borrow_mut().push(read_text(watch.fd()));
            watch.set(Some(false), Some(true));
            EventAnswer::Again
        });
        let ours = pair.take();
        rig.local(|local| local.watch(ours, EventMode::Read.into(), watcher)).expect("room");
        rig.turn();
        pair.send("one");
        rig.turn();
        pair.send("two");
        rig.turn();
        assert_eq!(*texts.borrow(), ["one", "two"]);
    }
}
