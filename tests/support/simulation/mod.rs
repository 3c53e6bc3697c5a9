//! A seeded world around one loop: handlers, peers and faults, and a judge after every turn.
//!
//! ```text
//!   Plan (seed, TLS, faults) ──► play ──► Report, or the first thing that may not be
//!     actor    the handlers: what they do with their connections
//!     regulate what they ask of the flow of bytes
//!     relay    pairs of connections that are linked
//!     deeds    what they do to others: connections, timers
//!     script   the peers: what they do with theirs
//!     history  what has happened, and whether it may; record: of one side of a connection
//!     search   many worlds, over several threads
//! ```
//!
//! Never: uses a socket, a clock, or a number that the seed does not give.

#![allow(unreachable_pub, reason = "private modules of a harness")]

mod actor;
mod deeds;
mod history;
mod record;
mod regulate;
mod relay;
mod script;
mod search;

pub use search::{Enough, Failure, Outcome, Search, all_cores, fresh_seed, search};

use actor::{Actor, planned_panic};
use fastrand::Rng;
use history::{Door, History, Shared};
use relay::Relay;
use script::{Role, Script};
use shardpoll_reactor::tls::{ClientContext, ServerContext};
use shardpoll_reactor::{
    Accept, Addr, Config, Counts, Fault, Faults, Handler, ListenerId, ListenerOptions, Local,
    PanicPolicy, Peer, Place as ShardPlace, Reactor, Sim, SimFd, Step, Tick, Transitions, Turn,
    WhenFull,
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
const PEERS: usize = 10;

/// What to play.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Decides everything that `faults` leaves open.
    pub seed: u64,
    /// Whether some connections are TLS, whose bytes are not the seed's.
    pub with_tls: bool,
    /// What goes wrong, and how often.
    pub faults: Faults,
}

/// One world of so many has TLS: a handshake costs as much as ten worlds without.
const TLS_ONE_IN: u32 = 8;

impl Plan {
    /// The plan in which the seed chooses everything.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let mut rng = Rng::with_seed(seed ^ 0xFA_017);
        let with_tls = rng.u32(0..TLS_ONE_IN) == 0;
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
    /// Turns of the loops.
    pub turns: u64,
    /// Connections whose both ends, or whose one end, were the loop's: each end counted.
    pub connections: u64,
    /// Calls of handlers.
    pub callbacks: u64,
    /// Bytes that the loops took from the kernel.
    pub bytes_in: u64,
    /// Bytes that the loops gave to the kernel.
    pub bytes_out: u64,
    /// Directions that were checked to be whole, up to an orderly end.
    pub complete: u64,
    /// Of these, over a relay made of links.
    pub relayed: u64,
    /// Panics of handlers, all planned.
    pub panics: u64,
    /// Faults of each kind.
    pub faults: Counts,
    /// Changes of stage, of each kind.
    pub transitions: Transitions,
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
        self.relayed += other.relayed;
        self.panics += other.panics;
        self.faults.add(&other.faults);
        self.transitions.add(&other.transitions);
    }
}

/// The changes of stage that there are (the drawing at the head of `conn/stage`); no others.
pub const DRAWN: [(Step, Step); 15] = [
    (Step::Begun, Step::Connecting),
    (Step::Begun, Step::Handshaking),
    (Step::Begun, Step::Open),
    (Step::Connecting, Step::Handshaking),
    (Step::Connecting, Step::Open),
    (Step::Connecting, Step::Closed),
    (Step::Handshaking, Step::Open),
    (Step::Handshaking, Step::Flushing),
    (Step::Handshaking, Step::Closed),
    (Step::Open, Step::Flushing),
    (Step::Open, Step::Closed),
    (Step::Flushing, Step::Lingering),
    (Step::Flushing, Step::Closed),
    (Step::Lingering, Step::Closed),
    (Step::Closed, Step::Freed),
];

/// The addresses of a world.
#[derive(Debug)]
pub struct Place {
    plain: SocketAddr,
    tls: SocketAddr,
    /// Where peers listen, not the loop.
    outside: SocketAddr,
    /// Where a peer listens that never answers.
    silent: SocketAddr,
    /// Where relays accept; they connect to the outside.
    relayed: SocketAddr,
    nowhere: SocketAddr,
    with_tls: bool,
}

/// What a sender has at a place of its stream, up to some length: a stranger's byte shows, and soon
/// after one that was lost. The first eight bytes name the sender.
fn stream(sender: u64, at: u64) -> &'static [u8] {
    static NOISE: OnceLock<Vec<u8>> = OnceLock::new();
    let noise = NOISE.get_or_init(|| {
        let mut rng = Rng::with_seed(0);
        (0..NOISE_BYTES).map(|_| rng.u8(..)).collect()
    });
    let from = sender.wrapping_mul(0x9E37_79B9).wrapping_add(at) % NOISE_BYTES;
    &noise[usize::try_from(from).expect("below the length")..]
}

/// A prime, so that no two places of a stream are alike for long.
const NOISE_BYTES: u64 = 65_521;

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

/// Decides on the connections of a listener.
struct Gatekeeper {
    shared: Shared,
    place: Rc<Place>,
    number: usize,
    relays: bool,
    sim: Sim,
}

impl Accept for Gatekeeper {
    fn accept(&mut self, peer: &Peer) -> Box<dyn Handler> {
        let Addr::Ip(addr) = peer.addr else { panic!("the simulation has internet addresses") };
        {
            let mut history = self.shared.borrow_mut();
            history.note(u64::from(addr.port()));
            history.accept(self.number, self.sim.time());
        }
        if self.shared.borrow_mut().rng.u32(0..200) == 0 {
            planned_panic(&self.shared);
        }
        if self.relays {
            return Box::new(Relay::front(&self.shared, &self.place));
        }
        Box::new(Actor::new(&self.shared, &self.place))
    }

    fn on_close(&mut self, _: &mut Local<'_>) {
        self.shared.borrow_mut().close_door(self.number);
    }
}

struct World {
    sim: Sim,
    reactor: Reactor<Sim>,
    shared: Shared,
    place: Rc<Place>,
    outside: SimFd,
    silent: SimFd,
    scripts: Vec<Script>,
    /// Peers that are yet to come.
    coming: usize,
    /// What has moved, at the last turn, and how long it has been so.
    moved: (Tick, u64, u64),
    idle: u32,
    /// Turns until a quit is withdrawn; 0: nobody has asked for one.
    withdraws: u32,
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
        world.withdraw_quit();
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
    config.max_shard_queued_bytes = rng.usize(60_000..300_000);
    config.high_water_bytes = rng.usize(0..30_000);
    config.low_water_bytes = rng.usize(0..=config.high_water_bytes);
    config.when_full = [WhenFull::Cut, WhenFull::Refuse, WhenFull::PausePeer][rng.usize(0..3)];
    config.panic_policy = [PanicPolicy::Close, PanicPolicy::Continue][rng.usize(0..2)];
    config
}

impl World {
    fn new(plan: &Plan) -> Self {
        let sim = Sim::new(plan.seed, Faults::none());
        let mut history = History::new(plan.seed);
        let config = config(&mut history.rng);
        history.read_timeout = config.read_timeout.unwrap_or(Duration::MAX);
        history.low_water = config.low_water_bytes;
        history.pauses_peers = config.when_full == WhenFull::PausePeer;
        history.goes_on = config.panic_policy == PanicPolicy::Continue;
        if history.rng.u32(0..3) == 0 {
            sim.set_window(history.rng.usize(100..5000));
        }
        let at = |port| SocketAddr::from(([10, 9, 9, 9], port));
        let place = Rc::new(Place {
            plain: at(1),
            tls: at(2),
            outside: at(3),
            silent: at(5),
            relayed: at(6),
            nowhere: at(4),
            with_tls: plan.with_tls,
        });
        let shared = Rc::new(RefCell::new(history));
        let reactor = Reactor::new(sim.clone(), ShardPlace::FIRST, config).expect("a good one");
        let outside = sim.listen(place.outside, 4).expect("nobody is there yet");
        let silent = sim.listen(place.silent, 4).expect("nobody is there yet");
        let mut world = Self {
            sim,
            reactor,
            shared,
            place: Rc::clone(&place),
            outside,
            silent,
            scripts: Vec::new(),
            coming: PEERS,
            moved: (Tick::ZERO, 0, 0),
            idle: 0,
            withdraws: 0,
        };
        world.listen_everywhere();
        world.sim.set_faults(plan.faults.clone());
        world
    }

    /// Listens at the addresses of the loop.
    fn listen_everywhere(&mut self) {
        let place = Rc::clone(&self.place);
        self.listen(place.plain, None, false);
        self.listen(place.relayed, None, true);
        if place.with_tls {
            self.listen(place.tls, Some(certificate().0.clone()), false);
        }
    }

    fn listen(&mut self, addr: SocketAddr, tls: Option<ServerContext>, relays: bool) {
        let number = {
            let mut history = self.shared.borrow_mut();
            history.doors.push(Door::default());
            history.doors.len() - 1
        };
        let (shared, place) = (Rc::clone(&self.shared), Rc::clone(&self.place));
        let gate = Gatekeeper { shared, place, number, relays, sim: self.sim.clone() };
        let id = ListenerId::new(u32::try_from(number).expect("few listeners"));
        let mut options = ListenerOptions::default();
        options.tls = tls;
        let fd = self.sim.listen(addr, 3);
        let added = fd.and_then(|fd| self.reactor.add_listener(id, fd, options, Box::new(gate)));
        if added.is_err() {
            // No descriptor, or no room to watch it: there never was one.
            self.shared.borrow_mut().doors[number].closed = true;
        }
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
            let relayed = !to_tls && self.rng(|rng| rng.u32(0..4)) == 0;
            let to = match (to_tls, relayed) {
                (true, _) => self.place.tls,
                (_, true) => self.place.relayed,
                _ => self.place.plain,
            };
            let role = if to_tls { Role::Stranger } else { Role::Speaker };
            let peer = self.sim.peer_with_window(to, window);
            self.scripts.push(Script::new(&self.shared, peer, role));
        }
        if let Some(peer) = self.sim.accept_peer(&self.outside) {
            self.scripts.push(Script::new(&self.shared, peer, Role::Speaker));
        }
        if let Some(peer) = self.sim.accept_peer(&self.silent) {
            self.scripts.push(Script::new(&self.shared, peer, Role::Listener));
        }
        let (shared, place) = (&self.shared, &self.place);
        match shared.borrow_mut().rng.u32(0..300) {
            0..6 => self.sim.set_descriptor_limit(self.sim.open_descriptors()),
            6..20 => self.sim.set_descriptor_limit(usize::MAX),
            _ => {}
        }
        match self.rng(|rng| rng.u32(0..300)) {
            0..20 => {
                self.reactor.local(|local| deeds::dial(shared, place, local));
            }
            20..30 => {
                if let Some(id) = deeds::any_id(shared) {
                    self.reactor.local(|local| deeds::poke(shared, local, id, 30));
                }
            }
            30..34 => {
                self.reactor.local(|local| deeds::pause_listener(shared, local));
            }
            34..36 => {
                let door = self.rng(|rng| rng.usize(0..8));
                self.close_listener(door);
            }
            36 if self.rng(|rng| rng.u32(0..4)) == 0 => {
                shared.borrow_mut().close_all();
                self.reactor.local(|local| local.close_all());
            }
            37 if self.rng(|rng| rng.u32(0..4)) == 0 => self.quit_in_vain(),
            _ => {}
        }
    }

    fn close_listener(&mut self, door: usize) {
        if let Some(door) = self.shared.borrow_mut().doors.get_mut(door) {
            door.closing = true;
        }
        let id = ListenerId::new(u32::try_from(door).expect("few listeners"));
        self.reactor.close_listener(id);
    }

    /// A quit that is withdrawn: what was closed stays closed.
    fn quit_in_vain(&mut self) {
        self.shared.borrow_mut().close_all();
        self.reactor.quit(Duration::from_millis(self.rng(|rng| rng.u64(0..3000))));
        self.withdraws = self.rng(|rng| rng.u32(2..10));
    }

    fn withdraw_quit(&mut self) {
        if self.withdraws > 0 {
            self.withdraws -= 1;
            if self.withdraws == 0 {
                self.reactor.cancel_quit();
                self.listen_everywhere();
            }
        }
    }

    fn step_scripts(&mut self) {
        let shared = &self.shared;
        let now = self.sim.time();
        self.scripts.retain_mut(|script| script.step(shared, now));
    }

    /// One turn, and what must hold after it.
    fn turn(&mut self, most: Duration) -> Result<Turn, String> {
        self.shared.borrow_mut().turn += 1;
        let turn = self.reactor.turn(Some(most)).map_err(|error| format!("turn: {error}"))?;
        self.reactor.check()?;
        self.reactor.check_edges()?;
        // Two are the listeners of the peers.
        let (open, owned) = (self.sim.open_descriptors() - 2, self.reactor.descriptors());
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
        {
            let mut history = self.shared.borrow_mut();
            history.calm = true;
            history.close_all();
        }
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
        let transitions = self.reactor.transitions();
        // Timers of users outlive the connections; they go with the loop.
        drop(self.reactor);
        if let Some((from, to, _)) = transitions.iter().find(|&(f, t, _)| !DRAWN.contains(&(f, t)))
        {
            return Err(format!("a connection went from {from:?} to {to:?}: there is no such way"));
        }
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
            relayed: history.relayed(),
            panics: counters.panics,
            faults: self.sim.counts(),
            transitions,
        })
    }
}
