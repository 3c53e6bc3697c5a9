//! A shard that does not get on is reported, with what it is at; one that does is not.

use shardpoll::{Engine, EngineBuilder, Listen, Pinning, Stall, incoming};
use shardpoll_tests::{PATIENCE, Peer};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

fn builder() -> EngineBuilder {
    Engine::builder().shards(1).pinning(Pinning::None)
}

fn tells(report: Sender<Stall>) -> impl Fn(&Stall) + Send + Sync {
    move |stall| {
        let _gone = report.send(*stall);
    }
}

/// An engine, and the stalls it reports.
fn watched() -> (Engine, Receiver<Stall>) {
    let (report, reports) = channel();
    let engine = builder().on_stall(tells(report));
    (engine.start().expect("an engine starts"), reports)
}

fn next(reports: &Receiver<Stall>) -> Stall {
    reports.recv_timeout(PATIENCE).expect("a report in time")
}

/// Keeps shard 0 in a task until the sender is dropped.
fn hold(engine: &Engine) -> Sender<()> {
    let (release, released) = channel::<()>();
    let remote = engine.remote();
    let task = remote.run(0, move |_| {
        let _dropped = released.recv();
    });
    task.expect("the shard is there");
    release
}

fn end(engine: Engine) {
    engine.quit(Duration::ZERO);
    engine.join().expect("in order");
}

#[test]
fn a_callback_that_blocks_is_reported_by_name_when_noticed_and_when_over() {
    let (engine, reports) = watched();
    let (told, ids) = channel();
    let (release, released) = channel::<()>();
    let released = Arc::new(Mutex::new(released));
    let at = Listen::on(([127, 0, 0, 1], 0));
    let listener = engine
        .listen(at, move |_| {
            let (told, released) = (told.clone(), Arc::clone(&released));
            incoming(move |conn, _| {
                told.send(conn.id()).expect("the test waits");
                // Until the test has heard of it.
                let _dropped = released.lock().expect("one at a time").recv();
            })
        })
        .expect("a free port");
    let mut peer = Peer::connect(engine.addr(listener).expect("it listens"));
    peer.send(b"stall");
    let id = ids.recv_timeout(PATIENCE).expect("its callback runs");
    let stall = next(&reports);
    assert_eq!((stall.shard, stall.conn, stall.listener), (0, Some(id), Some(listener)));
    assert_eq!((stall.callback, stall.over), ("on_incoming", false));
    assert!(stall.lasting >= Duration::from_millis(25), "{stall}");
    assert_eq!(engine.metrics().shards[0].stalls, 1, "counted before it is reported");
    drop(release);
    let over = next(&reports);
    assert_eq!((over.conn, over.callback, over.over), (Some(id), "on_incoming", true));
    assert!(over.lasting > stall.lasting, "{over}");
    end(engine);
}

#[test]
fn what_belongs_to_no_connection_is_reported_as_what_it_is() {
    let (engine, reports) = watched();
    let task = hold(&engine);
    let stall = next(&reports);
    assert_eq!((stall.conn, stall.listener), (None, None));
    assert_eq!(stall.callback, "a task from outside");
    drop(task);
    assert!(next(&reports).over);
    let (release, released) = channel::<()>();
    let released = Arc::new(Mutex::new(released));
    let listener = engine
        .listen(Listen::on(([127, 0, 0, 1], 0)), move |_| {
            let _dropped = released.lock().expect("one at a time").recv();
            incoming(|_, _| {})
        })
        .expect("a free port");
    let _peer = Peer::connect(engine.addr(listener).expect("it listens"));
    let stall = next(&reports);
    assert_eq!((stall.conn, stall.listener), (None, Some(listener)));
    assert_eq!(stall.callback, "the acceptor");
    drop(release);
    assert!(next(&reports).over);
    end(engine);
}

#[test]
fn five_stalls_are_reported_in_a_minute_and_all_are_counted() {
    let (engine, reports) = watched();
    for n in 1..=7 {
        let task = hold(&engine);
        while engine.metrics().shards[0].stalls < n {
            std::thread::yield_now();
        }
        let turns = || engine.metrics().shards[0].counters.turns;
        let stalled = turns();
        drop(task);
        // What comes at once may still belong to the turn that was stalled.
        while turns() == stalled {
            engine.remote().run(0, |_| {}).expect("room for a letter");
            std::thread::yield_now();
        }
        if n <= 5 {
            assert!(!next(&reports).over && next(&reports).over);
        }
    }
    end(engine);
    assert!(reports.recv().is_err(), "no more than five, and the watchdog has ended");
}

#[test]
fn without_a_watchdog_nobody_is_told() {
    let (report, reports) = channel();
    let engine = builder().watchdog(None).on_stall(tells(report));
    let silent = engine.start().expect("an engine starts");
    let (watched, heard) = watched();
    let held = [hold(&silent), hold(&watched)];
    next(&heard);
    assert_eq!(silent.metrics().shards[0].stalls, 0);
    drop(held);
    end(silent);
    assert!(reports.recv().is_err());
    end(watched);
}

#[test]
fn a_callback_of_stalls_that_panics_ends_nothing() {
    let (report, reports) = channel();
    let engine = builder().on_stall(move |stall| {
        report.send(*stall).expect("the test listens");
        panic!("wanted by this test");
    });
    let engine = engine.start().expect("an engine starts");
    let task = hold(&engine);
    next(&reports);
    drop(task);
    assert!(next(&reports).over);
    end(engine);
}

#[test]
fn turns_are_sorted_by_their_time() {
    let (engine, reports) = watched();
    let task = hold(&engine);
    next(&reports);
    drop(task);
    next(&reports);
    // The turn that is over is noted when the next has begun.
    let long = || {
        let times = engine.metrics().shards[0].turn_times;
        let is_long =
            |bound: &Option<Duration>| bound.is_none_or(|b| b > Duration::from_millis(25));
        times.spans().filter(|(bound, _)| is_long(bound)).map(|(_, count)| count).sum::<u64>()
    };
    while long() == 0 {
        engine.remote().run(0, |_| {}).expect("room for a letter");
        std::thread::yield_now();
    }
    end(engine);
}
