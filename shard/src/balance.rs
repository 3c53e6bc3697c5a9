//! Which shard a new connection lives on: how many each has, and when one has too many.
//!
//! The kernel spreads by a hash of the addresses, which is even for thousands and not for dozens:
//! 16 connections over 4 shards are 7 on one of them as often as not. So a shard that is above the
//! mean when it accepts passes the descriptor on, before anybody knows of it.
//!
//! Never: moves a connection that has begun; takes a lock.
//!
//! Invariants:
//! 1. A connection is counted once, on the shard it is on or is meant for, but for the moment in
//!    which it is passed on.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

/// How connections are spread over the shards. The kernel always has the first word; a listener on
/// a unix socket, and one that was inherited, is one socket for all, of which whoever is first
/// accepts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Balance {
    /// As the kernel spreads them: by a hash of the addresses and ports.
    Kernel,
    /// A shard that has accepted a connection and then has more than the mean (rounded up) and
    /// `slack` passes it to the one that has the fewest, before any callback. What it costs is one
    /// letter and one wake-up; nothing for one that stays.
    ///
    /// Where connections end as fast as they begin, the number of them is chance from one moment to
    /// the next, and passing them on would gain nothing: while many end within a second, as much as
    /// chance brings about is let be.
    LeastConnections {
        /// How many above the mean are let be. Default 0.
        slack: usize,
    },
    /// On the CPU that has received the first packet (`SO_INCOMING_CPU`, since Linux 6.2 for
    /// groups of sockets; before, it has no effect): for machines whose network card spreads over
    /// the CPUs that shards are bound to. Every shard must be bound to one.
    CpuLocal,
}

impl Default for Balance {
    fn default() -> Self {
        Self::LeastConnections { slack: 0 }
    }
}

/// What the shards of an engine know of each other.
#[derive(Debug)]
pub(crate) struct Loads {
    shards: Box<[Load]>,
}

/// One shard's, in cache lines of its own.
#[derive(Default, Debug)]
#[repr(align(128))]
struct Load {
    /// Connections that were accepted and are on it, or are meant for it.
    count: AtomicUsize,
    /// It is neither quitting nor over, as far as is known.
    takes: AtomicBool,
}

impl Loads {
    pub(crate) fn new(shards: usize) -> Self {
        let load = || Load { takes: AtomicBool::new(true), ..Load::default() };
        Self { shards: std::iter::repeat_with(load).take(shards).collect() }
    }

    pub(crate) fn shards(&self) -> usize {
        self.shards.len()
    }

    /// A shard begins, without a connection.
    pub(crate) fn reset(&self, shard: usize) {
        self.shards[shard].count.store(0, Ordering::Relaxed);
    }

    /// One connection more on a shard, or meant for it; gives how many there are then.
    pub(crate) fn add(&self, shard: usize) -> usize {
        self.shards[shard].count.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// One connection less.
    pub(crate) fn remove(&self, shard: usize) {
        self.shards[shard].count.fetch_sub(1, Ordering::Relaxed);
    }

    pub(crate) fn set_takes(&self, shard: usize, takes: bool) {
        self.shards[shard].takes.store(takes, Ordering::Relaxed);
    }

    /// Whether a shard takes connections from others.
    pub(crate) fn takes(&self, shard: usize) -> bool {
        self.shards[shard].takes.load(Ordering::Relaxed)
    }

    /// Whom a shard passes a fresh connection to, if it should: it is counted there, else on the
    /// shard itself.
    ///
    /// Each counts before it looks at the others, so of two who want to use the same room at the
    /// same moment one sees the other, and looks again.
    pub(crate) fn choose(&self, own: usize, slack: impl Fn(usize) -> usize) -> Option<usize> {
        let mine = self.add(own);
        for _ in 0..self.shards.len() {
            let (mut sum, mut takers, mut least) = (0, 0, None);
            for (shard, load) in self.shards.iter().enumerate() {
                if !load.takes.load(Ordering::Relaxed) {
                    continue;
                }
                let count = load.count.load(Ordering::Relaxed);
                (sum, takers) = (sum + count, takers + 1);
                if shard != own && least.is_none_or(|(_, fewest)| count < fewest) {
                    least = Some((shard, count));
                }
            }
            let (to, fewest) = least?;
            let mean = sum.div_ceil(takers);
            if mine <= mean + slack(mean) || fewest + 1 >= mine {
                return None;
            }
            if self.add(to) < mine {
                self.remove(own);
                return Some(to);
            }
            self.remove(to);
        }
        None
    }
}

/// A connection that lives no longer than this has come and gone.
const SHORT: Duration = Duration::from_secs(1);

/// How much of what begins on a shard ends soon: from 0 to [`Churn::ALL`], a moving average.
#[derive(Default, Debug)]
pub(crate) struct Churn(usize);

impl Churn {
    const ALL: usize = 1024;
    /// The weight of the newest is one part in so many.
    const MEMORY: usize = 16;

    pub(crate) fn began(&mut self) {
        self.0 -= self.0.div_ceil(Self::MEMORY);
    }

    pub(crate) fn ended(&mut self, lived: Duration) {
        if lived < SHORT {
            self.0 += (Self::ALL - self.0).div_ceil(Self::MEMORY);
        }
    }

    /// How far above the mean chance alone would bring a shard: three standard deviations and
    /// some, where one ends for each that begins.
    pub(crate) fn slack(&self, mean: usize) -> usize {
        let half = Self::ALL / 2;
        (3 * mean.isqrt() + 3) * self.0.min(half) / half
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn loads(counts: &[usize]) -> Loads {
        let loads = Loads::new(counts.len());
        for (shard, count) in counts.iter().enumerate() {
            (0..*count).for_each(|_| _ = loads.add(shard));
        }
        loads
    }

    fn none(_: usize) -> usize {
        0
    }

    #[test]
    fn the_one_above_the_mean_passes_to_the_one_that_has_the_fewest() {
        assert_eq!(loads(&[5, 4, 1, 3]).choose(0, none), Some(2));
        assert_eq!(loads(&[5, 4, 1, 3]).choose(2, none), None);
        assert_eq!(loads(&[1, 1, 0]).choose(0, none), Some(2));
        assert_eq!(loads(&[0, 0]).choose(0, none), None, "somebody has to be the first");
        assert_eq!(loads(&[5, 4, 1, 3]).choose(0, |_| 2), None, "two above the mean of 4");
        assert_eq!(loads(&[7]).choose(0, none), None);
    }

    #[test]
    fn one_by_one_they_are_spread_evenly_wherever_they_come() {
        for shards in [2, 3, 4, 8] {
            let loads = Loads::new(shards);
            let mut open = vec![0_usize; shards];
            for number in 0..1000_usize {
                let came = if number % 3 == 0 { 0 } else { number * 7 % shards };
                let to = loads.choose(came, none).unwrap_or(came);
                open[to] += 1;
                let most = open.iter().max().expect("some");
                assert!(*most <= (number + 1).div_ceil(shards), "{open:?}");
            }
        }
    }

    #[test]
    fn a_shard_that_takes_no_more_is_not_chosen_and_does_not_count() {
        let loads = loads(&[9, 0, 8]);
        loads.set_takes(1, false);
        assert_eq!(loads.choose(0, none), Some(2));
        loads.set_takes(2, false);
        assert_eq!(loads.choose(0, none), None);
    }

    #[test]
    fn chance_is_let_be_only_where_connections_end_soon() {
        let mut churn = Churn::default();
        let (short, long) = (SHORT / 10, SHORT);
        for _ in 0..1000 {
            churn.began();
            churn.ended(long);
        }
        assert_eq!(churn.slack(100), 0);
        for _ in 0..1000 {
            churn.began();
            churn.ended(short);
        }
        assert!((28..=33).contains(&churn.slack(100)), "{}", churn.slack(100));
        for _ in 0..100 {
            churn.began();
        }
        assert_eq!(churn.slack(100), 0, "it is forgotten");
    }
}
