//! Read credit: nothing is read beyond what was granted.

use shardpoll::Credit;
use shardpoll_tests::{Event, Setup, Version, World, both_worlds, pattern};
use std::time::Duration;

both_worlds! {
    bytes_are_read_up_to_what_was_granted_and_the_rest_stays_in_the_kernel,
    chunks_are_counted_one_by_one,
    under_tls_no_more_is_delivered_and_nothing_is_lost,
    without_credit_the_peers_silence_is_not_its_own,
}

fn grant(world: &World, id: shardpoll::ConnId, credit: Credit) {
    world.conn(id, move |conn| conn.grant(credit));
}

/// The bytes of the next pieces of input, until there are so many.
fn collect(world: &mut World, bytes: usize) -> Vec<u8> {
    let mut got = Vec::new();
    while got.len() < bytes {
        let seen = world.wait_for(|seen| matches!(seen.event, Event::Incoming(_)));
        if let Event::Incoming(data) = seen.event {
            got.extend(data);
        }
    }
    got
}

fn bytes_are_read_up_to_what_was_granted_and_the_rest_stays_in_the_kernel() {
    let data = pattern(50_000);
    let mut world = Setup::new().start(|call| {
        if *call.event == Event::Connect {
            call.set_credit(Some(Credit::Bytes(10)));
        }
    });
    let (mut peer, id) = world.connect_and_wait();
    peer.send(&data);
    assert_eq!(collect(&mut world, 10), data[..10]);
    world.some_turns();
    let read = world.run(|local| local.counters().bytes_in);
    assert_eq!(read, 10, "nothing is taken from the kernel that nobody has asked for");
    grant(&world, id, Credit::Bytes(20_000));
    grant(&world, id, Credit::Bytes(5));
    assert!(collect(&mut world, 20_005) == data[10..20_015]);
    world.some_turns();
    assert_eq!(world.run(|local| local.counters().bytes_in), 20_015);
    world.conn(id, |conn| conn.set_credit(None));
    assert!(collect(&mut world, 29_985) == data[20_015..]);
    let _trace = world.finish();
}

fn chunks_are_counted_one_by_one() {
    let setup = Setup::new().config(|c| c.read_size_bytes = 100);
    let mut world = setup.start(|call| {
        if *call.event == Event::Connect {
            call.grant(Credit::Chunks(2));
        }
    });
    let (mut peer, id) = world.connect_and_wait();
    let data = pattern(1_000);
    peer.send(&data);
    assert_eq!(collect(&mut world, 200), data[..200]);
    world.some_turns();
    assert_eq!(world.run(|local| local.counters().bytes_in), 200);
    grant(&world, id, Credit::Chunks(8));
    assert_eq!(collect(&mut world, 800), data[200..]);
    let _trace = world.finish();
}

fn under_tls_no_more_is_delivered_and_nothing_is_lost() {
    for version in [Version::Tls12, Version::Tls13] {
        let mut world = Setup::new().tls().start(|call| {
            if *call.event == Event::Connect {
                call.set_credit(Some(Credit::Bytes(7)));
            }
        });
        let mut peer = world.connect_tls(version);
        let id = world.wait_for_event(&Event::Connect).conn.expect("a connection");
        let data = pattern(3_000);
        peer.send(&data);
        assert_eq!(collect(&mut world, 7), data[..7]);
        world.some_turns();
        grant(&world, id, Credit::Chunks(1));
        assert!(collect(&mut world, 2_993) == data[7..]);
        drop(peer);
        let _trace = world.finish();
    }
}

fn without_credit_the_peers_silence_is_not_its_own() {
    // As in a pause (S88)
    let mut world = Setup::new()
        .config(|c| c.read_timeout = Some(Duration::from_millis(80)))
        .start(|call| match call.event {
            Event::Connect => call.set_credit(Some(Credit::Bytes(0))),
            Event::ReadTimeout => call.keep(),
            _ => {}
        });
    let (mut peer, id) = world.connect_and_wait();
    peer.expect_silence(Duration::from_millis(200));
    assert!(world.run(move |local| local.conn(id).is_some()));
    grant(&world, id, Credit::Bytes(1));
    world.wait_for_event(&Event::ReadTimeout);
    peer.send(b"ab");
    world.wait_for_event(&Event::incoming(b"a"));
    let trace = world.finish();
    assert_eq!(trace.count(&Event::incoming(b"b")), 0);
}
