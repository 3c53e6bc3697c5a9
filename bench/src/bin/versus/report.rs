//! One table a scenario, and a line of JSON for each row.
//!
//! Never: rounds before it judges, or what JSON gives.

use crate::candidate::Candidate;
use crate::cli::Cli;
use crate::failure::Failure;
use crate::scenario::{Goal, Kind, Scenario, binds};
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
    pub(crate) ratio: Option<Ratio>,
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
            unit: scenario.unit(),
            value: Spread { median: 0.0, q1: 0.0, q3: 0.0 },
            ratio: None,
            per_second: None,
            client: None,
            rounds: 0,
            quiet: 0,
            goal: None,
            detail: String::new(),
            windows: Vec::new(),
            of: (scenario, candidate),
        }
    }

    fn judge(&mut self) {
        if self.goal.is_some() {
            return;
        }
        let (scenario, candidate) = self.of;
        let ratio = self.ratio.as_ref().map(|ratio| ratio.spread.median);
        self.goal = match (scenario.goal(candidate), ratio) {
            (Some(Goal::Ratio(most)), Some(ratio)) => Some(("ratio", most, ratio <= most)),
            (Some(Goal::Value(most)), _) => Some(("value", most, self.value.median <= most)),
            _ => None,
        };
    }

    fn missed(&self) -> Option<String> {
        let (kind, most, met) = self.goal?;
        let told = || format!("{}: {}: {kind} not {most} at most", self.scenario, self.of.1);
        let binds = binds(self.of.1) || self.of.0.kind() == Kind::Letters;
        (!met && binds).then(told)
    }

    fn text(&self, timed: bool) -> String {
        let Spread { median, q1, q3 } = self.value;
        let name = self.of.1.to_string();
        let digits = if median < 100.0 { 2 } else { 0 };
        let mut line =
            if self.what.is_empty() { String::new() } else { format!("{:<26}", self.what) };
        let _infallible = write!(line, "{name:<26}{median:>10.digits$}");
        if timed {
            let quartiles = format!("{q1:.digits$}..{q3:.digits$}");
            let _infallible = write!(line, "{quartiles:>16}");
        }
        if let Some(Ratio { spread, .. }) = &self.ratio {
            let Spread { median, q1, q3 } = spread;
            let _infallible = write!(line, "{median:>10.3}");
            if timed {
                let _infallible = write!(line, "   {q1:.3}..{q3:.3}");
            }
        }
        if let (Some(rate), Some(client)) = (self.per_second, self.client) {
            let _infallible = write!(
                line,
                "{rate:>11.0}{client:>8.2}{:>9}",
                format!("{}/{}", self.quiet, self.rounds)
            );
        }
        if let Some((_, most, met)) = self.goal {
            let verdict = if met { "met" } else { "MISSED" };
            let _infallible = write!(line, "   <= {most}: {verdict}");
        }
        if !self.detail.is_empty() {
            let _infallible = write!(line, "   {}", self.detail);
        }
        line.push('\n');
        line
    }
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

    pub(crate) fn add(&mut self, scenario: Scenario, mut rows: Vec<Row>) -> Result<(), Failure> {
        let timed = matches!(scenario.kind(), Kind::Lines(_) | Kind::Visits { .. } | Kind::Letters);
        let mut text =
            format!("\n{}: {}\n{}\n", scenario.name(), scenario.title(), head(scenario, timed));
        for row in &mut rows {
            row.judge();
            text.push_str(&row.text(timed));
            self.missed.extend(row.missed());
        }
        print(&text)?;
        rows.iter().try_for_each(|row| self.line(row))
    }

    /// Gives what missed its goal.
    pub(crate) fn end(self) -> Vec<String> {
        self.missed
    }
}

fn head(scenario: Scenario, timed: bool) -> String {
    let unit = scenario.unit();
    let what = if matches!(scenario.kind(), Kind::Instructions | Kind::Letters) {
        format!("{:<26}", "unit")
    } else {
        String::new()
    };
    if timed {
        let per = unit.split('/').nth(1).unwrap_or("unit");
        format!(
            "{what}{:<26}{:>10}{:>16}{:>10}{:>15}{:>11}{:>8}{:>9}",
            "server",
            unit,
            "quartiles",
            "x tokio",
            "quartiles",
            format!("{per}/s"),
            "client",
            "quiet"
        )
    } else {
        format!("{what}{:<26}{:>10}{:>10}", "server", unit, "x tokio")
    }
}

fn print(text: &str) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush())
        .map_err(Failure::io("standard output"))
}
