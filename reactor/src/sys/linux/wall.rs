//! The calendar.
//!
//! Never: enters the kernel: both clocks are read from memory that it shares (vdso(7)).

use shardpoll_timers::Tick;
use std::time::{Duration, SystemTime};

/// What the calendar says at `at`, when the loop's clock says `now`: as it is set now, since it may
/// be set anew at any time (S23).
#[expect(clippy::disallowed_methods, reason = "the one place that reads the calendar")]
pub(super) fn wall_time(now: Tick, at: Tick) -> SystemTime {
    let today = SystemTime::now();
    let (now, at) = (now.as_nanos(), at.as_nanos());
    let ahead = Duration::from_nanos(at.saturating_sub(now));
    let behind = Duration::from_nanos(now.saturating_sub(at));
    // 584 years are within what the kernel can count.
    today.checked_add(ahead).and_then(|time| time.checked_sub(behind)).unwrap_or(today)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::{Linux, Sys};

    #[test]
    fn ticks_are_as_far_apart_on_the_calendar_as_on_the_clock() {
        let second = Duration::from_secs(1);
        let now = super::super::monotonic_now();
        let (today, later) = (Linux::wall_time(now), Linux::wall_time(now.saturating_add(second)));
        // The calendar goes on between the two readings; nobody sets it by half a second.
        let apart = later.duration_since(today).expect("later");
        assert!(apart.abs_diff(second) < second / 2, "{apart:?}");
        let past = Linux::wall_time(Tick::from_nanos(now.as_nanos() / 2));
        assert!(past < today);
        assert!(Linux::wall_time(Tick::MAX) > today + Duration::from_secs(1 << 33));
    }
}
