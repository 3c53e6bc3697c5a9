//! How an engine begins: how many shards, on which CPUs, with which limits, on whose threads.
//!
//! Never: leaves anything running when it fails.

use crate::balance::{Balance, Loads};
use crate::census::{EngineCensus, Shared};
use crate::engine::Engine;
use crate::error::StartError;
use crate::latch::{Ended, Latch};
use crate::letter::TASKS;
use crate::listeners::tcp_migrate_req;
use crate::mailbox::mailbox;
use crate::metrics::Vitals;
use crate::pin::{self, Pinning};
use crate::remote::Remote;
use crate::shortage::{Share, Shortage};
use crate::supervise::{ShardFailure, Supervisor};
use crate::watchdog::{OnStall, Stall, Watchdog, Watcher};
use crate::way::{Way, Ways};
use crate::worker::WorkerStart;
use shardpoll_reactor::{Config, Linux, MAX_SHARDS, Place, Sys};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// Engines made in this process, and shards that have begun anew, so that their connections' ids
/// differ.
static GENERATIONS: AtomicU32 = AtomicU32::new(0);

/// A number for [`Place::new`] that no other engine of this process has.
pub(crate) fn next_generation() -> u32 {
    GENERATIONS.fetch_add(1, Ordering::Relaxed)
}

/// How an engine starts: shards, CPUs, limits.
#[derive(Clone, Debug)]
pub struct EngineBuilder {
    shards: Option<usize>,
    pinning: Pinning,
    balance: Balance,
    config: Config,
    watchdog: Option<Watchdog>,
    on_stall: OnStall,
    shard_failure: ShardFailure,
}

impl EngineBuilder {
    pub(crate) fn new() -> Self {
        Self {
            shards: None,
            pinning: Pinning::default(),
            watchdog: Some(Watchdog::default()),
            on_stall: OnStall::default(),
            shard_failure: ShardFailure::default(),
            balance: Balance::default(),
            config: Config::default(),
        }
    }

    /// How many shards. Default: one per CPU of the process' affinity mask.
    #[must_use]
    pub fn shards(mut self, count: usize) -> Self {
        self.shards = Some(count);
        self
    }

    /// Which CPUs they are bound to. Default: [`Pinning::Cores`].
    #[must_use]
    pub fn pinning(mut self, pinning: Pinning) -> Self {
        self.pinning = pinning;
        self
    }

    /// How connections are spread over the shards. Default: [`Balance::LeastConnections`].
    #[must_use]
    pub fn balance(mut self, balance: Balance) -> Self {
        self.balance = balance;
        self
    }

    /// The limits of every shard.
    #[must_use]
    pub fn config(mut self, config: Config) -> Self {
        self.config = config;
        self
    }

    /// How closely the shards are watched, by one more thread; `None`: not at all. Default: what
    /// [`Watchdog::default`] says.
    #[must_use]
    pub fn watchdog(mut self, watchdog: impl Into<Option<Watchdog>>) -> Self {
        self.watchdog = watchdog.into();
        self
    }

    /// Calls `f`, on the watchdog's thread, when a shard is found stalled, and when it goes on; the
    /// log says so as well. A panic in `f` is caught and logged.
    ///
    /// ```
    /// use shardpoll::{Engine, Watchdog};
    /// use std::time::Duration;
    ///
    /// let mut watchdog = Watchdog::default();
    /// watchdog.threshold = Duration::from_millis(100);
    /// let engine = Engine::builder()
    ///     .watchdog(watchdog)
    ///     .on_stall(|stall| eprintln!("{stall}"))
    ///     .start()?;
    /// # engine.quit(Duration::ZERO);
    /// # engine.join()?;
    /// # Ok::<(), shardpoll::StartError>(())
    /// ```
    #[must_use]
    pub fn on_stall(mut self, f: impl Fn(&Stall) + Send + Sync + 'static) -> Self {
        self.on_stall = OnStall(Some(Arc::new(f)));
        self
    }

    /// What becomes of a shard whose loop has failed. Default: the engine ends.
    #[must_use]
    pub fn shard_failure(mut self, policy: ShardFailure) -> Self {
        self.shard_failure = policy;
        self
    }

    /// Starts the shards' threads.
    ///
    /// # Errors
    /// [`StartError`] when a setting makes no sense or the kernel refuses a descriptor or thread;
    /// nothing is left running then.
    pub fn start(self) -> Result<Engine, StartError> {
        let config = self.config.clone();
        let (Parts { remote, workers, cpus }, watcher) = self.parts()?;
        let mut threads = Vec::with_capacity(workers.len());
        for (shard, worker) in workers.into_iter().enumerate() {
            let body = move || worker.start().run();
            match std::thread::Builder::new().name(format!("shardpoll-{shard}")).spawn(body) {
                Ok(thread) => threads.push(thread),
                Err(source) => {
                    remote.quit(Duration::ZERO);
                    for thread in threads {
                        let _ended = thread.join();
                    }
                    return Err(StartError::Shard { shard, source });
                }
            }
        }
        Ok(Engine::new(remote, threads, watcher, config, cpus))
    }

    /// Makes the shards without threads, for an embedder who has threads of his own: each
    /// [`WorkerStart`] is sent to the thread that will run it.
    ///
    /// A shard's thread is bound to a CPU as [`pinning`](Self::pinning) says:
    /// [`Pinning::None`] leaves yours alone.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    ///
    /// ```
    /// use shardpoll::{Engine, Listen, Pinning, incoming};
    ///
    /// let builder = Engine::builder().shards(2).pinning(Pinning::None);
    /// let (engine, workers) = builder.workers()?;
    /// let threads: Vec<_> = workers
    ///     .into_iter()
    ///     .map(|worker| std::thread::spawn(move || worker.start().run()))
    ///     .collect();
    /// engine.listen(Listen::on(([127, 0, 0, 1], 0)), |_| incoming(|conn, data| {
    ///     conn.write(data);
    /// }))?;
    /// engine.quit(std::time::Duration::ZERO); // a server would serve first
    /// engine.join()?;
    /// for thread in threads {
    ///     thread.join().expect("a shard's thread does not panic")?;
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn workers(self) -> Result<(Engine, Vec<WorkerStart>), StartError> {
        let config = self.config.clone();
        let (Parts { remote, workers, cpus }, watcher) = self.parts()?;
        Ok((Engine::new(remote, Vec::new(), watcher, config, cpus), workers))
    }

    /// The shards, and who watches them until all have ended.
    fn parts(self) -> Result<(Parts, Option<JoinHandle<()>>), StartError> {
        if let Some(on) = tcp_migrate_req() {
            log::info!("net.ipv4.tcp_migrate_req is {}", u8::from(on));
        }
        let (watchdog, on_stall) = (self.watchdog.clone(), self.on_stall.clone());
        let parts = self.parts_over(|_| Linux::new())?;
        let Some(watchdog) = watchdog else { return Ok((parts, None)) };
        let watcher = Watcher::new(&watchdog, on_stall, Arc::clone(&parts.remote.vitals));
        let latch = Arc::clone(&parts.remote.latch);
        let thread = std::thread::Builder::new().name("shardpoll-watch".into());
        let spawned = thread.spawn(move || watcher.run(&latch));
        Ok((parts, Some(spawned.map_err(StartError::Watchdog)?)))
    }

    /// The shards, over the worlds that `world` opens for each number.
    pub(crate) fn parts_over<S: Sys>(
        self,
        mut world: impl FnMut(usize) -> io::Result<S>,
    ) -> Result<Parts<S>, StartError> {
        let count = self.shards.unwrap_or_else(pin::default_shards);
        if count == 0 || count > MAX_SHARDS {
            return Err(StartError::Shards(count));
        }
        self.config.check().map_err(StartError::Config)?;
        let cores = self.pinning.plan(count)?;
        let cpus = match self.balance {
            Balance::CpuLocal => cores.iter().map(|core| core.map(|core| core.id)).collect(),
            Balance::Kernel | Balance::LeastConnections { .. } => Some(Vec::new()),
        };
        let cpus = cpus.ok_or(StartError::Unpinned)?;
        let latch = Arc::new(Latch::new(count));
        let number = next_generation();
        let vitals = Vitals::new(count);
        let mut workers = Vec::with_capacity(count);
        let mut mailboxes = Vec::with_capacity(count);
        let mut loops = Vec::with_capacity(count);
        for shard in 0..count {
            loops.push(world(shard).map_err(|source| StartError::Shard { shard, source })?);
        }
        let census = EngineCensus::new(&self.config);
        let shortage = Shortage::new(loops.iter().map(Sys::waker));
        let mut inboxes = Vec::with_capacity(count);
        for sys in &loops {
            let (mailbox, inbox) = mailbox(TASKS, sys.waker());
            mailboxes.push(mailbox);
            inboxes.push(inbox);
        }
        let mailboxes: Arc<[_]> = mailboxes.into();
        let loads = Loads::new(count);
        let ways = Arc::new(Ways { loads, mailboxes: Arc::clone(&mailboxes) });
        let parts = cores.into_iter().zip(loops).zip(inboxes);
        for (shard, ((core, sys), inbox)) in parts.enumerate() {
            let at = u16::try_from(shard).expect("checked against MAX_SHARDS above");
            let at = Place::new(at, number);
            let config = self.config.clone();
            let ended = Ended::new(Arc::clone(&latch), shard);
            let share = Share::new(Arc::clone(&shortage), shard);
            let census = Shared(Arc::clone(&census));
            let vitals = Arc::clone(&vitals.shards[shard]);
            let way = Way::new(shard, self.balance, Arc::clone(&ways));
            workers.push(WorkerStart {
                shard,
                at,
                core,
                sys,
                config,
                inbox,
                share,
                census,
                way,
                vitals,
                supervisor: Supervisor::new(self.shard_failure),
                ended,
            });
        }
        Ok(Parts { remote: Remote { mailboxes, latch, vitals }, workers, cpus })
    }
}

/// What an engine consists of.
pub(crate) struct Parts<S: Sys = Linux> {
    pub(crate) remote: Remote<S>,
    pub(crate) workers: Vec<WorkerStart<S>>,
    /// Of each shard, where listening sockets are to prefer them.
    cpus: Vec<usize>,
}
