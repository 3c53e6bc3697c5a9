//! Settings as text, for those who read them from a file or a command line.
//!
//! Never: reads a file; knows a setting that [`Config`] has not.

use super::config::{Config, ConfigError, PanicPolicy, WhenExhausted, WhenFull};
use std::time::Duration;

const DURATION: &str = "a time such as 500ms, 30s, 14m or 1h";
const OPTIONAL: &str = "a time such as 500ms, 30s, 14m or 1h, or off";
const SIZE: &str = "a number of bytes such as 4096, 16k or 32m";
const SWITCH: &str = "on or off";

impl Config {
    /// The names that [`set`](Self::set) knows: those of the fields.
    pub const SETTINGS: &'static [&'static str] = &[
        "read_timeout",
        "send_timeout",
        "connect_timeout",
        "handshake_timeout",
        "handshake_deadline",
        "max_connections",
        "max_connections_per_peer",
        "max_handshakes",
        "read_size_bytes",
        "max_queued_bytes",
        "max_shard_queued_bytes",
        "high_water_bytes",
        "low_water_bytes",
        "when_full",
        "panic_policy",
        "when_exhausted",
        "accept_retry_interval",
        "no_delay",
        "keep_alive",
    ];

    /// Sets the field of this name from text (S160).
    ///
    /// Times are whole numbers with a unit (`us`, `ms`, `s`, `m`, `h`), or `off` where the field is
    /// optional; counts are whole numbers, or `off` likewise; sizes are numbers of bytes, or with
    /// `k`, `m` or `g` of 1024, 1024^2 or 1024^3; switches are `on` or `off`; choices are spelled
    /// as their variants are, in lower case with dashes. Whether all settings make sense together
    /// is [`check`](Self::check)'s to say.
    ///
    /// # Errors
    /// Names a setting that does not exist, or the value that does not fit, and what would: the
    /// caller's mistake. The configuration is as it was then.
    ///
    /// ```
    /// let mut config = shardpoll_reactor::Config::default();
    /// config.set("read_timeout", "90s")?;
    /// config.set("when_full", "pause-peer")?;
    /// let error = config.set("read_timout", "90s").unwrap_err();
    /// assert_eq!(error.to_string(), "\"read_timout\" is no setting");
    /// # Ok::<(), shardpoll_reactor::ConfigError>(())
    /// ```
    pub fn set(&mut self, name: &str, value: &str) -> Result<(), ConfigError> {
        let Some(&field) = Self::SETTINGS.iter().find(|known| **known == name) else {
            return Err(ConfigError::unknown(name));
        };
        let wrong = |want| ConfigError::wrong(field, format!("{value:?}"), want);
        let time = || duration(value).ok_or_else(|| wrong(DURATION));
        let optional = || match value {
            "off" => Ok(None),
            _ => duration(value).map(Some).ok_or_else(|| wrong(OPTIONAL)),
        };
        let count = || match value {
            "off" => Ok(None),
            _ => value.parse().map(Some).map_err(|_| wrong("a whole number, or off")),
        };
        let bytes = || size(value).ok_or_else(|| wrong(SIZE));
        match field {
            "read_timeout" => self.read_timeout = optional()?,
            "send_timeout" => self.send_timeout = optional()?,
            "connect_timeout" => self.connect_timeout = time()?,
            "handshake_timeout" => self.handshake_timeout = time()?,
            "handshake_deadline" => self.handshake_deadline = time()?,
            "max_connections" => self.max_connections = count()?,
            "max_connections_per_peer" => self.max_connections_per_peer = count()?,
            "max_handshakes" => {
                self.max_handshakes = value.parse().map_err(|_| wrong("a whole number"))?;
            }
            "read_size_bytes" => self.read_size_bytes = bytes()?,
            "max_queued_bytes" => self.max_queued_bytes = bytes()?,
            "max_shard_queued_bytes" => self.max_shard_queued_bytes = bytes()?,
            "high_water_bytes" => self.high_water_bytes = bytes()?,
            "low_water_bytes" => self.low_water_bytes = bytes()?,
            "when_full" => {
                self.when_full = match value {
                    "cut" => WhenFull::Cut,
                    "refuse" => WhenFull::Refuse,
                    "pause-peer" => WhenFull::PausePeer,
                    _ => return Err(wrong("cut, refuse or pause-peer")),
                }
            }
            "panic_policy" => {
                self.panic_policy = match value {
                    "close" => PanicPolicy::Close,
                    "continue" => PanicPolicy::Continue,
                    _ => return Err(wrong("close or continue")),
                }
            }
            "when_exhausted" => {
                self.when_exhausted = match value {
                    "rest" => WhenExhausted::Rest,
                    "refuse" => WhenExhausted::Refuse,
                    _ => return Err(wrong("rest or refuse")),
                }
            }
            "accept_retry_interval" => self.accept_retry_interval = time()?,
            "no_delay" => {
                self.no_delay = match value {
                    "on" => true,
                    "off" => false,
                    _ => return Err(wrong(SWITCH)),
                }
            }
            "keep_alive" => self.keep_alive = optional()?,
            _ => return Err(ConfigError::unknown(name)),
        }
        Ok(())
    }
}

/// A whole number, and what follows it.
fn number(text: &str) -> Option<(u64, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, unit) = text.split_at(end);
    Some((digits.parse().ok()?, unit))
}

fn duration(text: &str) -> Option<Duration> {
    let (count, unit) = number(text)?;
    let seconds = |each: u64| count.checked_mul(each).map(Duration::from_secs);
    match unit {
        "us" => Some(Duration::from_micros(count)),
        "ms" => Some(Duration::from_millis(count)),
        "s" => seconds(1),
        "m" => seconds(60),
        "h" => seconds(3600),
        _ => None,
    }
}

fn size(text: &str) -> Option<usize> {
    let (count, unit) = number(text)?;
    let each = match unit {
        "" => 1,
        "k" => 1024,
        "m" => 1024 * 1024,
        "g" => 1024 * 1024 * 1024,
        _ => return None,
    };
    usize::try_from(count.checked_mul(each)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A value for each setting that is not its default.
    fn other_values() -> Vec<(&'static str, &'static str)> {
        let value = |name: &&'static str| match *name {
            "when_full" | "when_exhausted" => "refuse",
            "panic_policy" => "continue",
            "no_delay" => "off",
            "max_connections" | "max_connections_per_peer" | "max_handshakes" => "77",
            time if ["time", "interval", "deadline", "alive"]
                .iter()
                .any(|of| time.contains(of)) =>
            {
                "77s"
            }
            _ => "7k",
        };
        Config::SETTINGS.iter().map(|name| (*name, value(name))).collect()
    }

    #[test]
    fn every_field_can_be_set_by_its_name() {
        let mut config = Config::default();
        for (name, value) in other_values() {
            let before = format!("{config:?}");
            config.set(name, value).expect(name);
            assert_ne!(format!("{config:?}"), before, "{name} has changed nothing");
        }
        // All of them: one that is forgotten in `SETTINGS` still has its default's text.
        let text = format!("{config:?}");
        let fields = text.matches(": ").count();
        assert_eq!(fields, Config::SETTINGS.len(), "{text}");
        assert!(config.check().is_ok());
    }

    #[test]
    fn what_does_not_fit_is_named_with_what_would_and_changes_nothing() {
        let mut config = Config::default();
        let mut refused = |name: &str, value: &str| {
            let before = format!("{config:?}");
            let error = config.set(name, value).expect_err(value).to_string();
            assert_eq!(format!("{config:?}"), before);
            error
        };
        assert_eq!(
            refused("connect_timeout", "off"),
            "connect_timeout is \"off\": it must be a time such as 500ms, 30s, 14m or 1h"
        );
        assert_eq!(refused("no_delay", "yes"), "no_delay is \"yes\": it must be on or off");
        for text in ["", "s", "-1s", "1.5s", "10", "99999999999999999999s", "99999999999999999h"] {
            refused("read_timeout", text);
        }
        for text in ["", "k", "1kb", "1 k", "99999999999999999999", "99999999999999g"] {
            refused("read_size_bytes", text);
        }
        assert_eq!(refused("", "1"), "\"\" is no setting");
    }
}
