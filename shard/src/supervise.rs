//! What becomes of a shard whose loop has failed: its poller does not answer, or it has panicked
//! outside any callback, which is a bug of this library or of a logger.
//!
//! Never: is asked for a panic of a callback; that ends one connection.

use shardpoll_reactor::{Tick, monotonic_now};
use std::any::Any;
use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::Duration;

/// A shard begins anew so often in [`SPAN`] at the most: what fails at once again will not heal.
const RESTARTS: usize = 5;

const SPAN: Duration = Duration::from_secs(60);

/// What becomes of a shard whose loop has failed, which is noticed at once: its poller does not
/// answer any more, or it has panicked outside any callback. A panic of a callback is no such
/// failure.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
#[non_exhaustive]
pub enum ShardFailure {
    /// The engine ends: the shard's connections are lost, and [`Engine::join`](crate::Engine::join)
    /// ends the other shards and says why.
    #[default]
    End,
    /// The process ends at once (abort(3)), so that whoever has started it can start it again.
    Abort,
    /// The shard begins anew on its thread: its connections end, which each handler is told
    /// ([`CloseReason::Internal`](crate::CloseReason::Internal)), its timers are dropped, and its
    /// watches give their descriptors back. Its listeners go on, with all who wait in their queues,
    /// and so do its counters and what was sent to it. After five times in a minute the engine ends
    /// as by [`End`](Self::End).
    Restart,
}

/// How a loop has failed.
pub(crate) enum Failure {
    Poller(io::Error),
    Panic(Box<dyn Any + Send>),
}

impl Failure {
    /// Ends the shard: the error is told, the panic goes on.
    pub(crate) fn end(self) -> io::Result<()> {
        match self {
            Self::Poller(error) => Err(error),
            Self::Panic(panic) => resume_unwind(panic),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Poller(error) => write!(f, "its poller has failed: {error}"),
            Self::Panic(panic) => {
                let text = panic.downcast_ref::<&str>().copied();
                let owned = || panic.downcast_ref::<String>().map(String::as_str);
                write!(f, "its loop has panicked: {}", text.or_else(owned).unwrap_or("no words"))
            }
        }
    }
}

/// Carries a policy out for one shard.
pub(crate) struct Supervisor {
    policy: ShardFailure,
    restarts: VecDeque<Tick>,
}

impl Supervisor {
    pub(crate) fn new(policy: ShardFailure) -> Self {
        Self { policy, restarts: VecDeque::new() }
    }

    /// Whether the shard is to begin anew. Does not return when the process shall end.
    pub(crate) fn judge(&mut self, shard: usize, failure: &Failure) -> bool {
        let restarts = match self.policy {
            ShardFailure::End => false,
            ShardFailure::Abort => {
                say(shard, failure, "the process is ended");
                std::process::abort()
            }
            ShardFailure::Restart => self.may_restart(monotonic_now()),
        };
        let then = if restarts { "it begins anew" } else { "the engine ends" };
        say(shard, failure, then);
        restarts
    }

    fn may_restart(&mut self, now: Tick) -> bool {
        self.restarts.retain(|at| now.saturating_since(*at) < SPAN);
        let may = self.restarts.len() < RESTARTS;
        if may {
            self.restarts.push_back(now);
        }
        may
    }
}

/// It may have been the logger that panicked.
fn say(shard: usize, failure: &Failure, then: &str) {
    let log = AssertUnwindSafe(|| log::error!("shard {shard}: {failure}: {then}"));
    let _silent = catch_unwind(log);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn five_times_in_a_minute_and_no_more() {
        let mut supervisor = Supervisor::new(ShardFailure::Restart);
        let at = |seconds: u64| Tick::from_nanos(seconds * 1_000_000_000);
        let may: Vec<_> = (0..6).map(|n| supervisor.may_restart(at(100 + n))).collect();
        assert_eq!(may, [true, true, true, true, true, false]);
        assert!(supervisor.may_restart(at(160)), "the first was a minute ago");
        assert!(!supervisor.may_restart(at(160)));
    }
}
