//! Distributions as HdrHistograms: their percentiles, their text, and the log of `--hdr-out`.
//!
//! The log is that of HdrHistogram's `HistogramLogWriter`, version 1.3, with V2 deflated
//! histograms, and its `HistogramLogProcessor` reads it. Two comments are our own:
//! `#[Values: nanoseconds]`,
//! without which `merge` could not know what it adds up, and `#[End: N lines]`, without which a log
//! that was cut between two lines would look like a whole one.
//!
//! Never: measures; changes a histogram.
//!
//! Invariants:
//! 1. Values are nanoseconds, in every histogram of this program.
//! 2. A line without a tag is of latency, one with the tag `uncorrected` of the uncorrected one.

use super::show::quoted;
use crate::outcome::{Instance, Latency};
use hdrhistogram::Histogram;
pub(crate) use shardpoll_bench::hdr::{decode, encode};
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The tag of lines that hold what a naive tool would say.
pub(crate) const UNCORRECTED: &str = "uncorrected";

/// The comment that says what the values are.
pub(crate) const VALUES: &str = "#[Values: nanoseconds]";

/// How the last line begins; the number of lines with a histogram follows.
pub(crate) const END: &str = "#[End: ";

/// What a report says of these times; absent without any.
pub(crate) fn latency(histogram: &Histogram<u64>) -> Option<Latency> {
    let micros = |nanos: u64| nanos as f64 / 1e3;
    let at = |quantile| micros(histogram.value_at_quantile(quantile));
    (!histogram.is_empty()).then(|| Latency {
        count: histogram.len(),
        min_us: micros(histogram.min()),
        mean_us: histogram.mean() / 1e3,
        p50_us: at(0.5),
        p75_us: at(0.75),
        p90_us: at(0.9),
        p99_us: at(0.99),
        p99_9_us: at(0.999),
        p99_99_us: at(0.9999),
        max_us: micros(histogram.max()),
        histogram: encode(histogram),
    })
}

/// What stands at the head of a log.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Header<'a> {
    /// The program's name first.
    pub(crate) command: &'a [String],
    /// When the window began: `at` of the lines is counted from here.
    pub(crate) began: SystemTime,
    pub(crate) instance: Option<Instance>,
}

/// A log that is being written.
#[derive(Debug)]
pub(crate) struct HdrLog<W: Write = BufWriter<File>> {
    to: W,
    lines: u64,
}

impl HdrLog {
    /// A new file; what was there under its name is gone.
    pub(crate) fn create(path: &Path, header: &Header<'_>) -> io::Result<Self> {
        Self::begin(BufWriter::new(File::create(path)?), header)
    }
}

impl<W: Write> HdrLog<W> {
    pub(crate) fn begin(mut to: W, header: &Header<'_>) -> io::Result<Self> {
        let began = header.began.duration_since(UNIX_EPOCH).unwrap_or_default();
        let (seconds, date) = (began.as_secs_f64(), humantime::format_rfc3339_millis(header.began));
        writeln!(to, "#[shardload {}]", env!("CARGO_PKG_VERSION"))?;
        let words: Vec<_> = header.command.iter().map(|word| quoted(word)).collect();
        writeln!(to, "#[Command: {}]", one_line(&words.join(" ")))?;
        if let Some(Instance { number, of }) = header.instance {
            writeln!(to, "#[Instance: {number}/{of}]")?;
        }
        writeln!(to, "{VALUES}")?;
        writeln!(to, "#[Interval_Max: milliseconds]")?;
        writeln!(to, "#[Histogram log format version 1.3]")?;
        writeln!(to, "#[StartTime: {seconds:.3} (seconds since epoch), {date}]")?;
        writeln!(to, "#[BaseTime: {seconds:.3} (seconds since epoch)]")?;
        writeln!(
            to,
            "\"StartTimestamp\",\"Interval_Length\",\"Interval_Max\",\
             \"Interval_CompressedHistogram\""
        )?;
        Ok(Self { to, lines: 0 })
    }

    /// What came within this time.
    pub(crate) fn write(
        &mut self,
        at: Duration,
        length: Duration,
        latency: &Histogram<u64>,
        uncorrected: Option<&Histogram<u64>>,
    ) -> io::Result<()> {
        self.line("", at, length, latency)?;
        uncorrected.map_or(Ok(()), |of| self.line(&format!("Tag={UNCORRECTED},"), at, length, of))
    }

    fn line(
        &mut self,
        tag: &str,
        at: Duration,
        length: Duration,
        histogram: &Histogram<u64>,
    ) -> io::Result<()> {
        self.lines += 1;
        let (at, length) = (at.as_secs_f64(), length.as_secs_f64());
        let max_millis = histogram.max() as f64 / 1e6;
        writeln!(self.to, "{tag}{at:.3},{length:.3},{max_millis:.3},{}", encode(histogram))
    }

    /// Says that this is all, without which it counts as cut.
    pub(crate) fn finish(mut self) -> io::Result<()> {
        writeln!(self.to, "{END}{} lines]", self.lines)?;
        self.to.flush()
    }
}

/// A command may hold anything; a comment is one line.
fn one_line(text: &str) -> String {
    text.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample::histogram as of;
    use hdrhistogram::serialization::interval_log::{IntervalLogIterator, LogEntry};

    #[test]
    fn without_times_there_is_no_latency() {
        assert_eq!(latency(&of([])), None);
    }

    #[test]
    fn percentiles_are_microseconds_of_a_histogram_of_nanoseconds() {
        let latency = latency(&of((1..=1000).map(|micros| micros * 1000))).expect("a thousand");
        assert_eq!(latency.count, 1000);
        for (figure, want) in [
            (latency.min_us, 1.0),
            (latency.mean_us, 500.5),
            (latency.p50_us, 500.0),
            (latency.p75_us, 750.0),
            (latency.p99_us, 990.0),
            (latency.p99_9_us, 999.0),
            (latency.max_us, 1000.0),
        ] {
            assert!((figure / want - 1.0).abs() < 0.002, "{figure} for {want}");
        }
    }

    #[test]
    fn a_histogram_comes_back_from_its_text() {
        let histogram = of((0..5000).map(|step| step * step));
        assert_eq!(decode(&encode(&histogram)).as_ref(), Ok(&histogram));
        assert!(decode("HISTAAA").is_err_and(|why| why.contains("base 64")));
        assert!(decode("AAAAAAAA").is_err_and(|why| why.contains("HdrHistogram")));
    }

    #[test]
    fn a_log_is_read_by_the_librarys_own_reader() {
        let command = ["shardload".into(), "echo\n#[End: 9 lines]".into()];
        let began = UNIX_EPOCH + Duration::from_millis(1_795_456_800_250);
        let instance = Some(Instance { number: 2, of: 3 });
        let mut bytes = Vec::new();
        let header = Header { command: &command, began, instance };
        let mut log = HdrLog::begin(&mut bytes, &header).expect("memory takes all");
        let (first, second) = (of([1_000_000, 2_000_000]), of([7]));
        let second_long = Duration::from_secs(1);
        log.write(Duration::ZERO, second_long, &first, Some(&second)).expect("memory");
        log.write(second_long, Duration::from_millis(500), &second, None).expect("memory");
        log.finish().expect("memory");
        let entries: Vec<_> =
            IntervalLogIterator::new(&bytes).map(|entry| entry.expect("sound")).collect();
        let mut lines = Vec::new();
        for entry in &entries {
            match entry {
                LogEntry::StartTime(at) | LogEntry::BaseTime(at) => {
                    assert_eq!(at.as_millis(), 1_795_456_800_250);
                }
                LogEntry::Interval(line) => lines.push(line),
            }
        }
        assert_eq!((entries.len(), lines.len()), (5, 3));
        assert_eq!((lines[0].tag(), lines[0].max()), (None, 2.001));
        assert_eq!(lines[1].tag().map(|tag| tag.as_str()), Some(UNCORRECTED));
        assert_eq!(lines[2].start_timestamp(), second_long);
        assert_eq!(lines[2].duration(), Duration::from_millis(500));
        assert_eq!(decode(lines[0].encoded_histogram()), Ok(first));
        let text = String::from_utf8(bytes).expect("text");
        assert!(text.ends_with("#[End: 3 lines]\n") && text.contains("#[Instance: 2/3]"), "{text}");
        assert_eq!(text.matches("\n#[End:").count(), 1, "{text}");
    }
}
