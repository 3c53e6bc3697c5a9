//! A document as one page for a browser, which needs nothing but itself.
//!
//! Never: has a script, or anything to fetch; writes text from outside without escaping it.

use super::chart::escape;
use super::notes::is_closed;
use super::section;
use super::show::{grouped, micro, quoted};
use crate::outcome::{Document, Run};

const STYLE: &str = include_str!("page.css");

/// The whole page.
pub(crate) fn page(document: &Document) -> String {
    let Document { version, command, runs, .. } = document;
    let words: Vec<_> = command.iter().map(|word| escape(&quoted(word))).collect();
    let title = words.join(" ");
    // A line ends between two words rather than behind a hyphen.
    let command: Vec<_> = words.iter().map(|word| format!("<span>{word}</span>")).collect();
    let command = command.join(" ");
    let sections: String =
        runs.iter().enumerate().map(|(place, run)| section::of(run, place + 1)).collect();
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n<title>{title}</title>\n\
         <style>\n{STYLE}</style>\n</head>\n<body>\n<header>\n\
         <p class=\"brand\">shardload <span>{}</span></p>\n<h1><code>{command}</code></h1>\n{}\
         </header>\n<main>\n{}{sections}</main>\n<footer>\n{}</footer>\n</body>\n</html>\n",
        escape(version),
        facts(document),
        overview(runs),
        explanation(runs)
    )
}

fn facts(document: &Document) -> String {
    let Document { machine, started, instance, .. } = document;
    let instance = instance.map(|it| ("Instance", format!("{} of {}", it.number, it.of)));
    let cpus = if machine.cpus == 1 { "CPU" } else { "CPUs" };
    let facts = [
        Some(("Began", date(started))),
        Some(("Machine", format!("{} {cpus}, {}", machine.cpus, machine.cpu))),
        Some(("Kernel", format!("Linux {}", machine.kernel))),
        instance,
    ];
    let fact = |(name, value): (&str, String)| {
        format!("<div><dt>{name}</dt><dd>{}</dd></div>", escape(&value))
    };
    let facts: String = facts.into_iter().flatten().map(fact).collect();
    format!("<dl class=\"facts\">{facts}</dl>\n")
}

/// `2026-11-23T16:10:00.250Z` as people write it, to the second.
fn date(started: &str) -> String {
    let whole = started.split('.').next().unwrap_or(started);
    format!("{} UTC", whole.trim_end_matches('Z').replace('T', " "))
}

/// Several runs in one table, each a link to its part of the page.
fn overview(runs: &[Run]) -> String {
    if runs.len() < 2 {
        return String::new();
    }
    let row = |(place, run): (usize, &Run)| {
        let latency = |of: fn(&crate::outcome::Latency) -> f64| {
            run.latency.as_ref().map_or_else(|| "\u{2013}".into(), |latency| micro(of(latency)))
        };
        let errors = run.errors.total + run.errors.lost;
        let (rate, unit) = section::rate(run);
        let bad = if errors > 0 { " class=\"bad\"" } else { "" };
        let cells = [
            format!("{rate} <small>{unit}</small>"),
            latency(|latency| latency.p50_us),
            latency(|latency| latency.p99_us),
            latency(|latency| latency.p99_9_us),
            latency(|latency| latency.max_us),
        ];
        let cells: String = cells.iter().map(|cell| format!("<td>{cell}</td>")).collect();
        format!(
            "<tr><th scope=\"row\"><a href=\"#run-{}\">{}</a><small>{}</small></th>{cells}\
             <td{bad}>{}</td></tr>\n",
            place + 1,
            escape(&run.name),
            escape(&section::shape(run)),
            grouped(errors as f64)
        )
    };
    let rows: String = runs.iter().enumerate().map(row).collect();
    format!(
        "<section class=\"overview\">\n<h2>All runs</h2>\n<div class=\"scroll\"><table>\n<thead>\
         <tr><th scope=\"col\">Run</th><th scope=\"col\">Rate</th><th scope=\"col\">p50</th>\
         <th scope=\"col\">p99</th><th scope=\"col\">p99.9</th><th scope=\"col\">max</th>\
         <th scope=\"col\">Errors</th></tr></thead>\n<tbody>\n{rows}</tbody>\n</table></div>\n\
         </section>\n"
    )
}

fn explanation(runs: &[Run]) -> String {
    let open = runs.iter().any(|run| run.asked_per_second.is_some());
    let closed = runs.iter().any(is_closed);
    let mut text = String::new();
    if open {
        text.push_str(
            "<p><b>Open loop.</b> Operations are due at fixed times, and latency is counted from \
             when one was due: a stall counts for all that it has held up. Uncorrected latency is \
             counted from when an operation was really begun, as a tool would that waits for the \
             server.</p>\n",
        );
    }
    if closed {
        text.push_str(
            "<p><b>Closed loop.</b> The next operation begins when one is done. The server sets \
             the pace, and a stall counts once, however many operations it has kept from \
             beginning; a run with <code>--rate</code> counts them all.</p>\n",
        );
    }
    text.push_str("<p>MB: millions of bytes. CPU: of the whole process, user and system.</p>\n");
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome::Workload;
    use crate::report::sample;

    const ALL: [Workload; 7] = [
        Workload::Echo,
        Workload::Churn,
        Workload::Idle,
        Workload::Bulk,
        Workload::Script,
        Workload::Rounds,
        Workload::Abuse,
    ];

    fn of(runs: Vec<Run>) -> String {
        page(&sample::document(runs))
    }

    #[test]
    fn a_page_needs_nothing_from_elsewhere_and_runs_nothing() {
        let page = of(vec![sample::open("TLS", 5), sample::abuse("attacked", 5)]);
        for foreign in ["<script", "src=", "url(", "@import", "<link", "http:", "https:", "onload"]
        {
            assert!(!page.contains(foreign), "{foreign}");
        }
    }

    #[test]
    fn whatever_comes_from_outside_is_escaped() {
        let evil = "</style></title><script>alert('x')</script>\u{1b}[31m";
        let mut run = sample::abuse(evil, 3);
        run.targets = vec![evil.into()];
        run.first_error = Some(evil.into());
        run.attacks[0].kind = evil.into();
        let mut document = sample::document(vec![run.clone(), run]);
        document.command = vec![evil.into()];
        document.version = evil.into();
        document.started = evil.into();
        document.machine.cpu = evil.into();
        document.machine.kernel = evil.into();
        let page = page(&document);
        assert!(!page.contains("<script") && page.contains("&lt;script&gt;"));
        assert!(!page.contains('\u{1b}') && !page.contains("alert('x')"));
        assert_eq!(
            (page.matches("</style>").count(), page.matches("</title><").count() > 1),
            (1, true)
        );
    }

    #[test]
    fn tags_are_closed_in_the_order_they_were_opened() {
        let long = sample::open("TLS", 3600);
        for runs in [
            vec![sample::echo("plain", 1)],
            vec![long, sample::abuse("attacked", 5)],
            ALL.map(|workload| sample::empty("nothing", workload)).into(),
        ] {
            let page = of(runs);
            assert!(!page.contains("NaN") && !page.contains("inf "), "{page}");
            let mut open: Vec<&str> = Vec::new();
            for tag in page.split('<').skip(1) {
                let (tag, _) = tag.split_once('>').expect("every tag ends");
                let name = tag.split([' ', '\n']).next().expect("there is a first");
                if let Some(name) = name.strip_prefix('/') {
                    assert_eq!(open.pop(), Some(name));
                } else if !tag.ends_with('/') && !["!doctype", "meta"].contains(&name) {
                    open.push(name);
                }
            }
            assert_eq!(open, [""; 0]);
        }
    }

    #[test]
    fn the_figures_of_a_run_are_on_the_page() {
        let run = sample::open("TLS", 5);
        let latency = run.latency.clone().expect("the sample has it");
        let page = of(vec![run]);
        let corrected = micro(latency.p99_us);
        for part in [corrected.as_str(), "51,234", "50,000", "tls://localhost:7443", "3.99 kB"] {
            assert!(page.contains(part), "{part}");
        }
        for title in
            ["Messages over time", "Latency over time", "Latency by percentile", "Connecting"]
        {
            assert!(page.contains(&format!("<h3>{title}</h3>")), "{title}");
        }
    }

    #[test]
    fn a_date_is_told_to_the_second() {
        assert_eq!(date("2026-11-23T16:10:00.250Z"), "2026-11-23 16:10:00 UTC");
        assert_eq!(date("2026-11-23T16:10:00Z"), "2026-11-23 16:10:00 UTC");
    }

    #[test]
    fn an_hour_is_no_larger_than_a_few_minutes() {
        let (minutes, hour) = (of(vec![sample::open("a", 600)]), of(vec![sample::open("a", 3600)]));
        assert!(hour.len() < minutes.len() * 11 / 10, "{} {}", minutes.len(), hour.len());
    }
}
