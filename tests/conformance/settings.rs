//! The engine's settings, by the names that the reference gives them, with its defaults.
//!
//! Never: leaves one of them to the engine's own default.

use crate::fields::{Outcome, seconds, to_usize, whole};
use serde_json::{Map, Value};
use shardpoll::{Config, PanicPolicy};
use std::time::Duration;

/// What a scenario's `config` says.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) config: Config,
    pub(crate) backlog: u32,
    /// How long a shutdown may take.
    pub(crate) deadline: Duration,
    /// Errors of callbacks are caught; else they leave the loop.
    pub(crate) protect: bool,
    /// An error of a callback ends its connection.
    pub(crate) fatal: bool,
}

impl Settings {
    pub(crate) fn parse(entries: Map<String, Value>) -> Outcome<Self> {
        let mut this = Self {
            config: Config::default(),
            backlog: 128,
            deadline: Duration::from_secs(5),
            protect: true,
            fatal: false,
        };
        let config = &mut this.config;
        config.read_timeout = Some(Duration::from_secs(840));
        config.send_timeout = Some(Duration::from_secs(180));
        config.connect_timeout = Duration::from_secs(20);
        config.handshake_timeout = Duration::from_secs(60);
        config.accept_retry_interval = Duration::from_secs(10);
        config.read_size_bytes = 8192;
        config.max_queued_bytes = 32 * 1024 * 1024;
        // The reference has no such limit.
        config.max_shard_queued_bytes = 0;
        for (key, value) in entries {
            let known = this.set(&key, &value);
            known.ok_or_else(|| format!("config: {key:?} cannot be {value}"))?;
        }
        Ok(this)
    }

    /// A connection whose listener has failed is over only if that is asked for; a listener with an
    /// error handler ends it in there, since the engine tells nobody of what it ends itself.
    pub(crate) fn choose_policy(&mut self, has_error_handler: bool) {
        let closes = self.fatal && self.protect && !has_error_handler;
        self.config.panic_policy = if closes { PanicPolicy::Close } else { PanicPolicy::Continue };
    }

    /// `None` for an unknown key, or a value that it cannot have.
    fn set(&mut self, key: &str, value: &Value) -> Option<()> {
        let config = &mut self.config;
        match key {
            "read_timeout" => config.read_timeout = wait(value)?,
            "send_timeout" => config.send_timeout = wait(value)?,
            "connect_timeout" => config.connect_timeout = time(value)?,
            "ssl_handshake_timeout" => config.handshake_timeout = time(value)?,
            "accept_retry_interval" => config.accept_retry_interval = time(value)?,
            "read_size" => config.read_size_bytes = size(value)?,
            "max_send_buffer_size" => config.max_queued_bytes = size(value)?,
            "tcp_backlog" => self.backlog = u32::try_from(whole(value)?).ok()?,
            "shutdown_deadline" => self.deadline = time(value)?,
            "protect_listeners" => self.protect = value.as_bool()?,
            "fatal_errors" => self.fatal = value.as_bool()?,
            // Without an equivalent (O6): always so, or never visible.
            "keep_buffers"
            | "min_wait"
            | "read_retry_delay"
            | "set_send"
            | "opportunistic_writes"
            | "max_wait"
            | "verbose"
            | "send_buffer_chunks"
            | "max_send_chunk" => {}
            _ => return None,
        }
        Some(())
    }
}

fn time(value: &Value) -> Option<Duration> {
    value.as_f64().map(seconds)
}

/// A time, or false for never.
fn wait(value: &Value) -> Option<Option<Duration>> {
    match value {
        Value::Bool(false) => Some(None),
        _ => time(value).map(Some),
    }
}

fn size(value: &Value) -> Option<usize> {
    whole(value).map(to_usize)
}
