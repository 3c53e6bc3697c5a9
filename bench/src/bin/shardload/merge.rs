//! `shardload merge`: the latencies of several instances as if one had measured them all.
//!
//! Histograms have the same borders everywhere, so their counts add up, and the percentiles of the
//! sum are those of all values. An average of percentiles would be none of anything.
//!
//! Never: estimates; leaves a log out because something is wrong with it.

mod log;

use crate::cli::Merge;
use crate::failure::Failure;
use crate::outcome::{Instance, Latency};
use crate::report;
use crate::report::columns::aligned;
use crate::report::hdr::{self, HdrLog, Header};
use crate::report::show::{grouped, time};
use crate::units;
use hdrhistogram::Histogram;
use log::{Log, add};
use serde::Serialize;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

/// Instances that began further apart than this did not load the server together all the time.
const MOST_SKEW: Duration = Duration::from_secs(1);

/// What came of it; the names are those of the JSON, and stay.
#[derive(Debug, Serialize)]
struct Merged {
    version: &'static str,
    logs: Vec<Part>,
    /// Between the first and the last of them to begin.
    skew_seconds: Option<f64>,
    latency: Option<Latency>,
    uncorrected: Option<Latency>,
}

#[derive(Debug, Serialize)]
struct Part {
    file: String,
    instance: Option<String>,
    /// RFC 3339.
    began: Option<String>,
    /// After the first of all to begin.
    after_first_seconds: Option<f64>,
    seconds: f64,
    count: u64,
}

/// Reads, adds, shows, and writes the sum if asked to.
pub(crate) fn merge(options: &Merge) -> Result<(), Failure> {
    let Merge { logs, hdr_out, json } = options;
    // However they are called; one that is not there yet is no other's.
    let whole = |path: &PathBuf| fs::canonicalize(path).unwrap_or_else(|_| path.clone());
    let (files, sum_file): (Vec<_>, _) =
        (logs.iter().map(whole).collect(), hdr_out.as_ref().map(whole));
    for (place, path) in logs.iter().enumerate() {
        let again = files[..place].contains(&files[place]);
        if again || sum_file.as_ref() == Some(&files[place]) {
            let why = if again { "is named twice" } else { "is to be read and written at once" };
            return Err(Failure::Usage(format!("{} {why}", path.display())));
        }
    }
    let logs = logs.iter().map(read).collect::<Result<Vec<_>, _>>()?;
    let (latency, uncorrected) = sum(&logs)?;
    if let Some(path) = hdr_out {
        let failed = |source| Failure::File { option: "--hdr-out", path: path.clone(), source };
        write(path, &logs, &latency, uncorrected.as_ref()).map_err(failed)?;
    }
    let merged = merged(&logs, &latency, uncorrected.as_ref());
    report::print(&if *json { report::json(&merged) } else { table(&merged) })
}

fn read(path: &PathBuf) -> Result<Log, Failure> {
    let name = path.display().to_string();
    let bytes = fs::read(path).map_err(|error| Failure::Usage(format!("{name}: {error}")))?;
    Log::read(&name, &bytes).map_err(Failure::Usage)
}

type Sums = (Histogram<u64>, Option<Histogram<u64>>);

fn sum(logs: &[Log]) -> Result<Sums, Failure> {
    let (mut latency, mut uncorrected) = (None, None);
    for log in logs {
        let failed = |why| Failure::Usage(format!("{}: {why}", log.name));
        add(&mut latency, &log.latency).map_err(failed)?;
        log.uncorrected.as_ref().map_or(Ok(()), |it| add(&mut uncorrected, it)).map_err(failed)?;
    }
    Ok((latency.expect("clap wants at least one log, and each has one"), uncorrected))
}

fn write(
    path: &Path,
    logs: &[Log],
    latency: &Histogram<u64>,
    uncorrected: Option<&Histogram<u64>>,
) -> std::io::Result<()> {
    let began = logs.iter().filter_map(|log| log.began).min().unwrap_or_default();
    let ends = logs.iter().map(|log| log.began.unwrap_or(began) + log.length);
    let length = ends.max().unwrap_or_default().saturating_sub(began);
    let names = logs.iter().map(|log| log.name.clone());
    let command: Vec<_> = ["shardload".into(), "merge".into()].into_iter().chain(names).collect();
    let header = Header { command: &command, began: UNIX_EPOCH + began, instance: None };
    let mut log = HdrLog::create(path, &header)?;
    log.write(Duration::ZERO, length, latency, uncorrected)?;
    log.finish()
}

fn merged(logs: &[Log], latency: &Histogram<u64>, uncorrected: Option<&Histogram<u64>>) -> Merged {
    let first = logs.iter().filter_map(|log| log.began).min();
    let after = |log: &Log| Some(log.began?.saturating_sub(first?).as_secs_f64());
    let part = |log: &Log| Part {
        file: log.name.clone(),
        instance: log.instance.clone(),
        began: log
            .began
            .map(|began| humantime::format_rfc3339_millis(UNIX_EPOCH + began).to_string()),
        after_first_seconds: after(log),
        seconds: log.length.as_secs_f64(),
        count: log.latency.len(),
    };
    Merged {
        version: env!("CARGO_PKG_VERSION"),
        logs: logs.iter().map(part).collect(),
        skew_seconds: logs.iter().filter_map(after).max_by(f64::total_cmp),
        latency: hdr::latency(latency),
        uncorrected: uncorrected.and_then(hdr::latency),
    }
}

fn table(merged: &Merged) -> String {
    let unknown = || "-".to_string();
    let mut logs = vec![row(["log", "instance", "began", "after the first", "seconds", "count"])];
    logs.extend(merged.logs.iter().map(|part| {
        let after = part.after_first_seconds.map(|after| format!("{after:.3} s"));
        vec![
            part.file.clone(),
            part.instance.clone().unwrap_or_else(unknown),
            part.began.clone().unwrap_or_else(unknown),
            after.unwrap_or_else(unknown),
            format!("{:.1}", part.seconds),
            grouped(part.count as f64),
        ]
    }));
    let titles = [
        "all together",
        "count",
        "min",
        "mean",
        "p50",
        "p75",
        "p90",
        "p99",
        "p99.9",
        "p99.99",
        "max",
    ];
    let mut times = vec![row(titles)];
    for (name, latency) in [("latency", &merged.latency), ("uncorrected", &merged.uncorrected)] {
        times.extend(latency.as_ref().map(|latency| percentiles(name, latency)));
    }
    let mut text = format!("{}\n{}", aligned(&logs), aligned(&times));
    for warning in warnings(merged) {
        text.push_str(&format!("\nwarning: {warning}\n"));
    }
    text
}

fn row<const N: usize>(cells: [&str; N]) -> Vec<String> {
    cells.map(String::from).into()
}

fn percentiles(name: &str, it: &Latency) -> Vec<String> {
    let times = it.figures();
    let first = [name.to_string(), grouped(it.count as f64)];
    first.into_iter().chain(times.map(time)).collect()
}

/// What makes the sum less than what it seems.
fn warnings(merged: &Merged) -> Vec<String> {
    let mut warnings = Vec::new();
    let skew = merged.skew_seconds.filter(|&skew| skew > MOST_SKEW.as_secs_f64());
    warnings.extend(skew.map(|skew| {
        format!(
            "the last log began {skew:.1} s after the first: not all instances were at work all \
             the time; --start-at lets them begin together"
        )
    }));
    let instances: Vec<Instance> = merged
        .logs
        .iter()
        .filter_map(|part| units::instance(part.instance.as_deref()?).ok())
        .collect();
    let twice = instances.iter().enumerate().find(|(at, it)| instances[..*at].contains(it));
    warnings.extend(twice.map(|(_, it)| {
        format!("instance {}/{} is there more than once: is it one run, copied?", it.number, it.of)
    }));
    let of = instances.iter().map(|instance| instance.of).max().unwrap_or(0);
    let here = |number: usize| instances.iter().any(|instance| instance.number == number);
    let missing: Vec<_> = (1..=of).filter(|&number| !here(number)).take(10).collect();
    if !missing.is_empty() {
        let missing: Vec<_> = missing.iter().map(|number| format!("{number}/{of}")).collect();
        warnings.push(format!("there is no log of instance {}", missing.join(", ")));
    }
    warnings
}

#[cfg(test)]
mod tests {
    use super::log::tests::written;
    use super::*;
    use crate::report::sample::histogram as of;

    fn log(name: &str, values: impl IntoIterator<Item = u64>) -> Log {
        Log::read(name, &written(&[of(values)], false)).expect("a sound log")
    }

    #[test]
    fn the_sum_of_parts_is_the_histogram_of_all() {
        let mut random = fastrand::Rng::with_seed(7);
        for round in 0..50 {
            let mut all = Vec::new();
            let logs: Vec<_> = (0..1 + round % 5)
                .map(|_| {
                    let parts: Vec<_> = (0..random.usize(1..4))
                        .map(|_| {
                            let values: Vec<u64> = (0..random.usize(0..300))
                                .map(|_| random.u64(..) >> random.u32(20..60))
                                .collect();
                            all.extend(&values);
                            of(values)
                        })
                        .collect();
                    Log::read("one", &written(&parts, true)).expect("a sound log")
                })
                .collect();
            let (latency, uncorrected) = sum(&logs).expect("all have three digits");
            assert_eq!((&latency, uncorrected.as_ref()), (&of(all), Some(&latency)), "{round}");
        }
    }

    #[test]
    fn the_table_says_who_began_when_and_what_all_have_seen() {
        let mut logs = [log("1.hlog", 1..1_000), log("2.hlog", [7_000_000])];
        logs[1].began = logs[0].began.map(|began| began + Duration::from_millis(1_500));
        let (latency, uncorrected) = sum(&logs).expect("all have three digits");
        let merged = merged(&logs, &latency, uncorrected.as_ref());
        let text = table(&merged);
        for part in ["1.hlog", "2/3", "2026-11-23T18:00:00.500Z", "1.500 s", "1,000", "7.00 ms"] {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert!(text.contains("warning: the last log began 1.5 s after the first"), "{text}");
        assert!(text.contains("no log of instance 1/3, 3/3"), "{text}");
        assert!(text.contains("instance 2/3 is there more than once"), "{text}");
        assert!(!text.contains("uncorrected"), "{text}");
    }
}
