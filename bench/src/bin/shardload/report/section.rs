//! The part of a page that one run has: its figures large, its charts, and all the rest in tables.
//!
//! Never: writes text from outside without escaping it.

use super::chart::escape;
use super::charts::charts;
use super::notes::{deserted, is_closed, kinds, limit, unsent};
use super::show::{bytes, grouped, micro, number};
use crate::outcome::{Latency, Run, Workload};
use crate::units::show_size;

/// The section of this run, which is the `place`-th, from 1 on.
pub(super) fn of(run: &Run, place: usize) -> String {
    let charts: String = charts(run).concat();
    let targets = escape(&run.targets.join(", "));
    format!(
        "<section class=\"run\" id=\"run-{place}\">\n<h2>{}</h2>\n<p class=\"shape\">{}, to \
         <code>{targets}</code></p>\n{}{}<div class=\"charts\">\n{charts}</div>\n{}{}{}\
         </section>\n",
        escape(&run.name),
        escape(&shape(run)),
        warnings(run),
        tiles(run),
        distributions(run),
        attacks(run),
        errors(run)
    )
}

/// What was done, in a line.
pub(super) fn shape(run: &Run) -> String {
    let mut parts = vec![
        match run.workload {
            Workload::Echo => "echo",
            Workload::Churn => "churn",
            Workload::Idle => "idle",
            Workload::Bulk => "bulk",
            Workload::Script | Workload::Rounds => "script",
            Workload::Abuse => "abuse",
        }
        .to_string(),
    ];
    parts.extend(run.message_size_bytes.map(|size| format!("messages of {}", show_size(size))));
    parts.push(format!("{} connections", grouped(run.connections as f64)));
    parts.extend(run.depth_messages.filter(|&depth| depth > 1).map(|it| format!("{it} in flight")));
    if let Some(rate) = run.asked_per_second {
        parts.push(format!("open loop at {} {}/s", number(rate), run.workload.unit()));
    } else if is_closed(run) {
        parts.push("closed loop".into());
    }
    parts.push(format!("{:.1} s", run.seconds));
    parts.join(", ")
}

/// How much it was, and of what.
pub(super) fn rate(run: &Run) -> (String, &'static str) {
    match run.workload {
        Workload::Echo | Workload::Abuse => (number(run.operations_per_second), "messages/s"),
        Workload::Script => (number(run.operations_per_second), "conversations/s"),
        Workload::Rounds => (number(run.operations_per_second), "rounds/s"),
        Workload::Churn => (number(run.operations_per_second), "visits/s"),
        Workload::Idle => (run.connects_per_second.map_or_else(unknown, number), "connects/s"),
        Workload::Bulk => {
            let both = run.sent_megabytes_per_second + run.received_megabytes_per_second;
            (number(both), "MB/s, both ways")
        }
    }
}

fn unknown() -> String {
    "\u{2013}".into()
}

fn warnings(run: &Run) -> String {
    let mut said = Vec::new();
    if run.deserted {
        said.push(format!("{} after {:.1} s.", capitalized(deserted(run)), run.seconds));
    }
    if run.interrupted {
        said.push(format!("This run was interrupted after {:.1} s.", run.seconds));
    }
    if run.operations == 0 {
        said.push(format!("No {} were done.", run.workload.unit()));
    }
    said.extend(unsent(run).map(|text| format!("{text}.")));
    said.extend(limit(run).map(|why| format!("{}.", capitalized(&why))));
    said.iter().map(|text| format!("<p class=\"warning\">{}</p>\n", escape(text))).collect()
}

fn capitalized(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

/// A figure, its name above it, and what else belongs to it below.
fn tile(name: &str, value: &str, below: &str, class: &str) -> String {
    let below = match below {
        "" => String::new(),
        _ => format!("<small>{}</small>", escape(below)),
    };
    format!(
        "<div class=\"{class}\"><dt>{}</dt><dd>{}{below}</dd></div>",
        escape(name),
        escape(value)
    )
}

fn tiles(run: &Run) -> String {
    let (value, unit) = rate(run);
    let asked = run.asked_per_second;
    let asked = asked.map_or_else(String::new, |asked| format!("of {} asked for", number(asked)));
    let mut first = vec![tile(unit, &value, &asked, "main")];
    for (name, of) in [
        ("p50", (|latency| latency.p50_us) as fn(&Latency) -> f64),
        ("p99", |latency| latency.p99_us),
        ("p99.9", |latency| latency.p99_9_us),
        ("max", |latency| latency.max_us),
    ] {
        if let Some(latency) = &run.latency {
            let below = run.uncorrected.as_ref().map(|it| format!("uncorrected {}", micro(of(it))));
            first.push(tile(name, &micro(of(latency)), &below.unwrap_or_default(), ""));
        }
    }
    let mut second: Vec<_> = moved(run).into_iter().chain(connections(run)).collect();
    second.extend(server(run));
    second.extend(generator(run));
    let failed = run.errors.total + run.errors.lost;
    let class = if failed > 0 { "bad" } else { "" };
    second.push(tile("Errors", &grouped(failed as f64), "", class));
    let list = |tiles: Vec<String>| format!("<dl class=\"tiles\">{}</dl>\n", tiles.concat());
    list(first) + &list(second)
}

fn moved(run: &Run) -> Option<String> {
    let moved = [run.sent_megabytes_per_second, run.received_megabytes_per_second];
    let [sent, received] = moved.map(number);
    let (value, below) = if sent == received {
        (sent, "each way".to_string())
    } else {
        (format!("{sent} out"), format!("{received} in"))
    };
    (moved.iter().sum::<f64>() > 0.0).then(|| tile("MB/s", &value, &below, ""))
}

fn connections(run: &Run) -> Option<String> {
    let below = match run.handshakes {
        0 => String::new(),
        all => {
            let (all, resumed) = (grouped(all as f64), grouped(run.resumed_handshakes as f64));
            format!("{all} TLS handshakes, {resumed} resumed")
        }
    };
    (run.connects > 0).then(|| tile("Connected", &grouped(run.connects as f64), &below, ""))
}

fn server(run: &Run) -> Vec<String> {
    let Some(server) = &run.server else { return Vec::new() };
    let mut tiles = Vec::new();
    if let Some(each) = server.cpu_us_per_operation {
        let percent = server.cpu_percent.map(|percent| format!(", {percent:.0} % of a CPU"));
        let below = format!("each{}", percent.unwrap_or_default());
        tiles.push(tile("Server CPU", &micro(each), &below, ""));
    }
    if let (Some(before), Some(with)) = (server.memory_before_bytes, server.memory_bytes) {
        let below = match server.memory_per_connection_bytes {
            Some(each) => format!("{} a connection", bytes(each)),
            None => format!("before: {}", bytes(before as f64)),
        };
        tiles.push(tile("Server memory", &bytes(with as f64), &below, ""));
    }
    tiles
}

fn generator(run: &Run) -> Option<String> {
    let percent = run.client.cpu_percent?;
    let late =
        run.lateness.as_ref().map(|late| format!("late by itself: p99 {}", micro(late.p99_us)));
    let each = run.client.cpu_us_per_operation.map(|each| format!("{} each", micro(each)));
    let class = if run.client.was_the_limit { "bad" } else { "" };
    let below = late.or(each).unwrap_or_default();
    Some(tile("Generator CPU", &format!("{percent:.0} %"), &below, class))
}

/// Every distribution with all its percentiles.
fn distributions(run: &Run) -> String {
    let rows = [
        ("Latency", &run.latency),
        ("Uncorrected latency", &run.uncorrected),
        ("Generator's own lateness", &run.lateness),
        ("Connect", &run.connect),
        ("TLS handshake", &run.handshake),
    ];
    let row = |(name, latency): (&str, &Option<Latency>)| {
        let it = latency.as_ref()?;
        let times = it.figures();
        let cells: String = times.iter().map(|&time| format!("<td>{}</td>", micro(time))).collect();
        let count = grouped(it.count as f64);
        Some(format!("<tr><th scope=\"row\">{name}</th>{cells}<td>{count}</td></tr>\n"))
    };
    let rows: String = rows.into_iter().filter_map(row).collect();
    table(
        "All percentiles",
        &["", "min", "mean", "p50", "p75", "p90", "p99", "p99.9", "p99.99", "max", "count"],
        &rows,
    )
}

fn attacks(run: &Run) -> String {
    let row = |attack: &crate::outcome::Attack| {
        let after = attack.ended_after_seconds.map_or_else(unknown, |it| micro(it * 1e6));
        format!(
            "<tr><th scope=\"row\">{}</th><td>{}</td><td>{}</td><td>{}</td><td>{after}</td></tr>\n",
            escape(&attack.kind),
            grouped(attack.connections as f64),
            grouped(attack.refused as f64),
            grouped(attack.ended_by_server as f64)
        )
    };
    let rows: String = run.attacks.iter().map(row).collect();
    table(
        "What the server did about the abusers",
        &["Kind", "Connections", "Refused", "Ended by the server", "Half of those by"],
        &rows,
    )
}

fn errors(run: &Run) -> String {
    let all = kinds(&run.errors);
    let most = all.iter().map(|(_, count)| *count).max().unwrap_or(0).max(1);
    let row = |(kind, count): &(&str, u64)| {
        let width = (*count as f64 / most as f64 * 100.0).max(1.0);
        format!(
            "<tr><th scope=\"row\">{kind}</th><td>{}</td><td class=\"wide\">\
             <span class=\"meter\" style=\"width:{width:.0}%\"></span></td></tr>\n",
            grouped(*count as f64)
        )
    };
    let rows: String = all.iter().filter(|(_, count)| *count > 0).map(row).collect();
    let first = run
        .first_error
        .as_deref()
        .map(|first| format!("<p class=\"remark\">The first: {}</p>\n", escape(first)));
    table("Errors by kind", &["Kind", "Count", ""], &rows) + &first.unwrap_or_default()
}

/// Nothing without rows. `rows` is HTML already.
fn table(title: &str, columns: &[&str], rows: &str) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let columns: String = columns
        .iter()
        .map(|column| match *column {
            "" => "<td></td>".to_string(),
            column => format!("<th scope=\"col\">{}</th>", escape(column)),
        })
        .collect();
    format!(
        "<h3>{}</h3>\n<div class=\"scroll\"><table>\n<thead><tr>{columns}</tr></thead>\n<tbody>\n\
         {rows}</tbody>\n</table></div>\n",
        escape(title)
    )
}
