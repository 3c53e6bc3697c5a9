//! pause_writes and resume_writes: output waits, but not for the end (S70, S71, S75, S82).

use shardpoll::Connect;
use shardpoll_tests::{Event, Peer, Seen, Setup, Version, World, both_worlds, pattern};
use std::sync::Arc;
use std::time::Duration;

both_worlds! {
    nothing_is_sent_while_locked_and_all_of_it_afterwards,
    one_that_is_not_locked_is_not_unlocked,
    a_lock_and_its_end_in_one_callback_hold_nothing_back,
    a_lock_in_predrain_keeps_what_was_about_to_be_sent,
    the_first_drain_waits_for_what_is_locked,
    close_flushes_although_locked,
    a_locked_connection_is_flushed_when_its_peer_has_finished,
    a_lock_does_not_hinder_the_handshake_nor_its_end,
    the_send_timeout_stops_while_locked_and_is_a_whole_one_afterwards,
    a_full_queue_refuses_a_locked_connection_and_does_not_end_it,
}

const WHILE: Duration = Duration::from_millis(100);
const WAIT: Duration = Duration::from_millis(200);
const LARGE: usize = 24 * 1024 * 1024;

fn resume(world: &World, seen: &Seen) {
    let id = seen.conn.expect("a callback has a connection");
    world.conn(id, |conn| conn.resume_writes());
}

fn nothing_is_sent_while_locked_and_all_of_it_afterwards() {
    // S70, S71: what was written in the same callback before the lock too, in order
    let mut world = Setup::new().start(|call| {
        if *call.event == Event::Connect {
            call.say(b"before, ");
            call.pause_writes();
            call.pause_writes();
            call.say(b"behind, ");
            call.say_vec(b"owned, ".to_vec());
            call.write_shared(Arc::from(&b"shared"[..]));
            let backlog = call.backlog();
            call.note(backlog);
        }
    });
    let mut peer = world.connect();
    let connect = world.wait_for_event(&Event::Connect);
    world.wait_for_event(&Event::note("29"));
    peer.expect_silence(WHILE);
    resume(&world, &connect);
    peer.expect(b"before, behind, owned, shared");
    let drain = world.wait_for_event(&Event::Drain);
    assert_eq!(drain.conn, connect.conn);
    let trace = world.finish();
    let want = [Event::Connect, Event::note("29"), Event::Predrain, Event::Drain];
    assert_eq!(trace.only()[..4], want);
}

fn one_that_is_not_locked_is_not_unlocked() {
    // S71: a no-op, in the middle of writing too
    let world = Setup::new().start(|call| {
        if let Event::Incoming(data) = call.event {
            call.resume_writes();
            call.say(data);
            call.resume_writes();
        }
    });
    world.connect().echo(b"as ever");
    let trace = world.finish();
    assert_eq!((trace.count(&Event::Predrain), trace.count(&Event::Drain)), (1, 1));
}

fn a_lock_and_its_end_in_one_callback_hold_nothing_back() {
    // S71: plain and TLS
    for tls in [false, true] {
        let setup = if tls { Setup::new().tls() } else { Setup::new() };
        let world = setup.start(|call| {
            if let Event::Incoming(data) = call.event {
                call.pause_writes();
                call.say(data);
                call.resume_writes();
            }
        });
        if tls {
            world.connect_tls(Version::Tls13).echo(b"sent");
        } else {
            world.connect().echo(b"sent");
        }
        let _trace = world.finish();
    }
}

fn a_lock_in_predrain_keeps_what_was_about_to_be_sent() {
    // S70, S59: and nothing is drained that has not gone
    for tls in [false, true] {
        let setup = if tls { Setup::new().tls() } else { Setup::new() };
        let mut world = setup.start(|call| match call.event {
            Event::Incoming(_) => {
                call.note("asked");
                call.say(b"kept");
            }
            Event::Predrain => {
                let nth = call.nth;
                call.note(format!("predrain {nth}"));
                if call.backlog() > 0 && call.backlog() < 10 {
                    call.pause_writes();
                    call.say(b", and more");
                    call.note("locked");
                }
            }
            _ => {}
        });
        let mut plain = (!tls).then(|| world.connect());
        let mut sealed = tls.then(|| world.connect_tls(Version::Tls12));
        plain.iter_mut().for_each(|peer| peer.send(b"x"));
        sealed.iter_mut().for_each(|peer| peer.send(b"x"));
        let locked = world.wait_for_event(&Event::note("locked"));
        world.some_turns();
        let held = world.conn(locked.conn.expect("a connection"), |conn| conn.backlog());
        assert_eq!(held, 14, "TLS: {tls}");
        resume(&world, &locked);
        plain.iter_mut().for_each(|peer| peer.expect(b"kept, and more"));
        sealed.iter_mut().for_each(|peer| peer.expect(b"kept, and more"));
        world.wait_for_event(&Event::Drain);
        let events = world.finish().only();
        let asked = events.iter().position(|e| *e == Event::note("asked")).expect("noted");
        let drains = events[asked..].iter().filter(|e| **e == Event::Drain).count();
        assert_eq!(drains, 1, "TLS: {tls}: {events:?}");
    }
}

fn the_first_drain_waits_for_what_is_locked() {
    // S63, S70: after an outgoing connect and after a handshake
    let lock = |call: &mut shardpoll_tests::Call<'_, '_>| {
        if *call.event == Event::Connect {
            call.pause_writes();
            call.say(b"locked");
        }
    };
    let server = Setup::new().start(|_| {});
    for tls in [false, true] {
        let setup = if tls { Setup::new().tls() } else { Setup::new() };
        let mut world = setup.start(lock);
        let peer = tls.then(|| world.connect_tls(Version::Tls13));
        if !tls {
            world.dial(Connect::to(server.addr()), lock);
        }
        let connect = world.wait_for_event(&Event::Connect);
        world.some_turns();
        let id = connect.conn.expect("a connection");
        let log = world.log();
        world.conn(id, move |conn| {
            let (at, cause) = (conn.local().now(), String::new());
            let seen = Seen { conn: Some(id), by: "", event: Event::note("unlocked"), at, cause };
            log.send(seen).expect("the test listens");
            conn.resume_writes();
        });
        world.wait_for_event(&Event::Drain);
        drop(peer);
        let events = world.finish().of(id);
        let at = |event: &Event| events.iter().position(|e| e == event).expect("seen");
        assert!(at(&Event::Drain) > at(&Event::note("unlocked")), "TLS: {tls}: {events:?}");
    }
}

fn close_flushes_although_locked() {
    // S75: locked before the close or after it; plain and TLS
    for (tls, before) in [(false, true), (false, false), (true, true), (true, false)] {
        let setup = if tls { Setup::new().tls() } else { Setup::new() };
        let mut world = setup.start(move |call| {
            if matches!(call.event, Event::Incoming(_)) {
                if before {
                    call.pause_writes();
                }
                call.say_vec(pattern(2_000_000));
                call.close();
                if !before {
                    call.pause_writes();
                }
            }
        });
        let got = if tls {
            let mut peer = world.connect_tls(Version::Tls13);
            peer.send(b"x");
            peer.read_to_end()
        } else {
            let mut peer = world.connect();
            peer.send(b"x");
            peer.read_to_end()
        };
        assert!(got == pattern(2_000_000), "TLS: {tls}, locked first: {before}");
        assert_eq!(world.wait_for_end().event, Event::ended("closed on request"));
        let _trace = world.finish();
    }
}

fn a_locked_connection_is_flushed_when_its_peer_has_finished() {
    // S82, S75: plain by FIN, TLS by close_notify; no more input, one disconnect
    for tls in [false, true] {
        let setup = if tls { Setup::new().tls() } else { Setup::new() };
        let mut world = setup.start(|call| match call.event {
            Event::Connect => call.pause_writes(),
            Event::Incoming(_) => call.say_vec(pattern(2_000_000)),
            _ => {}
        });
        let got = if tls {
            let mut peer = world.connect_tls(Version::Tls13);
            peer.send(b"question");
            world.wait_for_event(&Event::incoming(b"question"));
            peer.finish();
            peer.read_to_end()
        } else {
            let mut peer = world.connect();
            peer.send(b"question");
            world.wait_for_event(&Event::incoming(b"question"));
            peer.finish();
            peer.read_to_end()
        };
        assert!(got == pattern(2_000_000), "TLS: {tls}: {} bytes", got.len());
        let end = world.wait_for_end();
        assert_eq!(end.event, Event::ended("closed"));
        // At most the one after the handshake (S63), if it came before the question.
        assert!(world.finish().count(&Event::Drain) <= usize::from(tls));
    }
}

fn a_lock_does_not_hinder_the_handshake_nor_its_end() {
    // S70: it holds back what the application says, not what TLS says
    for version in Version::ALL {
        let mut world = Setup::new().tls().start(|call| match call.event {
            Event::Starttls => call.pause_writes(),
            Event::Connect => call.say(b"locked"),
            Event::Incoming(_) => call.close(),
            _ => {}
        });
        let mut peer = world.connect_tls(version);
        let connect = world.wait_for_event(&Event::Connect);
        world.some_turns();
        let held = world.conn(connect.conn.expect("a connection"), |conn| conn.backlog());
        assert_eq!(held, 6, "{version:?}");
        peer.send(b"bye");
        assert_eq!(peer.read_to_end(), b"locked", "{version:?}");
        world.wait_for_end();
        let _trace = world.finish();
    }
}

fn the_send_timeout_stops_while_locked_and_is_a_whole_one_afterwards() {
    // S70, S71
    let mut world = Setup::new().config(|c| c.send_timeout = Some(WAIT)).start(|call| {
        if *call.event == Event::Connect {
            call.say_vec(vec![0; LARGE]);
            call.pause_writes();
        }
    });
    let mut deaf = Peer::connect_with_buffer(world.addr(), 4096);
    let connect = world.wait_for_event(&Event::Connect);
    deaf.expect_silence(WAIT * 3);
    let resumed = world.conn(connect.conn.expect("a connection"), |conn| {
        conn.resume_writes();
        conn.local().now()
    });
    let end = world.wait_for_end();
    assert_eq!(end.event, Event::ended("write timeout"));
    assert!(end.at >= resumed.saturating_add(WAIT), "early");
    let _trace = world.finish();
}

fn a_full_queue_refuses_a_locked_connection_and_does_not_end_it() {
    // S69: with locked writes, a write that does not fit is told so and nothing else happens
    let mut world = Setup::new().config(|c| c.max_queued_bytes = 10).start(|call| {
        if *call.event == Event::Connect {
            call.pause_writes();
            let written = [call.write(b"fits in"), call.write(b"does not")];
            call.note(format!("{written:?}"));
            call.resume_writes();
        }
    });
    let mut peer = world.connect();
    peer.expect(b"fits in");
    drop(peer);
    assert_eq!(world.wait_for_end().event, Event::ended("closed"));
    let trace = world.finish();
    assert_eq!(trace.count(&Event::note("[Ok, Full]")), 1);
}
