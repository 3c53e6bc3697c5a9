//! Figures as people read them: `51,234`, `1.25 ms`, `3.9 kB`.
//!
//! Never: is read by a program; JSON has the figures themselves.

/// A whole number in groups of three.
pub(crate) fn grouped(number: f64) -> String {
    let digits = format!("{:.0}", number.abs());
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    if number <= -0.5 { format!("-{text}") } else { text }
}

/// In groups of three where it is large, with a fraction where it is small.
pub(crate) fn number(number: f64) -> String {
    match number.abs() {
        below if below != 0.0 && below < 0.01 => format!("{number:.4}"),
        below if below < 10.0 && below.fract() != 0.0 => format!("{number:.2}"),
        below if below < 100.0 && below.fract() != 0.0 => format!("{number:.1}"),
        _ => grouped(number),
    }
}

/// A time in the unit that suits it, in three digits: `850 ns`, `12.3 us`, `1.25 ms`, `10.0 s`.
pub(crate) fn time(micros: f64) -> String {
    // Just below the border, so that no rounding leads to `1000 us`.
    let (value, unit) = match micros.abs() {
        below if below < 0.9995 => (micros * 1e3, "ns"),
        below if below < 999.5 => (micros, "us"),
        below if below < 999_500.0 => (micros / 1e3, "ms"),
        _ => (micros / 1e6, "s"),
    };
    format!("{} {unit}", three_digits(value))
}

/// As [`time`], with a proper micro sign and never broken in two, for what is surely UTF-8.
pub(crate) fn micro(micros: f64) -> String {
    time(micros).replace(" us", " \u{b5}s").replace(' ', "\u{a0}")
}

/// Bytes, by the thousand.
pub(crate) fn bytes(bytes: f64) -> String {
    match bytes.abs() {
        below if below < 999.5 => format!("{bytes:.0} B"),
        below if below < 999_500.0 => format!("{} kB", three_digits(bytes / 1e3)),
        below if below < 999_500_000.0 => format!("{} MB", three_digits(bytes / 1e6)),
        _ => format!("{} GB", three_digits(bytes / 1e9)),
    }
}

/// A tick of an axis: `50k`, `1.5m`, `0.25`.
pub(crate) fn short(number: f64) -> String {
    let (value, unit) = match number.abs() {
        below if below < 1e3 => (number, ""),
        below if below < 1e6 => (number / 1e3, "k"),
        below if below < 1e9 => (number / 1e6, "M"),
        _ => (number / 1e9, "G"),
    };
    format!("{}{unit}", plain(value))
}

/// A tick that is a round number of microseconds: `200 \u{b5}s`, `1 ms`.
pub(crate) fn round_time(micros: f64) -> String {
    match micros {
        below if below < 0.999 => format!("{} ns", plain(micros * 1e3)),
        below if below < 999.0 => format!("{} \u{b5}s", plain(micros)),
        below if below < 999_000.0 => format!("{} ms", plain(micros / 1e3)),
        _ => format!("{} s", plain(micros / 1e6)),
    }
}

/// A tick of an axis of seconds, in the unit that suits its end: `0`, `5 s`, `10 min`, `3 h`.
pub(crate) fn seconds(seconds: f64, end: f64) -> String {
    match end {
        _ if seconds == 0.0 => "0".into(),
        below if below <= 180.0 => format!("{} s", plain(seconds)),
        below if below <= 10_800.0 => format!("{} min", plain(seconds / 60.0)),
        _ => format!("{} h", plain(seconds / 3_600.0)),
    }
}

/// As few digits as it needs, of three behind the point.
fn plain(value: f64) -> String {
    let text = format!("{value:.3}");
    text.trim_end_matches('0').trim_end_matches('.').to_string()
}

/// A word of a command, as it can be given to a shell again.
pub(crate) fn quoted(word: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./:=,@%+".contains(&byte);
    if !word.is_empty() && word.bytes().all(plain) {
        return word.into();
    }
    format!("'{}'", word.replace('\'', "'\\''"))
}

/// A count with its noun, which gets an `s` unless there is one.
pub(crate) fn counted(count: u64, noun: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{} {noun}{plural}", grouped(count as f64))
}

fn three_digits(value: f64) -> String {
    match value.abs() {
        below if below == 0.0 || below >= 99.95 => grouped(value),
        below if below >= 9.995 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_numbers_are_in_groups_of_three() {
        for (number, text) in [
            (0.0, "0"),
            (999.4, "999"),
            (999.6, "1,000"),
            (51_234.0, "51,234"),
            (1_234_567.0, "1,234,567"),
            (-1_234.0, "-1,234"),
            (-0.2, "0"),
        ] {
            assert_eq!(grouped(number), text);
        }
    }

    #[test]
    fn small_numbers_keep_a_fraction() {
        for (value, text) in
            [(0.0, "0"), (0.001, "0.0010"), (2.5, "2.50"), (51.25, "51.2"), (3.0, "3")]
        {
            assert_eq!(number(value), text);
        }
        assert_eq!(number(51_234.6), "51,235");
    }

    #[test]
    fn times_have_three_digits_and_the_unit_that_suits_them() {
        for (micros, text) in [
            (0.0, "0 ns"),
            (0.25, "250 ns"),
            (0.9999, "1.00 us"),
            (12.34, "12.3 us"),
            (999.4, "999 us"),
            (999.6, "1.00 ms"),
            (1_250.0, "1.25 ms"),
            (99_960.0, "100 ms"),
            (10_000_000.0, "10.0 s"),
            (3_600_000_000.0, "3,600 s"),
        ] {
            assert_eq!(time(micros), text);
        }
    }

    #[test]
    fn words_are_quoted_where_a_shell_wants_it() {
        for (word, shown) in [
            ("--duration", "--duration"),
            ("tcp://[::1]:7000", "'tcp://[::1]:7000'"),
            ("p99<5ms", "'p99<5ms'"),
            ("", "''"),
            ("it's", "'it'\\''s'"),
        ] {
            assert_eq!(quoted(word), shown);
        }
    }

    #[test]
    fn bytes_are_counted_by_the_thousand() {
        for (count, text) in [(0.0, "0 B"), (289.0, "289 B"), (3_986.0, "3.99 kB")] {
            assert_eq!(bytes(count), text);
        }
        assert_eq!(bytes(45_600_000.0), "45.6 MB");
        assert_eq!(bytes(2.5e9), "2.50 GB");
        assert_eq!(
            (counted(1, "message"), counted(2, "message")),
            ("1 message".into(), "2 messages".into())
        );
    }
}
