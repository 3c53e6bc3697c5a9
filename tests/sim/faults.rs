//! One kind of fault at a time, and what the loop promises under it.

use shardpoll_reactor::{
    CloseReason, Config, Conn, Connect, Fault, Faults, Handler, ListenerId, ListenerOptions, Place,
    Reactor, Sim, SimPeer, Tick,
};
use shardpoll_tests::pattern;
use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

const TURNS: u32 = 60_000;
const SEEDS: u64 = 5;

/// Those that concern no connection, and no deadline.
pub(super) const HARMLESS: [Fault; 11] = [
    Fault::ShortRead,
    Fault::ShortWrite,
    Fault::ReadBlocked,
    Fault::WriteBlocked,
    Fault::RecvInterrupted,
    Fault::SendInterrupted,
    Fault::WaitInterrupted,
    Fault::SpuriousEvent,
    Fault::Reordered,
    Fault::BatchCut,
    Fault::StaleEvent,
];

#[derive(Default)]
struct Log {
    connects: usize,
    incoming: usize,
    ends: Vec<(String, Tick)>,
}

/// Echoes, and notes what it is told.
struct Echo(Rc<RefCell<Log>>);

impl Handler for Echo {
    fn on_incoming(&mut self, conn: &mut Conn<'_>, data: &[u8]) {
        self.0.borrow_mut().incoming += data.len();
        conn.write(data);
    }

    fn on_connect(&mut self, _: &mut Conn<'_>) {
        self.0.borrow_mut().connects += 1;
    }

    fn on_disconnect(&mut self, conn: &mut Conn<'_>, reason: &CloseReason) {
        let now = conn.local().now();
        self.0.borrow_mut().ends.push((format!("{reason:?}"), now));
    }
}

/// A loop with an echo listener in a world of its own.
struct Bench {
    sim: Sim,
    reactor: Reactor<Sim>,
    log: Rc<RefCell<Log>>,
    addr: SocketAddr,
}

impl Bench {
    fn new(seed: u64, config: Config) -> Self {
        let sim = Sim::new(seed, Faults::none());
        let mut reactor = Reactor::new(sim.clone(), Place::FIRST, config).expect("a good one");
        let log = Rc::new(RefCell::new(Log::default()));
        let addr = SocketAddr::from(([10, 0, 0, 9], 7));
        let fd = sim.listen(addr, 64).expect("nobody is there yet");
        let own = Rc::clone(&log);
        let accept = move |_: &shardpoll_reactor::Peer| -> Box<dyn Handler> {
            Box::new(Echo(Rc::clone(&own)))
        };
        reactor
            .add_listener(ListenerId::new(0), fd, ListenerOptions::default(), Box::new(accept))
            .expect("no faults");
        Self { sim, reactor, log, addr }
    }

    fn with(seed: u64, fault: Fault, odds: f64) -> Self {
        let bench = Self::new(seed, Config::default());
        bench.sim.set_faults(Faults::none().with(fault, odds));
        bench
    }

    fn turn(&mut self) {
        self.reactor.turn(Some(Duration::from_millis(5))).expect("the poller works");
        self.reactor.check().expect("the invariants of the loop");
        self.reactor.check_edges().expect("nobody waits in vain");
        assert_eq!(self.sim.open_descriptors(), self.reactor.descriptors());
    }

    fn turn_until(&mut self, what: &str, mut done: impl FnMut(&mut Self) -> bool) {
        for _ in 0..TURNS {
            if done(self) {
                return;
            }
            self.turn();
        }
        panic!("not in {TURNS} turns: {what}");
    }

    fn connected_peer(&mut self) -> SimPeer {
        let peer = self.sim.peer(self.addr);
        self.turn_until("a connection", |_| peer.is_connected());
        peer
    }

    /// Dials there with a handler of the log.
    fn dial(&mut self, to: SocketAddr) {
        let handler = Echo(Rc::clone(&self.log));
        let id = self.reactor.local(|local| local.connect(Connect::to(to), handler));
        id.expect("no panic").expect("not quitting");
    }

    fn end(&mut self) -> (String, Tick) {
        self.turn_until("an end", |bench| !bench.log.borrow().ends.is_empty());
        self.log.borrow().ends[0].clone()
    }
}

/// Sends these bytes and reads them back.
fn echo(bench: &mut Bench, peer: &SimPeer, data: &[u8]) {
    echo_all(bench, &[peer], data);
}

/// Sends these bytes on each connection and reads them back.
fn echo_all(bench: &mut Bench, peers: &[&SimPeer], data: &[u8]) {
    let mut talks = vec![(0, Vec::new()); peers.len()];
    bench.turn_until("the echo", |_| {
        for (peer, (sent, got)) in peers.iter().zip(&mut talks) {
            *sent += peer.send(&data[*sent..]);
            got.extend(peer.recv(usize::MAX));
        }
        talks.iter().all(|(_, got)| got.len() >= data.len())
    });
    assert!(talks.iter().all(|(_, got)| got == data), "other bytes than those sent");
}

#[test]
fn faults_that_concern_no_connection_lose_no_byte() {
    for kind in HARMLESS.into_iter().chain([Fault::ClockStep]) {
        let mut count = 0;
        for seed in 0..SEEDS {
            let mut bench = Bench::with(seed, kind, 0.5);
            // One has gone before, so that there is a registration to be late for.
            let gone = bench.connected_peer();
            gone.shutdown();
            bench.turn_until("its end", |bench| bench.log.borrow().ends.len() == 1);
            let (one, two) = (bench.connected_peer(), bench.connected_peer());
            let data = pattern(if kind == Fault::ClockStep { 100 } else { 3_000 });
            echo_all(&mut bench, &[&one, &two], &data);
            assert_eq!(bench.log.borrow().ends.len(), 1, "{kind:?} ended a connection");
            count += bench.sim.counts().of(kind);
        }
        assert!(count > 0, "{kind:?} never came");
    }
}

#[test]
fn who_waits_while_descriptors_or_memory_are_short_is_served_later() {
    for kind in [Fault::AcceptDescriptors, Fault::AcceptBuffers, Fault::AcceptMemory] {
        let mut bench = Bench::with(1, kind, 0.5);
        let _peers: Vec<_> = (0..20).map(|_| bench.sim.peer(bench.addr)).collect();
        bench.turn_until("all served", |bench| bench.log.borrow().connects == 20);
        let rests = bench.reactor.counters().accept_rests;
        assert_eq!(rests, bench.sim.counts().of(kind), "one rest for each failure");
        assert!(rests > 0, "{kind:?} never came");
    }
}

#[test]
fn an_accept_that_fails_for_one_peer_goes_on_with_the_next() {
    for kind in [Fault::AcceptAborted, Fault::AcceptInterrupted] {
        let mut bench = Bench::with(2, kind, 0.5);
        let peers: Vec<_> = (0..20).map(|_| bench.sim.peer(bench.addr)).collect();
        bench.turn_until("all met", |bench| {
            let reset = peers.iter().filter(|peer| peer.is_reset()).count();
            bench.log.borrow().connects + reset == 20
        });
        assert_eq!(bench.reactor.counters().accept_rests, 0, "{kind:?}");
        assert!(bench.sim.counts().of(kind) > 0, "{kind:?} never came");
    }
}

#[test]
fn at_the_limit_of_descriptors_the_loop_does_not_spin_and_goes_on_when_one_is_closed() {
    let mut bench = Bench::new(3, Config::default());
    bench.sim.set_descriptor_limit(3);
    let mut peers: Vec<_> = (0..5).map(|_| bench.sim.peer(bench.addr)).collect();
    bench.turn_until("two served", |bench| bench.log.borrow().connects == 2);
    let (turns, time) = (bench.reactor.counters().turns, bench.sim.time());
    let later = time.saturating_add(Duration::from_secs(1));
    while bench.sim.time() < later {
        bench.reactor.turn(None).expect("the poller works");
    }
    // Twenty rests of 50 ms, each of them one failure and one turn that ends it.
    let turns = bench.reactor.counters().turns - turns;
    assert!(turns <= 45, "{turns} turns in a second in which nothing can be done");
    assert_eq!(bench.log.borrow().connects, 2);
    while bench.log.borrow().connects < 5 {
        let before = bench.log.borrow().connects;
        peers.remove(0);
        bench.turn_until("the next is served", |bench| bench.log.borrow().connects > before);
    }
}

#[test]
fn outgoing_connections_that_fail_say_how() {
    let cases = [
        (Fault::ConnectRefused, "Connect(Os { code: 111"),
        (Fault::ConnectFails, "Connect(Os { code: "),
        (Fault::ConnectHangs, "ConnectTimeout"),
        (Fault::RegisterRefused, "Connect(Os { code: 28"),
    ];
    for (kind, reason) in cases {
        let mut bench = Bench::with(4, kind, 1.0);
        bench.dial(bench.addr);
        let (told, _) = bench.end();
        assert!(told.starts_with(reason), "{kind:?}: {told}");
        assert_eq!(bench.log.borrow().connects, 0);
        // The listener's, and nothing else.
        bench.turn_until("the descriptor is closed", |bench| bench.sim.open_descriptors() == 1);
        assert_eq!(bench.log.borrow().ends.len(), 1, "told once");
    }
}

#[test]
fn a_connection_that_hangs_is_given_up_at_its_timeout_and_not_before() {
    let mut config = Config::default();
    config.connect_timeout = Duration::from_millis(700);
    let mut bench = Bench::new(5, config);
    bench.sim.set_faults(Faults::none().with(Fault::ConnectHangs, 1.0));
    let due = bench.sim.time().saturating_add(Duration::from_millis(700));
    bench.dial(bench.addr);
    assert_eq!(bench.end(), ("ConnectTimeout".into(), due));
}

#[test]
fn late_connections_are_connections() {
    let mut bench = Bench::with(6, Fault::ConnectLate, 1.0);
    for _ in 0..5 {
        bench.dial(bench.addr);
    }
    // Both ends are the loop's.
    bench.turn_until("all of them", |bench| bench.log.borrow().connects == 10);
    assert_eq!(bench.sim.counts().of(Fault::ConnectLate), 5);
}

#[test]
fn who_cannot_be_watched_is_told_so_once() {
    let mut bench = Bench::with(7, Fault::RegisterRefused, 1.0);
    let _peer = bench.sim.peer(bench.addr);
    let (told, _) = bench.end();
    assert!(told.starts_with("Io(Os { code: 28"), "{told}");
    bench.turn_until("the descriptor is closed", |bench| bench.sim.open_descriptors() == 1);
    assert_eq!(bench.log.borrow().ends.len(), 1);
}

#[test]
fn a_reset_is_told_once_and_a_lack_of_memory_ends_only_its_connection() {
    for (kind, reason) in [(Fault::Reset, "Reset"), (Fault::SendMemory, "Io(Os { code: 12")] {
        for seed in 0..SEEDS {
            let mut bench = Bench::new(seed, Config::default());
            let (one, two) = (bench.connected_peer(), bench.connected_peer());
            bench.sim.set_faults(Faults::none().with(kind, 1.0));
            one.send(b"hello");
            let (told, _) = bench.end();
            assert!(told.starts_with(reason), "{kind:?}: {told}");
            bench.sim.set_faults(Faults::none());
            echo(&mut bench, &two, &pattern(1000));
            assert_eq!(bench.log.borrow().ends.len(), 1, "told once");
        }
    }
}

#[test]
fn what_came_before_a_half_close_is_answered_in_full() {
    for seed in 0..SEEDS {
        let mut bench = Bench::new(seed, Config::default());
        let peer = bench.connected_peer();
        bench.sim.set_faults(Faults::none().with(Fault::HalfClose, 1.0));
        let data = pattern(9_000);
        let sent = peer.send(&data);
        assert!(peer.has_ended() && sent < data.len());
        let mut got = Vec::new();
        bench.turn_until("the end", |_| {
            got.extend(peer.recv(usize::MAX));
            peer.is_at_end()
        });
        assert!(got == data[..sent], "{} of {sent} bytes", got.len());
        assert_eq!(bench.end().0, "PeerClosed");
    }
}

#[test]
fn a_stalled_loop_reads_what_has_come_before_it_calls_a_peer_silent() {
    let mut config = Config::default();
    config.read_timeout = Some(Duration::from_secs(1));
    let mut bench = Bench::new(8, config);
    let peer = bench.connected_peer();
    echo(&mut bench, &peer, b"hello");
    peer.send(b"in time");
    // The loop stands still; what was sent has long arrived when it goes on.
    bench.sim.advance(Duration::from_secs(10));
    let mut got = Vec::new();
    bench.turn_until("the echo", |_| {
        got.extend(peer.recv(usize::MAX));
        got.len() == 7
    });
    assert!(bench.log.borrow().ends.is_empty());
    assert_eq!(bench.end().0, "Silent");
}

#[test]
fn a_peer_that_reads_nothing_is_given_up_at_the_send_timeout() {
    let mut config = Config::default();
    config.send_timeout = Some(Duration::from_secs(2));
    let mut bench = Bench::new(9, config);
    let peer = bench.sim.peer_with_window(bench.addr, 100);
    bench.turn_until("a connection", |_| peer.is_connected());
    peer.send(&pattern(5_000));
    let (reason, at) = bench.end();
    assert_eq!(reason, "NotDraining");
    assert!(at >= Tick::ZERO.saturating_add(Duration::from_secs(2)), "not before");
    assert_eq!(peer.recv(usize::MAX).len(), 100, "what the window took, and no more");
}
