//! The progress line, on standard error and only on a terminal.
//!
//! Never: wakes or slows a shard; it shows a counter that is kept with and without it.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::{self, IsTerminal};
use std::time::Duration;

pub(crate) struct Live {
    bar: Option<ProgressBar>,
}

impl Live {
    pub(crate) fn new() -> Self {
        let bar = io::stderr().is_terminal().then(|| {
            let style = ProgressStyle::with_template("{prefix:>14} [{bar:30}] {msg}")
                .expect("the template is a constant that is sound")
                .progress_chars("=> ");
            let bar = ProgressBar::with_draw_target(Some(1), ProgressDrawTarget::stderr());
            bar.with_style(style)
        });
        Self { bar }
    }

    pub(crate) fn connecting(&self, name: &str, up: u64, connections: usize) {
        self.show(name, up, connections as u64, || format!("{up} of {connections} connected"));
    }

    pub(crate) fn running(&self, name: &str, elapsed: Duration, of: Duration, messages: u64) {
        let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        self.show(name, millis(elapsed), millis(of), || {
            let seconds = elapsed.as_secs_f64();
            format!("{:.0} messages/s, {seconds:.1} s", messages as f64 / seconds)
        });
    }

    fn show(&self, name: &str, at: u64, of: u64, message: impl FnOnce() -> String) {
        if let Some(bar) = &self.bar {
            bar.set_prefix(name.to_string());
            bar.set_length(of);
            bar.set_message(message());
            bar.set_position(at.min(of));
        }
    }

    /// Takes the line away.
    pub(crate) fn clear(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
            bar.reset();
        }
    }
}
