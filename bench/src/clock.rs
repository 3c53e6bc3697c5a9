//! The monotonic clock that latencies are measured with, and the calendar.
//!
//! Never: is the clock of an engine; `Local::now` is, once a turn. A turn may serve 256
//! connections, so its time says too little about when one message of it was read.

use std::time::{Duration, Instant, SystemTime};

/// What the calendar says: for what people read, and what several machines have in common.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "the harness says when it was outside of any `Sys`")]
pub fn calendar() -> SystemTime {
    SystemTime::now()
}

/// Nanoseconds since the clock was made.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    start: Instant,
}

impl Clock {
    /// A clock that stands at 0 now.
    #[must_use]
    #[expect(
        clippy::disallowed_methods,
        reason = "the harness measures from outside; no `Sys` is there to ask"
    )]
    pub fn start() -> Self {
        Self { start: Instant::now() }
    }

    /// The time since [`start`](Self::start).
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }

    /// The same in nanoseconds; it is full after 584 years.
    #[must_use]
    pub fn nanos(&self) -> u64 {
        let elapsed = self.elapsed();
        elapsed.as_secs() * 1_000_000_000 + u64::from(elapsed.subsec_nanos())
    }
}
