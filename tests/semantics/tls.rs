//! TLS carries the same promises as plain: every byte, in order, in both versions.

use shardpoll::Connect;
use shardpoll_tests::{Event, Setup, Version, both_worlds, pattern};

both_worlds! {
    every_byte_comes_back_through_tls_in_both_versions,
    every_byte_comes_back_with_our_engine_on_both_sides,
    records_that_come_byte_by_byte_are_whole_in_the_end,
    plain_and_tls_listeners_live_side_by_side,
}

fn every_byte_comes_back_through_tls_in_both_versions() {
    for version in Version::ALL {
        let world = Setup::new().tls().echo();
        let mut peer = world.connect_tls(version);
        for len in [1, 2, 100, 16_383, 16_384, 16_385, 50_000] {
            peer.echo(&pattern(len));
        }
        let _trace = world.finish();
    }
}

fn every_byte_comes_back_with_our_engine_on_both_sides() {
    // sizes around a record's and a read's; the client begins the next when one is back
    for version in Version::ALL {
        let mut world = Setup::new().tls().echo();
        let name = "localhost".try_into().expect("a name");
        let to = Connect::to(world.addr()).tls(version.client(), name);
        let lens = [1, 16_383, 16_384, 16_385, 300_000];
        let (mut round, mut got) = (0, Vec::<u8>::new());
        world.dial(to, move |call| match call.event {
            Event::Connect => call.say(&pattern(lens[0])),
            Event::Incoming(data) => {
                got.extend(data);
                if got.len() == lens[round] {
                    assert!(got == pattern(got.len()), "round {round}");
                    got.clear();
                    round += 1;
                    match lens.get(round) {
                        Some(len) => call.say_vec(pattern(*len)),
                        None => call.close(),
                    }
                }
            }
            _ => {}
        });
        let ends = world.wait_for_each(2, |seen| seen.event.is_end());
        let mut causes: Vec<_> = ends.iter().map(|end| end.cause.as_str()).collect();
        causes.sort_unstable();
        assert_eq!(causes, ["Asked", "PeerClosed"], "{version:?}");
        let _trace = world.finish();
    }
}

fn records_that_come_byte_by_byte_are_whole_in_the_end() {
    let world = Setup::new().tls().echo();
    let mut peer = world.connect_tls(Version::Tls13);
    for byte in peer.seal(&[b"slow and steady"]) {
        peer.peer.send(&[byte]);
    }
    peer.expect(b"slow and steady");
    let _trace = world.finish();
}

fn plain_and_tls_listeners_live_side_by_side() {
    let world = Setup::new().echo();
    let tls = world.listen_tls(|call| {
        if let Event::Incoming(data) = call.event {
            call.write(data);
        }
    });
    let mut plain = world.connect();
    let mut sealed = shardpoll_tests::TlsPeer::connect(tls, Version::Tls13);
    for _ in 0..10 {
        plain.echo(b"plain");
        sealed.echo(b"sealed");
    }
    let _trace = world.finish();
}

#[test]
fn many_handshakes_at_once_all_succeed() {
    let mut world = Setup::new().shards(2).tls().echo();
    let clients: Vec<_> = (0..8)
        .map(|n| {
            let addr = world.addr();
            std::thread::spawn(move || {
                for _ in 0..5 {
                    let version = Version::ALL[n % 2];
                    let mut peer = shardpoll_tests::TlsPeer::connect(addr, version);
                    peer.echo(&pattern(20_000));
                    peer.finish();
                    assert!(peer.read_to_end().is_empty());
                }
            })
        })
        .collect();
    for client in clients {
        client.join().expect("each client's own panic is reported by it");
    }
    world.wait_for_each(40, |seen| seen.event == Event::ended("closed"));
    let _trace = world.finish();
}
