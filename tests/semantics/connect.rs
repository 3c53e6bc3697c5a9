//! on_connect: once, first, and only for a connection that came to be (S33, S131 to S135).

use shardpoll::{Connect, ListenerId};
use shardpoll_tests::{Event, Setup, World, blackhole, both_worlds, refused_addr};
use std::time::Duration;

both_worlds! {
    a_connection_knows_when_it_was_opened,
    an_accepted_connection_is_told_of_before_any_other_event,
    a_connection_is_told_of_though_its_peer_never_speaks,
    a_connection_knows_its_peer_and_its_listener,
    an_outgoing_connection_is_told_of_and_then_drained_once,
    what_is_written_before_an_outgoing_connection_stands_is_sent_when_it_does,
    a_refused_connection_ends_once_and_was_never_connected,
    a_connection_that_nobody_answers_ends_after_the_connect_timeout,
    a_connection_closed_before_it_stands_ends_once_and_was_never_connected,
}

fn an_accepted_connection_is_told_of_before_any_other_event() {
    // S33, S126
    let mut world = Setup::new().echo();
    let mut peer = world.connect();
    peer.echo(b"hello");
    drop(peer);
    world.wait_for_end();
    let events = world.finish().only();
    let want = [
        Event::Connect,
        Event::incoming(b"hello"),
        Event::Predrain,
        Event::Drain,
        Event::ended("closed"),
    ];
    assert_eq!(events, want);
}

fn a_connection_is_told_of_though_its_peer_never_speaks() {
    // S33: at accept, not at the first byte
    let mut world = Setup::new().echo();
    let (_peer, id) = world.connect_and_wait();
    assert_eq!(world.finish().of(id), [Event::Connect, Event::ended("closed on request")]);
}

fn a_connection_knows_its_peer_and_its_listener() {
    // S129, S153
    let mut world = Setup::new().start(|call| {
        if *call.event == Event::Connect {
            let (peer, listener) = (World::ip(call.peer()), call.listener());
            call.note(format!("{peer} {listener:?}"));
        }
    });
    let peer = world.connect();
    let note = format!("{} {:?}", peer.addr(), Some(ListenerId::new(0)));
    world.wait_for_event(&Event::note(&note));
    let other = Setup::new().echo();
    let out = world.dial(Connect::to(other.addr()), |call| {
        if *call.event == Event::Connect {
            let (peer, listener) = (World::ip(call.peer()), call.listener());
            call.note(format!("{peer} {listener:?}"));
        }
    });
    let note = world.wait_for_event(&Event::note(&format!("{} None", other.addr())));
    assert_eq!(note.conn, Some(out));
    drop(peer);
    let _trace = world.finish();
}

fn an_outgoing_connection_is_told_of_and_then_drained_once() {
    // S133, S62, S63
    let server = Setup::new().echo();
    let mut world = Setup::new().echo();
    let id = world.dial(Connect::to(server.addr()), |_| {});
    world.wait_for_event(&Event::Drain);
    let events = world.finish().of(id);
    let want = [Event::Connect, Event::Predrain, Event::Drain, Event::ended("closed on request")];
    assert_eq!(events, want);
}

fn what_is_written_before_an_outgoing_connection_stands_is_sent_when_it_does() {
    // S133, S62
    let mut server = Setup::new().echo();
    let mut world = Setup::new().echo();
    let id = world.dial(Connect::to(server.addr()), |_| {});
    let (to, log) = (Connect::to(server.addr()), world.log());
    let early = world.run(move |local| {
        let id =
            local.connect(to, shardpoll_tests::Recorder::new(log, |_| {})).expect("not quitting");
        local.conn(id).expect("connecting").write(b"early");
        id
    });
    server.wait_for_event(&Event::incoming(b"early"));
    world.wait_for(|seen| seen.event == Event::incoming(b"early"));
    let trace = world.finish();
    assert_eq!(trace.of(early)[..3], [Event::Connect, Event::Predrain, Event::Drain]);
    assert_ne!(early, id);
}

fn a_refused_connection_ends_once_and_was_never_connected() {
    // S134: whatever was written before
    let (_held, nobody) = refused_addr();
    let mut world = Setup::new().echo();
    let log = world.log();
    let id = world.run(move |local| {
        let handler = shardpoll_tests::Recorder::new(log, |_| {});
        let id = local.connect(Connect::to(nobody), handler).expect("not quitting");
        local.conn(id).expect("connecting").write(b"lost");
        id
    });
    world.wait_for_end();
    assert_eq!(world.finish().of(id), [Event::ended("connection refused")]);
}

fn a_connection_that_nobody_answers_ends_after_the_connect_timeout() {
    // S135, S91, S92: a write does not replace the connect timeout
    let wait = Duration::from_millis(300);
    let (_held, nobody) = blackhole();
    let mut world = Setup::new().config(|c| c.connect_timeout = wait).echo();
    let log = world.log();
    let (id, begun) = world.run(move |local| {
        let handler = shardpoll_tests::Recorder::new(log, |_| {});
        let id = local.connect(Connect::to(nobody), handler).expect("not quitting");
        local.conn(id).expect("connecting").write(b"lost");
        (id, local.now())
    });
    let end = world.wait_for_end();
    assert!(end.at >= begun.saturating_add(wait), "early");
    assert_eq!(world.finish().of(id), [Event::ended("connection timeout")]);
}

fn a_connection_closed_before_it_stands_ends_once_and_was_never_connected() {
    // S74, S134: nothing to flush when never connected
    let (_held, nobody) = blackhole();
    let mut world = Setup::new().echo();
    let log = world.log();
    let at_once = world.run(move |local| {
        let handler = shardpoll_tests::Recorder::new(log, |_| {});
        let id = local.connect(Connect::to(nobody), handler).expect("not quitting");
        local.conn(id).expect("connecting").close();
        id
    });
    world.wait_for_end();
    let later = world.dial(Connect::to(nobody), |_| {});
    world.close(later);
    world.wait_for_end();
    let trace = world.finish();
    assert_eq!(trace.of(at_once), [Event::ended("closed on request")]);
    assert_eq!(trace.of(later), [Event::ended("closed on request")]);
}

fn a_connection_knows_when_it_was_opened() {
    // S154: an outgoing one, when it was asked for
    let (_held, nobody) = blackhole();
    let mut world = Setup::new().start(|call| {
        if matches!(call.event, Event::Incoming(_)) {
            let (opened, now) = (call.opened(), call.local().now());
            call.note(opened.as_nanos());
            call.note(opened <= now);
        }
    });
    let (mut peer, _) = world.connect_and_wait();
    peer.send(b"1");
    let first = world.wait_for(|seen| matches!(seen.event, Event::Note(_))).event;
    world.wait_for_event(&Event::note("true"));
    peer.send(b"2");
    assert_eq!(world.wait_for(|seen| matches!(seen.event, Event::Note(_))).event, first);
    world.wait_for_event(&Event::note("true"));
    let log = world.log();
    let (asked, opened) = world.run(move |local| {
        let handler = shardpoll_tests::Recorder::new(log, |_| {});
        let id = local.connect(Connect::to(nobody), handler).expect("not quitting");
        (local.now(), local.conn(id).expect("connecting").opened())
    });
    assert_eq!(asked, opened);
    drop(peer);
    world.run(|local| local.close_all());
    let _trace = world.finish();
}
