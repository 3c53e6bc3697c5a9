//! Ending in a callback: allowed in each, and what would have followed is skipped (S81, B7, B20).

use shardpoll_tests::{Event, Setup, TlsPeer, Trace, Version, both_worlds};
use std::time::Duration;

both_worlds! {
    close_is_safe_in_every_callback_and_told_once,
    abort_is_safe_in_every_callback_and_nothing_follows,
    a_panic_in_any_callback_ends_that_connection_alone_and_in_silence,
    a_callback_may_close_or_abort_every_other_connection,
}

/// The eight callbacks, in the order in which one connection sees them here.
fn callbacks() -> [Event; 8] {
    [
        Event::Starttls,
        Event::Status("ssl-handshake-complete".into()),
        Event::Connect,
        Event::Predrain,
        Event::Drain,
        Event::incoming(b"request"),
        Event::ReadTimeout,
        Event::ended("read timeout"),
    ]
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Deed {
    Close,
    Abort,
    Panic,
}

/// One TLS connection that goes through all callbacks, doing this in that one; and a bystander.
fn play(deed: Deed, place: &Event) -> Trace {
    let place = place.clone();
    let wait = Some(Duration::from_millis(100));
    let mut world = Setup::new().tls().config(|c| c.read_timeout = wait).start(move |call| {
        if *call.event != place {
            return;
        }
        match deed {
            Deed::Close => call.close(),
            Deed::Abort => call.abort(),
            Deed::Panic => panic!("a test's panic in {place:?}"),
        }
    });
    let echo = world.listen_too(|call| match call.event {
        Event::Incoming(data) => call.say(data),
        Event::ReadTimeout => call.keep(),
        _ => {}
    });
    let mut bystander = shardpoll_tests::Peer::connect(echo);
    bystander.echo(b"before");
    let peer = TlsPeer::begin(world.addr(), Version::Tls13);
    peer.play_out(b"request");
    world.wait_for(|seen| seen.event == Event::Dropped);
    bystander.echo(b"after");
    world.expect_panics(u64::from(deed == Deed::Panic));
    world.finish()
}

/// The events of the connection that was ended: the one with TLS.
fn subject(trace: &Trace) -> Vec<Event> {
    let of = |id| trace.of(id);
    let tls = |events: &Vec<Event>| events.contains(&Event::Starttls);
    trace.connections().into_iter().map(of).find(tls).expect("it was accepted")
}

fn close_is_safe_in_every_callback_and_told_once() {
    // S81, S117 (B20), S36 (B7), S86: no application event follows but what the last flush needs
    for place in callbacks() {
        let events = subject(&play(Deed::Close, &place));
        let at = events.iter().position(|e| *e == place).expect("the place was reached");
        let after: Vec<_> = events[at + 1..].iter().filter(|e| **e != Event::Predrain).collect();
        if place.is_end() {
            assert!(after.is_empty(), "{place:?}: {events:?}");
        } else {
            assert_eq!(after, [&Event::ended("closed on request")], "{place:?}: {events:?}");
        }
    }
}

fn abort_is_safe_in_every_callback_and_nothing_follows() {
    // S79, S53
    for place in callbacks() {
        let events = subject(&play(Deed::Abort, &place));
        assert_eq!(events.last(), Some(&place), "{events:?}");
    }
}

fn a_panic_in_any_callback_ends_that_connection_alone_and_in_silence() {
    // O2, O3, S29: caught, counted; the handler is dropped and never called again
    for place in callbacks() {
        let events = subject(&play(Deed::Panic, &place));
        assert_eq!(events.last(), Some(&place), "{events:?}");
    }
}

fn a_callback_may_close_or_abort_every_other_connection() {
    // S81, S146: the others are told once each, or not at all
    for abort in [false, true] {
        let others = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
        let known = std::sync::Arc::clone(&others);
        let mut world = Setup::new().start(move |call| {
            if *call.event == Event::Connect {
                known.lock().expect("not poisoned").push(call.id());
            }
            if matches!(call.event, Event::Incoming(_)) {
                let me = call.id();
                for id in known.lock().expect("not poisoned").drain(..) {
                    let mut local = call.local();
                    if let (true, Some(mut conn)) = (id != me, local.conn(id)) {
                        if abort { conn.abort() } else { conn.close() }
                    }
                }
            }
        });
        let mut peers: Vec<_> = (0..20).map(|_| world.connect_and_wait().0).collect();
        peers[7].send(b"go");
        for (n, peer) in peers.iter_mut().enumerate().filter(|(n, _)| *n != 7) {
            let (rest, _) = peer.read_all();
            assert!(rest.is_empty(), "{n}");
        }
        drop(peers);
        world.wait_for_each(20, |seen| seen.event == Event::Dropped);
        let trace = world.finish();
        assert_eq!(trace.ends().len(), if abort { 1 } else { 20 });
    }
}
