//! The command line: what may be asked for, with its defaults.
//!
//! Never: carries anything out.

use crate::target::Target;
use crate::units::{Timeout, duration, duration_or_zero, size, timeout};
use clap::{Args, Parser, Subcommand};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

const EXAMPLES: &str = "\
Examples:
  shardload                                   the main job: plain and TLS, four loads, one table
  shardload --duration 1s                     the same in a hurry
  shardload serve --addr 127.0.0.1:7000       an echo server; try it with: nc 127.0.0.1 7000
  shardload run --target tcp://127.0.0.1:7000 --connections 1000 --duration 10s

Exit codes: 0 done, 1 lost or wrong messages, 2 cannot be done as asked, 3 target not reached";

/// An echo server on the sharded engine, and the load that drives it.
///
/// Without a command: starts the server twice in child processes, plain and with TLS, drives each
/// with small and large messages, checks every byte that comes back, and prints a table.
#[derive(Parser, Debug)]
#[command(name = "shardload", version, after_help = EXAMPLES)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
    #[command(flatten)]
    pub(crate) job: Job,
}

/// The main job.
#[derive(Args, Debug)]
pub(crate) struct Job {
    /// How long each of the four loads takes
    #[arg(long, value_name = "TIME", default_value = "4s", value_parser = duration)]
    pub(crate) duration: Duration,
    /// Print one JSON object instead of the table
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Subcommand, Debug)]
pub(crate) enum Command {
    Serve(Serve),
    Run(Run),
}

const SERVE_EXAMPLES: &str = "\
Examples:
  shardload serve
  shardload serve --addr 0.0.0.0:7000 --shards 4 --read-timeout off
  shardload serve --addr 127.0.0.1:0 --tls
  shardload serve --addr '[::]:7443' --cert chain.pem --key key.pem

When it is ready it prints one line: listening ADDR pid PID shards N
SIGTERM or SIGINT lets queues run empty for --drain, then ends; a second one ends at once.";

/// Serve echo: whatever comes is sent back
#[derive(Args, Debug)]
#[command(after_help = SERVE_EXAMPLES)]
pub(crate) struct Serve {
    /// Where to listen; port 0 lets the kernel choose one
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:7000")]
    pub(crate) addr: SocketAddr,
    /// How many shards; default: one per CPU this process may run on
    #[arg(long, value_name = "N")]
    pub(crate) shards: Option<usize>,
    /// TLS, with a certificate made for this run
    #[arg(long, conflicts_with_all = ["cert", "key"])]
    pub(crate) tls: bool,
    /// TLS, with this certificate chain
    #[arg(long, value_name = "PEM", requires = "key")]
    pub(crate) cert: Option<PathBuf>,
    /// The private key of --cert
    #[arg(long, value_name = "PEM", requires = "cert")]
    pub(crate) key: Option<PathBuf>,
    /// How long a client may be silent, or "off"
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = timeout)]
    pub(crate) read_timeout: Timeout,
    /// Let the scheduler place the shards, instead of one on each CPU
    #[arg(long)]
    pub(crate) no_pin: bool,
    /// Let nobody watch whether a shard is stalled: a thread that looks at them by time
    #[arg(long)]
    pub(crate) no_watchdog: bool,
    /// How long connections may take to empty their queues at the end
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = duration_or_zero)]
    pub(crate) drain: Duration,
    /// Started by the main job: end when standard input does, and give no hints
    #[arg(long, hide = true)]
    pub(crate) child: bool,
}

const RUN_EXAMPLES: &str = "\
Examples:
  shardload run --target tcp://127.0.0.1:7000
  shardload run --target tcp://127.0.0.1:7000 --connections 1000 --depth 16 --duration 10s --json
  shardload run --target tls://localhost:7443 --ca chain.pem
  shardload run --target tls://127.0.0.1:7443 --insecure --size 16k

A closed loop: each connection keeps --depth messages in flight, and sends the next when one is
back. Every byte is checked: content, order, count. The name in the target is the one that is asked
for and checked under TLS. Ctrl-C ends early, with the report.";

/// Drive an echo server, check every byte, report rates and latencies
#[derive(Args, Debug)]
#[command(after_help = RUN_EXAMPLES)]
pub(crate) struct Run {
    /// The echo server: tcp://HOST:PORT or tls://HOST:PORT
    #[arg(long, value_name = "TARGET")]
    pub(crate) target: Target,
    /// Accept any certificate from anyone
    #[arg(long, conflicts_with = "ca")]
    pub(crate) insecure: bool,
    /// The certificates to trust; none are built in
    #[arg(long, value_name = "PEM")]
    pub(crate) ca: Option<PathBuf>,
    /// How many connections
    #[arg(long, value_name = "C", default_value = "50", value_parser = number::<10_000_000>)]
    pub(crate) connections: usize,
    /// Bytes of a message; 16k and 1m are understood
    #[arg(long, value_name = "S", default_value = "64", value_parser = size)]
    pub(crate) size: usize,
    /// Messages in flight on each connection
    #[arg(long, value_name = "D", default_value = "1", value_parser = number::<65_536>)]
    pub(crate) depth: usize,
    /// How long messages are sent
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = duration)]
    pub(crate) duration: Duration,
    /// How many threads drive them
    #[arg(long, value_name = "N", default_value = "1", value_parser = number::<1024>)]
    pub(crate) threads: usize,
    /// Print one JSON object instead of the table
    #[arg(long)]
    pub(crate) json: bool,
}

/// A whole number from 1 to `MAX`.
fn number<const MAX: usize>(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(number) if (1..=MAX).contains(&number) => Ok(number),
        _ => Err(format!("want a whole number from 1 to {MAX}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
