//! Budgets: what each counted row took when it was last looked at, in a file; and the verdict.
//!
//! The compiler and the path (which wait the library used, which architecture) move counts by
//! themselves. So each budget names both. What was counted on another path is not compared: a row
//! may have a budget for each path, and one without any for its own has none. With another compiler
//! it is compared, but more is let pass.
//!
//! Never: changes a budget without being told why.

use crate::failure::Failure;
use crate::report::Held;
use serde::{Deserialize, Serialize};
use shardpoll_bench::tools;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// How much more than its budget a row may take, and how much less before that is told.
const SLACK: f64 = 0.02;

/// The same when the budget is another compiler's: so much a new one may cost or save.
const COMPILER_SLACK: f64 = 0.10;

/// What moves by less keeps its budget when budgets are recorded.
const NOISE: f64 = 0.005;

/// Functions that have less than this share of a budget are not kept with it.
const SHARE: f64 = 0.01;

/// How many functions are kept with a budget, and how many are told that have moved.
const KEPT: usize = 16;
const TOLD: usize = 6;

/// The file. The fields' names are those of the JSON, and stay.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Budgets {
    budgets: Vec<Budget>,
}

/// What one row took, on one path.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Budget {
    row: String,
    path: String,
    value: f64,
    /// `None`: no compiler moves it.
    compiler: Option<String>,
    date: String,
    /// Why it is not what it was before.
    reason: String,
    /// Instructions by function, of those that have most.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    functions: BTreeMap<String, f64>,
}

/// What there is to say of a row.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Verdict {
    Kept,
    /// The budget can be lowered.
    Lower,
    Over,
    /// There is none for the path that was taken.
    NoBudget,
    /// There is one, and no such row.
    NoRow,
}

/// A row beside its budget. The fields' names are those of the JSON, and stay.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub(crate) struct Judged {
    pub(crate) row: String,
    pub(crate) path: String,
    pub(crate) value: Option<f64>,
    pub(crate) budget: Option<f64>,
    pub(crate) verdict: Verdict,
    /// What else the verdict rests on.
    pub(crate) note: String,
    /// When it is over: the functions that have moved most, each as a text.
    pub(crate) moved: Vec<String>,
}

impl Judged {
    /// Whether `--check` fails for it.
    pub(crate) fn is_bad(&self) -> bool {
        matches!(self.verdict, Verdict::Over | Verdict::NoBudget | Verdict::NoRow)
    }
}

impl Budgets {
    pub(crate) fn read(path: &Path) -> Result<Self, Failure> {
        let bad = |why: String| Failure::Budgets { path: path.into(), why };
        let text = fs::read_to_string(path).map_err(|error| bad(error.to_string()))?;
        serde_json::from_str(&text).map_err(|error| bad(error.to_string()))
    }

    pub(crate) fn write(&self, path: &Path) -> Result<(), Failure> {
        let text = serde_json::to_string_pretty(self).expect("strings and numbers only");
        let bad = |why: String| Failure::Budgets { path: path.into(), why };
        fs::write(path, text + "\n").map_err(|error| bad(error.to_string()))
    }

    fn of(&self, held: &Held) -> Option<&Budget> {
        self.budgets.iter().find(|budget| budget.row == held.row && budget.path == held.path)
    }

    /// Each row beside its budget; `all`: no row is missing, so a budget without one is a mistake.
    pub(crate) fn judge(&self, rows: &[(Held, f64)], all: bool) -> Vec<Judged> {
        let mut judged: Vec<_> =
            rows.iter().map(|(held, value)| self.verdict(held, *value)).collect();
        let has_row = |budget: &&Budget| rows.iter().any(|(held, _)| held.row == budget.row);
        if all {
            judged.extend(self.budgets.iter().filter(|budget| !has_row(budget)).map(|budget| {
                Judged {
                    row: budget.row.clone(),
                    path: budget.path.clone(),
                    value: None,
                    budget: Some(budget.value),
                    verdict: Verdict::NoRow,
                    note: "there is no such row".into(),
                    moved: Vec::new(),
                }
            }));
        }
        judged
    }

    fn verdict(&self, held: &Held, value: f64) -> Judged {
        let mut judged = Judged {
            row: held.row.into(),
            path: held.path.clone(),
            value: Some(value),
            budget: None,
            verdict: Verdict::NoBudget,
            note: String::new(),
            moved: Vec::new(),
        };
        let Some(budget) = self.of(held) else {
            let others = self.budgets.iter().filter(|budget| budget.row == held.row);
            let paths: Vec<_> = others.map(|budget| budget.path.as_str()).collect();
            judged.note = match paths[..] {
                [] => "not recorded yet".into(),
                _ => format!("not compared with that of another path ({})", paths.join("; ")),
            };
            return judged;
        };
        let foreign = held.compiler != budget.compiler.as_deref();
        let slack = if foreign { COMPILER_SLACK } else { SLACK };
        judged.budget = Some(budget.value);
        judged.verdict = if value > budget.value * (1.0 + slack) {
            judged.moved = moved(budget, held);
            Verdict::Over
        } else if value < budget.value * (1.0 - slack) {
            Verdict::Lower
        } else {
            Verdict::Kept
        };
        if foreign {
            let of = |compiler: Option<&str>| compiler.unwrap_or("none").to_owned();
            let (theirs, ours) = (of(budget.compiler.as_deref()), of(held.compiler));
            judged.note = format!("the budget is of {theirs}, this of {ours}");
        }
        judged
    }

    /// Makes what was measured the budgets of these rows, all that there are; says what has
    /// changed.
    ///
    /// A row that stands where it stood keeps its budget, reason and date; those of other paths are
    /// left alone.
    pub(crate) fn record(
        &mut self,
        rows: &[(Held, f64)],
        reason: &str,
    ) -> Result<Vec<String>, Failure> {
        let date = tools::today().map_err(Failure::io("date"))?;
        let mut changes = Vec::new();
        self.budgets.retain(|budget| {
            let is_row = rows.iter().any(|(held, _)| held.row == budget.row);
            if !is_row {
                changes.push(format!("{} ({}): gone", budget.row, budget.path));
            }
            is_row
        });
        for (held, value) in rows {
            let new = Budget::new(held, *value, &date, reason);
            let Held { row, path, .. } = held;
            match self.budgets.iter_mut().find(|old| old.row == *row && old.path == *path) {
                Some(old) if old.is_as_good_as(&new) => {}
                Some(old) => {
                    changes.push(format!("{row} ({path}): {} to {}", old.value, new.value));
                    *old = new;
                }
                None => {
                    changes.push(format!("{row} ({path}): {}", new.value));
                    self.budgets.push(new);
                }
            }
        }
        self.budgets.sort_by(|one, other| (&one.row, &one.path).cmp(&(&other.row, &other.path)));
        Ok(changes)
    }
}

impl Budget {
    fn new(held: &Held, value: f64, date: &str, reason: &str) -> Self {
        let mut functions: Vec<_> =
            held.functions.iter().filter(|(_, cost)| **cost >= SHARE * value).collect();
        functions.sort_by(|one, other| other.1.total_cmp(one.1));
        functions.truncate(KEPT);
        let rounded = |(name, cost): (&String, &f64)| (name.clone(), round(*cost, 1));
        Self {
            row: held.row.into(),
            path: held.path.clone(),
            value: round(value, 3),
            compiler: held.compiler.map(str::to_owned),
            date: date.into(),
            reason: reason.into(),
            functions: functions.into_iter().map(rounded).collect(),
        }
    }

    /// Whether it need not be replaced.
    fn is_as_good_as(&self, new: &Self) -> bool {
        let apart = (new.value - self.value).abs();
        self.compiler == new.compiler && apart <= NOISE * self.value
    }
}

fn round(value: f64, digits: i32) -> f64 {
    let scale = 10_f64.powi(digits);
    (value * scale).round() / scale
}

/// The functions that have moved most since the budget was recorded, the most first: those that
/// were kept with it, and those that would be now.
fn moved(budget: &Budget, held: &Held) -> Vec<String> {
    // One that was not kept had less than this.
    let all_kept = budget.functions.len() < KEPT;
    let least = budget.functions.values().copied().reduce(f64::min).filter(|_| !all_kept);
    let least = least.unwrap_or(SHARE * budget.value);
    let names: BTreeSet<_> = budget.functions.keys().chain(held.functions.keys()).collect();
    let mut moves: Vec<(f64, String)> = Vec::new();
    for name in names {
        let now = held.functions.get(name).copied().unwrap_or(0.0);
        match budget.functions.get(name) {
            Some(&before) => {
                let by = now - before;
                moves.push((by, format!("{by:+.1} {name}: {before:.1} to {now:.1}")));
            }
            None if now > least => {
                let by = now - least;
                let text = format!("{by:+.1} at least {name}: under {least:.1} to {now:.1}");
                moves.push((by, text));
            }
            None => {}
        }
    }
    moves.retain(|(by, _)| by.abs() >= NOISE * budget.value);
    moves.sort_by(|(one, _), (other, _)| other.abs().total_cmp(&one.abs()));
    moves.into_iter().take(TOLD).map(|(_, text)| text).collect()
}

#[cfg(test)]
mod tests;
