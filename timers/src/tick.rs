//! [`Tick`]: a point in time as nanoseconds since an epoch the caller chose.
//!
//! Never: reads a clock, knows the wall clock, or panics on overflow.
//!
//! Invariants: none; every `u64` is a valid tick.

use std::time::Duration;

/// A point in time: nanoseconds since an epoch the caller chose.
///
/// The epoch is the same for all ticks given to one [`Heap`](crate::Heap). A monotonic clock's zero
/// is the usual choice. 64 bits reach 584 years past it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Tick(u64);

impl Tick {
    /// The epoch itself.
    pub const ZERO: Self = Self(0);

    /// The last tick; as a deadline it means "never", since no clock gets there.
    pub const MAX: Self = Self(u64::MAX);

    /// The tick this many nanoseconds after the epoch.
    #[must_use]
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// Nanoseconds since the epoch.
    #[must_use]
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// The tick `after` later, or [`Tick::MAX`] ("never") when that lies past the end of time.
    #[must_use]
    pub fn saturating_add(self, after: Duration) -> Self {
        let nanos = u64::try_from(after.as_nanos()).unwrap_or(u64::MAX);
        Self(self.0.saturating_add(nanos))
    }

    /// How long ago `earlier` was, or [`Duration::ZERO`] when it lies in the future.
    #[must_use]
    pub fn saturating_since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}
