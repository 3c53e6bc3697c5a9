//! The command lines of strace and callgrind, and what they have counted, read from their files.
//!
//! A figure is the difference of two runs that differ in the number of messages alone, so the
//! server's start, its connections and its end are not in it.
//!
//! Never: samples; both tools count everything.

use crate::tools::{STRACE, ToolError, VALGRIND};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt::Write as _;
use std::path::Path;

/// How long strace holds the server before each of its waits. The client needs some 500 us to send
/// 50 messages; in this time it has sent them all, so the wait finds all 50 ready, in every round.
pub const HOLD_MICROS: u32 = 10_000;

/// The calls that wait for events, whichever of them the server uses.
const WAITS: &str = "/^epoll_p?wait2?$";

/// What strace is to do.
#[derive(Clone, Copy, Debug)]
pub struct Trace {
    /// Count the waits only, so that nothing else is slowed down.
    pub only_waits: bool,
    /// Hold the server before each wait, for [`HOLD_MICROS`].
    pub hold: bool,
}

/// The command line of strace that writes its counts to `out`.
#[must_use]
pub fn strace(out: &Path, trace: Trace) -> Vec<OsString> {
    let mut words: Vec<OsString> =
        [STRACE, "--follow-forks", "--summary-only", "--output"].map(OsString::from).to_vec();
    words.push(out.into());
    if trace.only_waits {
        words.extend(["--seccomp-bpf".into(), format!("--trace={WAITS}").into()]);
    }
    if trace.hold {
        words.push(format!("--inject={WAITS}:delay_enter={HOLD_MICROS}").into());
    }
    words
}

/// The command line of callgrind that writes its counts to `out`, and its complaints to `log`.
#[must_use]
pub fn callgrind(out: &Path, log: &Path) -> Vec<OsString> {
    let option = |name: &str, path: &Path| {
        let mut word = OsString::from(name);
        word.push(path);
        word
    };
    vec![
        VALGRIND.into(),
        "--tool=callgrind".into(),
        option("--callgrind-out-file=", out),
        option("--log-file=", log),
    ]
}

/// System calls by name.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Calls(BTreeMap<String, i64>);

impl Calls {
    /// Reads the table that `strace -c` writes.
    ///
    /// # Errors
    /// When there is none.
    pub fn parse(text: &str) -> Result<Self, ToolError> {
        let row = |line: &str| {
            let fields: Vec<_> = line.split_ascii_whitespace().collect();
            // % time, seconds, usecs/call, calls, errors (may be blank), syscall
            let (name, calls) = (*fields.last()?, *fields.get(3)?);
            fields[0].parse::<f64>().ok()?;
            (name != "total").then_some((name.to_owned(), calls.parse().ok()?))
        };
        let calls: BTreeMap<_, _> = text.lines().filter_map(row).collect();
        if calls.is_empty() {
            return Err(ToolError::Failed {
                tool: STRACE,
                why: format!("wrote no counts: {text:?}"),
            });
        }
        Ok(Self(calls))
    }

    /// What `self` has more than `fewer`, of each.
    #[must_use]
    pub fn since(&self, fewer: &Self) -> Self {
        let names = self.0.keys().chain(fewer.0.keys());
        let difference = |name: &String| (name.clone(), self.of(name) - fewer.of(name));
        Self(names.map(difference).collect())
    }

    /// How many of this name.
    #[must_use]
    pub fn of(&self, name: &str) -> i64 {
        self.0.get(name).copied().unwrap_or(0)
    }

    /// The call that was waited with most often, if any was.
    #[must_use]
    pub fn most_frequent_wait(&self) -> Option<&str> {
        let waits = self.0.iter().filter(|(name, calls)| name.starts_with("epoll_") && **calls > 0);
        let waits = waits.filter(|(name, _)| name.contains("wait"));
        waits.max_by_key(|(_, calls)| **calls).map(|(name, _)| name.as_str())
    }

    /// How many of all.
    #[must_use]
    pub fn total(&self) -> i64 {
        self.0.values().sum()
    }

    /// `sendto 1.000, recvfrom 1.000`: each call per unit, the most frequent first, without those
    /// that three digits do not show.
    #[must_use]
    pub fn per(&self, units: f64) -> String {
        let shows = |calls: i64| calls.abs() as f64 / units >= 0.0005;
        let mut rows: Vec<_> = self.0.iter().filter(|(_, calls)| shows(**calls)).collect();
        rows.sort_by_key(|(_, calls)| -**calls);
        let mut text = String::new();
        for (name, calls) in rows {
            let comma = if text.is_empty() { "" } else { ", " };
            let _infallible = write!(text, "{comma}{name} {:.3}", *calls as f64 / units);
        }
        text
    }
}

/// Reads the number of instructions from the file that callgrind writes.
///
/// # Errors
/// When there is none.
pub fn instructions(text: &str) -> Result<i64, ToolError> {
    let total = |line: &str| {
        let rest = line.strip_prefix("totals:").or_else(|| line.strip_prefix("summary:"))?;
        rest.trim().parse().ok()
    };
    let none = || ToolError::Failed { tool: VALGRIND, why: "wrote no total".into() };
    text.lines().rev().find_map(total).ok_or_else(none)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "\
% time     seconds  usecs/call     calls    errors syscall
------ ----------- ----------- --------- --------- ----------------
 12.87    0.261715          43      6000           sendto
  8.53    0.173581          28      6050         3 recvfrom
------ ----------- ----------- --------- --------- ----------------
100.00    2.034221         162     12050         3 total
";

    #[test]
    fn the_table_of_strace_is_read_with_and_without_errors() {
        let calls = Calls::parse(TABLE).expect("a table");
        assert_eq!((calls.of("sendto"), calls.of("recvfrom")), (6000, 6050));
        assert_eq!((calls.of("total"), calls.total()), (0, 12_050));
        assert!(Calls::parse("strace: cannot trace\n").is_err());
    }

    #[test]
    fn a_difference_counts_what_only_one_of_both_has() {
        let calls = |pairs: &[(&str, i64)]| {
            Calls(pairs.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect())
        };
        let more = calls(&[("sendto", 30), ("epoll_ctl", 5), ("read", 1)]);
        let fewer = calls(&[("sendto", 10), ("epoll_ctl", 5), ("futex", 2)]);
        let difference = more.since(&fewer);
        assert_eq!(
            difference,
            calls(&[("sendto", 20), ("epoll_ctl", 0), ("read", 1), ("futex", -2)])
        );
        assert_eq!(difference.per(10.0), "sendto 2.000, read 0.100, futex -0.200");
        assert_eq!(difference.per(4000.0), "sendto 0.005, futex -0.001");
    }

    #[test]
    fn the_wait_that_was_used_is_known_from_the_one_that_was_tried() {
        let calls = |pairs: &[(&str, i64)]| {
            Calls(pairs.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect())
        };
        let both = calls(&[("epoll_ctl", 900), ("epoll_pwait2", 1), ("epoll_wait", 80)]);
        assert_eq!(both.most_frequent_wait(), Some("epoll_wait"));
        assert_eq!(calls(&[("sendto", 30), ("epoll_wait", 0)]).most_frequent_wait(), None);
    }

    #[test]
    fn the_total_of_callgrind_is_read() {
        let text = "events: Ir\nsummary: 12\n\nfn=(1)\n3 4\n\ntotals: 1555143\n";
        assert_eq!(instructions(text).expect("a total"), 1_555_143);
        assert!(instructions("events: Ir\n").is_err());
    }
}
