//! pause_for: a pause that ends by itself (S96 to S99, S102, S104, O7).

use shardpoll_tests::{Event, Seen, Setup, Version, both_worlds, pass};
use std::time::Duration;

both_worlds! {
    input_waits_for_the_end_of_the_pause_and_is_read_then,
    the_end_of_the_peer_waits_too,
    no_time_stops_the_clock_and_leaves_the_connection_paused,
    no_time_without_a_pause_does_not_pause,
    a_new_pause_replaces_the_one_that_runs,
    a_pause_that_runs_is_replaced_from_outside_too,
    resume_ends_it,
    its_end_does_not_undo_a_pause,
    the_read_timeout_goes_on_meanwhile,
    the_read_timeout_begins_anew_at_its_end,
    an_abort_takes_it_along,
}

const PAUSE: Duration = Duration::from_millis(100);
/// So long that it does not end within a test.
const FOR_EVER: Duration = Duration::from_secs(3600);

fn is_input(seen: &Seen) -> bool {
    matches!(seen.event, Event::Incoming(_))
}

fn input_waits_for_the_end_of_the_pause_and_is_read_then() {
    // S96, S99: what is there already is looked at without a new event; plain and TLS
    for tls in [false, true] {
        let setup = Setup::new().config(|c| c.read_size_bytes = 6);
        let setup = if tls { setup.tls() } else { setup };
        let mut world = setup.start(|call| {
            if matches!(call.event, Event::Incoming(_)) && call.nth == 1 {
                call.pause_for(Some(PAUSE));
            }
        });
        let _peer = if tls {
            let mut peer = world.connect_tls(Version::Tls13);
            let batch = peer.seal(&[b"first ", b"second"]);
            peer.peer.send(&batch);
            peer.peer
        } else {
            let mut peer = world.connect();
            peer.send(b"first second");
            peer
        };
        let first = world.wait_for_event(&Event::incoming(b"first "));
        let second = world.wait_for(is_input);
        assert_eq!(second.event, Event::incoming(b"second"));
        assert!(second.at >= first.at.saturating_add(PAUSE), "early, TLS: {tls}");
        let _trace = world.finish();
    }
}

fn the_end_of_the_peer_waits_too() {
    // S55, S96
    let mut world = Setup::new().start(|call| {
        if *call.event == Event::Connect {
            call.pause_for(Some(PAUSE));
        }
    });
    let release = world.hold_shard();
    let mut peer = world.connect();
    peer.send(b"last words");
    peer.finish();
    drop(release);
    let begin = world.wait_for_event(&Event::Connect);
    let end = world.wait_for_end();
    assert!(end.at >= begin.at.saturating_add(PAUSE), "early");
    let want = [Event::Connect, Event::incoming(b"last words"), Event::ended("closed")];
    assert_eq!(world.finish().only(), want);
}

fn no_time_stops_the_clock_and_leaves_the_connection_paused() {
    // S97: until it is resumed
    let mut world = Setup::new().start(|call| {
        if *call.event == Event::Connect {
            call.pause_for(Some(PAUSE));
            call.pause_for(None);
        }
    });
    let (mut peer, id) = world.connect_and_wait();
    peer.send(b"waits");
    peer.expect_silence(PAUSE * 3);
    world.run(move |local| assert!(local.conn(id).is_some()));
    let log = world.log();
    world.conn(id, move |conn| {
        let (at, cause) = (conn.local().now(), String::new());
        let seen = Seen { conn: Some(id), by: "", event: Event::note("resumed"), at, cause };
        log.send(seen).expect("the test listens");
        conn.resume();
    });
    world.wait_for_event(&Event::incoming(b"waits"));
    let want = [Event::Connect, Event::note("resumed"), Event::incoming(b"waits")];
    assert_eq!(world.finish().of(id)[..3], want);
}

fn no_time_without_a_pause_does_not_pause() {
    // S97: it only cancels
    let world = Setup::new().start(|call| match call.event {
        Event::Connect => call.pause_for(None),
        Event::Incoming(data) => call.say(data),
        _ => {}
    });
    world.connect().echo(b"read");
    let _trace = world.finish();
}

fn a_new_pause_replaces_the_one_that_runs() {
    // S98: be it longer or shorter
    for (first, second) in [(PAUSE / 10, PAUSE * 2), (FOR_EVER, PAUSE)] {
        let mut world = Setup::new().start(move |call| {
            if *call.event == Event::Connect {
                call.pause_for(Some(first));
                call.pause_for(Some(second));
            }
        });
        let mut peer = world.connect();
        peer.send(b"x");
        let begin = world.wait_for_event(&Event::Connect);
        let read = world.wait_for_event(&Event::incoming(b"x"));
        assert!(read.at >= begin.at.saturating_add(second), "{first:?} counted");
        let _trace = world.finish();
    }
}

fn a_pause_that_runs_is_replaced_from_outside_too() {
    // S98: the loop waits for the earlier end
    let mut world = Setup::new().start(|call| {
        if *call.event == Event::Connect {
            call.pause_for(Some(FOR_EVER));
        }
    });
    let (mut peer, id) = world.connect_and_wait();
    peer.send(b"x");
    world.some_turns();
    world.conn(id, |conn| conn.pause_for(Some(PAUSE)));
    world.wait_for_event(&Event::incoming(b"x"));
    let _trace = world.finish();
}

fn resume_ends_it() {
    // S95
    let mut world = Setup::new().start(|call| {
        if *call.event == Event::Connect {
            call.pause_for(Some(FOR_EVER));
        }
    });
    let (mut peer, id) = world.connect_and_wait();
    peer.send(b"x");
    world.conn(id, |conn| conn.resume());
    world.wait_for_event(&Event::incoming(b"x"));
    let _trace = world.finish();
}

fn its_end_does_not_undo_a_pause() {
    // S102 (B25): made before it or while it runs
    for before in [false, true] {
        let mut world = Setup::new().start(move |call| {
            if *call.event == Event::Connect {
                if before {
                    call.pause();
                }
                call.pause_for(Some(PAUSE));
                if !before {
                    call.pause();
                }
            }
        });
        let (mut peer, id) = world.connect_and_wait();
        peer.send(b"waits");
        peer.expect_silence(PAUSE * 3);
        let resumed = world.conn(id, |conn| {
            conn.resume();
            conn.local().now()
        });
        let read = world.wait_for_event(&Event::incoming(b"waits"));
        assert!(read.at >= resumed, "read while paused");
        let _trace = world.finish();
    }
}

fn the_read_timeout_goes_on_meanwhile() {
    // S88, S96: the listener's timed pause does not stop it
    let wait = Duration::from_millis(100);
    let mut world = Setup::new().config(|c| c.read_timeout = Some(wait)).start(|call| {
        if *call.event == Event::Connect {
            call.pause_for(Some(FOR_EVER));
        }
    });
    let mut peer = world.connect();
    let begin = world.wait_for_event(&Event::Connect);
    let fired = world.wait_for_event(&Event::ReadTimeout);
    assert!(fired.at >= begin.at.saturating_add(wait), "early");
    peer.expect_end();
    let want = [Event::Connect, Event::ReadTimeout, Event::ended("read timeout")];
    assert_eq!(world.finish().only(), want);
}

fn the_read_timeout_begins_anew_at_its_end() {
    // O7: a whole one from there
    let wait = PAUSE * 3;
    let mut world = Setup::new().config(|c| c.read_timeout = Some(wait)).start(|call| {
        if *call.event == Event::Connect {
            call.pause_for(Some(PAUSE));
        }
    });
    let _peer = world.connect();
    let begin = world.wait_for_event(&Event::Connect);
    let fired = world.wait_for_event(&Event::ReadTimeout);
    assert!(fired.at >= begin.at.saturating_add(PAUSE + wait), "early");
    let _trace = world.finish();
}

#[test]
fn close_ends_it_for_good() {
    // S76, S104 (B18): nothing is delivered while the rest is flushed, nor when its time is over
    let mut world = Setup::new().start(|call| {
        if *call.event == Event::Connect {
            call.pause_for(Some(PAUSE));
        }
    });
    let (mut peer, id) = world.connect_and_wait();
    peer.send(b"unread");
    world.conn(id, |conn| {
        conn.write_vec(vec![3; 16 * 1024 * 1024]);
        conn.close();
    });
    // Until then the peer takes nothing, so the connection still flushes.
    pass(PAUSE * 2);
    peer.send_some(b"unread too");
    assert!(peer.read_to_end() == vec![3; 16 * 1024 * 1024]);
    world.wait_for_end();
    let trace = world.finish();
    assert_eq!(trace.seen.iter().filter(|seen| is_input(seen)).count(), 0);
    assert_eq!(trace.of(id).last(), Some(&Event::ended("closed on request")));
}

fn an_abort_takes_it_along() {
    // S79, S104: nothing is left that could come up
    let mut world = Setup::new().start(|call| {
        if *call.event == Event::Connect {
            call.pause_for(Some(PAUSE));
            call.note("paused");
            call.abort();
        }
    });
    let mut peer = world.connect();
    let _end = peer.read_all();
    let id = world.wait_for_event(&Event::note("paused")).conn.expect("a connection");
    world.wait_for_event(&Event::Dropped);
    peer.is_over_after(PAUSE * 2);
    assert_eq!(world.live(), 1, "the listener");
    assert_eq!(world.finish().of(id), [Event::Connect, Event::note("paused")]);
}
