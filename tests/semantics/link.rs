//! Links: what is read from one connection is written to another, with backpressure, and not a byte
//! is lost (S142 to S145).

use shardpoll::{ConnId, LinkError, LinkOptions};
use shardpoll_tests::{Event, Peer, React, Setup, Version, World, both_worlds, pattern};
use std::time::Duration;

both_worlds! {
    a_tls_source_whose_target_has_ended_is_heard_ending,
    bytes_cross_in_one_direction_without_events_of_the_handlers,
    what_is_written_to_the_target_by_others_takes_its_place_in_the_stream,
    a_proxy_ends_both_when_one_is_reset,
    a_half_closed_side_of_a_proxy_ends_with_the_other,
    without_propagation_the_end_of_one_does_nothing_to_the_other,
    a_source_whose_target_has_ended_is_heard_ending_and_falling_silent,
    unlinked_the_handler_hears_again,
    two_that_are_not_both_there_cannot_be_linked,
    a_paused_source_is_read_once_it_is_linked,
    a_link_made_amid_the_input_takes_the_rest_of_it,
}

/// Two accepted connections.
fn pair(world: &mut World) -> [(Peer, ConnId); 2] {
    [world.connect_and_wait(), world.connect_and_wait()]
}

fn world(react: impl React) -> World {
    Setup::new().start(react)
}

fn link(world: &World, from: ConnId, to: ConnId, options: LinkOptions) {
    world.run(move |local| local.link_with(from, to, options)).expect("both are there");
}

fn bytes_cross_in_one_direction_without_events_of_the_handlers() {
    // S142: no incoming of the source, no drain of the target
    let mut world = world(|_| {});
    let [(mut one, a), (mut two, b)] = pair(&mut world);
    link(&world, a, b, LinkOptions::default());
    one.send(b"over there");
    two.expect(b"over there");
    two.send(b"and back?");
    world.wait_for_event(&Event::incoming(b"and back?"));
    let trace = world.finish();
    assert!(!trace.of(a).iter().any(|event| matches!(event, Event::Incoming(_))));
    assert_eq!(trace.of(b).iter().filter(|event| **event == Event::Drain).count(), 0);
    // S144: one predrain when it was linked, one for what was sent.
    assert_eq!(trace.of(b).iter().filter(|event| **event == Event::Predrain).count(), 2);
}

fn what_is_written_to_the_target_by_others_takes_its_place_in_the_stream() {
    let mut world = world(|_| {});
    let [(mut one, a), (mut two, b)] = pair(&mut world);
    link(&world, a, b, LinkOptions::default());
    one.send(b"1");
    two.expect(b"1");
    world.conn(b, |conn| {
        conn.write(b"2");
    });
    two.expect(b"2");
    one.send(b"3");
    two.expect(b"3");
    let _trace = world.finish();
}

#[test]
fn a_slow_target_holds_the_source_back_and_everything_arrives() {
    // S143 (B23): in flight here is at most the high mark and one chunk
    let data = pattern(24 * 1024 * 1024);
    for (low, high) in [(0, 0), (0, 50_000), (64 * 1024, 256 * 1024)] {
        let mut world = world(|_| {});
        let [(mut one, a), (mut two, b)] = pair(&mut world);
        link(&world, a, b, LinkOptions::default().water_marks(low, high).read_size(10_000));
        let all = data.clone();
        let sender = std::thread::spawn(move || {
            one.send(&all);
            one
        });
        let mut backlog = 0;
        while backlog <= high && high > 0 || backlog == 0 {
            backlog = world.conn(b, |conn| conn.backlog());
        }
        for _ in 0..50 {
            let queued = world.conn(b, |conn| conn.backlog());
            assert!(queued <= high + 10_000, "{queued} bytes are queued, above {high}");
        }
        two.expect(&data);
        drop(sender.join().expect("it sends"));
        world.wait_for_end();
        let _trace = world.finish();
    }
}

#[test]
fn a_proxy_passes_both_directions_and_both_ends_on() {
    let mut world = world(|_| {});
    let [(mut one, a), (mut two, b)] = pair(&mut world);
    world.run(move |local| local.link_both(a, b)).expect("both are there");
    let (there, back) = (pattern(3_000_000), pattern(2_000_000));
    let (up, down) = (there.clone(), back.clone());
    let client = std::thread::spawn(move || {
        one.send(&up);
        one.finish();
        assert!(one.read_to_end() == down, "the answer comes after our end");
    });
    assert!(two.read_to_end() == there, "its end was passed on");
    two.send(&back);
    two.finish();
    client.join().expect("the client is served");
    let spliced = world.run(|local| local.counters().spliced_bytes);
    assert!(spliced > 0, "much goes from kernel to kernel");
    world.wait_for_end();
    world.wait_for_end();
    let trace = world.finish();
    assert_eq!(trace.ends().len(), 2);
    assert!(trace.ends().iter().all(|(_, reason)| reason == "PeerClosed"), "{:?}", trace.ends());
}

fn a_proxy_ends_both_when_one_is_reset() {
    for first in [true, false] {
        let mut world = world(|_| {});
        let [(one, a), (two, b)] = pair(&mut world);
        world.run(move |local| local.link_both(a, b)).expect("both are there");
        let (dies, mut lives) = if first { (one, two) } else { (two, one) };
        dies.reset();
        assert_eq!(lives.read_to_end(), b"");
        world.wait_for_end();
        world.wait_for_end();
        let _trace = world.finish();
    }
}

fn a_half_closed_side_of_a_proxy_ends_with_the_other() {
    // The one whose input has ended waits for the other's end, whatever that is.
    let mut world = world(|_| {});
    let [(mut one, a), (two, b)] = pair(&mut world);
    world.run(move |local| local.link_both(a, b)).expect("both are there");
    one.finish();
    world.some_turns();
    two.reset();
    assert_eq!(one.read_all().0, b"");
    world.wait_for_end();
    world.wait_for_end();
    let _trace = world.finish();
}

fn without_propagation_the_end_of_one_does_nothing_to_the_other() {
    // S145
    let mut world = world(|_| {});
    let [(one, a), (mut two, b)] = pair(&mut world);
    link(&world, a, b, LinkOptions::default());
    link(&world, b, a, LinkOptions::default());
    drop(one);
    assert_eq!(world.wait_for_end().conn, Some(a));
    two.send(b"into nothing");
    world.some_turns();
    let input = world.run(|local| local.counters().bytes_in);
    assert_eq!(input, 0, "it is not read, so that nothing is lost");
    world.conn(b, |conn| conn.resume());
    world.wait_for_event(&Event::incoming(b"into nothing"));
    drop(two);
    world.wait_for_end();
    let _trace = world.finish();
}

fn a_source_whose_target_has_ended_is_heard_ending_and_falling_silent() {
    // S145 (B36): its end is told when nothing unread lies before it, else its silence is
    for speaks in [false, true] {
        let setup = Setup::new().config(|c| c.read_timeout = Some(Duration::from_millis(300)));
        let mut world = setup.start(|call| {
            if *call.event == Event::ReadTimeout {
                call.note("silent");
            }
        });
        let [(mut one, a), (two, b)] = pair(&mut world);
        link(&world, a, b, LinkOptions::default());
        drop(two);
        assert_eq!(world.wait_for_end().conn, Some(b));
        if speaks {
            one.send(b"unread");
        }
        one.finish();
        let end = world.wait_for_end();
        let want = if speaks { "read timeout" } else { "closed" };
        assert_eq!((end.conn, end.event), (Some(a), Event::ended(want)));
        let _trace = world.finish();
    }
}

fn a_tls_source_whose_target_has_ended_is_heard_ending() {
    // S145: the end lies in a record, which is found without a byte of plaintext being given away
    for speaks in [false, true] {
        let mut world = Setup::new().tls().start(|_| {});
        let mut one = world.connect_tls(Version::Tls13);
        let a = world.wait_for_event(&Event::Connect).conn.expect("a connection");
        let two = world.connect_tls(Version::Tls13);
        let b = world.wait_for_event(&Event::Connect).conn.expect("a connection");
        link(&world, a, b, LinkOptions::default());
        drop(two);
        world.wait_for(|seen| seen.conn == Some(b) && seen.event.is_end());
        if speaks {
            one.send(b"unread");
        }
        one.finish();
        one.peer.finish();
        if speaks {
            world.some_turns();
            world.conn(a, |conn| conn.resume());
            world.wait_for_event(&Event::incoming(b"unread"));
        }
        let end = world.wait_for_end();
        assert_eq!((end.conn, end.event), (Some(a), Event::ended("closed")));
        let _trace = world.finish();
    }
}

fn unlinked_the_handler_hears_again() {
    let mut world = world(|_| {});
    let [(mut one, a), (mut two, b)] = pair(&mut world);
    link(&world, a, b, LinkOptions::default());
    one.send(b"there");
    two.expect(b"there");
    assert!(world.run(move |local| local.unlink(a)));
    assert!(!world.run(move |local| local.unlink(a)), "there is none any more");
    one.send(b"here");
    world.wait_for_event(&Event::incoming(b"here"));
    let _trace = world.finish();
}

#[test]
fn a_link_survives_tls_on_either_side() {
    let data = pattern(1_000_000);
    let setup = Setup::new().tls();
    let mut world = setup.start(|_| {});
    let mut one = world.connect_tls(Version::Tls13);
    let a = world.wait_for_event(&Event::Connect).conn.expect("a connection");
    let mut two = world.connect_tls(Version::Tls12);
    let b = world.wait_for_event(&Event::Connect).conn.expect("a connection");
    world.run(move |local| local.link_both(a, b)).expect("both are there");
    let all = data.clone();
    let client = std::thread::spawn(move || {
        one.send(&all);
        one.finish();
        one.read_to_end()
    });
    assert!(two.read_to_end() == data);
    two.send(b"the answer");
    two.finish();
    assert_eq!(client.join().expect("the client is served"), b"the answer");
    world.wait_for_end();
    world.wait_for_end();
    let _trace = world.finish();
}

fn two_that_are_not_both_there_cannot_be_linked() {
    let mut world = world(|_| {});
    let [(_one, a), (two, b)] = pair(&mut world);
    drop(two);
    world.wait_for_end();
    let link = |from, to| world.run(move |local| local.link(from, to));
    assert_eq!(link(a, b), Err(LinkError::Gone(b)));
    assert_eq!(link(b, a), Err(LinkError::Gone(b)));
    assert_eq!(link(a, a), Err(LinkError::Same(a)));
    let text = LinkError::Gone(b).to_string();
    assert_eq!(text, format!("there is no connection {b} on this shard"));
    let _trace = world.finish();
}

fn a_paused_source_is_read_once_it_is_linked() {
    // S144
    let mut world = world(|call| {
        if *call.event == Event::Connect {
            call.pause();
        }
    });
    let [(mut one, a), (mut two, b)] = pair(&mut world);
    one.send(b"waits");
    world.some_turns();
    link(&world, a, b, LinkOptions::default());
    two.expect(b"waits");
    let _trace = world.finish();
}

fn a_link_made_amid_the_input_takes_the_rest_of_it() {
    // The chunk that is being handled is the handler's, what follows is the target's.
    let setup = Setup::new().config(|c| c.read_size_bytes = 5);
    let mut world = setup.start(|call| {
        let other = call.local().counters().accepted;
        if matches!(call.event, Event::Incoming(_)) && other == 2 {
            call.note("linked");
            call.pause();
        }
    });
    let [(mut one, a), (mut two, b)] = pair(&mut world);
    one.send(b"firstsecond");
    world.wait_for_event(&Event::note("linked"));
    link(&world, a, b, LinkOptions::default());
    two.expect(b"second");
    let trace = world.finish();
    assert_eq!(trace.count(&Event::incoming(b"first")), 1);
}
