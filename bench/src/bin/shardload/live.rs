//! What is seen while it runs, on standard error: bars on a terminal that can move its cursor, a
//! line a second elsewhere.
//!
//! Never: measures, wakes or slows a shard; it shows intervals that are kept with and without it,
//! so that the figures are the same either way. Never colours, so `NO_COLOR` changes nothing.

use crate::outcome::Interval;
use crate::report::show::{grouped, time};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::env;
use std::io::{self, IsTerminal, Write};
use std::time::Duration;

/// How many of the latest intervals are drawn.
const SHOWN: usize = 10;

/// Columns of a bar: with its figures, a line fits into 80.
const BAR: usize = 20;

/// Shows how a run goes.
#[derive(Debug)]
pub(crate) struct Live {
    to: To,
}

#[derive(Debug)]
enum To {
    Nobody,
    Lines,
    Terminal { bar: ProgressBar, seen: RefCell<Seen>, block: char },
}

/// Of the run that is under way.
#[derive(Default, Debug)]
struct Seen {
    recent: VecDeque<Interval>,
    errors: u64,
}

impl Live {
    /// `quiet` shows nothing, wherever standard error leads to.
    pub(crate) fn new(quiet: bool) -> Self {
        let to = match (quiet, io::stderr().is_terminal() && draws()) {
            (true, _) => To::Nobody,
            (false, false) => To::Lines,
            (false, true) => {
                let style = ProgressStyle::with_template("{prefix} [{bar:30}] {msg}")
                    .expect("the template is a constant that is sound")
                    .progress_chars("=> ");
                let bar = ProgressBar::with_draw_target(Some(1), ProgressDrawTarget::stderr());
                To::Terminal {
                    bar: bar.with_style(style),
                    seen: RefCell::default(),
                    block: block(),
                }
            }
        };
        Self { to }
    }

    /// While connections are made.
    pub(crate) fn connecting(&self, name: &str, up: u64, connections: usize) {
        if let To::Terminal { bar, .. } = &self.to {
            let message = format!("{up} of {connections} connected");
            show(bar, name, (up, connections as u64), message);
        }
    }

    /// Between two intervals: the bar moves on.
    pub(crate) fn running(&self, elapsed: Duration, of: Duration) {
        if let To::Terminal { bar, seen, .. } = &self.to {
            bar.set_length(millis(of));
            bar.set_position(millis(elapsed.min(of)));
            if seen.borrow().recent.is_empty() {
                bar.set_message(progress(elapsed, of));
            }
        }
    }

    /// After an interval; `unit` is the plural of what is counted.
    pub(crate) fn interval(
        &self,
        name: &str,
        elapsed: Duration,
        of: Duration,
        interval: &Interval,
        unit: &str,
    ) {
        match &self.to {
            To::Nobody => {}
            To::Lines => {
                let line = status_line(name, elapsed, interval, unit);
                // A reader that went away has seen enough.
                let _unread = writeln!(io::stderr(), "{line}");
            }
            To::Terminal { bar, seen, block } => {
                let mut seen = seen.borrow_mut();
                seen.add(interval);
                let seconds = progress(elapsed, of);
                let message =
                    format!("{seconds}, errors {}\n{}", seen.errors, seen.draw(unit, *block));
                show(bar, name, (millis(elapsed.min(of)), millis(of)), message);
            }
        }
    }

    /// Takes the view away; the next run begins anew.
    pub(crate) fn clear(&self) {
        if let To::Terminal { bar, seen, .. } = &self.to {
            bar.finish_and_clear();
            seen.take();
        }
    }
}

fn show(bar: &ProgressBar, name: &str, (at, of): (u64, u64), message: String) {
    if bar.is_finished() {
        bar.reset();
    }
    bar.set_prefix(name.chars().take(14).collect::<String>());
    bar.set_length(of);
    bar.set_position(at);
    bar.set_message(message);
}

fn progress(elapsed: Duration, of: Duration) -> String {
    format!("{:.1} of {:.1} s", elapsed.as_secs_f64(), of.as_secs_f64())
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// Whether the terminal can do more than print.
fn draws() -> bool {
    env::var_os("TERM").is_some_and(|term| !term.is_empty() && term != "dumb")
}

/// A full block where the terminal says that it knows one.
fn block() -> char {
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().filter_map(env::var_os);
    let locale = locale.map(|value| value.to_string_lossy().to_uppercase());
    // The first that is set counts, as in setlocale(3).
    match locale.into_iter().find(|value| !value.is_empty()) {
        Some(value) if value.contains("UTF-8") || value.contains("UTF8") => '\u{2588}',
        _ => '#',
    }
}

fn status_line(name: &str, elapsed: Duration, interval: &Interval, unit: &str) -> String {
    let (seconds, rate) = (elapsed.as_secs_f64(), grouped(rate(interval)));
    let p99 = interval.p99_us.map_or_else(String::new, |p99| format!(" p99 {}", time(p99)));
    format!("{name} {seconds:.1} s: {rate} {unit}/s{p99} errors {}", interval.errors)
}

fn rate(interval: &Interval) -> f64 {
    if interval.seconds > 0.0 { interval.operations as f64 / interval.seconds } else { 0.0 }
}

impl Seen {
    fn add(&mut self, interval: &Interval) {
        self.errors += interval.errors;
        self.recent.truncate(SHOWN - 1);
        self.recent.push_front(interval.clone());
    }

    /// A line for each of the latest intervals, the latest below.
    fn draw(&self, unit: &str, block: char) -> String {
        let most = |of: fn(&Interval) -> f64| self.recent.iter().map(of).fold(0.0, f64::max);
        let p99 = |interval: &Interval| interval.p99_us.unwrap_or(0.0);
        let (most_rate, most_p99) = (most(rate), most(p99));
        let bar = |value: f64, most: f64| bar(value, most, block);
        let title = format!("{unit}/s");
        let mut text = format!("\n{:>8}  {title:>15} {:BAR$}  {:>8}", "", "", "p99");
        for interval in self.recent.iter().rev() {
            let end = interval.at_seconds + interval.seconds;
            let shown = interval.p99_us.map_or_else(|| "-".into(), time);
            text.push_str(&format!(
                "\n{end:>6.0} s  {:>15} {}  {shown:>8} {}",
                grouped(rate(interval)),
                bar(rate(interval), most_rate),
                bar(p99(interval), most_p99),
            ));
        }
        text
    }
}

/// As long beside a full one as the value beside the largest.
fn bar(value: f64, most: f64, block: char) -> String {
    let share = if most > 0.0 { value / most } else { 0.0 };
    let full = (1..=BAR).filter(|&step| step as f64 - 0.5 <= share * BAR as f64).count();
    let mut text: String = std::iter::repeat_n(block, full).collect();
    text.extend(std::iter::repeat_n(' ', BAR - full));
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample;

    #[test]
    fn a_status_line_says_when_how_much_and_how_slow() {
        let run = sample::echo("plain", 3);
        let line = status_line("plain", Duration::from_secs(1), &run.intervals[0], "messages");
        assert_eq!(line, "plain 1.0 s: 51,000 messages/s p99 2.10 ms errors 0");
        let none = Interval { operations: 0, p99_us: None, errors: 4, ..run.intervals[0].clone() };
        let line = status_line("plain", Duration::from_secs(1), &none, "messages");
        assert_eq!(line, "plain 1.0 s: 0 messages/s errors 4");
    }

    #[test]
    fn a_view_fits_into_eighty_columns_and_ends_with_the_latest() {
        let mut seen = Seen::default();
        let mut run = sample::open("TLS", 30);
        run.intervals[28].operations = 123_456_789;
        run.intervals[27].p99_us = None;
        for interval in &run.intervals {
            seen.add(&Interval { errors: 1, ..interval.clone() });
        }
        let text = seen.draw("conversations", '#');
        let lines: Vec<_> = text.lines().skip(1).collect();
        assert_eq!((lines.len(), seen.errors), (1 + SHOWN, 30), "{text}");
        assert!(lines.iter().all(|line| line.chars().count() <= 79), "{text}");
        assert!(lines[SHOWN].starts_with("    30 s"), "{text}");
        assert!(!text.contains('\u{1b}'));
    }

    #[test]
    fn the_largest_fills_its_bar_and_nothing_leaves_it_empty() {
        assert_eq!(bar(7.0, 7.0, '#'), "#".repeat(BAR));
        assert_eq!(bar(3.5, 7.0, '#').trim_end(), "#".repeat(BAR / 2));
        assert_eq!(bar(0.0, 7.0, '#'), " ".repeat(BAR));
        assert_eq!(bar(0.0, 0.0, '#'), " ".repeat(BAR));
    }
}
