//! Output pressure: `Written::High`, on_high_water, the caps, and what becomes of a writer that
//! passes them (S69, O4).

use shardpoll::{Listen, WhenFull};
use shardpoll_tests::{Event, Peer, Setup, World, both_worlds};
use std::time::Duration;

both_worlds! {
    what_is_staged_does_not_take_a_shard_beyond_its_cap,
}

const MIB: usize = 1024 * 1024;

/// More than a socket's buffers take, in pieces that are queued without being copied.
fn flood(call: &mut shardpoll_tests::Call<'_, '_>, pieces: usize) {
    for _ in 0..pieces {
        let written = call.write_vec(vec![7; MIB]);
        call.note(format!("{written:?}"));
    }
}

fn listen(then: WhenFull) -> Listen {
    Listen::on(([127, 0, 0, 1], 0)).when_full(then)
}

/// A world whose connections may queue 8 MiB, and write 12 when they are asked.
fn capped(then: WhenFull) -> World {
    let setup = Setup::new().config(|c| c.max_queued_bytes = 8 * MIB).listen(listen(then));
    setup.start(|call| {
        if matches!(call.event, Event::Incoming(_)) {
            flood(call, 12);
        }
    })
}

#[test]
fn a_write_says_that_the_mark_is_passed_and_the_handler_hears_it_once() {
    let mut world = Setup::new().start(|call| match call.event {
        Event::Incoming(_) => flood(call, 12),
        Event::HighWater => {
            let queued = call.backlog() > MIB;
            call.note(format!("above: {queued}"));
            // Whoever goes on writing is not told again.
            call.say_vec(vec![7; MIB]);
        }
        _ => {}
    });
    let mut peer = world.connect();
    peer.send(b"go");
    world.wait_for_event(&Event::HighWater);
    peer.expect(&vec![7; 13 * MIB]);
    world.wait_for_event(&Event::LowWater);
    let trace = world.finish();
    assert_eq!(trace.count(&Event::HighWater), 1);
    assert_eq!(trace.count(&Event::LowWater), 1);
    assert_eq!(trace.count(&Event::note("Ok")), 1);
    assert_eq!(trace.count(&Event::note("High")), 11);
    assert_eq!(trace.count(&Event::note("above: true")), 1);
}

#[test]
fn what_the_kernel_takes_at_once_is_no_pressure() {
    let mut world =
        Setup::new().config(|c| (c.high_water_bytes, c.low_water_bytes) = (10, 0)).start(|call| {
            if matches!(call.event, Event::Incoming(_)) {
                let written = call.write(b"more than ten bytes");
                call.note(format!("{written:?}"));
            }
        });
    let mut peer = world.connect();
    peer.send(b"go");
    peer.expect(b"more than ten bytes");
    world.wait_for_event(&Event::Drain);
    let trace = world.finish();
    assert_eq!(trace.count(&Event::note("High")), 1, "what is queued may be sent, or not");
    assert_eq!(trace.count(&Event::HighWater), 0);
    assert_eq!(trace.count(&Event::LowWater), 0);
}

#[test]
fn a_writer_that_passes_the_cap_is_cut() {
    let mut world = capped(WhenFull::Cut);
    let mut peer = world.connect();
    peer.send(b"go");
    assert_eq!(world.wait_for_end().event, Event::ended("no space left in buffer"));
    let refused = world.run(|local| local.counters().refused_writes);
    assert_eq!(refused, 1, "the others were told that it is closed");
    let trace = world.finish();
    assert_eq!(trace.count(&Event::note("Full")), 1);
    assert_eq!(trace.count(&Event::note("Closed")), 3);
}

#[test]
fn a_writer_that_is_refused_lives_on_and_nothing_of_the_refused_write_is_sent() {
    let mut world = capped(WhenFull::Refuse);
    let mut peer = world.connect();
    peer.send(b"go");
    world.wait_for_each(4, |seen| seen.event == Event::note("Full"));
    peer.expect(&vec![7; 8 * MIB]);
    world.wait_for_event(&Event::LowWater);
    peer.send(b"again");
    peer.expect(&vec![7; 8 * MIB]);
    let trace = world.finish();
    assert_eq!(trace.ends().len(), 1);
}

#[test]
fn a_peer_that_takes_no_answer_is_not_asked_for_more() {
    let setup = Setup::new().listen(listen(WhenFull::PausePeer));
    let mut world = setup.start(|call| {
        if matches!(call.event, Event::Incoming(_)) {
            flood(call, 12);
        }
    });
    let (mut peer, id) = world.connect_and_wait();
    peer.send(b"go");
    world.wait_for_event(&Event::HighWater);
    peer.send(b"more");
    world.some_turns();
    let heard = world.run(move |local| local.conn(id).is_some());
    assert!(heard, "it lives");
    peer.expect(&vec![7; 12 * MIB]);
    let more = world.wait_for(|seen| matches!(seen.event, Event::Incoming(_) | Event::LowWater));
    assert_eq!(more.event, Event::LowWater, "it is read again from the low mark on");
    world.wait_for_event(&Event::incoming(b"more"));
    peer.expect(&vec![7; 12 * MIB]);
    let _trace = world.finish();
}

#[test]
fn the_cap_of_the_shard_holds_for_all_connections_together() {
    let setup = Setup::new().config(|c| c.max_shard_queued_bytes = 16 * MIB);
    let world = setup.start(|call| {
        if matches!(call.event, Event::Incoming(_)) {
            flood(call, 12);
            call.close();
        }
    });
    let mut peers = [(); 3].map(|()| world.connect());
    for peer in &mut peers {
        peer.send(b"go");
    }
    // What the one had queued is free again: whoever is left is served to the end.
    let lens: Vec<_> = peers.iter_mut().map(|peer| peer.read_all().0.len()).collect();
    let served = lens.iter().filter(|&&len| len == 12 * MIB).count();
    let trace = world.finish();
    assert!(served >= 1);
    assert_eq!(served + trace.count(&Event::note("Full")), 3);
}

#[test]
fn a_connection_that_is_closed_above_the_mark_is_still_flushed() {
    let mut world = Setup::new().start(|call| match call.event {
        Event::Incoming(_) => flood(call, 12),
        Event::HighWater => call.close(),
        _ => {}
    });
    let mut peer = world.connect();
    peer.send(b"go");
    assert_eq!(peer.read_to_end().len(), 12 * MIB);
    assert_eq!(world.wait_for_end().event, Event::ended("closed on request"));
    assert_eq!(world.finish().count(&Event::LowWater), 0);
}

#[test]
fn a_peer_that_never_reads_does_not_hold_the_memory_of_its_shard_for_ever() {
    let setup = Setup::new().config(|c| c.send_timeout = Some(Duration::from_millis(200)));
    let mut world = setup.start(|call| {
        if matches!(call.event, Event::Incoming(_)) {
            flood(call, 12);
        }
    });
    let mut peer = world.connect();
    peer.send(b"go");
    assert_eq!(world.wait_for_end().event, Event::ended("write timeout"));
    let _trace = world.finish();
}

fn what_is_staged_does_not_take_a_shard_beyond_its_cap() {
    // What the kernel does not take of a single write to an empty queue
    const CAP: usize = MIB;
    let setup = Setup::new().config(|c| c.max_shard_queued_bytes = CAP);
    let mut world = setup.start(|call| {
        if matches!(call.event, Event::Incoming(_)) {
            call.write(&[0; 100_000]);
        }
    });
    let mut deaf: Vec<_> = (0..20).map(|_| Peer::connect_with_buffer(world.addr(), 4096)).collect();
    let ids = world.wait_for_each(20, |seen| seen.event == Event::Connect);
    let ids: Vec<_> = ids.into_iter().filter_map(|seen| seen.conn).collect();
    for _ in 0..60 {
        deaf.iter_mut().for_each(|peer| peer.send_some(b"more"));
        world.some_turns();
        let ids = ids.clone();
        let queued: usize = world
            .run(move |local| ids.iter().filter_map(|id| Some(local.conn(*id)?.backlog())).sum());
        assert!(queued <= CAP + 20 * 4096, "{queued}");
    }
    let end = world.wait_for_end();
    assert_eq!(&*end.cause, "BufferFull");
    drop((deaf, world.finish()));
}
