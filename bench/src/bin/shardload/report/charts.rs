//! The charts of a run: what is in each of them, and what it says of itself.
//!
//! Never: draws a line; `chart` does.

use super::axis::Axis;
use super::chart::{Chart, escape};
use super::hdr;
use super::series::{Bucket, Point, borders, buckets, curve, points};
use super::show::{self, grouped, micro, number};
use crate::outcome::{Latency, Run, Workload};
use hdrhistogram::Histogram;

/// One of the lines or bars of a chart, as its legend names it.
type Key = (&'static str, &'static str);

/// All charts that this run has figures for.
pub(super) fn charts(run: &Run) -> Vec<String> {
    let points = points(&run.intervals);
    let all = [
        throughput(run, &points),
        latency_over_time(run, &points),
        percentiles(
            "Latency by percentile",
            "How slow the slowest were: each step to the right is ten times rarer.",
            [("s1", "latency", &run.latency), ("s2", "uncorrected", &run.uncorrected)],
        ),
        histogram(
            "How latency is spread",
            [("s1", "latency", &run.latency), ("s2", "uncorrected", &run.uncorrected)],
        ),
        percentiles(
            "Connecting",
            "Until TCP stood, and what TLS took after it.",
            [("s1", "connect", &run.connect), ("s2", "TLS handshake", &run.handshake)],
        ),
        histogram(
            "How connecting is spread",
            [("s1", "connect", &run.connect), ("s2", "TLS handshake", &run.handshake)],
        ),
    ];
    all.into_iter().flatten().collect()
}

/// Puts a title, a legend and a remark around it.
fn figure(title: &str, keys: &[Key], remark: &str, svg: &str) -> String {
    let keys: String = if keys.len() < 2 {
        String::new()
    } else {
        let key =
            |(class, name): &Key| format!("<span class=\"key {class}\">{}</span>", escape(name));
        keys.iter().map(key).collect()
    };
    let remark = match remark {
        "" => String::new(),
        _ => format!("<p class=\"remark\">{}</p>", escape(remark)),
    };
    format!(
        "<figure><figcaption><h3>{}</h3><div class=\"keys\">{keys}</div></figcaption>{svg}{remark}\
         </figure>\n",
        escape(title)
    )
}

/// What a chart over time counts.
struct Count {
    of: fn(&Point) -> f64,
    title: &'static str,
    unit: &'static str,
}

fn count(workload: Workload) -> Count {
    let of = |point: &Point| point.rate;
    match workload {
        Workload::Echo | Workload::Abuse => Count { of, title: "Messages", unit: "messages/s" },
        Workload::Script => Count { of, title: "Conversations", unit: "conversations/s" },
        Workload::Rounds => Count { of, title: "Rounds", unit: "rounds/s" },
        Workload::Churn => Count { of, title: "Visits", unit: "visits/s" },
        Workload::Idle => {
            Count { of: |point| point.connects_per_second, title: "Connects", unit: "connects/s" }
        }
        Workload::Bulk => Count {
            of: |point| point.bytes_per_second / 1e6,
            title: "Bytes both ways",
            unit: "MB/s",
        },
    }
}

fn throughput(run: &Run, points: &[Point]) -> Option<String> {
    let Count { of, title, unit } = count(run.workload);
    let end = points.last()?.to;
    let asked = run.asked_per_second;
    let largest = points.iter().map(of).chain(asked).fold(0.0, f64::max);
    if largest == 0.0 && run.workload == Workload::Idle {
        // All connections were made before the window began.
        return None;
    }
    let mut chart = Chart::new(Axis::of_seconds(end), Axis::from_zero(largest, show::short));
    let mut errors = 0;
    for point in points {
        chart.bar("s1 fill", point.from, point.to, of(point));
        let failed =
            if point.errors > 0 { format!(", errors {}", point.errors) } else { String::new() };
        let tip = format!("{}: {} {unit}{failed}", when(point), number(of(point)));
        chart.tip(point.from, point.to, &tip);
    }
    for point in points.iter().filter(|point| point.errors > 0) {
        errors += point.errors;
        chart.flag("bad fill", point.from, point.to);
    }
    let mut keys = vec![("s1", "done")];
    if let Some(asked) = asked {
        chart.level("ink", asked);
        keys.push(("ink", "asked for"));
    }
    if errors > 0 {
        keys.push(("bad", "errors here"));
    }
    let about = format!("{title} a second over {end:.1} seconds; {largest:.0} at most");
    let svg = chart.svg(&about, "time", unit);
    Some(figure(&format!("{title} over time"), &keys, &together(run, points, "the mean"), &svg))
}

type Figure = fn(&Point) -> Option<f64>;

fn latency_over_time(run: &Run, points: &[Point]) -> Option<String> {
    const OF: [(&str, &str, Figure); 4] = [
        ("s1", "p50", |point| point.p50_us),
        ("s2", "p99", |point| point.p99_us),
        ("s3", "max", |point| point.max_us),
        ("s4", "p99 uncorrected", |point| point.uncorrected_p99_us),
    ];
    let values = || points.iter().flat_map(|point| OF.iter().filter_map(|(.., of)| of(point)));
    let smallest = values().fold(f64::INFINITY, f64::min);
    let largest = values().fold(f64::NEG_INFINITY, f64::max);
    if !smallest.is_finite() {
        return None;
    }
    let end = points.last()?.to;
    let mut chart = Chart::new(Axis::of_seconds(end), Axis::of_times(smallest, largest));
    let mut keys = Vec::new();
    // The most important is drawn last, on top.
    for (class, name, of) in OF.iter().rev() {
        if points.iter().any(|point| of(point).is_some()) {
            chart.line(class, steps(points, *of));
            keys.insert(0, (*class, *name));
        }
    }
    for point in points {
        let parts: Vec<_> = OF
            .iter()
            .filter_map(|(_, name, of)| Some(format!("{name} {}", micro(of(point)?))))
            .collect();
        let said = if parts.is_empty() { "nothing came back".into() } else { parts.join(", ") };
        chart.tip(point.from, point.to, &format!("{}: {said}", when(point)));
    }
    let about =
        format!("Latency over {end:.1} seconds, from {} to {}", micro(smallest), micro(largest));
    let svg = chart.svg(&about, "time", "latency");
    Some(figure("Latency over time", &keys, &together(run, points, "the worst"), &svg))
}

/// A step as long as its interval for each that has the figure.
fn steps(
    points: &[Point],
    of: fn(&Point) -> Option<f64>,
) -> impl Iterator<Item = Option<(f64, f64)>> + '_ {
    points.iter().flat_map(move |point| {
        let value = of(point);
        [point.from, point.to].map(|at| value.map(|value| (at, value)))
    })
}

fn when(point: &Point) -> String {
    format!("{:.1} to {:.1} s", point.from, point.to)
}

/// Says so where a chart has put intervals together.
fn together(run: &Run, points: &[Point], what: &str) -> String {
    if points.len() == run.intervals.len() {
        return String::new();
    }
    let each = run.intervals.len().div_ceil(points.len().max(1));
    format!("Each step is {what} of {each} intervals.")
}

type Named<'a> = (&'static str, &'static str, &'a Option<Latency>);

/// Those that are there, decoded; a histogram that cannot be read is left out.
fn decoded<'a>(
    all: &[Named<'a>],
) -> Vec<(&'static str, &'static str, &'a Latency, Histogram<u64>)> {
    let decode = |(class, name, latency): &Named<'a>| {
        let latency = latency.as_ref()?;
        Some((*class, *name, latency, hdr::decode(&latency.histogram).ok()?))
    };
    all.iter().filter_map(decode).collect()
}

/// But for the quickest thousandth, which would only make all the rest small.
fn lowest(histogram: &Histogram<u64>) -> f64 {
    histogram.value_at_quantile(0.001) as f64 / 1e3
}

fn percentiles(title: &str, remark: &str, all: [Named<'_>; 2]) -> Option<String> {
    let all = decoded(&all);
    let count = all.iter().map(|(.., histogram)| histogram.len()).max()?;
    let x = Axis::of_nines(count);
    let smallest = all.iter().map(|(.., of)| lowest(of)).fold(f64::INFINITY, f64::min);
    let largest = all.iter().map(|(_, _, latency, _)| latency.max_us).fold(0.0, f64::max);
    let mut chart = Chart::new(x, Axis::of_times(smallest, largest));
    let curves: Vec<_> =
        all.iter().map(|(.., histogram)| curve(histogram, chart.x_end())).collect();
    let mut keys = Vec::new();
    for ((class, name, ..), curve) in all.iter().zip(&curves) {
        // Of a single time too there is something to see.
        let end = curve.last().map(|&(_, micros)| (chart.x_end() / 200.0, micros));
        let only = end.filter(|_| curve.len() == 1);
        chart.line(class, curve.iter().copied().chain(only).map(Some));
        keys.push((*class, *name));
    }
    let longest = curves.iter().max_by_key(|curve| curve.len())?;
    for (place, &(nines, _)) in longest.iter().enumerate() {
        let next = longest.get(place + 1).map_or_else(|| chart.x_end(), |next| next.0);
        let said = all.iter().zip(&curves).filter_map(|((_, name, ..), curve)| {
            curve.get(place).map(|(_, micros)| format!("{name} {}", micro(*micros)))
        });
        let percent = (1.0 - 10_f64.powf(-nines)) * 100.0;
        let tip = format!("{percent:.5} %: {}", said.collect::<Vec<_>>().join(", "));
        chart.tip(nines, next, &tip);
    }
    let about = all.iter().map(|(_, name, latency, _)| {
        format!(
            "{name}: p50 {}, p99 {}, max {}",
            micro(latency.p50_us),
            micro(latency.p99_us),
            micro(latency.max_us)
        )
    });
    let svg = chart.svg(&about.collect::<Vec<_>>().join("; "), "percentile (%)", "time");
    Some(figure(title, &keys, remark, &svg))
}

fn histogram(title: &str, all: [Named<'_>; 2]) -> Option<String> {
    let all = decoded(&all);
    let histograms: Vec<_> = all.iter().map(|(.., histogram)| histogram).collect();
    let borders = borders(&histograms);
    let sets: Vec<Vec<Bucket>> =
        histograms.iter().map(|histogram| buckets(histogram, &borders)).collect();
    let largest = sets.iter().flatten().map(|bucket| bucket.share).fold(0.0, f64::max);
    let (first, last) = (*borders.first()?, *borders.last()?);
    if all.is_empty() {
        return None;
    }
    let y = Axis::from_zero(largest * 100.0, |share| format!("{} %", show::short(share)));
    // Bars begin at the left edge, so the axis is of places rather than of times.
    let mut chart = Chart::new(Axis::of_times_within(first, last), y);
    let mut keys = Vec::new();
    for ((class, name, ..), buckets) in all.iter().zip(&sets) {
        if keys.is_empty() {
            for bucket in buckets.iter().filter(|bucket| bucket.share > 0.0) {
                chart.bar(
                    &format!("{class} fill"),
                    bucket.from_us,
                    bucket.to_us,
                    bucket.share * 100.0,
                );
            }
        } else {
            let outline = buckets.iter().flat_map(|bucket| {
                [bucket.from_us, bucket.to_us].map(|at| Some((at, bucket.share * 100.0)))
            });
            chart.line(class, outline);
        }
        keys.push((*class, *name));
    }
    for (place, bucket) in sets.first()?.iter().enumerate() {
        let said = all.iter().zip(&sets).map(|((_, name, _, histogram), buckets)| {
            let share = buckets[place].share;
            let count = share * histogram.len() as f64;
            format!("{name} {} ({:.2} %)", grouped(count), share * 100.0)
        });
        let (from, to) = (micro(bucket.from_us), micro(bucket.to_us));
        let tip = format!("{from} to {to}: {}", said.collect::<Vec<_>>().join(", "));
        chart.tip(bucket.from_us, bucket.to_us, &tip);
    }
    let about = format!("How many took how long, from {} to {}", micro(first), micro(last));
    Some(figure(title, &keys, "", &chart.svg(&about, "time", "share")))
}
