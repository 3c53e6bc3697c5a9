//! close_all: every connection and listener that is there, after its output (S146).

use shardpoll::{Connect, Refused};
use shardpoll_tests::{Event, Peer, Setup, Version, both_worlds, pattern};

both_worlds! {
    a_connection_that_is_opened_meanwhile_stays,
    close_all_from_a_callback_closes_the_caller_too,
    close_all_ends_tls_in_order,
    a_quitting_loop_refuses_new_connections,
}

#[test]
fn everything_that_is_there_is_closed_after_its_output() {
    // S146: connections with and without output, listeners, on every shard
    let size = 6 * 1024 * 1024;
    let mut world = Setup::new().shards(3).start(move |call| {
        if matches!(call.event, Event::Incoming(_)) {
            call.write_vec(pattern(size));
            call.note("written");
        }
    });
    let mut idle: Vec<_> = (0..10).map(|_| world.connect()).collect();
    let mut busy = world.connect();
    busy.send(b"go");
    world.wait_for_event(&Event::note("written"));
    while world.live() < 11 + 3 {
        world.run(|_| ());
    }
    world.close_all();
    assert!(busy.read_to_end() == pattern(size));
    idle.iter_mut().for_each(Peer::expect_end);
    let addr = world.addr();
    drop((busy, idle));
    while world.live() > 0 {
        world.run(|_| ());
    }
    assert!(Peer::try_connect(addr).is_err(), "the listener is gone");
    let trace = world.finish();
    assert_eq!(trace.ends().len(), 11);
    assert!(trace.ends().iter().all(|(_, cause)| cause == "Asked"));
}

#[test]
fn an_engine_lives_on_after_close_all() {
    // S146: unlike quit; new listeners and connections work
    let mut world = Setup::new().shards(2).echo();
    let (mut peer, _) = world.connect_and_wait();
    world.close_all();
    peer.expect_end();
    let again = world.listen_too(|call| {
        if let Event::Incoming(data) = call.event {
            call.write(data);
        }
    });
    Peer::connect(again).echo(b"alive");
    let _trace = world.finish();
}

fn a_connection_that_is_opened_meanwhile_stays() {
    // S146 (B37): over a snapshot; a handler may open in its on_disconnect
    let other = Setup::new().echo();
    let to = other.addr();
    let mut world = Setup::new().echo();
    let log = world.log();
    let addr = world.listen_too(move |call| {
        if call.event.is_end() {
            let handler = shardpoll_tests::Recorder::new(log.clone(), |call| {
                if *call.event == Event::Connect {
                    call.note("new");
                }
            });
            let opened = call.local().connect(Connect::to(to), handler);
            call.note(format!("{}", opened.is_ok()));
        }
    });
    let _peer = Peer::connect(addr);
    let old = world.wait_for_event(&Event::Connect).conn.expect("a connection");
    world.run(|local| local.close_all());
    world.wait_for(|seen| seen.conn == Some(old) && seen.event == Event::note("true"));
    let new = world.wait_for_event(&Event::note("new")).conn.expect("a connection");
    world.run(move |local| {
        assert!(local.conn(new).is_some());
        // Twice is once: nothing is closed that is ending already.
        local.close_all();
    });
    let trace = world.finish();
    assert_eq!(trace.ends().len(), 2);
}

fn close_all_from_a_callback_closes_the_caller_too() {
    // S81, S146: after its callback, with its output
    let mut world = Setup::new().start(|call| {
        if matches!(call.event, Event::Incoming(_)) {
            call.local().close_all();
            let written = call.write(b"late");
            call.note(format!("{written:?}"));
        }
    });
    let (mut peer, _) = world.connect_and_wait();
    let (mut other, _) = world.connect_and_wait();
    peer.send(b"go");
    peer.expect_end();
    other.expect_end();
    world.wait_for_each(2, |seen| seen.event.is_end());
    assert_eq!(world.finish().count(&Event::note("Closed")), 1);
}

fn close_all_ends_tls_in_order() {
    // S118
    let mut world = Setup::new().tls().echo();
    let mut peer = world.connect_tls(Version::Tls13);
    peer.echo(b"x");
    world.close_all();
    assert!(peer.read_to_end().is_empty(), "close_notify");
    world.wait_for_end();
    let _trace = world.finish();
}

fn a_quitting_loop_refuses_new_connections() {
    // S150, O5: an error of the call, without a callback
    let mut world = Setup::new().start(|call| {
        if call.event.is_end() {
            let to = Connect::to(([127, 0, 0, 1], 9));
            let refused = call.local().connect(to, shardpoll::incoming(|_, _| {}));
            call.note(format!("{}", refused == Err(Refused::Quitting)));
        }
    });
    let (_peer, _) = world.connect_and_wait();
    world.quit(shardpoll_tests::PATIENCE);
    let trace = world.end();
    assert_eq!(trace.count(&Event::note("true")), 1);
}
