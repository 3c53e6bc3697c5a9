//! One promise per rule about timers, in small cases a reader can follow.
//!
//! Never: random; `model.rs` is.

use std::rc::Rc;
use std::time::Duration;

use shardpoll_timers::{Heap, Tick, TimerId};

fn at(nanos: u64) -> Tick {
    Tick::from_nanos(nanos)
}

/// Everything the turn at `now` gives, each timer retired after it ran.
fn turn<T>(heap: &mut Heap<T>, now: u64) -> Vec<T> {
    heap.start_turn(at(now));
    rest(heap)
}

/// Everything the open turn still gives.
fn rest<T>(heap: &mut Heap<T>) -> Vec<T> {
    let mut ran = Vec::new();
    while let Some((id, value)) = heap.pop_due() {
        heap.retire(id);
        ran.push(value);
    }
    heap.assert_invariants();
    ran
}

/// Opens the turn at `now` and takes its first timer.
fn run_first<T>(heap: &mut Heap<T>, now: u64) -> (TimerId, T) {
    heap.start_turn(at(now));
    heap.pop_due().expect("a timer is due")
}

#[test]
fn s12_an_id_is_never_given_to_a_second_timer() {
    let mut heap = Heap::new();
    let removed = heap.insert(at(1), 'a');
    assert_eq!(heap.remove(removed), Some('a'));
    let retired = heap.insert(at(1), 'b');
    assert_eq!(turn(&mut heap, 1), ['b']);
    let pending = heap.insert(at(1), 'c');
    assert!(removed != retired && retired != pending && removed != pending);
    assert_eq!([removed, retired, pending].map(|id| heap.is_live(id)), [false, false, true]);
}

#[test]
fn s15_a_timer_armed_again_keeps_its_id() {
    let mut heap = Heap::new();
    let id = heap.insert(at(10), 'a');
    for now in [10, 20, 30] {
        assert_eq!(run_first(&mut heap, now), (id, 'a'));
        assert_eq!((heap.len(), heap.due(id), heap.is_live(id)), (0, None, true));
        assert_eq!(heap.rearm(id, at(now + 10), 'a'), Ok(()));
        assert_eq!((heap.len(), heap.due(id)), (1, Some(at(now + 10))));
    }
}

#[test]
fn s15_a_timer_not_armed_again_is_gone() {
    let mut heap = Heap::new();
    let id = heap.insert(at(10), 'a');
    assert_eq!(run_first(&mut heap, 10), (id, 'a'));
    heap.retire(id);
    assert!(!heap.is_live(id));
    assert_eq!(heap.rearm(id, at(20), 'a'), Err('a'));
    assert_eq!(heap.next_due(), None);
}

#[test]
fn s16_nothing_armed_in_a_turn_runs_in_it() {
    let mut heap = Heap::new();
    heap.insert(at(1), "again");
    let moved = heap.insert(at(2), "moved");
    heap.insert(at(3), "old");

    let (again, value) = run_first(&mut heap, 10);
    assert_eq!(value, "again");
    assert_eq!(heap.rearm(again, at(0), "again"), Ok(()));
    heap.insert(at(0), "new");
    assert!(heap.reschedule(moved, at(0)));
    assert_eq!(rest(&mut heap), ["old"], "what was armed in the turn must not hide it");
    assert_eq!(heap.next_due(), Some(at(10)), "the next turn need not wait");
    assert_eq!(turn(&mut heap, 10), ["again", "new", "moved"]);
}

#[test]
fn s16_what_a_turn_left_comes_first_in_the_next() {
    let mut heap = Heap::new();
    heap.insert(at(8), "ran");
    heap.insert(at(9), "left");
    let (ran, _) = run_first(&mut heap, 10);
    heap.retire(ran);
    heap.insert(at(0), "new");
    assert_eq!(turn(&mut heap, 10), ["left", "new"]);
}

#[test]
fn s17_dead_ids_are_ignored() {
    let mut heap = Heap::new();
    let dead = heap.insert(at(1), 'a');
    assert_eq!(heap.remove(dead), Some('a'));
    let heir = heap.insert(at(2), 'b');
    let before = heap.operations();
    assert_eq!((heap.remove(dead), heap.due(dead)), (None, None));
    assert!(!heap.reschedule(dead, at(9)));
    assert_eq!(heap.rearm(dead, at(9), 'x'), Err('x'));
    heap.retire(dead);
    assert_eq!((heap.due(heir), heap.operations()), (Some(at(2)), before));
}

#[test]
fn s17_ids_of_another_heap_change_nothing() {
    let mut other = Heap::new();
    let mut heap = Heap::new();
    // A vacant slot whose next generation is the one of the stranger.
    let first = other.insert(at(1), 'x');
    other.remove(first);
    let strange = other.insert(at(1), 'y');
    let gone = heap.insert(at(1), 'a');
    heap.remove(gone);
    assert_eq!((heap.remove(strange), heap.is_live(strange)), (None, false));
    assert!(!heap.reschedule(strange, at(2)));
    assert_eq!(heap.rearm(strange, at(2), 'z'), Err('z'));
    heap.retire(strange);
    heap.assert_invariants();
}

#[test]
fn s18_a_timer_stopped_while_it_runs_is_not_armed_again() {
    let mut heap = Heap::new();
    let id = heap.insert(at(1), 'a');
    assert_eq!(run_first(&mut heap, 1), (id, 'a'));
    assert_eq!(heap.remove(id), None);
    assert!(!heap.is_live(id));
    assert_eq!((heap.running(), heap.rearm(id, at(2), 'a')), (1, Err('a')));
    assert_eq!(heap.running(), 0, "the refusal ended it");
    assert_eq!(turn(&mut heap, 9), []);
    let heir = heap.insert(at(9), 'b');
    heap.retire(id);
    assert!(heap.is_live(heir) && heir != id, "the slot is free, the id is not");
}

#[test]
fn s18_a_timer_stopped_while_it_runs_may_be_retired() {
    let mut heap = Heap::new();
    let id = heap.insert(at(1), 'a');
    assert_eq!(run_first(&mut heap, 1), (id, 'a'));
    assert_eq!(heap.remove(id), None);
    heap.retire(id);
    assert_eq!((heap.running(), heap.is_live(id)), (0, false));
}

#[test]
fn s19_a_timer_stopped_after_it_was_armed_again_does_not_come_back() {
    let mut heap = Heap::new();
    let id = heap.insert(at(1), 'a');
    assert_eq!(run_first(&mut heap, 1), (id, 'a'));
    assert_eq!(heap.rearm(id, at(1), 'a'), Ok(()));
    assert_eq!(heap.remove(id), Some('a'));
    assert_eq!(turn(&mut heap, 9), []);
}

#[test]
fn s20_only_a_pending_timer_is_rescheduled() {
    let mut heap = Heap::new();
    let id = heap.insert(at(50), 'a');
    assert!(heap.reschedule(id, at(10)), "earlier");
    assert_eq!((heap.due(id), heap.next_due()), (Some(at(10)), Some(at(10))));
    assert!(heap.reschedule(id, at(90)), "later");
    assert_eq!(turn(&mut heap, 89), []);

    assert_eq!(run_first(&mut heap, 90), (id, 'a'));
    assert!(!heap.reschedule(id, at(95)), "running");
    heap.retire(id);
    assert!(!heap.reschedule(id, at(95)), "finished");
    assert!(heap.is_empty());
}

#[test]
fn s22_equal_deadlines_run_in_order_of_arming() {
    let mut heap = Heap::new();
    for value in 0..100 {
        heap.insert(at(7), value);
    }
    assert_eq!(turn(&mut heap, 7), Vec::from_iter(0..100));
}

#[test]
fn s22_a_rescheduled_timer_queues_behind_its_equals() {
    let mut heap = Heap::new();
    let first = heap.insert(at(7), 'a');
    heap.insert(at(7), 'b');
    assert!(heap.reschedule(first, at(7)));
    assert_eq!(turn(&mut heap, 7), ['b', 'a']);
}

#[test]
fn s22_deadlines_decide_before_arming() {
    let mut heap = Heap::new();
    for due in [30, 10, 50, 20, 40] {
        heap.insert(at(due), due);
    }
    assert_eq!(turn(&mut heap, 50), [10, 20, 30, 40, 50]);
}

#[test]
fn s24_no_timer_runs_before_its_deadline() {
    let mut heap = Heap::new();
    heap.insert(at(100), 'a');
    assert!(heap.pop_due().is_none(), "no turn was started");
    assert_eq!(turn(&mut heap, 99), []);
    assert_eq!(turn(&mut heap, 100), ['a'], "at its deadline it is due");
}

#[test]
fn s24_a_clock_that_steps_back_runs_nothing_early() {
    let mut heap = Heap::new();
    heap.start_turn(at(100));
    heap.insert(at(50), 'a');
    assert_eq!(turn(&mut heap, 60), []);
    heap.insert(at(70), 'b');
    assert_eq!(turn(&mut heap, 69), []);
    assert_eq!(turn(&mut heap, 100), ['b', 'a']);
}

#[test]
fn absurd_durations_saturate_at_never() {
    assert_eq!(at(1).saturating_add(Duration::MAX), Tick::MAX);
    assert_eq!(Tick::MAX.saturating_add(Duration::from_nanos(1)), Tick::MAX);
    assert_eq!(at(u64::MAX - 5).saturating_add(Duration::from_nanos(5)), Tick::MAX);
    assert_eq!(at(u64::MAX - 5).saturating_add(Duration::from_nanos(4)), at(u64::MAX - 1));
    assert_eq!(at(1).saturating_add(Duration::new(3, 7)), at(3_000_000_008));
}

#[test]
fn time_since_a_later_tick_is_zero() {
    assert_eq!(at(10).saturating_since(at(3)), Duration::from_nanos(7));
    assert_eq!(at(3).saturating_since(at(10)), Duration::ZERO);
    assert_eq!(Tick::MAX.saturating_since(Tick::ZERO), Duration::from_nanos(u64::MAX));
}

#[test]
fn never_is_after_every_other_deadline() {
    let mut heap = Heap::new();
    heap.insert(Tick::MAX, "never");
    heap.insert(at(u64::MAX - 1), "late");
    assert_eq!(turn(&mut heap, u64::MAX - 1), ["late"]);
    assert_eq!(heap.next_due(), Some(Tick::MAX));
}

#[test]
fn a_value_leaves_the_heap_with_its_timer() {
    let witness = Rc::new(());
    let mut heap = Heap::new();
    let removed = heap.insert(at(5), Rc::clone(&witness));
    heap.insert(at(1), Rc::clone(&witness));
    assert_eq!(Rc::strong_count(&witness), 3);
    drop(heap.remove(removed));
    assert_eq!(Rc::strong_count(&witness), 2);
    drop(run_first(&mut heap, 1));
    assert_eq!(Rc::strong_count(&witness), 1);
}

#[test]
fn operations_count_only_what_touches_the_order() {
    let mut heap = Heap::new();
    let id = heap.insert(at(10), 'a');
    assert_eq!(heap.operations(), 1);
    heap.start_turn(at(9));
    assert!(heap.pop_due().is_none());
    assert_eq!((heap.due(id), heap.next_due()), (Some(at(10)), Some(at(10))));
    assert_eq!(heap.operations(), 1, "looking is free");
    heap.reschedule(id, at(5));
    assert_eq!(heap.operations(), 2);
    heap.start_turn(at(9));
    heap.pop_due();
    assert_eq!(heap.operations(), 3);
    assert_eq!(heap.rearm(id, at(20), 'a'), Ok(()));
    assert_eq!(heap.operations(), 4);
    heap.remove(id);
    heap.retire(id);
    assert_eq!(heap.operations(), 5);
}
