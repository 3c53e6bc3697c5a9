//! The shards, the peers, the orders, and what must hold after each turn.
//!
//! Never: lets time pass while a shard has something to do.

use super::actor::{Actor, OWN, Stage, outside};
use super::history::History;
use super::ledger::TURNS;
use super::peer::Far;
use crate::simulation::Report;
use fastrand::Rng;
use shardpoll::sim::{Fault, Faults, SimEngine};
use shardpoll::{Addr, Config, DrainPlan, EngineState, ListenerId, Peer, Tick};
use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

/// The longest that time passes between two moves.
const STEP: Duration = Duration::from_millis(5);

/// By so much a loop may be late: what arrives together is one batch.
const LATE: Duration = Duration::from_millis(1);

/// How long what peers and shards send is on its way, at least and at most.
const LATENCY: (Duration, Duration) = (Duration::from_micros(100), Duration::from_millis(1));

/// How many come at once, at the most, when a shard ceases to accept.
const CROWD: usize = 12;

struct World {
    engine: SimEngine,
    stage: Stage,
    rng: Rng,
    peers: Vec<Far>,
    listeners: Vec<ListenerId>,
    turns: u64,
    /// A drain or a quit is being withdrawn; until all shards know, nobody gives an order.
    withdraws: bool,
    /// When the shard that was told last to drain by itself ceases to accept.
    accepts_until: Option<Tick>,
}

pub fn play_out(seed: u64, most_shards: usize) -> Result<Report, String> {
    let mut rng = Rng::with_seed(seed ^ 0x5AAD);
    let shards = rng.usize(2..=most_shards.max(2));
    let faults = match rng.u32(0..4) {
        0 => Faults::uniform(0.01),
        1 => Faults::uniform(0.03),
        _ => Faults::none(),
    };
    // Under a clock that jumps there is no saying what is in time.
    let faults = faults.with(Fault::ClockStep, 0.0);
    let mut config = Config::default();
    config.read_timeout = Some(Duration::from_secs(20));
    let engine = SimEngine::with_faults(shards, seed, faults, config);
    let engine = engine.map_err(|error| error.to_string())?;
    engine.sim().set_latency(LATENCY.0, LATENCY.1);
    let at = SocketAddr::from(([10, 0, 0, 1], 5222));
    let history = Rc::new(RefCell::new(History::new(seed, shards)));
    let stage = Stage { history, remote: engine.remote(), at };
    let (peers, listeners) = (Vec::new(), Vec::new());
    let mut world = World {
        engine,
        stage,
        rng,
        peers,
        listeners,
        turns: 0,
        withdraws: false,
        accepts_until: None,
    };
    world.listen();
    for _ in 0..world.rng.u32(300..1200) {
        world.act();
        world.advance(STEP)?;
        if world.engine.is_over() {
            break;
        }
    }
    world.end()
}

impl World {
    fn listen(&mut self) {
        let stage = self.stage.clone();
        let accept = move |peer: &Peer| {
            let actor = Actor::new(&stage);
            if let Addr::Ip(addr) = peer.addr {
                stage.history.borrow_mut().by_peer.insert(addr, actor.number());
            }
            actor
        };
        // Shards that refuse already refuse this, too; and a fault may.
        if let Ok(id) = self.engine.listen(self.stage.at, accept) {
            self.listeners.push(id);
        }
    }

    /// What the world outside does next.
    fn act(&mut self) {
        let now = self.engine.now();
        self.stage.history.borrow_mut().now = now;
        if let Some(end) = self.accepts_until.take_if(|end| *end <= now.saturating_add(STEP)) {
            self.crowd(end.saturating_since(now));
        }
        let any = self.rng.usize(0..self.peers.len().max(1));
        match self.rng.u32(0..1000) {
            0..120 if self.peers.len() < 60 => {
                self.peers.push(Far::new(self.engine.sim().peer(self.stage.at)));
            }
            120..400 => {
                let frames = self.rng.u32(1..6);
                if let Some(far) = self.peers.get_mut(any) {
                    far.say(frames);
                }
            }
            400..430 => {
                if let Some(far) = self.peers.get(any) {
                    if self.rng.bool() { far.peer.shutdown() } else { far.peer.reset() }
                }
            }
            430..600 => outside(&self.stage),
            600..608 if !self.withdraws => self.stage.order(),
            608..614 if !self.withdraws => self.drain_one(),
            614..618 => self.withdraw(),
            618..624 => {
                let known = self.listeners.len().max(1);
                if let Some(id) = self.listeners.get(self.rng.usize(0..known)) {
                    self.stage.remote.close_listener(*id);
                }
            }
            624..632 => self.listen(),
            _ => {}
        }
    }

    /// More come at the moment when a shard ceases to accept than one turn accepts, so that some
    /// wait at listeners that end.
    fn crowd(&mut self, after: Duration) {
        let sim = self.engine.sim();
        sim.set_latency(after, after);
        for _ in 0..self.rng.usize(0..CROWD) {
            self.peers.push(Far::new(sim.peer(self.stage.at)));
        }
        sim.set_latency(LATENCY.0, LATENCY.1);
    }

    fn drain_one(&mut self) {
        let shard = self.rng.usize(0..self.stage.remote.shards());
        let accept_for = Duration::from_millis(self.rng.u64(0..500));
        let deadline = Duration::from_millis(self.rng.u64(0..2000));
        let until = self.engine.now().saturating_add(accept_for);
        self.accepts_until = Some(until);
        let by = until.saturating_add(deadline);
        self.stage.history.borrow_mut().bound(Some(shard), by);
        let plan = DrainPlan::default().accept_for(accept_for).deadline(deadline);
        self.engine.drain_shard(shard, plan);
    }

    fn withdraw(&mut self) {
        self.withdraws = true;
        let history = &mut *self.stage.history.borrow_mut();
        history.may_order = false;
        history.bounds.fill(None);
        self.stage.remote.cancel_quit();
    }

    /// Some turns of whoever has something to do, or else some time.
    fn advance(&mut self, most: Duration) -> Result<(), String> {
        for _ in 0..self.rng.u32(0..12) {
            let shard = self.turn();
            self.judge(shard)?;
            if shard.is_none() {
                // All have read their orders.
                self.withdraws = false;
                self.stage.history.borrow_mut().may_order = true;
                let until = self.engine.now().saturating_add(most);
                self.engine.pass_until(until);
                self.in_time()?;
                break;
            }
        }
        for far in &mut self.peers {
            far.read()?;
        }
        Ok(())
    }

    fn turn(&mut self) -> Option<usize> {
        // Which one it is, is known only afterwards; a letter asks during the turn.
        let shard = self.engine.next_shard()?;
        TURNS.set(shard);
        self.engine.turn(shard);
        TURNS.set(super::ledger::OUTSIDE);
        self.turns += 1;
        Some(shard)
    }

    fn judge(&self, shard: Option<usize>) -> Result<(), String> {
        if let Some(shard) = shard {
            self.engine.check(shard).map_err(|broken| format!("shard {shard}: {broken}"))?;
            let state = self.stage.remote.state_of(shard);
            self.stage.history.borrow_mut().see(shard, state);
        }
        let history = &mut *self.stage.history.borrow_mut();
        history.violations.extend(history.ledger.violations());
        match history.violations.is_empty() {
            true => Ok(()),
            false => Err(std::mem::take(&mut history.violations).join("\n")),
        }
    }

    /// Whether every shard has ended that should have.
    fn in_time(&self) -> Result<(), String> {
        let now = self.engine.now();
        let history = self.stage.history.borrow();
        for (shard, bound) in history.bounds.iter().enumerate() {
            let late = bound.is_some_and(|by| now > Tick::saturating_add(by, LATE));
            if late && self.stage.remote.state_of(shard) != EngineState::Closed {
                return Err(format!("shard {shard} was to end by {bound:?}, and it is {now:?}"));
            }
        }
        Ok(())
    }

    /// Tells all to end, and compares what they report with what was seen.
    fn end(mut self) -> Result<Report, String> {
        while self.withdraws {
            self.advance(STEP)?;
        }
        let last = Duration::from_secs(2);
        // A shard that reads both orders in one turn is never seen to serve in between.
        while self.withdraws && !self.engine.is_over() {
            self.advance(STEP)?;
        }
        {
            let history = &mut *self.stage.history.borrow_mut();
            history.calm = true;
            history.bound(None, self.engine.now().saturating_add(last));
        }
        self.stage.remote.quit(last);
        let latest = self.engine.now().saturating_add(last * 2);
        while !self.engine.is_over() {
            self.advance(STEP)?;
            if self.engine.now() > latest {
                return Err("the engine does not end".into());
            }
        }
        // What is still on its way to the peers.
        self.engine.run_for(Duration::from_secs(1));
        self.advance(STEP)?;
        let report = self.engine.report().ok_or("no report of shards that have ended in order")?;
        for (shard, report) in report.shards().iter().enumerate() {
            self.stage.history.borrow_mut().compare(shard, *report);
        }
        self.compare_peers();
        let mut sum = Report { turns: self.turns, cut: report.cut(), ..Report::default() };
        for shard in 0..self.stage.remote.shards() {
            let counters = self.engine.counters(shard);
            sum.bytes_in += counters.bytes_in;
            sum.bytes_out += counters.bytes_out;
        }
        sum.faults = self.engine.sim().counts();
        self.peers.clear();
        self.judge(None)?;
        let history = self.stage.history.borrow();
        if let Some(me) = history.lines.iter().position(|line| !line.dropped) {
            return Err(format!("handler {me} is left"));
        }
        let open = self.engine.sim().open_descriptors();
        if open > 0 {
            return Err(format!("{open} descriptors are left"));
        }
        sum.digest = history.digest;
        sum.connections = history.lines.len() as u64;
        sum.callbacks = history.callbacks;
        sum.letters = history.ledger.read();
        sum.complete = history.lines.iter().filter(|line| line.flushed).count() as u64;
        Ok(sum)
    }

    /// Whoever was closed after its output has sent all of it.
    fn compare_peers(&self) {
        let history = &mut *self.stage.history.borrow_mut();
        for far in self.peers.iter().filter(|far| far.peer.is_at_end() && !far.peer.is_reset()) {
            let Some(&me) = history.by_peer.get(&far.peer.addr()) else { continue };
            let (came, line) = (far.reader.count(OWN), &history.lines[me]);
            if line.flushed && came != line.frames {
                let text = format!("line {me}: {came} of {} frames came", line.frames);
                history.violation(text);
            }
        }
    }
}
