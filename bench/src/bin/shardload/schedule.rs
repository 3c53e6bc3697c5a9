//! When the operations of an open loop are due: one after the other, evenly, come what may.
//!
//! Never: looks at a clock; whoever asks says what time it is.
//!
//! Invariants:
//! 1. Operation `n` is due `n` periods after the beginning, whenever anything really happened.

/// The schedule of one shard; times are nanoseconds of its clock.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Schedule {
    begun: u64,
    period: f64,
}

impl Schedule {
    /// So many a second from this time on.
    pub(crate) fn new(begun: u64, per_second: f64) -> Self {
        Self { begun, period: 1e9 / per_second }
    }

    /// When this operation is due, counted from 0.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "nanoseconds of a run are far below 2^53, and none is negative"
    )]
    pub(crate) fn due(&self, number: u64) -> u64 {
        self.begun + (number as f64 * self.period) as u64
    }

    /// How many are due by this time.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "nanoseconds of a run are far below 2^53, and none is negative"
    )]
    pub(crate) fn due_by(&self, now: u64) -> u64 {
        let mut number = (now.saturating_sub(self.begun) as f64 / self.period) as u64;
        // The quotient is rounded: it may be one more or less.
        while number > 0 && self.due(number - 1) > now {
            number -= 1;
        }
        while self.due(number) <= now {
            number += 1;
        }
        number
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operations_are_due_evenly_and_do_not_drift() {
        let schedule = Schedule::new(5, 3_000.0);
        assert_eq!(schedule.due(0), 5);
        assert_eq!(schedule.due(3), 1_000_005);
        // After an hour of a rate that no whole number of nanoseconds has.
        let hour = 3_600 * 3_000;
        assert_eq!(schedule.due(hour), 3_600_000_000_005);
        let gaps: Vec<u64> = (0..999).map(|n| schedule.due(n + 1) - schedule.due(n)).collect();
        assert!(gaps.iter().all(|gap| (333_333..=333_334).contains(gap)));
    }

    #[test]
    fn what_is_due_by_a_time_is_what_was_due_before() {
        for per_second in [0.5, 3_000.0, 7_777_777.0, 1e9] {
            let schedule = Schedule::new(5, per_second);
            assert_eq!(schedule.due_by(4), 0);
            for number in (0..1_000).chain(3_600_000..3_601_000) {
                let due = schedule.due(number);
                assert_eq!(schedule.due_by(due), number + 1, "{per_second}");
                assert_eq!(schedule.due_by(due - 1), number, "{per_second}");
            }
        }
    }
}
