//! A loop in a simulated world, in the hands of a test: peers, and a clock that is told to move.
//!
//! Never: uses a socket, a thread, or a real clock; is compiled without the feature `sim`.

use super::Reactor;
use crate::api::{Addr, Config, ConfigError, Handler, Local, Peer};
use crate::id::{ListenerId, Place};
use crate::listener::ListenerOptions;
use crate::sys::{Faults, Sim, SimPeer};
use shardpoll_timers::Tick;
use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt;
use std::rc::Rc;
use std::time::Duration;

/// Where [`Simulation::connect`] connects to.
const HERE: ([u8; 4], u16) = ([10, 0, 0, 9], 1);

/// How many peers may wait to be accepted.
const BACKLOG: usize = 1024;

/// The longest that [`Simulation::settle`] lets time pass.
const SETTLED: Duration = Duration::from_secs(1);

/// More turns in which no time passes are a circle that callbacks have closed.
const MOST_AT_ONCE: u32 = 100_000;

/// Handlers whose peers are on their way, by the peer's address.
type Expected = Rc<RefCell<HashMap<Addr, Box<dyn Handler>>>>;

/// One loop in a simulated world, to test handlers in: connections without sockets, and hours that
/// pass in microseconds.
///
/// The loop is the one that runs on Linux, so a handler is called as it will be called there. A
/// [`SimPeer`] is the other side of a connection; nothing moves but in [`settle`](Self::settle) and
/// [`run_for`](Self::run_for). Every run with the same seed and the same calls is the same.
///
/// ```
/// use shardpoll_reactor::{CloseReason, Config, Conn, Simulation, incoming};
/// use std::time::Duration;
///
/// let mut config = Config::default();
/// config.read_timeout = Some(Duration::from_secs(60));
/// let mut world = Simulation::new(config)?;
///
/// let peer = world.connect(incoming(|conn: &mut Conn<'_>, data| {
///     conn.write(data);
/// }));
/// peer.send(b"hello");
/// world.settle();
/// assert_eq!(peer.recv_all(), b"hello");
///
/// world.run_for(Duration::from_secs(59));
/// assert!(!peer.is_at_end());
/// world.run_for(Duration::from_secs(2));
/// assert!(peer.is_at_end(), "it was silent for a minute");
/// # Ok::<(), shardpoll_reactor::ConfigError>(())
/// ```
///
/// # Panics
/// A test in which a callback panics, or callbacks keep the loop busy for ever, has failed, so all
/// that moves the world panics then; [`tolerate_panics`](Self::tolerate_panics) lets callbacks
/// panic.
pub struct Simulation {
    sim: Sim,
    reactor: Reactor<Sim>,
    expected: Expected,
    tolerates_panics: bool,
    /// Turns since the clock has moved.
    turns_at_once: u32,
}

impl Simulation {
    /// A world in which nothing goes wrong.
    ///
    /// # Errors
    /// [`ConfigError`] when a setting makes no sense; it names the setting.
    pub fn new(config: Config) -> Result<Self, ConfigError> {
        Self::with_faults(0, Faults::none(), config)
    }

    /// A world in which these faults happen, when and where the seed decides.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn with_faults(seed: u64, faults: Faults, config: Config) -> Result<Self, ConfigError> {
        let sim = Sim::new(seed, Faults::none());
        let mut reactor = Reactor::new(sim.clone(), Place::FIRST, config)?;
        let expected = Expected::default();
        let fd = sim.listen(HERE.into(), BACKLOG).expect("nobody else is in a new world");
        let known = Rc::clone(&expected);
        let accept = move |peer: &Peer| -> Box<dyn Handler> {
            let handler = known.borrow_mut().remove(&peer.addr);
            handler.expect("only `connect` knows the address")
        };
        let options = ListenerOptions::default();
        let added =
            reactor.add_listener(ListenerId::new(u32::MAX - 1), fd, options, Box::new(accept));
        added.expect("without faults every descriptor can be watched");
        sim.set_faults(faults);
        Ok(Self { sim, reactor, expected, tolerates_panics: false, turns_at_once: 0 })
    }

    /// A peer connects, and this handler has its connection; [`settle`](Self::settle)s, so that
    /// without faults `on_connect` has been called.
    ///
    /// # Panics
    /// When a callback has panicked.
    pub fn connect(&mut self, handler: impl Handler) -> SimPeer {
        let peer = self.sim.peer(HERE.into());
        self.expected.borrow_mut().insert(Addr::Ip(peer.addr()), Box::new(handler));
        self.settle();
        peer
    }

    /// Lets all that is on its way arrive, and be served; one second passes at the most, in a world
    /// without faults but a few milliseconds.
    ///
    /// # Panics
    /// When a callback has panicked.
    pub fn settle(&mut self) {
        let until = self.sim.time().saturating_add(SETTLED);
        loop {
            match self.sim.next_event() {
                Some(at) if at <= until => self.turn(at.saturating_since(self.sim.time())),
                _ if self.reactor.has_work() => self.turn(Duration::ZERO),
                _ => return,
            }
            if self.sim.time() > until {
                return;
            }
        }
    }

    /// Lets this much time pass, and all happen that happens meanwhile.
    ///
    /// # Panics
    /// When a callback has panicked, or callbacks keep the loop busy for ever.
    pub fn run_for(&mut self, time: Duration) {
        let until = self.sim.time().saturating_add(time);
        while self.sim.time() < until {
            self.turn(until.saturating_since(self.sim.time()));
        }
    }

    fn turn(&mut self, wait: Duration) {
        let before = self.sim.time();
        let turn = self.reactor.turn(Some(wait));
        turn.expect("a simulated poller fails only when told to wait for ever");
        self.turns_at_once = if self.sim.time() == before { self.turns_at_once + 1 } else { 0 };
        assert!(self.turns_at_once < MOST_AT_ONCE, "callbacks keep the loop busy for ever");
        let panics = self.reactor.counters().panics;
        assert!(self.tolerates_panics || panics == 0, "a callback has panicked: see above");
    }

    /// Panics of callbacks are what the test is about: they end, or do not end, connections.
    pub fn tolerate_panics(&mut self) {
        self.tolerates_panics = true;
    }

    /// Runs `f` on the loop, between two turns: opens connections, adds timers, reaches handlers.
    ///
    /// # Panics
    /// When `f` panics.
    pub fn local<R>(&mut self, f: impl FnOnce(&mut Local<'_>) -> R) -> R {
        self.reactor.local(f).expect("the task has panicked: see above")
    }

    /// The time in this world.
    #[must_use]
    pub fn now(&self) -> Tick {
        self.sim.time()
    }

    /// The network and the kernel: for listeners to connect to, faults, windows and delays.
    #[must_use]
    pub fn sim(&self) -> &Sim {
        &self.sim
    }

    /// The loop: to add listeners, to quit, to look at counters.
    pub fn reactor(&mut self) -> &mut Reactor<Sim> {
        &mut self.reactor
    }
}

impl fmt::Debug for Simulation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Simulation")
            .field("sim", &self.sim)
            .field("reactor", &self.reactor)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::{Conn, Connect, Refused, incoming};
    use std::net::SocketAddr;

    fn echo() -> impl Handler {
        incoming(|conn: &mut Conn<'_>, data| {
            conn.write(data);
        })
    }

    #[test]
    fn each_peer_has_the_handler_it_was_given() {
        let mut world = Simulation::new(Config::default()).expect("good settings");
        let say = |word: &'static [u8]| {
            incoming(move |conn: &mut Conn<'_>, _| {
                conn.write(word);
            })
        };
        let (one, two) = (world.connect(say(b"one")), world.connect(say(b"two")));
        two.send(b"?");
        one.send(b"?");
        world.settle();
        assert_eq!((one.recv(10), two.recv(10)), (b"one".to_vec(), b"two".to_vec()));
    }

    #[test]
    fn time_passes_as_told_and_not_at_all_without() {
        let mut world = Simulation::new(Config::default()).expect("good settings");
        let _peer = world.connect(echo());
        let began = world.now();
        world.settle();
        assert_eq!(world.now(), began, "nothing was on its way");
        world.run_for(Duration::from_secs(3600));
        assert_eq!(world.now(), began.saturating_add(Duration::from_secs(3600)));
    }

    #[test]
    #[should_panic(expected = "a callback has panicked")]
    fn a_callback_that_panics_fails_the_test() {
        let mut world = Simulation::new(Config::default()).expect("good settings");
        let peer = world.connect(incoming(|_, _| panic!("wanted by this test")));
        peer.send(b"x");
        world.settle();
    }

    #[test]
    fn with_faults_every_byte_still_comes_once() {
        let faults = Faults::none()
            .with(crate::sys::Fault::ShortRead, 0.5)
            .with(crate::sys::Fault::ShortWrite, 0.5)
            .with(crate::sys::Fault::ReadBlocked, 0.5);
        let mut world = Simulation::with_faults(3, faults, Config::default()).expect("good");
        let peer = world.connect(echo());
        let data: Vec<u8> = (0..=255).cycle().take(5000).collect();
        peer.send(&data);
        world.run_for(Duration::from_secs(10));
        assert!(peer.recv_all() == data);
        assert!(world.sim().counts().total() > 0);
    }

    #[test]
    fn what_a_handler_connects_to_is_a_peer_too() -> Result<(), Refused> {
        let mut world = Simulation::new(Config::default()).expect("good settings");
        let addr = SocketAddr::from(([10, 0, 0, 1], 5269));
        let far = world.sim().listen(addr, 1).expect("nobody listens there");
        world.local(|local| local.connect(Connect::to(addr), echo()))?;
        world.settle();
        let peer = world.sim().accept_peer(&far).expect("it has connected");
        peer.send(b"hi");
        world.settle();
        assert_eq!(peer.recv(10), b"hi");
        Ok(())
    }
}
