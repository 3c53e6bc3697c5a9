//! Durations, sizes, rates and times as people write them: `500ms`, `16k`, `50k`.
//!
//! Never: guesses a unit for a duration; a bare number is refused.

use crate::outcome::Instance;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::{Duration, SystemTime};

/// `5s`, `500ms`, `250us`, `2m`, `1h`: whole numbers, more than zero.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    match duration_or_zero(text)? {
        Duration::ZERO => Err("it must be more than zero".into()),
        duration => Ok(duration),
    }
}

const WANT_DURATION: &str =
    "want a whole number and its unit, one of us, ms, s, m and h, such as 5s or 500ms";

/// As [`duration`], but it may be zero.
pub(crate) fn duration_or_zero(text: &str) -> Result<Duration, String> {
    let (number, unit) = split(text).ok_or(WANT_DURATION)?;
    let micros_per_unit: u64 = match unit {
        "us" => 1,
        "ms" => 1_000,
        "s" => 1_000_000,
        "m" => 60_000_000,
        "h" => 3_600_000_000,
        _ => return Err(WANT_DURATION.into()),
    };
    let micros = number.checked_mul(micros_per_unit).ok_or("it is too long")?;
    Ok(Duration::from_micros(micros))
}

/// As [`duration`], or `off`.
pub(crate) fn timeout(text: &str) -> Result<Timeout, String> {
    if text == "off" {
        return Ok(Timeout(None));
    }
    let wait = duration(text).map_err(|why| format!("{why}, or off"))?;
    Ok(Timeout(Some(wait)))
}

/// Where to listen: `127.0.0.1:7000`, `[::]:7000`.
pub(crate) fn socket_address(text: &str) -> Result<SocketAddr, String> {
    let want = || "want an IP address and a port, such as 127.0.0.1:7000 or [::1]:7000";
    text.parse().map_err(|_| want().into())
}

/// A duration that may be `off`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Timeout(pub(crate) Option<Duration>);

/// Bytes: `64`, `16k` (of 1,024), `1m` (of 1,048,576); more than zero.
pub(crate) fn size(text: &str) -> Result<usize, String> {
    let (number, unit) = split(text).ok_or("want a number of bytes, such as 64, 16k or 1m")?;
    let bytes_per_unit = match unit {
        "" => 1,
        "k" | "K" => 1024,
        "m" | "M" => 1024 * 1024,
        _ => return Err("want a whole number of bytes, of k (1024) or of m (1048576)".into()),
    };
    let bytes = number.checked_mul(bytes_per_unit).and_then(|bytes| usize::try_from(bytes).ok());
    match bytes {
        Some(0) => Err("it must be more than zero".into()),
        Some(bytes) => Ok(bytes),
        None => Err("it is too large".into()),
    }
}

/// Operations a second: `200`, `0.5`, `50k`, `1.5m`; more than zero.
pub(crate) fn rate(text: &str) -> Result<f64, String> {
    let (number, factor) = match text.as_bytes().last() {
        Some(b'k' | b'K') => (&text[..text.len() - 1], 1e3),
        Some(b'm' | b'M') => (&text[..text.len() - 1], 1e6),
        _ => (text, 1.0),
    };
    // f64 would also read "inf", "1e9" and "+1".
    let is_plain = number.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    match number.parse::<f64>() {
        Ok(number) if is_plain && number * factor > MOST_A_SECOND => {
            Err(format!("it is more than {MOST_A_SECOND:.0} a second"))
        }
        Ok(number) if is_plain && number > 0.0 => Ok(number * factor),
        _ => Err("want how many a second, more than zero, such as 200 or 50k".into()),
    }
}

/// One each nanosecond.
const MOST_A_SECOND: f64 = 1e9;

/// When to begin.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct StartTime(pub(crate) SystemTime);

/// `2026-11-23T18:00:00Z`, or seconds since 1970.
pub(crate) fn start_time(text: &str) -> Result<StartTime, String> {
    let seconds = text.parse().ok().map(Duration::from_secs);
    let time = match seconds {
        Some(seconds) => SystemTime::UNIX_EPOCH.checked_add(seconds),
        None => humantime::parse_rfc3339(text).ok(),
    };
    let wrong = || "want a time such as 2026-11-23T18:00:00Z, or seconds since 1970";
    time.map(StartTime).ok_or_else(|| wrong().into())
}

/// One address, or all from one to another: `127.0.0.2-127.0.0.9`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Addresses(pub(crate) Vec<IpAddr>);

/// So many addresses may be named by their first and last.
const MOST_ADDRESSES: u128 = 65_536;

/// `127.0.0.2`, or `127.0.0.2-127.0.0.9`.
pub(crate) fn addresses(text: &str) -> Result<Addresses, String> {
    let ip = |text: &str| text.parse().map_err(|_| format!("{text:?} is no IP address"));
    let Some((first, last)) = text.split_once('-') else { return Ok(Addresses(vec![ip(text)?])) };
    let all: Vec<IpAddr> = match (ip(first)?, ip(last)?) {
        (IpAddr::V4(first), IpAddr::V4(last)) => {
            range(first.to_bits().into(), last.to_bits().into())?
                .filter_map(|bits| u32::try_from(bits).ok())
                .map(|bits| Ipv4Addr::from_bits(bits).into())
                .collect()
        }
        (IpAddr::V6(first), IpAddr::V6(last)) => range(first.to_bits(), last.to_bits())?
            .map(|bits| Ipv6Addr::from_bits(bits).into())
            .collect(),
        _ => return Err("both ends must be of one family".into()),
    };
    Ok(Addresses(all))
}

fn range(first: u128, last: u128) -> Result<impl Iterator<Item = u128>, String> {
    match last.checked_sub(first) {
        None => Err("the last address is before the first".into()),
        Some(count) if count >= MOST_ADDRESSES => {
            Err(format!("these are more than {MOST_ADDRESSES} addresses"))
        }
        Some(_) => Ok(first..=last),
    }
}

/// `2/3`: the second of three.
pub(crate) fn instance(text: &str) -> Result<Instance, String> {
    let parts = text.split_once('/').and_then(|(number, of)| {
        let whole = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        (whole(number) && whole(of)).then_some(())?;
        Some(Instance { number: number.parse().ok()?, of: of.parse().ok()? })
    });
    match parts {
        Some(instance) if (1..=instance.of).contains(&instance.number) => Ok(instance),
        _ => Err("want I/N, the I-th of N, such as 1/3".into()),
    }
}

/// A size for people: the largest unit that divides it.
pub(crate) fn show_size(bytes: usize) -> String {
    const KI: usize = 1024;
    const MI: usize = 1024 * 1024;
    if bytes >= MI && bytes.is_multiple_of(MI) {
        format!("{} MiB", bytes / MI)
    } else if bytes >= KI && bytes.is_multiple_of(KI) {
        format!("{} KiB", bytes / KI)
    } else {
        format!("{bytes} B")
    }
}

fn split(text: &str) -> Option<(u64, &str)> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    Some((number.parse().ok()?, unit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_a_whole_number_and_a_unit() {
        assert_eq!(duration("5s"), Ok(Duration::from_secs(5)));
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("250us"), Ok(Duration::from_micros(250)));
        assert_eq!(duration("2m"), Ok(Duration::from_secs(120)));
        assert_eq!(duration("1h"), Ok(Duration::from_secs(3600)));
        for wrong in ["", "5", "s", "5 s", "-5s", "1.5s", "5S", "0s", "5sec", "+5s"] {
            assert!(duration(wrong).is_err(), "{wrong:?}");
        }
        assert_eq!(duration("99999999999999999h"), Err("it is too long".into()));
        assert_eq!(duration_or_zero("0s"), Ok(Duration::ZERO));
    }

    #[test]
    fn a_timeout_may_be_off() {
        assert_eq!(timeout("off"), Ok(Timeout(None)));
        assert_eq!(timeout("60s"), Ok(Timeout(Some(Duration::from_secs(60)))));
        assert!(timeout("never").is_err());
        assert!(timeout("0s").is_err());
    }

    #[test]
    fn sizes_are_bytes_or_powers_of_1024() {
        assert_eq!(size("64"), Ok(64));
        assert_eq!(size("16k"), Ok(16 * 1024));
        assert_eq!(size("1M"), Ok(1024 * 1024));
        for wrong in ["", "k", "0", "0k", "-1", "1.5k", "16kb", "1g", "99999999999999999999"] {
            assert!(size(wrong).is_err(), "{wrong:?}");
        }
        assert_eq!(size("18446744073709551615m"), Err("it is too large".into()));
    }

    #[test]
    fn sizes_are_shown_in_the_largest_unit_that_divides_them() {
        assert_eq!(show_size(64), "64 B");
        assert_eq!(show_size(16 * 1024), "16 KiB");
        assert_eq!(show_size(1024 * 1024 + 1024), "1025 KiB");
        assert_eq!(show_size(4 * 1024 * 1024), "4 MiB");
        assert_eq!(show_size(1500), "1500 B");
    }

    #[test]
    fn rates_may_have_a_fraction_and_a_thousand() {
        assert_eq!(rate("200"), Ok(200.0));
        assert_eq!(rate("0.5"), Ok(0.5));
        assert_eq!(rate("50k"), Ok(50_000.0));
        assert_eq!(rate("1.5M"), Ok(1_500_000.0));
        for wrong in ["", "0", "k", "-1", "+1", "1e3", "inf", "NaN", ".", "1..2", "2000m"] {
            assert!(rate(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn a_start_is_a_date_or_seconds() {
        let at = |seconds| StartTime(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds));
        assert_eq!(start_time("1795456800"), Ok(at(1_795_456_800)));
        assert_eq!(start_time("2026-11-23T18:00:00Z"), Ok(at(1_795_456_800)));
        for wrong in ["", "tomorrow", "18:00", "-5", "99999999999999999999"] {
            assert!(start_time(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn addresses_are_one_or_all_between_two() {
        let all = |text: &str| {
            let all = addresses(text).expect(text).0;
            all.iter().map(IpAddr::to_string).collect::<Vec<_>>()
        };
        assert_eq!(all("127.0.0.2"), ["127.0.0.2"]);
        assert_eq!(all("127.0.0.255-127.0.1.1"), ["127.0.0.255", "127.0.1.0", "127.0.1.1"]);
        assert_eq!(all("::fffe-::1:0"), ["::fffe", "::ffff", "::1:0"]);
        assert_eq!(all("::1-::1"), ["::1"]);
        assert_eq!(all("255.255.255.255-255.255.255.255").len(), 1);
        for (wrong, why) in [
            ("", "no IP address"),
            ("localhost", "\"localhost\""),
            ("127.0.0.2-", "\"\""),
            ("127.0.0.2-3", "\"3\""),
            ("127.0.0.3-127.0.0.2", "before"),
            ("127.0.0.1-::1", "family"),
            ("10.0.0.0-10.1.0.0", "65536"),
            ("::-ffff::", "65536"),
        ] {
            let error = addresses(wrong).expect_err(wrong);
            assert!(error.contains(why), "{wrong}: {error}");
        }
    }

    #[test]
    fn an_instance_is_one_of_several() {
        assert_eq!(instance("2/3"), Ok(Instance { number: 2, of: 3 }));
        for wrong in ["", "1", "0/3", "4/3", "1/0", "-1/3", "1/+3", "a/b"] {
            assert!(instance(wrong).is_err(), "{wrong:?}");
        }
    }
}
