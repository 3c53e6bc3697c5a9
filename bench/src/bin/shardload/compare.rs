//! `shardload compare`: what differs between two results, and whether it is more than noise.
//!
//! A figure of each second of the one is set against that of each second of the other; `ratio` says
//! how. That tells how sure a difference between these two runs is. How much a run differs from the
//! next of the same kind, only more runs can tell.
//!
//! Never: calls a difference one when its spread includes none.

mod figures;
mod ratio;

use crate::cli::Compare;
use crate::failure::Failure;
use crate::outcome::{Document, Run};
use crate::report::columns::aligned;
use crate::report::{self, show::number};
use figures::{Compared, SECONDS, Verdict, compared};
use serde::Serialize;
use std::fs;
use std::path::Path;

/// What came of it; the names are those of the JSON, and stay.
#[derive(Debug, Serialize)]
struct Comparison {
    version: &'static str,
    runs: Vec<Pair>,
    /// Runs that only the one or the other has.
    only_before: Vec<String>,
    only_after: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Pair {
    name: String,
    /// What was not done in the same way, in words.
    unlike: Vec<String>,
    figures: Vec<Compared>,
}

/// Reads both, and shows.
pub(crate) fn compare(options: &Compare) -> Result<(), Failure> {
    let (before, after) = (read(&options.before)?, read(&options.after)?);
    let comparison = pairs(&before, &after);
    if comparison.runs.is_empty() {
        let list =
            |names: &[String]| if names.is_empty() { "none".into() } else { names.join(", ") };
        return Err(Failure::Usage(format!(
            "no run is in both: {} has {}, {} has {}",
            options.before.display(),
            list(&comparison.only_before),
            options.after.display(),
            list(&comparison.only_after)
        )));
    }
    let text = if options.json { report::json(&comparison) } else { table(&comparison) };
    report::print(&text)
}

fn read(path: &Path) -> Result<Document, Failure> {
    let name = path.display();
    let text = fs::read(path).map_err(|error| Failure::Usage(format!("{name}: {error}")))?;
    serde_json::from_slice(&text).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        let why = error.to_string();
        let why = why.strip_suffix(&format!(" at line {line} column {column}")).unwrap_or(&why);
        Failure::Usage(format!("{name}:{line}:{column}: it is no result of shardload: {why}"))
    })
}

fn pairs(before: &Document, after: &Document) -> Comparison {
    let mut left: Vec<&Run> = after.runs.iter().collect();
    let (mut runs, mut only_before) = (Vec::new(), Vec::new());
    let alone = before.runs.len() == 1 && after.runs.len() == 1;
    for old in &before.runs {
        let found = left.iter().position(|new| alike(old, new, alone));
        match found.map(|place| left.remove(place)) {
            Some(new) => runs.push(Pair {
                name: if old.name == new.name {
                    old.name.clone()
                } else {
                    format!("{} and {}", old.name, new.name)
                },
                unlike: unlike(old, new),
                figures: compared(old, new),
            }),
            None => only_before.push(old.name.clone()),
        }
    }
    let only_after = left.into_iter().map(|run| run.name.clone()).collect();
    Comparison { version: env!("CARGO_PKG_VERSION"), runs, only_before, only_after }
}

/// Whether two runs belong together. Where each side has but one, they do without a common name.
fn alike(old: &Run, new: &Run, alone: bool) -> bool {
    let shape = |run: &Run| (run.message_size_bytes, run.depth_messages, run.asked_per_second);
    old.workload == new.workload && (alone || old.name == new.name && shape(old) == shape(new))
}

/// What makes a comparison one of two things at once.
fn unlike(old: &Run, new: &Run) -> Vec<String> {
    let optional = |value: Option<f64>| value.map_or_else(|| "none".into(), number);
    let count = |value: Option<usize>| optional(value.map(|value| value as f64));
    let all = [
        ("connections", [old, new].map(|run| run.connections.to_string())),
        ("message size", [old, new].map(|run| count(run.message_size_bytes))),
        ("in flight", [old, new].map(|run| count(run.depth_messages))),
        ("asked per second", [old, new].map(|run| optional(run.asked_per_second))),
        ("client threads", [old, new].map(|run| run.client_threads.to_string())),
    ];
    let differ = all.into_iter().filter(|(_, [old, new])| old != new);
    let mut said: Vec<_> =
        differ.map(|(what, [old, new])| format!("{what} {old} and {new}")).collect();
    for (which, run) in [("before", old), ("after", new)] {
        if run.client.was_the_limit {
            said.push(format!("{which}, the generator was the limit"));
        }
    }
    said
}

fn table(comparison: &Comparison) -> String {
    let mut rows: Vec<Vec<String>> = Vec::new();
    let titles = ["", "before", "after", "ratio", "spread (95 %)", ""];
    rows.push(titles.map(String::from).into());
    for pair in &comparison.runs {
        rows.push(vec![pair.name.clone()]);
        rows.extend(pair.figures.iter().map(line));
    }
    let mut text = aligned(&rows);
    text.push_str(NOTES);
    if comparison.runs.iter().flat_map(|it| &it.figures).any(|it| it.verdict == Verdict::TooFew) {
        text.push_str(&format!(
            "A spread wants {SECONDS} whole seconds of both runs: let them take longer.\n"
        ));
    }
    for pair in &comparison.runs {
        if !pair.unlike.is_empty() {
            text.push_str(&format!("{} not done alike: {}.\n", pair.name, pair.unlike.join("; ")));
        }
    }
    for (which, names) in [("before", &comparison.only_before), ("after", &comparison.only_after)] {
        if !names.is_empty() {
            text.push_str(&format!("Only {which}: {}.\n", names.join(", ")));
        }
    }
    text
}

const NOTES: &str = "
Figures with a spread are medians of seconds, the ratio is the median of all pairs of seconds, and
noise is what includes 1. It is of these two runs; how runs of a kind differ, only more runs tell.
";

fn line(one: &Compared) -> Vec<String> {
    let ratio = |value: Option<f64>| value.map_or_else(|| "-".into(), |it| format!("{it:.3}"));
    let spread = one.low.zip(one.high).map(|(low, high)| format!("{low:.3} to {high:.3}"));
    vec![
        format!("  {}", one.figure),
        one.show(one.before),
        one.show(one.after),
        ratio(one.ratio),
        spread.unwrap_or_else(|| "-".into()),
        one.verdict.words().into(),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample::{document, echo, open};

    #[test]
    fn runs_are_matched_by_name_and_shape_in_any_order() {
        let mut large = echo("plain", 6);
        large.message_size_bytes = Some(16_384);
        let before = document(vec![echo("plain", 6), large.clone(), open("TLS", 6)]);
        let after = document(vec![large, open("other", 6), echo("plain", 6)]);
        let comparison = pairs(&before, &after);
        let names: Vec<_> = comparison.runs.iter().map(|pair| pair.name.as_str()).collect();
        assert_eq!(names, ["plain", "plain"]);
        assert_eq!(
            (comparison.only_before, comparison.only_after),
            (vec!["TLS".into()], vec!["other".into()])
        );
        assert!(comparison.runs.iter().all(|pair| pair.unlike.is_empty()));
    }

    #[test]
    fn single_runs_are_compared_whatever_their_names_and_told_apart() {
        let (old, mut new) = (echo("a", 6), echo("b", 6));
        new.connections = 100;
        new.asked_per_second = Some(2_000.0);
        new.client.was_the_limit = true;
        let comparison = pairs(&document(vec![old]), &document(vec![new]));
        let text = table(&comparison);
        for part in [
            "a and b not done alike: connections 50 and 100; asked per second none and 2,000",
            "after, the generator was the limit",
            "1.000",
            "noise",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert!(!text.contains("wants 5"), "{text}");
    }

    #[test]
    fn too_few_seconds_are_said_to_be_so() {
        let comparison = pairs(&document(vec![echo("a", 3)]), &document(vec![echo("a", 30)]));
        let text = table(&comparison);
        assert!(
            text.contains("too few seconds to tell") && text.contains("wants 5 whole"),
            "{text}"
        );
    }

    #[test]
    fn other_workloads_have_nothing_in_common() {
        let mut other = echo("a", 6);
        other.workload = crate::outcome::Workload::Script;
        assert!(pairs(&document(vec![echo("a", 6)]), &document(vec![other])).runs.is_empty());
    }
}
