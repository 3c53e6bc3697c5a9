//! Timers at the `Local` API: order, once a turn, stop, reschedule, panic (S12 to S24).

use shardpoll::{Local, Tick, TimerId};
use shardpoll_tests::{Setup, World, both_worlds, receive};
use std::cell::Cell;
use std::rc::Rc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

both_worlds! {
    a_timer_never_runs_early,
    timers_run_in_order_of_their_time_and_equal_ones_in_order_of_arming,
    a_timer_that_rearms_itself_keeps_its_id_and_runs_at_most_once_a_turn,
    a_rearmed_timer_counts_from_the_turn_in_which_it_ran,
    a_timer_added_by_a_timer_runs_in_a_later_turn,
    a_timer_added_in_a_turn_does_not_run_in_it,
    a_stopped_timer_does_not_run,
    a_timer_that_ran_in_this_turn_can_be_stopped_by_a_later_one,
    a_due_timer_can_be_stopped_by_an_earlier_one_of_the_same_turn,
    a_pending_timer_can_be_moved_and_no_other,
    an_absurd_delay_never_comes,
    a_panic_in_a_timer_ends_that_timer_and_nothing_else,
    timers_do_not_keep_an_engine_from_ending,
    what_a_timer_writes_is_sent,
}

const SOON: Duration = Duration::from_millis(30);

/// One run of a timer: its name, the time, and the number of the turn.
type Run = (u32, Tick, u64);

fn note(runs: &Sender<Run>, name: u32, local: &Local<'_>) {
    runs.send((name, local.now(), local.counters().turns)).expect("the test listens");
}

fn next(runs: &Receiver<Run>) -> Run {
    receive(runs).expect("a timer runs in time")
}

/// All that ran until every sender was gone.
fn rest(world: World, runs: &Receiver<Run>) -> Vec<u32> {
    let _trace = world.finish();
    std::iter::from_fn(|| receive(runs).ok()).map(|(name, _, _)| name).collect()
}

fn a_timer_never_runs_early() {
    // S12, S24
    let (world, (log, runs)) = (Setup::new().echo(), channel());
    for millis in [0, 1, 2, 7, 30] {
        let (log, wait) = (log.clone(), Duration::from_millis(millis));
        let armed = world.run(move |local| {
            local.add_timer(wait, move |local, _| {
                note(&log, 0, local);
                None
            });
            local.now()
        });
        let (_, at, _) = next(&runs);
        assert!(at >= armed.saturating_add(wait), "{wait:?}: early");
    }
    drop(log);
    assert!(rest(world, &runs).is_empty(), "each ran once");
}

fn timers_run_in_order_of_their_time_and_equal_ones_in_order_of_arming() {
    // S22
    let (world, (log, runs)) = (Setup::new().echo(), channel());
    world.run(move |local| {
        let waits = [50, 20, 50, 0, 20, 50, 0];
        for (name, millis) in (0..).zip(waits) {
            let log = log.clone();
            local.add_timer(Duration::from_millis(millis), move |local, _| {
                note(&log, name, local);
                None
            });
        }
    });
    let order: Vec<_> = (0..7).map(|_| next(&runs).0).collect();
    assert_eq!(order, [3, 6, 1, 4, 0, 2, 5]);
    let _trace = world.finish();
}

fn a_timer_that_rearms_itself_keeps_its_id_and_runs_at_most_once_a_turn() {
    // S15, S16: though it asks for no delay at all
    let (world, (log, runs)) = (Setup::new().echo(), channel());
    let ids = Rc::<Cell<Option<TimerId>>>::default;
    world.run(move |local| {
        let (mut left, first) = (50, ids());
        local.add_timer(Duration::ZERO, move |local, id| {
            assert_eq!(first.replace(Some(id)).unwrap_or(id), id, "the same id");
            note(&log, 0, local);
            left -= 1;
            (left > 0).then_some(Duration::ZERO)
        });
    });
    let turns: Vec<_> = (0..50).map(|_| next(&runs).2).collect();
    assert!(turns.windows(2).all(|pair| pair[0] < pair[1]), "twice in a turn: {turns:?}");
    assert!(rest(world, &runs).is_empty());
}

fn a_rearmed_timer_counts_from_the_turn_in_which_it_ran() {
    // S15
    let (world, (log, runs)) = (Setup::new().echo(), channel());
    world.run(move |local| {
        local.add_timer(SOON, move |local, _| {
            note(&log, 0, local);
            Some(SOON)
        });
    });
    let times: Vec<_> = (0..4).map(|_| next(&runs).1).collect();
    for pair in times.windows(2) {
        assert!(pair[1] >= pair[0].saturating_add(SOON), "early");
    }
    let _trace = world.finish();
}

fn a_timer_added_by_a_timer_runs_in_a_later_turn() {
    // S16: also with no delay
    let (world, (log, runs)) = (Setup::new().echo(), channel());
    world.run(move |local| {
        local.add_timer(Duration::ZERO, move |local, _| {
            note(&log, 1, local);
            let log = log.clone();
            local.add_timer(Duration::ZERO, move |local, _| {
                note(&log, 2, local);
                None
            });
            None
        });
    });
    let (first, second) = (next(&runs), next(&runs));
    assert_eq!((first.0, second.0), (1, 2));
    assert!(first.2 < second.2, "in the same turn");
    let _trace = world.finish();
}

fn a_timer_added_in_a_turn_does_not_run_in_it() {
    // S16: added from outside, with no delay
    let (world, (log, runs)) = (Setup::new().echo(), channel());
    let turn = world.run(move |local| {
        local.add_timer(Duration::ZERO, move |local, _| {
            note(&log, 0, local);
            None
        });
        local.counters().turns
    });
    assert!(next(&runs).2 > turn);
    let _trace = world.finish();
}

fn a_stopped_timer_does_not_run() {
    // S17: pending; twice; after it ran
    let (world, (log, runs)) = (Setup::new().echo(), channel());
    let other = log.clone();
    let ran = world.run(move |local| {
        let id = local.add_timer(SOON, move |local, _| {
            note(&log, 1, local);
            None
        });
        let stopped = (local.stop(id), local.stop(id));
        assert_eq!(stopped, (true, false));
        local.add_timer(SOON * 2, move |local, _| {
            note(&other, 2, local);
            None
        })
    });
    assert_eq!(next(&runs).0, 2);
    world.run(move |local| assert!(!local.stop(ran), "it is gone"));
    assert!(rest(world, &runs).is_empty());
}

#[test]
fn a_timer_that_stops_itself_is_not_rearmed() {
    // S18 (B5): whatever it returns
    let (world, (log, runs)) = (Setup::new().echo(), channel());
    world.run(move |local| {
        local.add_timer(Duration::ZERO, move |local, id| {
            note(&log, 0, local);
            assert!(local.stop(id), "it is running, not gone");
            assert!(!local.stop(id), "stopped already");
            Some(Duration::ZERO)
        });
    });
    next(&runs);
    // Its sender is dropped with it, long before the world ends.
    let gone = receive(&runs);
    assert_eq!(gone.expect_err("not again"), std::sync::mpsc::RecvTimeoutError::Disconnected);
    let _trace = world.finish();
}

fn a_timer_that_ran_in_this_turn_can_be_stopped_by_a_later_one() {
    // S19 (B6): it had asked to be armed again
    let (world, (log, runs)) = (Setup::new().echo(), channel());
    world.run(move |local| {
        let second = log.clone();
        let first = local.add_timer(SOON, move |local, _| {
            note(&log, 1, local);
            Some(Duration::ZERO)
        });
        local.add_timer(SOON, move |local, _| {
            note(&second, 2, local);
            local.stop(first);
            None
        });
    });
    let (first, second) = (next(&runs), next(&runs));
    assert_eq!((first.0, second.0, first.2), (1, 2, second.2), "in one turn, in order");
    assert!(rest(world, &runs).is_empty());
}

fn a_due_timer_can_be_stopped_by_an_earlier_one_of_the_same_turn() {
    // S17
    let (world, (log, runs)) = (Setup::new().echo(), channel());
    world.run(move |local| {
        let victim = Rc::new(Cell::new(None));
        let (of, second) = (Rc::clone(&victim), log.clone());
        local.add_timer(SOON, move |local, _| {
            note(&log, 1, local);
            assert!(of.get().is_some_and(|id| local.stop(id)));
            None
        });
        victim.set(Some(local.add_timer(SOON, move |local, _| {
            note(&second, 2, local);
            None
        })));
    });
    assert_eq!(rest_after_first(world, &runs), (1, vec![]));
}

fn rest_after_first(world: World, runs: &Receiver<Run>) -> (u32, Vec<u32>) {
    let first = next(runs).0;
    (first, rest(world, runs))
}

fn a_pending_timer_can_be_moved_and_no_other() {
    // S20
    let (world, (log, runs)) = (Setup::new().echo(), channel());
    let (far, near) = (Duration::from_secs(3600), Duration::from_millis(1));
    let armed = world.run(move |local| {
        let (late, early) = (log.clone(), log.clone());
        let id = local.add_timer(far, move |local, id| {
            note(&early, 1, local);
            assert!(!local.reschedule(id, near), "running");
            None
        });
        let other = local.add_timer(near, move |local, _| {
            note(&late, 2, local);
            None
        });
        assert!(local.reschedule(id, near), "pending");
        assert!(local.reschedule(other, SOON), "pending");
        local.stop(id);
        assert!(!local.reschedule(id, near), "gone");
        local.add_timer(far, move |local, _| {
            note(&log, 3, local);
            None
        });
        local.now()
    });
    let (name, at, _) = next(&runs);
    assert_eq!(name, 2);
    assert!(at >= armed.saturating_add(SOON), "early");
    assert!(rest(world, &runs).is_empty());
}

fn an_absurd_delay_never_comes() {
    // saturating arithmetic; B2: a far timer does not break the wait
    let (world, (log, runs)) = (Setup::new().echo(), channel());
    let near = log.clone();
    world.run(move |local| {
        for wait in [Duration::MAX, Duration::from_secs(u64::MAX), Duration::from_secs(1 << 40)] {
            let log = log.clone();
            local.add_timer(wait, move |local, _| {
                note(&log, 1, local);
                Some(Duration::MAX)
            });
        }
        local.add_timer(SOON, move |local, _| {
            note(&near, 2, local);
            Some(Duration::MAX)
        });
    });
    assert_eq!(next(&runs).0, 2);
    let mut peer = world.connect();
    peer.echo(b"the loop still waits for events");
    assert!(rest(world, &runs).is_empty());
}

fn a_panic_in_a_timer_ends_that_timer_and_nothing_else() {
    // S21, O3: caught and counted; the others run
    let (mut world, (log, runs)) = (Setup::new().echo(), channel());
    world.run(move |local| {
        for name in 1..=3 {
            let log = log.clone();
            local.add_timer(SOON, move |local, _| {
                note(&log, name, local);
                assert_ne!(name, 2, "a test's panic");
                None
            });
        }
    });
    let order: Vec<_> = (0..3).map(|_| next(&runs).0).collect();
    assert_eq!(order, [1, 2, 3]);
    let mut peer = world.connect();
    peer.echo(b"alive");
    world.expect_panics(1);
    assert!(rest(world, &runs).is_empty(), "not armed again");
}

fn timers_do_not_keep_an_engine_from_ending() {
    // S9: descriptors count, timers do not; their tasks are dropped with the loop
    let (world, (log, runs)) = (Setup::new().echo(), channel());
    world.run(move |local| {
        local.add_timer(Duration::from_secs(3600), move |local, _| {
            note(&log, 0, local);
            None
        });
    });
    assert!(rest(world, &runs).is_empty());
}

fn what_a_timer_writes_is_sent() {
    // S56 from a timer: settled before the loop waits
    let mut world = Setup::new().echo();
    let (mut peer, id) = world.connect_and_wait();
    world.run(move |local| {
        local.add_timer(Duration::ZERO, move |local, _| {
            local.conn(id)?.write(b"tick");
            None
        });
    });
    peer.expect(b"tick");
    let _trace = world.finish();
}
