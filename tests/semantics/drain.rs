//! on_drain: just after the last queued byte has reached the kernel (S37, S59 to S65).

use shardpoll::Connect;
use shardpoll_tests::{Event, Setup, Version, both_worlds, client_context};

both_worlds! {
    a_write_in_drain_makes_another_cycle,
    a_producer_that_writes_from_drain_starts_by_itself_on_an_outgoing_connection,
    a_handshake_is_followed_by_one_pair_on_both_sides,
    a_handshake_and_a_greeting_make_one_pair_not_two,
}

#[test]
fn drain_comes_after_the_last_byte_and_once() {
    // S59, S60
    let mut world = Setup::new().start(|call| match call.event {
        Event::Incoming(_) => call.say_vec(vec![1; 12 * 1024 * 1024]),
        Event::Drain => {
            let queued = call.backlog();
            call.note(queued);
        }
        _ => {}
    });
    let mut peer = world.connect();
    peer.send(b"go");
    peer.expect(&vec![1; 12 * 1024 * 1024]);
    world.wait_for_event(&Event::note("0"));
    let trace = world.finish();
    assert_eq!(trace.count(&Event::Drain), 1);
}

fn a_write_in_drain_makes_another_cycle() {
    // S65: never recursion
    let mut world = Setup::new().start(|call| match (call.event, call.nth) {
        (Event::Incoming(_), _) => call.say(b"1"),
        (Event::Drain, 1) => call.say(b"2"),
        (Event::Drain, 2) => call.say(b"3"),
        _ => {}
    });
    let mut peer = world.connect();
    peer.send(b"go");
    peer.expect(b"123");
    drop(peer);
    world.wait_for_end();
    let want = [
        Event::Connect,
        Event::incoming(b"go"),
        Event::Predrain,
        Event::Drain,
        Event::Predrain,
        Event::Drain,
        Event::Predrain,
        Event::Drain,
        Event::ended("closed"),
    ];
    assert_eq!(world.finish().only(), want);
}

fn a_producer_that_writes_from_drain_starts_by_itself_on_an_outgoing_connection() {
    // S63 (a): one pair after the connect, with nothing queued
    let mut server = Setup::new().start(|_| {});
    let world = Setup::new().echo();
    world.dial(Connect::to(server.addr()), |call| match (call.event, call.nth) {
        (Event::Drain, 1..=3) => call.say(b"x"),
        (Event::Drain, _) => call.close(),
        _ => {}
    });
    server.wait_for_end();
    let got = server.finish().only();
    assert_eq!(got, [Event::Connect, Event::incoming(b"xxx"), Event::ended("closed")]);
    let events = world.finish().only();
    assert_eq!(events.iter().filter(|e| **e == Event::Drain).count(), 4);
}

fn a_handshake_is_followed_by_one_pair_on_both_sides() {
    // S63 (b), S112
    let mut world = Setup::new().tls().start(|_| {});
    let context = client_context();
    let name = "localhost".try_into().expect("a name");
    let out = world.dial(Connect::to(world.addr()).tls(context, name), |_| {});
    world.wait_for_each(2, |seen| seen.event == Event::Drain);
    let trace = world.finish();
    for id in trace.connections() {
        let events = trace.of(id);
        let want = [
            Event::Starttls,
            Event::Status("ssl-handshake-complete".into()),
            Event::Connect,
            Event::Predrain,
            Event::Drain,
        ];
        assert_eq!(events[..5], want, "outgoing: {}", id == out);
        assert_eq!(events.len(), 6);
    }
}

fn a_handshake_and_a_greeting_make_one_pair_not_two() {
    // S63, S112: what on_connect writes leaves in the pair that is due anyway
    for version in Version::ALL {
        let world = Setup::new().tls().start(|call| {
            if *call.event == Event::Connect {
                call.write(b"welcome");
            }
        });
        let mut peer = world.connect_tls(version);
        peer.expect(b"welcome");
        let events = world.finish().only();
        assert_eq!(events.iter().filter(|e| **e == Event::Drain).count(), 1, "{version:?}");
    }
}

#[test]
fn an_endless_source_in_drain_does_not_starve_another_connection() {
    // S65; what drain writes is for the next turn
    let mut world = Setup::new().echo();
    let source = world.listen_too(|call| {
        if matches!(call.event, Event::Connect | Event::Drain) {
            call.write(&[0; 4096]);
        }
    });
    let mut flooded = shardpoll_tests::Peer::connect(source);
    let (stop, stopped) = std::sync::mpsc::channel::<()>();
    let reader = std::thread::spawn(move || {
        while stopped.try_recv() != Err(std::sync::mpsc::TryRecvError::Disconnected) {
            flooded.expect(&[0; 4096]);
        }
    });
    let mut quiet = world.connect();
    for _ in 0..100 {
        quiet.echo(b"ping");
    }
    drop(stop);
    reader.join().expect("the flood does not stop by itself");
    world.quit(std::time::Duration::ZERO);
    let _trace = world.end();
}
