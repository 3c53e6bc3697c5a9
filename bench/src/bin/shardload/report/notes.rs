//! What has to be said of runs in words: what the figures mean, and what spoils them.
//!
//! Never: repeats a figure that a table has.

use super::show::{bytes, counted, grouped, time};
use crate::outcome::{Errors, Run, Workload};

/// What the figures mean, and what spoils them.
pub(crate) fn notes(runs: &[Run]) -> Vec<String> {
    let mut notes = Vec::new();
    if runs.iter().any(|run| run.asked_per_second.is_some()) {
        notes.push(
            "Open loop: latency is counted from when an operation was due; uncorrected, from when \
             it began."
                .to_string(),
        );
    }
    if runs.iter().any(is_closed) {
        notes.push(
            "Closed loop: the next operation begins when one is done, so a stall delays what it \
             would have hit, and counts once."
                .to_string(),
        );
    }
    for run in runs {
        let about = about(run, runs.len() == 1);
        notes.extend(about.into_iter().map(|note| format!("{}: {note}", run.name)));
    }
    notes
}

/// Whether what is done next waits for what was done before; nothing does in `idle` and `bulk`.
pub(crate) fn is_closed(run: &Run) -> bool {
    let waits = !matches!(run.workload, Workload::Idle | Workload::Bulk);
    waits && run.asked_per_second.is_none()
}

fn about(run: &Run, alone: bool) -> Vec<String> {
    let mut notes = Vec::new();
    let in_full = alone || matches!(run.workload, Workload::Churn | Workload::Idle);
    if run.interrupted {
        notes.push(format!("interrupted after {:.1} s", run.seconds));
    }
    if run.deserted {
        notes.push(format!("{} after {:.1} s", deserted(run), run.seconds));
    }
    if run.handshakes > 0 && in_full {
        let all = counted(run.handshakes, "TLS handshake");
        notes.push(format!("{all}, {} of them resumed", run.resumed_handshakes));
    }
    notes.extend(unsent(run));
    notes.extend(memory(run).filter(|_| in_full));
    for attack in &run.attacks {
        let all = counted(attack.connections, "connection");
        let after = attack.ended_after_seconds;
        let after =
            after.map_or_else(String::new, |it| format!(", half of them by {}", time(it * 1e6)));
        let [refused, ended] =
            [attack.refused, attack.ended_by_server].map(|count| grouped(count as f64));
        notes.push(format!(
            "{}: {all}, {refused} refused, {ended} ended by the server{after}",
            attack.kind
        ));
    }
    notes.extend(faults(&run.errors).map(|faults| {
        let first = run.first_error.as_deref().map(|first| format!("; the first: {first}"));
        format!("{faults}{}", first.unwrap_or_default())
    }));
    notes.extend(limit(run));
    notes
}

/// How it came that nobody was there any more: it is we who end a connection with a wrong byte.
pub(crate) fn deserted(run: &Run) -> &'static str {
    if run.errors.wrong > 0 { "no connection was left" } else { "the server went away" }
}

/// What an open loop wanted and could not even begin.
pub(crate) fn unsent(run: &Run) -> Option<String> {
    (run.unsent > 0).then(|| {
        let (count, unit) = (grouped(run.unsent as f64), run.workload.unit());
        format!(
            "{count} {unit} were due and never begun, since all connections were still waiting \
             when the run ended: the server did not keep up"
        )
    })
}

fn memory(run: &Run) -> Option<String> {
    let server = run.server.as_ref()?;
    let (before, with) = (server.memory_before_bytes?, server.memory_bytes?);
    let each = server.memory_per_connection_bytes;
    let each = each.map_or_else(String::new, |each| format!(", {} a connection", bytes(each)));
    let (before, with) = (bytes(before as f64), bytes(with as f64));
    Some(format!("memory of the server from {before} to {with}{each}"))
}

/// By kind; nothing when there are none.
pub(crate) fn faults(errors: &Errors) -> Option<String> {
    let parts: Vec<_> = kinds(errors)
        .into_iter()
        .filter(|(_, count)| *count > 0)
        .map(|(kind, count)| format!("{count} {kind}"))
        .collect();
    (!parts.is_empty()).then(|| parts.join(", "))
}

/// Each kind in words, with its count.
pub(crate) fn kinds(errors: &Errors) -> [(&'static str, u64); 8] {
    [
        ("refused", errors.refused),
        ("reset", errors.reset),
        ("closed too early", errors.closed),
        ("timed out", errors.timeout),
        ("failed in TLS", errors.tls),
        ("with wrong bytes", errors.wrong),
        ("other", errors.other),
        ("lost", errors.lost),
    ]
}

/// Threads that were at work for less of their time were not what the load waited for.
const BUSY_PERCENT: f64 = 80.0;

/// Why the figures are rather the generator's than the server's.
pub(crate) fn limit(run: &Run) -> Option<String> {
    let percent = run.client.cpu_percent;
    let busy = percent.filter(|&percent| percent >= BUSY_PERCENT);
    let late = run.lateness.as_ref().map(|late| {
        let late = time(late.p99_us);
        format!("one in a hundred was begun {late} late, with nothing but itself in the way")
    });
    let why = match (busy, late) {
        (Some(busy), None) => format!("its threads were busy {busy:.0} % of the time"),
        (Some(busy), Some(late)) => {
            format!("its threads were busy {busy:.0} % of the time, and {late}")
        }
        (None, Some(late)) => late,
        (None, None) => "it had no time left".into(),
    };
    let remedy = match busy {
        Some(_) => "give it more --threads, or a machine of its own",
        None => "something else has had this machine's CPUs",
    };
    run.client.was_the_limit.then(|| {
        format!(
            "the generator was the limit: {why}; the server may be faster than this says: {remedy}"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample;

    #[test]
    fn what_went_wrong_is_told_by_kind_and_only_then() {
        let text = notes(&[sample::abuse("attacked", 3)]).join("\n");
        for part in [
            "attacked: 3 refused, 4 timed out, 2 lost; the first: connection 12 got no answer",
            "attacked: slow-reader: 200 connections, 0 refused, 180 ended by the server, half",
            "the generator was the limit: its threads were busy 99 % of the time; the server may",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert!(!notes(&[sample::echo("plain", 3)]).join("\n").contains("refused"));
    }

    #[test]
    fn what_was_never_begun_is_told() {
        let text = notes(&[sample::open("TLS", 3)]).join("\n");
        assert!(text.contains("TLS: 321 messages were due and never begun"), "{text}");
    }

    #[test]
    fn an_end_before_its_time_is_told() {
        let mut run = sample::echo("plain", 3);
        (run.interrupted, run.deserted) = (true, true);
        let text = notes(&[run]).join("\n");
        assert!(text.contains("plain: interrupted after 3.0 s"), "{text}");
        assert!(text.contains("plain: the server went away after 3.0 s"), "{text}");
        let mut run = sample::echo("plain", 3);
        (run.deserted, run.errors.wrong) = (true, 3);
        let text = notes(&[run]).join("\n");
        assert!(text.contains("plain: no connection was left after 3.0 s"), "{text}");
    }
}
