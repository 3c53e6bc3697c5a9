//! pause and resume: nothing is delivered meanwhile, and nothing is lost (S55, S94, S95, S102).

use shardpoll::ConnId;
use shardpoll_tests::{Event, Seen, Setup, Version, World, both_worlds, pass, pattern};
use std::time::Duration;

both_worlds! {
    nothing_is_delivered_while_paused_and_all_of_it_afterwards,
    a_pause_in_the_middle_of_a_batch_of_records_holds_back_the_rest,
    a_paused_tls_connection_is_silent_until_it_is_resumed,
    a_pause_in_on_connect_is_respected,
    the_end_of_the_peer_waits_behind_a_pause,
    the_end_of_a_tls_peer_waits_behind_a_pause,
    a_paused_connection_still_writes,
    pause_and_resume_are_idempotent,
    a_pause_before_the_handshake_does_not_hinder_it,
    close_ends_a_pause_for_good,
}

const WHILE: Duration = Duration::from_millis(100);

/// How many bytes and callbacks of input one connection has had.
fn inputs(seen: &[Seen]) -> (usize, usize) {
    let input = |seen: &Seen| match &seen.event {
        Event::Incoming(data) => Some(data.len()),
        _ => None,
    };
    let lens: Vec<_> = seen.iter().filter_map(input).collect();
    (lens.iter().sum(), lens.len())
}

fn resume(world: &World, id: ConnId) {
    world.run(move |local| local.conn(id).expect("paused, not gone").resume());
}

/// Pauses after every piece of input.
fn pause_each(call: &mut shardpoll_tests::Call<'_, '_>) {
    if matches!(call.event, Event::Incoming(_)) {
        call.pause();
    }
}

fn nothing_is_delivered_while_paused_and_all_of_it_afterwards() {
    // S94, S95 (B23): one resume for each piece
    let data = pattern(10_000);
    let mut world = Setup::new().config(|c| c.read_size_bytes = 1000).start(pause_each);
    let (mut peer, id) = world.connect_and_wait();
    peer.send(&data);
    let mut got = Vec::new();
    while got.len() < data.len() {
        let seen = world.wait_for(|seen| matches!(seen.event, Event::Incoming(_)));
        if let Event::Incoming(more) = seen.event {
            got.extend(more);
        }
        assert_eq!(world.run(|local| local.live()), 2);
        resume(&world, id);
    }
    assert!(got == data);
    let _trace = world.finish();
}

fn a_pause_in_the_middle_of_a_batch_of_records_holds_back_the_rest() {
    // S55, S95 under TLS: several records in one segment; read size smaller than a record
    for (version, size) in [(Version::Tls13, 500), (Version::Tls12, 500), (Version::Tls13, 16384)] {
        let setup = Setup::new().tls().config(|c| c.read_size_bytes = size);
        let mut world = setup.start(pause_each);
        let mut peer = world.connect_tls(version);
        let id = world.wait_for_event(&Event::Connect).conn.expect("a connection");
        let data = pattern(9_000);
        let pieces: Vec<_> = data.chunks(2_300).collect();
        let batch = peer.seal(&pieces);
        peer.peer.send(&batch);
        let mut got = Vec::new();
        while got.len() < data.len() {
            let seen = world.wait_for(|seen| matches!(seen.event, Event::Incoming(_)));
            if let Event::Incoming(more) = seen.event {
                assert!(more.len() <= size);
                got.extend(more);
            }
            // Every task takes a turn, in which nothing may be delivered.
            for _ in 0..3 {
                world.run(|_| ());
            }
            resume(&world, id);
        }
        assert!(got == data, "{version:?}, read size {size}");
        let trace = world.finish();
        let (bytes, _) = inputs(&trace.seen);
        assert_eq!(bytes, data.len());
    }
}

fn a_paused_tls_connection_is_silent_until_it_is_resumed() {
    // S55: no delivery between pause and resume, whatever waits decrypted
    let mut world = Setup::new().tls().config(|c| c.read_size_bytes = 400).start(|call| {
        if matches!(call.event, Event::Incoming(_)) && call.nth == 2 {
            call.pause();
            call.note("paused");
        }
    });
    let mut peer = world.connect_tls(Version::Tls13);
    let data = pattern(5_000);
    let pieces: Vec<_> = data.chunks(1_000).collect();
    let batch = peer.seal(&pieces);
    peer.peer.send(&batch);
    let paused = world.wait_for_event(&Event::note("paused"));
    let id = paused.conn.expect("a connection");
    for _ in 0..20 {
        world.run(|_| ());
    }
    let log = world.log();
    world.run(move |local| {
        let mut conn = local.conn(id).expect("paused, not gone");
        let note = Event::note("resumed");
        let at = conn.local().now();
        let seen = Seen { conn: Some(id), by: "", event: note, at, cause: String::new() };
        log.send(seen).expect("the test listens");
        conn.resume();
    });
    peer.finish();
    world.wait_for_end();
    let trace = world.finish();
    let at = |text| trace.seen.iter().position(|s| s.event == Event::note(text));
    let (paused, resumed) = (at("paused").expect("noted"), at("resumed").expect("noted"));
    assert_eq!(inputs(&trace.seen[paused..resumed]), (0, 0));
    assert_eq!(inputs(&trace.seen).0, data.len());
}

fn a_pause_in_on_connect_is_respected() {
    // S126 (B41): though the data is there already
    let mut world = Setup::new().start(|call| {
        if *call.event == Event::Connect {
            call.pause();
        }
    });
    let release = world.hold_shard();
    let mut peer = world.connect();
    peer.send(b"early");
    drop(release);
    let id = world.wait_for_event(&Event::Connect).conn.expect("a connection");
    peer.expect_silence(WHILE);
    resume(&world, id);
    world.wait_for_event(&Event::incoming(b"early"));
    assert_eq!(inputs(&world.finish().seen), (5, 1));
}

fn the_end_of_the_peer_waits_behind_a_pause() {
    // S55 (B16): data and FIN come at resume, in this order
    let mut world = Setup::new().start(|call| {
        if *call.event == Event::Connect {
            call.pause();
        }
    });
    let (mut peer, id) = world.connect_and_wait();
    peer.send(b"last words");
    peer.finish();
    peer.expect_silence(WHILE);
    world.run(move |local| assert!(local.conn(id).is_some(), "ended while paused"));
    resume(&world, id);
    world.wait_for_end();
    let want = [Event::Connect, Event::incoming(b"last words"), Event::ended("closed")];
    assert_eq!(world.finish().of(id), want);
}

fn the_end_of_a_tls_peer_waits_behind_a_pause() {
    // S55, S118: data and close_notify in one segment, paused at the data
    let mut world = Setup::new().tls().start(pause_each);
    let mut peer = world.connect_tls(Version::Tls13);
    let mut last = peer.seal(&[b"last words"]);
    last.extend(peer.seal_end());
    peer.peer.send(&last);
    peer.peer.finish();
    let paused = world.wait_for_event(&Event::incoming(b"last words"));
    let id = paused.conn.expect("a connection");
    pass(WHILE);
    world.run(move |local| assert!(local.conn(id).is_some(), "ended while paused"));
    resume(&world, id);
    let end = world.wait_for_end();
    assert_eq!(end.event, Event::ended("closed"));
    let _trace = world.finish();
}

fn a_paused_connection_still_writes() {
    // S94: reading only
    let mut world = Setup::new().start(|call| {
        if *call.event == Event::Connect {
            call.pause();
        }
    });
    let (mut peer, id) = world.connect_and_wait();
    world.write(id, b"news");
    peer.expect(b"news");
    let _trace = world.finish();
}

fn pause_and_resume_are_idempotent() {
    // S94: one resume undoes any number of pauses
    let mut world = Setup::new().start(|call| {
        if *call.event == Event::Connect {
            call.pause();
            call.pause();
            call.resume();
            call.resume();
        }
    });
    let mut peer = world.connect();
    peer.send(b"x");
    world.wait_for_event(&Event::incoming(b"x"));
    let _trace = world.finish();
}

fn a_pause_before_the_handshake_does_not_hinder_it() {
    // S102: the handshake goes on, application data waits
    let mut world = Setup::new().tls().start(|call| {
        if *call.event == Event::Starttls {
            call.pause();
        }
    });
    let mut peer = world.connect_tls(Version::Tls13);
    peer.send(b"patience");
    let id = world.wait_for_event(&Event::Connect).conn.expect("a connection");
    for _ in 0..20 {
        world.run(|_| ());
    }
    resume(&world, id);
    world.wait_for_event(&Event::incoming(b"patience"));
    assert_eq!(inputs(&world.finish().seen), (8, 1));
}

fn close_ends_a_pause_for_good() {
    // S76, S104: a paused connection is flushed and ended like any other
    let mut world = Setup::new().start(|call| {
        if *call.event == Event::Connect {
            call.pause();
        }
    });
    let (mut peer, id) = world.connect_and_wait();
    peer.send(b"unread");
    world.run(move |local| {
        let mut conn = local.conn(id).expect("paused, not gone");
        conn.write(b"bye");
        conn.close();
    });
    assert_eq!(peer.read_to_end(), b"bye");
    world.wait_for_end();
    assert_eq!(inputs(&world.finish().seen), (0, 0));
}
