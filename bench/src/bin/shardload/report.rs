//! What came of a load: figures with their units, as a table and as JSON.
//!
//! Never: colours, or rounds what JSON gives.

mod axis;
mod base64;
mod chart;
mod charts;
pub(crate) mod hdr;
mod html;
mod json;
mod notes;
#[cfg(test)]
pub(crate) mod sample;
mod section;
mod series;
pub(crate) mod show;
pub(crate) mod table;
mod verdict;

use crate::failure::Failure;
use crate::load::Load;
use crate::swarm::Tally;
use crate::units::show_size;
use hdrhistogram::Histogram;
use serde::Serialize;
use shardpoll_bench::machine::Machine;
use std::io::{self, Write};
use std::time::Duration;

/// What was seen of a load.
#[derive(Debug)]
pub(crate) struct Measured {
    pub(crate) tallies: Vec<Tally>,
    pub(crate) interrupted: bool,
    /// From the first message to the last echo.
    pub(crate) took: Duration,
    pub(crate) client_cpu: Option<Duration>,
    pub(crate) server_cpu: Option<Duration>,
}

/// One load. The fields' names are those of the JSON, and stay.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) name: String,
    pub(crate) target: String,
    pub(crate) connections: usize,
    pub(crate) message_size_bytes: usize,
    pub(crate) depth_messages: usize,
    pub(crate) client_threads: usize,
    /// How long messages were sent.
    pub(crate) duration_seconds: f64,
    /// Echoed and right, with those that came back after the duration.
    pub(crate) messages: u64,
    /// Of those that came back within the duration.
    pub(crate) messages_per_second: f64,
    /// Bytes of messages, counted once, by the million.
    pub(crate) megabytes_per_second: f64,
    /// Null, as all that is per message, when none came back.
    pub(crate) latency_p50_us: Option<f64>,
    pub(crate) latency_p99_us: Option<f64>,
    pub(crate) latency_p99_9_us: Option<f64>,
    pub(crate) latency_max_us: Option<f64>,
    /// Null also when the server's process is not known.
    pub(crate) server_cpu_us_per_message: Option<f64>,
    pub(crate) client_cpu_us_per_message: Option<f64>,
    /// Of the time its threads could have had.
    pub(crate) client_cpu_percent: Option<f64>,
    /// The sum of the three that follow.
    pub(crate) errors: u64,
    pub(crate) lost_messages: u64,
    pub(crate) broken_connections: u64,
    pub(crate) wrong_connections: u64,
    pub(crate) first_error: Option<String>,
    pub(crate) interrupted: bool,
}

impl Report {
    pub(crate) fn new(load: &Load, measured: Measured) -> Self {
        let Measured { tallies, interrupted, took, client_cpu, server_cpu } = measured;
        let sum = |of: fn(&Tally) -> u64| tallies.iter().map(of).sum::<u64>();
        let rate = |tally: &Tally| match tally.window.as_secs_f64() {
            0.0 => 0.0,
            seconds => tally.in_window as f64 / seconds,
        };
        let window = tallies.iter().map(|tally| tally.window).max().unwrap_or_default();
        let messages = sum(|tally| tally.messages);
        let messages_per_second: f64 = if sum(|tally| tally.in_window) > 0 {
            tallies.iter().map(rate).sum()
        } else {
            // Each took longer than the whole load was to last: what came, came afterwards.
            messages as f64 / took.as_secs_f64().max(f64::MIN_POSITIVE)
        };
        let (lost, broken, wrong) =
            (sum(|tally| tally.lost), sum(|tally| tally.broken), sum(|tally| tally.wrong));
        let latencies = merge(&tallies);
        let latency =
            |quantile| (messages > 0).then(|| latencies.value_at_quantile(quantile) as f64 / 1e3);
        let per_message =
            |spent: Duration| (messages > 0).then(|| spent.as_secs_f64() * 1e6 / messages as f64);
        let available = took.as_secs_f64() * load.threads as f64;
        Self {
            name: load.name.clone(),
            target: load.endpoint.target.to_string(),
            connections: load.connections,
            message_size_bytes: load.size,
            depth_messages: load.depth,
            client_threads: load.threads,
            duration_seconds: window.as_secs_f64(),
            messages,
            messages_per_second,
            megabytes_per_second: messages_per_second * load.size as f64 / 1e6,
            latency_p50_us: latency(0.5),
            latency_p99_us: latency(0.99),
            latency_p99_9_us: latency(0.999),
            latency_max_us: latency(1.0),
            server_cpu_us_per_message: server_cpu.and_then(per_message),
            client_cpu_us_per_message: client_cpu.and_then(per_message),
            client_cpu_percent: client_cpu.map(|spent| spent.as_secs_f64() / available * 100.0),
            errors: lost + broken + wrong,
            lost_messages: lost,
            broken_connections: broken,
            wrong_connections: wrong,
            first_error: tallies.into_iter().find_map(|tally| tally.first_fault),
            interrupted,
        }
    }

    /// What went wrong, in words.
    fn fault(&self) -> Option<String> {
        let Self { name, lost_messages: lost, broken_connections: broken, .. } = self;
        let wrong = self.wrong_connections;
        if self.messages == 0 && self.errors == 0 {
            return Some(format!("{name}: not one message came back within the duration"));
        }
        (self.errors > 0).then(|| {
            let first = self.first_error.as_deref().unwrap_or("no echo within the grace period");
            format!(
                "{name}: {lost} messages lost, {broken} connections broken, {wrong} with wrong \
                 bytes; the first: {first}"
            )
        })
    }
}

fn merge(tallies: &[Tally]) -> Histogram<u64> {
    let mut merged = Histogram::new_from(&tallies[0].latencies);
    for tally in tallies {
        merged.add(&tally.latencies).expect("all have the same bounds");
    }
    merged
}

/// An error when anything was lost or wrong in any of these.
pub(crate) fn verdict(reports: &[Report]) -> Result<(), Failure> {
    let faults: Vec<_> = reports.iter().filter_map(Report::fault).collect();
    if faults.is_empty() { Ok(()) } else { Err(Failure::Wrong { faults }) }
}

/// The table, under a line that says what machine it was got on.
pub(crate) fn table(reports: &[Report], machine: &Machine) -> String {
    let with_server = reports.iter().any(|report| report.server_cpu_us_per_message.is_some());
    let mut columns: Vec<Column> = COLUMNS.to_vec();
    if !with_server {
        columns.retain(|(title, _)| *title != SERVER_CPU);
    }
    let rows: Vec<Vec<String>> = reports
        .iter()
        .map(|report| columns.iter().map(|(_, cell)| cell(report)).collect())
        .collect();
    let mut text = format!("shardload {} on {machine}\n\n", env!("CARGO_PKG_VERSION"));
    let mut lines = vec![String::new(); reports.len() + 2];
    for (index, (title, _)) in columns.iter().enumerate() {
        let (above, below) = title.split_once('|').unwrap_or(("", title));
        let cells = [above, below].into_iter().chain(rows.iter().map(|row| row[index].as_str()));
        let width = cells.clone().map(|cell| cell.chars().count()).max().unwrap_or(0);
        for (line, cell) in lines.iter_mut().zip(cells) {
            if index == 0 {
                line.push_str(&format!("{cell:<width$}"));
            } else {
                line.push_str(&format!("  {cell:>width$}"));
            }
        }
    }
    for line in lines {
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text.push_str(NOTES);
    for report in reports {
        if let Some(percent) = report.client_cpu_percent.filter(|&percent| percent > 90.0) {
            let name = &report.name;
            text.push_str(&format!(
                "{name}: the client was busy {percent:.0} % of its time; it may be the limit.\n"
            ));
        }
    }
    text
}

/// A title, in two lines where there is a bar, and how to fill it.
type Column = (&'static str, fn(&Report) -> String);

const SERVER_CPU: &str = "server CPU|us/message";

const COLUMNS: [Column; 12] = [
    ("load", |report| report.name.clone()),
    ("connec-|tions", |report| report.connections.to_string()),
    ("message|size", |report| show_size(report.message_size_bytes)),
    ("in|flight", |report| report.depth_messages.to_string()),
    ("|messages/s", |report| format!("{:.0}", report.messages_per_second)),
    ("|MB/s", |report| format!("{:.1}", report.megabytes_per_second)),
    ("latency us|p50", |report| optional(report.latency_p50_us, 1)),
    ("|p99", |report| optional(report.latency_p99_us, 1)),
    ("|p99.9", |report| optional(report.latency_p99_9_us, 1)),
    (SERVER_CPU, |report| optional(report.server_cpu_us_per_message, 2)),
    ("client CPU|us/message", |report| optional(report.client_cpu_us_per_message, 2)),
    ("|errors", |report| report.errors.to_string()),
];

const NOTES: &str = "
Closed loop, every byte checked. MB: 10^6 bytes of messages, counted once. Latency: from queueing a
message to the read that brings its last byte back. CPU: of the whole process, user and system.
";

fn optional(figure: Option<f64>, digits: usize) -> String {
    figure.map_or_else(|| "-".into(), |figure| format!("{figure:.digits$}"))
}

/// Prints what was asked for; a reader that goes away has seen enough.
pub(crate) fn print(text: &str) -> Result<(), Failure> {
    let mut stdout = io::stdout();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::Io { what: "standard output", source: error })
        }
        _ => Ok(()),
    }
}

/// JSON in one line.
pub(crate) fn json(value: &impl Serialize) -> String {
    let text = serde_json::to_string(value).expect("numbers and strings, and keys are strings");
    text + "\n"
}
