//! A running engine on loopback, and the record of its callbacks.
//!
//! Never: leaves an engine running: a world that is dropped ends its engine.

use crate::side::{NOWHERE, Side, receive};
use crate::{Event, PATIENCE, Peer, React, Recorder, Seen, TlsPeer, Trace, Version, lab};
use shardpoll::tls::ServerContext;
use shardpoll::{
    Accept, Addr, Conn, ConnId, Connect, Engine, Handler, Listen, ListenerId, Local,
    Peer as Accepted, Remote,
};
use shardpoll_reactor::{Limits, ListenerOptions};
use std::net::SocketAddr;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

/// A running engine or simulated loop, its first listener, and what was seen so far.
#[derive(Debug)]
pub struct World {
    pub(crate) side: Side,
    addr: SocketAddr,
    log: Option<Sender<Seen>>,
    events: Receiver<Seen>,
    seen: Vec<Seen>,
    next: usize,
    panics: u64,
}

impl World {
    pub(crate) fn begin(
        side: Side,
        listen: Option<Listen>,
        options: ListenerOptions,
        react: impl React,
    ) -> Self {
        let (log, events) = channel();
        let (log, seen) = (Some(log), Vec::new());
        let mut world = Self { side, addr: NOWHERE, log, events, seen, next: 0, panics: 0 };
        world.addr = match listen {
            Some(listen) => world.listen(listen, react),
            None => world.listen_somewhere(options, react),
        };
        world
    }

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

    /// The engine; on Linux only.
    #[must_use]
    pub fn engine(&self) -> &Engine {
        self.side.engine()
    }

    /// The engine's handle; on Linux only.
    #[must_use]
    pub fn remote(&self) -> Remote {
        self.side.remote().clone()
    }

    /// Listens at one more address.
    pub fn listen_too(&self, react: impl React) -> SocketAddr {
        self.listen_somewhere(ListenerOptions::default(), react)
    }

    /// Listens at one more address, with TLS from the first byte.
    pub fn listen_tls(&self, react: impl React) -> SocketAddr {
        let mut options = ListenerOptions::default();
        options.tls = Some(crate::server_context());
        self.listen_somewhere(options, react)
    }

    fn listen_somewhere(&self, options: ListenerOptions, react: impl React) -> SocketAddr {
        let log = self.log();
        let accept = move |_: &Accepted| -> Box<dyn Handler> {
            Box::new(Recorder::new(log.clone(), react.clone()))
        };
        self.listen_having(options, accept)
    }

    /// Listens at one more address, with handlers of another kind.
    pub fn listen_as<H: Handler>(
        &self,
        mut accept: impl FnMut(&Accepted) -> H + Clone + Send + 'static,
    ) -> SocketAddr {
        let boxed = move |peer: &Accepted| -> Box<dyn Handler> { Box::new(accept(peer)) };
        self.listen_with(None, boxed)
    }

    /// Listens at one more address, with an acceptor of another kind.
    pub fn listen_with(
        &self,
        tls: Option<ServerContext>,
        accept: impl Accept + Clone + Send,
    ) -> SocketAddr {
        let mut options = ListenerOptions::default();
        options.tls = tls;
        self.listen_having(options, accept)
    }

    /// Listens at one more address, with these options.
    pub fn listen_having(
        &self,
        options: ListenerOptions,
        accept: impl Accept + Clone + Send,
    ) -> SocketAddr {
        if let Some(shard) = self.side.shard() {
            return lab::listen(shard, options, Box::new(accept));
        }
        let ListenerOptions { tls, limits, min_rate, max_lifetime, proxy, .. } = options;
        let at = tls.into_iter().fold(Listen::on(NOWHERE), Listen::tls);
        let Limits { max_connections, max_connections_per_peer, .. } = limits;
        let at = max_connections.into_iter().fold(at, Listen::max_connections);
        let at = max_connections_per_peer.into_iter().fold(at, Listen::max_connections_per_peer);
        let at = min_rate.into_iter().fold(at, Listen::min_rate);
        let at = max_lifetime.into_iter().fold(at, Listen::max_lifetime);
        let at = proxy.into_iter().fold(at, Listen::proxy_protocol);
        let id = self.engine().listen_with(at, accept).expect("a free port");
        self.engine().addr(id).expect("added a moment ago")
    }

    /// Listens at one more address; on Linux only.
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
        let log = self.log();
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
        // Many tasks may be done in one turn.
        let turns = || self.run(|local| local.counters().turns);
        let enough = turns() + 10;
        while turns() < enough {}
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
        self.side.run(shard, f)
    }

    /// Posts a task to shard 0, and does not wait for it.
    pub fn post(&self, f: impl FnOnce(&mut Local<'_>) + Send + 'static) {
        self.side.post(0, f);
    }

    /// Writes to a connection from outside.
    pub fn write(&self, id: ConnId, data: &[u8]) {
        self.side.write(id, data.into());
    }

    /// Closes a connection from outside.
    pub fn close(&self, id: ConnId) {
        self.side.close(id);
    }

    /// Keeps shard 0 busy until the sender is dropped, and returns when it is.
    #[must_use]
    pub fn hold_shard(&self) -> Sender<()> {
        self.side.hold()
    }

    /// How many connections and listeners there are on all shards.
    #[must_use]
    pub fn live(&self) -> usize {
        (0..self.side.shards()).map(|shard| self.run_on(shard, |local| local.live())).sum()
    }

    /// Panics counted on all shards.
    #[must_use]
    pub fn panics(&self) -> u64 {
        let count = |shard| self.run_on(shard, |local| local.counters().panics);
        (0..self.side.shards()).map(count).sum()
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
            match receive(&self.events) {
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
        self.quit(PATIENCE);
        let seen = self.rest();
        // All handlers are gone; connections whose peers stay would be waited for without need.
        self.quit(Duration::ZERO);
        let _report = self.side.join();
        seen
    }

    /// As [`finish`](Self::finish) for an engine that was told to quit before and ends by itself.
    #[must_use]
    pub fn end(&mut self) -> Trace {
        let _report = self.side.join();
        self.rest()
    }

    /// The next end, if it has come; what was before it is passed over.
    pub fn seen_end(&mut self) -> Option<Seen> {
        self.seen.extend(self.events.try_iter());
        while let Some(seen) = self.seen.get(self.next) {
            self.next += 1;
            if seen.event.is_end() {
                return Some(seen.clone());
            }
        }
        None
    }

    /// Takes events until every handler and acceptor is gone: all that was ever seen of an engine
    /// that has been [joined](Self::join).
    pub fn rest(&mut self) -> Trace {
        // Every other sender is a handler's or an acceptor's.
        self.log = None;
        let end = loop {
            match receive(&self.events) {
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
        self.side.abandon();
    }
}
