//! The longest life of a connection: its end in order, its spread, and that nothing outlasts it.

use shardpoll::{Lifetime, Tick};
use shardpoll_tests::{Event, Peer, Seen, Setup, TlsPeer, Version, both_worlds, pass, pattern};
use std::time::Duration;

both_worlds! {
    a_connection_that_is_too_old_is_closed_in_order,
    no_traffic_makes_it_younger,
    a_callback_sets_it_and_lifts_it,
    a_reader_that_trickles_does_not_outlast_it_by_more_than_a_send_timeout,
    a_handshake_does_not_outlast_it,
    those_who_came_together_do_not_go_together,
}

/// Long enough for a handshake on a loaded machine.
const LIFE: Duration = Duration::from_millis(1500);
const LARGE: usize = 24 * 1024 * 1024;

fn exactly(time: Duration) -> Lifetime {
    Lifetime::at_most(time).jitter_percent(0)
}

fn setup(life: Lifetime) -> Setup {
    Setup::new().options(|o| o.max_lifetime = Some(life))
}

fn between(from: Tick, to: Tick) -> Duration {
    Duration::from_nanos(to.as_nanos() - from.as_nanos())
}

fn assert_too_old(end: &Seen) {
    assert_eq!((&end.event, &*end.cause), (&Event::ended("too old"), "TooOld"));
}

fn a_connection_that_is_too_old_is_closed_in_order() {
    for tls in [false, true] {
        let setup = setup(exactly(LIFE));
        let setup = if tls { setup.tls() } else { setup };
        // Without any other timer.
        let mut world = setup.config(|c| c.read_timeout = None).start(|call| {
            if *call.event == Event::Connect {
                call.pause_writes();
                call.write(&pattern(100_000));
            }
        });
        let got = if tls {
            world.connect_tls(Version::Tls13).read_to_end()
        } else {
            world.connect().read_to_end()
        };
        assert!(got == pattern(100_000), "all that was written has come: {}", got.len());
        let begin = world.wait_for_event(&Event::Connect);
        let end = world.wait_for_end();
        assert_too_old(&end);
        // A handshake counts too.
        assert!(tls || between(begin.at, end.at) >= LIFE, "early");
        assert_eq!(world.run(|local| local.counters().too_old), 1);
        drop(world.finish());
    }
}

fn no_traffic_makes_it_younger() {
    let mut world = setup(exactly(LIFE)).echo();
    let (mut peer, id) = world.connect_and_wait();
    let opened = world.conn(id, |conn| conn.opened());
    while !peer.is_over_after(Duration::from_millis(10)) {
        peer.send_some(b"still here");
        let _answer = peer.is_over_after(Duration::from_millis(1));
    }
    let end = world.wait_for_end();
    assert_too_old(&end);
    assert!(between(opened, end.at) >= LIFE, "early");
    drop(world.finish());
}

fn a_callback_sets_it_and_lifts_it() {
    // On the shortest way through the loop, and without another timer
    let mut world = Setup::new().config(|c| c.read_timeout = None).start(|call| {
        let Event::Incoming(data) = call.event else { return };
        match &data[..] {
            b"set" => call.set_max_lifetime(Some(exactly(LIFE))),
            _ => call.set_max_lifetime(None),
        }
    });
    let (mut peer, id) = world.connect_and_wait();
    peer.send(b"set");
    world.wait_for_event(&Event::Incoming(b"set".into()));
    peer.send(b"lift");
    peer.expect_silence(LIFE * 2);
    // It is older than that by now.
    peer.send(b"set");
    assert_too_old(&world.wait_for_end());
    peer.expect_end();
    // From outside.
    let (mut peer, other) = world.connect_and_wait();
    assert_ne!(id, other);
    world.conn(other, |conn| conn.set_max_lifetime(Some(exactly(LIFE))));
    peer.expect_end();
    assert_too_old(&world.wait_for_end());
    drop(world.finish());
}

fn a_reader_that_trickles_does_not_outlast_it_by_more_than_a_send_timeout() {
    // Each byte it takes is progress, which the send timeout alone counts from
    let mut world =
        setup(exactly(LIFE)).config(|c| c.send_timeout = Some(LIFE * 2)).start(|call| {
            if *call.event == Event::Connect {
                call.write_vec(vec![0; LARGE]);
            }
        });
    let mut slow = Peer::connect_with_buffer(world.addr(), 4096);
    let begin = world.wait_for_event(&Event::Connect);
    let mut end = None;
    // It would take 8 s for all of it.
    for _ in 0..LARGE / 30_000 {
        slow.drain(30_000);
        pass(Duration::from_millis(10));
        end = world.seen_end();
        if end.is_some() {
            break;
        }
    }
    let end = end.expect("it ended before it had all");
    assert_too_old(&end);
    assert!(between(begin.at, end.at) >= LIFE * 3, "early");
    assert_eq!(world.run(|local| local.counters().too_old), 1);
    drop(world.finish());
}

fn a_handshake_does_not_outlast_it() {
    let mut world = setup(exactly(LIFE)).tls().start(|_| {});
    let _stalled = TlsPeer::begin(world.addr(), Version::Tls13);
    assert_too_old(&world.wait_for_end());
    drop(world.finish());
}

fn those_who_came_together_do_not_go_together() {
    // All are here before the first goes.
    let most = LIFE * 3;
    let mut world = setup(Lifetime::at_most(most).jitter_percent(50)).start(|_| {});
    let peers: Vec<_> = (0..20).map(|_| world.connect_and_wait()).collect();
    let opened: Vec<_> =
        peers.iter().map(|(_, id)| (*id, world.conn(*id, |conn| conn.opened()))).collect();
    let ends = world.wait_for_each(20, |seen| seen.event == Event::ended("too old"));
    let mut lives: Vec<_> = ends
        .iter()
        .map(|end| {
            let opened = opened.iter().find(|(id, _)| end.conn == Some(*id));
            between(opened.expect("one of them").1, end.at)
        })
        .collect();
    lives.sort_unstable();
    assert!(lives[0] >= most / 2, "{lives:?}");
    // Their order is of their ids; that the last is late says nothing on a loaded machine.
    assert!(lives[0] < most * 9 / 10, "{lives:?}");
    drop((peers, world.finish()));
}
