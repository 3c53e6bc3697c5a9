//! Dates of certificates, in words.
//!
//! Never: reads the clock.

use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

const DAY: i64 = 86_400;

/// Days from 1 March of the year 0 to 1 January 1970.
const TO_EPOCH: i64 = 719_468;

/// Days in 400 years, after which the calendar repeats.
const ERA: i64 = 146_097;

/// The year, month and day of a number of days since 1 January 1970, in the Gregorian calendar.
///
/// Inside, years begin in March, so that the day that some years have more is their last.
fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + TO_EPOCH;
    let (era, of_era) = (days.div_euclid(ERA), days.rem_euclid(ERA));
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    // From March on, months of 31 and 30 days repeat by five, which have 153 days.
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (era * 400 + year + i64::from(month <= 2), month, day)
}

/// A time as `2026-11-23 02:43:50 UTC`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Words(pub(crate) SystemTime);

impl fmt::Display for Words {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = match self.0.duration_since(UNIX_EPOCH) {
            Ok(since) => i64::try_from(since.as_secs()).unwrap_or(i64::MAX),
            Err(before) => -i64::try_from(before.duration().as_secs()).unwrap_or(i64::MAX),
        };
        let (year, month, day) = civil(seconds.div_euclid(DAY));
        let second = seconds.rem_euclid(DAY);
        let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
        write!(f, "{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02} UTC")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn each_day_follows_the_one_before_for_ten_thousand_years() {
        let length = |year: i64, month| match month {
            2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
            2 => 28,
            4 | 6 | 9 | 11 => 30,
            _ => 31,
        };
        let (mut today, mut days) = ((1970, 1, 1), 0);
        while today.0 < 12_000 {
            assert_eq!(civil(days), today);
            let (year, month, day) = today;
            today = match (month, day) {
                (12, 31) => (year + 1, 1, 1),
                _ if day == length(year, month) => (year, month + 1, 1),
                _ => (year, month, day + 1),
            };
            days += 1;
        }
    }

    #[test]
    fn times_are_said_to_the_second_also_before_1970() {
        let at = |seconds: u64| UNIX_EPOCH + Duration::from_secs(seconds);
        assert_eq!(Words(at(0)).to_string(), "1970-01-01 00:00:00 UTC");
        assert_eq!(Words(at(1_795_401_830)).to_string(), "2026-11-23 02:43:50 UTC");
        let before = UNIX_EPOCH - Duration::from_secs(1);
        assert_eq!(Words(before).to_string(), "1969-12-31 23:59:59 UTC");
    }
}
