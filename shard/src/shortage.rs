//! Descriptors have run out: how a shard whose listeners rest hears that another has closed one
//! (S127). The limit is the process', the loops are not.
//!
//! A shard that begins to rest says so, and then tries once more; a shard that has closed a
//! descriptor looks who rests. Each does its store (or system call) before its look, with a
//! sequentially consistent fence between, so at least one of them sees the other.
//!
//! Never: is looked at by a shard that neither rests nor has closed anything.
//!
//! Invariants:
//! 1. `resting` is the number of shards that have said they rest and not that they do not.

use shardpoll_reactor::{Linux, Reactor, Sys, Wake};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering, fence};

/// What the shards of an engine share.
pub(crate) struct Shortage<S: Sys> {
    resting: AtomicUsize,
    shards: Box<[Shard<S>]>,
}

struct Shard<S: Sys> {
    /// Another shard has closed a descriptor.
    freed: AtomicBool,
    waker: S::Waker,
}

impl<S: Sys> Shortage<S> {
    pub(crate) fn new(wakers: impl IntoIterator<Item = S::Waker>) -> Arc<Self> {
        let shard = |waker| Shard { freed: AtomicBool::new(false), waker };
        let shards = wakers.into_iter().map(shard).collect();
        Arc::new(Self { resting: AtomicUsize::new(0), shards })
    }

    fn tell_others(&self, but: usize) {
        for (_, shard) in self.shards.iter().enumerate().filter(|(number, _)| *number != but) {
            shard.freed.store(true, Ordering::Release);
            shard.waker.wake();
        }
    }
}

/// One shard's part in it.
pub(crate) struct Share<S: Sys = Linux> {
    shortage: Arc<Shortage<S>>,
    shard: usize,
    /// Whether there are others to tell, or to be told by.
    has_others: bool,
    /// Whether it has said that it rests.
    rests: bool,
}

impl<S: Sys> Share<S> {
    pub(crate) fn new(shortage: Arc<Shortage<S>>, shard: usize) -> Self {
        let has_others = shortage.shards.len() > 1;
        Self { shortage, shard, has_others, rests: false }
    }

    /// To be called after each turn.
    #[inline]
    pub(crate) fn after_turn(&mut self, reactor: &mut Reactor<S>) {
        if self.has_others {
            let freed = reactor.take_freed_descriptor();
            if freed || self.rests || reactor.has_resting_listener() {
                self.settle(reactor, freed);
            }
        }
    }

    #[inline(never)]
    fn settle(&mut self, reactor: &mut Reactor<S>, freed: bool) {
        let Self { shortage, shard, rests, .. } = self;
        let begins = reactor.has_resting_listener() && !*rests;
        if begins {
            shortage.resting.fetch_add(1, Ordering::SeqCst);
        } else if *rests && !reactor.has_resting_listener() {
            shortage.resting.fetch_sub(1, Ordering::SeqCst);
        }
        *rests = reactor.has_resting_listener();
        fence(Ordering::SeqCst);
        if freed && shortage.resting.load(Ordering::SeqCst) > usize::from(*rests) {
            shortage.tell_others(*shard);
        }
        if begins || *rests && shortage.shards[*shard].freed.swap(false, Ordering::AcqRel) {
            reactor.end_rests();
        }
    }
}

/// A shard that has ended rests no more.
impl<S: Sys> Drop for Share<S> {
    fn drop(&mut self) {
        if self.rests {
            self.shortage.resting.fetch_sub(1, Ordering::SeqCst);
        }
    }
}
