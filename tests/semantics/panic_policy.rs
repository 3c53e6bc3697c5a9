//! on_panic and the two policies: a panic is the end of its connection, or of its callback (S27 to
//! S30, O2, O3).

use shardpoll::PanicPolicy;
use shardpoll_tests::{Call, Event, Setup, Trace, Version, both_worlds};
use std::mem::discriminant;
use std::time::Duration;

both_worlds! {
    a_connection_goes_on_behind_a_panic_in_each_callback,
    a_handshake_goes_on_behind_a_panic,
    a_panic_about_a_silent_peer_is_no_leave_to_stay,
    on_panic_gets_what_the_panic_said,
    what_was_written_before_the_panic_is_sent,
    what_lies_behind_it_in_a_batch_of_records_is_not_lost,
    a_handler_that_always_panics_in_predrain_still_has_its_bytes_sent,
    a_close_before_the_panic_is_an_orderly_one,
    an_abort_before_the_panic_keeps_on_panic_away,
    nothing_is_called_behind_a_panic_in_on_disconnect,
    a_panic_in_on_panic_ends_the_connection,
    a_connection_goes_on_behind_any_number_of_panics,
    with_the_default_policy_on_panic_is_never_called,
    with_the_default_policy_a_panic_while_handlers_change_ends_the_connection,
}

/// An engine whose connections go on.
fn going_on() -> Setup {
    Setup::new().config(|c| c.panic_policy = PanicPolicy::Continue)
}

fn echo(call: &mut Call<'_, '_>) {
    if let Event::Incoming(data) = call.event {
        call.say(data);
    }
}

fn panics_told(trace: &Trace) -> Vec<Event> {
    let told = trace.seen.iter().filter(|seen| matches!(seen.event, Event::Panic(_)));
    told.map(|seen| seen.event.clone()).collect()
}

fn a_connection_goes_on_behind_a_panic_in_each_callback() {
    // S27, S28, S30: on_panic is told what it said, and the next bytes are served as ever
    for at in [Event::Connect, Event::incoming(b""), Event::Predrain, Event::Drain] {
        let moment = at.clone();
        let mut world = going_on().start(move |call| {
            echo(call);
            let same = discriminant(call.event) == discriminant(&moment);
            assert!(!same || call.nth > 1, "a test's panic in {moment:?}");
        });
        let (mut peer, id) = world.connect_and_wait();
        peer.echo(b"first");
        peer.echo(b"second");
        peer.finish();
        world.wait_for_end();
        world.expect_panics(1);
        let trace = world.finish();
        assert_eq!(panics_told(&trace), [Event::panicked(&format!("a test's panic in {at:?}"))]);
        let count = |event| trace.count(&event);
        assert_eq!((count(Event::Connect), count(Event::Predrain)), (1, 2), "{at:?}");
        assert_eq!(count(Event::Drain), 2, "{at:?}: {:?}", trace.of(id));
        assert_eq!(trace.of(id).last(), Some(&Event::ended("closed")));
    }
}

fn a_handshake_goes_on_behind_a_panic() {
    // S27, S112: what was due behind it comes all the same
    for at in [Event::Starttls, Event::Status(String::new()), Event::Connect] {
        let moment = at.clone();
        let mut world = going_on().tls().start(move |call| {
            echo(call);
            let same = discriminant(call.event) == discriminant(&moment);
            assert!(!same, "a test's panic");
        });
        let mut peer = world.connect_tls(Version::Tls13);
        peer.echo(b"served");
        peer.finish();
        assert_eq!(peer.read_to_end(), b"");
        world.wait_for_end();
        world.expect_panics(1);
        let trace = world.finish();
        assert_eq!(panics_told(&trace), [Event::panicked("a test's panic")]);
        let events = trace.only();
        let want = [
            Event::Starttls,
            Event::Status("ssl-handshake-complete".into()),
            Event::Connect,
            Event::incoming(b"served"),
        ];
        let in_order = events.iter().filter(|event| want.contains(event));
        assert_eq!(in_order.cloned().collect::<Vec<_>>(), want, "{at:?}: {events:?}");
        assert_eq!(events.last(), Some(&Event::ended("closed")));
    }
}

fn a_panic_about_a_silent_peer_is_no_leave_to_stay() {
    // S27, S86, S87: the callback counts as returned with nothing; above all it is not asked again
    // and again
    let wait = Duration::from_millis(50);
    let mut world = going_on().config(|c| c.read_timeout = Some(wait)).start(|call| {
        assert!(*call.event != Event::ReadTimeout, "a test's panic");
    });
    let (mut peer, id) = world.connect_and_wait();
    peer.expect_end();
    world.wait_for_end();
    world.expect_panics(1);
    let want = [
        Event::Connect,
        Event::ReadTimeout,
        Event::panicked("a test's panic"),
        Event::ended("read timeout"),
    ];
    assert_eq!(world.finish().of(id), want);
}

fn on_panic_gets_what_the_panic_said() {
    // S28: a text, a formatted one, or none
    let mut world = going_on().start(|call| match call.event {
        Event::Incoming(data) if data == b"1" => panic!("plain words"),
        Event::Incoming(data) if data == b"2" => panic!("formatted: {}", data.len()),
        Event::Incoming(_) => std::panic::panic_any(7),
        _ => {}
    });
    let (mut peer, _) = world.connect_and_wait();
    for data in [b"1", b"2", b"3"] {
        peer.send(data);
        world.wait_for(|seen| matches!(seen.event, Event::Panic(_)));
    }
    world.expect_panics(3);
    let want = ["plain words", "formatted: 1", "a panic without words"].map(Event::panicked);
    assert_eq!(panics_told(&world.finish()), want);
}

fn what_was_written_before_the_panic_is_sent() {
    // S30: state already changed stays changed; and on_panic may write behind it
    for tls in [false, true] {
        let setup = if tls { going_on().tls() } else { going_on() };
        let mut world = setup.start(|call| match call.event {
            Event::Incoming(_) => {
                call.say(b"half an answer");
                panic!("a test's panic");
            }
            Event::Panic(_) => call.say(b", sorry"),
            _ => {}
        });
        if tls {
            let mut peer = world.connect_tls(Version::Tls13);
            peer.send(b"x");
            peer.expect(b"half an answer, sorry");
        } else {
            let mut peer = world.connect();
            peer.send(b"x");
            peer.expect(b"half an answer, sorry");
        }
        world.expect_panics(1);
        let _trace = world.finish();
    }
}

fn what_lies_behind_it_in_a_batch_of_records_is_not_lost() {
    // S27 under TLS: each piece once, in order, and the end behind them
    for size in [16384, 3] {
        let setup = going_on().tls().config(|c| c.read_size_bytes = size);
        let mut world = setup.start(|call| {
            let input = matches!(call.event, Event::Incoming(_));
            assert!(!input || call.nth % 2 == 0, "a test's panic");
        });
        let mut peer = world.connect_tls(Version::Tls13);
        let mut batch = peer.seal(&[b"onetwosixten", b"end"]);
        batch.extend(peer.seal_end());
        peer.peer.send(&batch);
        let end = world.wait_for_end();
        assert_eq!(end.event, Event::ended("closed"));
        let panics = world.panics();
        assert!(panics >= 1);
        world.expect_panics(panics);
        let trace = world.finish();
        let mut got = Vec::new();
        for seen in trace.seen {
            if let Event::Incoming(data) = seen.event {
                got.extend(data);
            }
        }
        assert_eq!(got, b"onetwosixtenend", "read size {size}");
    }
}

fn a_handler_that_always_panics_in_predrain_still_has_its_bytes_sent() {
    // S27, S58: one panic for each attempt to send, and no attempt for nothing; close flushes too
    for tls in [false, true] {
        let setup = if tls { going_on().tls() } else { going_on() };
        let mut world = setup.start(|call| match call.event {
            Event::Incoming(data) => {
                call.say(data);
                if data == b"bye" {
                    call.close();
                }
            }
            Event::Predrain => panic!("a test's panic"),
            _ => {}
        });
        // With TLS, once more after the handshake (S63).
        let rounds = 3 + u64::from(tls);
        if tls {
            let mut peer = world.connect_tls(Version::Tls12);
            world.wait_for_event(&Event::Drain);
            peer.echo(b"first");
            peer.echo(b"second");
            world.some_turns();
            peer.send(b"bye");
            assert_eq!(peer.read_to_end(), b"bye");
        } else {
            let mut peer = world.connect();
            peer.echo(b"first");
            peer.echo(b"second");
            world.some_turns();
            peer.send(b"bye");
            assert_eq!(peer.read_to_end(), b"bye");
        }
        assert_eq!(world.wait_for_end().event, Event::ended("closed on request"));
        world.expect_panics(rounds);
        let trace = world.finish();
        let drains = usize::try_from(rounds - 1).expect("few");
        assert_eq!(trace.count(&Event::Drain), drains, "TLS: {tls}");
    }
}

fn a_close_before_the_panic_is_an_orderly_one() {
    // S30, S75
    let mut world = going_on().start(|call| {
        if matches!(call.event, Event::Incoming(_)) {
            call.say(b"bye");
            call.close();
            panic!("a test's panic");
        }
    });
    let mut peer = world.connect();
    peer.send(b"x");
    assert_eq!(peer.read_to_end(), b"bye");
    assert_eq!(world.wait_for_end().event, Event::ended("closed on request"));
    world.expect_panics(1);
    let _trace = world.finish();
}

fn an_abort_before_the_panic_keeps_on_panic_away() {
    // S79: nothing more is called
    let mut world = going_on().start(|call| {
        if matches!(call.event, Event::Incoming(_)) {
            call.abort();
            panic!("a test's panic");
        }
    });
    let (mut peer, id) = world.connect_and_wait();
    peer.send(b"x");
    let _end = peer.read_all();
    world.wait_for_event(&Event::Dropped);
    world.expect_panics(1);
    assert_eq!(world.finish().of(id), [Event::Connect, Event::incoming(b"x")]);
}

fn nothing_is_called_behind_a_panic_in_on_disconnect() {
    // O2: the end is last of all, after which nothing can go on
    for asked in [false, true] {
        let mut world = going_on().start(move |call| {
            if asked && *call.event == Event::Connect {
                call.close();
            }
            assert!(!call.event.is_end(), "a test's panic");
        });
        let mut peer = world.connect();
        if !asked {
            peer.finish();
        }
        peer.expect_end();
        drop(peer);
        world.wait_for_event(&Event::Dropped);
        world.expect_panics(1);
        let trace = world.finish();
        assert_eq!((trace.ends().len(), panics_told(&trace).len()), (1, 0), "close: {asked}");
    }
}

fn a_panic_in_on_panic_ends_the_connection() {
    // S29: both are counted, and others go on
    let mut world = going_on().start(|call| {
        echo(call);
        match call.event {
            Event::Incoming(data) if data == b"panic" => panic!("a test's panic"),
            Event::Panic(_) => panic!("a test's panic about a panic"),
            _ => {}
        }
    });
    let mut other = world.connect();
    let mut peer = world.connect();
    peer.send(b"panic");
    assert_eq!(peer.read_all().0, b"");
    world.wait_for_event(&Event::Dropped);
    other.echo(b"alive");
    world.expect_panics(2);
    let trace = world.finish();
    assert_eq!(panics_told(&trace).len(), 1);
    assert_eq!(trace.ends().len(), 1, "the other one's");
}

fn a_connection_goes_on_behind_any_number_of_panics() {
    // S30: and each is counted
    let mut world = going_on().start(|call| {
        assert!(!matches!(call.event, Event::Incoming(_)), "a test's panic");
    });
    let (mut peer, id) = world.connect_and_wait();
    for _ in 0..20 {
        peer.send(b"x");
        world.wait_for_event(&Event::panicked("a test's panic"));
    }
    assert_eq!(world.panics(), 20);
    peer.finish();
    world.wait_for_end();
    world.expect_panics(20);
    assert_eq!(world.finish().of(id).last(), Some(&Event::ended("closed")));
}

fn with_the_default_policy_on_panic_is_never_called() {
    // S29, O3: the handler is dropped at once, wherever it panicked; counted all the same
    for at in [Event::Connect, Event::incoming(b""), Event::Predrain, Event::Drain] {
        let moment = at.clone();
        let mut world = Setup::new().start(move |call| {
            echo(call);
            let same = discriminant(call.event) == discriminant(&moment);
            assert!(!same, "a test's panic");
        });
        let mut peer = world.connect();
        peer.send_some(b"x");
        let _end = peer.read_all();
        world.wait_for_event(&Event::Dropped);
        assert_eq!(world.live(), 1, "the listener");
        world.expect_panics(1);
        let trace = world.finish();
        assert!(panics_told(&trace).is_empty() && trace.ends().is_empty(), "{at:?}");
        let last = trace.only().pop().expect("at least the one that panicked");
        assert_eq!(discriminant(&last), discriminant(&at));
    }
}

fn with_the_default_policy_a_panic_while_handlers_change_ends_the_connection() {
    // S29: no handler is called again, and each is dropped once
    for at in [Event::Detach, Event::Attach] {
        let moment = at.clone();
        let mut world = Setup::new().start(move |call| {
            let moment = moment.clone();
            assert_ne!(*call.event, moment, "a test's panic");
            if matches!(call.event, Event::Incoming(_)) {
                call.hand_to("b", move |call: &mut Call<'_, '_>| {
                    assert_ne!(*call.event, moment, "a test's panic");
                });
            }
        });
        let mut peer = world.connect();
        peer.send(b"x");
        let _end = peer.read_all();
        world.wait_for_each(2, |seen| seen.event == Event::Dropped);
        world.expect_panics(1);
        let trace = world.finish();
        assert!(panics_told(&trace).is_empty() && trace.ends().is_empty());
        assert_eq!(trace.only().pop(), Some(at));
    }
}
