//! When to begin: several instances at the same time, by their clocks.
//!
//! Never: speaks to the others; the calendar is all they have in common.

use crate::failure::Failure;
use shardpoll_bench::clock::calendar;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, SystemTime};

/// So late may a start be noticed: whoever types a time in seconds has lost up to one of them.
const LATE: Duration = Duration::from_secs(1);

/// How often an interrupt is looked for.
const TICK: Duration = Duration::from_millis(50);

/// How long it is until the time to begin; nothing where it was just now.
pub(crate) fn until(at: SystemTime, now: SystemTime) -> Result<Duration, Failure> {
    match at.duration_since(now) {
        Ok(left) => Ok(left),
        Err(past) if past.duration() <= LATE => Ok(Duration::ZERO),
        Err(past) => Err(Failure::Usage(format!(
            "--start-at {}: that was {:.1} s ago",
            humantime::format_rfc3339_seconds(at),
            past.duration().as_secs_f64()
        ))),
    }
}

/// Waits for the time to begin.
pub(crate) fn wait(at: SystemTime, interrupted: &AtomicBool) -> Result<(), Failure> {
    // The calendar's clock may be set meanwhile, and is what the others go by.
    while let Ok(left) = at.duration_since(calendar()) {
        if interrupted.load(Ordering::Relaxed) {
            return Err(Failure::Interrupted);
        }
        #[expect(clippy::disallowed_methods, reason = "the time is what is waited for")]
        thread::sleep(left.min(TICK));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_start_in_the_past_is_refused_by_how_much() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_456_800);
        let at = |offset: f64| match offset < 0.0 {
            true => until(now - Duration::from_secs_f64(-offset), now),
            false => until(now + Duration::from_secs_f64(offset), now),
        };
        assert_eq!(at(2.5).expect("to come"), Duration::from_millis(2500));
        assert_eq!(at(-1.0).expect("just now"), Duration::ZERO);
        let error = at(-61.25).expect_err("long ago").to_string();
        assert_eq!(error, "--start-at 2026-11-23T17:58:58Z: that was 61.2 s ago");
    }

    #[test]
    fn a_wait_ends_at_its_time_or_when_interrupted() {
        let interrupted = AtomicBool::new(false);
        let at = calendar() + Duration::from_millis(60);
        wait(at, &interrupted).expect("it comes");
        assert!(calendar() >= at);
        interrupted.store(true, Ordering::Relaxed);
        let at = calendar() + Duration::from_secs(3600);
        assert!(matches!(wait(at, &interrupted), Err(Failure::Interrupted)));
    }
}
