//! Worlds in which everything is linked to everything, and callbacks do their worst: after every
//! turn the loop is looked at from inside.
//!
//! Never: looks at the bytes, which go wherever a link leads.

mod knot;

use fastrand::Rng;
use knot::{Knot, Shared, World, act, any, dial};
use shardpoll_reactor::{
    Config, Fault, Faults, Handler, ListenerId, ListenerOptions, PanicPolicy, Place, Reactor, Sim,
    SimPeer, Turn, WhenFull,
};
use shardpoll_tests::server_context;
use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

/// Turns in which something new may begin.
const TURNS: u32 = 120;

const PLAIN: u16 = 1;
const TLS: u16 = 2;

fn at(port: u16) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, 9], port))
}

fn config(rng: &mut Rng) -> Config {
    let mut config = Config::default();
    config.read_timeout = Some(Duration::from_millis(rng.u64(500..3000)));
    config.send_timeout = Some(Duration::from_millis(rng.u64(500..3000)));
    config.handshake_timeout = Duration::from_millis(rng.u64(500..3000));
    config.connect_timeout = Duration::from_millis(rng.u64(300..1000));
    config.read_size_bytes = [300, 4096][rng.usize(0..2)];
    config.max_queued_bytes = rng.usize(5000..100_000);
    config.max_shard_queued_bytes = [0, 30_000][rng.usize(0..2)];
    config.high_water_bytes = rng.usize(1000..5000);
    config.low_water_bytes = rng.usize(0..1000);
    config.when_full = [WhenFull::Cut, WhenFull::Refuse, WhenFull::PausePeer][rng.usize(0..3)];
    config.panic_policy = [PanicPolicy::Close, PanicPolicy::Continue][rng.usize(0..2)];
    config
}

struct Tangle {
    sim: Sim,
    reactor: Reactor<Sim>,
    world: World,
    peers: Vec<SimPeer>,
    moved: (u64, u64),
    idle: u32,
}

impl Tangle {
    fn new(seed: u64) -> Self {
        let mut rng = Rng::with_seed(seed);
        let sim = Sim::new(seed, Faults::none());
        let config = config(&mut rng);
        let mut reactor = Reactor::new(sim.clone(), Place::FIRST, config).expect("a good one");
        if rng.bool() {
            sim.set_window(rng.usize(100..5000));
        }
        let faults = rng.u32(0..3);
        let world = Rc::new(RefCell::new(Shared {
            rng,
            ids: Vec::new(),
            inside: None,
            calm: false,
            dials: 12,
            callbacks: 0,
            wrong: None,
        }));
        for port in [PLAIN, TLS] {
            let own = Rc::clone(&world);
            let accept = move |_: &shardpoll_reactor::Peer| -> Box<dyn Handler> {
                Box::new(Knot::new(&own))
            };
            let mut options = ListenerOptions::default();
            options.tls = (port == TLS).then(server_context);
            let fd = sim.listen(at(port), 64).expect("nobody is there yet");
            let id = ListenerId::new(port.into());
            reactor.add_listener(id, fd, options, Box::new(accept)).expect("no faults");
        }
        sim.set_faults(match faults {
            0 => Faults::none(),
            1 => Faults::uniform(0.01),
            _ => Faults::none().with(Fault::WriteBlocked, 0.3).with(Fault::ShortRead, 0.3),
        });
        Self { sim, reactor, world, peers: Vec::new(), moved: (0, 0), idle: 0 }
    }

    fn rng<R>(&self, f: impl FnOnce(&mut Rng) -> R) -> R {
        f(&mut self.world.borrow_mut().rng)
    }

    fn turn(&mut self) -> Result<Turn, String> {
        let turn = self.reactor.turn(Some(Duration::from_millis(7))).map_err(|e| e.to_string())?;
        self.reactor.check()?;
        self.reactor.check_edges()?;
        let (open, owned) = (self.sim.open_descriptors(), self.reactor.descriptors());
        if open != owned {
            return Err(format!("{open} descriptors are open, {owned} are owned"));
        }
        let counters = self.reactor.counters();
        let world = self.world.borrow();
        if let Some(wrong) = &world.wrong {
            return Err(wrong.clone());
        }
        let work = counters.bytes_in + counters.bytes_out + counters.closed + counters.accepted;
        let work = work + self.sim.counts().total() + world.callbacks;
        let moved = (self.sim.time().as_nanos(), work);
        self.idle = if moved == self.moved { self.idle + 1 } else { 0 };
        self.moved = moved;
        if self.idle > 30 {
            return Err("a spin".into());
        }
        Ok(turn)
    }

    fn begin_something(&mut self) {
        if self.peers.len() < 6 && self.rng(|rng| rng.u32(0..6)) == 0 {
            let window = self.rng(|rng| rng.usize(1..20_000));
            self.peers.push(self.sim.peer_with_window(at(PLAIN), window));
        }
        let world = Rc::clone(&self.world);
        let deed = self.rng(|rng| rng.u32(0..160));
        self.reactor.local(|local| {
            // A loop that seems to spin is left alone, to see whether it does.
            if let Some(id) = any(&world).filter(|_| deed < 38 && self.idle == 0) {
                act(&world, local, id, deed);
            }
            if deed > 140 {
                dial(&world, local);
            }
        });
        for peer in &self.peers {
            match self.world.borrow_mut().rng.u32(0..60) {
                0..20 => drop(peer.send(&[1; 3000])),
                20..40 => drop(peer.recv(2000)),
                40 => peer.shutdown(),
                41 => peer.reset(),
                _ => {}
            }
        }
        if self.rng(|rng| rng.u32(0..60)) == 0 && !self.peers.is_empty() {
            self.peers.remove(0);
        }
    }

    fn play(mut self) -> Result<u64, String> {
        for _ in 0..TURNS {
            self.begin_something();
            self.turn()?;
        }
        let cancelled = self.rng(Rng::bool);
        if cancelled {
            self.reactor.quit(Duration::from_secs(1));
            self.turn()?;
            self.reactor.cancel_quit();
            for _ in 0..20 {
                self.begin_something();
                self.turn()?;
            }
        }
        self.world.borrow_mut().calm = true;
        self.reactor.quit(Duration::from_secs(3));
        for _ in 0..20_000 {
            if self.turn()? == Turn::Drained {
                return Ok(self.world.borrow().callbacks);
            }
            for peer in &self.peers {
                let _some = peer.recv(1000);
            }
        }
        Err("not over by the deadline".into())
    }
}

#[test]
fn whatever_is_linked_to_whatever_the_loop_stays_sound() {
    // S142 to S145, S69, S102
    let seeds = std::env::var("TANGLE_SEEDS").ok().and_then(|text| text.parse().ok());
    let first = std::env::var("TANGLE_SEED").ok().and_then(|text| text.parse().ok());
    let (first, count) =
        (first.unwrap_or(0), seeds.unwrap_or_else(|| if first.is_some() { 1 } else { 60 }));
    let mut callbacks = 0;
    for seed in first..first + count {
        match Tangle::new(seed).play() {
            Ok(calls) => callbacks += calls,
            Err(wrong) => panic!("TANGLE_SEED={seed}: {wrong}"),
        }
    }
    assert!(count < 10 || callbacks > 100 * count, "{callbacks} callbacks: nothing has happened");
}
