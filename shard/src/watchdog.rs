//! Who sees to it that no shard is stuck in silence: a thread that looks at each shard's pulse.
//!
//! A shard is stalled when one turn of its loop has lasted longer than the threshold: a callback
//! computes too long, or waits for something else than the loop. Time in which the kernel has
//! given the thread no CPU is not counted, so a machine that is merely busy raises no alarm; nor is
//! time in which the watcher itself did not run, so a process that was stopped raises none.
//!
//! Never: touches a shard, but for the end of the process when that was asked for.
//!
//! Invariants:
//! 1. What is reported as over was reported as begun.

mod judge;

use crate::latch::Latch;
use crate::metrics::Vitals;
use judge::{Judge, Verdict};
use shardpoll_reactor::{ConnId, Doing, ListenerId, Tick, monotonic_now};
use std::collections::VecDeque;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

/// Stalls are reported so often in [`SPAN`] at the most.
const REPORTS: usize = 5;

const SPAN: Duration = Duration::from_secs(60);

/// How closely shards are watched.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Watchdog {
    /// A turn that lasts longer is a stall. Shards are looked at once in this time, so a stall is
    /// noticed before it has lasted twice as long. Default: 25 ms; less than 1 ms is taken for 1
    /// ms.
    pub threshold: Duration,
    /// A stall that lasts this long ends the process (abort(3)), so that whoever has started it
    /// can start it again. Default: none does.
    pub abort_after: Option<Duration>,
}

impl Default for Watchdog {
    fn default() -> Self {
        Self { threshold: Duration::from_millis(25), abort_after: None }
    }
}

/// One shard does not get on: told once when it is noticed, and once when it is over.
///
/// At most five stalls of an engine are reported in a minute; all are counted
/// ([`ShardMetrics::stalls`](crate::ShardMetrics)).
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Stall {
    /// The number of the shard.
    pub shard: usize,
    /// The connection that was being served when it was noticed, if it was one.
    pub conn: Option<ConnId>,
    /// The listener of that connection, or the one that was being served.
    pub listener: Option<ListenerId>,
    /// The callback that ran when it was noticed, by name.
    pub callback: &'static str,
    /// For how long the shard has not looked at the kernel; exact to the threshold when it is over.
    pub lasting: Duration,
    /// Whether the shard goes on.
    pub over: bool,
}

/// `shard 2 is stalled for 31 ms in on_incoming of connection 2.5.1 of listener 0`
impl fmt::Display for Stall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (is, lasting) = (if self.over { "was" } else { "is" }, self.lasting.as_millis());
        write!(f, "shard {} {is} stalled for {lasting} ms in {}", self.shard, self.callback)?;
        if let Some(conn) = self.conn {
            write!(f, " of connection {conn}")?;
        }
        if let Some(listener) = self.listener {
            write!(f, " of listener {}", listener.number())?;
        }
        Ok(())
    }
}

/// What is called for a stall, if anything is.
#[derive(Clone, Default)]
pub(crate) struct OnStall(pub(crate) Option<Arc<Tell>>);

/// What a user wants to be called.
type Tell = dyn Fn(&Stall) + Send + Sync;

impl fmt::Debug for OnStall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Some(..)" } else { "None" })
    }
}

/// Watches the shards of one engine.
pub(crate) struct Watcher {
    threshold: Duration,
    abort_after: Option<Duration>,
    on_stall: OnStall,
    vitals: Arc<Vitals>,
    seen: Vec<Judge>,
    /// The last reports.
    reported: VecDeque<Tick>,
    unsaid: u64,
}

impl Watcher {
    pub(crate) fn new(dog: &Watchdog, on_stall: OnStall, vitals: Arc<Vitals>) -> Self {
        Self {
            threshold: dog.threshold.max(Duration::from_millis(1)),
            abort_after: dog.abort_after,
            on_stall,
            seen: vitals.shards.iter().map(|_| Judge::default()).collect(),
            vitals,
            reported: VecDeque::new(),
            unsaid: 0,
        }
    }

    /// Watches until all shards have ended.
    pub(crate) fn run(mut self, latch: &Latch) {
        let period = self.threshold;
        let mut before = monotonic_now();
        while !latch.all_ended_within(period) {
            let now = monotonic_now();
            // It did not run itself for a while: who knows who else did.
            let late = now.saturating_since(before) > period * 2;
            before = now;
            self.look(now, late);
        }
    }

    fn look(&mut self, now: Tick, late: bool) {
        for shard in 0..self.seen.len() {
            let vitals = &self.vitals.shards[shard];
            let (doing, thread) = (vitals.pulse.doing(), vitals.thread());
            match self.seen[shard].look(now, late, self.threshold, doing, thread) {
                Verdict::Fine => {}
                Verdict::Stalled(doing) => {
                    vitals.count_stall();
                    self.seen[shard].reported = self.report(now, shard, doing);
                }
                Verdict::StillStalled(lasting) => {
                    if self.abort_after.is_some_and(|most| lasting >= most) {
                        log::error!("shard {shard}: stalled for too long: the process is ended");
                        std::process::abort();
                    }
                }
                Verdict::Over { doing, lasting, reported: true } => {
                    self.tell(stall(shard, doing, lasting, true));
                }
                Verdict::Over { .. } => {}
            }
        }
    }

    /// Reports a stall, unless there were too many of late; whether it did.
    fn report(&mut self, now: Tick, shard: usize, doing: Doing) -> bool {
        self.reported.retain(|at| now.saturating_since(*at) < SPAN);
        if self.reported.len() >= REPORTS {
            self.unsaid += 1;
            return false;
        }
        self.reported.push_back(now);
        if self.unsaid > 0 {
            log::warn!("{} stalls were not reported", std::mem::take(&mut self.unsaid));
        }
        self.tell(stall(shard, doing, now.saturating_since(doing.since), false));
        true
    }

    fn tell(&self, stall: Stall) {
        log::warn!("{stall}");
        let Some(on_stall) = &self.on_stall.0 else { return };
        if catch_unwind(AssertUnwindSafe(|| on_stall(&stall))).is_err() {
            log::error!("the callback of a stall panicked");
        }
    }
}

fn stall(shard: usize, doing: Doing, lasting: Duration, over: bool) -> Stall {
    let Doing { conn, listener, callback, .. } = doing;
    Stall { shard, conn, listener, callback, lasting, over }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stall_reads_as_its_example() {
        let stall = Stall {
            shard: 2,
            conn: None,
            listener: Some(ListenerId::new(0)),
            callback: "the acceptor",
            lasting: Duration::from_micros(31_900),
            over: false,
        };
        let text = "shard 2 is stalled for 31 ms in the acceptor of listener 0";
        assert_eq!(stall.to_string(), text);
    }
}
