//! Worlds in which everything is linked to everything, and callbacks do their worst: after every
//! turn the loop is looked at from inside.

use fastrand::Rng;
use shardpoll_reactor::tls::rustls::pki_types::ServerName;
use shardpoll_reactor::{
    CloseReason, Config, Conn, ConnId, Connect, Credit, Fault, Faults, Handler, LinkOptions,
    ListenerId, ListenerOptions, Local, PanicPolicy, Place, Reactor, Silence, Sim, SimPeer, Status,
    Turn, Wait, WhenFull, Written,
};
use shardpoll_tests::{client_context, server_context};
use std::cell::RefCell;
use std::net::SocketAddr;
use std::num::NonZeroU64;
use std::panic::resume_unwind;
use std::rc::Rc;
use std::time::Duration;

/// Turns in which something new may begin.
const TURNS: u32 = 120;

const PLAIN: u16 = 1;
const TLS: u16 = 2;

fn at(port: u16) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, 9], port))
}

/// What handlers and the judge share.
struct Shared {
    rng: Rng,
    ids: Vec<ConnId>,
    /// What is running now.
    inside: Option<&'static str>,
    /// Nothing new any more.
    calm: bool,
    dials: u32,
    callbacks: u64,
    wrong: Option<String>,
}

type World = Rc<RefCell<Shared>>;

/// One connection; its end comes once and last.
struct Knot {
    world: World,
    over: bool,
}

impl Knot {
    fn boxed(world: &World) -> Box<dyn Handler> {
        Box::new(Self { world: Rc::clone(world), over: false })
    }

    fn roll(&self, end: u32) -> u32 {
        self.world.borrow_mut().rng.u32(0..end)
    }

    /// One callback, and perhaps a deed in it.
    fn call(&mut self, name: &'static str, conn: &mut Conn<'_>, odds: u32) {
        {
            let mut world = self.world.borrow_mut();
            world.callbacks += 1;
            if let Some(other) = world.inside {
                world.wrong = Some(format!("{name} inside {other}"));
            }
            if self.over {
                world.wrong = Some(format!("{name} after the end"));
            }
            world.inside = Some(name);
        }
        if !self.world.borrow().calm && self.roll(odds) == 0 {
            let world = Rc::clone(&self.world);
            let deed = self.roll(40);
            if deed == 39 {
                world.borrow_mut().inside = None;
                resume_unwind(Box::new("planned"));
            }
            let id = conn.id();
            act(&world, &mut conn.local(), id, deed);
        }
        self.world.borrow_mut().inside = None;
    }
}

fn any(world: &World) -> Option<ConnId> {
    let world = &mut *world.borrow_mut();
    let recent = world.ids.len().saturating_sub(12);
    world.rng.choice(&world.ids[recent..]).copied()
}

fn options(world: &World) -> LinkOptions {
    let rng = &mut world.borrow_mut().rng;
    let (low, high) = [(0, 0), (0, 700), (2000, 4000), (64 << 10, 256 << 10)][rng.usize(0..4)];
    let options = LinkOptions::default().water_marks(low, high).propagate(rng.bool());
    if rng.bool() { options.read_size([1, 300, 5000][rng.usize(0..3)]) } else { options }
}

/// Something to a connection, most often to the one whose callback runs.
fn act(world: &World, local: &mut Local<'_>, own: ConnId, deed: u32) {
    let other = any(world).unwrap_or(own);
    let target = if world.borrow_mut().rng.u32(0..3) == 0 { other } else { own };
    let number = world.borrow_mut().rng.u32(0..4000);
    match deed {
        0..5 => drop(local.link_with(target, other, options(world))),
        5..8 => drop(local.link_with(other, own, options(world))),
        8..12 => drop(local.link_both(own, other)),
        12 => drop(local.unlink(target)),
        13 => drop(dial(world, local)),
        14 if number < 40 => local.close_all(),
        _ => {
            if let Some(mut conn) = local.conn(target) {
                deal(world, &mut conn, deed, number);
            }
        }
    }
}

fn deal(world: &World, conn: &mut Conn<'_>, deed: u32, number: u32) {
    let millis = |millis: u32| Duration::from_millis(u64::from(millis));
    match deed {
        15 if number < 1000 => conn.close(),
        16 if number < 1000 => conn.abort(),
        17 => conn.half_close(),
        18 => conn.pause(),
        19 => conn.resume(),
        20 => conn.pause_for(Some(millis(number / 10))),
        21 => conn.pause_for(None),
        22 => conn.limit(NonZeroU64::new(u64::from(number) * 10)),
        23 => conn.set_credit(Some(Credit::Bytes(number as usize))),
        24 => conn.set_credit(Some(Credit::Chunks(number as usize % 3))),
        25 => conn.grant(Credit::Bytes(100)),
        26 => conn.set_credit(None),
        27 => conn.pause_writes(),
        28 | 29 => conn.resume_writes(),
        30 => conn.set_read_timeout(Wait::After(millis(number))),
        31 => conn.set_write_timeout(Wait::After(millis(number))),
        32 => conn.read_size(number as usize),
        33 => conn.set_handler(Relay(Knot::boxed(world))),
        _ => {
            conn.write(&vec![7; number as usize]);
        }
    }
}

fn dial(world: &World, local: &mut Local<'_>) -> Option<ConnId> {
    let kind = {
        let world = &mut *world.borrow_mut();
        if world.dials == 0 || world.calm {
            return None;
        }
        world.dials -= 1;
        world.rng.u32(0..6)
    };
    let to = match kind {
        0..2 => Connect::to(at(PLAIN)),
        2..4 => {
            let name = ServerName::try_from("localhost").expect("a name");
            Connect::to(at(TLS)).tls(client_context(), name)
        }
        4 => Connect::to_any([at(9), at(PLAIN)]).expect("two"),
        _ => Connect::to(at(9)),
    };
    let to = if kind % 2 == 0 { to.when_full(WhenFull::PausePeer) } else { to };
    let id = local.connect(to, Relay(Knot::boxed(world))).ok()?;
    world.borrow_mut().ids.push(id);
    Some(id)
}

/// Hands every callback on, so that one type is enough.
struct Relay(Box<dyn Handler>);

impl Handler for Relay {
    fn on_incoming(&mut self, conn: &mut Conn<'_>, data: &[u8]) {
        self.0.on_incoming(conn, data);
    }
    fn on_connect(&mut self, conn: &mut Conn<'_>) {
        self.0.on_connect(conn);
    }
    fn on_predrain(&mut self, conn: &mut Conn<'_>) {
        self.0.on_predrain(conn);
    }
    fn on_drain(&mut self, conn: &mut Conn<'_>) {
        self.0.on_drain(conn);
    }
    fn on_high_water(&mut self, conn: &mut Conn<'_>) {
        self.0.on_high_water(conn);
    }
    fn on_low_water(&mut self, conn: &mut Conn<'_>) {
        self.0.on_low_water(conn);
    }
    fn on_read_timeout(&mut self, conn: &mut Conn<'_>) -> Silence {
        self.0.on_read_timeout(conn)
    }
    fn on_status(&mut self, conn: &mut Conn<'_>, status: &Status) {
        self.0.on_status(conn, status);
    }
    fn on_starttls(&mut self, conn: &mut Conn<'_>) {
        self.0.on_starttls(conn);
    }
    fn on_attach(&mut self, conn: &mut Conn<'_>) {
        self.0.on_attach(conn);
    }
    fn on_detach(&mut self, conn: &mut Conn<'_>) {
        self.0.on_detach(conn);
    }
    fn on_panic(&mut self, conn: &mut Conn<'_>, message: &str) {
        self.0.on_panic(conn, message);
    }
    fn on_disconnect(&mut self, conn: &mut Conn<'_>, reason: &CloseReason) {
        self.0.on_disconnect(conn, reason);
    }
}

impl Handler for Knot {
    fn on_incoming(&mut self, conn: &mut Conn<'_>, data: &[u8]) {
        if self.roll(3) == 0 && !self.world.borrow().calm {
            conn.write(data);
        }
        self.call("on_incoming", conn, 6);
    }
    fn on_connect(&mut self, conn: &mut Conn<'_>) {
        self.world.borrow_mut().ids.push(conn.id());
        self.call("on_connect", conn, 2);
    }
    fn on_predrain(&mut self, conn: &mut Conn<'_>) {
        self.call("on_predrain", conn, 12);
    }
    fn on_drain(&mut self, conn: &mut Conn<'_>) {
        self.call("on_drain", conn, 12);
    }
    fn on_high_water(&mut self, conn: &mut Conn<'_>) {
        self.call("on_high_water", conn, 3);
    }
    fn on_low_water(&mut self, conn: &mut Conn<'_>) {
        self.call("on_low_water", conn, 3);
    }
    fn on_read_timeout(&mut self, conn: &mut Conn<'_>) -> Silence {
        self.call("on_read_timeout", conn, 3);
        if self.roll(2) == 0 { Silence::Keep } else { Silence::Close }
    }
    fn on_status(&mut self, conn: &mut Conn<'_>, _: &Status) {
        self.call("on_status", conn, 4);
    }
    fn on_starttls(&mut self, conn: &mut Conn<'_>) {
        self.call("on_starttls", conn, 4);
    }
    fn on_attach(&mut self, conn: &mut Conn<'_>) {
        self.call("on_attach", conn, 6);
    }
    fn on_detach(&mut self, conn: &mut Conn<'_>) {
        self.call("on_detach", conn, 6);
    }
    fn on_panic(&mut self, conn: &mut Conn<'_>, _: &str) {
        self.call("on_panic", conn, 6);
    }
    fn on_disconnect(&mut self, conn: &mut Conn<'_>, reason: &CloseReason) {
        self.call("on_disconnect", conn, 4);
        self.over = true;
        if conn.write(b"x") != Written::Closed || matches!(reason, CloseReason::Internal) {
            self.world.borrow_mut().wrong = Some(format!("an end that is none: {reason}"));
        }
    }
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
                Box::new(Relay(Knot::boxed(&own)))
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
        (first.unwrap_or(0), seeds.unwrap_or(if first.is_some() { 1 } else { 60 }));
    let mut callbacks = 0;
    for seed in first..first + count {
        match Tangle::new(seed).play() {
            Ok(calls) => callbacks += calls,
            Err(wrong) => panic!("TANGLE_SEED={seed}: {wrong}"),
        }
    }
    assert!(count < 10 || callbacks > 100 * count, "{callbacks} callbacks: nothing has happened");
}
