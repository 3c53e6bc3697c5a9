//! What the simulation once found, each kept for ever.

use shardpoll_reactor::tls::ClientContext;
use shardpoll_reactor::tls::rustls::pki_types::ServerName;
use shardpoll_reactor::{
    Config, Conn, ConnId, Handler, ListenerId, ListenerOptions, PanicPolicy, Silence, Simulation,
    TlsPlan, Wait, incoming,
};
use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::panic::resume_unwind;
use std::rc::Rc;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

/// What has happened, in order.
type Log = Rc<RefCell<Vec<&'static str>>>;

fn world(change: impl FnOnce(&mut Config)) -> Simulation {
    let mut config = Config::default();
    config.read_timeout = Some(10 * SECOND);
    change(&mut config);
    Simulation::new(config).expect("good settings")
}

#[test]
fn a_timer_without_delay_that_an_event_arms_runs_in_a_later_turn() {
    // S16: timers run behind the events of a batch, in the same turn.
    let turns = Rc::new(RefCell::new(Vec::new()));
    let noted = Rc::clone(&turns);
    let mut world = world(|_| {});
    let peer = world.connect(incoming(move |conn: &mut Conn<'_>, _: &[u8]| {
        let mut local = conn.local();
        noted.borrow_mut().push(local.counters().turns);
        let noted = Rc::clone(&noted);
        local.add_timer(Duration::ZERO, move |local, _| {
            noted.borrow_mut().push(local.counters().turns);
            None
        });
    }));
    peer.send(b"go");
    world.run_for(SECOND);
    let turns = turns.borrow();
    assert_eq!(turns[..], [turns[0], turns[0] + 1], "the very next one, since it is due at once");
}

#[test]
fn a_listener_that_is_paused_between_two_turns_accepts_nobody_in_the_next() {
    // S128: the kernel has spoken of somebody who waits before it hears of the pause.
    let mut world = world(|_| {});
    let addr = SocketAddr::from(([10, 0, 0, 1], 25));
    let id = ListenerId::new(0);
    let fd = world.sim().listen(addr, 4).expect("nobody is there");
    let log = Log::default();
    let noted = Rc::clone(&log);
    let accept = move |_: &shardpoll_reactor::Peer| -> Box<dyn Handler> {
        noted.borrow_mut().push("accepted");
        Box::new(incoming(|_, _| {}))
    };
    let options = ListenerOptions::default();
    world.reactor().add_listener(id, fd, options, Box::new(accept)).expect("without faults");
    let _peer = world.sim().peer(addr);
    world.sim().advance(SECOND);
    assert!(world.local(|local| local.pause_listener(id)));
    world.run_for(SECOND);
    assert_eq!(log.borrow().len(), 0);
    assert!(world.local(|local| local.resume_listener(id)));
    world.run_for(SECOND);
    assert_eq!(log.borrow().len(), 1);
}

/// Asks for a new wait when it is replaced, and may panic when it takes over.
#[derive(Clone)]
struct Heir {
    log: Log,
    panics: bool,
    id: Rc<Cell<Option<ConnId>>>,
}

impl Handler for Heir {
    fn on_incoming(&mut self, _: &mut Conn<'_>, _: &[u8]) {}

    fn on_connect(&mut self, conn: &mut Conn<'_>) {
        self.id.set(Some(conn.id()));
        if self.panics {
            conn.set_read_timeout(Wait::After(SECOND));
        }
    }

    fn on_read_timeout(&mut self, conn: &mut Conn<'_>) -> Silence {
        self.log.borrow_mut().push("timeout");
        conn.set_handler(self.clone());
        Silence::Keep
    }

    fn on_attach(&mut self, _: &mut Conn<'_>) {
        self.log.borrow_mut().push("attach");
        if self.panics {
            resume_unwind(Box::new("planned"));
        }
    }

    fn on_detach(&mut self, conn: &mut Conn<'_>) {
        self.log.borrow_mut().push("detach");
        if !self.panics {
            conn.set_read_timeout(Wait::Default);
        }
    }
}

#[test]
fn the_verdict_on_silence_is_not_lost_when_the_next_handler_panics() {
    // S86, S27: silence was excused, so the next is told only ten seconds later
    let mut world = world(|config| config.panic_policy = PanicPolicy::Continue);
    world.tolerate_panics();
    let log = Log::default();
    let _peer = world.connect(Heir { log: Rc::clone(&log), panics: true, id: Rc::default() });
    world.run_for(10 * SECOND);
    assert_eq!(*log.borrow(), ["timeout", "detach", "attach"], "after one second, and no more");
    world.run_for(2 * SECOND);
    assert_eq!(log.borrow()[3..], ["timeout", "detach", "attach"]);
}

#[test]
fn a_callback_of_the_service_that_judges_silence_may_begin_the_wait_anew() {
    // S84: the handler that is replaced does, at the very moment at which the wait is over
    let mut world = world(|_| {});
    let log = Log::default();
    let heir = Heir { log: Rc::clone(&log), panics: false, id: Rc::default() };
    let _peer = world.connect(heir.clone());
    world.sim().advance(11 * SECOND);
    let id = heir.id.get().expect("it has connected");
    world.local(move |local| local.conn(id).expect("it is there").set_handler(heir));
    world.run_for(SECOND);
    assert_eq!(*log.borrow(), ["detach", "attach"]);
    world.run_for(10 * SECOND);
    assert_eq!(log.borrow()[2..], ["timeout", "detach", "attach"]);
}

/// Panics in the handler of another connection when it is replaced.
struct Meddler {
    log: Log,
    other: Rc<Cell<Option<ConnId>>>,
}

impl Handler for Meddler {
    fn on_incoming(&mut self, _: &mut Conn<'_>, _: &[u8]) {}

    fn on_connect(&mut self, conn: &mut Conn<'_>) {
        self.other.set(Some(conn.id()));
    }

    fn on_detach(&mut self, conn: &mut Conn<'_>) {
        self.log.borrow_mut().push("detach");
        let other = self.other.get().expect("the other has connected");
        conn.local().with::<Self, ()>(other, |_, _| resume_unwind(Box::new("planned")));
    }
}

#[test]
fn who_panics_in_another_handler_while_it_is_replaced_is_replaced_once() {
    // S27, S31: a panic in `with` goes on in the callback that has called it
    let mut world = world(|config| config.panic_policy = PanicPolicy::Continue);
    world.tolerate_panics();
    let (log, last) = (Log::default(), Rc::new(Cell::new(None)));
    let meddler = || Meddler { log: Rc::clone(&log), other: Rc::clone(&last) };
    let _one = world.connect(meddler());
    let one = last.get().expect("it has connected");
    let _two = world.connect(meddler());
    let next = incoming(|_, _| {});
    world.local(move |local| local.conn(one).expect("it is there").set_handler(next));
    world.settle();
    assert_eq!(*log.borrow(), ["detach"]);
}

#[test]
fn what_tls_has_sealed_for_a_line_that_is_cut_from_elsewhere_is_counted_no_more() {
    // What a shard has queued must be right between any two turns, and a line that is ended from
    // outside its own callbacks is served only in the next.
    let mut world = world(|_| {});
    // Less than a ClientHello.
    world.sim().set_window(100);
    let name = ServerName::try_from("localhost").expect("a host name");
    let plan = TlsPlan::client(ClientContext::insecure(), name);
    let stuck = Rc::new(Cell::new(None));
    let found = Rc::clone(&stuck);
    let peer = world.connect(incoming(move |conn: &mut Conn<'_>, _: &[u8]| {
        found.set(Some(conn.id()));
        conn.start_tls(plan.clone()).expect("an open connection is upgraded");
    }));
    peer.send(b"go");
    world.settle();
    let id: ConnId = stuck.get().expect("it was called");
    world.local(|local| {
        let mut conn = local.conn(id).expect("it waits for room");
        assert!(conn.backlog() > 0, "all of the hello has left");
        conn.abort();
    });
    world.reactor().check().expect("the count of what is queued");
    world.settle();
}
