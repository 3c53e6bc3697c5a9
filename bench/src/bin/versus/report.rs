//! One table a scenario, and a line of JSON for each row.
//!
//! Never: rounds before it judges, or what JSON gives.

use crate::candidate::Candidate;
use crate::cli::Cli;
use crate::failure::Failure;
use crate::peer::Peer;
use crate::scenario::{Absent, Goal, Scenario, binds};
use crate::spread::Spread;
use crate::window::{Place, Window};
use serde::Serialize;
use shardpoll_bench::machine::Machine;
use shardpoll_bench::tools;
use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Write as _};

/// What a row is compared with, and how it fares.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Ratio {
    pub(crate) of: &'static str,
    pub(crate) spread: Spread,
}

/// One server in one scenario. The fields' names are those of the JSON, and stay.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Row {
    pub(crate) scenario: &'static str,
    /// What is counted, where a scenario has several.
    pub(crate) what: &'static str,
    pub(crate) server: &'static str,
    pub(crate) provider: Option<&'static str>,
    pub(crate) unit: &'static str,
    pub(crate) value: Spread,
    /// To the scenario's base, in the same round.
    pub(crate) ratio: Option<Ratio>,
    /// To the best library, where the base is none.
    pub(crate) library: Option<Ratio>,
    /// Units a second; says as much about the client.
    pub(crate) per_second: Option<f64>,
    /// Processors the clients used: near 1 it was they who set the pace.
    pub(crate) client: Option<f64>,
    pub(crate) rounds: usize,
    /// How many of them nobody disturbed.
    pub(crate) quiet: usize,
    /// What the goal is set for, the most it may be, and whether it is met.
    pub(crate) goal: Option<(&'static str, f64, bool)>,
    pub(crate) detail: String,
    /// All of them, also those that do not count.
    pub(crate) windows: Vec<Window>,
    /// What it may be at most, yet to be judged.
    #[serde(skip)]
    pub(crate) most: Option<Goal>,
    #[serde(skip)]
    pub(crate) of: (Scenario, Candidate),
}

impl Row {
    /// With nothing measured yet.
    pub(crate) fn new(scenario: Scenario, candidate: Candidate) -> Self {
        Self {
            scenario: scenario.name(),
            what: "",
            server: candidate.name(),
            provider: candidate.provider.map(|provider| provider.name()),
            unit: scenario.spec().unit,
            value: Spread { median: 0.0, q1: 0.0, q3: 0.0 },
            ratio: None,
            library: None,
            per_second: None,
            client: None,
            rounds: 0,
            quiet: 0,
            goal: None,
            detail: String::new(),
            windows: Vec::new(),
            most: scenario.goal(candidate),
            of: (scenario, candidate),
        }
    }

    fn judge(&mut self) {
        if self.goal.is_some() {
            return;
        }
        let ratio = self.ratio.as_ref().map(|ratio| ratio.spread.median);
        self.goal = match (self.most, ratio) {
            (Some(Goal::Ratio(most)), Some(ratio)) => Some(("ratio", most, ratio <= most)),
            (Some(Goal::Value(most)), _) => Some(("value", most, self.value.median <= most)),
            _ => None,
        };
    }

    fn missed(&self) -> Option<String> {
        let (kind, most, met) = self.goal?;
        let what = if self.what.is_empty() { "" } else { ": " };
        let name = format!("{}{what}{}: {}", self.scenario, self.what, self.of.1);
        let told = || format!("{name}: {kind} not {most} at most");
        (!met && binds(self.of.1)).then(told)
    }

    fn text(&self, columns: Columns) -> String {
        let Spread { median, q1, q3 } = self.value;
        let name = self.of.1.to_string();
        let digits = if median < 100.0 { 2 } else { 0 };
        let mut line = if columns.what { format!("{:<26}", self.what) } else { String::new() };
        let _infallible = write!(line, "{name:<24}{median:>9.digits$}");
        if columns.timed {
            let quartiles = format!("{q1:.digits$}..{q3:.digits$}");
            let _infallible = write!(line, "{quartiles:>16}");
        }
        let ratios = [(true, &self.ratio), (columns.library, &self.library)];
        for (_, ratio) in ratios.into_iter().filter(|(shown, _)| *shown) {
            let (median, quartiles) = ratio.as_ref().map_or_else(Default::default, |ratio| {
                let Spread { median, q1, q3 } = ratio.spread;
                (format!("{median:.3}"), format!("{q1:.3}..{q3:.3}"))
            });
            let _infallible = write!(line, "{median:>10}");
            if columns.timed {
                let _infallible = write!(line, "{quartiles:>15}");
            }
        }
        if let (Some(rate), Some(client)) = (self.per_second, self.client) {
            let quiet = format!("{}/{}", self.quiet, self.rounds);
            let _infallible = write!(line, "{rate:>10.0}{client:>8.2}{quiet:>8}");
        }
        if let Some((_, most, met)) = self.goal {
            let verdict = if met { "met" } else { "MISSED" };
            let _infallible = write!(line, "   <= {most}: {verdict}");
        }
        if !self.detail.is_empty() {
            let _infallible = write!(line, "   {}", self.detail);
        }
        line.truncate(line.trim_end().len());
        line.push('\n');
        line
    }
}

/// The longest name of a base that has room above its column; of others it says that it is one.
const BASE_WIDTH: usize = 6;

/// Which columns a table has.
#[derive(Clone, Copy, Debug)]
struct Columns {
    /// What is counted.
    what: bool,
    /// Quartiles.
    timed: bool,
    /// The ratio to the best library.
    library: bool,
    /// Rate, clients, quiet rounds.
    rate: bool,
}

impl Columns {
    fn of(rows: &[Row]) -> Self {
        Self {
            what: rows.iter().any(|row| !row.what.is_empty()),
            timed: rows.iter().any(|row| row.rounds > 1),
            library: rows.iter().any(|row| row.library.is_some()),
            rate: rows.iter().any(|row| row.per_second.is_some()),
        }
    }

    fn head(self, scenario: Scenario) -> String {
        let spec = scenario.spec();
        let mut line = if self.what { format!("{:<26}", "unit") } else { String::new() };
        let _infallible = write!(line, "{:<24}{:>9}", "server", spec.unit);
        if self.timed {
            let _infallible = write!(line, "{:>16}", "quartiles");
        }
        let base = spec.base.name();
        let base = if base.len() > BASE_WIDTH { "x base".into() } else { format!("x {base}") };
        for (_, ratio) in [(true, base.as_str()), (self.library, "x best")].iter().filter(|r| r.0) {
            let _infallible = write!(line, "{ratio:>10}");
            if self.timed {
                let _infallible = write!(line, "{:>15}", "quartiles");
            }
        }
        if self.rate {
            let per = spec.unit.split('/').nth(1).unwrap_or("unit");
            let rate = format!("{per}/s");
            let _infallible = write!(line, "{rate:>10}{:>8}{:>8}", "client", "quiet");
        }
        line
    }
}

/// What is told of one who does not take part.
#[derive(Debug, Serialize)]
struct AbsentLine<'a> {
    scenario: &'static str,
    server: &'static str,
    not_here: &'a str,
}

/// The first line of the JSON.
#[derive(Debug, Serialize)]
struct Head<'a> {
    version: &'static str,
    date: &'a str,
    machine: &'a Machine,
    place: Place,
    rounds: u32,
    window_ms: u64,
}

/// All that one run of this program has found.
#[derive(Debug)]
pub(crate) struct Report {
    json: Option<File>,
    missed: Vec<String>,
}

impl Report {
    /// Begins with when and where this is.
    pub(crate) fn begin(asked: &Cli, place: Place) -> Result<Self, Failure> {
        let date = tools::today().map_err(Failure::io("date"))?;
        let (version, machine) = (env!("CARGO_PKG_VERSION"), Machine::read());
        let Place { server_cpu, client_cpu } = place;
        let Cli { rounds, window, .. } = *asked;
        print(&format!(
            "shardpoll {version}, {date}: {machine}; servers on CPU {server_cpu}, clients on CPU \
             {client_cpu}; {rounds} rounds of {window} ms windows\n"
        ))?;
        if server_cpu == client_cpu {
            print("There is one CPU only: servers and clients are in each other's way.\n")?;
        }
        let json =
            asked.json.as_ref().map(File::create).transpose().map_err(Failure::io("--json"))?;
        let mut report = Self { json, missed: Vec::new() };
        let head =
            Head { version, date: &date, machine: &machine, place, rounds, window_ms: window };
        report.line(&head)?;
        Ok(report)
    }

    fn line(&mut self, value: &impl Serialize) -> Result<(), Failure> {
        let Some(file) = &mut self.json else { return Ok(()) };
        let text = serde_json::to_string(value).expect("strings and numbers only");
        writeln!(file, "{text}").map_err(Failure::io("--json"))
    }

    pub(crate) fn add(
        &mut self,
        scenario: Scenario,
        mut rows: Vec<Row>,
        absent: &[Absent],
    ) -> Result<(), Failure> {
        rows.iter_mut().for_each(Row::judge);
        self.missed.extend(rows.iter().filter_map(Row::missed));
        let name = scenario.name();
        let text = table(scenario, &rows, absent);
        print(&text)?;
        rows.iter().try_for_each(|row| self.line(row))?;
        absent.iter().try_for_each(|Absent { peer, why }| {
            self.line(&AbsentLine { scenario: name, server: peer.name(), not_here: why })
        })
    }

    /// Gives what missed its goal.
    pub(crate) fn end(self) -> Vec<String> {
        self.missed
    }
}

fn table(scenario: Scenario, rows: &[Row], absent: &[Absent]) -> String {
    let columns = Columns::of(rows);
    let (name, title) = (scenario.name(), scenario.spec().title);
    let mut text = format!("\n{name}: {title}\n{}\n", columns.head(scenario));
    for row in rows {
        text.push_str(&row.text(columns));
    }
    for Absent { peer, why } in absent {
        let _infallible = writeln!(text, "{:<24}not here: {why}", peer.name());
    }
    text
}

/// Who is here, and who is not, and why.
pub(crate) fn peers(all: &[Peer]) -> Result<(), Failure> {
    let mut text = String::new();
    for peer in all {
        let told = peer.missing().map_or_else(|| "here".into(), |why| format!("not here: {why}"));
        let _infallible = writeln!(text, "{:<16}{told}", peer.name());
    }
    print(&text)
}

fn print(text: &str) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush())
        .map_err(Failure::io("standard output"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::ValueEnum;

    /// A row with everything that a scenario may give.
    fn row(scenario: Scenario, candidate: Candidate, timed: bool) -> Row {
        let spread = Spread { median: 1.5, q1: 1.25, q3: 1.75 };
        let mut row = Row {
            what: "a unit",
            value: spread,
            ratio: Some(Ratio { of: "floor", spread }),
            library: Some(Ratio { of: "mio", spread }),
            rounds: if timed { 16 } else { 1 },
            per_second: timed.then_some(1000.0),
            client: timed.then_some(0.5),
            ..Row::new(scenario, candidate)
        };
        row.judge();
        row
    }

    #[test]
    fn figures_end_where_their_titles_do_in_every_table() {
        for &scenario in Scenario::value_variants() {
            for timed in [true, false] {
                let peers = scenario.spec().peers;
                let rows: Vec<_> =
                    peers.iter().map(|&p| row(scenario, Candidate::plain(p), timed)).collect();
                let text = table(scenario, &rows, &[]);
                let mut lines = text.lines().skip(2);
                let head = lines.next().expect("a head");
                assert_eq!(lines.clone().count(), rows.len(), "{text}");
                for line in lines {
                    let figures = line.get(..head.len()).expect("as long as the head");
                    let ends = |text: &str| -> Vec<usize> {
                        let gap = |at: &usize| text[*at..].starts_with("  ");
                        (1..text.len())
                            .filter(gap)
                            .filter(|at| !text[..*at].ends_with(' '))
                            .collect()
                    };
                    // The first two columns are names, and begin where their titles do.
                    let [titles, figures] = [ends(head), ends(figures)];
                    assert_eq!(titles[2..], figures[2..], "{text}");
                    assert!(line.len() == head.len() || line[head.len()..].starts_with("   "));
                }
            }
        }
    }

    #[test]
    fn a_goal_is_met_or_missed_by_what_it_is_set_for() {
        let row = |candidate: Peer, scenario| row(scenario, Candidate::plain(candidate), true);
        // Its ratio is 1.5, its value as well.
        let bulk = row(Peer::Shardpoll, Scenario::Bulk);
        assert_eq!(bulk.goal, Some(("ratio", 0.65, false)));
        assert!(bulk.missed().is_some_and(|told| told.starts_with("bulk: a unit: shardpoll: ")));
        let idle = row(Peer::Shardpoll, Scenario::Idle);
        assert_eq!((idle.goal, idle.missed()), (Some(("value", 300.0, true)), None));
        assert_eq!(row(Peer::Mio, Scenario::Bulk).goal, None);
    }

    #[test]
    fn who_is_not_here_is_told_with_the_reason() {
        let absent = [Absent { peer: Peer::Libuv, why: "no such file".into() }];
        let rows = [row(Scenario::Echo50, Candidate::plain(Peer::Shardpoll), true)];
        let text = table(Scenario::Echo50, &rows, &absent);
        let last = text.lines().last().expect("a line");
        assert!(last.starts_with("libuv ") && last.ends_with("not here: no such file"), "{text}");
    }
}
