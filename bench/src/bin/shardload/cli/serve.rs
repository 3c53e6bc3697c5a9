//! The servers, and how they are set up.
//!
//! Never: opens a file or a socket.

use super::number;
use crate::serve::Behind;
use crate::units::{Timeout, duration_or_zero, socket_address, timeout};
use clap::{Args, ValueEnum};
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

const SERVE_EXAMPLES: &str = "\
Examples:
  shardload serve
  shardload serve --addr 0.0.0.0:7000 --shards 4 --read-timeout off
  shardload serve --addr 127.0.0.1:0 --tls
  shardload serve discard --addr 127.0.0.1:7009
  shardload serve chargen --addr 127.0.0.1:7019
  shardload serve proxy --to 127.0.0.1:7000 --addr 127.0.0.1:7001 --status 127.0.0.1:7080
  shardload serve --addr '[::]:7443' --cert chain.pem --key key.pem

When it is ready it prints one line: listening ADDR pid PID shards N
With --status there stands behind it: status http://ADDR/
SIGTERM or SIGINT lets queues run empty for --drain, then ends; a second one ends at once.";

/// Serve: echo, discard, chargen, or a proxy
#[derive(Args, Debug)]
#[command(after_help = SERVE_EXAMPLES)]
pub(crate) struct Serve {
    /// What to serve
    #[arg(value_name = "WHAT", default_value = "echo")]
    pub(crate) what: Service,
    /// proxy: whom to carry connections on to, HOST:PORT or unix:PATH
    #[arg(long, value_name = "TARGET", required_if_eq("what", "proxy"))]
    pub(crate) to: Option<Behind>,
    /// proxy: tell the server who the client is, by a PROXY header (version 2)
    #[arg(long, requires = "to")]
    pub(crate) send_proxy: bool,
    /// Expect a PROXY header of either version from these senders, networks or "any"
    #[arg(long, value_name = "SENDERS", value_delimiter = ',')]
    pub(crate) expect_proxy: Vec<String>,
    /// Say over HTTP how the server is: a page, /metrics, /ready; POST /drain ends it in order
    #[arg(long, value_name = "ADDR", value_parser = socket_address)]
    pub(crate) status: Option<SocketAddr>,
    /// Where to listen; port 0 lets the kernel choose one
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:7000")]
    #[arg(value_parser = socket_address)]
    pub(crate) addr: SocketAddr,
    /// Listen on a unix socket of this path instead
    #[arg(long, value_name = "PATH", conflicts_with = "addr")]
    pub(crate) unix: Option<PathBuf>,
    /// How many shards; default: one per CPU this process may run on
    #[arg(long, value_name = "N", value_parser = number::<1024>, allow_hyphen_values = true)]
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
    /// How long a client may be silent, behind a proxy client and server at once; or "off"
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = timeout)]
    #[arg(allow_hyphen_values = true)]
    pub(crate) read_timeout: Timeout,
    /// Let the scheduler place the shards, instead of one on each CPU
    #[arg(long)]
    pub(crate) no_pin: bool,
    /// Let nobody watch whether a shard is stalled: a thread that looks at them by time
    #[arg(long)]
    pub(crate) no_watchdog: bool,
    /// How long connections may take to empty their queues at the end
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = duration_or_zero)]
    #[arg(allow_hyphen_values = true)]
    pub(crate) drain: Duration,
    /// Started by the main job: end when standard input does, and give no hints
    #[arg(long, hide = true)]
    pub(crate) child: bool,
}

/// What `serve` serves.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum Service {
    /// Whatever comes is sent back (RFC 862)
    Echo,
    /// Whatever comes is thrown away (RFC 863)
    Discard,
    /// Lines of printable characters without end (RFC 864)
    Chargen,
    /// Connections are carried on to another server
    Proxy,
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Echo => "echo",
            Self::Discard => "discard",
            Self::Chargen => "chargen",
            Self::Proxy => "proxy",
        })
    }
}
