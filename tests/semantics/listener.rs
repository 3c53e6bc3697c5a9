//! Listeners that are paused, resumed and closed, and whose end is told to the acceptor (S128, O9).

use shardpoll::{Accept, ConnId, Engine, Handler, Listen, ListenerId, Local, Peer, incoming};
use shardpoll_tests::{Event, Peer as Client, Setup, World, both_worlds};
use std::sync::mpsc::{Sender, channel};
use std::time::{Duration, Instant};

both_worlds! {
    a_paused_listener_leaves_those_who_come_in_the_queue,
    a_callback_can_close_the_listener_and_its_connections_live_on,
}

fn here() -> Listen {
    Listen::on(([127, 0, 0, 1], 0))
}

/// The listener of the one connection there is.
fn listener_of(world: &World, id: ConnId) -> ListenerId {
    world.conn(id, |conn| conn.listener()).expect("it was accepted")
}

fn a_paused_listener_leaves_those_who_come_in_the_queue() {
    let mut world = Setup::new().echo();
    let (_first, id) = world.connect_and_wait();
    let listener = listener_of(&world, id);
    assert!(world.run(move |local| local.pause_listener(listener)));
    let mut second = world.connect();
    second.send(b"hello");
    world.some_turns();
    assert_eq!(world.run(|local| local.counters().accepted), 1);
    assert!(world.run(move |local| local.resume_listener(listener)));
    second.expect(b"hello");
    let _trace = world.finish();
}

#[test]
fn a_timed_pause_ends_by_itself_unless_it_is_replaced() {
    // S98, S128
    let mut world = Setup::new().echo();
    let (_first, id) = world.connect_and_wait();
    let listener = listener_of(&world, id);
    let begun = Instant::now();
    world.run(move |local| {
        local.pause_listener_for(listener, Duration::from_millis(20));
        local.pause_listener_for(listener, Duration::from_millis(150))
    });
    let mut second = world.connect();
    second.echo(b"at last");
    assert!(begun.elapsed() >= Duration::from_millis(150), "{:?}", begun.elapsed());
    // One without a time replaces it too.
    world.run(move |local| {
        local.pause_listener_for(listener, Duration::from_millis(1));
        local.pause_listener(listener)
    });
    let mut third = world.connect();
    third.send(b"?");
    third.expect_silence(Duration::from_millis(60));
    world.remote().resume_listener(listener);
    third.expect(b"?");
    let _trace = world.finish();
}

#[test]
fn a_pause_from_outside_holds_on_all_shards() {
    let mut world = Setup::new().shards(2).echo();
    let (_first, id) = world.connect_and_wait();
    let listener = world.run_on(id.shard(), move |local| {
        local.conn(id).and_then(|conn| conn.listener()).expect("it was accepted")
    });
    world.remote().pause_listener(listener);
    for shard in 0..2 {
        // Orders overtake nothing; this one is read behind it.
        world.run_on(shard, |_| ());
        world.run_on(shard, |_| ());
    }
    let mut second = world.connect();
    second.send(b"x");
    second.expect_silence(Duration::from_millis(50));
    world.remote().resume_listener(listener);
    second.expect(b"x");
    let _trace = world.finish();
}

#[test]
fn a_pause_from_outside_holds_for_those_who_wait_already() {
    // S128: the kernel is told of the pause in the next turn, and may report them in it
    let mut world = Setup::new().echo();
    let (_first, id) = world.connect_and_wait();
    let listener = world.run_on(id.shard(), move |local| {
        local.conn(id).and_then(|conn| conn.listener()).expect("it was accepted")
    });
    let release = world.hold_shard();
    world.remote().pause_listener(listener);
    let mut second = world.connect();
    second.send(b"x");
    drop(release);
    second.expect_silence(Duration::from_millis(50));
    world.remote().resume_listener(listener);
    second.expect(b"x");
    let _trace = world.finish();
}

fn a_callback_can_close_the_listener_and_its_connections_live_on() {
    let mut world = Setup::new().start(|call| {
        if let Event::Incoming(data) = call.event {
            let listener = call.listener().expect("it was accepted");
            let closed = call.local().close_listener(listener);
            call.note(closed);
            let data = data.clone();
            call.say(&data);
        }
    });
    let mut peer = world.connect();
    peer.echo(b"close it");
    world.wait_for_event(&Event::note("true"));
    peer.echo(b"again");
    world.wait_for_event(&Event::note("false"));
    assert!(Client::try_connect(world.addr()).is_err(), "nobody listens any more");
    let _trace = world.finish();
}

/// An acceptor that says what becomes of it.
#[derive(Clone)]
struct Telling(Sender<&'static str>);

impl Accept for Telling {
    fn accept(&mut self, _: &Peer) -> Box<dyn Handler> {
        Box::new(incoming(|_, _| {}))
    }

    fn on_close(&mut self, local: &mut Local<'_>) {
        let live = local.live();
        self.0.send(if live == 0 { "closed, alone" } else { "closed" }).expect("the test listens");
    }
}

#[test]
fn the_acceptor_is_told_once_when_the_last_shards_socket_is_closed() {
    // O9, S128
    let (log, told) = channel();
    let engine = Engine::builder().shards(3).start().expect("it starts");
    let id = engine.listen_with(here(), Telling(log)).expect("a free port");
    engine.close_listener(id);
    assert_eq!(told.recv(), Ok("closed, alone"));
    engine.close_listener(id);
    engine.quit(Duration::ZERO);
    engine.join().expect("no shard has failed");
    // All clones are gone, and none has said anything else.
    assert_eq!(told.recv().ok(), None);
}

#[test]
fn a_quit_tells_the_acceptor_too_and_a_listener_that_could_not_begin_tells_nothing() {
    let (log, told) = channel();
    let engine = Engine::builder().shards(2).start().expect("it starts");
    let id = engine.listen_with(here(), Telling(log.clone())).expect("a free port");
    let taken = engine.addr(id).expect("it listens");
    assert!(engine.listen_with(Listen::on(taken), Telling(log)).is_err(), "the address is in use");
    engine.quit(Duration::from_secs(5));
    engine.join().expect("no shard has failed");
    assert_eq!(told.into_iter().collect::<Vec<_>>().len(), 1);
}

#[test]
fn a_quit_that_is_withdrawn_leaves_the_engine_serving() {
    // S149: what was closed stays closed
    let mut world = Setup::new().start(|call| {
        if matches!(call.event, Event::Incoming(_)) {
            call.say_vec(vec![1; 24 * 1024 * 1024]);
        }
    });
    let mut slow = world.connect();
    slow.send(b"keeps the shard alive");
    world.wait_for_event(&Event::HighWater);
    world.quit(Duration::from_secs(30));
    world.engine().cancel_quit();
    let addr = world.listen(here(), |call| {
        if let Event::Incoming(data) = call.event {
            call.write(data);
        }
    });
    // It is closed in the turn behind the order.
    world.some_turns();
    assert!(Client::try_connect(world.addr()).is_err(), "the old listener was closed");
    Client::connect(addr).echo(b"the new one serves");
    assert_eq!(slow.read_to_end().len(), 24 * 1024 * 1024);
    let _trace = world.finish();
}
