//! on_incoming: every byte, in order, in pieces of at most the read size (S34, S45 to S53).

use shardpoll::Input;
use shardpoll_tests::{Event, Setup, Version, both_worlds, pattern};

both_worlds! {
    chunks_are_at_most_the_read_size_and_lose_nothing,
    decrypted_chunks_are_at_most_the_read_size_and_lose_nothing,
    a_large_stream_comes_in_order_and_is_echoed_whole,
    data_that_comes_with_the_end_is_delivered_before_it,
}

const SIZES: [usize; 4] = [1, 100, 4096, 16 * 1024];

fn largest(seen: &[shardpoll_tests::Seen]) -> usize {
    let len = |seen: &shardpoll_tests::Seen| match &seen.event {
        Event::Incoming(data) => data.len(),
        _ => 0,
    };
    seen.iter().map(len).max().unwrap_or(0)
}

fn chunks_are_at_most_the_read_size_and_lose_nothing() {
    // S45: for each size, a stream that is no multiple of it
    for size in SIZES {
        let data = pattern(size * 7 + size / 2 + 3);
        let mut world = Setup::new().config(|c| c.read_size_bytes = size).start(|_| {});
        let mut peer = world.connect();
        peer.send(&data);
        drop(peer);
        world.wait_for_end();
        let trace = world.finish();
        assert!(largest(&trace.seen) <= size, "read size {size}");
        let want = [Event::Connect, Event::Incoming(data), Event::ended("closed")];
        assert_eq!(trace.only(), want, "read size {size}");
    }
}

fn decrypted_chunks_are_at_most_the_read_size_and_lose_nothing() {
    // S45 under TLS: a record may be larger than the read size
    for size in [100, 4096] {
        let data = pattern(40_000);
        let mut world = Setup::new().tls().config(|c| c.read_size_bytes = size).start(|_| {});
        let mut peer = world.connect_tls(Version::Tls13);
        peer.send(&data);
        peer.finish();
        world.wait_for_end();
        let trace = world.finish();
        assert!(largest(&trace.seen) <= size, "read size {size}");
        let input = trace.only().into_iter().filter(|e| matches!(e, Event::Incoming(_)));
        let got: Vec<u8> = input
            .flat_map(|event| match event {
                Event::Incoming(data) => data,
                _ => Vec::new(),
            })
            .collect();
        assert!(got == data, "read size {size}");
    }
}

fn a_large_stream_comes_in_order_and_is_echoed_whole() {
    // S45, S46
    let world = Setup::new().echo();
    let mut peer = world.connect();
    let piece = pattern(100_000);
    for _ in 0..40 {
        peer.echo(&piece);
    }
    let trace = world.finish();
    let events = trace.only();
    let got = events.iter().map(|e| if let Event::Incoming(data) = e { data.len() } else { 0 });
    assert_eq!(got.sum::<usize>(), 40 * piece.len());
}

fn data_that_comes_with_the_end_is_delivered_before_it() {
    // S48: data read together with the end comes first, though the shard was away meanwhile
    let mut world = Setup::new().start(|_| {});
    let (mut peer, id) = world.connect_and_wait();
    let release = world.hold_shard();
    peer.send(b"last words");
    drop(peer);
    drop(release);
    world.wait_for_end();
    let want = [Event::Connect, Event::incoming(b"last words"), Event::ended("closed")];
    assert_eq!(world.finish().of(id), want);
}

#[test]
fn a_read_tells_what_lies_behind_it() {
    // S46: full reads, a short one, and one with the end behind it
    let mut world = Setup::new().config(|c| c.read_size_bytes = 4).start(|call| {
        if let Event::Incoming(_) = call.event {
            let input = call.input();
            call.note(format!("{input:?}"));
        }
    });
    let (mut peer, id) = world.connect_and_wait();
    let dry = Event::note(&format!("{:?}", Input::Dry));
    peer.send(b"abcdefghij");
    world.wait_for(|seen| seen.event == dry);
    let release = world.hold_shard();
    peer.send(b"kl");
    drop(peer);
    drop(release);
    world.wait_for_end();
    let trace = world.finish();
    let notes = trace.of(id).into_iter().filter(|event| matches!(event, Event::Note(_)));
    let notes: Vec<_> = notes.collect();
    let want = [Input::More, Input::More, Input::Dry, Input::Ended];
    assert_eq!(notes, want.map(|input| Event::note(&format!("{input:?}"))));
}

#[test]
fn a_decrypted_read_tells_whether_the_end_lies_behind_it() {
    // S46 under TLS: close_notify in the same flight; on a new line, and on one that has answered
    // so often that its session does its records itself
    for rounds in [1, 20] {
        let mut world = Setup::new().tls().start(|call| {
            if let Event::Incoming(data) = call.event.clone() {
                let input = call.input();
                call.note(format!("{input:?}"));
                call.say(&data);
            }
        });
        let mut peer = world.connect_tls(Version::Tls13);
        for _ in 0..rounds {
            peer.echo(b"a");
            world.wait_for(|seen| seen.event == Event::note("Dry"));
        }
        let mut wire = peer.seal(&[b"last words"]);
        wire.extend(peer.seal_end());
        peer.peer.send(&wire);
        world.wait_for(|seen| seen.event == Event::note("Ended"));
        world.wait_for_end();
        drop(world.finish());
    }
}

#[test]
fn of_several_records_only_the_last_has_nothing_behind_it() {
    // S46: each is delivered by itself
    let mut world = Setup::new().tls().start(|call| {
        if let Event::Incoming(data) = call.event.clone() {
            let (input, data) = (call.input(), data.escape_ascii().to_string());
            call.note(format!("{data} {input:?}"));
            call.say(b"!");
        }
    });
    let mut peer = world.connect_tls(Version::Tls13);
    for _ in 0..20 {
        peer.send(b"?");
        peer.expect(b"!");
    }
    let mut wire = peer.seal(&[b"one"]);
    wire.extend(peer.seal(&[b"two"]));
    // As long as close_notify.
    wire.extend(peer.seal(&[b"to"]));
    peer.peer.send(&wire);
    for note in ["one More", "twoto Dry"] {
        world.wait_for(|seen| seen.event == Event::note(note));
    }
    let mut wire = peer.seal(&[b"three"]);
    wire.extend(peer.seal(&[b"four"]));
    wire.extend(peer.seal_end());
    peer.peer.send(&wire);
    for note in ["three More", "four Ended"] {
        world.wait_for(|seen| seen.event == Event::note(note));
    }
    world.wait_for_end();
    drop(world.finish());
}

#[test]
fn a_flood_on_one_connection_does_not_starve_another() {
    // S50: at most one read per turn and connection
    let mut world = Setup::new().start(|call| {
        if let Event::Incoming(data) = call.event
            && data.starts_with(b"ping")
        {
            call.write(data);
        }
    });
    let (mut quiet, _) = world.connect_and_wait();
    let (mut flood, _) = world.connect_and_wait();
    let (stop, stopped) = std::sync::mpsc::channel::<()>();
    let flooder = std::thread::spawn(move || {
        let data = vec![b'x'; 256 * 1024];
        while stopped.try_recv() != Err(std::sync::mpsc::TryRecvError::Disconnected) {
            flood.send(&data);
        }
    });
    for _ in 0..100 {
        quiet.echo(b"ping");
    }
    drop(stop);
    flooder.join().expect("the flood is read to its end");
    let _trace = world.finish();
}
