//! One load from several machines: when each of them begins, and which part of it is its own.
//!
//! Never: speaks to the others; the clock and the command line are all they have in common.
//!
//! Invariants:
//! 1. The shares of all instances are the whole, and no connection has two.

use crate::failure::Failure;
use crate::outcome::Instance;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, SystemTime};

/// So late may a start be noticed: whoever types a time in seconds has lost up to one of them.
const LATE: Duration = Duration::from_secs(1);

/// How often an interrupt is looked for.
const TICK: Duration = Duration::from_millis(50);

/// What one instance does of a load.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Share {
    /// The numbers of its connections.
    pub(crate) numbers: Range<u64>,
    /// Its part of the rate.
    pub(crate) rate: Option<f64>,
}

impl Share {
    /// All of it, for one that is alone.
    pub(crate) fn new(
        connections: usize,
        rate: Option<f64>,
        instance: Option<Instance>,
    ) -> Result<Self, Failure> {
        let Some(Instance { number, of }) = instance else {
            return Ok(Self { numbers: 0..connections as u64, rate });
        };
        if connections < of {
            return Err(Failure::Usage(format!(
                "--instance {number}/{of}: --connections {connections} are fewer than instances"
            )));
        }
        let end = |number: usize| {
            let end = connections as u128 * number as u128 / of as u128;
            u64::try_from(end).expect("no more than there are")
        };
        Ok(Self { numbers: end(number - 1)..end(number), rate: rate.map(|rate| rate / of as f64) })
    }

    /// How many connections it has.
    pub(crate) fn connections(&self) -> usize {
        usize::try_from(self.numbers.end - self.numbers.start).expect("a part of a usize")
    }
}

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
    while let Ok(left) = at.duration_since(SystemTime::now()) {
        if interrupted.load(Ordering::Relaxed) {
            return Err(Failure::Interrupted);
        }
        thread::sleep(left.min(TICK));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shares_are_the_whole() {
        for (connections, of) in [(1, 1), (7, 3), (10_000_000, 7), (3, 3), (100, 64)] {
            let shares = (1..=of).map(|number| {
                let instance = Some(Instance { number, of });
                Share::new(connections, Some(50_000.0), instance).expect("enough for all")
            });
            let shares: Vec<_> = shares.collect();
            let mut next = 0;
            for share in &shares {
                assert_eq!(share.numbers.start, next);
                assert!(share.connections() >= connections / of, "{share:?}");
                assert!(share.connections() <= connections.div_ceil(of), "{share:?}");
                next = share.numbers.end;
            }
            assert_eq!(next, connections as u64);
            let rate: f64 = shares.iter().filter_map(|share| share.rate).sum();
            assert!((rate - 50_000.0).abs() < 1e-6, "{rate}");
        }
        let alone = Share::new(7, None, None).expect("alone");
        assert_eq!((alone.numbers, alone.rate), (0..7, None));
    }

    #[test]
    fn an_instance_without_a_connection_is_refused() {
        let error = Share::new(2, None, Some(Instance { number: 1, of: 3 })).expect_err("too few");
        assert!(error.to_string().contains("--instance 1/3: --connections 2"), "{error}");
    }

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
        let at = SystemTime::now() + Duration::from_millis(60);
        wait(at, &interrupted).expect("it comes");
        assert!(SystemTime::now() >= at);
        interrupted.store(true, Ordering::Relaxed);
        let at = SystemTime::now() + Duration::from_secs(3600);
        assert!(matches!(wait(at, &interrupted), Err(Failure::Interrupted)));
    }
}
