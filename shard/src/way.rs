//! The way from a shard to the others: for what it has accepted and has too much of, and for live
//! connections that move.
//!
//! A letter of this kind is never refused and never lost. What is passed on and not wanted goes
//! back to the shard that has accepted it, which keeps its acceptor for so long: one that closes a
//! listener looks how many are on their way, and whoever serves the last of them tells it. Each
//! does its store before its look, so at least one of them sees the other.
//!
//! Never: is on the path of a byte.

use crate::balance::{Balance, Churn, Loads};
use crate::letter::{Order, ShardMailbox};
use shardpoll_reactor::{Fresh, ListenerId, Parcel, Reactor, Router, Sys};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

/// What the ways of all shards share.
pub(crate) struct Ways<S: Sys> {
    pub(crate) loads: Loads,
    pub(crate) mailboxes: Arc<[ShardMailbox<S>]>,
}

/// One shard's way to the others.
pub(crate) struct Way<S: Sys> {
    shard: usize,
    balance: Balance,
    ways: Arc<Ways<S>>,
    /// One that is being admitted is counted already.
    counted: bool,
    churn: Churn,
    /// What this shard has passed on, by listener.
    passes: Vec<(ListenerId, Arc<Passes>)>,
}

/// What one shard has accepted on one listener for others, and nobody serves yet.
#[derive(Default)]
struct Passes {
    count: AtomicUsize,
    /// The shard waits until there are none.
    awaited: AtomicBool,
}

/// One of them.
pub(crate) struct Ticket<S: Sys> {
    passes: Arc<Passes>,
    listener: ListenerId,
    home: usize,
    ways: Arc<Ways<S>>,
}

impl<S: Sys> Drop for Ticket<S> {
    fn drop(&mut self) {
        let last = self.passes.count.fetch_sub(1, Ordering::SeqCst) == 1;
        if last && self.passes.awaited.load(Ordering::SeqCst) {
            // A shard that has failed waits for nothing.
            let _failed = self.ways.mailboxes[self.home].order(Order::AllPassedOn(self.listener));
        }
    }
}

impl<S: Sys> Way<S> {
    pub(crate) fn new(shard: usize, balance: Balance, ways: Arc<Ways<S>>) -> Self {
        ways.loads.reset(shard);
        let (churn, passes) = (Churn::default(), Vec::new());
        Self { shard, balance, ways, counted: false, churn, passes }
    }

    pub(crate) fn ways(&self) -> Arc<Ways<S>> {
        Arc::clone(&self.ways)
    }

    fn ticket(&mut self, listener: ListenerId) -> Ticket<S> {
        let known = self.passes.iter().find(|(id, _)| *id == listener).map(|(_, own)| own);
        let passes = known.cloned().unwrap_or_else(|| {
            let own = Arc::<Passes>::default();
            self.passes.push((listener, Arc::clone(&own)));
            own
        });
        passes.count.fetch_add(1, Ordering::SeqCst);
        Ticket { passes, listener, home: self.shard, ways: Arc::clone(&self.ways) }
    }
}

impl<S: Sys + 'static> Router<S::Fd> for Way<S> {
    fn shards(&self) -> usize {
        self.ways.loads.shards()
    }

    fn pass(&mut self, fresh: Fresh<S::Fd>) -> Option<Fresh<S::Fd>> {
        let Balance::LeastConnections { slack } = self.balance else { return Some(fresh) };
        let chance = |mean| slack + self.churn.slack(mean);
        let Some(to) = self.ways.loads.choose(self.shard, chance) else {
            self.counted = true;
            return Some(fresh);
        };
        let ticket = self.ticket(fresh.listener());
        let order = Order::Passed(Box::new(Passed { fresh, to, ticket }));
        match self.ways.mailboxes[to].order(order) {
            Err(Order::Passed(passed)) => {
                self.ways.loads.remove(to);
                Some(passed.fresh)
            }
            _ => None,
        }
    }

    fn send(&mut self, parcel: Parcel<S::Fd>) -> Result<(), Parcel<S::Fd>> {
        let to = parcel.to();
        if !self.ways.loads.takes(to) {
            return Err(parcel);
        }
        let order = Order::Arrive(Box::new(Arrival { parcel, ways: Arc::clone(&self.ways) }));
        match self.ways.mailboxes[to].order(order) {
            Err(Order::Arrive(arrival)) => Err(arrival.parcel),
            _ => Ok(()),
        }
    }

    fn taken(&mut self) {
        self.counted = true;
    }

    fn entered(&mut self) {
        if !std::mem::take(&mut self.counted) {
            self.ways.loads.add(self.shard);
        }
        self.churn.began();
    }

    fn settled(&mut self) {
        if std::mem::take(&mut self.counted) {
            self.ways.loads.remove(self.shard);
        }
    }

    fn left(&mut self, lived: Option<Duration>) {
        self.ways.loads.remove(self.shard);
        if let Some(lived) = lived {
            self.churn.ended(lived);
        }
    }

    fn closed(&mut self, listener: ListenerId) -> bool {
        let Some(at) = self.passes.iter().position(|(id, _)| *id == listener) else { return true };
        let passes = &self.passes[at].1;
        passes.awaited.store(true, Ordering::SeqCst);
        let none = passes.count.load(Ordering::SeqCst) == 0;
        if none {
            self.passes.swap_remove(at);
        }
        none
    }
}

/// A shard that has failed takes nothing.
impl<S: Sys> Drop for Way<S> {
    fn drop(&mut self) {
        self.ways.loads.set_takes(self.shard, false);
    }
}

/// A connection that was accepted on one shard, on its way to another, or back.
pub(crate) struct Passed<S: Sys> {
    fresh: Fresh<S::Fd>,
    to: usize,
    ticket: Ticket<S>,
}

impl<S: Sys> Passed<S> {
    pub(crate) fn carry_out(self, reactor: &mut Reactor<S>) {
        let Self { fresh, to, ticket } = self;
        let ways = Arc::clone(&ticket.ways);
        let back = reactor.admit_passed(fresh);
        if let Err(fresh) = back {
            ways.loads.remove(to);
            let home = ticket.home;
            if home == to {
                log::warn!("{fresh:?}: its listener was ended by force");
            } else {
                ways.loads.add(home);
                let order = Order::Passed(Box::new(Self { fresh, to: home, ticket }));
                if ways.mailboxes[home].order(order).is_err() {
                    log::warn!(
                        "a connection is closed with its listener, which was ended by force"
                    );
                }
            }
        }
    }
}

/// A live connection on its way.
pub(crate) struct Arrival<S: Sys> {
    parcel: Parcel<S::Fd>,
    ways: Arc<Ways<S>>,
}

impl<S: Sys> Arrival<S> {
    pub(crate) fn carry_out(self, reactor: &mut Reactor<S>) {
        let Self { parcel, ways } = self;
        let to = parcel.to();
        if let Err(parcel) = reactor.arrive(parcel) {
            log::warn!("shard {to} has no room for connection {}", parcel.was());
            // Where it was there is room, or will be; else it waits here.
            let home = parcel.was().shard();
            let order = |parcel, ways| Order::Arrive(Box::new(Self { parcel, ways }));
            let sent = match ways.mailboxes[home].order(order(parcel.redirect(home), ways.clone()))
            {
                Err(Order::Arrive(arrival)) => {
                    let parcel = arrival.parcel.redirect(to);
                    ways.mailboxes[to].order(order(parcel, ways.clone()))
                }
                sent => sent,
            };
            if sent.is_err() {
                log::error!("a connection is lost: no shard has room for it");
            }
        }
    }
}
