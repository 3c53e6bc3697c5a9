//! A loop that begins anew: its connections are told, its listeners lose nobody.

use shardpoll::sim::Simulation;
use shardpoll::{CloseReason, Config, Conn, Handler, ListenerId, incoming};
use shardpoll_reactor::{ListenerOptions, Place};
use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

type Log = Rc<RefCell<Vec<String>>>;

/// Echoes, and tells how it ended.
struct Told(Log);

impl Handler for Told {
    fn on_incoming(&mut self, conn: &mut Conn<'_>, data: &[u8]) {
        conn.write(data);
    }

    fn on_disconnect(&mut self, conn: &mut Conn<'_>, reason: &CloseReason) {
        self.0.borrow_mut().push(format!("{} {reason:?}", conn.id()));
        // What it begins now is refused, not lost.
        let again = conn
            .local()
            .connect(shardpoll::Connect::to(([10, 0, 0, 9], 1)), Self(Rc::clone(&self.0)));
        assert!(again.is_err(), "a loop that ends begins nothing");
    }
}

impl Drop for Told {
    fn drop(&mut self) {
        self.0.borrow_mut().push("dropped".into());
    }
}

fn world() -> Simulation {
    Simulation::new(Config::default()).expect("good settings")
}

#[test]
fn each_connection_is_told_once_and_those_who_wait_are_served() {
    let (mut world, log) = (world(), Log::default());
    let at = SocketAddr::from(([10, 0, 0, 1], 7));
    let socket = world.sim().listen(at, 10).expect("nobody listens there");
    let own = Rc::clone(&log);
    let accept = move |_: &shardpoll::Peer| -> Box<dyn Handler> { Box::new(Told(Rc::clone(&own))) };
    let id = ListenerId::new(0);
    let added =
        world.reactor().add_listener(id, socket, ListenerOptions::default(), Box::new(accept));
    added.expect("room");
    let early: Vec<_> = (0..3).map(|_| world.sim().peer(at)).collect();
    world.settle();
    let late = world.sim().peer(at);
    world.reactor().restart(Place::new(0, 7)).expect("a new poller");
    let told = log.take();
    let ends = told.iter().filter(|text| text.ends_with(" Internal")).count();
    let drops = told.iter().filter(|text| *text == "dropped").count();
    // Those that were not connected are dropped too.
    assert_eq!((ends, drops), (3, 6), "{told:?}");
    world.reactor().check().expect("a sound loop");
    world.settle();
    late.send(b"wait");
    world.settle();
    assert_eq!(late.recv_all(), b"wait");
    for peer in &early {
        assert!(peer.is_at_end());
    }
    let counters = world.reactor().counters();
    assert_eq!((counters.accepted, counters.open, counters.closed), (4, 1, 3));
    let again = world.sim().peer(at);
    world.settle();
    again.send(b"more");
    world.settle();
    assert_eq!(again.recv_all(), b"more");
    world.reactor().check().expect("a sound loop");
}

#[test]
fn old_names_and_timers_are_dead() {
    let mut world = world();
    let ran = Rc::new(RefCell::new(0));
    let own = Rc::clone(&ran);
    let peer = world.connect(incoming(|_, _| {}));
    let conn = world.local(|local| {
        local.add_timer(Duration::from_secs(1), move |_, _| {
            *own.borrow_mut() += 1;
            None
        });
        local.counters().open
    });
    assert_eq!(conn, 1);
    world.reactor().restart(Place::new(0, 8)).expect("a new poller");
    world.run_for(Duration::from_secs(5));
    assert_eq!((*ran.borrow(), Rc::strong_count(&ran)), (0, 1), "dropped, and never run");
    assert!(peer.is_at_end());
    let counters = world.reactor().counters();
    assert_eq!((counters.open, counters.timers), (0, 0));
}

#[test]
fn a_paused_listener_stays_paused_until_its_time() {
    let mut world = world();
    let at = SocketAddr::from(([10, 0, 0, 1], 7));
    let socket = world.sim().listen(at, 10).expect("nobody listens there");
    let accept = |_: &shardpoll::Peer| -> Box<dyn Handler> {
        Box::new(incoming(|conn, data| {
            conn.write(data);
        }))
    };
    let id = ListenerId::new(0);
    let added =
        world.reactor().add_listener(id, socket, ListenerOptions::default(), Box::new(accept));
    added.expect("room");
    world.local(|local| local.pause_listener_for(id, Duration::from_secs(10)));
    world.run_for(Duration::from_secs(4));
    world.reactor().restart(Place::new(0, 9)).expect("a new poller");
    let peer = world.sim().peer(at);
    world.run_for(Duration::from_secs(5));
    assert_eq!(world.reactor().counters().accepted, 0, "it waits");
    world.run_for(Duration::from_secs(2));
    peer.send(b"x");
    world.settle();
    assert_eq!(peer.recv_all(), b"x");
}
