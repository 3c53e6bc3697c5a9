//! abort: at once and in silence (S79, O2, O8).

use shardpoll::Connect;
use shardpoll_tests::{Event, Setup, Version, blackhole, both_worlds};

both_worlds! {
    the_handlers_own_abort_is_silent_and_drops_what_is_queued,
    an_abort_by_id_from_the_same_shard_is_silent,
    an_aborted_connection_has_no_handler_to_be_reached,
    abort_of_a_closing_connection_stops_its_flush_in_silence,
    abort_of_a_connection_that_does_not_stand_yet_is_silent,
    abort_under_tls_says_nothing_to_the_peer,
}

fn the_handlers_own_abort_is_silent_and_drops_what_is_queued() {
    // S79: no event follows; what was queued is not flushed
    let mut world = Setup::new().start(|call| {
        if matches!(call.event, Event::Incoming(_)) {
            call.write_vec(vec![0; 8 * 1024 * 1024]);
            call.abort();
            let written = call.write(b"x");
            call.note(format!("{written:?}"));
        }
    });
    let mut peer = world.connect();
    peer.send(b"go");
    let (got, _) = peer.read_all();
    assert_eq!(got.len(), 0);
    world.wait_for_event(&Event::Dropped);
    let want = [Event::Connect, Event::incoming(b"go"), Event::note("Closed")];
    assert_eq!(world.finish().only(), want);
}

fn an_abort_by_id_from_the_same_shard_is_silent() {
    // O2, S79; and frees the slot
    let mut world = Setup::new().echo();
    let (mut peer, id) = world.connect_and_wait();
    world.run(move |local| {
        let mut conn = local.conn(id).expect("it is there");
        conn.abort();
        assert!(local.conn(id).is_none(), "an aborted connection is gone");
    });
    let (got, _) = peer.read_all();
    assert!(got.is_empty());
    world.wait_for_event(&Event::Dropped);
    assert_eq!(world.live(), 1, "the listener");
    assert_eq!(world.finish().of(id), [Event::Connect]);
}

fn an_aborted_connection_has_no_handler_to_be_reached() {
    // S79: destroyed is destroyed, also for `with`
    let mut world = Setup::new().echo();
    let (_peer, id) = world.connect_and_wait();
    let reached = world.run(move |local| {
        local.conn(id).expect("it is there").abort();
        local.with::<shardpoll_tests::Recorder, _>(id, |_, _| ()).is_some()
    });
    assert!(!reached, "nothing is called after an abort");
    let _trace = world.finish();
}

fn abort_of_a_closing_connection_stops_its_flush_in_silence() {
    // S79 while flushing: the owed disconnect is not told any more
    let mut world = Setup::new().start(|call| {
        if *call.event == Event::Connect {
            call.write_vec(vec![0; 24 * 1024 * 1024]);
            call.close();
        }
    });
    let (mut peer, id) = world.connect_and_wait();
    world.run(move |local| local.conn(id).expect("flushing").abort());
    let (got, _) = peer.read_all();
    assert!(got.len() < 24 * 1024 * 1024);
    world.wait_for_event(&Event::Dropped);
    let mut events = world.finish().of(id);
    events.retain(|event| *event != Event::Predrain);
    assert_eq!(events, [Event::Connect]);
}

fn abort_of_a_connection_that_does_not_stand_yet_is_silent() {
    // S79 before S134: at once, and while it is pending
    let (_held, nobody) = blackhole();
    let mut world = Setup::new().echo();
    for at_once in [true, false] {
        let log = world.log();
        let id = world.run(move |local| {
            let handler = shardpoll_tests::Recorder::new(log, |_| {});
            let id = local.connect(Connect::to(nobody), handler).expect("not quitting");
            if at_once {
                local.conn(id).expect("connecting").abort();
            }
            id
        });
        if !at_once {
            world.run(move |local| local.conn(id).expect("connecting").abort());
        }
        world.wait_for_event(&Event::Dropped);
    }
    assert_eq!(world.live(), 1, "the listener");
    assert_eq!(world.finish().ends(), []);
}

fn abort_under_tls_says_nothing_to_the_peer() {
    // O8: plain close(2), and no close_notify: the peer can tell it from an end
    let mut world = Setup::new().tls().start(|call| {
        if matches!(call.event, Event::Incoming(_)) {
            call.abort();
        }
    });
    let mut peer = world.connect_tls(Version::Tls13);
    let request = peer.seal(&[b"go"]);
    peer.peer.send(&request);
    assert!(peer.ends_without_notice());
    world.wait_for_event(&Event::Dropped);
    assert_eq!(world.finish().ends(), []);
}
