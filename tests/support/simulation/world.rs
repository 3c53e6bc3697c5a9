//! One world: its turns, what begins in each, and what must hold after each.
//!
//! Never: judges a callback; the history does.

use super::balancer;
use super::history::{Door, History, Shared};
use super::place::{Gatekeeper, Kind, Place, config, contexts};
use super::script::{Role, Script};
use super::{DRAWN, Plan, Report, deeds};
use fastrand::Rng;
use shardpoll_reactor::tls::ServerContext;
use shardpoll_reactor::{
    Faults, ListenerId, ListenerOptions, PanicPolicy, Place as ShardPlace, Reactor, Sim, SimFd,
    Tick, Turn, WhenFull,
};
use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

/// Turns in which a world may begin something new.
const TURNS: u32 = 150;

/// Turns after which a world that was told to end has hung.
const MOST_TURNS: u32 = 100_000;

/// Turns in a row in which nothing at all may happen: more is a spin.
const IDLE_TURNS: u32 = 20;

/// Peers that come to the listeners.
const PEERS: usize = 12;

struct World {
    sim: Sim,
    reactor: Reactor<Sim>,
    shared: Shared,
    place: Rc<Place>,
    outside: SimFd,
    silent: SimFd,
    half_upgraded: SimFd,
    scripts: Vec<Script>,
    /// Peers that are yet to come.
    coming: usize,
    /// What has moved, at the last turn, and how long it has been so.
    moved: (Tick, u64, u64),
    idle: u32,
    /// Turns until a quit is withdrawn; 0: nobody has asked for one.
    withdraws: u32,
}

/// Plays one world to its end, unless the loop panics.
pub fn play_out(plan: &Plan) -> Result<Report, String> {
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
        let (server, client) = contexts();
        let place = Rc::new(Place {
            plain: at(1),
            tls: at(2),
            outside: at(3),
            silent: at(5),
            relayed: at(6),
            upgraded: at(7),
            half_upgraded: at(8),
            proxied: at(9),
            proxied_tls: at(10),
            nowhere: at(4),
            with_tls: plan.with_tls,
            server,
            client,
        });
        let shared = Rc::new(RefCell::new(history));
        let reactor = Reactor::new(sim.clone(), ShardPlace::FIRST, config).expect("a good one");
        let outside = sim.listen(place.outside, 4).expect("nobody is there yet");
        let silent = sim.listen(place.silent, 4).expect("nobody is there yet");
        let half_upgraded = sim.listen(place.half_upgraded, 4).expect("nobody is there yet");
        let mut world = Self {
            sim,
            reactor,
            shared,
            place: Rc::clone(&place),
            outside,
            silent,
            half_upgraded,
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
        self.listen(place.plain, None, Kind::Serve);
        self.listen(place.relayed, None, Kind::Relay);
        self.listen(place.proxied, None, Kind::Proxied);
        if place.with_tls {
            self.listen(place.tls, Some(place.server.clone()), Kind::Serve);
            self.listen(place.upgraded, None, Kind::Upgrade);
            self.listen(place.proxied_tls, Some(place.server.clone()), Kind::Proxied);
        }
    }

    fn listen(&mut self, addr: SocketAddr, tls: Option<ServerContext>, kind: Kind) {
        let number = {
            let mut history = self.shared.borrow_mut();
            history.doors.push(Door::default());
            history.doors.len() - 1
        };
        let (shared, place) = (Rc::clone(&self.shared), Rc::clone(&self.place));
        let gate = Gatekeeper { shared, place, number, kind, sim: self.sim.clone() };
        let id = ListenerId::new(u32::try_from(number).expect("few listeners"));
        let mut options = ListenerOptions::default();
        options.tls = tls;
        options.proxy = (kind == Kind::Proxied).then(|| balancer::protocol(&self.shared));
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
            let relayed = self.rng(|rng| rng.u32(0..4)) == 0;
            let upgrades = self.place.with_tls && self.rng(|rng| rng.u32(0..4)) == 0;
            let proxied = self.rng(|rng| rng.u32(0..4)) == 0;
            let (to, role) = match (to_tls, relayed) {
                _ if proxied => (self.place.proxied, Role::Balancer),
                (true, _) => (self.place.tls, Role::Stranger),
                (_, true) => (self.place.relayed, Role::Speaker),
                _ if upgrades => (self.place.upgraded, Role::Client),
                _ => (self.place.plain, Role::Speaker),
            };
            let peer = self.sim.peer_with_window(to, window);
            self.scripts.push(Script::new(&self.shared, peer, role));
        }
        if let Some(peer) = self.sim.accept_peer(&self.outside) {
            self.scripts.push(Script::new(&self.shared, peer, Role::Speaker));
        }
        if let Some(peer) = self.sim.accept_peer(&self.silent) {
            self.scripts.push(Script::new(&self.shared, peer, Role::Listener));
        }
        if let Some(peer) = self.sim.accept_peer(&self.half_upgraded) {
            self.scripts.push(Script::new(&self.shared, peer, Role::Server));
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
        // Three are the listeners of the peers.
        let (open, owned) = (self.sim.open_descriptors() - 3, self.reactor.descriptors());
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
            ..Report::default()
        })
    }
}
