//! A snapshot in Prometheus' text format (version 0.0.4), which OpenTelemetry's collector and
//! others read too.
//!
//! Never: buffers, or allocates more than the writer it is given does.

use crate::metrics::{ListenerMetrics, ShardMetrics, Snapshot};
use shardpoll_reactor::{CloseKind, Histogram, ListenerCounters};
use std::fmt::{self, Write};

/// The format's content type, for the `Content-Type` header of an answer.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// A metric with one number a shard: its name, what it is, and where to find it.
type ShardRow = (&'static str, &'static str, fn(&ShardMetrics) -> u64);

const COUNTERS: &[ShardRow] = &[
    ("turns_total", "Passes of the loop.", |s| s.counters.turns),
    ("events_total", "Events the kernel reported.", |s| s.counters.events),
    ("stale_events_total", "Events for what was gone.", |s| s.counters.stale_events),
    ("connections_accepted_total", "Connections accepted.", |s| s.counters.accepted),
    ("connections_dialed_total", "Connections opened from here.", |s| s.counters.dialed),
    ("accept_rests_total", "Rests of listeners: no descriptors.", |s| s.counters.accept_rests),
    ("accept_failures_total", "Accepted, and not served.", |s| s.counters.accept_failures),
    ("refused_peers_total", "Closed at once: no descriptors.", |s| s.counters.refused_peers),
    ("refused_in_all_total", "Closed at once: too many in all.", |s| s.counters.refused_in_all),
    ("refused_of_listener_total", "Closed at once: too many of their listener.", |s| {
        s.counters.refused_of_listener
    }),
    ("refused_from_peer_total", "Closed at once: too many from their peer.", |s| {
        s.counters.refused_from_peer
    }),
    ("refused_senders_total", "Closed at once: no proxies.", |s| s.counters.refused_senders),
    ("proxy_headers_total", "PROXY headers believed.", |s| s.counters.proxy_headers),
    ("bad_proxy_headers_total", "PROXY headers refused.", |s| s.counters.bad_proxy_headers),
    ("refused_writes_total", "Writes to a full queue.", |s| s.counters.refused_writes),
    ("refused_options_total", "Options the kernel refused.", |s| s.counters.refused_options),
    ("tls_handshakes_shed_total", "Given up for newer ones.", |s| s.counters.shed_handshakes),
    ("received_bytes_total", "Bytes taken from the kernel.", |s| s.counters.bytes_in),
    ("sent_bytes_total", "Bytes given to the kernel.", |s| s.counters.bytes_out),
    ("spliced_bytes_total", "Of those, moved by the kernel.", |s| s.counters.spliced_bytes),
    ("letters_total", "Tasks done that were sent to the shard.", |s| s.letters),
    ("stalls_total", "Times the shard was found stalled.", |s| s.stalls),
    ("restarts_total", "Times the shard has begun anew.", |s| s.restarts),
    ("panics_total", "Panics in user code, all caught.", |s| s.counters.panics),
];

const GAUGES: &[ShardRow] = &[
    ("connections_open", "Connections there are now.", |s| s.counters.open),
    ("timers", "Timers there are now.", |s| s.counters.timers),
];

/// Likewise, one number a listener and shard.
type ListenerRow = (&'static str, &'static str, fn(&ListenerCounters) -> u64);

const LISTENER_COUNTERS: &[ListenerRow] =
    &[("listener_connections_accepted_total", "Connections accepted.", |l| l.accepted)];

const LISTENER_GAUGES: &[ListenerRow] =
    &[("listener_connections_open", "Connections there are now.", |l| l.open)];

impl Snapshot {
    /// Writes it in Prometheus' text format (version 0.0.4); [`CONTENT_TYPE`] is its type.
    ///
    /// All names begin with `shardpoll_`, all series have the label `shard`, those of a listener
    /// `listener` (its number) and `address` as well. Times are in seconds, sizes in bytes. Of a
    /// listener's connections only reasons that have ended one are listed.
    ///
    /// # Errors
    /// The writer's.
    ///
    /// ```
    /// use shardpoll::Engine;
    ///
    /// let engine = Engine::builder().shards(1).start()?;
    /// let mut text = String::new();
    /// engine.metrics().prometheus(&mut text)?;
    /// assert!(text.contains("shardpoll_connections_open{shard=\"0\"} 0\n"));
    /// # engine.quit(std::time::Duration::ZERO);
    /// # engine.join()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn prometheus(&self, out: &mut impl Write) -> fmt::Result {
        for (kind, rows) in [("counter", COUNTERS), ("gauge", GAUGES)] {
            for (name, help, value) in rows {
                head(out, name, help, kind)?;
                for (shard, metrics) in self.shards.iter().enumerate() {
                    writeln!(out, "shardpoll_{name}{{shard=\"{shard}\"}} {}", value(metrics))?;
                }
            }
        }
        self.pinned(out)?;
        self.closes(out)?;
        self.handshakes(out)?;
        let times = "How long turns took.";
        self.histogram(out, "turn_seconds", times, |shard| &shard.turn_times)?;
        let times = "How long it took to serve one event, of every 64th turn.";
        self.histogram(out, "service_seconds", times, |shard| &shard.service_times)?;
        self.of_listeners(out)
    }

    fn pinned(&self, out: &mut impl Write) -> fmt::Result {
        let name = "pinned";
        head(out, name, "Whether the shard runs on its CPU, and nowhere else.", "gauge")?;
        for (shard, metrics) in self.shards.iter().enumerate() {
            if let (Some(cpu), Some(pinned)) = (metrics.cpu, metrics.pinned) {
                let value = u8::from(pinned);
                writeln!(out, "shardpoll_{name}{{shard=\"{shard}\",cpu=\"{cpu}\"}} {value}")?;
            }
        }
        Ok(())
    }

    fn closes(&self, out: &mut impl Write) -> fmt::Result {
        let name = "connections_closed_total";
        head(out, name, "Connections that have ended, by why.", "counter")?;
        for (shard, metrics) in self.shards.iter().enumerate() {
            for kind in CloseKind::ALL {
                let count = metrics.counters.closed_by[*kind];
                let reason = kind.as_str();
                writeln!(out, "shardpoll_{name}{{shard=\"{shard}\",reason=\"{reason}\"}} {count}")?;
            }
        }
        Ok(())
    }

    fn handshakes(&self, out: &mut impl Write) -> fmt::Result {
        let name = "tls_handshakes_total";
        head(out, name, "TLS handshakes that are over.", "counter")?;
        for (shard, metrics) in self.shards.iter().enumerate() {
            let counters = &metrics.counters;
            let (done, resumed) = (counters.handshakes, counters.resumed_handshakes);
            for (result, count) in results(done, resumed, counters.failed_handshakes) {
                writeln!(out, "shardpoll_{name}{{shard=\"{shard}\",result=\"{result}\"}} {count}")?;
            }
        }
        Ok(())
    }

    fn histogram(
        &self,
        out: &mut impl Write,
        name: &str,
        help: &str,
        of: impl Fn(&ShardMetrics) -> &Histogram,
    ) -> fmt::Result {
        head(out, name, help, "histogram")?;
        for (shard, metrics) in self.shards.iter().enumerate() {
            let histogram = of(metrics);
            let mut so_far = 0;
            for (bound, count) in histogram.spans() {
                so_far += count;
                write!(out, "shardpoll_{name}_bucket{{shard=\"{shard}\",le=\"")?;
                match bound {
                    Some(bound) => write!(out, "{}", bound.as_secs_f64())?,
                    None => out.write_str("+Inf")?,
                }
                writeln!(out, "\"}} {so_far}")?;
            }
            let sum = histogram.sum().as_secs_f64();
            writeln!(out, "shardpoll_{name}_sum{{shard=\"{shard}\"}} {sum}")?;
            writeln!(out, "shardpoll_{name}_count{{shard=\"{shard}\"}} {so_far}")?;
        }
        Ok(())
    }

    fn of_listeners(&self, out: &mut impl Write) -> fmt::Result {
        if self.listeners.is_empty() {
            return Ok(());
        }
        for (kind, rows) in [("counter", LISTENER_COUNTERS), ("gauge", LISTENER_GAUGES)] {
            for (name, help, value) in rows {
                head(out, name, help, kind)?;
                self.each_listener(|labels, counters| {
                    writeln!(out, "shardpoll_{name}{{{labels}}} {}", value(counters))
                })?;
            }
        }
        let name = "listener_connections_closed_total";
        head(out, name, "Connections that have ended, by why.", "counter")?;
        self.each_listener(|labels, counters| {
            for kind in CloseKind::ALL {
                let (reason, count) = (kind.as_str(), counters.closed_by[*kind]);
                if count > 0 {
                    writeln!(out, "shardpoll_{name}{{{labels},reason=\"{reason}\"}} {count}")?;
                }
            }
            Ok(())
        })?;
        let name = "listener_tls_handshakes_total";
        head(out, name, "TLS handshakes that are over.", "counter")?;
        self.each_listener(|labels, counters| {
            let (done, resumed) = (counters.handshakes, counters.resumed_handshakes);
            for (result, count) in results(done, resumed, counters.failed_handshakes) {
                writeln!(out, "shardpoll_{name}{{{labels},result=\"{result}\"}} {count}")?;
            }
            Ok(())
        })
    }

    fn each_listener(
        &self,
        mut f: impl FnMut(Labels<'_>, &ListenerCounters) -> fmt::Result,
    ) -> fmt::Result {
        for listener in &self.listeners {
            for (shard, counters) in listener.shards.iter().enumerate() {
                f(Labels { listener, shard }, counters)?;
            }
        }
        Ok(())
    }
}

/// Each handshake is of one of these.
fn results(done: u64, resumed: u64, failed: u64) -> [(&'static str, u64); 3] {
    [("full", done.saturating_sub(resumed)), ("resumed", resumed), ("failed", failed)]
}

fn head(out: &mut impl Write, name: &str, help: &str, kind: &str) -> fmt::Result {
    writeln!(out, "# HELP shardpoll_{name} {help}")?;
    writeln!(out, "# TYPE shardpoll_{name} {kind}")
}

/// Of which listener, and on which shard.
struct Labels<'a> {
    listener: &'a ListenerMetrics,
    shard: usize,
}

impl fmt::Display for Labels<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { listener, shard } = self;
        write!(f, "shard=\"{shard}\",listener=\"{}\",address=\"", listener.id.number())?;
        write!(Escaped(f), "{}", listener.addr)?;
        f.write_str("\"")
    }
}

/// Passes text on as the value of a label.
struct Escaped<'a, 'b>(&'a mut fmt::Formatter<'b>);

impl Write for Escaped<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for char in text.chars() {
            match char {
                '\\' => self.0.write_str("\\\\")?,
                '"' => self.0.write_str("\\\"")?,
                '\n' => self.0.write_str("\\n")?,
                other => self.0.write_char(other)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use shardpoll_reactor::{Addr, ListenerId};
    use std::path::Path;

    #[test]
    fn a_listeners_address_is_escaped() {
        let listener = ListenerMetrics {
            id: ListenerId::new(3),
            addr: Addr::Unix(Some(Path::new("/a\\b\"c\nd").into())),
            shards: vec![ListenerCounters::default()],
        };
        let snapshot = Snapshot { shards: Vec::new(), listeners: vec![listener] };
        let mut text = String::new();
        snapshot.prometheus(&mut text).expect("a string takes all");
        let labels = r#"{shard="0",listener="3",address="unix:/a\\b\"c\nd"}"#;
        let line = format!("shardpoll_listener_connections_open{labels} 0");
        assert!(text.lines().any(|known| known == line), "{text}");
    }

    #[test]
    fn a_histogram_is_written_so() {
        let (snapshot, mut text) = (Snapshot::default(), String::new());
        let one = Snapshot { shards: vec![ShardMetrics::default()], ..snapshot };
        one.histogram(&mut text, "x_seconds", "Help.", |shard| &shard.turn_times).expect("room");
        let lines: Vec<_> = text.lines().collect();
        let bounds = one.shards[0].turn_times.spans().count();
        assert_eq!(lines.len(), 2 + bounds + 2);
        assert_eq!(
            [&lines[..4], &lines[lines.len() - 3..]].concat(),
            [
                "# HELP shardpoll_x_seconds Help.",
                "# TYPE shardpoll_x_seconds histogram",
                "shardpoll_x_seconds_bucket{shard=\"0\",le=\"0.000001024\"} 0",
                "shardpoll_x_seconds_bucket{shard=\"0\",le=\"0.000002048\"} 0",
                "shardpoll_x_seconds_bucket{shard=\"0\",le=\"+Inf\"} 0",
                "shardpoll_x_seconds_sum{shard=\"0\"} 0",
                "shardpoll_x_seconds_count{shard=\"0\"} 0",
            ]
        );
    }
}
