//! Links and half-closes in a simulated world, turn by turn: what a hunt has found.
//!
//! Never: lets a turn go by without a look at the loop from inside.

mod ends;
mod flow;
mod splice;

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
