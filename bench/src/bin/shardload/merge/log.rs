//! One log of `--hdr-out`, read to its end.
//!
//! Never: reads part of a log; one that was cut is refused, since what is missing is not known.

use crate::report::hdr::{self, END, UNCORRECTED, VALUES};
use hdrhistogram::Histogram;
use std::time::Duration;

/// What a log holds, over all of its lines.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Log {
    /// As the command line has it.
    pub(super) name: String,
    /// When its window began, since 1970; absent in a log of other origin.
    pub(super) began: Option<Duration>,
    /// `2/3`, where it was one of several.
    pub(super) instance: Option<String>,
    /// From its beginning to the end of its last line.
    pub(super) length: Duration,
    pub(super) lines: u64,
    pub(super) latency: Histogram<u64>,
    pub(super) uncorrected: Option<Histogram<u64>>,
}

impl Log {
    /// Reads all of it.
    ///
    /// # Errors
    /// A sentence that begins with the file and the line.
    pub(super) fn read(name: &str, bytes: &[u8]) -> Result<Self, String> {
        let text = str::from_utf8(bytes).map_err(|error| {
            let sound = bytes.get(..error.valid_up_to()).unwrap_or_default();
            let line = sound.iter().filter(|&&byte| byte == b'\n').count() + 1;
            format!("{name}:{line}: it is no text, so no HdrHistogram log")
        })?;
        let mut reader = Reader::default();
        let mut number = 0;
        for line in text.lines() {
            number += 1;
            reader.line(line).map_err(|why| format!("{name}:{number}: {why}"))?;
        }
        reader.end(name).map_err(|why| format!("{name}:{}: {why}", number.max(1)))
    }
}

#[derive(Default)]
struct Reader {
    in_nanoseconds: bool,
    ended: bool,
    start: Option<Duration>,
    base: Option<Duration>,
    instance: Option<String>,
    length: Duration,
    lines: u64,
    latency: Option<Histogram<u64>>,
    uncorrected: Option<Histogram<u64>>,
}

impl Reader {
    fn line(&mut self, line: &str) -> Result<(), String> {
        if self.ended {
            return Err("it goes on after its end: these are several logs in one file".into());
        }
        if line.starts_with('#') {
            self.comment(line)
        } else if line.starts_with("\"StartTimestamp\"") {
            Ok(())
        } else {
            self.interval(line)
        }
    }

    fn comment(&mut self, line: &str) -> Result<(), String> {
        let value = |key: &str| Some(line.strip_prefix(key)?.strip_suffix(']')?.trim());
        if line == VALUES {
            self.in_nanoseconds = true;
        } else if let Some(unit) = value("#[Values: ") {
            return Err(format!("its values are {unit}, and only nanoseconds can be added up"));
        } else if let Some(instance) = value("#[Instance: ") {
            self.instance = Some(instance.into());
        } else if let Some(at) = line.strip_prefix("#[StartTime: ") {
            self.start = Some(seconds(at.split(' ').next().unwrap_or_default())?);
        } else if let Some(at) = line.strip_prefix("#[BaseTime: ") {
            self.base = Some(seconds(at.split(' ').next().unwrap_or_default())?);
        } else if let Some(count) = value(END) {
            self.ended = true;
            let lines = self.lines;
            if count != format!("{lines} lines") {
                return Err(format!("{lines} lines stand here, and {count} are said: it was cut"));
            }
        }
        Ok(())
    }

    fn interval(&mut self, line: &str) -> Result<(), String> {
        if !self.in_nanoseconds {
            return Err(format!(
                "it is no log of shardload: '{VALUES}' does not stand before this"
            ));
        }
        let (tag, line) = match line.strip_prefix("Tag=").map(|rest| rest.split_once(',')) {
            Some(Some((tag, rest))) => (Some(tag), rest),
            Some(None) => return Err("it ends within a tag: it was cut".into()),
            None => (None, line),
        };
        let fields: Vec<_> = line.split(',').collect();
        let [at, length, _max, histogram] = fields[..] else {
            return Err("it is no line of an HdrHistogram log, or one that was cut".into());
        };
        let end = seconds(at)?.saturating_add(seconds(length)?);
        let sum = match tag {
            None => &mut self.latency,
            Some(UNCORRECTED) => &mut self.uncorrected,
            Some(tag) => return Err(format!("'{tag}' is no tag of shardload")),
        };
        add(sum, &hdr::decode(histogram)?)?;
        self.length = self.length.max(end);
        self.lines += 1;
        Ok(())
    }

    fn end(self, name: &str) -> Result<Log, String> {
        match self {
            Self { lines: 0, in_nanoseconds: false, .. } => {
                Err("it ends without a line of an HdrHistogram log".into())
            }
            Self { ended: false, .. } => Err(format!(
                "it ends without '{END}...]': it was cut, or its run did not come to its end"
            )),
            Self { latency: None, .. } => Err("it ends without a histogram".into()),
            Self { latency: Some(latency), .. } => Ok(Log {
                name: name.into(),
                began: self.base.or(self.start),
                instance: self.instance,
                length: self.length,
                lines: self.lines,
                latency,
                uncorrected: self.uncorrected,
            }),
        }
    }
}

/// Adds the one to the other, exactly.
///
/// # Errors
/// When they have not the same number of digits, so that counts would have to be moved.
pub(super) fn add(sum: &mut Option<Histogram<u64>>, other: &Histogram<u64>) -> Result<(), String> {
    let sum = sum.get_or_insert_with(|| {
        let mut empty = Histogram::new_from(other);
        empty.auto(true);
        empty
    });
    let (ours, its) = (sum.sigfig(), other.sigfig());
    if ours != its {
        return Err(format!("its histogram has {its} digits, and those before it {ours}"));
    }
    sum.add(other).map_err(|why| format!("its histogram cannot be added: {why}"))
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds = text.parse().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    seconds.ok_or_else(|| format!("'{text}' is no number of seconds"))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::outcome::Instance;
    use crate::report::hdr::{HdrLog, Header};
    use crate::report::sample::histogram as of;
    use std::time::UNIX_EPOCH;

    /// A log of these intervals.
    pub(crate) fn written(parts: &[Histogram<u64>], uncorrected: bool) -> Vec<u8> {
        let mut bytes = Vec::new();
        let header = Header {
            command: &["shardload".into()],
            began: UNIX_EPOCH + Duration::from_millis(1_795_456_800_500),
            instance: Some(Instance { number: 2, of: 3 }),
        };
        let mut log = HdrLog::begin(&mut bytes, &header).expect("memory takes all");
        let second = Duration::from_secs(1);
        for (at, part) in (0..).zip(parts) {
            log.write(second * at, second, part, uncorrected.then_some(part)).expect("memory");
        }
        log.finish().expect("memory");
        bytes
    }

    #[test]
    fn what_was_written_is_read() {
        let parts = [of([1_000, 2_000]), of([]), of([5_000_000])];
        let log = Log::read("1.hlog", &written(&parts, true)).expect("a sound log");
        assert_eq!((log.lines, log.length), (6, Duration::from_secs(3)));
        assert_eq!(log.began, Some(Duration::from_millis(1_795_456_800_500)));
        assert_eq!(log.instance.as_deref(), Some("2/3"));
        assert_eq!(log.latency, of([1_000, 2_000, 5_000_000]));
        assert_eq!(log.uncorrected, Some(of([1_000, 2_000, 5_000_000])));
        let log = Log::read("1.hlog", &written(&parts, false)).expect("a sound log");
        assert_eq!(log.uncorrected, None);
    }

    #[test]
    fn a_log_that_was_cut_anywhere_is_refused() {
        let bytes = written(&[of(1..2_000), of(5..7)], true);
        // The newline at the end is no loss.
        for length in 0..bytes.len() - 1 {
            let why = Log::read("1.hlog", &bytes[..length]).expect_err("it was cut");
            assert!(why.starts_with("1.hlog:"), "{length}: {why}");
        }
    }

    #[test]
    fn what_is_no_log_is_refused_with_its_line() {
        let sound = String::from_utf8(written(&[of([1_000])], false)).expect("text");
        let with = |from: &str, to: &str| sound.replace(from, to).into_bytes();
        for (bytes, named) in [
            (b"".to_vec(), "1.hlog:1: it ends without"),
            (b"{\"version\":\"0.1.0\"}\n".to_vec(), "1.hlog:1: it is no log of shardload"),
            (b"#[shardload]\n\xff\n".to_vec(), "1.hlog:2: it is no text"),
            (with("nanoseconds]", "microseconds]"), "1.hlog:4: its values are microseconds"),
            (with(&format!("{VALUES}\n"), ""), "1.hlog:9: it is no log of shardload"),
            (with("HIST", "HIS!"), "1.hlog:10: it is no whole base 64"),
            (with("HIST", "AAAA"), "1.hlog:10: it is no HdrHistogram"),
            (with("0.000,1.000", "zero,1.000"), "1.hlog:10: 'zero' is no number of seconds"),
            (with("0.000,1.000", "-1,1.000"), "1.hlog:10: '-1' is no number of seconds"),
            (with("0.000,1.000", "Tag=other,0,1"), "1.hlog:10: 'other' is no tag of shardload"),
            (with("[End: 1", "[End: 2"), "1.hlog:11: 1 lines stand here, and 2 lines are said"),
            (sound.repeat(2).into_bytes(), "1.hlog:12: it goes on after its end"),
        ] {
            let why = Log::read("1.hlog", &bytes).expect_err(named);
            assert!(why.starts_with(named), "{named}: {why}");
        }
    }

    #[test]
    fn histograms_of_other_digits_are_refused() {
        let mut sum = Some(of([1_000]));
        let other = Histogram::new(2).expect("two digits are allowed");
        assert!(add(&mut sum, &other).is_err_and(|why| why.contains("2 digits")));
    }
}
