//! Dates of certificates: from the calendar to the clock, and back in words.
//!
//! Never: reads the clock.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const DAY: i64 = 86_400;

/// Days from the beginning of the era's year 0, which is 1 March, to 1 January 1970.
const EPOCH: i64 = 719_468;

/// Days in 400 years, after which the calendar repeats.
const ERA: i64 = 146_097;

/// The time of this year, month (1 to 12), day, hour, minute and second, in UTC.
pub(crate) fn from_civil([year, month, day, hour, minute, second]: [i64; 6]) -> Option<SystemTime> {
    let is_time = (0..24).contains(&hour) && (0..60).contains(&minute) && (0..60).contains(&second);
    if !(0..10_000).contains(&year) || !(1..=12).contains(&month) || !is_time {
        return None;
    }
    let days = days_from_civil(year, month, day);
    // A day that the month does not have would be one of the next.
    if civil_from_days(days) != (year, month, day) {
        return None;
    }
    let seconds = days * DAY + hour * 3600 + minute * 60 + second;
    let distance = Duration::from_secs(seconds.unsigned_abs());
    if seconds < 0 { UNIX_EPOCH.checked_sub(distance) } else { UNIX_EPOCH.checked_add(distance) }
}

/// Days since 1 January 1970, in the Gregorian calendar. The year begins in March, so that the
/// day that some years have more is its last.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * ERA + of_era * 365 + of_era / 4 - of_era / 100 + day_of_year - EPOCH
}

fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let days = days + EPOCH;
    let (era, of_era) = (days.div_euclid(ERA), days.rem_euclid(ERA));
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let day_of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
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
        let (year, month, day) = civil_from_days(seconds.div_euclid(DAY));
        let second = seconds.rem_euclid(DAY);
        let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
        write!(f, "{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02} UTC")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_day_of_ten_thousand_years_is_itself() {
        let first = days_from_civil(0, 1, 1);
        let last = days_from_civil(9999, 12, 31);
        let mut before = civil_from_days(first - 1);
        for days in first..=last {
            let (year, month, day) = civil_from_days(days);
            assert_eq!(days_from_civil(year, month, day), days);
            let next = before.0 == year && before.1 == month && before.2 + 1 == day;
            assert!(next || day == 1, "{before:?} and then {year}-{month}-{day}");
            before = (year, month, day);
        }
    }

    #[test]
    fn dates_are_said_as_they_were_given() {
        for civil in [[1970, 1, 1, 0, 0, 0], [1950, 2, 28, 23, 59, 59], [9999, 12, 31, 23, 59, 59]]
        {
            let time = from_civil(civil).expect("a date");
            let [year, month, day, hour, minute, second] = civil;
            let words = format!("{year}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02} UTC");
            assert_eq!(Words(time).to_string(), words);
        }
        assert_eq!(from_civil([1970, 1, 1, 0, 0, 1]), Some(UNIX_EPOCH + Duration::from_secs(1)));
        assert_eq!(from_civil([2023, 2, 29, 0, 0, 0]), None);
        assert!(from_civil([2024, 2, 29, 0, 0, 0]).is_some());
        assert_eq!(from_civil([2100, 2, 29, 0, 0, 0]), None);
    }
}
