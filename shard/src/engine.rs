//! N shards behind one handle: listen, close all, quit, join.
//!
//! Never: runs a connection's callback; only shards' threads do.
//!
//! Invariants:
//! 1. Every thread started is joined by [`Engine::join`].
//! 2. One shard's failure ends the others, as soon as somebody joins: an engine is whole or over.

use crate::builder::EngineBuilder;
use crate::error::StartError;
use crate::latch::Latch;
use crate::letter::{Order, SignalOrder};
use crate::listeners::Listeners;
use crate::remote::Remote;
use crate::worker::is_shard;
use shardpoll_reactor::{Config, Local, Signal, Signals};
use std::fmt;
use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

/// N shards behind one handle. Dropping it without [`join`](Engine::join) leaves them running.
pub struct Engine {
    pub(crate) remote: Remote,
    latch: Arc<Latch>,
    /// Empty when the embedder runs the shards.
    threads: Vec<JoinHandle<io::Result<()>>>,
    pub(crate) listeners: Listeners,
    pub(crate) config: Config,
}

impl Engine {
    /// One pinned shard per CPU, and Prosody's limits, unless told otherwise.
    #[must_use]
    pub fn builder() -> EngineBuilder {
        EngineBuilder::new()
    }

    pub(crate) fn new(
        remote: Remote,
        latch: Arc<Latch>,
        threads: Vec<JoinHandle<io::Result<()>>>,
        config: Config,
    ) -> Self {
        Self { remote, latch, threads, listeners: Listeners::default(), config }
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

    /// Withdraws a [`quit`](Self::quit); see [`Remote::cancel_quit`].
    pub fn cancel_quit(&self) {
        self.remote.cancel_quit();
    }

    /// Waits until all shards have ended, which they do when told to [`quit`](Self::quit).
    ///
    /// # Errors
    /// [`StartError`] when a shard has failed (the others are ended then), or when called from a
    /// callback.
    pub fn join(self) -> Result<(), StartError> {
        if is_shard() {
            return Err(StartError::OnShard);
        }
        let mut outcome = Ok(());
        if self.latch.wait() {
            self.remote.quit(Duration::ZERO);
            if self.threads.is_empty() {
                outcome = Err(StartError::Abandoned);
            }
        }
        for (shard, thread) in self.threads.into_iter().enumerate() {
            match thread.join() {
                Ok(Ok(())) => {}
                Ok(Err(source)) => outcome = Err(StartError::Shard { shard, source }),
                Err(_) => outcome = Err(StartError::Panicked { shard }),
            }
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
