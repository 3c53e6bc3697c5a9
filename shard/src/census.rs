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

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::SocketAddr;
    use std::sync::Barrier;

    const THREADS: usize = 4;
    const ROUNDS: usize = 20_000;

    /// The most that were in at a time, and those who are in now.
    #[derive(Default)]
    struct Seen {
        now: AtomicUsize,
        most: AtomicUsize,
    }

    impl Seen {
        fn come(&self) {
            let now = self.now.fetch_add(1, Ordering::SeqCst) + 1;
            self.most.fetch_max(now, Ordering::SeqCst);
        }

        fn go(&self) {
            self.now.fetch_sub(1, Ordering::SeqCst);
        }
    }

    /// All, those of each listener, and those of each peer.
    type AllSeen = [Seen; 6];

    /// One connection, and where it is seen.
    struct Line {
        listener: ListenerId,
        peer: Addr,
        seen: [usize; 3],
    }

    impl Line {
        fn new(listener: u8, peer: u8) -> Self {
            let addr = SocketAddr::from(([192, 0, 2, peer], 1));
            let seen = [0, 1 + usize::from(listener), 3 + usize::from(peer)];
            Self { listener: ListenerId::new(listener.into()), peer: Addr::Ip(addr), seen }
        }

        fn come(&self, census: &Shared, seen: &AllSeen) -> bool {
            if census.enter(self.listener).is_err() {
                return false;
            }
            if census.enter_peer(self.listener, &self.peer).is_err() {
                census.leave(self.listener);
                return false;
            }
            self.seen.iter().for_each(|kind| seen[*kind].come());
            true
        }

        fn go(&self, census: &Shared, seen: &AllSeen) {
            self.seen.iter().for_each(|kind| seen[*kind].go());
            census.leave_peer(self.listener, &self.peer);
            census.leave(self.listener);
        }
    }

    /// One shard's share of the storm: each comes, stays for a while, and goes.
    fn storm(census: &Shared, thread: usize, seen: &AllSeen) -> usize {
        let (mut inside, mut turned_away) = (Vec::new(), 0);
        for round in 0..ROUNDS {
            let number = |of: usize| u8::try_from((round / 2 + thread) % of).expect("small");
            let line = Line::new(u8::from(round % 2 == 0), number(3));
            if line.come(census, seen) {
                inside.push(line);
            } else {
                turned_away += 1;
            }
            if inside.len() > round % 4 {
                inside.swap_remove(0).go(census, seen);
            }
        }
        inside.iter().for_each(|line| line.go(census, seen));
        turned_away
    }

    #[test]
    fn shards_that_storm_in_are_never_too_many_and_leave_nothing_behind() {
        let mut config = Config::default();
        config.max_connections = Some(6);
        config.max_connections_per_peer = Some(3);
        let census = EngineCensus::new(&config);
        let mut limits = Limits::default();
        limits.max_connections = Some(4);
        limits.max_connections_per_peer = Some(2);
        let seen: AllSeen = Default::default();
        let start = Barrier::new(THREADS);
        let turned_away: usize = std::thread::scope(|scope| {
            let (census, seen, start) = (&census, &seen, &start);
            let body = |thread| {
                let own = Shared(Arc::clone(census));
                for id in [0, 1] {
                    assert!(own.add_listener(ListenerId::new(id), limits));
                }
                start.wait();
                storm(&own, thread, seen)
            };
            let threads: Vec<_> =
                (0..THREADS).map(|thread| scope.spawn(move || body(thread))).collect();
            threads.into_iter().map(|thread| thread.join().expect("no panic")).sum()
        });
        let most = |kind: usize| seen[kind].most.load(Ordering::SeqCst);
        assert!(
            most(0) <= 6 && most(1) <= 4 && most(2) <= 4,
            "{} {} {}",
            most(0),
            most(1),
            most(2)
        );
        assert!(turned_away > 0, "the limits were reached");
        assert_eq!(census.all.load(Ordering::SeqCst), 0);
        for listener in census.listeners.read().values() {
            assert_eq!(listener.open.load(Ordering::SeqCst), 0);
        }
        assert!(census.stripes.iter().all(|peers| peers.lock().is_empty()));
    }
}
