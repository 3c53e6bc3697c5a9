//! A running engine on loopback, and the record of its callbacks.
//!
//! Never: leaves an engine running: a world that is dropped ends its engine.

use crate::{Call, Event, PATIENCE, Peer, React, Recorder, Seen, TlsPeer, Trace, Version};
use shardpoll::{
    Addr, Config, Conn, ConnId, Connect, Engine, Listen, ListenerId, Local, Peer as Accepted,
    Pinning, Remote,
};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

/// How a world begins: one shard and Prosody's limits, unless told otherwise.
#[derive(Debug)]
pub struct Setup {
    shards: usize,
    config: Config,
    listen: Listen,
}

impl Default for Setup {
    fn default() -> Self {
        Self::new()
    }
}

impl Setup {
    /// One shard, plain, on a port of the kernel's choice.
    #[must_use]
    pub fn new() -> Self {
        let addr = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        Self { shards: 1, config: Config::default(), listen: Listen::on(addr) }
    }

    /// With so many shards.
    #[must_use]
    pub fn shards(mut self, count: usize) -> Self {
        self.shards = count;
        self
    }

    /// With these limits.
    #[must_use]
    pub fn config(mut self, set: impl FnOnce(&mut Config)) -> Self {
        set(&mut self.config);
        self
    }

    /// With a listener of another kind.
    #[must_use]
    pub fn listen(mut self, listen: Listen) -> Self {
        self.listen = listen;
        self
    }

    /// With TLS from the first byte.
    #[must_use]
    pub fn tls(mut self) -> Self {
        self.listen = self.listen.tls(crate::server_context());
        self
    }

    /// Starts it; every connection it accepts reacts so.
    #[must_use]
    pub fn start(self, react: impl React) -> World {
        let engine = Engine::builder()
            .shards(self.shards)
            .pinning(Pinning::None)
            .config(self.config)
            .start()
            .expect("an engine starts");
        let (log, events) = channel();
        let mut world = World {
            remote: engine.remote(),
            engine: Some(engine),
            addr: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            log: Some(log),
            events,
            seen: Vec::new(),
            next: 0,
            panics: 0,
        };
        world.addr = world.listen(self.listen, react);
        world
    }

    /// Starts an echo server.
    #[must_use]
    pub fn echo(self) -> World {
        self.start(echo)
    }
}

fn echo(call: &mut Call<'_, '_>) {
    if let Event::Incoming(data) = call.event {
        call.write(data);
    }
}

/// A running engine, its first listener, and what was seen so far.
#[derive(Debug)]
pub struct World {
    engine: Option<Engine>,
    remote: Remote,
    addr: SocketAddr,
    log: Option<Sender<Seen>>,
    events: Receiver<Seen>,
    seen: Vec<Seen>,
    next: usize,
    panics: u64,
}

impl World {
    /// Where it listens.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// A peer's address as a socket address.
    ///
    /// # Panics
    /// When it has none.
    #[must_use]
    pub fn ip(addr: &Addr) -> SocketAddr {
        match addr {
            Addr::Ip(addr) => *addr,
            other => panic!("{other} is no internet address"),
        }
    }

    /// The engine.
    #[must_use]
    pub fn engine(&self) -> &Engine {
        self.engine.as_ref().expect("taken by `finish` only")
    }

    /// The engine's handle.
    #[must_use]
    pub fn remote(&self) -> Remote {
        self.remote.clone()
    }

    /// Listens at one more address.
    pub fn listen(&self, at: Listen, react: impl React) -> SocketAddr {
        let id = self.add_listener(at, react);
        self.engine().addr(id).expect("an internet address, added a moment ago")
    }

    /// Listens at one more address of whatever kind.
    pub fn add_listener(&self, at: Listen, react: impl React) -> ListenerId {
        let log = self.log();
        let accept = move |_: &Accepted| Recorder::new(log.clone(), react.clone());
        self.engine().listen(at, accept).expect("an address to be had")
    }

    /// A client.
    #[must_use]
    pub fn connect(&self) -> Peer {
        Peer::connect(self.addr)
    }

    /// A client, once its connection was told of.
    pub fn connect_and_wait(&mut self) -> (Peer, ConnId) {
        let peer = self.connect();
        let id = self.wait_for(|seen| seen.event == Event::Connect).conn;
        (peer, id.expect("a callback has a connection"))
    }

    /// A TLS client.
    #[must_use]
    pub fn connect_tls(&self, version: Version) -> TlsPeer {
        TlsPeer::connect(self.addr, version)
    }

    /// Opens an outgoing connection on shard 0.
    pub fn dial(&self, to: Connect, react: impl React) -> ConnId {
        let log = self.log.clone().expect("taken by `finish` only");
        self.run(move |local| local.connect(to, Recorder::new(log, react)))
            .expect("a loop that is not quitting connects")
    }

    /// What [`Recorder`]s of this world report to.
    #[must_use]
    pub fn log(&self) -> Sender<Seen> {
        self.log.clone().expect("taken by `finish` only")
    }

    /// Hands a connection of shard 0 to a recorder of this name.
    pub fn hand_to(&self, id: ConnId, name: &'static str, react: impl React) {
        let log = self.log();
        self.conn(id, move |conn| conn.set_handler(Recorder::named(name, log, react)));
    }

    /// Runs a task on a connection of shard 0 that is there.
    pub fn conn<R: Send + 'static>(
        &self,
        id: ConnId,
        f: impl FnOnce(&mut Conn<'_>) -> R + Send + 'static,
    ) -> R {
        self.run(move |local| f(&mut local.conn(id).expect("the connection is there")))
    }

    /// Lets some turns of shard 0 pass.
    pub fn some_turns(&self) {
        for _ in 0..20 {
            self.run(|_| ());
        }
    }

    /// Runs a task on shard 0 and waits for its result.
    pub fn run<R: Send + 'static>(
        &self,
        f: impl FnOnce(&mut Local<'_>) -> R + Send + 'static,
    ) -> R {
        self.run_on(0, f)
    }

    /// Runs a task on this shard and waits for its result.
    pub fn run_on<R: Send + 'static>(
        &self,
        shard: usize,
        f: impl FnOnce(&mut Local<'_>) -> R + Send + 'static,
    ) -> R {
        let (reply, result) = channel();
        let task = move |local: &mut Local<'_>| {
            let _gone = reply.send(f(local));
        };
        self.remote.run(shard, task).expect("the shard is there");
        result.recv_timeout(PATIENCE).expect("a result in time")
    }

    /// Keeps shard 0 busy until the sender is dropped, and returns when it is.
    #[must_use]
    pub fn hold_shard(&self) -> Sender<()> {
        let (release, released) = channel::<()>();
        let (reply, held) = channel();
        let task = move |_: &mut Local<'_>| {
            let _gone = reply.send(());
            let _released = released.recv_timeout(PATIENCE);
        };
        self.remote.run(0, task).expect("the shard is there");
        held.recv_timeout(PATIENCE).expect("the shard takes the task in time");
        release
    }

    /// How many connections and listeners there are on all shards.
    #[must_use]
    pub fn live(&self) -> usize {
        (0..self.remote.shards()).map(|shard| self.run_on(shard, |local| local.live())).sum()
    }

    /// Panics counted on all shards.
    #[must_use]
    pub fn panics(&self) -> u64 {
        let count = |shard| self.run_on(shard, |local| local.counters().panics);
        (0..self.remote.shards()).map(count).sum()
    }

    /// So many panics are expected by the end; without this, none.
    pub fn expect_panics(&mut self, count: u64) {
        self.panics = count;
    }

    /// The next event that fits; those before it are passed over.
    ///
    /// # Panics
    /// When none comes in time.
    pub fn wait_for(&mut self, fits: impl Fn(&Seen) -> bool) -> Seen {
        loop {
            while let Some(seen) = self.seen.get(self.next) {
                self.next += 1;
                if fits(seen) {
                    return seen.clone();
                }
            }
            match self.events.recv_timeout(PATIENCE) {
                Ok(seen) => self.seen.push(seen),
                Err(_) => {
                    let tail = &self.seen[self.seen.len().saturating_sub(40)..];
                    let tail: Vec<_> = tail.iter().map(|seen| (seen.conn, &seen.event)).collect();
                    panic!("not in time; seen of late: {tail:?}");
                }
            }
        }
    }

    /// The next `count` events that fit.
    pub fn wait_for_each(&mut self, count: usize, fits: impl Fn(&Seen) -> bool) -> Vec<Seen> {
        (0..count).map(|_| self.wait_for(&fits)).collect()
    }

    /// The next of exactly this event.
    pub fn wait_for_event(&mut self, event: &Event) -> Seen {
        self.wait_for(|seen| seen.event == *event)
    }

    /// The next end of a connection.
    pub fn wait_for_end(&mut self) -> Seen {
        self.wait_for(|seen| seen.event.is_end())
    }

    /// Quits the engine, and gives all that was ever seen.
    ///
    /// # Panics
    /// When the rules that hold for every connection were broken: `on_connect` at most once,
    /// `on_disconnect` at most once and last, one drop, and no panic that was not expected.
    #[must_use]
    pub fn finish(mut self) -> Trace {
        assert_eq!(self.panics(), self.panics, "panics in user code");
        self.remote.quit(PATIENCE);
        let seen = self.rest();
        // All handlers are gone; connections whose peers stay would be waited for without need.
        self.remote.quit(Duration::ZERO);
        self.join();
        seen
    }

    /// As [`finish`](Self::finish) for an engine that was told to quit before and ends by itself.
    #[must_use]
    pub fn end(&mut self) -> Trace {
        self.join();
        self.rest()
    }

    fn join(&mut self) {
        let engine = self.engine.take().expect("ended once");
        wait_for_reply(move || engine.join()).expect("no shard has failed");
    }

    /// Takes events until every handler and acceptor is gone.
    fn rest(&mut self) -> Trace {
        // Every other sender is a handler's or an acceptor's.
        self.log = None;
        let end = loop {
            match self.events.recv_timeout(PATIENCE) {
                Ok(seen) => self.seen.push(seen),
                Err(end) => break end,
            }
        };
        assert_eq!(end, RecvTimeoutError::Disconnected, "a handler is left");
        let trace = Trace { seen: std::mem::take(&mut self.seen) };
        trace.check();
        trace
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.remote.quit(Duration::ZERO);
    }
}

/// Runs a call that blocks on a thread of its own.
///
/// # Panics
/// When it does not return in time.
pub fn wait_for_reply<R: Send + 'static>(call: impl FnOnce() -> R + Send + 'static) -> R {
    let (reply, result) = channel();
    std::thread::spawn(move || {
        let _gone = reply.send(call());
    });
    result.recv_timeout(PATIENCE).expect("the call returns in time")
}
