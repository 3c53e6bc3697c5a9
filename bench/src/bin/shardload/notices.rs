//! What the engine has to say, on standard error: warnings and errors, a line each.
//!
//! Never: prints what is below a warning, or what libraries beneath the engine log: a TLS peer's
//! faults are told once, in the words of `failure`. Never touches standard output, which others
//! read.

use log::{LevelFilter, Log, Metadata, Record};

struct Notices;

impl Log for Notices {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= LevelFilter::Warn && metadata.target().starts_with("shardpoll")
    }

    fn log(&self, record: &Record<'_>) {
        if self.enabled(record.metadata()) {
            eprintln!("shardload: {}", record.args());
        }
    }

    fn flush(&self) {}
}

/// Prints the engine's warnings and errors from now on.
pub(crate) fn print() {
    // Fails only when a logger is there already, and there is no other place that sets one.
    if log::set_logger(&Notices).is_ok() {
        log::set_max_level(LevelFilter::Warn);
    }
}
