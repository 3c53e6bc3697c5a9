//! The monotonic clock that latencies are measured with, and the calendar.
//!
//! Never: is the clock of an engine; `Local::now` is, once a turn. A turn may serve 256
//! connections, so its time says too little about when one message of it was read.

use shardpoll::{Tick, monotonic_now};
use std::time::{Duration, SystemTime};

/// What the calendar says: for what people read, and what several machines have in common.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "the harness says when it was outside of any `Sys`")]
pub fn calendar() -> SystemTime {
    SystemTime::now()
}

/// Nanoseconds since the clock was made: the kernel's clock of every loop, read anew.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    start: Tick,
}

impl Clock {
    /// A clock that stands at 0 now.
    #[must_use]
    pub fn start() -> Self {
        Self { start: monotonic_now() }
    }

    /// The time since [`start`](Self::start).
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        Duration::from_nanos(self.nanos())
    }

    /// The same in nanoseconds; it is full after 584 years.
    #[inline]
    #[must_use]
    pub fn nanos(&self) -> u64 {
        monotonic_now().as_nanos() - self.start.as_nanos()
    }
}
