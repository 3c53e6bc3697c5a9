//! on_attach: a connection changes its handler, and nothing is lost in between (S31).

use shardpoll::{ConnId, Connect};
use shardpoll_tests::{
    Call, Event, Recorder, Setup, TlsPeer, Trace, Version, both_worlds, receive,
};
use std::mem::discriminant;
use std::sync::mpsc::channel;
use std::time::Duration;

both_worlds! {
    a_handler_may_be_replaced_in_each_of_its_callbacks,
    a_handler_may_be_replaced_before_it_was_told_of_its_connection,
    those_named_in_one_callback_take_over_in_order,
    one_that_is_named_while_another_takes_over_comes_after_it,
    what_was_read_behind_the_last_input_of_the_old_is_the_new_ones,
    the_old_ones_output_is_sent_and_the_new_one_is_told_so,
    another_connections_handler_may_be_replaced,
    a_paused_connection_changes_its_handler_and_stays_paused,
    a_handler_set_from_outside_serves_a_tls_connection_on,
}

/// Sends back what comes, and keeps silent peers.
fn echo(call: &mut Call<'_, '_>) {
    match call.event {
        Event::Incoming(data) => call.say(data),
        Event::ReadTimeout => call.keep(),
        _ => {}
    }
}

fn quiet(_: &mut Call<'_, '_>) {}

fn same(a: &Event, b: &Event) -> bool {
    discriminant(a) == discriminant(b)
}

fn input() -> Event {
    Event::incoming(b"")
}

/// Hands over once: the old one is told and dropped, the new one told, and all else is the new
/// one's.
fn assert_handed_over(trace: &Trace, id: ConnId) {
    let seen = trace.by(id);
    let at = seen.iter().position(|(_, event)| *event == Event::Detach).expect("detached");
    let want = [("", Event::Detach), ("", Event::Dropped), ("b", Event::Attach)];
    assert_eq!(seen[at..at + 3], want, "{seen:?}");
    assert!(seen[..at].iter().all(|(by, _)| by.is_empty()), "{seen:?}");
    assert!(seen[at + 3..].iter().all(|(by, _)| *by == "b"), "{seen:?}");
    let count = |event| seen.iter().filter(|(_, seen)| *seen == event).count();
    assert_eq!((count(Event::Detach), count(Event::Attach), count(Event::Connect)), (1, 1, 1));
}

fn a_handler_may_be_replaced_in_each_of_its_callbacks() {
    // S31: no on_connect is repeated, and nothing is called of the old one after on_detach
    let silence = Duration::from_millis(100);
    for at in [Event::Connect, input(), Event::Predrain, Event::Drain, Event::ReadTimeout] {
        let moment = at.clone();
        let setup = Setup::new().config(|c| {
            c.read_timeout = (at == Event::ReadTimeout).then_some(silence);
        });
        let mut world = setup.start(move |call| {
            echo(call);
            if same(call.event, &moment) {
                call.hand_to("b", echo);
            }
        });
        let (mut peer, id) = world.connect_and_wait();
        peer.echo(b"first");
        world.wait_for_event(&Event::Attach);
        peer.echo(b"second");
        peer.finish();
        world.wait_for_end();
        let trace = world.finish();
        assert_handed_over(&trace, id);
        assert_eq!(trace.ends().len(), 1);
    }
}

fn a_handler_may_be_replaced_before_it_was_told_of_its_connection() {
    // S31: the new one is told of the connection then, under TLS as in a plain connect
    for at in [Event::Starttls, Event::Status(String::new())] {
        let moment = at.clone();
        let mut world = Setup::new().tls().start(move |call| {
            if same(call.event, &moment) {
                call.hand_to("b", echo);
            }
        });
        let mut peer = world.connect_tls(Version::Tls13);
        let connect = world.wait_for_event(&Event::Connect);
        peer.echo(b"hello");
        assert_eq!(connect.by, "b");
        assert_handed_over(&world.finish(), connect.conn.expect("a connection"));
    }
    let server = Setup::new().echo();
    let mut world = Setup::new().echo();
    let to = server.addr();
    let log = world.log();
    let id = world.run(move |local| {
        let id = local.connect(Connect::to(to), Recorder::new(log.clone(), quiet));
        let id = id.expect("a loop that is not quitting connects");
        let next = Recorder::named("b", log, quiet);
        local.conn(id).expect("begun").set_handler(next);
        id
    });
    assert_eq!(world.wait_for_event(&Event::Connect).by, "b");
    assert_handed_over(&world.finish(), id);
}

fn those_named_in_one_callback_take_over_in_order() {
    // S31: pairs of detach and attach, each old one dropped between them
    let mut world = Setup::new().start(|call| {
        if same(call.event, &input()) {
            call.hand_to("b", quiet);
            call.hand_to("c", quiet);
            call.note("returned");
        }
    });
    let (mut peer, id) = world.connect_and_wait();
    peer.send(b"x");
    world.wait_for_each(2, |seen| seen.event == Event::Attach);
    let want = [
        ("", Event::Connect),
        ("", Event::incoming(b"x")),
        ("", Event::note("returned")),
        ("", Event::Detach),
        ("", Event::Dropped),
        ("b", Event::Attach),
        ("b", Event::Detach),
        ("b", Event::Dropped),
        ("c", Event::Attach),
    ];
    assert_eq!(world.finish().by(id)[..9], want);
}

fn one_that_is_named_while_another_takes_over_comes_after_it() {
    // S31: by the old one in on_detach, and by the new one in on_attach
    let attach_c = |call: &mut Call<'_, '_>| {
        if *call.event == Event::Attach {
            call.hand_to("d", quiet);
        }
    };
    let mut world = Setup::new().start(move |call| match call.event {
        Event::Incoming(_) => call.hand_to("b", quiet),
        Event::Detach => call.hand_to("c", attach_c),
        _ => {}
    });
    let (mut peer, id) = world.connect_and_wait();
    peer.send(b"x");
    world.wait_for(|seen| seen.by == "d");
    let seen = world.finish().by(id);
    let changes = seen.iter().filter(|(_, e)| matches!(e, Event::Attach | Event::Detach));
    let want = [
        ("", Event::Detach),
        ("b", Event::Attach),
        ("b", Event::Detach),
        ("c", Event::Attach),
        ("c", Event::Detach),
        ("d", Event::Attach),
    ];
    assert_eq!(changes.cloned().collect::<Vec<_>>(), want);
}

fn what_was_read_behind_the_last_input_of_the_old_is_the_new_ones() {
    // S31: nothing lost, nothing twice; plain, and a record that is larger than the read size
    let first = |call: &mut Call<'_, '_>| {
        if same(call.event, &input()) && call.nth == 1 {
            call.hand_to("b", quiet);
        }
    };
    let small = || Setup::new().config(|c| c.read_size_bytes = 4);
    let mut world = small().start(first);
    let (mut peer, id) = world.connect_and_wait();
    peer.send(b"old.newer");
    peer.finish();
    world.wait_for_end();
    let (old, new) = inputs(&world.finish(), id);
    assert_eq!((&*old, &*new), (&b"old."[..], &b"newer"[..]));

    let mut world = small().tls().start(first);
    let mut peer = world.connect_tls(Version::Tls13);
    let mut batch = peer.seal(&[b"old.newer"]);
    batch.extend(peer.seal_end());
    peer.peer.send(&batch);
    let end = world.wait_for_end();
    assert_eq!((end.by, end.event), ("b", Event::ended("closed")));
    let id = end.conn.expect("a connection");
    let trace = world.finish();
    assert_handed_over(&trace, id);
    let (old, new) = inputs(&trace, id);
    assert_eq!((&*old, &*new), (&b"old."[..], &b"newer"[..]));
}

/// The input of the first handler, and that of the others.
fn inputs(trace: &Trace, id: ConnId) -> (Vec<u8>, Vec<u8>) {
    let (mut old, mut new) = (Vec::new(), Vec::new());
    for (by, event) in trace.by(id) {
        if let Event::Incoming(data) = event {
            if by.is_empty() { &mut old } else { &mut new }.extend(data);
        }
    }
    (old, new)
}

fn the_old_ones_output_is_sent_and_the_new_one_is_told_so() {
    // S31, S37: what was written is the connection's
    let mut world = Setup::new().start(|call| {
        if same(call.event, &input()) {
            call.say(b"from the old, ");
            call.hand_to("b", |call: &mut Call<'_, '_>| {
                if *call.event == Event::Attach {
                    call.say(b"from the new");
                }
            });
            call.say(b"behind it, ");
        }
    });
    let (mut peer, id) = world.connect_and_wait();
    peer.send(b"x");
    peer.expect(b"from the old, behind it, from the new");
    assert_eq!(world.wait_for_event(&Event::Drain).by, "b");
    assert_handed_over(&world.finish(), id);
}

fn another_connections_handler_may_be_replaced() {
    // S31: from a callback of one, while the other rests
    let mut world = Setup::new().start(quiet);
    let (mut resting, id) = world.connect_and_wait();
    let log = world.log();
    let addr = world.listen_too(move |call| {
        if same(call.event, &input()) {
            let next = Recorder::named("b", log.clone(), echo);
            call.local().conn(id).expect("it rests").set_handler(next);
            call.note("returned");
        }
    });
    let mut other = shardpoll_tests::Peer::connect(addr);
    other.send(b"x");
    world.wait_for_event(&Event::note("returned"));
    world.wait_for_event(&Event::Attach);
    resting.echo(b"for the new one");
    drop(other);
    assert_handed_over(&world.finish(), id);
}

fn a_paused_connection_changes_its_handler_and_stays_paused() {
    // S31, S94: the input that waited is the new one's
    let mut world = Setup::new().start(|call| {
        if *call.event == Event::Connect {
            call.pause();
        }
    });
    let (mut peer, id) = world.connect_and_wait();
    peer.send(b"waited");
    world.hand_to(id, "b", quiet);
    world.wait_for_event(&Event::Attach);
    world.some_turns();
    world.conn(id, |conn| conn.resume());
    let seen = world.wait_for_event(&Event::incoming(b"waited"));
    assert_eq!(seen.by, "b");
    let trace = world.finish();
    assert_handed_over(&trace, id);
    assert_eq!(inputs(&trace, id).1, b"waited");
}

fn ping(call: &mut Call<'_, '_>) {
    if *call.event == Event::Attach {
        call.hand_to("pong", pong);
    }
}

fn pong(call: &mut Call<'_, '_>) {
    if *call.event == Event::Attach {
        call.hand_to("ping", ping);
    }
}

#[test]
fn handlers_that_hand_over_to_each_other_for_ever_do_not_stop_the_loop() {
    // S2, S31: others are served meanwhile, timers run, and its own end comes
    let mut world = Setup::new().echo();
    let (mut hot, id) = world.connect_and_wait();
    world.hand_to(id, "ping", ping);
    world.wait_for(|seen| seen.by == "pong");
    let mut other = world.connect();
    for _ in 0..10 {
        other.echo(b"served");
    }
    let (log, ran) = channel();
    world.run(move |local| {
        local.add_timer(Duration::ZERO, move |_, _| {
            log.send(()).expect("the test listens");
            None
        });
    });
    receive(&ran).expect("a timer runs");
    hot.finish();
    let end = world.wait_for(|seen| seen.conn == Some(id) && seen.event.is_end());
    assert_eq!(end.event, Event::ended("closed"));
    let _each_was_dropped_once = world.finish();
}

fn a_handler_set_from_outside_serves_a_tls_connection_on() {
    // S31 under TLS: the session is the connection's, not the handler's
    for version in Version::ALL {
        let mut world = Setup::new().tls().start(echo);
        let mut peer = TlsPeer::connect(world.addr(), version);
        peer.echo(b"first");
        let id = world.wait_for_event(&Event::Connect).conn.expect("a connection");
        world.hand_to(id, "b", echo);
        world.wait_for_event(&Event::Attach);
        peer.echo(b"second");
        peer.finish();
        assert_eq!(peer.read_to_end(), b"");
        world.wait_for_end();
        let trace = world.finish();
        assert_handed_over(&trace, id);
        let (old, new) = inputs(&trace, id);
        assert_eq!((&*old, &*new), (&b"first"[..], &b"second"[..]));
    }
}
