//! half_close: our side ends behind what is queued, and the peer is still heard.

use shardpoll_tests::{Event, Setup, Version, both_worlds};

both_worlds! {
    what_is_queued_goes_out_and_the_peer_is_still_heard,
    without_anything_queued_the_end_goes_out_at_once,
    under_tls_it_is_a_close_notify_and_the_peer_is_still_heard,
    a_close_behind_it_ends_the_connection,
}

fn what_is_queued_goes_out_and_the_peer_is_still_heard() {
    let mut world = Setup::new().start(|call| match (call.event, call.nth) {
        (Event::Incoming(_), 1) => {
            call.say_vec(vec![9; 4 * 1024 * 1024]);
            call.half_close();
            let after = call.write(b"too late");
            call.note(format!("{after:?}"));
        }
        (Event::Incoming(_), _) => {
            let after = call.write(b"too late");
            call.note(format!("{after:?}"));
        }
        _ => {}
    });
    let mut peer = world.connect();
    peer.send(b"go");
    assert!(peer.read_to_end() == vec![9; 4 * 1024 * 1024]);
    peer.send(b"and one more thing");
    world.wait_for_event(&Event::incoming(b"and one more thing"));
    peer.finish();
    assert_eq!(world.wait_for_end().event, Event::ended("closed"));
    let trace = world.finish();
    assert_eq!(trace.count(&Event::note("Closed")), 2);
    assert_eq!(trace.count(&Event::Drain), 1);
}

fn without_anything_queued_the_end_goes_out_at_once() {
    let mut world = Setup::new().start(|call| {
        if *call.event == Event::Connect {
            call.half_close();
            call.half_close();
        }
    });
    let mut peer = world.connect();
    assert_eq!(peer.read_to_end(), b"");
    peer.send(b"heard");
    world.wait_for_event(&Event::incoming(b"heard"));
    drop(peer);
    world.wait_for_end();
    let _trace = world.finish();
}

fn under_tls_it_is_a_close_notify_and_the_peer_is_still_heard() {
    for version in [Version::Tls12, Version::Tls13] {
        let mut world = Setup::new().tls().start(|call| {
            if *call.event == Event::incoming(b"go") {
                call.say(b"the last");
                call.half_close();
            }
        });
        let mut peer = world.connect_tls(version);
        peer.send(b"go");
        assert_eq!(peer.read_to_end(), b"the last");
        peer.send(b"still here");
        world.wait_for_event(&Event::incoming(b"still here"));
        peer.finish();
        assert_eq!(world.wait_for_end().event, Event::ended("closed"));
        let _trace = world.finish();
    }
}

fn a_close_behind_it_ends_the_connection() {
    let mut world = Setup::new().start(|call| match call.event {
        Event::Connect => call.half_close(),
        Event::Incoming(_) => call.close(),
        _ => {}
    });
    let mut peer = world.connect();
    assert_eq!(peer.read_to_end(), b"");
    peer.send(b"enough");
    assert_eq!(world.wait_for_end().event, Event::ended("closed on request"));
    let _trace = world.finish();
}
