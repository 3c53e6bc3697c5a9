//! A simulated network with a clock of its own, for tests of handlers (feature `sim`).
//!
//! A [`Simulation`] has a loop, to which [`SimPeer`]s connect
//! without sockets; time passes when it is told to, and what may go wrong goes wrong when the seed
//! says so. A [`SimEngine`] has many, with letters between them.
//! `examples/simulated.rs` tests a read timeout of a minute in microseconds.
//!
//! ```
//! use shardpoll::sim::Simulation;
//! use shardpoll::{Config, Conn, incoming};
//!
//! let mut world = Simulation::new(Config::default())?;
//! let peer = world.connect(incoming(|conn: &mut Conn<'_>, data| {
//!     conn.write(data);
//! }));
//! peer.send(b"hello");
//! world.settle();
//! assert_eq!(peer.recv_all(), b"hello");
//! # Ok::<(), shardpoll::ConfigError>(())
//! ```
//!
//! # How many shards are stepped
//!
//! A step of a [`SimEngine`] is one turn of one worker that has something to do. Time passes only
//! when none has, and no further than to what one of them has to do next, be it a timer, the end of
//! a drain, or a packet; so no turn runs past what another shard had to do before.
//!
//! Never: starts a thread, or lets a worker wait.

use crate::builder::EngineBuilder;
use crate::error::StartError;
use crate::letter::Order;
use crate::pin::Pinning;
use crate::remote::Remote;
use crate::report::DrainReport;
use crate::worker::{Worker, WorkerStart};
pub use shardpoll_reactor::{
    Acceptor, Counts, Fault, Faults, ListenerOptions, Reactor, Sim, SimFd, SimPeer, Simulation,
    Step, Transitions,
};
use shardpoll_reactor::{
    Addr, Config, Counters, DrainPlan, Events, Handler, ListenerId, Local, Peer, Sys, Tick, Turn,
};
use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

/// What arrives within so long is one batch, as for loops that are busy.
const BATCH: Duration = Duration::from_micros(250);

/// The longest that [`SimEngine::settle`] lets time pass.
const SETTLED: Duration = Duration::from_secs(1);

/// More turns in which no time passes are a circle that callbacks have closed.
const MOST_AT_ONCE: u32 = 100_000;

/// How many may wait at each socket of a listener.
const BACKLOG: usize = 1024;

/// An engine in a simulated world: many shards, letters between them, and a clock that is told to
/// move.
///
/// The shards are those that run on Linux: their loops, mailboxes, orders and ends are the same
/// code. What is not here: threads and CPUs, so what two threads do at the same time; and the
/// sockets of the kernel. The seed decides which shard turns next and which one accepts whom, so
/// every run with the same seed and the same calls is the same.
///
/// ```
/// use shardpoll::sim::SimEngine;
/// use shardpoll::{Config, Conn, DrainPlan, Handler};
/// use std::time::Duration;
///
/// struct Line;
///
/// impl Handler for Line {
///     fn on_incoming(&mut self, conn: &mut Conn<'_>, data: &[u8]) {
///         conn.write(data);
///     }
///
///     fn on_drain_begin(&mut self, conn: &mut Conn<'_>) {
///         conn.write(b"bye");
///         conn.close();
///     }
/// }
///
/// let mut world = SimEngine::new(4, 7, Config::default())?;
/// let at = ([10, 0, 0, 1], 7000).into();
/// world.listen(at, |_peer| Line)?;
/// let peers: Vec<_> = (0..10).map(|_| world.sim().peer(at)).collect();
/// world.settle();
///
/// world.remote().drain(DrainPlan::default().accept_for(Duration::from_secs(5)));
/// world.run_for(Duration::from_secs(10));
/// assert!(peers.iter().all(|peer| peer.recv_all() == b"bye"));
/// drop(peers);
/// world.settle();
/// let report = world.report().expect("every shard has ended");
/// assert_eq!((report.finished(), report.cut()), (10, 0));
/// # Ok::<(), shardpoll::StartError>(())
/// ```
///
/// # Panics
/// A test in which a callback panics, or callbacks keep the loops busy for ever, has failed, so all
/// that moves the world panics then; [`tolerate_panics`](Self::tolerate_panics) lets callbacks
/// panic.
pub struct SimEngine {
    /// Watches nothing, and lets time pass.
    clock: Sim,
    remote: Remote<Sim>,
    shards: Vec<Shard>,
    listeners: u32,
    tolerates_panics: bool,
    turns_at_once: u32,
}

struct Shard {
    /// `None` when it has ended.
    worker: Option<Worker<Sim>>,
    sim: Sim,
    /// Of the last turn.
    counters: Counters,
}

impl SimEngine {
    /// A world of so many shards in which nothing goes wrong.
    ///
    /// # Errors
    /// [`StartError`] when there are no shards or too many, or a setting makes no sense.
    pub fn new(shards: usize, seed: u64, config: Config) -> Result<Self, StartError> {
        Self::with_faults(shards, seed, Faults::none(), config)
    }

    /// A world in which these faults happen, when and where the seed decides.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn with_faults(
        shards: usize,
        seed: u64,
        faults: Faults,
        config: Config,
    ) -> Result<Self, StartError> {
        let clock = Sim::new(seed, faults);
        let builder = EngineBuilder::new().shards(shards).pinning(Pinning::None).config(config);
        let mut loops = Vec::new();
        let parts = builder.parts_over(|_| {
            let sim = clock.another_loop();
            loops.push(sim.clone());
            Ok(sim)
        })?;
        let begin = |(start, sim): (WorkerStart<Sim>, Sim)| {
            let worker = Some(start.start());
            Shard { worker, sim, counters: Counters::default() }
        };
        let shards = parts.workers.into_iter().zip(loops).map(begin).collect();
        let remote = parts.remote;
        Ok(Self { clock, remote, shards, listeners: 0, tolerates_panics: false, turns_at_once: 0 })
    }

    /// Listens with a socket on each shard that has not ended, over which the seed spreads who
    /// connects; each has a clone of `accept`, which makes the handlers.
    ///
    /// # Errors
    /// [`StartError::Listen`] when somebody listens there already, or a shard refuses.
    pub fn listen<H, F>(&mut self, addr: SocketAddr, accept: F) -> Result<ListenerId, StartError>
    where
        H: Handler,
        F: FnMut(&Peer) -> H + Clone + 'static,
    {
        self.listen_with(addr, ListenerOptions::default(), |_| {
            let mut accept = accept.clone();
            Box::new(move |peer: &Peer| -> Box<dyn Handler> { Box::new(accept(peer)) })
        })
    }

    /// Listens likewise, with options, and an acceptor for each shard by its number.
    ///
    /// # Errors
    /// As [`listen`](Self::listen).
    pub fn listen_with(
        &mut self,
        addr: SocketAddr,
        options: ListenerOptions,
        mut accept: impl FnMut(usize) -> Acceptor,
    ) -> Result<ListenerId, StartError> {
        let id = ListenerId::new(self.listeners);
        self.listeners += 1;
        let failed = |source| StartError::Listen { addr: Addr::Ip(addr), source };
        for (number, shard) in self.shards.iter_mut().enumerate() {
            let Some(worker) = &mut shard.worker else { continue };
            let socket = self.clock.listen_shared(addr, BACKLOG).map_err(failed)?;
            let added = worker.reactor.add_listener(id, socket, options.clone(), accept(number));
            if let Err(source) = added {
                self.remote.close_listener(id);
                return Err(failed(source));
            }
        }
        Ok(id)
    }

    /// One turn of one shard that has something to do now; the seed says which. `None` when no
    /// shard has: then only time can bring something.
    ///
    /// # Panics
    /// When a callback has panicked.
    pub fn step(&mut self) -> Option<usize> {
        let shard = self.next_shard()?;
        self.turn(shard);
        Some(shard)
    }

    /// A shard that has something to do now: another one each time, as the seed says.
    #[must_use]
    pub fn next_shard(&self) -> Option<usize> {
        let ready: Vec<usize> =
            (0..self.shards.len()).filter(|&number| self.is_ready(number)).collect();
        match ready[..] {
            [] => None,
            [only] => Some(only),
            _ => Some(ready[self.clock.pick(ready.len())]),
        }
    }

    /// One turn of this shard, which does not wait; no-op for one that has ended.
    ///
    /// # Panics
    /// When a callback has panicked.
    pub fn turn(&mut self, shard: usize) {
        let Shard { worker, counters, .. } = &mut self.shards[shard];
        let Some(running) = worker else { return };
        self.turns_at_once += 1;
        assert!(self.turns_at_once < MOST_AT_ONCE, "callbacks keep the loops busy for ever");
        let turn = running.turn(Some(Duration::ZERO));
        let turn = turn.expect("a simulated poller fails only when told to wait for ever");
        *counters = running.reactor.counters();
        assert!(
            self.tolerates_panics || counters.panics == 0,
            "a callback has panicked: see above"
        );
        if turn == Turn::Drained {
            *worker = None;
        }
    }

    /// Lets time pass until something happens, at the latest until then; false when nothing does.
    ///
    /// Whoever has something to do now keeps it from passing at all.
    pub fn pass_until(&mut self, latest: Tick) -> bool {
        if (0..self.shards.len()).any(|number| self.is_ready(number)) {
            return true;
        }
        let running = self.shards.iter().filter_map(|shard| shard.worker.as_ref());
        let due = running.map(|worker| worker.reactor.due()).min().unwrap_or(Tick::MAX);
        let arrival = self.clock.next_event().map_or(Tick::MAX, |at| {
            let batch = u64::try_from(BATCH.as_nanos()).expect("a constant");
            Tick::from_nanos(at.as_nanos().next_multiple_of(batch))
        });
        let next = due.min(arrival);
        self.turns_at_once = 0;
        // It watches nothing, so there is no event to have room for.
        let waited = self.clock.wait(&mut Events::default(), next.min(latest));
        waited.expect("a simulated poller fails only when told to wait for ever");
        next <= latest
    }

    /// Lets all that is on its way arrive, and be served; one second passes at the most, in a world
    /// without faults and timers but a few milliseconds.
    ///
    /// # Panics
    /// When a callback has panicked, or callbacks keep the loops busy for ever.
    pub fn settle(&mut self) {
        let until = self.now().saturating_add(SETTLED);
        loop {
            while self.step().is_some() {}
            match self.clock.next_event() {
                Some(at) if at <= until => self.pass_until(until),
                _ => return,
            };
        }
    }

    /// Lets this much time pass, and all happen that happens meanwhile.
    ///
    /// # Panics
    /// When a callback has panicked, or callbacks keep the loops busy for ever.
    pub fn run_for(&mut self, time: Duration) {
        let until = self.now().saturating_add(time);
        loop {
            while self.step().is_some() {}
            if self.now() >= until {
                return;
            }
            self.pass_until(until);
        }
    }

    /// Whether a turn of this shard would find something to do.
    fn is_ready(&self, number: usize) -> bool {
        let Shard { worker, sim, .. } = &self.shards[number];
        worker.as_ref().is_some_and(|worker| {
            !worker.inbox.is_empty() || worker.reactor.due() <= sim.time() || sim.has_news()
        })
    }

    /// Panics of callbacks are what the test is about: they end, or do not end, connections.
    pub fn tolerate_panics(&mut self) {
        self.tolerates_panics = true;
    }

    /// A handle that reaches every shard, for handlers and for the test.
    #[must_use]
    pub fn remote(&self) -> Remote<Sim> {
        self.remote.clone()
    }

    /// Tells one shard alone to drain, as when it is retired.
    pub fn drain_shard(&self, shard: usize, plan: DrainPlan) {
        if let Some(mailbox) = self.remote.mailboxes.get(shard) {
            // One that has ended has nothing left to do.
            let _ended = mailbox.order(Order::Drain(plan));
        }
    }

    /// Runs `f` on a shard, between two turns.
    ///
    /// # Panics
    /// When `f` panics, and when the shard has ended.
    pub fn local<R>(&mut self, shard: usize, f: impl FnOnce(&mut Local<'_>) -> R) -> R {
        let worker = self.shards[shard].worker.as_mut().expect("the shard has not ended");
        worker.local(f).expect("the task has panicked: see above")
    }

    /// Verifies the invariants of a shard's loop, which hold between any two turns.
    ///
    /// # Errors
    /// Says which one is broken, and where: a bug in this library.
    pub fn check(&self, shard: usize) -> Result<(), String> {
        let Some(worker) = &self.shards[shard].worker else { return Ok(()) };
        worker.reactor.check().and_then(|()| worker.reactor.check_edges())
    }

    /// A shard at work; `None` when it has ended.
    #[must_use]
    pub fn worker(&self, shard: usize) -> Option<&Worker<Sim>> {
        self.shards[shard].worker.as_ref()
    }

    /// What a shard has done so far; what it had done when it has ended.
    #[must_use]
    pub fn counters(&self, shard: usize) -> Counters {
        self.shards[shard].counters
    }

    /// Whether every shard has ended.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.shards.iter().all(|shard| shard.worker.is_none())
    }

    /// What [`Engine::join`](crate::Engine::join) would give: `None` until every shard has ended.
    #[must_use]
    pub fn report(&self) -> Option<DrainReport> {
        if !self.is_over() {
            return None;
        }
        self.remote.latch.wait().map(DrainReport::new)
    }

    /// The time in this world.
    #[must_use]
    pub fn now(&self) -> Tick {
        self.clock.time()
    }

    /// The network: for peers, for listeners of nobody, faults, windows and delays.
    #[must_use]
    pub fn sim(&self) -> &Sim {
        &self.clock
    }
}

impl fmt::Debug for SimEngine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimEngine")
            .field("shards", &self.shards.len())
            .field("sim", &self.clock)
            .finish_non_exhaustive()
    }
}
