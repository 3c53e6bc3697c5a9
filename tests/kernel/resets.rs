//! A peer that resets at any point: one end, told once, and nobody else is hurt (S83, S61).

use shardpoll_tests::{Event, Peer, Setup, TlsPeer, Version, World};

/// Resets so many clients, each at a point of its own, while another is served.
fn play(mut world: World, count: usize, reset: impl Fn(&mut World, usize)) {
    let bystander = shardpoll::Listen::on(([127, 0, 0, 1], 0));
    let echo = world.listen(bystander, |call| {
        if let Event::Incoming(data) = call.event {
            call.write(data);
        }
    });
    let mut bystander = Peer::connect(echo);
    bystander.echo(b"before");
    for n in 0..count {
        reset(&mut world, n);
        bystander.echo(b"between");
    }
    world.wait_for_each(count, |seen| seen.event.is_end());
    while world.live() > 3 {
        world.run(|_| ());
    }
    bystander.echo(b"after");
    let trace = world.finish();
    assert_eq!(trace.ends().len(), count + 1);
}

#[test]
fn a_reset_before_any_data_is_told_once() {
    let world = Setup::new().echo();
    play(world, 50, |world, _| world.connect().reset());
}

#[test]
fn a_reset_in_the_middle_of_input_is_told_once() {
    let world = Setup::new().config(|c| c.read_size_bytes = 100).echo();
    play(world, 50, |world, n| {
        let mut peer = world.connect();
        peer.send(&vec![1; n * 1000 + 1]);
        peer.reset();
    });
}

#[test]
fn a_reset_while_the_engine_writes_is_told_once() {
    let world = Setup::new().start(|call| {
        if *call.event == Event::Connect {
            call.write_vec(vec![0; 16 * 1024 * 1024]);
        }
    });
    play(world, 30, |world, n| {
        let mut peer = world.connect();
        peer.expect(&vec![0; n * 10_000]);
        peer.reset();
    });
}

#[test]
fn a_reset_while_the_engine_closes_is_told_once() {
    // S61, S76: in the last flush, and after it
    let world = Setup::new().start(|call| {
        if matches!(call.event, Event::Incoming(_)) {
            call.write_vec(vec![0; 8 * 1024 * 1024]);
            call.close();
        }
    });
    play(world, 30, |world, n| {
        let mut peer = world.connect();
        peer.send(b"go");
        if n % 2 == 0 {
            peer.expect(&vec![0; 8 * 1024 * 1024]);
        }
        peer.reset();
    });
}

#[test]
fn a_reset_at_any_point_of_the_handshake_is_told_once() {
    // S113
    for version in Version::ALL {
        let world = Setup::new().tls().echo();
        let hello = TlsPeer::begin(world.addr(), version).hello();
        // The one above has left too.
        let len = hello.len();
        let mut world = world;
        world.wait_for_end();
        let listener = world.addr();
        for cut in [0, 1, 5, len / 2, len - 1, len] {
            let mut peer = TlsPeer::begin(listener, version);
            let hello = peer.hello();
            peer.peer.send(&hello[..cut.min(hello.len())]);
            peer.peer.reset();
            let end = world.wait_for_end();
            assert!(end.event.is_end());
        }
        world.connect_tls(version).echo(b"alive");
        let trace = world.finish();
        assert_eq!(trace.ends().len(), 8, "{version:?}");
        assert_eq!(trace.count(&Event::Connect), 1, "{version:?}");
    }
}

#[test]
fn a_reset_behind_a_handshake_is_told_once() {
    let mut world = Setup::new().tls().echo();
    for _ in 0..20 {
        let mut peer = world.connect_tls(Version::Tls13);
        peer.send(b"request");
        peer.peer.reset();
    }
    world.wait_for_each(20, |seen| seen.event.is_end());
    assert_eq!(world.finish().ends().len(), 20);
}

#[test]
fn a_reset_in_the_accept_queue_hurts_nobody() {
    // S127: ECONNABORTED, or a connection that ends at once; the listener goes on
    let mut world = Setup::new().echo();
    let release = world.hold_shard();
    for _ in 0..30 {
        world.connect().reset();
    }
    let mut alive = world.connect();
    drop(release);
    alive.echo(b"alive");
    drop(alive);
    while world.live() > 1 {
        world.run(|_| ());
    }
    world.wait_for_end();
    let trace = world.finish();
    assert_eq!(trace.ends().len(), trace.count(&Event::Connect));
}

#[test]
fn a_reset_of_a_paused_connection_with_input_left_waits_for_nobody_for_ever() {
    // S55: told at once, or at resume, or at the next write error; once
    let mut world = Setup::new().start(|call| {
        if *call.event == Event::Connect {
            call.pause();
        }
    });
    let (mut peer, id) = world.connect_and_wait();
    peer.send(b"unread");
    peer.reset();
    world.run(move |local| {
        if let Some(mut conn) = local.conn(id) {
            conn.resume();
        }
    });
    assert_eq!(world.wait_for_end().event, Event::ended("closed"));
    let _trace = world.finish();
}
