//! The page: what there is now, two minutes of it as lines, and what the shards have counted.
//!
//! Never: needs anything from elsewhere, or a script; it comes anew every two seconds.

use super::Board;
use super::history::Sample;
use shardpoll::{CloseKind, Counters, Histogram, ShardMetrics, Snapshot};
use shardpoll_bench::machine::Machine;
use std::fmt::Write;
use std::process;
use std::time::Duration;

const STYLE: &str = include_str!("page.css");

/// The whole document.
pub(super) fn page(board: &Board) -> String {
    let snapshot = board.remote.metrics();
    let samples = board.history.samples();
    let mut html = String::with_capacity(16 * 1024);
    let out = &mut html;
    let title = escape(&board.title);
    put(
        out,
        format_args!(
            "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
             <meta name=\"viewport\" content=\"width=device-width\">\
             <meta http-equiv=\"refresh\" content=\"2\"><title>{title}</title>\
             <style>{STYLE}</style></head><body>\n<h1>{title}</h1>\n<p>{state} for {up}, process \
             {pid}, shardload {version}; {machine}</p>\n",
            state = board.remote.state(),
            up = span(board.clock.elapsed()),
            pid = process::id(),
            version = env!("CARGO_PKG_VERSION"),
            machine = escape(&Machine::read().to_string()),
        ),
    );
    let total = snapshot.total().counters;
    tiles(out, &samples, snapshot.listener(board.listener).unwrap_or_default().open, &total);
    charts(out, &samples);
    shards(out, &snapshot, &samples);
    ends(out, &total);
    out.push_str(
        "<footer><p><a href=\"/metrics\">/metrics</a> for Prometheus, \
         <a href=\"/ready\">/ready</a> for a load balancer, POST /drain to end it in order. \
         The shards count this page's connections too.</p></footer>\n</body></html>\n",
    );
    html
}

fn put(out: &mut String, text: std::fmt::Arguments<'_>) {
    out.write_fmt(text).expect("a string takes all");
}

fn tiles(out: &mut String, samples: &[Sample], open: u64, total: &Counters) {
    // The last whole interval.
    let rate = |of: fn(&Sample) -> u64| match samples {
        [.., before, last] => last.rate(before, of),
        _ => 0.0,
    };
    let mut tiles = vec![
        ("connections now", open.to_string()),
        ("connections/s", number(rate(|sample| sample.served.accepted))),
        ("in/s", bytes(rate(Sample::bytes_in))),
        ("out/s", bytes(rate(Sample::bytes_out))),
        ("turns/s", number(rate(|sample| sample.shards.iter().map(|shard| shard.turns).sum()))),
    ];
    if total.dialed > 0 {
        tiles.push(("connections opened", total.dialed.to_string()));
    }
    if total.handshakes + total.failed_handshakes > 0 {
        tiles.push(("TLS handshakes", total.handshakes.to_string()));
        tiles.push(("of these resumed", total.resumed_handshakes.to_string()));
        tiles.push(("TLS handshakes failed", total.failed_handshakes.to_string()));
    }
    out.push_str("<div class=\"tiles\">");
    for (name, value) in tiles {
        put(out, format_args!("<div class=\"tile\"><b>{value}</b><span>{name}</span></div>"));
    }
    out.push_str("</div>\n");
}

fn charts(out: &mut String, samples: &[Sample]) {
    let rates = |of: fn(&Sample) -> u64| -> Vec<f64> {
        samples.windows(2).map(|pair| pair[1].rate(&pair[0], of)).collect()
    };
    let (incoming, outgoing) = (rates(Sample::bytes_in), rates(Sample::bytes_out));
    let accepted = rates(|sample| sample.served.accepted);
    let top = peak(&incoming).max(peak(&outgoing));
    let caption = format!("bytes a second, in (wide) and out (thin); the top is {}", bytes(top));
    chart(out, &caption, &[("in", &incoming), ("out", &outgoing)], top);
    let top = peak(&accepted);
    let caption = format!("connections accepted a second; the top is {}", number(top));
    chart(out, &caption, &[("in", &accepted)], top);
}

fn peak(values: &[f64]) -> f64 {
    values.iter().copied().fold(0.0, f64::max)
}

/// Two minutes from left to right, now at the right end.
fn chart(out: &mut String, caption: &str, lines: &[(&str, &[f64])], top: f64) {
    const WIDTH: usize = 119;
    put(
        out,
        format_args!(
            "<figure><svg viewBox=\"0 0 {WIDTH} 100\" preserveAspectRatio=\"none\" role=\"img\" \
             aria-label=\"{caption}\">"
        ),
    );
    for (class, values) in lines {
        put(out, format_args!("<polyline class=\"{class}\" points=\""));
        let first = (WIDTH + 1).saturating_sub(values.len());
        for (place, value) in values.iter().enumerate() {
            let height = if top > 0.0 { value / top * 94.0 } else { 0.0 };
            put(out, format_args!("{},{:.1} ", first + place, 97.0 - height));
        }
        out.push_str("\"/>");
    }
    put(out, format_args!("</svg><figcaption>{caption}, last two minutes</figcaption></figure>\n"));
}

fn shards(out: &mut String, snapshot: &Snapshot, samples: &[Sample]) {
    out.push_str(
        "<h2>Shards</h2>\n<div class=\"wide\"><table><tr><th>shard</th><th>CPU</th><th>open</th>\
         <th>accepted</th><th>passed on</th><th>in/s</th><th>out/s</th><th>events/s</th>\
         <th>99 % of turns within</th><th>stalls</th><th>restarts</th></tr>\n",
    );
    for (number, shard) in snapshot.shards.iter().enumerate() {
        shard_row(out, number, shard, samples);
    }
    out.push_str("</table></div>\n");
}

fn shard_row(out: &mut String, shard: usize, metrics: &ShardMetrics, samples: &[Sample]) {
    let rate = |of: fn(&Counters) -> u64| match samples {
        [.., before, last] => last.rate(before, |sample| sample.shards.get(shard).map_or(0, of)),
        _ => 0.0,
    };
    let cpu = metrics.cpu.map_or_else(|| "any".into(), |cpu| cpu.to_string());
    let Counters { open, accepted, passed_on, .. } = metrics.counters;
    put(
        out,
        format_args!(
            "<tr><td>{shard}</td><td>{cpu}</td><td>{open}</td><td>{accepted}</td>\
             <td>{passed_on}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td>\
             <td>{}</td></tr>\n",
            bytes(rate(|counters| counters.bytes_in)),
            bytes(rate(|counters| counters.bytes_out)),
            number(rate(|counters| counters.events)),
            within(&metrics.turn_times),
            metrics.stalls,
            metrics.restarts,
        ),
    );
}

/// The bound below which 99 of 100 lie.
fn within(times: &Histogram) -> String {
    let beyond = times.count() / 100;
    let mut below = 0;
    for (bound, count) in times.spans() {
        below += count;
        if below + beyond >= times.count() {
            return match bound {
                Some(_) if below == 0 => String::new(),
                Some(bound) => format!("{bound:.1?}"),
                None => "more than 17 s".into(),
            };
        }
    }
    String::new()
}

fn ends(out: &mut String, total: &Counters) {
    out.push_str("<h2>Why connections have ended</h2>\n");
    let mut rows: Vec<(&str, u64)> =
        CloseKind::ALL.iter().map(|kind| (kind.as_str(), total.closed_by[*kind])).collect();
    rows.extend([
        ("refused: too many in all", total.refused_in_all),
        ("refused: out of descriptors", total.refused_peers),
        ("refused: no sender of PROXY headers", total.refused_senders),
        ("wrong or late PROXY header", total.bad_proxy_headers),
    ]);
    rows.retain(|(_, count)| *count > 0);
    if rows.is_empty() {
        out.push_str("<p>None has.</p>\n");
        return;
    }
    out.push_str("<table><tr><th>reason</th><th>connections</th></tr>\n");
    for (name, count) in rows {
        let name = name.replace('_', " ");
        put(out, format_args!("<tr><td>{name}</td><td>{count}</td></tr>\n"));
    }
    out.push_str("</table>\n");
}

/// For people: three figures, and a k or an M.
fn number(value: f64) -> String {
    scaled(value, 1000.0, ["", " k", " M", " G"])
}

fn bytes(value: f64) -> String {
    scaled(value, 1000.0, [" B", " kB", " MB", " GB"])
}

fn scaled(mut value: f64, step: f64, units: [&str; 4]) -> String {
    let mut unit = 0;
    while value >= step && unit + 1 < units.len() {
        value /= step;
        unit += 1;
    }
    let is_whole = unit == 0 && (value - value.round()).abs() < 0.05;
    let digits = usize::from(value < 100.0 && !is_whole);
    format!("{value:.digits$}{}", units[unit])
}

fn span(time: Duration) -> String {
    humantime::format_duration(Duration::from_secs(time.as_secs())).to_string()
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_short() {
        assert_eq!(number(0.0), "0");
        assert_eq!(number(7.25), "7.2");
        assert_eq!(number(1234.0), "1.2 k");
        assert_eq!(bytes(123_456_789.0), "123 MB");
        assert_eq!(bytes(12.0), "12 B");
        assert_eq!(span(Duration::from_millis(61_900)), "1m 1s");
    }

    #[test]
    fn what_an_option_named_is_no_markup() {
        assert_eq!(escape("<a href=\"&\">"), "&lt;a href=&quot;&amp;&quot;&gt;");
    }

    #[test]
    fn a_bound_has_99_of_100_below_it() {
        assert_eq!(within(&Histogram::default()), "");
    }
}
