//! on_disconnect: exactly once and last, with the reason, in every ending (S35, S80, O2).

use shardpoll::Connect;
use shardpoll_tests::{Event, Peer, Setup, TlsPeer, Version, World, both_worlds, refused_addr};
use std::time::Duration;

both_worlds! {
    the_peers_end_is_told_once,
    a_reset_is_told_once_as_closed,
    our_own_close_is_told_once,
    our_close_and_the_peers_end_at_once_are_told_once,
    a_full_queue_is_told_once,
    silence_is_told_once,
    a_refused_connection_is_told_once,
    a_failed_handshake_is_told_once_and_was_no_connection,
    a_peer_that_leaves_during_the_handshake_is_told_once,
    a_truncated_tls_stream_is_no_orderly_end,
    a_tls_stream_that_ends_in_order_is_closed,
    a_connection_is_still_whole_in_on_disconnect,
}

/// What [`World::finish`] checks of every connection is the promise; here, every way to end.
fn ends_once(mut world: World, text: &str, cause: &str) {
    let end = world.wait_for_end();
    assert_eq!(end.event, Event::ended(text));
    assert!(end.cause.starts_with(cause), "{} is not {cause}", end.cause);
    let trace = world.finish();
    assert_eq!(trace.ends().len(), 1);
}

fn the_peers_end_is_told_once() {
    // S48
    let world = Setup::new().echo();
    world.connect().echo(b"x");
    ends_once(world, "closed", "PeerClosed");
}

fn a_reset_is_told_once_as_closed() {
    // S83: with a precise reason
    let mut world = Setup::new().echo();
    let (peer, _) = world.connect_and_wait();
    peer.reset();
    ends_once(world, "closed", "Reset");
}

fn our_own_close_is_told_once() {
    // S74
    let world = Setup::new().start(|call| {
        if *call.event == Event::Connect {
            call.close();
        }
    });
    let mut peer = world.connect();
    peer.expect_end();
    drop(peer);
    ends_once(world, "closed on request", "Asked");
}

fn our_close_and_the_peers_end_at_once_are_told_once() {
    // S80 (B19), S76: many rounds, so that each order of the two comes up
    let mut world = Setup::new().start(|call| {
        if matches!(call.event, Event::Incoming(_)) {
            call.close();
        }
        if call.event.is_end() {
            call.close();
        }
    });
    for round in 0..200 {
        let mut peer = world.connect();
        peer.send(b"x");
        if round % 2 == 0 {
            peer.finish();
        }
        if round % 3 == 0 {
            peer.reset();
        }
    }
    world.wait_for_each(200, |seen| seen.event.is_end());
    let trace = world.finish();
    assert_eq!(trace.ends().len(), 200);
}

fn a_full_queue_is_told_once() {
    // S69
    let world = Setup::new().config(|c| c.max_queued_bytes = 10).start(|call| {
        if *call.event == Event::Connect {
            for _ in 0..5 {
                call.write(b"too much");
            }
        }
    });
    let _peer = world.connect();
    ends_once(world, "no space left in buffer", "BufferFull");
}

fn silence_is_told_once() {
    // S87
    let wait = Duration::from_millis(50);
    let world = Setup::new().config(|c| c.read_timeout = Some(wait)).echo();
    let _peer = world.connect();
    ends_once(world, "read timeout", "Silent");
}

fn a_refused_connection_is_told_once() {
    // S134
    let (_held, nobody) = refused_addr();
    let world = Setup::new().echo();
    world.dial(Connect::to(nobody), |_| {});
    ends_once(world, "connection refused", "Connect(");
}

fn a_failed_handshake_is_told_once_and_was_no_connection() {
    // S113
    let world = Setup::new().tls().echo();
    let mut peer = Peer::connect(world.addr());
    peer.send(b"GET / HTTP/1.1\r\n\r\n");
    let _alert = peer.read_all();
    let mut world = world;
    let end = world.wait_for_end();
    assert!(end.cause.starts_with("Tls("), "{}", end.cause);
    let trace = world.finish();
    assert_eq!(trace.count(&Event::Connect), 0);
    assert_eq!(trace.ends().len(), 1);
}

fn a_peer_that_leaves_during_the_handshake_is_told_once() {
    // S113: closing in the middle is a failure
    let world = Setup::new().tls().echo();
    let mut peer = TlsPeer::begin(world.addr(), Version::Tls13);
    let hello = peer.hello();
    peer.peer.send(&hello[..hello.len() / 2]);
    peer.peer.finish();
    let _rest = peer.peer.read_all();
    let mut world = world;
    let end = world.wait_for_end();
    assert!(end.cause.starts_with("Tls("), "{}", end.cause);
    assert_eq!(world.finish().count(&Event::Connect), 0);
}

fn a_truncated_tls_stream_is_no_orderly_end() {
    // S118: FIN without close_notify
    for version in Version::ALL {
        let mut world = Setup::new().tls().echo();
        let mut peer = world.connect_tls(version);
        peer.echo(b"x");
        peer.peer.finish();
        let _rest = peer.peer.read_all();
        let end = world.wait_for_end();
        assert_eq!(end.cause, "Tls(Truncated)", "{version:?}");
        assert_ne!(end.event, Event::ended("closed"), "{version:?}");
        let trace = world.finish();
        assert_eq!(trace.ends().len(), 1);
    }
}

fn a_tls_stream_that_ends_in_order_is_closed() {
    // S118: close_notify, answered by ours
    for version in Version::ALL {
        let mut world = Setup::new().tls().echo();
        let mut peer = world.connect_tls(version);
        peer.echo(b"x");
        peer.finish();
        assert!(peer.read_to_end().is_empty(), "{version:?}");
        let end = world.wait_for_end();
        assert_eq!((end.event, &*end.cause), (Event::ended("closed"), "PeerClosed"));
        let _trace = world.finish();
    }
}

fn a_connection_is_still_whole_in_on_disconnect() {
    // S35: its id and peer can be asked for; the shard can be used
    let mut world = Setup::new().start(|call| {
        if call.event.is_end() {
            let (peer, id) = (call.peer().to_string(), call.id());
            let alive = call.local().conn(id).is_some();
            call.note(format!("{peer} {alive}"));
        }
    });
    let peer = world.connect();
    let note = format!("{} false", peer.addr());
    drop(peer);
    world.wait_for_event(&Event::note(&note));
    let _trace = world.finish();
}
