//! Panics outside the handler's callbacks: caught, counted, and nobody else is hurt (O2, O3, S21).

use shardpoll::{Conn, Handler, Listen, Local};
use shardpoll_tests::{Alone, Event, PATIENCE, Peer, Recorder, Setup, both_worlds};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::channel;

both_worlds! {
    a_panicked_connection_is_gone_for_its_own_shard_at_once,
    output_queued_by_a_callback_that_panics_is_not_sent,
}

#[test]
fn a_panic_in_the_acceptor_costs_that_peer_only() {
    // O3; the listener goes on with the next
    let mut world = Setup::new().echo();
    let log = world.log();
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&calls);
    let accept = move |_: &_| {
        assert_ne!(counted.fetch_add(1, Ordering::SeqCst), 0, "a test's panic");
        Recorder::new(log.clone(), |call| {
            if let Event::Incoming(data) = call.event {
                call.write(data);
            }
        })
    };
    let at = Listen::on(([127, 0, 0, 1], 0));
    let id = world.engine().listen(at, accept).expect("a free port");
    let addr = world.engine().addr(id).expect("added a moment ago");
    let mut first = Peer::connect(addr);
    assert!(first.read_all().0.is_empty());
    Peer::connect(addr).echo(b"second");
    world.wait_for_end();
    assert_eq!(world.live(), 2, "two listeners");
    world.expect_panics(1);
    assert_eq!(world.finish().ends().len(), 1);
}

#[test]
fn a_panic_in_a_task_from_outside_hurts_nobody() {
    // O3; and the tasks behind it are done
    let mut world = Setup::new().echo();
    let (mut peer, id) = world.connect_and_wait();
    let release = world.hold_shard();
    let remote = world.remote();
    remote.run(0, |_| panic!("a test's panic")).expect("the shard is there");
    remote.write(id, b"behind".to_vec()).expect("the shard is there");
    drop(release);
    peer.expect(b"behind");
    peer.echo(b"alive");
    world.expect_panics(1);
    let _trace = world.finish();
}

#[test]
fn a_panicking_task_is_not_overtaken_by_a_quit() {
    // what one thread posts to one shard is done in order, a panic between or not
    let mut world = Setup::new().echo();
    let (mut peer, id) = world.connect_and_wait();
    let release = world.hold_shard();
    let remote = world.remote();
    remote.run(0, |_| panic!("a test's panic")).expect("the shard is there");
    remote.write(id, b"last words".to_vec()).expect("the shard is there");
    remote.quit(PATIENCE * 360);
    drop(release);
    assert_eq!(peer.read_all().0, b"last words");
    drop(peer);
    let _trace = world.end();
}

/// A handler whose drop panics.
struct Fragile {
    armed: Arc<AtomicBool>,
}

impl Handler for Fragile {
    fn on_incoming(&mut self, conn: &mut Conn<'_>, data: &[u8]) {
        match data {
            b"close" => conn.close(),
            b"abort" => conn.abort(),
            b"panic" => panic!("a test's panic"),
            _ => {
                conn.write(data);
            }
        }
    }
}

impl Drop for Fragile {
    fn drop(&mut self) {
        assert!(!self.armed.swap(false, Ordering::SeqCst), "a test's panic in drop");
    }
}

#[test]
fn a_panic_in_the_drop_of_a_handler_is_caught_in_every_ending() {
    // O3: counted like any other; the line is freed all the same
    for (word, panics) in [("close", 1), ("abort", 1), ("panic", 2), ("", 1)] {
        let mut world = Setup::new().echo();
        let armed = Arc::new(AtomicBool::new(true));
        let seen = Arc::clone(&armed);
        let at = Listen::on(([127, 0, 0, 1], 0));
        let accept = move |_: &_| Fragile { armed: Arc::clone(&seen) };
        let id = world.engine().listen(at, accept).expect("a free port");
        let addr = world.engine().addr(id).expect("added a moment ago");
        let mut peer = Peer::connect(addr);
        peer.echo(b"x");
        if word.is_empty() {
            peer.finish();
        } else {
            peer.send(word.as_bytes());
        }
        let _end = peer.read_all();
        drop(peer);
        while world.live() > 2 {
            world.run(|_| ());
        }
        assert!(!armed.load(Ordering::SeqCst), "dropped");
        world.expect_panics(panics);
        world.connect().echo(b"alive");
        let _trace = world.finish();
    }
}

#[test]
fn a_panic_in_the_drop_of_a_timers_task_is_caught() {
    // O3, S21: stopped, run out, and replaced by its own panic
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            assert!(std::thread::panicking(), "a test's panic in drop");
        }
    }
    let mut world = Setup::new().echo();
    world.run(|local| {
        let bomb = Bomb;
        let id = local.add_timer(PATIENCE, move |_, _| {
            let _held = &bomb;
            None
        });
        assert!(local.stop(id));
    });
    let (log, ran) = channel();
    world.run(move |local| {
        let bomb = Bomb;
        local.add_timer(std::time::Duration::ZERO, move |_, _| {
            let _held = &bomb;
            log.send(()).expect("the test listens");
            None
        });
    });
    ran.recv_timeout(PATIENCE).expect("it ran");
    world.connect().echo(b"alive");
    world.expect_panics(2);
    let _trace = world.finish();
}

fn a_panicked_connection_is_gone_for_its_own_shard_at_once() {
    // O2: by id, by handler, by bytes
    let mut world = Setup::new().start(|call| {
        assert!(!matches!(call.event, Event::Incoming(_)), "a test's panic");
    });
    let (mut peer, id) = world.connect_and_wait();
    peer.send(b"x");
    let _end = peer.read_all();
    let gone = move |local: &mut Local<'_>| {
        local.conn(id).is_none() && local.with::<Recorder, _>(id, |_, _| ()).is_none()
    };
    assert!(world.run(gone));
    world.write(id, b"late");
    world.expect_panics(1);
    let trace = world.finish();
    assert_eq!(trace.ends(), []);
}

fn output_queued_by_a_callback_that_panics_is_not_sent() {
    // S29: destroyed, not closed: half an answer is worse than none
    let mut world = Setup::new().start(|call| {
        if matches!(call.event, Event::Incoming(_)) {
            call.write(b"half an answer");
            panic!("a test's panic");
        }
    });
    let mut peer = world.connect();
    peer.send(b"x");
    assert_eq!(peer.read_all().0, b"");
    world.wait_for_event(&Event::Dropped);
    world.expect_panics(1);
    let _trace = world.finish();
}

#[test]
fn a_drop_that_panics_while_a_panic_of_with_unwinds_does_not_abort_the_process() {
    // O3: in a process of its own, since a panic during unwinding would take the tests with it
    let program = env!("CARGO_BIN_EXE_alone");
    let alone = Alone::start(std::process::Command::new(program).arg("fragile"));
    let panics = alone.try_line();
    assert_eq!((panics.as_deref(), alone.end()), (Some("2"), Some(0)));
}
