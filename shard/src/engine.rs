//! N shards behind one handle: start, listen, close all, quit, join.
//!
//! Never: runs a connection's callback; only shards' threads do.
//!
//! Invariants:
//! 1. Every thread started is joined by [`Engine::join`].
//! 2. One shard's failure ends the others, as soon as somebody joins: an engine is whole or over.

use crate::error::StartError;
use crate::latch::Latch;
use crate::listen::{Listen, Sockets};
use crate::mailbox::{Inbox, ListenOrder, Order, mailbox};
use crate::pin::{self, Pinning};
use crate::remote::Remote;
use crate::worker::Worker;
use core_affinity::CoreId;
use parking_lot::Mutex;
use shardpoll_reactor::{
    Addr, Config, Handler, Linux, ListenerId, MAX_SHARDS, Peer, Place, Reactor, Turn,
};
use std::cell::Cell;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// Engines started in this process, so that their connections' ids differ.
static ENGINES: AtomicU32 = AtomicU32::new(0);

thread_local! {
    /// Whether this thread is a shard: one that waited for shards would wait for itself.
    static ON_SHARD: Cell<bool> = const { Cell::new(false) };
}

/// How an engine starts: shards, CPUs, limits.
#[derive(Clone, Debug)]
pub struct EngineBuilder {
    shards: Option<usize>,
    pinning: Pinning,
    config: Config,
}

impl EngineBuilder {
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

    /// The limits of every shard.
    #[must_use]
    pub fn config(mut self, config: Config) -> Self {
        self.config = config;
        self
    }

    /// Starts the shards' threads.
    ///
    /// # Errors
    /// [`StartError`] when a setting makes no sense or the kernel refuses a descriptor or thread;
    /// nothing is left running then.
    pub fn start(self) -> Result<Engine, StartError> {
        let count = self.shards.unwrap_or_else(pin::default_shards);
        if count == 0 || count > MAX_SHARDS {
            return Err(StartError::Shards(count));
        }
        self.config.check().map_err(StartError::Config)?;
        let cores = self.pinning.plan(count)?;
        let mut parts = Vec::with_capacity(count);
        let mut mailboxes = Vec::with_capacity(count);
        for (shard, core) in cores.into_iter().enumerate() {
            let linux = Linux::new().map_err(|source| StartError::Shard { shard, source })?;
            let (mailbox, inbox) = mailbox(linux.waker());
            mailboxes.push(mailbox);
            parts.push((linux, inbox, core));
        }
        let latch = Arc::new(Latch::new(count));
        let remote = Remote { mailboxes: mailboxes.into() };
        let mut engine = Engine {
            remote,
            latch,
            threads: Vec::new(),
            addrs: Mutex::default(),
            config: self.config,
        };
        let number = ENGINES.fetch_add(1, Ordering::Relaxed);
        for (shard, (linux, inbox, core)) in parts.into_iter().enumerate() {
            let at = u16::try_from(shard).expect("checked against MAX_SHARDS above");
            let at = Place::new(at, number);
            let config = engine.config.clone();
            let latch = Arc::clone(&engine.latch);
            let body = move || shard_thread(at, shard, core, linux, config, inbox, &latch);
            let name = format!("shardpoll-{shard}");
            match std::thread::Builder::new().name(name).spawn(body) {
                Ok(thread) => engine.threads.push(thread),
                Err(source) => {
                    engine.remote.quit(Duration::ZERO);
                    for thread in engine.threads {
                        let _ended = thread.join();
                    }
                    return Err(StartError::Shard { shard, source });
                }
            }
        }
        Ok(engine)
    }
}

/// Tells the latch even when the thread unwinds.
struct Ended<'a> {
    latch: &'a Latch,
    failed: bool,
}

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        self.latch.ended(self.failed);
    }
}

fn shard_thread(
    at: Place,
    shard: usize,
    core: Option<CoreId>,
    linux: Linux,
    config: Config,
    inbox: Inbox,
    latch: &Latch,
) -> io::Result<()> {
    let mut ended = Ended { latch, failed: true };
    ON_SHARD.set(true);
    if let Some(core) = core {
        pin::pin(shard, core);
    }
    let reactor = Reactor::new(linux, at, config).expect("checked before the thread began");
    let mut worker = Worker::new(reactor, inbox);
    while worker.turn()? == Turn::Live {}
    ended.failed = false;
    Ok(())
}

/// N shards behind one handle. Dropping it without [`join`](Engine::join) leaves them running.
pub struct Engine {
    remote: Remote,
    latch: Arc<Latch>,
    threads: Vec<JoinHandle<io::Result<()>>>,
    /// By the number of the listener.
    addrs: Mutex<Vec<Addr>>,
    config: Config,
}

impl Engine {
    /// One pinned shard per CPU, and Prosody's limits, unless told otherwise.
    #[must_use]
    pub fn builder() -> EngineBuilder {
        EngineBuilder { shards: None, pinning: Pinning::default(), config: Config::default() }
    }

    /// Listens with one socket per shard, over which the kernel spreads connections.
    ///
    /// `accept` makes the handler of each connection. Every shard has its own clone of it, and thus
    /// its own state: nothing is shared unless you share it.
    ///
    /// # Errors
    /// [`StartError`] when the address cannot be had, or when called from a callback.
    pub fn listen<H, F>(&self, at: Listen, accept: F) -> Result<ListenerId, StartError>
    where
        H: Handler,
        F: FnMut(&Peer) -> H + Clone + Send + 'static,
    {
        if ON_SHARD.get() {
            return Err(StartError::OnShard);
        }
        let opened = at.open(self.remote.shards(), &self.config)?;
        let Sockets { each: sockets, addr, accept: options, file } = opened;
        let id = {
            let mut addrs = self.addrs.lock();
            addrs.push(addr.clone());
            ListenerId::new(u32::try_from(addrs.len() - 1).unwrap_or(u32::MAX))
        };
        let (reply, replies) = crossbeam_channel::bounded(sockets.len());
        for (socket, mailbox) in sockets.into_iter().zip(&*self.remote.mailboxes) {
            let mut accept = accept.clone();
            // Held by each acceptor, which is dropped after its socket: the last one removes it.
            let file = file.clone();
            let order = ListenOrder {
                id,
                socket,
                options: options.clone(),
                accept: Box::new(move |peer| {
                    let _held = &file;
                    Box::new(accept(peer))
                }),
                reply: reply.clone(),
            };
            if !mailbox.order(Order::Listen(Box::new(order))) {
                return Err(StartError::Ended);
            }
        }
        drop(reply);
        let mut outcome = Ok(id);
        for _ in 0..self.remote.shards() {
            match replies.recv() {
                Ok(Ok(())) => {}
                Ok(Err(source)) => {
                    outcome = Err(StartError::Listen { addr: addr.clone(), source });
                }
                Err(_) => return Err(StartError::Ended),
            }
        }
        if outcome.is_err() {
            self.close_listener(id);
        }
        outcome
    }

    /// Stops listening on every shard; connections that were accepted live on (S128).
    ///
    /// Asynchronous; those who wait to be accepted are accepted first.
    pub fn close_listener(&self, listener: ListenerId) {
        for mailbox in &*self.remote.mailboxes {
            mailbox.order(Order::CloseListener(listener));
        }
    }

    /// The internet address a listener has, with the port the kernel chose if it was 0; `None` for
    /// a unix socket, see [`listener_addr`](Self::listener_addr).
    #[must_use]
    pub fn addr(&self, listener: ListenerId) -> Option<SocketAddr> {
        self.listener_addr(listener).and_then(|addr| addr.ip())
    }

    /// The address a listener has, of whatever kind.
    #[must_use]
    pub fn listener_addr(&self, listener: ListenerId) -> Option<Addr> {
        self.addrs.lock().get(listener.number() as usize).cloned()
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

    /// Waits until all shards have ended, which they do when told to [`quit`](Self::quit).
    ///
    /// # Errors
    /// [`StartError`] when a shard has failed (the others are ended then), or when called from a
    /// callback.
    pub fn join(self) -> Result<(), StartError> {
        if ON_SHARD.get() {
            return Err(StartError::OnShard);
        }
        if self.latch.wait() {
            self.remote.quit(Duration::ZERO);
        }
        let mut outcome = Ok(());
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
            .field("listening", &*self.addrs.lock())
            .finish_non_exhaustive()
    }
}
