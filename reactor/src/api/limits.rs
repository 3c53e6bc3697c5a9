//! Limits against peers that hold a connection and hardly use it: how slow they may be, and how
//! long a connection may live.
//!
//! Never: reads a clock or calls the kernel.

use super::{ConfigError, Conn};
use std::num::NonZeroU64;
use std::time::Duration;

/// How slow a peer may be before its connection ends with
/// [`CloseReason::TooSlow`](crate::CloseReason).
///
/// A peer is judged by windows: at the end of each, what has moved in it must be at least the rate
/// times the window. So it may rest for a while, as long as it makes up for it in the same window.
///
/// - *Output* is what the kernel takes: bytes on the wire, with what TLS adds. Its clock runs while
///   something waits to be sent, on a connection that is open or is being closed. An empty queue,
///   or [`Conn::pause_writes`](crate::Conn::pause_writes), ends the window; the next byte that has
///   to wait begins another.
/// - *Input* is what comes from the kernel, counted alike. Its clock runs while the connection is
///   open and read. Pauses, credit used up, a link whose target is full, and back-pressure end the
///   window, and it begins anew when reading does; a debt of [`Conn::limit`](crate::Conn::limit)
///   prolongs it by just the debt. A peer whose input still waits to be read is not slow: we are.
///
/// During a TLS handshake neither is judged: that has time limits of its own.
///
/// How much of the output the peer's side has really taken is known to the kernel only in steps:
/// of a segment, and of its buffers. Rate times window should be some 100 KiB or more, or the rate
/// small enough that no honest peer comes near it.
///
/// ```
/// use shardpoll_reactor::MinRate;
/// use std::time::Duration;
///
/// let slow = MinRate::output(4096).and_input(512).window(Duration::from_secs(30));
/// assert_eq!(slow.output.map(u64::from), Some(4096));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct MinRate {
    /// Bytes per second that the peer must take while something waits for it; `None`: any.
    pub output: Option<NonZeroU64>,
    /// Bytes per second that the peer must send while it is read; `None`: any. For as long as it
    /// has something to send: an idle peer is a slow one.
    pub input: Option<NonZeroU64>,
    /// How long is judged together, more than zero. Default 10 s.
    pub window: Duration,
}

impl MinRate {
    const WINDOW: Duration = Duration::from_secs(10);

    /// For output only, in bytes per second; 0: none.
    #[must_use]
    pub fn output(bytes_per_second: u64) -> Self {
        let output = NonZeroU64::new(bytes_per_second);
        Self { output, input: None, window: Self::WINDOW }
    }

    /// For input only, in bytes per second; 0: none.
    #[must_use]
    pub fn input(bytes_per_second: u64) -> Self {
        Self::output(0).and_input(bytes_per_second)
    }

    /// For input too.
    #[must_use]
    pub fn and_input(mut self, bytes_per_second: u64) -> Self {
        self.input = NonZeroU64::new(bytes_per_second);
        self
    }

    /// Judged over this time.
    #[must_use]
    pub fn window(mut self, time: Duration) -> Self {
        self.window = time;
        self
    }

    /// Says whether it makes sense.
    ///
    /// # Errors
    /// When the window is zero: the caller's mistake.
    pub fn check(&self) -> Result<(), ConfigError> {
        more_than_zero("min_rate.window", self.window)
    }
}

/// How long a connection may live, however well it behaves; then it is closed in order, with
/// [`CloseReason::TooOld`](crate::CloseReason).
///
/// Jitter keeps connections that began together from ending together: each lives for the time less
/// a part of its own, which follows from its id alone.
///
/// ```
/// use shardpoll_reactor::Lifetime;
/// use std::time::Duration;
///
/// let hour = Lifetime::at_most(Duration::from_secs(3600)).jitter_percent(25);
/// assert_eq!((hour.at_most.as_secs(), hour.jitter_percent), (3600, 25));
/// assert_eq!(Lifetime::from(Duration::from_secs(60)).jitter_percent, 10);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Lifetime {
    /// The longest that one lives, more than zero.
    pub at_most: Duration,
    /// How much of it is taken off at the most, in percent; more than 100 is 100. Default 10.
    pub jitter_percent: u8,
}

impl From<Duration> for Lifetime {
    fn from(at_most: Duration) -> Self {
        Self::at_most(at_most)
    }
}

impl Lifetime {
    /// This long, less up to a tenth.
    #[must_use]
    pub fn at_most(time: Duration) -> Self {
        Self { at_most: time, jitter_percent: 10 }
    }

    /// Less up to this part of it.
    #[must_use]
    pub fn jitter_percent(mut self, percent: u8) -> Self {
        self.jitter_percent = percent;
        self
    }

    /// Says whether it makes sense.
    ///
    /// # Errors
    /// When the time is zero: the caller's mistake.
    pub fn check(&self) -> Result<(), ConfigError> {
        more_than_zero("max_lifetime", self.at_most)
    }

    /// That of the connection with this key.
    pub(crate) fn of(&self, key: u64) -> Duration {
        // The last steps of SplitMix64: neighbours among the keys lie far apart.
        let mut mixed = key.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^= mixed >> 31;
        let percent = u128::from(self.jitter_percent.min(100));
        let most = self.at_most.as_nanos() * percent / 100;
        let less = (most * u128::from(mixed >> 32)) >> 32;
        self.at_most.saturating_sub(Duration::from_nanos(u64::try_from(less).unwrap_or(u64::MAX)))
    }
}

fn more_than_zero(field: &'static str, value: Duration) -> Result<(), ConfigError> {
    if value.is_zero() {
        return Err(ConfigError::wrong(field, format!("{value:?}"), "more than zero"));
    }
    Ok(())
}

impl Conn<'_> {
    /// Sets how slow the peer may be from now on, instead of what the listener has set; `None`: as
    /// slow as it likes. Windows begin anew, and one of zero is one of 1 ms.
    ///
    /// For protocols with pauses: set a rate of input when a request has begun, and `None` when it
    /// is complete.
    pub fn set_min_rate(&mut self, rate: Option<MinRate>) {
        self.line_mut().set_min_rate(rate);
        self.core.revisit(self.id);
    }

    /// Sets how long the connection may live, counted from when it was [opened](Self::opened),
    /// instead of what its listener has set; `None`: for ever.
    ///
    /// At the end it is closed as [`close`](Self::close) does, with
    /// [`CloseReason::TooOld`](crate::CloseReason); what is then not sent within one send timeout
    /// ([`Config::send_timeout`](crate::Config::send_timeout)), however much of it moves, is lost.
    pub fn set_max_lifetime(&mut self, time: Option<Lifetime>) {
        let id = self.id;
        self.line_mut().set_lifetime(id, time);
        // The service that may run now need not look.
        self.core.arm(id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lifetime_is_never_longer_than_asked_for_and_spreads_over_the_jitter() {
        let hour = Duration::from_secs(3600);
        let lifetime = Lifetime::at_most(hour).jitter_percent(20);
        let lives: Vec<_> = (1..1000).map(|key| lifetime.of(key)).collect();
        assert!(lives.iter().all(|life| *life <= hour && *life >= hour * 8 / 10));
        // Every twentieth part of the range has some of them.
        let parts: std::collections::HashSet<_> =
            lives.iter().map(|life| (hour - *life).as_secs() / 36).collect();
        assert!(parts.len() >= 20, "{parts:?}");
        assert_eq!(lives[7], lifetime.of(8), "the same one always lives as long");
        assert_eq!(lifetime.jitter_percent(0).of(5), hour);
        assert!(lifetime.jitter_percent(255).of(5) <= hour);
        assert_eq!(Lifetime::at_most(Duration::MAX).jitter_percent(0).of(1), Duration::MAX);
        assert!(Lifetime::at_most(Duration::MAX).of(1) > Duration::from_secs(u64::MAX / 2));
    }

    #[test]
    fn what_makes_no_sense_is_named_with_its_value() {
        let text = |checked: Result<(), ConfigError>| checked.expect_err("zero").to_string();
        let zero = Duration::ZERO;
        assert_eq!(
            text(Lifetime::from(zero).check()),
            "max_lifetime is 0ns: it must be more than zero"
        );
        assert_eq!(
            text(MinRate::output(1).window(zero).check()),
            "min_rate.window is 0ns: it must be more than zero"
        );
    }
}
