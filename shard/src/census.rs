//! How many connections an engine has: one count for all its shards.
//!
//! Atomics for all and for each listener; peers by stripes, each a map behind a lock, which is
//! touched only for a limit of peers that was set, when a connection comes and when it goes.
//!
//! Never: is asked on the path of a byte; chooses a stripe by what a peer can choose: the hash has
//! keys of its own for each engine.
//!
//! Invariants:
//! 1. No count is ever above its limit, not even for a moment, and each is 0 when nothing is left.
//! 2. A peer without a connection takes no memory.

use parking_lot::{Mutex, RwLock};
use shardpoll_reactor::{Addr, Census, Config, Limits, ListenerId, PeerNet, TooMany};
use std::collections::HashMap;
use std::collections::hash_map::{Entry, RandomState};
use std::hash::BuildHasher;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// How many maps there are: several times as many as shards that accept at the same moment.
const STRIPES: usize = 64;

/// Connections by peer: over all listeners, and of one.
type Peers = HashMap<(Option<ListenerId>, PeerNet), usize, RandomState>;

/// What the shards of an engine share.
pub(crate) struct EngineCensus {
    limits: Limits,
    all: AtomicUsize,
    /// Grows by one with each listener that has limits, as the engine's list of addresses does.
    listeners: RwLock<HashMap<ListenerId, Arc<Listener>>>,
    hash: RandomState,
    stripes: Box<[Mutex<Peers>]>,
}

struct Listener {
    limits: Limits,
    open: AtomicUsize,
}

/// Takes one more, unless that is too many.
///
/// Never above the limit in between: others would be turned away for one who was turned away.
fn enter(count: &AtomicUsize, max: Option<usize>) -> bool {
    let max = max.unwrap_or(usize::MAX);
    let more = |count: usize| (count < max).then_some(count + 1);
    // Counts publish nothing but themselves.
    count.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok()
}

fn leave(count: &AtomicUsize) {
    count.fetch_sub(1, Ordering::Relaxed);
}

impl EngineCensus {
    pub(crate) fn new(config: &Config) -> Arc<Self> {
        let hash = RandomState::new();
        let peers = |_| Mutex::new(Peers::with_hasher(hash.clone()));
        let stripes = (0..STRIPES).map(peers).collect();
        let limits = Limits::of(config);
        let (all, listeners) = (AtomicUsize::new(0), RwLock::default());
        Arc::new(Self { limits, all, listeners, hash, stripes })
    }

    fn listener(&self, id: ListenerId) -> Option<Arc<Listener>> {
        self.listeners.read().get(&id).cloned()
    }

    fn stripe(&self, net: PeerNet) -> &Mutex<Peers> {
        let hash = usize::try_from(self.hash.hash_one(net) % STRIPES as u64);
        &self.stripes[hash.expect("less than the stripes")]
    }

    fn enter(&self, id: ListenerId) -> Result<(), TooMany> {
        if !enter(&self.all, self.limits.max_connections) {
            return Err(TooMany::InAll);
        }
        if let Some(listener) = self.listener(id) {
            if !enter(&listener.open, listener.limits.max_connections) {
                leave(&self.all);
                return Err(TooMany::OfListener);
            }
        }
        Ok(())
    }

    fn leave(&self, id: ListenerId) {
        if let Some(listener) = self.listener(id) {
            leave(&listener.open);
        }
        leave(&self.all);
    }

    /// The limits that hold for the peers of a listener, with what they are counted under.
    fn peer_limits(&self, id: ListenerId) -> [Option<(Option<ListenerId>, usize)>; 2] {
        let own = self.listener(id).and_then(|one| one.limits.max_connections_per_peer);
        let all = self.limits.max_connections_per_peer;
        [all.map(|max| (None, max)), own.map(|max| (Some(id), max))]
    }

    fn enter_peer(&self, id: ListenerId, peer: &Addr) -> Result<(), TooMany> {
        let limits = self.peer_limits(id);
        let limits = || limits.iter().flatten();
        let (Some(net), Some(_)) = (PeerNet::of(peer), limits().next()) else { return Ok(()) };
        let mut peers = self.stripe(net).lock();
        for (of, max) in limits() {
            if peers.get(&(*of, net)).is_some_and(|count| count >= max) {
                return Err(TooMany::FromPeer);
            }
        }
        for (of, _) in limits() {
            *peers.entry((*of, net)).or_default() += 1;
        }
        Ok(())
    }

    fn leave_peer(&self, id: ListenerId, peer: &Addr) {
        let limits = self.peer_limits(id);
        let (Some(net), true) = (PeerNet::of(peer), limits.iter().any(Option::is_some)) else {
            return;
        };
        let mut peers = self.stripe(net).lock();
        for (of, _) in limits.iter().flatten() {
            if let Entry::Occupied(mut count) = peers.entry((*of, net)) {
                *count.get_mut() -= 1;
                if *count.get() == 0 {
                    count.remove();
                }
            }
        }
        if peers.is_empty() {
            // What an attack has made it grow to is given back.
            peers.shrink_to_fit();
        }
    }
}

/// One shard's view of it.
pub(crate) struct Shared(pub(crate) Arc<EngineCensus>);

impl Census for Shared {
    fn add_listener(&self, id: ListenerId, limits: Limits) -> bool {
        if limits.any() {
            let new = || Arc::new(Listener { limits, open: AtomicUsize::new(0) });
            self.0.listeners.write().entry(id).or_insert_with(new);
        }
        limits.any() || self.0.limits.any()
    }

    fn enter(&self, id: ListenerId) -> Result<(), TooMany> {
        self.0.enter(id)
    }

    fn leave(&self, id: ListenerId) {
        self.0.leave(id);
    }

    fn enter_peer(&self, id: ListenerId, peer: &Addr) -> Result<(), TooMany> {
        self.0.enter_peer(id, peer)
    }

    fn leave_peer(&self, id: ListenerId, peer: &Addr) {
        self.0.leave_peer(id, peer);
    }
}
