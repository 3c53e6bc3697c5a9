//! A seeded world around one loop: handlers, peers and faults, and a judge after every turn.
//!
//! ```text
//!   Plan (seed, TLS, faults) ──► play ──► Report, or the first thing that may not be
//!     actor    the handlers: what they do with their connections
//!     script   the peers: what they do with theirs
//!     history  what has happened, and whether it may
//! ```
//!
//! Never: uses a socket, a clock, or a number that the seed does not give.

#![allow(unreachable_pub, reason = "a module of the tests and of a binary")]

mod actor;
mod history;
mod script;

use actor::Actor;
use fastrand::Rng;
use history::{History, Shared};
use script::Script;
use shardpoll_reactor::tls::{ClientContext, ServerContext};
use shardpoll_reactor::{
    Addr, Config, Counts, Fault, Faults, Handler, ListenerId, ListenerOptions, Peer,
    Place as ShardPlace, Reactor, Sim, SimFd, Tick, Turn,
};
use std::any::Any;
use std::cell::RefCell;
use std::net::SocketAddr;
use std::panic::catch_unwind;
use std::rc::Rc;
use std::sync::OnceLock;
use std::time::Duration;

/// Turns in which a world may begin something new.
const TURNS: u32 = 150;

/// Turns after which a world that was told to end has hung.
const MOST_TURNS: u32 = 100_000;

/// Turns in a row in which nothing at all may happen: more is a spin.
const IDLE_TURNS: u32 = 20;

/// Peers that come to the listeners.
const PEERS: usize = 8;

/// What to play.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Decides everything that `faults` leaves open.
    pub seed: u64,
    /// Whether some connections are TLS, whose bytes are not the seed's.
    pub with_tls: bool,
    pub faults: Faults,
}

impl Plan {
    /// A plan in which the seed also chooses the faults.
    pub fn new(seed: u64, with_tls: bool) -> Self {
        let mut rng = Rng::with_seed(seed ^ 0xFA_017);
        let mut faults = match rng.u32(0..10) {
            0 => Faults::none(),
            1..5 => Faults::uniform(0.01),
            5..7 => Faults::uniform(0.05),
            _ => Faults::none(),
        };
        for _ in 0..rng.u32(0..4) {
            faults = faults.with(Fault::ALL[rng.usize(0..Fault::ALL.len())], 0.3);
        }
        Self { seed, with_tls, faults }
    }
}

/// What a world was like.
#[derive(Clone, Copy, Default, Debug)]
pub struct Report {
    /// Equal for equal histories.
    pub digest: u64,
    pub turns: u64,
    /// Connections whose both ends, or whose one end, were the loop's: each end counted.
    pub connections: u64,
    pub callbacks: u64,
    pub bytes_in: u64,
    pub bytes_out: u64,
    /// Directions that were checked to be whole, up to an orderly end.
    pub complete: u64,
    pub panics: u64,
    pub faults: Counts,
}

impl Report {
    /// Adds another world to a sum.
    pub fn add(&mut self, other: &Self) {
        self.turns += other.turns;
        self.connections += other.connections;
        self.callbacks += other.callbacks;
        self.bytes_in += other.bytes_in;
        self.bytes_out += other.bytes_out;
        self.complete += other.complete;
        self.panics += other.panics;
        self.faults.add(&other.faults);
    }
}

/// The addresses of a world.
pub struct Place {
    plain: SocketAddr,
    tls: SocketAddr,
    /// Where peers listen, not the loop.
    outside: SocketAddr,
    nowhere: SocketAddr,
    with_tls: bool,
}

/// The byte that a sender has at a place of its stream: a stranger's or a lost one shows.
fn pattern(sender: u64, at: u64) -> u8 {
    let mixed = (sender << 32 ^ at).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    mixed.to_be_bytes()[1]
}

/// A server and a client of it; Ed25519, whose signatures have one length.
fn certificate() -> &'static (ServerContext, ClientContext) {
    static MADE: OnceLock<(ServerContext, ClientContext)> = OnceLock::new();
    MADE.get_or_init(|| {
        let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).expect("a known algorithm");
        let params = rcgen::CertificateParams::new(["localhost".to_string()]).expect("a name");
        let cert = params.self_signed(&key).expect("its own key").pem();
        let key = key.serialize_pem();
        let server = ServerContext::from_pem(cert.as_bytes(), key.as_bytes());
        let client = ClientContext::from_roots_pem(cert.as_bytes());
        (server.expect("made a moment ago"), client.expect("made a moment ago"))
    })
}

struct World {
    sim: Sim,
    reactor: Reactor<Sim>,
    shared: Shared,
    place: Rc<Place>,
    outside: SimFd,
    scripts: Vec<Script>,
    /// Peers that are yet to come.
    coming: usize,
    /// What has moved, at the last turn, and how long it has been so.
    moved: (Tick, u64, u64),
    idle: u32,
}

/// Plays one world to its end.
///
/// # Errors
/// The first thing that may not be.
pub fn play(plan: &Plan) -> Result<Report, String> {
    let panicked = |panic: Box<dyn Any + Send>| {
        let text = panic.downcast_ref::<&str>().map(|text| (*text).to_string());
        let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
        Err(format!("the loop has panicked: {}", text.unwrap_or_default()))
    };
    catch_unwind(|| play_out(plan)).unwrap_or_else(panicked)
}

fn play_out(plan: &Plan) -> Result<Report, String> {
    let mut world = World::new(plan);
    for _ in 0..TURNS {
        world.begin_something();
        world.step_scripts();
        let most = world.rng(|rng| rng.u64(1..60));
        world.turn(Duration::from_millis(most))?;
    }
    world.end()
}

fn config(rng: &mut Rng) -> Config {
    let mut config = Config::default();
    config.read_timeout = Some(Duration::from_millis(rng.u64(300..3000)));
    config.send_timeout = Some(Duration::from_millis(rng.u64(300..2000)));
    config.connect_timeout = Duration::from_millis(rng.u64(50..1000));
    config.handshake_timeout = Duration::from_millis(rng.u64(100..1000));
    config.read_size_bytes = [7, 700, 4096, 16_384][rng.usize(0..4)];
    config.max_queued_bytes = rng.usize(20_000..100_000);
    config
}

impl World {
    fn new(plan: &Plan) -> Self {
        let sim = Sim::new(plan.seed, Faults::none());
        let mut history = History::new(plan.seed);
        let config = config(&mut history.rng);
        if history.rng.u32(0..3) == 0 {
            sim.set_window(history.rng.usize(100..5000));
        }
        let at = |port| SocketAddr::from(([10, 9, 9, 9], port));
        let place = Rc::new(Place {
            plain: at(1),
            tls: at(2),
            outside: at(3),
            nowhere: at(4),
            with_tls: plan.with_tls,
        });
        let shared = Rc::new(RefCell::new(history));
        let reactor = Reactor::new(sim.clone(), ShardPlace::FIRST, config).expect("a good one");
        let outside = sim.listen(place.outside, 4).expect("nobody is there yet");
        let mut world = Self {
            sim,
            reactor,
            shared,
            place: Rc::clone(&place),
            outside,
            scripts: Vec::new(),
            coming: PEERS,
            moved: (Tick::ZERO, 0, 0),
            idle: 0,
        };
        world.listen(1, place.plain);
        if plan.with_tls {
            world.listen(2, place.tls);
        }
        world.sim.set_faults(plan.faults.clone());
        world
    }

    fn listen(&mut self, number: u32, addr: SocketAddr) {
        let (shared, place) = (Rc::clone(&self.shared), Rc::clone(&self.place));
        let accept = move |peer: &Peer| -> Box<dyn Handler> {
            let Addr::Ip(addr) = peer.addr else { panic!("the simulation has internet addresses") };
            shared.borrow_mut().note(u64::from(addr.port()));
            Box::new(Actor::new(&shared, &place))
        };
        let fd = self.sim.listen(addr, 3).expect("nobody is there yet");
        let mut options = ListenerOptions::default();
        options.tls = (number == 2).then(|| certificate().0.clone());
        let id = ListenerId::new(number);
        self.reactor.add_listener(id, fd, options, Box::new(accept)).expect("no faults yet");
    }

    fn rng<R>(&self, f: impl FnOnce(&mut Rng) -> R) -> R {
        f(&mut self.shared.borrow_mut().rng)
    }

    /// New peers, and what comes from outside of a turn.
    fn begin_something(&mut self) {
        if self.coming > 0 && self.rng(|rng| rng.u32(0..8)) == 0 {
            self.coming -= 1;
            let to_tls = self.place.with_tls && self.rng(|rng| rng.u32(0..8)) == 0;
            let window = self.rng(|rng| rng.usize(1..20_000));
            let to = if to_tls { self.place.tls } else { self.place.plain };
            let peer = self.sim.peer_with_window(to, window);
            self.scripts.push(Script::new(&self.shared, peer, to_tls));
        }
        if let Some(peer) = self.sim.accept_peer(&self.outside) {
            self.scripts.push(Script::new(&self.shared, peer, false));
        }
        let (shared, place) = (&self.shared, &self.place);
        match shared.borrow_mut().rng.u32(0..300) {
            0..6 => self.sim.set_descriptor_limit(self.sim.open_descriptors()),
            6..20 => self.sim.set_descriptor_limit(usize::MAX),
            _ => {}
        }
        match self.rng(|rng| rng.u32(0..300)) {
            0..20 => {
                self.reactor.local(|local| actor::dial(shared, place, local));
            }
            20 if self.rng(|rng| rng.u32(0..8)) == 0 => {
                shared.borrow_mut().close_all();
                self.reactor.local(|local| local.close_all());
            }
            20..30 => {
                if let Some(id) = actor::any_id(shared) {
                    self.reactor.local(|local| actor::poke(shared, local, id, 30));
                }
            }
            _ => {}
        }
    }

    fn step_scripts(&mut self) {
        let shared = &self.shared;
        self.scripts.retain_mut(|script| script.step(shared));
    }

    /// One turn, and what must hold after it.
    fn turn(&mut self, most: Duration) -> Result<Turn, String> {
        self.shared.borrow_mut().turn += 1;
        let turn = self.reactor.turn(Some(most)).map_err(|error| format!("turn: {error}"))?;
        self.reactor.check()?;
        self.reactor.check_edges()?;
        // One is the listener of the peers.
        let (open, owned) = (self.sim.open_descriptors() - 1, self.reactor.descriptors());
        if open != owned {
            return Err(format!("{open} descriptors are open, {owned} are owned"));
        }
        self.check_history()?;
        self.check_progress()?;
        Ok(turn)
    }

    fn check_history(&self) -> Result<(), String> {
        match self.shared.borrow().violations.first() {
            Some(violation) => Err(violation.clone()),
            None => Ok(()),
        }
    }

    fn check_progress(&mut self) -> Result<(), String> {
        let counters = self.reactor.counters();
        let work = counters.bytes_in + counters.bytes_out + counters.accepted + counters.closed;
        let work = work + self.sim.counts().total();
        let moved = (self.sim.time(), work, self.shared.borrow().digest);
        self.idle = if moved == self.moved { self.idle + 1 } else { 0 };
        self.moved = moved;
        if self.idle > IDLE_TURNS {
            return Err(format!("{IDLE_TURNS} turns in which nothing has happened: a spin"));
        }
        Ok(())
    }

    /// Quits, waits for the end, and judges.
    fn end(mut self) -> Result<Report, String> {
        self.sim.set_descriptor_limit(usize::MAX);
        let time = Duration::from_millis(self.rng(|rng| rng.u64(0..4000)));
        self.shared.borrow_mut().calm = true;
        let deadline = self.sim.time().saturating_add(time);
        self.reactor.quit(time);
        let mut turns = 0;
        while self.turn(Duration::from_millis(20))? == Turn::Live {
            if self.sim.time() > deadline {
                return Err("not over by the deadline of the end".into());
            }
            turns += 1;
            if turns > MOST_TURNS {
                return Err("so many turns after the end, and it is not over".into());
            }
            self.step_scripts();
        }
        self.finish()
    }

    fn finish(mut self) -> Result<Report, String> {
        let counters = self.reactor.counters();
        let (live, owned) = (self.reactor.local(|local| local.live()), self.reactor.descriptors());
        if live != Some(0) || owned != 0 {
            return Err(format!("over, but {live:?} are live and {owned} descriptors are owned"));
        }
        // Timers of users outlive the connections; they go with the loop.
        drop(self.reactor);
        self.scripts.clear();
        let mut history = self.shared.borrow_mut();
        history.judge();
        if counters.panics != history.panics {
            let (counted, planned) = (counters.panics, history.panics);
            history.violation(format!("{counted} panics were counted, not {planned}"));
        }
        if let Some(violation) = history.violations.first() {
            return Err(violation.clone());
        }
        Ok(Report {
            digest: history.digest,
            turns: counters.turns,
            connections: counters.closed,
            callbacks: history.callbacks,
            bytes_in: counters.bytes_in,
            bytes_out: counters.bytes_out,
            complete: history.complete(),
            panics: counters.panics,
            faults: self.sim.counts(),
        })
    }
}
