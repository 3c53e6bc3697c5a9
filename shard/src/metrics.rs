//! What an engine has done so far, as plain data, and where it is gathered.
//!
//! Never: asks a shard; everything is read where the shard has left it, so a snapshot of one that
//! is stuck is to be had at once.

use crate::thread::Thread;
use parking_lot::Mutex;
use shardpoll_reactor::{Addr, Counters, Histogram, ListenerCounters, ListenerId, Pulse};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

/// What an engine has done so far.
///
/// Each number was read when the snapshot was taken, but not all at one instant: of a busy shard,
/// two of them may be some microseconds apart. Nothing is lost, and nothing goes back.
#[derive(Clone, Default, Debug)]
#[non_exhaustive]
pub struct Snapshot {
    /// By the shard's number.
    pub shards: Vec<ShardMetrics>,
    /// By the listener's number; those that were closed are among them.
    pub listeners: Vec<ListenerMetrics>,
}

/// What one shard has done so far.
#[derive(Clone, Default, Debug)]
#[non_exhaustive]
pub struct ShardMetrics {
    /// What its loop has counted.
    pub counters: Counters,
    /// How long its turns took, from the end of a wait to the beginning of the next.
    pub turn_times: Histogram,
    /// How long it took to serve one event, of every 64th turn.
    pub service_times: Histogram,
    /// Tasks it has done that were sent to it.
    pub letters: u64,
    /// Times the watchdog has found it stalled.
    pub stalls: u64,
    /// Times it has begun anew after a failure.
    pub restarts: u64,
    /// The CPU that its thread was to be bound to, if it was.
    pub cpu: Option<usize>,
    /// Whether it runs there, and nowhere else; `None` when it was not to be bound, or has ended,
    /// or the kernel does not say. A mask that is changed from outside shows here.
    pub pinned: Option<bool>,
}

/// What has become of the connections of one listener.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ListenerMetrics {
    /// Its name.
    pub id: ListenerId,
    /// Where it listens, or listened.
    pub addr: Addr,
    /// By the shard's number.
    pub shards: Vec<ListenerCounters>,
}

impl Snapshot {
    /// All shards together, on no CPU in particular.
    #[must_use]
    pub fn total(&self) -> ShardMetrics {
        let mut total = ShardMetrics::default();
        for shard in &self.shards {
            total.add(shard);
        }
        total
    }

    /// One listener on all shards together; `None` if there never was one of this name.
    #[must_use]
    pub fn listener(&self, id: ListenerId) -> Option<ListenerCounters> {
        self.listeners.iter().find(|listener| listener.id == id).map(ListenerMetrics::total)
    }
}

impl ShardMetrics {
    fn add(&mut self, other: &Self) {
        self.counters.add(&other.counters);
        self.turn_times.add(&other.turn_times);
        self.service_times.add(&other.service_times);
        self.letters += other.letters;
        self.stalls += other.stalls;
        self.restarts += other.restarts;
    }
}

impl ListenerMetrics {
    /// All shards together.
    #[must_use]
    pub fn total(&self) -> ListenerCounters {
        let mut total = ListenerCounters::default();
        for shard in &self.shards {
            total.add(shard);
        }
        total
    }
}

/// Where the numbers of an engine are gathered.
pub(crate) struct Vitals {
    pub(crate) shards: Box<[Arc<ShardVitals>]>,
    listeners: Mutex<Vec<(ListenerId, Addr)>>,
}

/// What one shard shows of itself.
#[derive(Default)]
pub(crate) struct ShardVitals {
    pub(crate) pulse: Arc<Pulse>,
    letters: AtomicU64,
    stalls: AtomicU64,
    restarts: AtomicU64,
    /// What the kernel says of its thread, and the CPU that it was to be bound to.
    place: OnceLock<(Option<Thread>, Option<usize>)>,
}

impl ShardVitals {
    /// One more task is about to be done; by the shard itself.
    pub(crate) fn count_letter(&self) {
        // The shard is the only writer, so nothing can come between.
        let letters = self.letters.load(Ordering::Relaxed);
        self.letters.store(letters + 1, Ordering::Relaxed);
    }

    /// The shard begins, on the thread that calls.
    pub(crate) fn begin(&self, cpu: Option<usize>) {
        self.place.get_or_init(|| (Thread::current(), cpu));
    }

    /// What the kernel says of its thread.
    pub(crate) fn thread(&self) -> Option<&Thread> {
        self.place.get()?.0.as_ref()
    }

    pub(crate) fn count_stall(&self) {
        self.stalls.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn count_restart(&self) {
        self.restarts.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn metrics(&self) -> ShardMetrics {
        let cpu = self.place.get().and_then(|(_, cpu)| *cpu);
        let bound = |cpu| self.thread().and_then(|thread| thread.is_bound_to(cpu));
        ShardMetrics {
            counters: self.pulse.counters(),
            turn_times: self.pulse.turn_times(),
            service_times: self.pulse.service_times(),
            letters: self.letters.load(Ordering::Relaxed),
            stalls: self.stalls.load(Ordering::Relaxed),
            restarts: self.restarts.load(Ordering::Relaxed),
            cpu,
            pinned: cpu.and_then(bound),
        }
    }
}

impl Vitals {
    pub(crate) fn new(shards: usize) -> Arc<Self> {
        let shards = (0..shards).map(|_| Arc::default()).collect();
        Arc::new(Self { shards, listeners: Mutex::default() })
    }

    /// A listener has begun.
    pub(crate) fn add_listener(&self, id: ListenerId, addr: Addr) {
        self.listeners.lock().push((id, addr));
    }

    pub(crate) fn snapshot(&self) -> Snapshot {
        let shards = self.shards.iter().map(|shard| shard.metrics()).collect();
        let counted: Vec<_> = self.shards.iter().map(|shard| shard.pulse.listeners()).collect();
        let of = |id: ListenerId| {
            let on = |shard: &Vec<(ListenerId, ListenerCounters)>| {
                shard.iter().find(|(known, _)| *known == id).map(|(_, counters)| *counters)
            };
            counted.iter().map(|shard| on(shard).unwrap_or_default()).collect()
        };
        let listener = |(id, addr): &(ListenerId, Addr)| ListenerMetrics {
            id: *id,
            addr: addr.clone(),
            shards: of(*id),
        };
        let listeners = self.listeners.lock().iter().map(listener).collect();
        Snapshot { shards, listeners }
    }
}
