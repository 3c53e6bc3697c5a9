//! close: what is queued goes out, then the end is told, and nothing is truncated (S72 to S78, O8).

use shardpoll_tests::{Event, Peer, Setup, TlsPeer, Version, both_worlds, pass, pattern};
use std::time::Duration;

both_worlds! {
    close_flushes_what_is_queued_and_then_ends,
    a_large_queue_is_flushed_whole_and_then_the_end_is_told,
    close_with_nothing_queued_ends_at_once_without_a_flush,
    a_second_close_does_nothing,
    a_greeting_and_close_in_on_connect_lose_nothing,
    nothing_is_delivered_after_close,
    a_half_closed_peer_gets_all_that_is_queued,
    a_half_closed_tls_peer_gets_all_that_is_queued,
    a_peer_that_half_closes_in_silence_ends_at_once,
    closing_under_tls_says_close_notify,
    close_of_a_handshake_ends_it_and_tells_once,
    a_peer_that_goes_on_after_the_end_is_cut_in_the_end,
}

fn close_flushes_what_is_queued_and_then_ends() {
    // S75, S77: predrain before the last flush, no drain for it
    let mut world = Setup::new().start(|call| {
        if matches!(call.event, Event::Incoming(_)) {
            call.write(b"bye");
            call.close();
        }
    });
    let mut peer = world.connect();
    peer.send(b"quit");
    assert_eq!(peer.read_to_end(), b"bye");
    world.wait_for_end();
    let want = [
        Event::Connect,
        Event::incoming(b"quit"),
        Event::Predrain,
        Event::ended("closed on request"),
    ];
    assert_eq!(world.finish().only(), want);
}

fn a_large_queue_is_flushed_whole_and_then_the_end_is_told() {
    // S75: over many writable events; the disconnect comes after the last byte
    let size = 20 * 1024 * 1024;
    let mut world = Setup::new().start(move |call| match call.event {
        Event::Incoming(_) => {
            call.write_vec(pattern(size));
            call.close();
        }
        Event::Disconnect(_) => {
            let queued = call.backlog();
            call.note(queued);
        }
        _ => {}
    });
    let mut peer = world.connect();
    peer.send(b"go");
    assert!(peer.read_to_end() == pattern(size));
    world.wait_for_event(&Event::note("0"));
    assert_eq!(world.finish().count(&Event::Drain), 0);
}

fn close_with_nothing_queued_ends_at_once_without_a_flush() {
    // S74
    let mut world = Setup::new().start(|call| {
        if *call.event == Event::Connect {
            call.close();
        }
    });
    let mut peer = world.connect();
    peer.expect_end();
    world.wait_for_end();
    assert_eq!(world.finish().only(), [Event::Connect, Event::ended("closed on request")]);
}

fn a_second_close_does_nothing() {
    // S78, B15: not while flushing, not in on_disconnect, not from outside
    let size = 8 * 1024 * 1024;
    let mut world = Setup::new().start(move |call| match call.event {
        Event::Incoming(_) => {
            call.write_vec(vec![1; size]);
            call.close();
            call.close();
        }
        Event::Predrain | Event::Disconnect(_) => call.close(),
        _ => {}
    });
    let (mut peer, id) = world.connect_and_wait();
    peer.send(b"go");
    world.wait_for_event(&Event::Predrain);
    world.close(id);
    assert_eq!(peer.read_to_end().len(), size);
    drop(peer);
    world.wait_for_end();
    let _told_once = world.finish();
}

fn a_greeting_and_close_in_on_connect_lose_nothing() {
    // S75, B14: write and close in on_connect
    let mut world = Setup::new().start(|call| {
        if *call.event == Event::Connect {
            call.write(b"go away");
            call.close();
        }
    });
    for _ in 0..20 {
        assert_eq!(world.connect().read_to_end(), b"go away");
    }
    world.wait_for_each(20, |seen| seen.event == Event::ended("closed on request"));
    let _trace = world.finish();
}

fn nothing_is_delivered_after_close() {
    // S76: input is read and discarded, so that the peer can finish
    let size = 8 * 1024 * 1024;
    let mut world = Setup::new().start(move |call| {
        if matches!(call.event, Event::Incoming(_)) {
            call.write_vec(vec![1; size]);
            call.close();
        }
    });
    let mut peer = world.connect();
    peer.send(b"go");
    world.wait_for_event(&Event::Predrain);
    for _ in 0..100 {
        peer.send(&[9; 1000]);
    }
    assert_eq!(peer.read_to_end().len(), size);
    world.wait_for_end();
    let events = world.finish().only();
    let inputs = events.iter().filter(|e| matches!(e, Event::Incoming(_)));
    assert_eq!(inputs.collect::<Vec<_>>(), [&Event::incoming(b"go")]);
}

/// A request of which the engine reads the head only before it answers and closes.
fn unread_input(mut peer: Peer, request: &[u8], reply: usize) -> bool {
    peer.send(request);
    // What the peer has not read when a reset comes is lost: it reads late.
    pass(Duration::from_millis(50));
    let (got, orderly) = peer.read_all();
    orderly && got == pattern(reply)
}

#[test]
fn input_that_was_not_read_does_not_truncate_the_reply() {
    // O8: plain close(2) with unread input truncated 60 of 60
    let reply = 100 * 1024;
    let world = Setup::new().config(|c| c.read_size_bytes = 1024).start(move |call| {
        if matches!(call.event, Event::Incoming(_)) {
            call.write_vec(pattern(reply));
            call.close();
        }
    });
    let clients: Vec<_> = (0..60)
        .map(|_| {
            let peer = world.connect();
            std::thread::spawn(move || unread_input(peer, &[1; 40 * 1024], reply))
        })
        .collect();
    let whole = clients.into_iter().map(|c| c.join().expect("no panic"));
    assert_eq!(whole.filter(|whole| *whole).count(), 60);
    let _trace = world.finish();
}

fn a_half_closed_peer_gets_all_that_is_queued() {
    // S82, B17: `request | nc -N`; then "closed", once
    let size = 4 * 1024 * 1024;
    let mut world = Setup::new().start(move |call| {
        if matches!(call.event, Event::Incoming(_)) {
            call.write_vec(pattern(size));
        }
    });
    let mut peer = world.connect();
    peer.send(b"go");
    peer.finish();
    assert!(peer.read_to_end() == pattern(size));
    world.wait_for_end();
    let events = world.finish().only();
    assert_eq!(events[..2], [Event::Connect, Event::incoming(b"go")]);
    let ends: Vec<_> = events.iter().filter(|e| e.is_end()).collect();
    assert_eq!(ends, [&Event::ended("closed")]);
}

fn a_half_closed_tls_peer_gets_all_that_is_queued() {
    // S82 under TLS with close_notify
    let size = 4 * 1024 * 1024;
    for version in Version::ALL {
        let mut world = Setup::new().tls().start(move |call| {
            if matches!(call.event, Event::Incoming(_)) {
                call.write_vec(pattern(size));
            }
        });
        let mut peer = world.connect_tls(version);
        let mut last = peer.seal(&[b"go"]);
        last.extend(peer.seal_end());
        peer.peer.send(&last);
        assert!(peer.read_to_end() == pattern(size), "{version:?}");
        let end = world.wait_for_end();
        assert_eq!(end.event, Event::ended("closed"), "{version:?}");
        let _trace = world.finish();
    }
}

fn a_peer_that_half_closes_in_silence_ends_at_once() {
    // S48: nothing pending
    let mut world = Setup::new().start(|_| {});
    let mut peer = world.connect();
    peer.finish();
    peer.expect_end();
    let end = world.wait_for_end();
    assert_eq!((end.event, end.cause), (Event::ended("closed"), "PeerClosed".into()));
    let _trace = world.finish();
}

fn closing_under_tls_says_close_notify() {
    // S118, O8: what is queued, close_notify, FIN; without waiting for the peer's
    for version in Version::ALL {
        let mut world = Setup::new().tls().start(|call| {
            if matches!(call.event, Event::Incoming(_)) {
                call.write(b"bye");
                call.close();
            }
        });
        let mut peer = world.connect_tls(version);
        peer.send(b"quit");
        assert_eq!(peer.read_to_end(), b"bye", "{version:?}");
        peer.peer.expect_end();
        world.wait_for_end();
        let events = world.finish().only();
        let want = [Event::incoming(b"quit"), Event::Predrain, Event::ended("closed on request")];
        assert_eq!(events[events.len() - 3..], want, "{version:?}");
    }
}

fn close_of_a_handshake_ends_it_and_tells_once() {
    // S81, S113: no connect
    let mut world = Setup::new().tls().start(|call| {
        if *call.event == Event::Starttls {
            call.write(b"never");
            call.close();
        }
    });
    let mut peer = TlsPeer::begin(world.addr(), Version::Tls13);
    assert!(peer.handshake().is_err());
    world.wait_for_end();
    let want = [Event::Starttls, Event::ended("closed on request")];
    assert_eq!(world.finish().only(), want);
}

fn a_peer_that_goes_on_after_the_end_is_cut_in_the_end() {
    // O8: what still comes is discarded for at most 64 KiB or 2 s
    let mut world = Setup::new().start(|call| {
        if matches!(call.event, Event::Incoming(_)) {
            call.close();
        }
    });
    let (mut peer, id) = world.connect_and_wait();
    peer.send(b"x");
    world.wait_for_end();
    // Neither end nor silence from the peer: it is the bound that frees the line.
    while world.live() > 1 {
        peer.send_some(&[0; 1000]);
    }
    let mut quiet = world.connect();
    quiet.send(b"x");
    quiet.expect_end();
    while world.live() > 1 {
        pass(Duration::from_millis(10));
    }
    assert_eq!(world.finish().of(id).len(), 3);
}
