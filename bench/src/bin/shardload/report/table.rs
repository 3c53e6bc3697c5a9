//! Runs as a table of plain text, and what has to be said beneath it.
//!
//! Never: colours; hides that a figure is not known, which is a `-`.

use super::columns::aligned;
use super::notes::notes;
use crate::outcome::{Document, Latency, Run, Workload};
use crate::units::show_size;

/// The table, under a line that says what machine it was got on.
pub(crate) fn table(document: &Document) -> String {
    let Document { version, machine, runs, .. } = document;
    let mut text = format!("shardload {version} on {machine}\n\n");
    let unit = Unit::of(runs);
    let columns: Vec<_> = columns(unit).into_iter().filter(|column| (column.on)(runs)).collect();
    let rows: Vec<_> = runs.iter().flat_map(|run| rows(run, runs.len())).collect();
    text.push_str(&aligned(&cells(&columns, &rows, unit)));
    text.push('\n');
    for note in notes(runs) {
        text.push_str(&note);
        text.push('\n');
    }
    text
}

/// One line of the table: a run, or one more distribution of its.
struct Row<'a> {
    name: String,
    run: Option<&'a Run>,
    latency: Option<&'a Latency>,
}

/// A run's own line, and lines for the distributions that a reader of these runs wants to see.
fn rows(run: &Run, of: usize) -> Vec<Row<'_>> {
    let first = Row { name: run.name.clone(), run: Some(run), latency: run.latency.as_ref() };
    let detailed = of == 1 || matches!(run.workload, Workload::Churn | Workload::Idle);
    let more = [
        ("  uncorrected", run.uncorrected.as_ref(), true),
        ("  connect", run.connect.as_ref(), detailed),
        ("  handshake", run.handshake.as_ref(), detailed),
    ];
    let more = more.into_iter().filter(|(_, latency, wanted)| *wanted && latency.is_some());
    let more = more.map(|(name, latency, _)| Row { name: name.into(), run: None, latency });
    std::iter::once(first).chain(more).collect()
}

/// What all times of a table are in.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Unit {
    Micros,
    Millis,
}

impl Unit {
    /// Milliseconds where even the quickest run takes one.
    fn of(runs: &[Run]) -> Self {
        let medians = runs.iter().filter_map(|run| Some(run.latency.as_ref()?.p50_us));
        let quickest = medians.fold(f64::INFINITY, f64::min);
        if quickest.is_finite() && quickest >= 1e3 { Self::Millis } else { Self::Micros }
    }

    fn show(self, micros: f64) -> String {
        match self {
            Self::Micros => format!("{micros:.1}"),
            Self::Millis => format!("{:.2}", micros / 1e3),
        }
    }
}

type Quantile = fn(&Latency) -> f64;

enum Cell {
    Run(fn(&Run) -> Option<String>),
    Time(Quantile),
}

struct Column {
    /// In two lines, where there is a bar.
    title: &'static str,
    cell: Cell,
    on: fn(&[Run]) -> bool,
}

fn columns(unit: Unit) -> Vec<Column> {
    let of = |title, on, cell| Column { title, on, cell: Cell::Run(cell) };
    let time = |title, cell| Column { title, on: timed, cell: Cell::Time(cell) };
    let latency = if unit == Unit::Micros { "latency us|p50" } else { "latency ms|p50" };
    vec![
        of("connec-|tions", always, |run| Some(run.connections.to_string())),
        of("message|size", sized, |run| run.message_size_bytes.map(show_size)),
        of("in|flight", deep, |run| run.depth_messages.map(|depth| depth.to_string())),
        of("asked|per s", open, |run| run.asked_per_second.map(whole)),
        of("|messages/s", messages, |run| rate_of(run, "messages")),
        of("|conversations/s", script, |run| rate_of(run, "conversations")),
        of("|rounds/s", rounds, |run| rate_of(run, "rounds")),
        of("|connects/s", visits, |run| run.connects_per_second.map(whole)),
        of("MB/s|sent", bytes_both, |run| Some(format!("{:.1}", run.sent_megabytes_per_second))),
        of("MB/s|received", bytes_both, |run| {
            Some(format!("{:.1}", run.received_megabytes_per_second))
        }),
        of("|MB/s", echoes_only, |run| Some(format!("{:.1}", run.received_megabytes_per_second))),
        time(latency, |latency| latency.p50_us),
        time("|p99", |latency| latency.p99_us),
        time("|p99.9", |latency| latency.p99_9_us),
        time("|max", |latency| latency.max_us),
        of("server CPU|us each", served, |run| {
            Some(format!("{:.2}", run.server.as_ref()?.cpu_us_per_operation?))
        }),
        of("client CPU|us each", spent, |run| {
            Some(format!("{:.2}", run.client.cpu_us_per_operation?))
        }),
        of("|errors", always, |run| Some((run.errors.total + run.errors.lost).to_string())),
    ]
}

fn rate_of(run: &Run, unit: &str) -> Option<String> {
    (run.workload.unit() == unit).then(|| whole(run.operations_per_second))
}

/// Without a fraction, unless it is much of the figure.
fn whole(rate: f64) -> String {
    if rate < 9.95 && rate.fract() != 0.0 { format!("{rate:.1}") } else { format!("{rate:.0}") }
}

fn always(_: &[Run]) -> bool {
    true
}

fn timed(runs: &[Run]) -> bool {
    runs.iter()
        .any(|run| [&run.latency, &run.connect, &run.handshake].iter().any(|it| it.is_some()))
}

fn sized(runs: &[Run]) -> bool {
    runs.iter().any(|run| run.message_size_bytes.is_some())
}

fn deep(runs: &[Run]) -> bool {
    runs.iter().any(|run| run.depth_messages.is_some())
}

fn open(runs: &[Run]) -> bool {
    runs.iter().any(|run| run.asked_per_second.is_some())
}

fn messages(runs: &[Run]) -> bool {
    runs.iter().any(|run| run.workload.unit() == "messages")
}

fn script(runs: &[Run]) -> bool {
    runs.iter().any(|run| run.workload == Workload::Script)
}

fn rounds(runs: &[Run]) -> bool {
    runs.iter().any(|run| run.workload == Workload::Rounds)
}

fn visits(runs: &[Run]) -> bool {
    runs.iter().any(|run| matches!(run.workload, Workload::Churn | Workload::Idle))
}

/// What is sent is what comes back, so that one column says both.
fn echoes_only(runs: &[Run]) -> bool {
    runs.iter().all(|run| matches!(run.workload, Workload::Echo | Workload::Abuse))
}

fn bytes_both(runs: &[Run]) -> bool {
    let moved = |run: &Run| run.sent_megabytes_per_second + run.received_megabytes_per_second > 0.0;
    !echoes_only(runs) && runs.iter().any(moved)
}

fn served(runs: &[Run]) -> bool {
    runs.iter().filter_map(|run| run.server.as_ref()).any(|it| it.cpu_us_per_operation.is_some())
}

fn spent(runs: &[Run]) -> bool {
    runs.iter().any(|run| run.client.cpu_us_per_operation.is_some())
}

/// Titles in two lines, and the rows beneath.
fn cells(columns: &[Column], rows: &[Row<'_>], unit: Unit) -> Vec<Vec<String>> {
    let titles = columns.iter().map(|it| it.title.split_once('|').unwrap_or(("", it.title)));
    let above = [""].into_iter().chain(titles.clone().map(|(above, _)| above));
    let below = ["load"].into_iter().chain(titles.map(|(_, below)| below));
    let mut lines = vec![above.map(String::from).collect(), below.map(String::from).collect()];
    lines.extend(rows.iter().map(|row| {
        let filled = columns.iter().map(|column| cell(column, row, unit));
        std::iter::once(row.name.clone()).chain(filled).collect()
    }));
    lines
}

fn cell(column: &Column, row: &Row<'_>, unit: Unit) -> String {
    let unknown = || "-".to_string();
    match (&column.cell, row.run) {
        (Cell::Run(of), Some(run)) => of(run).unwrap_or_else(unknown),
        (Cell::Run(_), None) => String::new(),
        (Cell::Time(of), _) => row.latency.map_or_else(unknown, |it| unit.show(of(it))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample;

    fn lines(runs: Vec<Run>) -> Vec<String> {
        table(&sample::document(runs)).lines().map(String::from).collect()
    }

    /// What stands in the line that begins so, beneath the end of the title.
    fn under(lines: &[String], title: &str, row: &str) -> String {
        let titles = lines.iter().find(|line| line.contains(title)).expect("the title");
        let end = titles.find(title).expect("just seen") + title.len();
        let row = lines.iter().find(|line| line.starts_with(row)).expect("the row");
        let cell = row.get(..end).unwrap_or(row);
        cell.rsplit("  ").next().unwrap_or_default().to_string()
    }

    #[test]
    fn figures_end_where_their_titles_do() {
        let lines = lines(vec![sample::echo("plain", 3), sample::open("TLS", 3)]);
        assert_eq!(under(&lines, "messages/s", "plain"), "51234");
        assert_eq!(under(&lines, "per s", "TLS"), "50000");
        assert_eq!(under(&lines, "per s", "plain"), "-");
        assert_eq!(under(&lines, "size", "plain"), "64 B");
        assert_eq!(under(&lines, "errors", "TLS"), "0");
        assert!(!lines.iter().any(|line| line.contains('\u{1b}')));
    }

    #[test]
    fn corrected_and_uncorrected_stand_beneath_each_other() {
        let run = sample::open("TLS", 3);
        let show = |latency: &Option<Latency>| {
            Unit::Micros.show(latency.as_ref().expect("the sample has it").p99_us)
        };
        let lines = lines(vec![run.clone()]);
        assert_eq!(under(&lines, "p99", "TLS"), show(&run.latency));
        assert_eq!(under(&lines, "p99", "  uncorrected"), show(&run.uncorrected));
        assert_eq!(under(&lines, "p99", "  handshake"), show(&run.handshake));
        assert!(lines.iter().any(|line| line.starts_with("Open loop")));
        assert!(!lines.iter().any(|line| line.starts_with("Closed loop")));
    }

    #[test]
    fn each_workload_has_the_columns_of_its_own() {
        let run = |workload| Run {
            connects_per_second: Some(1234.0),
            operations_per_second: 567.0,
            sent_megabytes_per_second: 12.25,
            received_megabytes_per_second: 34.5,
            ..sample::empty("it", workload)
        };
        for (workload, title, cell) in [
            (Workload::Echo, "messages/s", "567"),
            (Workload::Abuse, "messages/s", "567"),
            (Workload::Churn, "connects/s", "1234"),
            (Workload::Idle, "connects/s", "1234"),
            (Workload::Script, "conversations/s", "567"),
            (Workload::Rounds, "rounds/s", "567"),
            (Workload::Bulk, "sent", "12.2"),
            (Workload::Bulk, "received", "34.5"),
        ] {
            assert_eq!(under(&lines(vec![run(workload)]), title, "it"), cell, "{workload:?}");
        }
    }

    #[test]
    fn a_rate_of_a_few_a_second_has_a_fraction() {
        for (rate, shown) in [(0.0, "0"), (0.26, "0.3"), (1.25, "1.2"), (9.96, "10"), (50.4, "50")]
        {
            let run = Run { operations_per_second: rate, ..sample::echo("it", 1) };
            assert_eq!(under(&lines(vec![run]), "messages/s", "it"), shown);
        }
    }

    #[test]
    fn without_operations_there_are_no_times_and_no_division_by_none() {
        let text = lines(vec![sample::empty("plain", Workload::Echo)]).join("\n");
        assert!(
            !text.contains("NaN") && !text.contains("latency") && !text.contains("inf"),
            "{text}"
        );
    }

    #[test]
    fn slow_runs_are_told_in_milliseconds() {
        let mut run = sample::echo("slow", 1);
        run.latency = Some(sample::latency([12_000.0; 10]));
        let lines = lines(vec![run]);
        assert!(under(&lines, "p99", "slow").starts_with("12.0"), "{lines:#?}");
        assert!(lines.iter().any(|line| line.contains("latency ms")));
    }
}
