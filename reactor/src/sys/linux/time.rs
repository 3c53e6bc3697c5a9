//! Times as the kernel takes them and gives them.
//!
//! Never: waits.

use libc::c_int;
use shardpoll_timers::Tick;

const NANOS_PER_SECOND: u64 = 1_000_000_000;
const NANOS_PER_MILLI: u64 = 1_000_000;

/// What a time lacks at most that is rounded up.
const MILLI_LESS_ONE: u64 = NANOS_PER_MILLI - 1;

/// What fits into a time of whole milliseconds, as the kernel takes it.
const MOST_NANOS: u64 = c_int::MAX as u64 * NANOS_PER_MILLI;

/// Whole milliseconds, rounded up, so that no timer is early (S24), and clamped: the kernel takes
/// 31 bits (B2).
#[inline(always)]
pub(super) fn millis(nanos: u64) -> usize {
    // By hand, as a whole division: `div_ceil` takes the remainder as well.
    ((nanos.min(MOST_NANOS) + MILLI_LESS_ONE) / NANOS_PER_MILLI) as usize
}

pub(super) fn timespec(nanos: u64) -> libc::timespec {
    libc::timespec {
        tv_sec: libc::time_t::try_from(nanos / NANOS_PER_SECOND).unwrap_or(libc::time_t::MAX),
        tv_nsec: libc::c_long::try_from(nanos % NANOS_PER_SECOND).unwrap_or(0),
    }
}

/// The time of every loop on Linux: `CLOCK_MONOTONIC`, so ticks of different loops, and of threads
/// that have none, compare (clock_gettime(2)).
#[inline]
#[must_use]
pub fn monotonic_now() -> Tick {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` lives through the call. It cannot fail: the clock exists on every Linux.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut time) };
    let (seconds, nanos) = (time.tv_sec as u64, time.tv_nsec as u64);
    Tick::from_nanos(seconds.wrapping_mul(NANOS_PER_SECOND).wrapping_add(nanos))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_in_milliseconds_is_never_too_short_and_fits() {
        // S24, B2
        for (nanos, whole) in [(0, 0), (1, 1), (1_000_000, 1), (1_000_001, 2)] {
            assert_eq!(millis(nanos), whole, "{nanos}");
        }
        for nanos in [MOST_NANOS, MOST_NANOS + 1, u64::MAX] {
            assert_eq!(c_int::try_from(millis(nanos)), Ok(c_int::MAX), "{nanos}");
        }
    }
}
