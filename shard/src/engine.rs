//! N shards behind one handle: listen, close all, drain, quit, join.
//!
//! Never: runs a connection's callback; only shards' threads do.
//!
//! Invariants:
//! 1. Every thread started is joined by [`Engine::join`].
//! 2. One shard's failure ends the others, as soon as somebody joins: an engine is whole or over.

use crate::builder::EngineBuilder;
use crate::error::StartError;
use crate::letter::{Order, SignalOrder};
use crate::listeners::Listeners;
use crate::metrics::Snapshot;
use crate::remote::Remote;
use crate::report::DrainReport;
use crate::worker::is_shard;
use shardpoll_reactor::{Config, DrainPlan, EngineState, Local, Signal, Signals};
use std::fmt;
use std::io;
use std::thread::JoinHandle;
use std::time::Duration;

/// N shards behind one handle. Dropping it without [`join`](Engine::join) leaves them running.
pub struct Engine {
    pub(crate) remote: Remote,
    /// Empty when the embedder runs the shards.
    threads: Vec<JoinHandle<io::Result<()>>>,
    watcher: Option<JoinHandle<()>>,
    pub(crate) listeners: Listeners,
    pub(crate) config: Config,
    /// Of each shard, where listening sockets are to prefer them ([`Balance::CpuLocal`]).
    ///
    /// [`Balance::CpuLocal`]: crate::Balance::CpuLocal
    pub(crate) cpus: Vec<usize>,
}

impl Engine {
    /// One pinned shard per CPU, and Prosody's limits, unless told otherwise.
    #[must_use]
    pub fn builder() -> EngineBuilder {
        EngineBuilder::new()
    }

    pub(crate) fn new(
        remote: Remote,
        threads: Vec<JoinHandle<io::Result<()>>>,
        watcher: Option<JoinHandle<()>>,
        config: Config,
        cpus: Vec<usize>,
    ) -> Self {
        Self { remote, threads, watcher, listeners: Listeners::default(), config, cpus }
    }

    /// Calls `f` on shard 0 for each of these signals, until the engine quits (L30).
    ///
    /// Like a watch on that shard, but it goes on after [`close_all`](Self::close_all), and after a
    /// panic in `f`, which is caught, counted and logged. What comes while the engine quits stays
    /// blocked, also when the quit is withdrawn (S149).
    ///
    /// ```
    /// use shardpoll::{Engine, Signals};
    /// use std::time::Duration;
    ///
    /// // Before the engine's threads start, so that they inherit it.
    /// let signals = Signals::block()?;
    /// let engine = Engine::builder().shards(1).start()?;
    /// let remote = engine.remote();
    /// engine.on_signals(signals, move |_local, _signal| remote.quit(Duration::from_secs(5)))?;
    /// # engine.quit(Duration::ZERO);
    /// engine.join()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`StartError`] when the engine quits or has ended, when the kernel refuses, or when called
    /// from a callback.
    pub fn on_signals(
        &self,
        signals: Signals,
        f: impl FnMut(&mut Local<'_>, Signal) + Send + 'static,
    ) -> Result<(), StartError> {
        if is_shard() {
            return Err(StartError::OnShard);
        }
        let (reply, replies) = crossbeam_channel::bounded(1);
        let order = SignalOrder { signals, callback: Box::new(f), reply };
        if self.remote.mailboxes[0].order(Order::Signals(Box::new(order))).is_err() {
            return Err(StartError::Ended);
        }
        let result = replies.recv().map_err(|_| StartError::Ended)?;
        result.map_err(|source| StartError::Shard { shard: 0, source })
    }

    /// A handle that reaches any shard from any thread.
    #[must_use]
    pub fn remote(&self) -> Remote {
        self.remote.clone()
    }

    /// What the engine has done so far; see [`Remote::metrics`].
    #[must_use]
    pub fn metrics(&self) -> Snapshot {
        self.remote.metrics()
    }

    /// How many shards there are.
    #[must_use]
    pub fn shards(&self) -> usize {
        self.remote.shards()
    }

    /// Closes every connection and listener of all shards after its output; see
    /// [`Remote::close_all`].
    pub fn close_all(&self) {
        self.remote.close_all();
    }

    /// Closes everything and ends the engine, at the latest after this time; see [`Remote::quit`].
    pub fn quit(&self, deadline: Duration) {
        self.remote.quit(deadline);
    }

    /// Tells every connection, accepts for a while longer, then waits for their ends, and cuts what
    /// is left at the plan's deadline; see [`Remote::drain`].
    ///
    /// ```
    /// use shardpoll::{Conn, DrainPlan, Engine, Handler, Listen};
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
    ///         conn.write(b"bye\n");
    ///         conn.close();
    ///     }
    /// }
    ///
    /// let engine = Engine::builder().shards(1).start()?;
    /// engine.listen(Listen::on(([127, 0, 0, 1], 0)), |_| Line)?;
    /// engine.drain(DrainPlan::default().accept_for(Duration::ZERO));
    /// let report = engine.join()?;
    /// assert_eq!(report.cut(), 0);
    /// # Ok::<(), shardpoll::StartError>(())
    /// ```
    pub fn drain(&self, plan: DrainPlan) {
        self.remote.drain(plan);
    }

    /// How far the engine is on its way out; see [`Remote::state`].
    #[must_use]
    pub fn state(&self) -> EngineState {
        self.remote.state()
    }

    /// The first of these signals [`drain`](Self::drain)s the engine, the next means now:
    /// [`quit`](Self::quit) with a deadline of zero.
    ///
    /// A drain that was begun in another way, such as by a request before the signal, is no first
    /// signal; one that was withdrawn is none any more. Shard 0 listens, so it must not be the one
    /// that is retired.
    ///
    /// ```no_run
    /// use shardpoll::{DrainPlan, Engine, Signals};
    ///
    /// // Before the engine's threads start, so that they inherit it.
    /// let signals = Signals::block()?;
    /// let engine = Engine::builder().start()?;
    /// engine.drain_on(signals, DrainPlan::default())?;
    /// let report = engine.join()?;
    /// eprintln!("{report}");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As [`on_signals`](Self::on_signals).
    pub fn drain_on(&self, signals: Signals, plan: DrainPlan) -> Result<(), StartError> {
        let remote = self.remote();
        let mut asked = false;
        self.on_signals(signals, move |local, signal| {
            // An order to the own shard is carried out before the next signal is read.
            if asked && local.state() != EngineState::Serving {
                log::warn!("{signal:?} once more: the engine ends now");
                return remote.quit(Duration::ZERO);
            }
            log::info!("{signal:?}: the engine drains");
            asked = true;
            remote.drain(plan);
        })
    }

    /// Withdraws a [`quit`](Self::quit) or a [`drain`](Self::drain); see [`Remote::cancel_quit`].
    pub fn cancel_quit(&self) {
        self.remote.cancel_quit();
    }

    /// Waits until all shards have ended, which they do when told to [`quit`](Self::quit) or to
    /// [`drain`](Self::drain), and says what has become of the connections since.
    ///
    /// # Errors
    /// [`StartError`] when a shard has failed (the others are ended then), or when called from a
    /// callback.
    pub fn join(self) -> Result<DrainReport, StartError> {
        if is_shard() {
            return Err(StartError::OnShard);
        }
        let reports = self.remote.latch.wait();
        if reports.is_none() {
            self.remote.quit(Duration::ZERO);
        }
        let mut outcome = reports.map(DrainReport::new).ok_or(StartError::Abandoned);
        for (shard, thread) in self.threads.into_iter().enumerate() {
            match thread.join() {
                Ok(Ok(())) => {}
                Ok(Err(source)) => outcome = Err(StartError::Shard { shard, source }),
                Err(_) => outcome = Err(StartError::Panicked { shard }),
            }
        }
        // An embedder's shards may go on without the engine; so does their watch then.
        if self.remote.latch.all_ended_within(Duration::ZERO) {
            // It catches whatever panics in it.
            let _ended = self.watcher.map(JoinHandle::join);
        }
        outcome
    }
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine")
            .field("shards", &self.shards())
            .field("listening", &self.listeners.addrs())
            .finish_non_exhaustive()
    }
}
