//! Handshakes under way: no more than so many, and none for longer than its deadline (S93).

use shardpoll::Config;
use shardpoll_tests::{Event, Peer, Setup, TlsPeer, Version, both_worlds, in_sim, pass};
use std::time::Duration;

both_worlds! {
    beyond_the_limit_a_new_handshake_ends_while_the_others_are_young,
    a_handshake_that_is_over_makes_room,
    an_upgrade_counts_from_the_end_of_its_answer,
}

fn at_most(count: usize) -> impl FnOnce(&mut Config) {
    move |config| config.max_handshakes = count
}

fn beyond_the_limit_a_new_handshake_ends_while_the_others_are_young() {
    let mut world = Setup::new().tls().config(at_most(2)).echo();
    let mut early: Vec<TlsPeer> =
        (0..2).map(|_| TlsPeer::begin(world.addr(), Version::Tls13)).collect();
    world.wait_for_each(2, |seen| seen.event == Event::Starttls);
    let late = Peer::connect(world.addr());
    let end = world.wait_for_end();
    assert_eq!(
        (end.event, &*end.cause),
        (Event::ended("too many handshakes"), "TooManyHandshakes")
    );
    drop(late);
    assert_eq!(world.run(|local| local.counters().shed_handshakes), 1);
    // They were not disturbed.
    for peer in &mut early {
        peer.handshake().expect("a handshake in time");
        peer.echo(b"hello");
        peer.finish();
        world.wait_for_end();
    }
    drop(world.finish());
}

fn a_handshake_that_is_over_makes_room() {
    let mut world = Setup::new().tls().config(at_most(1)).echo();
    let mut open = Vec::new();
    for round in 0..20 {
        // One way or another.
        if round % 2 == 0 {
            open.push(world.connect_tls(Version::Tls13));
            world.wait_for_event(&Event::Connect);
        } else {
            drop(world.connect());
            world.wait_for_end();
        }
    }
    for peer in &mut open {
        peer.echo(b"hello");
        peer.finish();
        world.wait_for_end();
    }
    assert_eq!(world.run(|local| local.counters().shed_handshakes), 0);
    drop(world.finish());
}

fn an_upgrade_counts_from_the_end_of_its_answer() {
    let mut world =
        Setup::new().config(at_most(1)).start(|call: &mut shardpoll_tests::Call<'_, '_>| {
            if *call.event == Event::incoming(b"go") {
                call.say(b"answer");
                call.start_tls(shardpoll_tests::server_context()).expect("an open connection");
            }
        });
    let mut peers = [world.connect(), world.connect()];
    for peer in &mut peers {
        peer.send(b"go");
        peer.expect(b"answer");
    }
    let end = world.wait_for_end();
    assert_eq!(end.event, Event::ended("too many handshakes"));
    drop(peers);
    world.wait_for_end();
    drop(world.finish());
}

#[test]
fn beyond_the_limit_the_oldest_ends_if_an_honest_one_would_be_over() {
    in_sim(|| {
        let set = |config: &mut Config| {
            config.max_handshakes = 3;
            config.handshake_timeout = Duration::from_secs(60);
        };
        let mut world = Setup::new().tls().config(set).echo();
        let stuck: Vec<Peer> = (0..3).map(|_| world.connect()).collect();
        world.wait_for_each(3, |seen| seen.event == Event::Starttls);
        pass(Duration::from_secs(6));
        let mut peer = world.connect_tls(Version::Tls13);
        peer.echo(b"hello");
        let end = world.wait_for_end();
        assert_eq!(end.event, Event::ended("too many handshakes"));
        assert_eq!(world.live(), 4, "a listener, two that are stuck, and the honest one");
        drop(stuck);
        peer.finish();
        world.wait_for_each(3, |seen| seen.event.is_end());
        drop(world.finish());
    });
}

#[test]
fn a_handshake_that_trickles_is_cut_at_its_deadline() {
    in_sim(|| {
        let set = |config: &mut Config| {
            config.handshake_timeout = Duration::from_secs(60);
            config.handshake_deadline = Duration::from_secs(90);
        };
        let mut world = Setup::new().tls().config(set).echo();
        let mut peer = TlsPeer::begin(world.addr(), Version::Tls13);
        let hello = peer.hello();
        let began = world.wait_for_event(&Event::Starttls).at;
        // Each byte begins a step of its own.
        for byte in hello.iter().take(5) {
            peer.peer.send_some(&[*byte]);
            pass(Duration::from_secs(25));
        }
        let end = world.wait_for_end();
        let took = Duration::from_nanos(end.at.as_nanos() - began.as_nanos());
        assert_eq!(end.event, Event::ended("connection timeout"));
        assert_eq!(took.as_secs(), 90, "{took:?}");
        drop(world.finish());
    });
}
