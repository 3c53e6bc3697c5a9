//! The listeners of an engine: where their sockets are, and how one leaves without loss.
//!
//! ```text
//!   retire(1), a group of 4:   socket  0   1   2   3        on shard  0   1   2   3
//!     steer to the first 3, end 3      0   1   2  (3)                 0   1   2   3
//!     the shard of 3 takes 1 over      0   1   2                      0   3   2
//! ```
//!
//! Only the last socket of a group can leave with the others' places kept, and only one program is
//! ever attached to a group (`steer` in the reactor says why). So the socket of a shard that goes
//! is handed to another shard, with its queue; and the first time that one's own socket is the one
//! that ends, so that each shard has one. Later a shard may have two: that loses nothing either.
//!
//! Never: looks into a connection.
//!
//! Invariants:
//! 1. One change at a time: whoever adds, retires or hands over holds the lock.

use crate::accept::{Alive, Closure, shares};
use crate::engine::Engine;
use crate::error::StartError;
use crate::letter::{ListenOrder, Order};
use crate::listen::Listen;
use crate::sockets::{Kind, Sockets};
use crate::worker::is_shard;
use crossbeam_channel::{Receiver, bounded};
use parking_lot::Mutex;
use shardpoll_reactor::{
    Accept, Addr, DrainPlan, Handler, Linux, ListenerId, Peer, Reactor, prefer_cpu, steer,
};
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Weak};
use std::time::Duration;

/// What an engine knows of its listeners.
#[derive(Default)]
pub(crate) struct Listeners {
    /// By number. Never held while a shard is waited for.
    pub(crate) known: Mutex<Vec<Listening>>,
    /// Shards that take nothing new; held while sockets come and go.
    retired: Mutex<Vec<usize>>,
}

/// One listener, and what it was.
#[derive(Clone)]
pub(crate) struct Listening {
    pub(crate) name: Option<String>,
    pub(crate) addr: Addr,
    pub(crate) kind: Kind,
    /// No program may be attached to its group: there is one, another process may be in it, or its
    /// sockets prefer CPUs.
    pub(crate) steered: bool,
    pub(crate) alive: Weak<dyn Alive>,
}

impl Listeners {
    pub(crate) fn addrs(&self) -> Vec<Addr> {
        self.known.lock().iter().map(|listening| listening.addr.clone()).collect()
    }

    pub(crate) fn find(&self, id: ListenerId) -> Option<Listening> {
        self.known.lock().get(id.number() as usize).cloned()
    }

    /// Notes that no program may be attached to the group of this one any more; false when none
    /// might before.
    fn steer_once(&self, id: ListenerId) -> bool {
        let mut known = self.known.lock();
        let listening = known.get_mut(id.number() as usize);
        listening.is_some_and(|it| !std::mem::replace(&mut it.steered, true))
    }

    /// Those that have sockets still.
    pub(crate) fn alive(&self) -> Vec<(ListenerId, Listening)> {
        let known = self.known.lock();
        let all = known.iter().zip(0..).map(|(it, number)| (ListenerId::new(number), it.clone()));
        all.filter(|(_, listening)| listening.alive.strong_count() > 0).collect()
    }
}

impl Engine {
    /// Listens with one socket per shard, over which the kernel spreads connections.
    ///
    /// `accept` makes the handler of each connection. Every shard has its own clone of it, and thus
    /// its own state: nothing is shared unless you share it.
    ///
    /// # Errors
    /// [`StartError`] when the address cannot be had, when a limit makes no sense, or when called
    /// from a callback.
    pub fn listen<H, F>(&self, at: Listen, accept: F) -> Result<ListenerId, StartError>
    where
        H: Handler,
        F: FnMut(&Peer) -> H + Clone + Send + 'static,
    {
        self.listen_with(at, Closure(accept))
    }

    /// Listens with an acceptor of one's own making, which is also told of the listener's end:
    /// once, on the shard whose socket was the last to be closed (O9).
    ///
    /// # Errors
    /// As [`listen`](Self::listen); the acceptor is told nothing then.
    pub fn listen_with<A>(&self, at: Listen, accept: A) -> Result<ListenerId, StartError>
    where
        A: Accept + Clone + Send,
    {
        if is_shard() {
            return Err(StartError::OnShard);
        }
        let retired = self.listeners.retired.lock();
        let shards: Vec<_> = (0..self.shards()).filter(|it| !retired.contains(it)).collect();
        let opened = at.open(shards.len(), &self.config)?;
        let Sockets { each: sockets, addr, options, file, name, kind, steered } = opened;
        let shards: Vec<_> = shards.into_iter().cycle().take(sockets.len()).collect();
        for (socket, shard) in sockets.iter().zip(&shards).filter(|_| kind == Kind::Group) {
            if let Some(cpu) = self.cpus.get(*shard) {
                prefer_cpu(socket, *cpu)
                    .map_err(|source| StartError::Listen { addr: addr.clone(), source })?;
            }
        }
        let (alive, accepts) = shares(&accept, shards.clone(), file);
        let id = {
            let mut known = self.listeners.known.lock();
            // A program would take no notice of the CPUs that its sockets prefer.
            let steered = steered || !self.cpus.is_empty();
            known.push(Listening { name, addr: addr.clone(), kind, steered, alive });
            ListenerId::new(u32::try_from(known.len() - 1).unwrap_or(u32::MAX - 1))
        };
        let mut replies = Vec::with_capacity(sockets.len());
        for ((socket, accept), shard) in sockets.into_iter().zip(accepts).zip(shards) {
            let (reply, added) = bounded(1);
            let order = ListenOrder { id, socket, options: options.clone(), accept, reply };
            self.order(shard, Order::Listen(Box::new(order)))?;
            replies.push(added);
        }
        let mut outcome = Ok(id);
        for added in replies {
            if let Err(source) = added.recv().map_err(|_| StartError::Ended)? {
                outcome = Err(StartError::Listen { addr: addr.clone(), source });
            }
        }
        match outcome {
            Ok(id) => self.remote.vitals.add_listener(id, addr),
            Err(_) => self.close_listener(id),
        }
        outcome
    }

    /// Stops listening on every shard; connections that were accepted live on (S128).
    ///
    /// Asynchronous. Nobody is lost who is connected, or believes to be: those who wait are
    /// accepted first, and handshakes under way are waited for ([`Listen::handshake_grace`]).
    pub fn close_listener(&self, listener: ListenerId) {
        self.remote.close_listener(listener);
    }

    /// Stops listening on every shard without ending what others hold of the same sockets, such as
    /// the process that has taken them over: those who wait are theirs now. What nobody holds is
    /// closed, and whoever waits there is reset.
    ///
    /// Returns when no shard listens there any more. The file of a unix socket stays.
    ///
    /// # Errors
    /// [`StartError`] when the engine has ended, or when called from a callback.
    pub fn release_listener(&self, listener: ListenerId) -> Result<(), StartError> {
        if is_shard() {
            return Err(StartError::OnShard);
        }
        let _changing = self.listeners.retired.lock();
        let listening = self.listeners.find(listener);
        let Some(alive) = listening.and_then(|it| it.alive.upgrade()) else { return Ok(()) };
        if let Some(file) = alive.file() {
            file.stay();
        }
        for shard in distinct(alive.shards()) {
            self.on_reactor(shard, move |reactor| drop(reactor.release_listener(listener)))?;
        }
        Ok(())
    }

    /// Ends one shard: its sockets go to others without loss, then it [drains](Self::drain), and
    /// what is left at the plan's deadline is cut. The other shards go on.
    ///
    /// Returns when nobody new can come to the shard, so the plan's time to accept is not waited
    /// for. Letters to it are
    /// [`Ended`](crate::Undelivered::Ended) once it has ended; a listener that is added later has
    /// no socket there.
    ///
    /// # Errors
    /// [`StartError`]: the shard is retired already or never was, it is the last one, the engine
    /// has ended, or this is called from a callback.
    pub fn retire(&self, shard: usize, plan: DrainPlan) -> Result<(), StartError> {
        if is_shard() {
            return Err(StartError::OnShard);
        }
        let mut retired = self.listeners.retired.lock();
        let mut others: Vec<_> = (0..self.shards()).filter(|it| !retired.contains(it)).collect();
        let live = others.len();
        others.retain(|other| *other != shard);
        if others.len() == live || others.is_empty() {
            return Err(StartError::NotRetired { shard });
        }
        for (id, listening) in self.listeners.alive() {
            if let Some(alive) = listening.alive.upgrade() {
                self.leave(id, listening.kind, &alive, shard, &others)?;
            }
        }
        retired.push(shard);
        self.order(shard, Order::Drain(plan.accept_for(Duration::ZERO)))
    }

    /// The sockets of one listener leave a shard.
    fn leave(
        &self,
        id: ListenerId,
        kind: Kind,
        alive: &Arc<dyn Alive>,
        shard: usize,
        others: &[usize],
    ) -> Result<(), StartError> {
        let at = alive.shards();
        if !at.contains(&shard) {
            return Ok(());
        }
        let fewest = others.iter().copied().min_by_key(|other| count(&at, *other));
        let fewest = fewest.expect("there are others");
        let last = at[at.len() - 1];
        let one_each = distinct(at.clone()).len() == at.len();
        let steered = kind == Kind::Group
            && one_each
            && at.len() > 1
            && self.listeners.steer_once(id)
            && self.steer_to_first(id, last, at.len() - 1)?;
        let heir = if steered && last != shard { last } else { fewest };
        // All of them are the same socket, and others have it.
        let is_shared = kind == Kind::Shared && at.iter().any(|other| *other != shard);
        if !is_shared {
            let gone = steered && last == shard;
            self.inherit(id, alive, (shard, heir), gone)?;
        }
        if steered && last != shard {
            self.on_reactor(last, move |reactor| reactor.close_oldest_socket(id))?;
        }
        self.on_reactor(shard, move |reactor| drop(reactor.release_listener(id)))
    }

    /// A group gives nothing new to its last socket, which is on this shard; false when that cannot
    /// be had.
    fn steer_to_first(&self, id: ListenerId, last: usize, rest: usize) -> Result<bool, StartError> {
        let steered = self.on_reactor(last, move |reactor| {
            reactor.listener_sockets(id).next().map_or(Ok(()), |socket| steer(socket, rest))
        })?;
        if let Err(error) = &steered {
            log::info!("a shard will have two sockets of one listener, no program: {error}");
        }
        Ok(steered.is_ok())
    }

    /// A shard listens at the sockets that another one has of a listener, or only serves those who
    /// wait there and ends them. The other has its own descriptors still, and so its acceptor.
    fn inherit(
        &self,
        id: ListenerId,
        alive: &Arc<dyn Alive>,
        (from, to): (usize, usize),
        ends: bool,
    ) -> Result<(), StartError> {
        let (options, sockets) = self.on_reactor(from, move |reactor| {
            let sockets: Vec<_> = reactor.listener_sockets(id).map(OwnedFd::try_clone).collect();
            (reactor.listener_options(id).unwrap_or_default(), sockets)
        })?;
        for socket in sockets {
            let socket = socket.map_err(|source| StartError::Shard { shard: from, source })?;
            let accept = Arc::clone(alive).instead_of(from, to);
            let options = options.clone();
            let added = self.on_reactor(to, move |reactor| {
                reactor.add_listener(id, socket, options, accept)?;
                if ends {
                    reactor.close_newest_socket(id);
                }
                Ok(())
            })?;
            added.map_err(|source: io::Error| StartError::Shard { shard: to, source })?;
        }
        Ok(())
    }

    /// A duplicate of each socket of a listener, in the order of their group; of one that is shared
    /// by all shards, one.
    pub(crate) fn descriptors(&self, listener: ListenerId) -> Result<Vec<OwnedFd>, StartError> {
        let Some(Listening { alive, kind, .. }) = self.listeners.find(listener) else {
            return Ok(Vec::new());
        };
        let Some(alive) = alive.upgrade() else { return Ok(Vec::new()) };
        let at = alive.shards();
        let mut of_shard = Vec::new();
        for shard in distinct(at.clone()) {
            let duplicates = self.on_reactor(shard, move |reactor| {
                reactor.listener_sockets(listener).map(OwnedFd::try_clone).collect::<Vec<_>>()
            })?;
            of_shard.push((shard, duplicates.into_iter()));
        }
        let mut sockets = Vec::with_capacity(at.len());
        for shard in at {
            let next = of_shard.iter_mut().find(|(of, _)| *of == shard);
            if let Some(socket) = next.and_then(|(_, duplicates)| duplicates.next()) {
                sockets.push(socket.map_err(|source| StartError::Shard { shard, source })?);
            }
        }
        if kind == Kind::Shared {
            sockets.truncate(1);
        }
        Ok(sockets)
    }

    /// How long the end of a listener may wait, on every shard; gives what it was.
    ///
    /// `None` once another process may hold the same sockets, which shall not refuse anybody then.
    pub(crate) fn set_handshake_grace(
        &self,
        listener: ListenerId,
        grace: Option<Duration>,
    ) -> Result<Option<Duration>, StartError> {
        let alive = self.listeners.find(listener).and_then(|it| it.alive.upgrade());
        let mut old = None;
        for shard in alive.map_or_else(Vec::new, |alive| distinct(alive.shards())) {
            let change =
                move |reactor: &mut Reactor<Linux>| reactor.set_handshake_grace(listener, grace);
            old = self.on_reactor(shard, change)?.or(old);
        }
        Ok(old)
    }

    fn order(&self, shard: usize, order: Order<Linux>) -> Result<(), StartError> {
        let posted = self.remote.mailboxes[shard].order(order);
        posted.map_err(|_| StartError::Ended)
    }

    /// Does something on a shard, between two turns, and waits for its result.
    fn on_reactor<R: Send + 'static>(
        &self,
        shard: usize,
        f: impl FnOnce(&mut Reactor<Linux>) -> R + Send + 'static,
    ) -> Result<R, StartError> {
        let (reply, done): (_, Receiver<R>) = bounded(1);
        let f = move |reactor: &mut Reactor<Linux>| {
            let _gone = reply.send(f(reactor));
        };
        self.order(shard, Order::Do(Box::new(f)))?;
        done.recv().map_err(|_| StartError::Ended)
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
        self.listeners.find(listener).map(|listening| listening.addr)
    }
}

fn distinct(mut shards: Vec<usize>) -> Vec<usize> {
    shards.sort_unstable();
    shards.dedup();
    shards
}

fn count(at: &[usize], shard: usize) -> usize {
    at.iter().filter(|known| **known == shard).count()
}

/// Whether the kernel itself moves those who wait at a socket that is closed to another one of its
/// group (`net.ipv4.tcp_migrate_req`, Linux 5.14); `None` when it does not say.
///
/// This engine loses nobody either way; it does help where a process is killed.
#[must_use]
pub fn tcp_migrate_req() -> Option<bool> {
    let text = std::fs::read_to_string("/proc/sys/net/ipv4/tcp_migrate_req").ok()?;
    Some(text.trim() != "0")
}
