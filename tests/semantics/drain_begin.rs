//! on_drain_begin: everybody is told, and whoever does not end by the deadline is cut (O10,
//! S151).

use shardpoll::{Connect, DrainPlan, EngineState, PanicPolicy, Refused, WatchInterest, Watcher};
use shardpoll_tests::{Alone, Call, Event, Peer, Setup, TlsPeer, Version, World, both_worlds};
use std::os::unix::net::UnixStream;
use std::process::Command;
use std::time::Duration;

both_worlds! {
    everybody_is_told_once_and_the_engine_ends_when_all_have_said_goodbye,
    an_idle_connection_is_cut_at_the_deadline_and_not_before,
    one_that_is_accepted_while_draining_is_told_right_after_on_connect,
    an_outgoing_connection_and_a_handshake_are_told_when_they_are_done,
    those_who_wait_when_the_time_to_accept_is_over_are_accepted_and_told,
    nothing_new_is_opened_while_refusing,
    a_second_drain_brings_the_ends_forward_and_tells_nobody_again,
    a_quit_while_draining_closes_at_once,
    a_drain_while_quitting_brings_the_deadline_forward,
    a_request_that_comes_while_draining_is_answered,
    a_panic_in_it_ends_that_connection_only,
    with_panics_that_go_on_everybody_is_still_told,
    one_that_is_ending_is_not_told,
    watches_and_timers_do_not_keep_the_engine,
}

const FAR: Duration = Duration::from_secs(3600);
const SOON: Duration = Duration::from_millis(300);

fn plan(accept_for: Duration, deadline: Duration) -> DrainPlan {
    DrainPlan::default().accept_for(accept_for).deadline(deadline)
}

/// Echoes, and says goodbye when it is time.
fn polite(call: &mut Call<'_, '_>) {
    match call.event {
        Event::Incoming(data) => call.say(data),
        Event::DrainBegin => {
            call.say(b"bye");
            call.close();
        }
        _ => {}
    }
}

/// Echoes, and stays.
fn stubborn(call: &mut Call<'_, '_>) {
    if let Event::Incoming(data) = call.event {
        call.say(data);
    }
}

/// What the only shard reports.
fn report(world: &mut World) -> (u64, u64) {
    let shards = world.join();
    assert_eq!(shards.len(), 1);
    (shards[0].finished, shards[0].cut)
}

fn wait_for_state(world: &World, state: EngineState) {
    while world.state() != state {
        world.run(|_| ());
    }
}

fn everybody_is_told_once_and_the_engine_ends_when_all_have_said_goodbye() {
    // the deadline is an hour away, and nobody waits for it
    let mut world = Setup::new().start(polite);
    let mut peers: Vec<_> = (0..5).map(|_| world.connect_and_wait().0).collect();
    world.drain(plan(Duration::ZERO, FAR));
    for peer in &mut peers {
        assert_eq!(peer.read_to_end(), b"bye");
    }
    drop(peers);
    assert_eq!(report(&mut world), (5, 0));
    let trace = world.rest();
    assert_eq!(trace.count(&Event::DrainBegin), 5);
    assert!(trace.ends().iter().all(|(_, cause)| cause == "Asked"));
}

fn an_idle_connection_is_cut_at_the_deadline_and_not_before() {
    // S151: told so
    let mut world = Setup::new().start(stubborn);
    let (mut peer, id) = world.connect_and_wait();
    peer.echo(b"x");
    world.drain(plan(Duration::ZERO, SOON));
    let told = world.wait_for_event(&Event::DrainBegin).at;
    let end = world.wait_for_end();
    assert!(end.at.saturating_since(told) >= SOON, "early");
    assert_eq!(report(&mut world), (0, 1));
    assert_eq!(world.rest().of(id).last(), Some(&Event::ended("quitting")));
}

fn one_that_is_accepted_while_draining_is_told_right_after_on_connect() {
    let world = Setup::new().start(|call| {
        if *call.event == Event::Connect {
            call.say(b"welcome, ");
        }
        polite(call);
    });
    world.drain(plan(FAR, FAR));
    wait_for_state(&world, EngineState::DrainingAccepting);
    let mut late = world.connect();
    assert_eq!(late.read_to_end(), b"welcome, bye");
    drop(late);
    let trace = world.finish();
    assert_eq!(trace.only()[..2], [Event::Connect, Event::DrainBegin]);
}

fn an_outgoing_connection_and_a_handshake_are_told_when_they_are_done() {
    let mut world = Setup::new().tls().start(polite);
    let mut half = TlsPeer::begin(world.addr(), Version::Tls13);
    world.wait_for_event(&Event::Starttls);
    world.drain(plan(FAR, FAR));
    let plain = world.listen_too(stubborn);
    let dial = world.dial(Connect::to(plain), polite);
    world.wait_for(|seen| seen.conn == Some(dial) && seen.event == Event::DrainBegin);
    half.handshake().expect("it goes on");
    assert_eq!(half.read_to_end(), b"bye");
    drop(half);
    let trace = world.finish();
    // The one that handshakes, the outgoing one, and the one it has made.
    assert_eq!(trace.count(&Event::DrainBegin), 3);
    for id in trace.connections() {
        let events = trace.of(id);
        let at = events.iter().position(|event| *event == Event::Connect).expect("all are");
        assert_eq!(events[at + 1], Event::DrainBegin, "{events:?}");
    }
}

fn those_who_wait_when_the_time_to_accept_is_over_are_accepted_and_told() {
    // a listener's socket takes its queue with it, so the queue is emptied first
    let mut world = Setup::new().start(polite);
    let release = world.hold_shard();
    let mut peers: Vec<_> = (0..20).map(|_| world.connect()).collect();
    world.drain(plan(Duration::ZERO, FAR));
    drop(release);
    for peer in &mut peers {
        assert_eq!(peer.read_to_end(), b"bye");
    }
    drop(peers);
    assert_eq!(report(&mut world), (20, 0));
    assert_eq!(world.rest().count(&Event::DrainBegin), 20);
}

fn nothing_new_is_opened_while_refusing() {
    // S150
    struct Nobody;
    impl Watcher for Nobody {}
    let mut world = Setup::new().start(stubborn);
    let (mut peer, _) = world.connect_and_wait();
    let addr = world.addr();
    world.drain(plan(Duration::ZERO, FAR));
    wait_for_state(&world, EngineState::DrainingRefusing);
    assert!(Peer::try_connect(addr).is_err(), "the listener is closed");
    let refused = world.run(move |local| {
        let dialled = local.connect(Connect::to(addr), shardpoll::incoming(|_, _| {}));
        let (ours, theirs) = UnixStream::pair().expect("descriptors");
        let adopted = local.adopt(ours, shardpoll::incoming(|_, _| {}));
        let watched = local.watch(theirs, WatchInterest::READABLE, Nobody);
        let state = local.state();
        (dialled.err(), adopted.err(), watched.err(), state)
    });
    let quitting = Some(Refused::Quitting);
    assert_eq!(refused, (quitting, quitting, quitting, EngineState::DrainingRefusing));
    peer.echo(b"served to the end");
    peer.finish();
    peer.expect_end();
    drop(peer);
    assert_eq!(report(&mut world), (1, 0));
    let trace = world.rest();
    assert_eq!(trace.ends()[0].1, "PeerClosed");
}

fn a_second_drain_brings_the_ends_forward_and_tells_nobody_again() {
    let mut world = Setup::new().start(stubborn);
    let (_peer, _) = world.connect_and_wait();
    world.drain(plan(FAR, FAR));
    world.drain(plan(FAR, Duration::ZERO));
    world.wait_for_event(&Event::DrainBegin);
    wait_for_state(&world, EngineState::DrainingAccepting);
    world.drain(plan(Duration::ZERO, Duration::ZERO));
    world.drain(plan(FAR, FAR));
    assert_eq!(report(&mut world), (0, 1));
    assert_eq!(world.rest().count(&Event::DrainBegin), 1);
}

fn a_quit_while_draining_closes_at_once() {
    let mut world = Setup::new().start(stubborn);
    let (mut peer, _) = world.connect_and_wait();
    world.drain(plan(FAR, FAR));
    world.wait_for_event(&Event::DrainBegin);
    world.quit(FAR);
    peer.expect_end();
    drop(peer);
    assert_eq!(report(&mut world), (1, 0));
    assert_eq!(world.rest().ends()[0].1, "Asked");
}

fn a_drain_while_quitting_brings_the_deadline_forward() {
    // and tells nobody: everything is closed already
    let mut world = Setup::new().start(|call| {
        if *call.event == Event::Connect {
            call.say_vec(vec![0; 24 * 1024 * 1024]);
        }
    });
    let _deaf = Peer::connect_with_buffer(world.addr(), 4096);
    world.wait_for_event(&Event::Connect);
    world.quit(FAR);
    world.drain(plan(Duration::ZERO, SOON));
    assert_eq!(report(&mut world), (0, 1));
    assert_eq!(world.rest().count(&Event::DrainBegin), 0);
}

fn a_request_that_comes_while_draining_is_answered() {
    // as HTTP does it: the next answer is the last
    let mut world = Setup::new().start(|call| match call.event {
        Event::DrainBegin => call.note("the next one is the last"),
        Event::Incoming(data) => {
            call.say(data);
            if call.local().state() != EngineState::Serving {
                call.close();
            }
        }
        _ => {}
    });
    let (mut peer, _) = world.connect_and_wait();
    peer.echo(b"one");
    world.drain(plan(Duration::ZERO, FAR));
    wait_for_state(&world, EngineState::DrainingRefusing);
    peer.send(b"two");
    assert_eq!(peer.read_to_end(), b"two");
    drop(peer);
    assert_eq!(report(&mut world), (1, 0));
    let _trace = world.rest();
}

fn a_panic_in_it_ends_that_connection_only() {
    // O3
    let mut world = Setup::new().start(|call| match call.event {
        Event::Incoming(data) if data == b"fragile" => {
            call.note("fragile");
            let fragile = |call: &mut Call<'_, '_>| {
                assert!(*call.event != Event::DrainBegin, "a test's panic");
            };
            call.hand_to("fragile", fragile);
        }
        _ => polite(call),
    });
    let (mut fragile, _) = world.connect_and_wait();
    let (mut other, _) = world.connect_and_wait();
    fragile.send(b"fragile");
    world.wait_for(|seen| seen.by == "fragile" && seen.event == Event::Attach);
    world.drain(plan(Duration::ZERO, FAR));
    assert_eq!(other.read_to_end(), b"bye");
    fragile.expect_end();
    drop((fragile, other));
    assert_eq!(report(&mut world), (2, 0));
    let _trace = world.rest();
}

fn with_panics_that_go_on_everybody_is_still_told() {
    // S27: a callback that panicked counts as returned, also the one before
    let config = |config: &mut shardpoll::Config| config.panic_policy = PanicPolicy::Continue;
    let mut world = Setup::new().config(config).start(|call| {
        assert!(*call.event != Event::Connect, "a test's panic");
        polite(call);
    });
    world.drain(plan(FAR, FAR));
    wait_for_state(&world, EngineState::DrainingAccepting);
    let mut peer = world.connect();
    assert_eq!(peer.read_to_end(), b"bye");
    drop(peer);
    world.expect_panics(1);
    let _trace = world.finish();
}

fn one_that_is_ending_is_not_told() {
    // its handler has said all it had to say
    let mut world = Setup::new().start(|call| {
        if *call.event == Event::Connect {
            call.say_vec(vec![0; 24 * 1024 * 1024]);
            call.close();
        }
    });
    let _deaf = Peer::connect_with_buffer(world.addr(), 4096);
    world.wait_for_event(&Event::Connect);
    world.drain(plan(Duration::ZERO, SOON));
    assert_eq!(report(&mut world), (0, 1));
    assert_eq!(world.rest().count(&Event::DrainBegin), 0);
}

fn watches_and_timers_do_not_keep_the_engine() {
    // only connections are worth waiting for; a watch's descriptor is given back (S140)
    struct Told(std::sync::mpsc::Sender<()>);
    impl Watcher for Told {
        fn on_closed(
            self: Box<Self>,
            _: &mut shardpoll::Local<'_>,
            _: std::os::fd::OwnedFd,
            _: Option<std::io::Error>,
        ) {
            self.0.send(()).expect("the test waits");
        }
    }
    let (reply, told) = std::sync::mpsc::channel();
    let mut world = Setup::new().start(polite);
    let (mut peer, _) = world.connect_and_wait();
    let (ours, _theirs) = UnixStream::pair().expect("descriptors");
    world.run(move |local| {
        local.add_timer(FAR, |_, _| Some(FAR));
        local.watch(ours, WatchInterest::READABLE, Told(reply)).expect("not refusing yet")
    });
    world.drain(plan(Duration::ZERO, FAR));
    assert_eq!(peer.read_to_end(), b"bye");
    drop(peer);
    assert_eq!(report(&mut world), (1, 0));
    told.try_recv().expect("told before the end");
    let _trace = world.rest();
}

#[test]
fn a_signal_drains_and_a_second_one_means_now() {
    // the second is heard while refusing; one that follows a withdrawal is a first one
    let mut alone = Alone::start(Command::new(env!("CARGO_BIN_EXE_alone")).arg("drains"));
    assert_eq!(alone.line(), "ready");
    alone.signal("TERM");
    assert_eq!(alone.line(), "told");
    assert_eq!(alone.ask("state"), "refusing");
    assert_eq!(alone.ask("cancel"), "serving");
    alone.signal("TERM");
    assert_eq!(alone.line(), "told");
    assert_eq!(alone.ask("state"), "refusing");
    alone.signal("INT");
    assert_eq!(alone.ask("join"), "2 finished, 0 cut; by shard: 2 + 0");
    assert_eq!(alone.end(), Some(0));
}
