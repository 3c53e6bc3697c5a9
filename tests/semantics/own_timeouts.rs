//! set_read_timeout and set_write_timeout: waits of one connection, each used once (S84 to S90).

use shardpoll::{ConnId, Tick, Wait};
use shardpoll_tests::{Call, Event, Peer, React, Setup, World, both_worlds, pass, server_context};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

both_worlds! {
    a_wait_of_its_own_counts_from_the_call,
    a_wait_set_from_outside_is_moved_at_once,
    the_next_read_brings_the_configured_timeout_back,
    without_a_timeout_a_peer_may_be_silent_until_it_has_spoken,
    the_default_is_the_configured_one_from_now,
    what_on_read_timeout_sets_counts,
    a_shorter_wait_set_in_on_read_timeout_counts_too,
    a_timeout_that_on_read_timeout_turns_off_stays_off,
    a_wait_that_is_over_does_not_close_a_peer_whose_input_waits,
    a_peer_that_takes_nothing_for_a_wait_of_its_own_is_given_up,
    the_next_progress_brings_the_configured_write_timeout_back,
    progress_ends_a_wait_that_is_shorter_than_the_configured_one,
    the_default_write_timeout_is_the_configured_one_from_now,
    with_nothing_queued_there_is_nothing_to_wait_for,
    a_wait_does_not_outlive_a_lock,
    a_wait_of_its_own_counts_in_an_upgrade_too,
}

const WAIT: Duration = Duration::from_millis(150);
const LONG: Duration = Duration::from_secs(3600);

fn a_wait_of_its_own_counts_from_the_call() {
    // S84: shorter than the configured one, and longer
    for (configured, own) in [(LONG, WAIT), (WAIT / 3, WAIT)] {
        let setup = Setup::new().config(|c| c.read_timeout = Some(configured));
        let mut world = setup.start(move |call| {
            if *call.event == Event::Connect {
                call.set_read_timeout(Wait::After(own));
            }
        });
        let mut peer = world.connect();
        let begin = world.wait_for_event(&Event::Connect);
        let fired = world.wait_for_event(&Event::ReadTimeout);
        assert!(fired.at >= begin.at.saturating_add(own), "early");
        peer.expect_end();
        let want = [Event::Connect, Event::ReadTimeout, Event::ended("read timeout")];
        assert_eq!(world.finish().only(), want);
    }
}

fn a_wait_set_from_outside_is_moved_at_once() {
    // S84: earlier than what the loop waits for
    let mut world = Setup::new().start(|_| {});
    let (_peer, id) = world.connect_and_wait();
    world.conn(id, |conn| conn.set_read_timeout(Wait::After(LONG)));
    world.conn(id, |conn| conn.set_read_timeout(Wait::After(WAIT)));
    assert_eq!(world.wait_for_end().event, Event::ended("read timeout"));
    let _trace = world.finish();
}

fn the_next_read_brings_the_configured_timeout_back() {
    // S84: set at the first of two bytes, over at the second
    let mut world = Setup::new()
        .config(|c| {
            c.read_timeout = None;
            c.read_size_bytes = 1;
        })
        .start(|call| {
            if *call.event == Event::incoming(b"a") {
                call.set_read_timeout(Wait::After(WAIT));
            }
        });
    let (mut peer, id) = world.connect_and_wait();
    peer.send(b"ab");
    world.wait_for_event(&Event::incoming(b"b"));
    peer.expect_silence(WAIT * 3);
    world.conn(id, |_| ());
    assert_eq!(world.finish().count(&Event::ReadTimeout), 0);
}

fn without_a_timeout_a_peer_may_be_silent_until_it_has_spoken() {
    // S84: off until the next read
    let setup = Setup::new().config(|c| c.read_timeout = Some(WAIT));
    let mut world = setup.start(|call| {
        if *call.event == Event::Connect {
            call.set_read_timeout(Wait::Off);
        }
    });
    let (mut peer, _) = world.connect_and_wait();
    peer.expect_silence(WAIT * 3);
    peer.send(b"x");
    let read = world.wait_for_event(&Event::incoming(b"x"));
    let fired = world.wait_for_event(&Event::ReadTimeout);
    assert!(fired.at >= read.at.saturating_add(WAIT), "early");
    world.wait_for_end();
    assert_eq!(world.finish().count(&Event::ReadTimeout), 1);
}

fn the_default_is_the_configured_one_from_now() {
    // S84: it replaces both a wait and none
    for own in [Wait::Off, Wait::After(LONG), Wait::After(WAIT / 3)] {
        let setup = Setup::new().config(|c| c.read_timeout = Some(WAIT));
        let mut world = setup.start(move |call| {
            if *call.event == Event::Connect {
                call.set_read_timeout(own);
                call.set_read_timeout(Wait::Default);
            }
        });
        let _peer = world.connect();
        let begin = world.wait_for_event(&Event::Connect);
        let fired = world.wait_for_event(&Event::ReadTimeout);
        assert!(fired.at >= begin.at.saturating_add(WAIT), "early: {own:?}");
        let _trace = world.finish();
    }
}

fn what_on_read_timeout_sets_counts() {
    // S86: its own wait instead of the configured one, once; then the configured one again
    let own = WAIT * 2;
    let setup = Setup::new().config(|c| c.read_timeout = Some(WAIT));
    let mut world = setup.start(move |call| {
        if *call.event == Event::ReadTimeout && call.nth < 3 {
            call.keep();
            if call.nth == 1 {
                call.set_read_timeout(Wait::After(own));
            }
        }
    });
    let _peer = world.connect();
    let fired = world.wait_for_each(3, |seen| seen.event == Event::ReadTimeout);
    assert!(fired[1].at >= fired[0].at.saturating_add(own), "its own was not used");
    assert!(fired[2].at >= fired[1].at.saturating_add(WAIT), "early");
    world.wait_for_end();
    assert_eq!(world.finish().count(&Event::ReadTimeout), 3);
}

fn a_shorter_wait_set_in_on_read_timeout_counts_too() {
    // S86: though the configured one would be far off
    let mut world = Setup::new().start(move |call| match call.event {
        Event::Connect => call.set_read_timeout(Wait::After(WAIT)),
        Event::ReadTimeout if call.nth == 1 => {
            call.keep();
            call.set_read_timeout(Wait::After(WAIT));
        }
        _ => {}
    });
    let _peer = world.connect();
    let fired = world.wait_for_each(2, |seen| seen.event == Event::ReadTimeout);
    assert!(fired[1].at >= fired[0].at.saturating_add(WAIT), "early");
    let _trace = world.finish();
}

fn a_timeout_that_on_read_timeout_turns_off_stays_off() {
    // S86 (B21): no orphan comes up
    let setup = Setup::new().config(|c| c.read_timeout = Some(WAIT));
    let mut world = setup.start(move |call| {
        if *call.event == Event::ReadTimeout {
            call.keep();
            call.set_read_timeout(Wait::Off);
        }
    });
    let mut peer = world.connect();
    world.wait_for_event(&Event::ReadTimeout);
    peer.expect_silence(WAIT * 3);
    let want = [Event::Connect, Event::ReadTimeout, Event::ended("closed on request")];
    assert_eq!(world.finish().only(), want);
}

fn a_wait_that_is_over_does_not_close_a_peer_whose_input_waits() {
    // O7: a wait of its own is judged like the configured one
    let mut world = Setup::new().start(|call| match call.event {
        Event::Connect => call.set_read_timeout(Wait::After(WAIT)),
        Event::Incoming(data) => call.say(data),
        _ => {}
    });
    let (mut peer, _) = world.connect_and_wait();
    let release = world.hold_shard();
    peer.send(b"here");
    peer.expect_silence(WAIT * 2);
    drop(release);
    peer.expect(b"here");
    assert_eq!(world.finish().only()[1], Event::incoming(b"here"));
}

const LARGE: usize = 24 * 1024 * 1024;
const SEND_WAIT: Duration = Duration::from_secs(1);

/// Queues a lot, and sets this wait behind every attempt to send for as long as it is told to: the
/// kernel may find room late.
fn setting(own: Wait, on: &Arc<AtomicBool>) -> impl React {
    let on = Arc::clone(on);
    move |call: &mut Call<'_, '_>| match call.event {
        Event::Connect => call.say_vec(vec![5; LARGE]),
        Event::Predrain => {
            let (id, on) = (call.id(), Arc::clone(&on));
            call.local().add_timer(Duration::ZERO, move |local, _| {
                if on.load(Ordering::SeqCst) {
                    local.conn(id)?.set_write_timeout(own);
                }
                None
            });
        }
        _ => {}
    }
}

/// A peer that does not read unless it is told to.
fn deaf(world: &World) -> Peer {
    Peer::connect_with_buffer(world.addr(), 256 * 1024)
}

fn a_peer_that_takes_nothing_for_a_wait_of_its_own_is_given_up() {
    // S89, S90: not negotiable
    let on = Arc::new(AtomicBool::new(true));
    let setup = Setup::new().config(|c| c.send_timeout = None);
    let mut world = setup.start(setting(Wait::After(WAIT), &on));
    let _deaf = deaf(&world);
    let begin = world.wait_for_event(&Event::Connect);
    let end = world.wait_for_end();
    assert_eq!(end.event, Event::ended("write timeout"));
    assert!(end.at >= begin.at.saturating_add(WAIT), "early");
    let _trace = world.finish();
}

fn the_next_progress_brings_the_configured_write_timeout_back() {
    // S89: none until then, however long the peer takes nothing
    for own in [Wait::Off, Wait::After(LONG)] {
        let on = Arc::new(AtomicBool::new(true));
        let setup = Setup::new().config(|c| c.send_timeout = Some(SEND_WAIT));
        let mut world = setup.start(setting(own, &on));
        let mut deaf = deaf(&world);
        let (begin, id) = connected(&mut world);
        pass(SEND_WAIT * 3 / 2);
        world.conn(id, |conn| assert!(conn.backlog() > LARGE / 2, "it has read"));
        on.store(false, Ordering::SeqCst);
        deaf.expect(&vec![5; LARGE / 2]);
        let end = world.wait_for_end();
        assert_eq!(end.event, Event::ended("write timeout"), "{own:?}");
        assert!(end.at >= begin.saturating_add(SEND_WAIT * 5 / 2), "early: {own:?}");
        let _trace = world.finish();
    }
}

fn connected(world: &mut World) -> (Tick, ConnId) {
    let seen = world.wait_for_event(&Event::Connect);
    (seen.at, seen.conn.expect("a connection"))
}

fn progress_ends_a_wait_that_is_shorter_than_the_configured_one() {
    // S89: used once
    let on = Arc::new(AtomicBool::new(true));
    let setup = Setup::new().config(|c| c.send_timeout = None);
    let mut world = setup.start(setting(Wait::After(SEND_WAIT), &on));
    let mut slow = deaf(&world);
    let (_, id) = connected(&mut world);
    world.some_turns();
    on.store(false, Ordering::SeqCst);
    slow.expect(&vec![5; LARGE / 2]);
    pass(SEND_WAIT * 3 / 2);
    world.conn(id, |conn| conn.close());
    assert!(slow.read_to_end() == vec![5; LARGE - LARGE / 2]);
    assert_eq!(world.wait_for_end().event, Event::ended("closed on request"));
    let _trace = world.finish();
}

fn the_default_write_timeout_is_the_configured_one_from_now() {
    // S89
    let on = Arc::new(AtomicBool::new(false));
    let setup = Setup::new().config(|c| c.send_timeout = Some(SEND_WAIT));
    let mut world = setup.start(setting(Wait::Off, &on));
    let _deaf = deaf(&world);
    let (_, id) = connected(&mut world);
    let set = world.conn(id, |conn| {
        conn.set_write_timeout(Wait::After(LONG));
        conn.set_write_timeout(Wait::Default);
        conn.local().now()
    });
    let end = world.wait_for_end();
    assert_eq!(end.event, Event::ended("write timeout"));
    assert!(end.at >= set.saturating_add(SEND_WAIT), "early");
    let _trace = world.finish();
}

fn with_nothing_queued_there_is_nothing_to_wait_for() {
    // S89: and the wait is not kept for later output
    let mut world = Setup::new().start(|_| {});
    let (mut peer, id) = world.connect_and_wait();
    world.conn(id, |conn| conn.set_write_timeout(Wait::After(WAIT)));
    peer.expect_silence(WAIT * 3);
    world.write(id, b"news");
    peer.expect(b"news");
    assert_eq!(world.finish().of(id).last(), Some(&Event::ended("closed on request")));
}

/// Until the kernel takes no more.
fn until_full(world: &World, id: ConnId) {
    let mut before = LARGE + 1;
    loop {
        let backlog = world.conn(id, |conn| conn.backlog());
        if std::mem::replace(&mut before, backlog) == backlog {
            break;
        }
        pass(WAIT / 3);
    }
}

fn a_wait_does_not_outlive_a_lock() {
    // S70, S71: the lock stops it, and its end begins the configured one
    let on = Arc::new(AtomicBool::new(false));
    let setup = Setup::new().config(|c| c.send_timeout = None);
    let mut world = setup.start(setting(Wait::Off, &on));
    let mut deaf = deaf(&world);
    let (_, id) = connected(&mut world);
    until_full(&world, id);
    world.conn(id, |conn| {
        conn.set_write_timeout(Wait::After(WAIT));
        conn.pause_writes();
    });
    pass(WAIT * 2);
    world.conn(id, |conn| conn.resume_writes());
    pass(WAIT * 2);
    world.conn(id, |conn| conn.close());
    assert!(deaf.read_to_end() == vec![5; LARGE]);
    assert_eq!(world.wait_for_end().event, Event::ended("closed on request"));
    let _trace = world.finish();
}

fn a_wait_of_its_own_counts_in_an_upgrade_too() {
    // S89, S106: what leaves in clear is output like any other
    for (configured, own) in [(None, Wait::After(WAIT)), (Some(SEND_WAIT), Wait::Off)] {
        let setup = Setup::new().config(|c| c.send_timeout = configured);
        let mut world = setup.start(move |call| {
            if *call.event == Event::Connect {
                call.say_vec(vec![5; LARGE]);
                call.start_tls(server_context()).expect("an open connection");
                call.note("asked");
            }
        });
        let mut deaf = deaf(&world);
        let id = world.wait_for_event(&Event::note("asked")).conn.expect("a connection");
        until_full(&world, id);
        let set = world.conn(id, move |conn| {
            conn.set_write_timeout(own);
            conn.local().now()
        });
        if own == Wait::Off {
            pass(SEND_WAIT * 2);
            world.conn(id, |conn| assert!(conn.backlog() > 0, "it has read"));
            deaf.expect(&vec![5; LARGE]);
            world.wait_for_event(&Event::Starttls);
            drop(deaf);
        }
        let end = world.wait_for_end();
        let timed_out = end.event == Event::ended("write timeout");
        assert_eq!(timed_out, own != Wait::Off, "{end:?}");
        assert!(end.at >= set.saturating_add(WAIT), "early");
        drop(world.finish());
    }
}
