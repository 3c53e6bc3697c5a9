//! What once went wrong, each kept for ever: found by a hunt, told by what should have happened.

use shardpoll::{Config, Connect, Listen, Written, incoming, tls};
use shardpoll_reactor::{Faults, Place, Reactor, Sim};
use shardpoll_tests::{Call, Event, Peer, Setup, Version, both_worlds, client_context, pattern};
use std::time::Duration;

both_worlds! {
    what_a_dead_line_writes_reaches_nobody_else,
    what_a_truncated_tls_line_writes_reaches_nobody_else,
    a_tls_producer_is_told_of_every_drain_however_slowly_the_peer_reads,
    a_timer_is_not_stopped_by_the_id_of_another_engines,
    nothing_is_taken_after_close_not_even_nothing,
    a_connection_that_is_being_made_says_so_until_it_is,
}

/// Writes where writing goes nowhere.
fn speaks_when_dead(call: &mut Call<'_, '_>) {
    match call.event {
        Event::Incoming(data) => call.write(data),
        Event::Disconnect(_) => call.write(b"the words of a dead line"),
        _ => return,
    };
}

fn what_a_dead_line_writes_reaches_nobody_else() {
    // S35: silence ends one line; the next line that is served must not get its last words
    let silence = |c: &mut Config| c.read_timeout = Some(Duration::from_millis(50));
    let mut world = Setup::new().config(silence).start(speaks_when_dead);
    let _silent = world.connect();
    assert_eq!(world.wait_for_end().event, Event::ended("read timeout"));
    world.connect().echo(b"hello");
    let _trace = world.finish();
}

fn what_a_truncated_tls_line_writes_reaches_nobody_else() {
    // S118: a bare FIN; then a plain client on the same shard
    let mut world = Setup::new().tls().start(speaks_when_dead);
    let plain = world.listen_too(speaks_when_dead);
    let mut cut = world.connect_tls(Version::Tls13);
    world.wait_for_event(&Event::Connect);
    cut.peer.finish();
    world.wait_for_end();
    Peer::connect(plain).echo(b"hello");
    let _trace = world.finish();
}

fn a_tls_producer_is_told_of_every_drain_however_slowly_the_peer_reads() {
    // S37, S59: the last record of a flush is only partly taken by the kernel
    const PIECE: usize = 60_000;
    const PIECES: usize = 100;
    let mut world = Setup::new().tls().start(|call: &mut Call<'_, '_>| {
        if *call.event == Event::Drain && call.nth <= PIECES {
            call.say_vec(pattern(PIECE));
        }
    });
    let mut peer = world.connect_tls(Version::Tls13);
    let id = world.wait_for_event(&Event::Connect).conn.expect("a connection");
    // It begins to read only when the server is stuck.
    while world.run(move |local| local.conn(id).expect("open").backlog()) == 0 {}
    let want = pattern(PIECE);
    for _ in 0..PIECES {
        peer.expect(&want);
    }
    let _trace = world.finish();
}

#[test]
fn a_panic_in_the_last_letter_of_a_turn_leaves_the_shard_alive() {
    // S21: 256 letters are read in a turn
    let mut world = Setup::new().start(|_: &mut Call<'_, '_>| {});
    let go = world.hold_shard();
    // The one that holds it is the first.
    for letter in 2..=300 {
        let job = move |_: &mut shardpoll::Local<'_>| assert!(letter != 256, "a test's panic");
        world.remote().run(0, job).expect("room for 300");
    }
    drop(go);
    world.expect_panics(1);
    assert_eq!(world.run(|local| local.live()), 1, "the shard answers");
    let _trace = world.finish();
}

#[test]
fn urgent_data_does_not_hide_what_comes_behind_it() {
    // tcp(7): a read ends at the urgent mark
    let mut world = Setup::new().echo();
    let (mut peer, _) = world.connect_and_wait();
    peer.send(b"before");
    peer.send_urgent(b'!');
    peer.send(b"after");
    peer.expect(b"beforeafter");
    let _trace = world.finish();
}

#[test]
fn nobody_listens_while_quitting() {
    // S150: it would hold the engine to its deadline
    let mut world = Setup::new().start(|_: &mut Call<'_, '_>| {});
    let (_open, _) = world.connect_and_wait();
    world.quit(Duration::from_secs(3600));
    world.wait_for_end();
    let error = world
        .engine()
        .listen(Listen::on(([127, 0, 0, 1], 0)), |_| incoming(|_, _| {}))
        .expect_err("quitting, or ended");
    let text = error.to_string();
    assert!(text.contains("quitting") || text.contains("ended"), "{text}");
}

fn a_timer_is_not_stopped_by_the_id_of_another_engines() {
    // S17: both ids are the first of their shard
    let one = Setup::new().start(|_: &mut Call<'_, '_>| {});
    let other = Setup::new().start(|_: &mut Call<'_, '_>| {});
    let hour = Duration::from_secs(3600);
    let id = one.run(move |local| local.add_timer(hour, |_, _| None));
    let (stopped, moved) = other.run(move |local| {
        local.add_timer(hour, |_, _| None);
        (local.stop(id), local.reschedule(id, hour))
    });
    assert!(!stopped && !moved);
    assert!(one.run(move |local| local.stop(id)));
    let _traces = (one.finish(), other.finish());
}

fn nothing_is_taken_after_close_not_even_nothing() {
    // S72
    let mut world = Setup::new().start(|call: &mut Call<'_, '_>| {
        if *call.event == Event::Connect {
            call.close();
            let written = (call.write(b""), call.write_vec(Vec::new()));
            call.note(format!("{written:?}"));
        }
    });
    let _peer = world.connect();
    world.wait_for_event(&Event::note("(Closed, Closed)"));
    let _trace = world.finish();
}

#[test]
fn what_a_handshake_that_is_closed_had_queued_is_not_counted_any_more() {
    // The shard's cap: closed from outside, it is served only in the next turn
    let sim = Sim::new(1, Faults::none());
    let mut reactor = Reactor::new(sim.clone(), Place::FIRST, Config::default()).expect("good");
    let addr = ([10, 0, 0, 9], 7).into();
    let _silent = sim.listen(addr, 1).expect("nobody is there yet");
    let name = tls::rustls::pki_types::ServerName::try_from("localhost").expect("a name");
    let to = Connect::to(addr).tls(client_context(), name);
    let dialled = reactor.local(|local| local.connect(to, incoming(|_, _| {})));
    let id = dialled.expect("no panic").expect("not quitting");
    let written = reactor.local(|local| local.conn(id).expect("begun").write(&[0; 1000]));
    assert_eq!(written, Some(Written::Ok));
    for _ in 0..20 {
        reactor.turn(Some(Duration::from_millis(5))).expect("the poller works");
    }
    reactor.local(|local| local.conn(id).expect("in its handshake").close());
    reactor.check().expect("the invariants of the loop");
}

fn a_connection_that_is_being_made_says_so_until_it_is() {
    // S135: its limit comes up while the kernel still tries; nothing must take that for success
    let (_full, addr) = shardpoll_tests::blackhole();
    let limit = |c: &mut Config| c.connect_timeout = Duration::from_millis(100);
    let mut world = Setup::new().config(limit).start(|_: &mut Call<'_, '_>| {});
    let name = tls::rustls::pki_types::ServerName::try_from("localhost").expect("a name");
    let to = Connect::to(addr).tls(client_context(), name);
    world.dial(to, |_: &mut Call<'_, '_>| {});
    let end = world.wait_for_end();
    assert_eq!(end.event, Event::ended("connection timeout"));
    assert_eq!(end.cause, "ConnectTimeout");
    let _trace = world.finish();
}
