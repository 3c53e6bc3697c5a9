//! Going round and round: all servers of a scenario stand at once, and each has a short window in
//! every round, so that whatever else this machine does, it does to all of them.
//!
//! Every other round goes the other way round. The first is for warming up, and is not counted.
//!
//! Never: compares windows of different rounds.

use crate::candidate::Candidate;
use crate::cli::Cli;
use crate::credentials;
use crate::failure::Failure;
use crate::load::{Group, Load};
use crate::report::{Ratio, Row};
use crate::scenario::{Kind, Scenario};
use crate::spread::{Spread, that_count};
use crate::window::{self, Place, Window};
use shardpoll_bench::child::Child;
use std::time::Duration;

/// One server, its clients, and its windows, by round.
struct Stand<'a> {
    candidate: Candidate,
    server: Child,
    group: Group<'a>,
    windows: Vec<Window>,
}

pub(crate) fn measure(
    scenario: Scenario,
    candidates: &[Candidate],
    place: Place,
    asked: &Cli,
) -> Result<Vec<Row>, Failure> {
    let load = Load::start(Some(place.client_cpu))?;
    let mut stands = Vec::new();
    for &candidate in candidates {
        stands.push(stand(scenario, candidate, place, &load)?);
    }
    let time = Duration::from_millis(asked.window);
    for round in 0..=asked.rounds {
        let order: Vec<usize> = if round % 2 == 0 {
            (0..stands.len()).collect()
        } else {
            (0..stands.len()).rev().collect()
        };
        for place in order {
            let Stand { candidate, server, group, windows } = &mut stands[place];
            let window = window::measure(*candidate, server, || one(scenario, group, time))?;
            if round > 0 {
                windows.push(window);
            }
        }
    }
    let rows = rows(scenario, &stands);
    // The clients end first: a server that ends would be bad news to them.
    let servers: Vec<_> = stands.into_iter().map(|stand| (stand.candidate, stand.server)).collect();
    load.end()?;
    for (candidate, server) in servers {
        server.end().map_err(|error| candidate.failed(error.to_string()))?;
    }
    Ok(rows)
}

fn stand(
    scenario: Scenario,
    candidate: Candidate,
    place: Place,
    load: &Load,
) -> Result<Stand<'_>, Failure> {
    let server = candidate.start(&[], &["--cpu".into(), place.server_cpu.to_string()])?;
    let kind = scenario.kind();
    let resumed = matches!(kind, Kind::Visits { resumed: true, .. });
    let tls = candidate.provider.map(|_| credentials::client(resumed));
    let mut group = load.group(server.addr, tls);
    if let Kind::Lines(shape) = kind {
        group.grow_to(shape)?;
    }
    Ok(Stand { candidate, server, group, windows: Vec::new() })
}

/// One window; gives how many messages came back, or how many visits were paid.
fn one(scenario: Scenario, group: &Group<'_>, time: Duration) -> Result<u64, Failure> {
    let before = group.done();
    match scenario.kind() {
        Kind::Visits { at_a_time, .. } => group.visits_for(time, at_a_time)?,
        _ => group.lines_for(time)?,
    }
    Ok(group.done() - before)
}

fn rows(scenario: Scenario, stands: &[Stand<'_>]) -> Vec<Row> {
    let row = |stand: &Stand<'_>| {
        let base = stands.iter().find(|other| other.candidate == stand.candidate.base());
        let base = base.expect("each stands beside its base");
        let pairs: Vec<_> = stand.windows.iter().zip(&base.windows).collect();
        let disturbed: Vec<_> =
            pairs.iter().map(|(own, base)| own.is_disturbed() || base.is_disturbed()).collect();
        let counted = that_count(&disturbed);
        let spread = |value: &dyn Fn(&Window, &Window) -> f64| {
            Spread::of(counted.iter().map(|&round| value(pairs[round].0, pairs[round].1)).collect())
        };
        let scale = scenario.messages_per_unit();
        let ratio = spread(&|own, base| own.micros() / base.micros());
        Row {
            value: spread(&|own, _| own.micros() * scale),
            ratio: Some(Ratio { of: base.candidate.name(), spread: ratio }),
            per_second: Some(spread(&|own, _| own.messages as f64 / own.seconds / scale).median),
            client: Some(spread(&|own, _| own.client / own.seconds).median),
            rounds: stand.windows.len(),
            quiet: disturbed.iter().filter(|disturbed| !**disturbed).count(),
            detail: String::new(),
            windows: stand.windows.clone(),
            ..Row::new(scenario, stand.candidate)
        }
    };
    stands.iter().map(row).collect()
}
