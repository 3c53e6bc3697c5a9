//! The engine's own log of errors, told to the run whose shard says it.
//!
//! Never: prints.

use crate::record::Arg;
use crate::run::run_here;
use log::{Level, LevelFilter, Log, Metadata, Record};

struct Notices;

impl Log for Notices {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() == Level::Error
    }

    fn log(&self, record: &Record<'_>) {
        let run =
            run_here().filter(|run| self.enabled(record.metadata()) && run.scenario.log_errors);
        if let Some(run) = run {
            run.record.server("log", "error", vec![Arg::text(record.args().to_string())]);
        }
    }

    fn flush(&self) {}
}

/// Listens from now on.
pub(crate) fn listen() {
    // Fails only when a logger is there already, and there is no other place that sets one.
    if log::set_logger(&Notices).is_ok() {
        log::set_max_level(LevelFilter::Error);
    }
}
