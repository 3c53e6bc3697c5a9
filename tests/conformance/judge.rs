//! Plays one file with each number of shards, and says whether it did what is wanted.
//!
//! Never: replays a run that differs in more than a time.

use crate::fields::Outcome;
use crate::files::{stem, trace_of};
use crate::play::play;
use crate::scenario::Scenario;
use crate::trace::Verdict;
use serde_json::Value;
use std::fmt;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::sync::Arc;

/// How often a run that was only late is played again.
const REPLAYS: usize = 2;

/// What became of a file.
#[derive(Debug)]
pub(crate) struct Judged {
    name: String,
    pub(crate) replays: usize,
    pub(crate) failure: Option<String>,
}

impl fmt::Display for Judged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.failure {
            None => write!(f, "PASS {}", self.name),
            Some(failure) => write!(f, "FAIL {} {failure}", self.name),
        }
    }
}

/// Plays a file and compares.
pub(crate) fn judge(path: &Path, shards: &[usize], show: bool) -> Judged {
    let mut judged = Judged { name: stem(path), replays: 0, failure: None };
    match load(path) {
        Ok((scenario, want)) => {
            for &count in shards {
                let case = Case { path, scenario: &scenario, want: &want, shards: count };
                if let Err(failure) = case.judge(&mut judged.replays, show) {
                    let plural = if count == 1 { "" } else { "s" };
                    judged.failure = Some(format!("({count} shard{plural}) {failure}"));
                    break;
                }
            }
        }
        Err(error) => judged.failure = Some(format!("error: {error}")),
    }
    judged
}

fn load(path: &Path) -> Outcome<(Arc<Scenario>, Vec<Value>)> {
    let scenario = Arc::new(Scenario::load(path)?);
    let trace: Value = serde_json::from_str(&trace_of(path)?).map_err(|error| error.to_string())?;
    let wanted = trace.get("want").or(scenario.want.as_ref()).or_else(|| trace.get("trace"));
    let want = wanted.and_then(Value::as_array).ok_or("its trace has neither want nor trace")?;
    let want = want.clone();
    Ok((scenario, want))
}

struct Case<'a> {
    path: &'a Path,
    scenario: &'a Arc<Scenario>,
    want: &'a [Value],
    shards: usize,
}

impl Case<'_> {
    fn judge(&self, replays: &mut usize, show: bool) -> Outcome<()> {
        let mut left = REPLAYS;
        loop {
            let got = self.trace()?;
            let shown = || if show { in_lines(&got) } else { String::new() };
            let (got, want) = (self.comparable(&got), self.comparable(self.want));
            match self.scenario.view.compare(&got, &want) {
                Verdict::Same => return Ok(()),
                Verdict::Late(what) if left > 0 => {
                    if show {
                        eprintln!("{} is played again: time of {what}", stem(self.path));
                    }
                    left -= 1;
                    *replays += 1;
                }
                Verdict::Late(what) => {
                    return Err(format!("time of {what}, {REPLAYS} replays{}", shown()));
                }
                Verdict::Differs(what) => return Err(format!("{what}{}", shown())),
            }
        }
    }

    fn trace(&self) -> Outcome<Vec<Value>> {
        if self.scenario.fd_headroom.is_some() {
            return play_in_child(self.path, self.shards);
        }
        let events = play(self.scenario, self.shards)?;
        Ok(self.scenario.view.trace(events))
    }

    /// The words of a TLS library are compared only where a script asks for them.
    fn comparable(&self, trace: &[Value]) -> Vec<Value> {
        let stripped = |event: &Value| match event.as_array().map(Vec::as_slice) {
            Some([at, label, name, ..])
                if name == "tls-failed"
                    && !label.as_str().is_some_and(|label| self.scenario.asks_reason(label)) =>
            {
                Value::Array(vec![at.clone(), label.clone(), name.clone()])
            }
            _ => event.clone(),
        };
        trace.iter().map(stripped).collect()
    }
}

fn in_lines(trace: &[Value]) -> String {
    trace.iter().map(|event| format!("\n    {event}")).collect()
}

/// A run in a process of its own, which it may disturb.
fn play_in_child(path: &Path, shards: usize) -> Outcome<Vec<Value>> {
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let output = Command::new(program)
        .args(["--alone", "--shards", &shards.to_string()])
        .arg(path)
        .output()
        .map_err(|error| error.to_string())?;
    let text = String::from_utf8_lossy(&output.stdout);
    if output.status.success() {
        serde_json::from_str(&text).map_err(|error| format!("the trace of a child: {error}"))
    } else {
        let errors = String::from_utf8_lossy(&output.stderr);
        Err(format!("{} {}", text.trim(), errors.trim()))
    }
}

/// The other side of [`play_in_child`].
pub(crate) fn play_alone(path: &Path, shards: usize) -> ExitCode {
    let played = Scenario::load(path).map(Arc::new).and_then(|scenario| {
        let events = play(&scenario, shards)?;
        Ok(Value::Array(scenario.view.trace(events)))
    });
    match played {
        Ok(trace) => {
            println!("{trace}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            println!("{error}");
            ExitCode::FAILURE
        }
    }
}
