//! Connecting to any of several addresses, to the nanosecond (RFC 8305).

use shardpoll_reactor::{
    Addr, CloseReason, Config, Conn, ConnId, Connect, Fault, Faults, Handler, Place, Reactor, Sim,
    SimFd, SimPeer, Tick, Turn,
};
use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

const DELAY: Duration = Duration::from_millis(250);

const MILLI: Duration = Duration::from_millis(1);

#[derive(Default, Debug)]
struct Log {
    connects: Vec<(String, Tick)>,
    ends: Vec<(String, Tick)>,
}

struct Note(Rc<RefCell<Log>>);

impl Handler for Note {
    fn on_incoming(&mut self, _: &mut Conn<'_>, _: &[u8]) {}

    fn on_connect(&mut self, conn: &mut Conn<'_>) {
        assert!(conn.local_addr().is_some() && conn.client_port().is_some());
        let at = conn.local().now();
        self.0.borrow_mut().connects.push((conn.peer().to_string(), at));
    }

    fn on_disconnect(&mut self, conn: &mut Conn<'_>, reason: &CloseReason) {
        let at = conn.local().now();
        self.0.borrow_mut().ends.push((reason.to_string(), at));
    }
}

/// A loop, and places to go to.
struct Bench {
    sim: Sim,
    reactor: Reactor<Sim>,
    log: Rc<RefCell<Log>>,
    listeners: Vec<SimFd>,
}

impl Bench {
    fn new(config: Config) -> Self {
        let sim = Sim::new(1, Faults::none());
        sim.set_latency(MILLI, MILLI);
        let reactor = Reactor::new(sim.clone(), Place::FIRST, config).expect("a good one");
        Self { sim, reactor, log: Rc::default(), listeners: Vec::new() }
    }

    /// An address at which this many may wait to be accepted; with 0 nobody is ever answered.
    fn address(&mut self, number: u8, backlog: usize) -> SocketAddr {
        let addr = nobody(number);
        self.listeners.push(self.sim.listen(addr, backlog).expect("nobody is there yet"));
        addr
    }

    fn dial(&mut self, addrs: &[SocketAddr]) -> ConnId {
        let to = Connect::to_any(addrs.iter().copied()).expect("not empty");
        let handler = Note(Rc::clone(&self.log));
        let id = self.reactor.local(|local| local.connect(to, handler));
        id.expect("no panic").expect("not quitting")
    }

    /// Lets so much time pass, unless the loop is over.
    fn pass(&mut self, time: Duration) {
        let until = self.sim.time().saturating_add(time);
        while self.sim.time() < until {
            let left = until.as_nanos() - self.sim.time().as_nanos();
            if self.turn(Duration::from_nanos(left).min(MILLI)) == Turn::Drained {
                return;
            }
        }
    }

    fn turn(&mut self, wait: Duration) -> Turn {
        let turn = self.reactor.turn(Some(wait)).expect("the world goes on");
        self.reactor.check().expect("every invariant");
        self.reactor.check_edges().expect("every edge");
        let open = self.sim.open_descriptors() - self.listeners.len();
        assert_eq!(open, self.reactor.descriptors(), "every descriptor has an owner");
        turn
    }

    /// Awaits the end or the beginning, and gives how long it took.
    fn wait(&mut self, since: Tick) -> Duration {
        for _ in 0..100_000 {
            if let Some((_, at)) = self.outcome() {
                return Duration::from_nanos(at.as_nanos() - since.as_nanos());
            }
            self.turn(MILLI);
        }
        panic!("neither connected nor over: {:?}", self.log.borrow());
    }

    fn outcome(&self) -> Option<(String, Tick)> {
        let log = self.log.borrow();
        log.connects.first().or_else(|| log.ends.first()).cloned()
    }

    fn accept(&self, listener: usize) -> Option<SimPeer> {
        self.sim.accept_peer(&self.listeners[listener])
    }
}

/// An address at which nobody listens.
fn nobody(number: u8) -> SocketAddr {
    SocketAddr::from(([10, 0, 1, number], 7))
}

/// About so long: what a connection takes to and fro, and what the simulation rounds to.
fn is_about(time: Duration, want: Duration) -> bool {
    time >= want && time < want + 4 * MILLI
}

#[test]
fn the_next_attempt_begins_after_the_delay_and_the_first_to_answer_wins() {
    // RFC 8305 section 5
    let mut bench = Bench::new(Config::default());
    let (hole, deaf) = (bench.address(1, 0), bench.address(2, 0));
    let good = bench.address(3, 8);
    let began = bench.sim.time();
    bench.dial(&[hole, deaf, good]);
    bench.turn(Duration::ZERO);
    assert_eq!(bench.reactor.descriptors(), 1);
    bench.pass(DELAY - MILLI);
    assert_eq!(bench.reactor.descriptors(), 1, "the delay is not over");
    bench.pass(2 * MILLI);
    assert_eq!(bench.reactor.descriptors(), 2, "beside the first");
    let took = bench.wait(began);
    assert!(is_about(took, 2 * DELAY + 2 * MILLI), "{took:?}");
    assert_eq!(bench.outcome().expect("waited for").0, good.to_string());
    assert_eq!(bench.reactor.descriptors(), 1, "the others are closed");
    assert_eq!(bench.reactor.local(|local| local.live()), Some(1));
    let peer = bench.accept(2).expect("it has connected");
    assert!(peer.is_connected());
}

#[test]
fn a_failure_is_followed_at_once() {
    // RFC 8305 section 5
    let mut bench = Bench::new(Config::default());
    let good = bench.address(1, 8);
    let began = bench.sim.time();
    bench.dial(&[nobody(8), nobody(9), good]);
    let took = bench.wait(began);
    assert!(took < 10 * MILLI, "{took:?}");
    assert_eq!(bench.outcome().expect("waited for").0, good.to_string());
}

#[test]
fn a_failure_beside_others_brings_the_next_forward() {
    // RFC 8305 section 5: not at 500 ms, but as soon as the second is refused
    let mut bench = Bench::new(Config::default());
    let (hole, good) = (bench.address(1, 0), bench.address(2, 8));
    let began = bench.sim.time();
    bench.dial(&[hole, nobody(9), good]);
    let took = bench.wait(began);
    assert!(took >= DELAY && took < DELAY + 10 * MILLI, "{took:?}");
}

#[test]
fn an_answer_within_the_delay_leaves_the_others_alone() {
    // RFC 8305 section 5
    let mut bench = Bench::new(Config::default());
    bench.sim.set_latency(100 * MILLI, 100 * MILLI);
    let (first, second) = (bench.address(1, 8), bench.address(2, 8));
    let began = bench.sim.time();
    bench.dial(&[first, second]);
    let took = bench.wait(began);
    assert!(is_about(took, 200 * MILLI), "{took:?}");
    bench.pass(2 * DELAY);
    assert!(bench.accept(0).is_some() && bench.accept(1).is_none());
}

#[test]
fn a_slow_first_may_still_win_and_the_second_is_closed() {
    // RFC 8305 section 5
    let mut bench = Bench::new(Config::default());
    bench.sim.set_latency(150 * MILLI, 150 * MILLI);
    let (first, second) = (bench.address(1, 8), bench.address(2, 8));
    let began = bench.sim.time();
    bench.dial(&[first, second]);
    let took = bench.wait(began);
    assert!(is_about(took, 300 * MILLI), "{took:?}");
    assert_eq!(bench.outcome().expect("waited for").0, first.to_string());
    assert_eq!(bench.reactor.descriptors(), 1);
    bench.pass(4 * DELAY);
    assert_eq!(bench.log.borrow().connects.len(), 1, "told once");
}

#[test]
fn when_all_have_failed_the_last_error_is_told_once() {
    // S134
    let mut bench = Bench::new(Config::default());
    let began = bench.sim.time();
    bench.dial(&[nobody(7), nobody(8), nobody(9)]);
    let took = bench.wait(began);
    assert!(took < 10 * MILLI, "{took:?}");
    bench.pass(2 * DELAY);
    let log = bench.log.borrow();
    assert_eq!(log.ends.len(), 1);
    assert_eq!(log.ends[0].0, "connection refused");
    assert!(log.connects.is_empty());
    drop(log);
    assert_eq!(bench.reactor.descriptors(), 0);
}

#[test]
fn a_failure_is_the_connections_only_when_nobody_runs_any_more() {
    // the refused one comes second and last; the first, which is silent, goes on
    let mut bench = Bench::new(Config::default());
    let hole = bench.address(1, 0);
    let began = bench.sim.time();
    bench.dial(&[hole, nobody(9)]);
    let took = bench.wait(began);
    assert!(is_about(took, Config::default().connect_timeout), "{took:?}");
    assert_eq!(bench.outcome().expect("waited for").0, "connection timeout");
}

#[test]
fn the_connect_timeout_is_over_all_attempts() {
    // S135
    let mut config = Config::default();
    config.connect_timeout = 600 * MILLI;
    let mut bench = Bench::new(config);
    let holes: Vec<_> = (1..6).map(|number| bench.address(number, 0)).collect();
    let began = bench.sim.time();
    bench.dial(&holes);
    bench.pass(590 * MILLI);
    assert_eq!(bench.reactor.descriptors(), 3, "begun at 0, 250 and 500 ms");
    let took = bench.wait(began);
    assert!(is_about(took, 600 * MILLI), "{took:?}");
    assert_eq!(bench.outcome().expect("waited for").0, "connection timeout");
    assert_eq!(bench.reactor.descriptors(), 0);
}

/// Two attempts run; then this is done.
fn ended_by(end: impl FnOnce(&mut Bench, ConnId)) -> Vec<String> {
    let mut bench = Bench::new(Config::default());
    let holes: Vec<_> = (1..4).map(|number| bench.address(number, 0)).collect();
    let id = bench.dial(&holes);
    bench.pass(DELAY + 10 * MILLI);
    assert_eq!(bench.reactor.descriptors(), 2);
    end(&mut bench, id);
    bench.turn(MILLI);
    bench.turn(MILLI);
    assert_eq!(bench.reactor.descriptors(), 0);
    assert_eq!(bench.reactor.local(|local| local.live()), Some(0));
    bench.pass(4 * DELAY);
    let ends = bench.log.borrow().ends.iter().map(|(reason, _)| reason.clone()).collect();
    assert!(bench.log.borrow().connects.is_empty());
    ends
}

#[test]
fn whoever_ends_the_connection_ends_its_attempts() {
    // S74, S79, S146, S151
    let conn = |bench: &mut Bench, id, end: fn(&mut Conn<'_>)| {
        bench.reactor.local(|local| end(&mut local.conn(id).expect("it connects")));
    };
    assert_eq!(ended_by(|bench, id| conn(bench, id, |c| c.close())), ["closed on request"]);
    assert_eq!(ended_by(|bench, id| conn(bench, id, |c| c.abort())), [""; 0]);
    let all = ended_by(|bench, _| {
        bench.reactor.local(|local| local.close_all());
    });
    assert_eq!(all, ["closed on request"]);
    assert_eq!(ended_by(|bench, _| bench.reactor.quit(Duration::ZERO)), ["closed on request"]);
}

#[test]
fn one_that_is_closed_before_it_was_begun_tries_nothing() {
    let mut bench = Bench::new(Config::default());
    let good = bench.address(1, 8);
    let to = Connect::to_any([good, nobody(9)]).expect("not empty");
    let handler = Note(Rc::clone(&bench.log));
    bench.reactor.local(|local| {
        let id = local.connect(to, handler).expect("not quitting");
        local.conn(id).expect("just begun").close();
    });
    bench.pass(DELAY);
    assert_eq!(bench.log.borrow().ends[0].0, "closed on request");
    assert!(bench.accept(0).is_none());
}

#[test]
fn what_is_written_early_arrives_once_and_only_at_the_winner() {
    let mut bench = Bench::new(Config::default());
    bench.sim.set_latency(300 * MILLI, 300 * MILLI);
    let (first, second) = (bench.address(1, 8), bench.address(2, 8));
    let id = bench.dial(&[first, second]);
    bench.reactor.local(|local| local.conn(id).expect("just begun").write(b"early"));
    let began = bench.sim.time();
    bench.wait(began);
    bench.pass(10 * DELAY);
    let winner = bench.accept(0).expect("the first");
    assert_eq!(winner.recv(100), b"early");
    let loser = bench.accept(1).expect("begun at 250 ms, there at 550 ms");
    assert_eq!(loser.recv(100), b"");
    assert!(loser.is_at_end() || loser.is_reset());
}

#[test]
fn whatever_fails_on_the_way_there_is_one_end_and_nothing_is_left() {
    for fault in [Fault::ConnectFails, Fault::RegisterRefused, Fault::ConnectRefused] {
        for odds in [0.5, 1.0] {
            let mut bench = Bench::new(Config::default());
            let good: Vec<_> = (1..5).map(|number| bench.address(number, 8)).collect();
            bench.sim.set_faults(Faults::none().with(fault, odds));
            let began = bench.sim.time();
            bench.dial(&good);
            bench.wait(began);
            bench.pass(2 * DELAY);
            let left = usize::from(bench.log.borrow().ends.is_empty());
            assert_eq!(bench.reactor.descriptors(), left, "{fault:?} {odds}");
            assert!(odds < 1.0 || left == 0, "{fault:?}");
        }
    }
}

#[test]
fn a_descriptor_of_the_simulated_world_is_adopted() {
    // S136: a user's handler on a connection that the test has made
    let mut bench = Bench::new(Config::default());
    let good = bench.address(1, 8);
    let fd = {
        let mut sim = bench.sim.clone();
        shardpoll_reactor::Sys::connect(&mut sim, &Addr::Ip(good), None, None).expect("begun").0
    };
    let id = bench.reactor.adopt(fd, Note(Rc::clone(&bench.log))).expect("not quitting");
    let began = bench.sim.time();
    bench.wait(began);
    assert_eq!(bench.outcome().expect("waited for").0, good.to_string());
    assert!(bench.reactor.socket(id).is_some());
    let stream = std::os::unix::net::UnixStream::pair().expect("a pair").0;
    let handler = Note(Rc::clone(&bench.log));
    bench.reactor.local(|local| local.adopt(stream, handler)).expect("no panic").expect("tried");
    bench.turn(MILLI);
    bench.turn(MILLI);
    let log = bench.log.borrow();
    assert_eq!(log.ends[0].0, "a simulated world has no sockets of the system's");
}
