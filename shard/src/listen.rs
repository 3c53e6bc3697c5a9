//! Where to listen: one `SO_REUSEPORT` socket per shard and address.
//!
//! Never: looks a name up; addresses are numbers.

use shardpoll_reactor::tls::ServerContext;
use shardpoll_reactor::{ListenerOptions, WhenFull};
use std::fmt;
use std::net::SocketAddr;

/// An address to listen on, and how.
///
/// ```
/// let listen = shardpoll::Listen::parse("127.0.0.1:7000")?.backlog(4096);
/// assert!(shardpoll::Listen::parse("localhost").is_err());
/// # let _ = listen; Ok::<(), shardpoll::ParseListenError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Listen {
    pub(crate) addr: SocketAddr,
    pub(crate) options: ListenerOptions,
    pub(crate) backlog: u32,
}

/// Connections the kernel queues for each shard before it refuses more; Linux caps it by
/// `net.core.somaxconn`.
const DEFAULT_BACKLOG: u32 = 1024;

impl Listen {
    /// Listens on this address; port 0 lets the kernel choose one, the same for all shards.
    #[must_use]
    pub fn on(addr: impl Into<SocketAddr>) -> Self {
        Self { addr: addr.into(), options: ListenerOptions::default(), backlog: DEFAULT_BACKLOG }
    }

    /// Listens on an address written as `127.0.0.1:7000` or `[::1]:7000`.
    ///
    /// # Errors
    /// When the text is no such address; the error names it.
    pub fn parse(text: &str) -> Result<Self, ParseListenError> {
        text.parse::<SocketAddr>().map(Self::on).map_err(|_| ParseListenError { text: text.into() })
    }

    /// TLS from the first byte on.
    #[must_use]
    pub fn tls(mut self, context: ServerContext) -> Self {
        self.options.tls = Some(context);
        self
    }

    /// What becomes of a connection that writes more than it may queue. Default: as
    /// [`Config::when_full`](crate::Config::when_full) says.
    #[must_use]
    pub fn when_full(mut self, then: WhenFull) -> Self {
        self.options.when_full = Some(then);
        self
    }

    /// How many connections may wait to be accepted, per shard. Default 1024.
    #[must_use]
    pub fn backlog(mut self, connections: u32) -> Self {
        self.backlog = connections;
        self
    }
}

/// A text that is no address to listen on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ParseListenError {
    text: String,
}

impl fmt::Display for ParseListenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} is not an IP address with a port, such as 127.0.0.1:7000", self.text)
    }
}

impl std::error::Error for ParseListenError {}
