//! Figures beside their goals, as text and as JSON.
//!
//! Never: rounds before it judges, or what JSON gives.

use crate::budget::{Judged, Verdict};
use crate::failure::Failure;
use serde::Serialize;
use shardpoll_bench::machine::Machine;
use shardpoll_bench::tools;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{self, Write as _};

/// One number. The fields' names are those of the JSON, and stay.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Figure {
    pub(crate) name: &'static str,
    pub(crate) value: f64,
    /// The most it may be; `None`: it is only told.
    pub(crate) goal: Option<f64>,
    /// How many digits the text shows after the point.
    #[serde(skip)]
    pub(crate) digits: usize,
    /// What it is made of, or what was seen on the way.
    pub(crate) detail: String,
    /// What its budget is found by; `None`: it has none.
    pub(crate) held: Option<Held>,
}

/// What was counted, as budgets have to know it. The fields' names are those of the JSON, and stay.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub(crate) struct Held {
    /// The name in the file of budgets.
    pub(crate) row: &'static str,
    /// The way on which it was counted: another one costs something else.
    pub(crate) path: String,
    /// Who compiled what was counted; `None`: it makes no difference.
    pub(crate) compiler: Option<&'static str>,
    /// Instructions by function.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) functions: BTreeMap<String, f64>,
}

impl Figure {
    fn is_met(&self) -> bool {
        self.goal.is_none_or(|goal| self.value <= goal)
    }

    fn text(&self) -> String {
        let Self { name, value, digits, .. } = self;
        // Not "-0" for a difference that is a little less than nothing.
        let value = if *value == 0.0 { 0.0 } else { *value };
        let verdict = match self.goal {
            None => "no goal".into(),
            Some(goal) => {
                let digits = if goal.fract() == 0.0 { 0 } else { 2 };
                format!("goal <= {goal:.digits$}: {}", if self.is_met() { "met" } else { "MISSED" })
            }
        };
        format!("  {name:<44}{value:>10.digits$}   {verdict}\n      {}\n", self.detail)
    }
}

/// Figures that are got in the same way.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Section {
    pub(crate) title: &'static str,
    pub(crate) figures: Vec<Figure>,
    /// How they were got, and what they do not say.
    pub(crate) how: String,
}

impl Section {
    fn text(&self) -> String {
        let figures: String = self.figures.iter().map(Figure::text).collect();
        format!("\n{}\n{figures}{}", self.title, wrapped(&format!("How: {}", self.how)))
    }

    fn missed(&self) -> impl Iterator<Item = String> {
        self.figures.iter().filter(|figure| !figure.is_met()).map(|figure| {
            let Figure { name, value, goal, digits, .. } = figure;
            let goal = goal.unwrap_or_default();
            format!("{}: {name}: {value:.digits$}, not {goal} at most", self.title)
        })
    }
}

/// All that one run of this program has found.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    version: &'static str,
    date: String,
    machine: Machine,
    tools: Vec<String>,
    sections: Vec<Section>,
    budgets: Vec<Judged>,
    #[serde(skip)]
    json: bool,
}

impl Report {
    /// Begins with when and where this is; as text it is printed piece by piece.
    pub(crate) fn begin(tools: Vec<String>, json: bool) -> Result<Self, Failure> {
        let (version, date) =
            (env!("CARGO_PKG_VERSION"), tools::today().map_err(Failure::io("date"))?);
        let (machine, sections, budgets) = (Machine::read(), Vec::new(), Vec::new());
        let report = Self { version, date, machine, tools, sections, budgets, json };
        if !json {
            let Self { date, machine, tools, .. } = &report;
            let tools =
                if tools.is_empty() { String::new() } else { format!("; {}", tools.join(", ")) };
            print(&format!("shardpoll {version}, {date}: {machine}{tools}\n"))?;
        }
        Ok(report)
    }

    pub(crate) fn add(&mut self, section: Section) -> Result<(), Failure> {
        if !self.json {
            print(&section.text())?;
        }
        self.sections.push(section);
        Ok(())
    }

    /// The rows that budgets are for, with their values.
    pub(crate) fn held(&self) -> Vec<(Held, f64)> {
        let figures = self.sections.iter().flat_map(|section| &section.figures);
        figures.filter_map(|figure| Some((figure.held.clone()?, figure.value))).collect()
    }

    /// Adds what became of them beside their budgets.
    pub(crate) fn add_budgets(&mut self, budgets: Vec<Judged>) -> Result<(), Failure> {
        if !self.json && !budgets.is_empty() {
            let rows: String = budgets.iter().map(Judged::text).collect();
            print(&format!("\nBudgets\n{rows}"))?;
        }
        self.budgets = budgets;
        Ok(())
    }

    /// Prints what is left to print; gives what missed its goal or its budget.
    pub(crate) fn end(self) -> Result<Vec<String>, Failure> {
        if self.json {
            let text = serde_json::to_string_pretty(&self).expect("strings and numbers only");
            print(&format!("{text}\n"))?;
        }
        let budgets = self.budgets.iter().filter(|row| row.is_bad()).map(Judged::line);
        Ok(self.sections.iter().flat_map(Section::missed).chain(budgets).collect())
    }
}

impl Judged {
    /// `echo50: 305.2, the budget is 289.7 (+5.4 %)`
    fn line(&self) -> String {
        let Self { row, path, note, .. } = self;
        let mut text = match (self.value, self.budget) {
            (Some(value), Some(budget)) => {
                format!("{row}: {value:.3}, the budget is {budget:.3}{}", change(value, budget))
            }
            (None, Some(budget)) => format!("{row}: nothing, the budget is {budget:.3}"),
            (value, None) => format!("{row}: {:.3}, no budget", value.unwrap_or_default()),
        };
        if self.budget.is_none() || self.value.is_none() {
            let _infallible = write!(text, " by {path}: {note}");
        } else if !note.is_empty() {
            let _infallible = write!(text, "; {note}");
        }
        text
    }

    fn text(&self) -> String {
        let verdict = match self.verdict {
            Verdict::Kept => "kept",
            Verdict::Lower => "kept; it can be lowered (figures guards --record REASON)",
            Verdict::Over => "OVER",
            Verdict::NoBudget => "NO BUDGET (figures guards --record REASON)",
            Verdict::NoRow => "NO SUCH ROW (figures guards --record REASON)",
        };
        let moved: String = self.moved.iter().map(|line| format!("      {line}\n")).collect();
        format!("  {}: {verdict}\n{moved}", self.line())
    }
}

/// ` (+5.4 %)`, where that can be said.
fn change(value: f64, budget: f64) -> String {
    if budget == 0.0 {
        return String::new();
    }
    format!(" ({:+.1} %)", 100.0 * (value / budget - 1.0))
}

fn print(text: &str) -> Result<(), Failure> {
    let mut stdout = io::stdout();
    let printed = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
    printed.map_err(Failure::io("standard output"))
}

/// Breaks a paragraph into lines of at most 96 columns, indented.
fn wrapped(text: &str) -> String {
    let (mut lines, mut column) = (String::from(" "), 1);
    for word in text.split(' ') {
        if column + 1 + word.len() > 96 {
            lines.push_str("\n ");
            column = 1;
        }
        let _infallible = write!(lines, " {word}");
        column += 1 + word.len();
    }
    lines.push('\n');
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figure(value: f64, goal: Option<f64>) -> Figure {
        Figure { name: "calls", value, goal, digits: 2, detail: String::new(), held: None }
    }

    #[test]
    fn a_goal_is_judged_by_the_value_before_rounding() {
        assert!(figure(2.03, Some(2.03)).is_met());
        assert!(!figure(2.031, Some(2.03)).is_met());
        assert!(figure(1e9, None).is_met());
        assert!(!figure(0.5, Some(0.0)).is_met());
    }

    #[test]
    fn what_misses_is_named_with_value_and_goal() {
        let figures = vec![figure(3.5, Some(2.0)), figure(1.0, Some(2.0))];
        let section = Section { title: "Calls", figures, how: String::new() };
        let missed: Vec<_> = section.missed().collect();
        assert_eq!(missed, ["Calls: calls: 3.50, not 2 at most"]);
        assert!(section.text().contains("MISSED"));
    }

    #[test]
    fn a_budget_is_told_with_what_it_was_compared_with() {
        let judged = Judged {
            row: "echo50".into(),
            path: "epoll_wait".into(),
            value: Some(110.0),
            budget: Some(100.0),
            verdict: Verdict::Over,
            note: String::new(),
            moved: vec!["+10.0 turn: 50.0 to 60.0".into()],
        };
        let text = judged.text();
        assert!(text.contains("110.000, the budget is 100.000 (+10.0 %): OVER"), "{text}");
        assert!(text.contains("\n      +10.0 turn"), "{text}");
        let none = Judged { budget: None, note: "not recorded yet".into(), ..judged };
        assert!(none.line().contains("no budget by epoll_wait: not recorded yet"));
    }

    #[test]
    fn paragraphs_are_broken_between_words() {
        let text = wrapped(&"word ".repeat(60));
        assert!(text.lines().count() > 2);
        assert!(text.lines().all(|line| line.len() <= 96 && line.starts_with("  word")));
    }
}
