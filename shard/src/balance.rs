//! Which shard a new connection lives on: how many each has, and when one has too many.
//!
//! The kernel spreads by a hash of the addresses, which is even for thousands and not for dozens:
//! 16 connections over 4 shards are 7 on one of them as often as not. So a shard that is above the
//! mean when it accepts passes the descriptor on, before anybody knows of it.
//!
//! Never: moves a connection that has begun; takes a lock. The counts are looked at without order:
//! who is a moment late chooses a little worse, and nothing else.
//!
//! Invariants:
//! 1. Whoever sends something to a shard has counted it in `coming` before it looked at `takes`;
//!    a shard that ends has stored `takes` before it looks at `coming`. So either the sender sees
//!    that it is not taken, or the shard sees that something comes, and waits for it.

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
    /// Letters on their way to it that must not be lost.
    coming: AtomicUsize,
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
        self.shards[shard].takes.store(takes, Ordering::SeqCst);
    }

    /// Something is on its way to a shard; false, and nothing is counted, when it takes no more.
    pub(crate) fn begin(&self, to: usize) -> bool {
        self.begin_return(to);
        let takes = self.shards[to].takes.load(Ordering::SeqCst);
        if !takes {
            self.arrived(to);
        }
        takes
    }

    /// Something goes back to a shard, which waits for it.
    pub(crate) fn begin_return(&self, to: usize) {
        self.shards[to].coming.fetch_add(1, Ordering::SeqCst);
    }

    /// It has arrived, or never set out.
    pub(crate) fn arrived(&self, to: usize) {
        self.shards[to].coming.fetch_sub(1, Ordering::SeqCst);
    }

    /// Whether nothing is on its way to a shard that takes no more.
    pub(crate) fn is_cut_off(&self, shard: usize) -> bool {
        let load = &self.shards[shard];
        !load.takes.load(Ordering::SeqCst) && load.coming.load(Ordering::SeqCst) == 0
    }

    /// Whom a shard passes a fresh connection to, if it should: it is counted there, and as on its
    /// way; else it is counted on the shard itself.
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
            if mine <= mean + slack(mean) || fewest + 1 >= mine || !self.begin(to) {
                return None;
            }
            if self.add(to) < mine {
                self.remove(own);
                return Some(to);
            }
            self.remove(to);
            self.arrived(to);
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
                let to = loads.choose(came, none).inspect(|to| loads.arrived(*to));
                open[to.unwrap_or(came)] += 1;
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
        assert!(!loads.begin(1));
        assert!(loads.is_cut_off(1) && !loads.is_cut_off(2));
        loads.set_takes(2, false);
        assert!(!loads.is_cut_off(2), "one is on its way");
        loads.arrived(2);
        assert!(loads.is_cut_off(2));
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
