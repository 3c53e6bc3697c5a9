//! on_predrain: just before each attempt to send; what it writes leaves in the same send (S36).

use shardpoll_tests::{Event, Setup, both_worlds};

both_worlds! {
    what_predrain_writes_leaves_in_the_same_flush,
    nothing_is_predrained_or_drained_when_nothing_was_written,
    writes_of_one_callback_make_one_flush,
}

fn what_predrain_writes_leaves_in_the_same_flush() {
    // S36, S64: one drain for both pieces, and it finds nothing queued
    let mut world = Setup::new().start(|call| match call.event {
        Event::Incoming(_) => call.say(b"body, "),
        Event::Predrain => {
            let queued = call.backlog();
            call.note(queued);
            call.write(b"trailer");
        }
        Event::Drain => {
            let queued = call.backlog();
            call.note(queued);
        }
        _ => {}
    });
    let mut peer = world.connect();
    peer.send(b"go");
    peer.expect(b"body, trailer");
    drop(peer);
    world.wait_for_end();
    let want = [
        Event::Connect,
        Event::incoming(b"go"),
        Event::Predrain,
        Event::note("6"),
        Event::Drain,
        Event::note("0"),
        Event::ended("closed"),
    ];
    assert_eq!(world.finish().only(), want);
}

fn nothing_is_predrained_or_drained_when_nothing_was_written() {
    // S63: accepted plain connections have no such pair, reading makes none, an empty write neither
    let mut world = Setup::new().start(|call| {
        if matches!(call.event, Event::Incoming(_)) {
            call.write(b"");
        }
    });
    let mut peer = world.connect();
    peer.send(b"one");
    world.wait_for_event(&Event::incoming(b"one"));
    drop(peer);
    world.wait_for_end();
    let want = [Event::Connect, Event::incoming(b"one"), Event::ended("closed")];
    assert_eq!(world.finish().only(), want);
}

fn writes_of_one_callback_make_one_flush() {
    // S56, S58, O4: nothing is sent inside the call
    let world = Setup::new().start(|call| {
        if matches!(call.event, Event::Incoming(_)) {
            for piece in [&b"a"[..], b"bc", b"def"] {
                call.write(piece);
            }
            let queued = call.backlog();
            call.note(queued);
        }
    });
    let mut peer = world.connect();
    peer.send(b"go");
    peer.expect(b"abcdef");
    let events = world.finish().only();
    let want = [
        Event::Connect,
        Event::incoming(b"go"),
        Event::note("6"),
        Event::Predrain,
        Event::Drain,
        Event::ended("closed on request"),
    ];
    assert_eq!(events, want);
}

#[test]
fn each_attempt_to_send_is_announced() {
    // S36, S60: many attempts, one drain, in the end
    let size = 16 * 1024 * 1024;
    let world = Setup::new().start(move |call| {
        if matches!(call.event, Event::Incoming(_)) {
            call.write_vec(vec![7; size]);
        }
    });
    let mut peer = world.connect();
    peer.send(b"go");
    peer.expect(&vec![7; size]);
    let events = world.finish().only();
    let attempts = events.iter().filter(|e| **e == Event::Predrain).count();
    let drains = events.iter().filter(|e| **e == Event::Drain).count();
    assert!(attempts > 1, "16 MiB fit no socket buffer");
    assert_eq!(drains, 1);
    assert_eq!(events[events.len() - 2], Event::Drain, "after the last byte");
}
