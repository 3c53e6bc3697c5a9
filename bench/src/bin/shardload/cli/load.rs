//! The loads, each with its own options and with those that all of them share.
//!
//! Never: decides what an option leads to.

use super::number;
use super::target::Reach;
use crate::assertion::{self, Assertion};
use crate::outcome::Instance;
use crate::units::{StartTime, duration, duration_or_zero, instance, rate, size, start_time};
use clap::{Args, ValueEnum};
use std::path::PathBuf;
use std::time::Duration;

/// How much, how long, and where the figures go.
#[derive(Args, Clone, Debug)]
pub(crate) struct Measure {
    /// How many connections; 10k is understood
    #[arg(long, short, value_name = "C", default_value = "50", value_parser = number::<10_000_000>)]
    #[arg(allow_hyphen_values = true)]
    pub(crate) connections: usize,
    /// How long it is measured
    #[arg(long, short, value_name = "TIME", default_value = "5s", value_parser = duration)]
    #[arg(allow_hyphen_values = true)]
    pub(crate) duration: Duration,
    /// How long it goes on before it is measured
    #[arg(long, value_name = "TIME", default_value = "0s", value_parser = duration_or_zero)]
    #[arg(allow_hyphen_values = true)]
    pub(crate) warmup: Duration,
    /// How many threads drive them
    #[arg(long, value_name = "N", default_value = "1", value_parser = number::<1024>)]
    #[arg(allow_hyphen_values = true)]
    pub(crate) threads: usize,
    /// The server's process on this machine: its CPU time and memory are reported
    #[arg(long, value_name = "PID", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) server_pid: Option<u32>,
    /// What the report calls this run
    #[arg(long, value_name = "TEXT")]
    pub(crate) name: Option<String>,
    /// Begin at this time: 2026-11-23T18:00:00Z, or seconds since 1970
    #[arg(long, value_name = "TIME", value_parser = start_time, help_heading = "Several machines")]
    pub(crate) start_at: Option<StartTime>,
    /// Be the I-th of N: takes that share of --connections and --rate
    #[arg(long, value_name = "I/N", value_parser = instance, help_heading = "Several machines")]
    pub(crate) instance: Option<Instance>,
    #[arg(long = "assert", value_name = "FIGURE", help = assertion::HELP, help_heading = "Results")]
    pub(crate) assertions: Vec<Assertion>,
    /// Print one JSON object instead of the table
    #[arg(long, help_heading = "Results")]
    pub(crate) json: bool,
    /// Write a report to look at in a browser: one HTML page
    #[arg(long, value_name = "FILE", help_heading = "Results")]
    pub(crate) report: Option<PathBuf>,
    /// Write all latencies as an HdrHistogram log (V2), for `shardload merge`
    #[arg(long, value_name = "FILE", help_heading = "Results")]
    pub(crate) hdr_out: Option<PathBuf>,
    /// Show nothing while it runs
    #[arg(long, short, help_heading = "Results")]
    pub(crate) quiet: bool,
}

const ECHO_EXAMPLES: &str = "\
Examples:
  shardload echo tcp://127.0.0.1:7000
  shardload echo tcp://127.0.0.1:7000 --connections 1k --depth 16 --duration 10s --json
  shardload echo tcp://127.0.0.1:7000 --rate 50k --assert 'p99<5ms' --assert 'errors==0'
  shardload echo tls://localhost:7443 --ca chain.pem
  shardload echo tls://127.0.0.1:7443 --insecure --size 16k --report out.html
  shardload echo tcp://127.0.0.1:7000 --connections 10k --source 127.0.0.2-127.0.0.9
  shardload echo unix:/run/echo.sock

Without --rate, a closed loop: each connection keeps --depth messages in flight, and sends the next
when one is back. With it, an open loop: messages are due at fixed times, and latency is counted
from when a message was due, so that a stall counts for all it has held up; the uncorrected figure
stands beside it. Every byte is checked: content, order, count. Ctrl-C ends early, with a report.";

/// Send messages to a server that sends them back, and check every byte
#[derive(Args, Clone, Debug)]
#[command(after_help = ECHO_EXAMPLES)]
pub(crate) struct Echo {
    #[command(flatten)]
    pub(crate) reach: Reach,
    /// Messages a second, over all connections; 50k is understood
    #[arg(long, value_name = "R", value_parser = rate, allow_hyphen_values = true)]
    pub(crate) rate: Option<f64>,
    /// Bytes of a message; 16k and 1m are understood
    #[arg(long, value_name = "S", default_value = "64", value_parser = size)]
    #[arg(allow_hyphen_values = true)]
    pub(crate) size: usize,
    /// Messages in flight on each connection, at most
    #[arg(long, value_name = "D", default_value = "1", value_parser = number::<65_536>)]
    #[arg(allow_hyphen_values = true)]
    pub(crate) depth: usize,
    #[command(flatten)]
    pub(crate) measure: Measure,
}

const CHURN_EXAMPLES: &str = "\
Examples:
  shardload churn tcp://127.0.0.1:7000
  shardload churn tcp://127.0.0.1:7000 --size 64 --rate 2k
  shardload churn tls://localhost:7443 --ca chain.pem --no-resumption --source 127.0.0.2,127.0.0.3

A visit is: connect, with --size one message there and back, close. --connections visits are under
way at a time; with --rate they are due at fixed times. TLS sessions are resumed unless told
otherwise; the report says how many were.";

/// Connect, perhaps send one message, close; over and over
#[derive(Args, Clone, Debug)]
#[command(after_help = CHURN_EXAMPLES)]
pub(crate) struct Churn {
    #[command(flatten)]
    pub(crate) reach: Reach,
    /// Visits a second, all together
    #[arg(long, value_name = "R", value_parser = rate, allow_hyphen_values = true)]
    pub(crate) rate: Option<f64>,
    /// Send one message of this size and wait for it to come back, before closing
    #[arg(long, value_name = "S", value_parser = size, allow_hyphen_values = true)]
    pub(crate) size: Option<usize>,
    #[command(flatten)]
    pub(crate) measure: Measure,
}

const IDLE_EXAMPLES: &str = "\
Examples:
  shardload idle tcp://127.0.0.1:7000 --connections 10k --server-pid 1234
  shardload idle tls://127.0.0.1:7443 --insecure --connections 5k --duration 30s

Opens all connections, holds them for --duration, and says what became of the server's memory. One
that does not stay is an error.";

/// Open connections and hold them
#[derive(Args, Clone, Debug)]
#[command(after_help = IDLE_EXAMPLES)]
pub(crate) struct Idle {
    #[command(flatten)]
    pub(crate) reach: Reach,
    #[command(flatten)]
    pub(crate) measure: Measure,
}

const BULK_EXAMPLES: &str = "\
Examples:
  shardload bulk tcp://127.0.0.1:7000 --connections 4
  shardload bulk tcp://127.0.0.1:7009 --direction up     # to: serve discard --addr 127.0.0.1:7009
  shardload bulk tcp://127.0.0.1:7019 --direction down   # from: serve chargen --addr 127.0.0.1:7019

both: to an echo server, and every byte that comes back is checked. up: to a server that discards
(RFC 863). down: from one that sends by itself (RFC 864); what it sends is counted, not checked.";

/// Send, receive or do both as fast as it goes
#[derive(Args, Clone, Debug)]
#[command(after_help = BULK_EXAMPLES)]
pub(crate) struct Bulk {
    #[command(flatten)]
    pub(crate) reach: Reach,
    /// Which way the bytes go
    #[arg(long, value_name = "WAY", default_value = "both")]
    pub(crate) direction: Direction,
    /// Bytes that are written at a time; with both ways, four of them are under way
    #[arg(long, value_name = "S", default_value = "64k", value_parser = size)]
    #[arg(allow_hyphen_values = true)]
    pub(crate) size: usize,
    #[command(flatten)]
    pub(crate) measure: Measure,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum Direction {
    Up,
    Down,
    Both,
}

const SCRIPT_EXAMPLES: &str = "\
Examples:
  shardload script redis-ping tcp://127.0.0.1:6379 --connections 50
  shardload script smtp starttls+smtp://127.0.0.1:2525 --insecure --rate 200
  shardload script xmpp starttls+xmpp://127.0.0.1:5222 --sni example.org --ca chain.pem
  shardload script ./login.toml tcp://127.0.0.1:7000 --report out.html
  shardload scripts smtp > mine.toml

SCRIPT is a TOML file, or one that is built in: smtp, xmpp, irc, redis-ping. --connections
conversations are held at a time, each on a connection of its own; with --rate they are due at fixed
times. bench/README.md says what a script may hold.";

/// Hold a conversation that a file describes, over and over
#[derive(Args, Clone, Debug)]
#[command(after_help = SCRIPT_EXAMPLES)]
pub(crate) struct Script {
    /// A file, or the name of one that is built in
    #[arg(value_name = "SCRIPT")]
    pub(crate) script: String,
    #[command(flatten)]
    pub(crate) reach: Reach,
    /// Conversations a second, all together
    #[arg(long, value_name = "R", value_parser = rate, allow_hyphen_values = true)]
    pub(crate) rate: Option<f64>,
    #[command(flatten)]
    pub(crate) measure: Measure,
}

/// Print a built-in script, to begin one's own with; or all their names
#[derive(Args, Clone, Debug)]
pub(crate) struct Scripts {
    /// Its name
    #[arg(value_name = "NAME")]
    pub(crate) name: Option<String>,
}

const ABUSE_EXAMPLES: &str = "\
Examples:
  shardload abuse tcp://127.0.0.1:7000 --kind slow-reader --abusers 200
  shardload abuse tcp://127.0.0.1:7000 --kind silent,rst,half-close --assert 'p99<20ms'
  shardload abuse tls://127.0.0.1:7443 --insecure --kind half-handshake,garbage,big-hello

--connections legitimate users send and check messages as `echo` does, and the figures are theirs.
Beside them, --abusers of each kind do what no client should; the report says what the
server did about them.";

/// Misbehave, while legitimate users measure what they get
#[derive(Args, Clone, Debug)]
#[command(after_help = ABUSE_EXAMPLES)]
pub(crate) struct Abuse {
    #[command(flatten)]
    pub(crate) reach: Reach,
    /// What the abusers do
    #[arg(long, value_name = "KINDS", value_delimiter = ',', required = true)]
    pub(crate) kind: Vec<AttackKind>,
    /// How many there are of each kind
    #[arg(long, value_name = "N", default_value = "50", value_parser = number::<1_000_000>)]
    #[arg(allow_hyphen_values = true)]
    pub(crate) abusers: usize,
    /// Messages a second of the legitimate users, all together
    #[arg(long, value_name = "R", value_parser = rate, allow_hyphen_values = true)]
    pub(crate) rate: Option<f64>,
    /// Bytes of a legitimate message
    #[arg(long, value_name = "S", default_value = "64", value_parser = size)]
    #[arg(allow_hyphen_values = true)]
    pub(crate) size: usize,
    #[command(flatten)]
    pub(crate) measure: Measure,
}

/// What no client should do.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum AttackKind {
    /// Sends as fast as it can, and reads nothing
    SlowReader,
    /// Sends a byte a second
    SlowSender,
    /// Connects and says nothing
    Silent,
    /// Begins a TLS handshake, and stops in the middle of its first message
    HalfHandshake,
    /// Connects and resets, over and over
    Rst,
    /// Sends a message, ends its side at once, and waits for what comes; over and over
    HalfClose,
    /// Sends bytes that are no TLS; over and over
    Garbage,
    /// Sends a ClientHello as large as TLS allows, a record at a time
    BigHello,
}
