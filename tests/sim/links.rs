//! Links and half-closes in a simulated world, turn by turn: what a hunt has found.

use shardpoll_reactor::tls::rustls::pki_types::ServerName;
use shardpoll_reactor::{
    CloseReason, Config, Conn, ConnId, Connect, Credit, Fault, Faults, Handler, LinkError,
    LinkOptions, ListenerId, ListenerOptions, Local, Place, Reactor, Sim, SimFd, SimPeer, Wait,
};
use shardpoll_tests::{client_context, pattern, server_context};
use std::cell::RefCell;
use std::net::SocketAddr;
use std::num::NonZeroU64;
use std::rc::Rc;
use std::time::Duration;

const MILLI: Duration = Duration::from_millis(1);

/// What the handlers were told.
#[derive(Default, Debug)]
struct Log {
    connects: Vec<ConnId>,
    input: Vec<(ConnId, Vec<u8>)>,
    ends: Vec<(ConnId, String)>,
}

struct Note(Rc<RefCell<Log>>);

impl Handler for Note {
    fn on_incoming(&mut self, conn: &mut Conn<'_>, data: &[u8]) {
        self.0.borrow_mut().input.push((conn.id(), data.to_vec()));
    }

    fn on_connect(&mut self, conn: &mut Conn<'_>) {
        self.0.borrow_mut().connects.push(conn.id());
    }

    fn on_disconnect(&mut self, conn: &mut Conn<'_>, reason: &CloseReason) {
        self.0.borrow_mut().ends.push((conn.id(), format!("{reason:?}")));
    }
}

/// A loop with a plain and a TLS listener, and a listener of others.
struct Bench {
    sim: Sim,
    reactor: Reactor<Sim>,
    log: Rc<RefCell<Log>>,
    outside: SimFd,
}

fn at(port: u16) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, 9], port))
}

const PLAIN: u16 = 1;
const TLS: u16 = 2;
const OUTSIDE: u16 = 3;

impl Bench {
    fn new(config: Config) -> Self {
        let sim = Sim::new(1, Faults::none());
        sim.set_latency(MILLI, MILLI);
        let mut reactor = Reactor::new(sim.clone(), Place::FIRST, config).expect("a good one");
        let log = Rc::new(RefCell::new(Log::default()));
        for port in [PLAIN, TLS] {
            let own = Rc::clone(&log);
            let accept = move |_: &shardpoll_reactor::Peer| -> Box<dyn Handler> {
                Box::new(Note(Rc::clone(&own)))
            };
            let mut options = ListenerOptions::default();
            options.tls = (port == TLS).then(server_context);
            let fd = sim.listen(at(port), 64).expect("nobody is there yet");
            let id = ListenerId::new(port.into());
            reactor.add_listener(id, fd, options, Box::new(accept)).expect("no faults");
        }
        let outside = sim.listen(at(OUTSIDE), 64).expect("nobody is there yet");
        Self { sim, reactor, log, outside }
    }

    fn turn(&mut self) {
        self.reactor.turn(Some(MILLI)).expect("the poller works");
        self.reactor.check().expect("the invariants of the loop");
        self.reactor.check_edges().expect("nobody waits in vain");
        assert_eq!(self.sim.open_descriptors(), self.reactor.descriptors() + 1);
    }

    fn turns(&mut self, count: u32) {
        for _ in 0..count {
            self.turn();
        }
    }

    fn turn_until(&mut self, what: &str, mut done: impl FnMut(&mut Self) -> bool) {
        for _ in 0..20_000 {
            if done(self) {
                return;
            }
            self.turn();
        }
        panic!("in vain: {what}; {:?}", self.log.borrow().ends);
    }

    fn local<R>(&mut self, f: impl FnOnce(&mut Local<'_>) -> R) -> R {
        self.reactor.local(f).expect("no panic")
    }

    /// A plain connection that was accepted, and its peer.
    fn accepted(&mut self) -> (ConnId, SimPeer) {
        self.accepted_with_window(64 * 1024)
    }

    fn accepted_with_window(&mut self, window: usize) -> (ConnId, SimPeer) {
        let known = self.log.borrow().connects.len();
        let peer = self.sim.peer_with_window(at(PLAIN), window);
        self.turn_until("a connection", |bench| {
            bench.log.borrow().connects.len() > known && peer.is_connected()
        });
        (self.log.borrow().connects[known], peer)
    }

    fn dial(&mut self, to: u16, tls: bool) -> ConnId {
        let mut to = Connect::to(at(to));
        if tls {
            to = to.tls(client_context(), ServerName::try_from("localhost").expect("a name"));
        }
        let handler = Note(Rc::clone(&self.log));
        self.local(|local| local.connect(to, handler)).expect("not quitting")
    }

    /// The two ends of a TLS connection, both on this loop: the client's first.
    fn tls_pair(&mut self) -> (ConnId, ConnId) {
        let known = self.log.borrow().connects.len();
        let client = self.dial(TLS, true);
        self.turn_until("both", |bench| bench.log.borrow().connects.len() == known + 2);
        let server = self.log.borrow().connects[known..].iter().copied().find(|id| *id != client);
        (client, server.expect("two of them"))
    }

    fn link(&mut self, from: ConnId, to: ConnId, options: LinkOptions) {
        self.local(|local| local.link_with(from, to, options)).expect("both are there");
    }

    fn end_of(&self, id: ConnId) -> Option<String> {
        let log = self.log.borrow();
        log.ends.iter().find(|(of, _)| *of == id).map(|(_, reason)| reason.clone())
    }

    fn await_end(&mut self, id: ConnId) -> String {
        self.turn_until("an end", |bench| bench.end_of(id).is_some());
        self.end_of(id).expect("awaited")
    }

    /// What a handler was given.
    fn input_of(&self, id: ConnId) -> Vec<u8> {
        let log = self.log.borrow();
        log.input.iter().filter(|(of, _)| *of == id).flat_map(|(_, data)| data.clone()).collect()
    }

    /// Sends all of it, and takes what comes to another meanwhile.
    fn pump(&mut self, from: &SimPeer, data: &[u8], to: &SimPeer) -> Vec<u8> {
        let (mut sent, mut got) = (0, Vec::new());
        self.turn_until("all of it", |_| {
            sent += from.send(&data[sent..]);
            got.extend(to.recv(usize::MAX));
            got.len() >= data.len()
        });
        got
    }
}

fn never_silent() -> Config {
    let mut config = Config::default();
    config.read_timeout = None;
    config
}

#[test]
fn a_link_to_a_connection_in_its_handshake_does_not_spin() {
    // S63, S144: the pair of predrain and drain waits for the end of the handshake
    let mut bench = Bench::new(Config::default());
    let (a, _one) = bench.accepted();
    let b = bench.dial(OUTSIDE, true);
    bench.turns(20);
    bench.link(a, b, LinkOptions::default());
    let (time, turns) = (bench.sim.time(), bench.reactor.counters().turns);
    bench.turns(100);
    let passed = bench.sim.time().as_nanos() - time.as_nanos();
    let turns = bench.reactor.counters().turns - turns;
    assert!(passed >= 90_000_000, "{turns} turns in {passed} ns: a spin");
}

#[test]
fn an_end_is_passed_on_to_a_target_that_is_still_being_connected() {
    // S145: `request | nc -N` through a proxy
    for tls in [false, true] {
        let mut bench = Bench::new(never_silent());
        let (a, one) = bench.accepted();
        let b = bench.dial(if tls { TLS } else { OUTSIDE }, tls);
        bench.local(|local| local.link_both(a, b)).expect("both are there");
        one.send(b"request");
        one.shutdown();
        if tls {
            bench.turn_until("the request", |bench| {
                bench.log.borrow().input.iter().any(|(_, data)| data == b"request")
            });
            let server = bench.log.borrow().input[0].0;
            assert_eq!(bench.await_end(server), "PeerClosed");
        } else {
            bench.turns(10);
            let two = bench.sim.accept_peer(&bench.outside).expect("it has connected");
            let mut got = Vec::new();
            bench.turn_until("the end", |_| {
                got.extend(two.recv(usize::MAX));
                two.is_at_end()
            });
            assert_eq!(got, b"request");
            two.send(b"answer");
            two.shutdown();
            let mut got = Vec::new();
            bench.turn_until("the answer", |_| {
                got.extend(one.recv(usize::MAX));
                one.is_at_end()
            });
            assert_eq!(got, b"answer");
        }
        assert_eq!(bench.await_end(a), "PeerClosed");
        assert_eq!(bench.await_end(b), "PeerClosed");
    }
}

#[test]
fn a_source_whose_target_takes_nothing_any_more_is_heard_ending() {
    // S145: its service finds the target half-closed, and the end behind nothing
    let mut bench = Bench::new(never_silent());
    let (a, one) = bench.accepted();
    let (b, two) = bench.accepted();
    bench.link(a, b, LinkOptions::default());
    bench.local(|local| local.conn(b).expect("open").half_close());
    bench.turn_until("our end", |_| two.is_at_end());
    one.shutdown();
    assert_eq!(bench.await_end(a), "PeerClosed");
}

#[test]
fn a_tls_source_whose_target_has_ended_is_heard_ending() {
    // S145: close_notify is an end like any other, before and after the target's
    for before in [true, false] {
        let mut bench = Bench::new(never_silent());
        let (client, a) = bench.tls_pair();
        let (b, two) = bench.accepted_with_window(1);
        bench.link(a, b, LinkOptions::default().water_marks(0, 0));
        let end = |bench: &mut Bench| {
            bench.local(|local| {
                let mut conn = local.conn(client).expect("open");
                if before {
                    conn.write(b"stuck");
                }
                conn.half_close();
            });
            bench.turns(10);
        };
        if before {
            end(&mut bench);
        }
        two.reset();
        bench.await_end(b);
        if !before {
            end(&mut bench);
        }
        assert_eq!(bench.await_end(a), "PeerClosed", "before {before}");
    }
}

#[test]
fn an_orphaned_tls_source_loses_nothing() {
    // S145: what came behind the end of the target is the handler's, once it is resumed
    let mut bench = Bench::new(never_silent());
    let (client, a) = bench.tls_pair();
    let (b, two) = bench.accepted();
    bench.link(a, b, LinkOptions::default());
    two.reset();
    bench.await_end(b);
    bench.local(|local| {
        let mut conn = local.conn(client).expect("open");
        conn.write(&pattern(100_000));
        conn.half_close();
    });
    bench.turns(50);
    assert!(bench.end_of(a).is_none() && bench.input_of(a).is_empty());
    bench.local(|local| local.conn(a).expect("open").resume());
    assert_eq!(bench.await_end(a), "PeerClosed");
    assert!(bench.input_of(a) == pattern(100_000));
}

#[test]
fn a_link_that_is_replaced_by_one_to_the_same_target_loses_nothing() {
    // S142: as when the water marks of a proxy are changed while one side has ended
    let mut bench = Bench::new(never_silent());
    let (a, one) = bench.accepted();
    let (b, two) = bench.accepted();
    bench.local(|local| local.link_both(a, b)).expect("both are there");
    two.shutdown();
    bench.turn_until("the end", |_| one.is_at_end());
    let options = LinkOptions::default().propagate(true).water_marks(0, 1000);
    bench.link(a, b, options);
    let data = pattern(300_000);
    assert!(bench.pump(&one, &data, &two) == data);
    one.shutdown();
    assert_eq!(bench.await_end(a), "PeerClosed");
    assert_eq!(bench.await_end(b), "PeerClosed");
}

#[test]
fn a_connection_whose_side_has_ended_can_be_read_from_and_not_written_to() {
    // S142
    let mut bench = Bench::new(never_silent());
    let (a, one) = bench.accepted();
    let (b, two) = bench.accepted();
    bench.local(|local| local.conn(a).expect("open").half_close());
    let both = bench.local(|local| (local.link_both(a, b), local.unlink(a), local.unlink(b)));
    assert_eq!(both, (Err(LinkError::Gone(a)), false, false), "neither is linked");
    bench.link(a, b, LinkOptions::default());
    assert!(bench.pump(&one, b"heard", &two) == b"heard");
}

#[test]
fn a_ring_of_links_passes_every_byte_and_every_end_on() {
    // S145: an end that was passed on already does not cut what still comes from elsewhere
    let mut bench = Bench::new(never_silent());
    let sides: Vec<_> = (0..3).map(|_| bench.accepted()).collect();
    let options = LinkOptions::default().propagate(true);
    for at in 0..3 {
        bench.link(sides[at].0, sides[(at + 1) % 3].0, options);
    }
    for from in 0..3 {
        let (one, two) = (&sides[from].1, &sides[(from + 1) % 3].1);
        let data = pattern(200_000 + from);
        assert!(bench.pump(one, &data, two) == data, "from {from}");
        one.shutdown();
        bench.turn_until("the end", |_| two.is_at_end());
    }
    for (id, _) in &sides {
        assert_eq!(bench.await_end(*id), "PeerClosed");
    }
}

#[test]
fn what_a_link_queues_stays_below_the_cap() {
    // S69, S143: whatever the water marks are, and whatever else was written
    for queued in [0, 20_000] {
        let mut config = Config::default();
        config.max_queued_bytes = 20_000;
        config.read_size_bytes = 3000;
        let mut bench = Bench::new(config);
        let (a, one) = bench.accepted();
        let (b, two) = bench.accepted_with_window(500);
        bench.local(|local| local.conn(b).expect("open").pause_writes());
        bench.local(|local| local.conn(b).expect("open").write(&pattern(queued)));
        bench.link(a, b, LinkOptions::default());
        let data = pattern(100_000);
        let mut sent = 0;
        for _ in 0..100 {
            sent += one.send(&data[sent..]);
            bench.turn();
        }
        bench.local(|local| local.conn(b).expect("open").resume_writes());
        let mut got = Vec::new();
        bench.turn_until("all of it", |_| {
            sent += one.send(&data[sent..]);
            got.extend(two.recv(usize::MAX));
            got.len() >= data.len() + queued
        });
        assert!(got[..queued] == pattern(queued) && got[queued..] == data);
    }
}

#[test]
fn a_large_read_size_of_one_is_not_that_of_others() {
    // S45, S54
    let mut config = Config::default();
    config.read_size_bytes = 1000;
    let mut bench = Bench::new(config);
    let (a, one) = bench.accepted();
    let (b, two) = bench.accepted();
    bench.local(|local| local.conn(a).expect("open").read_size(50_000));
    let data = pattern(40_000);
    one.send(&data);
    bench.turn_until("all of it", |bench| bench.input_of(a).len() == data.len());
    two.send(&data);
    bench.turn_until("all of it", |bench| bench.input_of(b).len() == data.len());
    let log = bench.log.borrow();
    let longest =
        |id| log.input.iter().filter(|(of, _)| *of == id).map(|(_, data)| data.len()).max();
    assert_eq!(longest(a), Some(40_000));
    assert_eq!(longest(b), Some(1000));
}

#[test]
fn the_end_of_our_side_has_the_whole_send_timeout() {
    // S92: close_notify has only now begun to wait, however long nothing was sent before
    let mut config = never_silent();
    config.send_timeout = Some(Duration::from_secs(10));
    let mut bench = Bench::new(config);
    let (client, server) = bench.tls_pair();
    bench.turns(10);
    bench.sim.advance(Duration::from_secs(60));
    bench.turns(2);
    bench.sim.set_faults(Faults::none().with(Fault::WriteBlocked, 1.0));
    bench.local(|local| local.conn(client).expect("open").half_close());
    bench.turns(50);
    assert_eq!(bench.end_of(client), None);
    bench.sim.set_faults(Faults::none());
    assert_eq!(bench.await_end(server), "PeerClosed");
}

#[test]
fn a_send_timeout_of_its_own_that_passed_with_nothing_queued_is_over() {
    // S89, S92: there was nothing to wait for, and what is written later has only begun to
    let mut bench = Bench::new(never_silent());
    let (a, _one) = bench.accepted();
    let second = Duration::from_secs(1);
    bench.local(|local| {
        local.conn(a).expect("open").set_write_timeout(Wait::After(second));
    });
    bench.turns(2);
    bench.sim.advance(10 * second);
    bench.turns(2);
    bench.sim.set_faults(Faults::none().with(Fault::WriteBlocked, 1.0));
    bench.local(|local| local.conn(a).expect("open").write(b"late"));
    bench.turns(50);
    assert_eq!(bench.end_of(a), None);
    bench.sim.advance(200 * second);
    assert_eq!(bench.await_end(a), "NotDraining");
}

#[test]
fn a_read_timeout_of_its_own_that_passed_while_nothing_was_read_is_over() {
    // S84, S103: it begins anew when the connection is read again
    for way in 0..4 {
        let mut config = Config::default();
        config.read_timeout = Some(Duration::from_secs(60));
        let mut bench = Bench::new(config);
        let (a, one) = bench.accepted();
        let (b, _two) = bench.accepted_with_window(10);
        let second = Duration::from_secs(1);
        if way == 0 {
            bench.link(a, b, LinkOptions::default().water_marks(0, 0));
        }
        bench.local(|local| {
            let mut conn = local.conn(a).expect("open");
            match way {
                1 => conn.set_credit(Some(Credit::Chunks(1))),
                2 => conn.limit(NonZeroU64::new(10)),
                3 => conn.pause(),
                _ => {}
            }
        });
        one.send(&pattern(100));
        bench.turns(20);
        bench.local(|local| {
            local.conn(a).expect("open").set_read_timeout(Wait::After(second));
        });
        bench.turns(2);
        bench.sim.advance(20 * second);
        bench.turns(2);
        assert_eq!(bench.end_of(a), None, "way {way}");
        bench.local(|local| {
            match way {
                0 => drop(local.unlink(a)),
                1 => local.conn(a).expect("open").grant(Credit::Chunks(1)),
                3 => local.conn(a).expect("open").resume(),
                _ => {}
            };
        });
        bench.turns(20);
        assert_eq!(bench.end_of(a), None, "way {way}");
        bench.sim.advance(61 * second);
        assert_eq!(bench.await_end(a), "Silent", "way {way}");
    }
}

#[test]
fn what_is_discarded_is_not_read_byte_by_byte() {
    // S54, O8: the read size is that of a chunk for the handler, and there is none any more
    let mut bench = Bench::new(Config::default());
    let (a, one) = bench.accepted();
    bench.local(|local| {
        let mut conn = local.conn(a).expect("open");
        conn.read_size(1);
        conn.pause();
    });
    one.send(&pattern(50_000));
    bench.turns(10);
    bench.local(|local| local.conn(a).expect("open").close());
    bench.turns(10);
    assert_eq!(bench.reactor.counters().bytes_in, 50_000);
}
