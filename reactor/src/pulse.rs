//! What any thread may see of a loop at any time, also when the loop is stuck: what it is at, and
//! what it has counted.
//!
//! Never: decides anything; is written by another thread than the loop's.
//!
//! Invariants:
//! 1. `began` is 0 exactly while the loop waits, or has not begun, or has ended.

use crate::callback::Callback;
use crate::counters::{Counters, ListenerCounters, ListenerCounts, LoopCounts};
use crate::histogram::{Histogram, Times};
use crate::id::{ConnId, ListenerId};
use shardpoll_timers::Tick;
use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

/// What any thread may see of a loop at any time.
///
/// Nothing here waits for the loop, so it can be asked of one that is stuck.
#[derive(Default, Debug)]
// Loops that run side by side shall not write to one cache line.
#[repr(align(64))]
pub struct Pulse {
    /// When the work of this turn began.
    began: AtomicU64,
    conn: AtomicU64,
    listener: AtomicU32,
    callback: AtomicU8,
    pub(crate) counters: LoopCounts,
    pub(crate) turn_times: Times,
    pub(crate) service_times: Times,
    listeners: OnceLock<Box<Node>>,
}

/// What a loop is at.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Doing {
    /// Since when it has not looked at the kernel.
    pub since: Tick,
    /// The connection that is being served, if it is one.
    pub conn: Option<ConnId>,
    /// The listener of that connection, or the one that is being served.
    pub listener: Option<ListenerId>,
    /// The callback that runs, or ran last: what the loop does between two callbacks is short.
    pub callback: &'static str,
}

impl Doing {
    /// For whoever watches something like a loop, and for tests of such.
    #[must_use]
    pub fn new(
        since: Tick,
        conn: Option<ConnId>,
        listener: Option<ListenerId>,
        callback: &'static str,
    ) -> Self {
        Self { since, conn, listener, callback }
    }
}

impl Pulse {
    /// What the loop is at; `None` while it waits, and before it begins and after it has ended.
    #[must_use]
    pub fn doing(&self) -> Option<Doing> {
        let since = match self.began.load(Ordering::Relaxed) {
            0 => return None,
            nanos => Tick::from_nanos(nanos),
        };
        Some(Doing {
            since,
            conn: ConnId::from_key(self.conn.load(Ordering::Relaxed)),
            listener: ListenerId::from_key(self.listener.load(Ordering::Relaxed)),
            callback: self.calling().as_str(),
        })
    }

    /// What the loop has done. Bytes and timers are those at the end of the turn before.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.counters.read()
    }

    /// What has become of the connections of each listener that the loop has, or has had.
    #[must_use]
    pub fn listeners(&self) -> Vec<(ListenerId, ListenerCounters)> {
        let first = self.listeners.get();
        let nodes = std::iter::successors(first, |node| node.next.get());
        nodes.map(|node| (node.id, node.counts.read())).collect()
    }

    /// How long turns took, from the end of a wait to the beginning of the next. The turn that
    /// ended last is in it when the next has begun.
    #[must_use]
    pub fn turn_times(&self) -> Histogram {
        self.turn_times.read()
    }

    /// How long it took to serve one event (its read, its callbacks, what they wrote), of every
    /// 64th turn.
    #[must_use]
    pub fn service_times(&self) -> Histogram {
        self.service_times.read()
    }

    /// The loop begins to wait; gives since when it has worked, if it has.
    #[inline]
    pub(crate) fn rest(&self) -> Option<Tick> {
        let began = self.began.load(Ordering::Relaxed);
        self.began.store(0, Ordering::Relaxed);
        (began != 0).then(|| Tick::from_nanos(began))
    }

    /// The wait is over.
    #[inline]
    pub(crate) fn work(&self, now: Tick) {
        self.began.store(now.as_nanos(), Ordering::Relaxed);
    }

    /// A service begins.
    #[inline]
    pub(crate) fn serve(&self, conn: Option<ConnId>, listener: Option<ListenerId>) {
        self.conn.store(conn.map_or(0, ConnId::key), Ordering::Relaxed);
        self.listener.store(listener.map_or(0, ListenerId::key), Ordering::Relaxed);
    }

    #[inline]
    pub(crate) fn call(&self, callback: Callback) {
        self.callback.store(callback as u8, Ordering::Relaxed);
    }

    /// The callback that runs, or ran last.
    #[inline]
    pub(crate) fn calling(&self) -> Callback {
        Callback::from_u8(self.callback.load(Ordering::Relaxed))
    }

    /// The numbers of a listener, which may be a new one.
    pub(crate) fn listener(&self, id: ListenerId) -> Arc<ListenerCounts> {
        let mut end = &self.listeners;
        while let Some(node) = end.get() {
            if node.id == id {
                return Arc::clone(&node.counts);
            }
            end = &node.next;
        }
        let counts = Arc::new(ListenerCounts::default());
        let next = OnceLock::new();
        // Nobody else adds any: the list has one writer.
        let node = end.get_or_init(|| Box::new(Node { id, counts, next }));
        Arc::clone(&node.counts)
    }

    /// There is no loop any more, and so no connection on it.
    pub(crate) fn end(&self) {
        self.rest();
        self.serve(None, None);
        self.call(Callback::None);
        self.counters.open.set(0);
        self.counters.timers.set(0);
        let mut next = self.listeners.get();
        while let Some(node) = next {
            node.counts.open.set(0);
            next = node.next.get();
        }
    }
}

/// One listener's numbers, in a list that only grows, so that it is read without a lock.
#[derive(Debug)]
struct Node {
    id: ListenerId,
    counts: Arc<ListenerCounts>,
    next: OnceLock<Box<Self>>,
}

/// One after the other: a list of thousands would else be dropped thousands deep.
impl Drop for Pulse {
    fn drop(&mut self) {
        let mut next = self.listeners.take();
        while let Some(mut node) = next {
            next = node.next.take();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_very_many_listeners_is_dropped_without_depth() {
        let counts = Arc::new(ListenerCounts::default());
        let mut next = OnceLock::new();
        for number in 0..1_000_000 {
            let (id, counts) = (ListenerId::new(number), Arc::clone(&counts));
            next = OnceLock::from(Box::new(Node { id, counts, next }));
        }
        let mut pulse = Pulse::default();
        pulse.listeners = next;
        drop(pulse);
        assert_eq!(Arc::strong_count(&counts), 1);
    }

    #[test]
    fn listeners_are_read_in_the_order_of_their_coming() {
        let pulse = Pulse::default();
        for number in 0..2000 {
            pulse.listener(ListenerId::new(number)).accepted.add(u64::from(number));
        }
        let listeners = pulse.listeners();
        assert_eq!(listeners.len(), 2000);
        for (number, (id, counters)) in (0..).zip(&listeners) {
            assert_eq!((id.number(), counters.accepted), (number, u64::from(number)));
        }
    }

    #[test]
    fn what_a_loop_is_at_is_seen_until_it_waits() {
        let pulse = Pulse::default();
        assert_eq!((pulse.doing(), pulse.rest()), (None, None));
        pulse.work(Tick::from_nanos(7));
        let (conn, listener) = (ConnId::new(1, 2, 3), Some(ListenerId::new(0)));
        pulse.serve(conn, listener);
        pulse.call(Callback::Incoming);
        let since = Tick::from_nanos(7);
        let doing = Doing { since, conn, listener, callback: "on_incoming" };
        assert_eq!(pulse.doing(), Some(doing));
        assert_eq!(pulse.rest(), Some(since));
        assert_eq!(pulse.doing(), None);
    }
}
