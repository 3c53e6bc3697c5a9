//! Where to listen: one `SO_REUSEPORT` socket per shard and address, or one socket that all share.
//!
//! Never: looks a name up; addresses are numbers or paths.

use crate::sockets::Passed;
use shardpoll_reactor::tls::ServerContext;
use shardpoll_reactor::{BindOptions, Lifetime, ListenerOptions, MinRate, ProxyProtocol, WhenFull};
use std::fmt;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// An address to listen on, and how.
///
/// ```
/// let listen = shardpoll::Listen::parse("127.0.0.1:7000")?.backlog(4096);
/// let unix = shardpoll::Listen::unix("/run/service.sock");
/// assert!(shardpoll::Listen::parse("localhost").is_err());
/// # let _ = (listen, unix); Ok::<(), shardpoll::ParseListenError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Listen {
    pub(crate) place: Place,
    pub(crate) options: ListenerOptions,
    pub(crate) bind: BindOptions,
    /// `None`: what the configuration says.
    pub(crate) no_delay: Option<bool>,
    pub(crate) keep_alive: Option<Option<Duration>>,
    pub(crate) handshake_grace: Duration,
    pub(crate) name: Option<String>,
}

#[derive(Clone, Debug)]
pub(crate) enum Place {
    Ip(SocketAddr),
    Unix(PathBuf),
    /// Shared, so that a clone names the same socket.
    Inherited(Arc<OwnedFd>),
    /// All that another process had of one listener.
    Passed(Arc<Passed>),
}

impl Listen {
    fn at(place: Place) -> Self {
        let (options, bind) = (ListenerOptions::default(), BindOptions::default());
        Self {
            place,
            options,
            bind,
            no_delay: None,
            keep_alive: None,
            handshake_grace: Duration::from_secs(1),
            name: None,
        }
    }

    /// Listens on this address; port 0 lets the kernel choose one, the same for all shards.
    #[must_use]
    pub fn on(addr: impl Into<SocketAddr>) -> Self {
        Self::at(Place::Ip(addr.into()))
    }

    /// Listens on the unix socket of this path, of at most 107 bytes.
    ///
    /// A socket's file behind which nobody listens any more is replaced; one with a listener, and
    /// any other file, is "address already in use" (S124). The file is removed when the last shard
    /// has closed its socket. All shards share one socket: each connection goes to the shard that
    /// is first, and none is spread on purpose.
    #[must_use]
    pub fn unix(path: impl AsRef<Path>) -> Self {
        Self::at(Place::Unix(path.as_ref().into()))
    }

    /// Listens on a stream socket that listens already, such as a
    /// [`TcpListener`](std::net::TcpListener) or a
    /// [`UnixListener`](std::os::unix::net::UnixListener) (S123).
    ///
    /// All shards share it: each connection goes to the shard that is first. It becomes
    /// non-blocking for all who share it; the options of TCP are set on it, and
    /// [`backlog`](Self::backlog) is not. The file of a unix socket is not removed at the end.
    #[must_use]
    pub fn inherited(listener: impl Into<OwnedFd>) -> Self {
        Self::at(Place::Inherited(Arc::new(listener.into())))
    }

    pub(crate) fn passed(passed: Passed) -> Self {
        Self::at(Place::Passed(Arc::new(passed)))
    }

    /// Listens on what is written as `127.0.0.1:7000`, `[::1]:7000` or `unix:/the/path`.
    ///
    /// # Errors
    /// When the text is no such address; the error names it.
    pub fn parse(text: &str) -> Result<Self, ParseListenError> {
        match text.strip_prefix("unix:") {
            Some(path) if !path.is_empty() => Ok(Self::unix(path)),
            _ => text
                .parse::<SocketAddr>()
                .map(Self::on)
                .map_err(|_| ParseListenError { text: text.into() }),
        }
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

    /// How many connections may wait to be accepted, per socket, of which there is one for each
    /// shard, but one for all of a unix path; Linux caps it by `net.core.somaxconn`. Default 1024.
    #[must_use]
    pub fn backlog(mut self, connections: u32) -> Self {
        self.bind.backlog = connections;
        self
    }

    /// Whether accepted connections send small pieces at once (`TCP_NODELAY`), instead of what the
    /// configuration says (S130). Nothing to a unix socket.
    #[must_use]
    pub fn no_delay(mut self, on: bool) -> Self {
        self.no_delay = Some(on);
        self
    }

    /// After how much silence the kernel probes whether the peer is still there (`SO_KEEPALIVE`),
    /// whole seconds, rounded up, `None`: never; instead of what the configuration says (S130).
    /// Nothing to a unix socket.
    #[must_use]
    pub fn keep_alive(mut self, idle: Option<Duration>) -> Self {
        self.keep_alive = Some(idle);
        self
    }

    /// Takes data that comes with a connection's first packet (TCP Fast Open, RFC 7413), from at
    /// most so many that wait; the system must allow it (`net.ipv4.tcp_fastopen`, bit 1). Such data
    /// may come twice (section 6 there). Default: off. Nothing to a unix socket.
    #[must_use]
    pub fn fast_open(mut self, queue: u32) -> Self {
        self.bind.fast_open = Some(queue);
        self
    }

    /// Lets the kernel keep a connection that sends nothing back for about this long
    /// (`TCP_DEFER_ACCEPT` in tcp(7)); whole seconds, rounded up. For protocols in which the client
    /// speaks first. Default: off. Nothing to a unix socket.
    #[must_use]
    pub fn defer_accept(mut self, time: Duration) -> Self {
        self.bind.defer_accept = Some(time);
        self
    }

    /// The largest chunk a handler is given, as [`Conn::read_size`](crate::Conn::read_size) sets
    /// it. Default: the configured one.
    #[must_use]
    pub fn read_size(mut self, bytes: usize) -> Self {
        self.options.read_size = Some(bytes);
        self
    }

    /// What the listener is called when it is handed to another process, which finds it by this:
    /// 1 to 255 bytes of printable ASCII without blanks and `:` (`FileDescriptorName` in
    /// systemd.socket(5)). Default: its number, counted from 0 in the order of
    /// [`Engine::listen`](crate::Engine::listen).
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Whether the address may be had although another process of the same user listens there, as
    /// in a rolling restart: the kernel spreads over both. Default: no, it is "address already in
    /// use" (S124). Nothing to a unix socket, and to one that was opened elsewhere.
    ///
    /// The one who comes later decides: the other is not asked (`SO_REUSEPORT` in socket(7)).
    #[must_use]
    pub fn share(mut self, on: bool) -> Self {
        self.bind.share = on;
        self
    }

    /// Connections begin with a PROXY header if they come from these senders. Default: nobody is
    /// believed, and everybody is served as they are.
    #[must_use]
    pub fn proxy_protocol(mut self, proxy: ProxyProtocol) -> Self {
        self.options.proxy = Some(proxy);
        self
    }

    /// How many accepted connections it may have at a time, over all shards, at least 1; one too
    /// many is closed at once, no callback is called, and
    /// [`Counters::refused_of_listener`](crate::Counters) counts it. Default: no limit.
    ///
    /// Those beyond the limit are refused rather than left in the kernel's queue, where an
    /// attacker's would stand before everybody else's.
    #[must_use]
    pub fn max_connections(mut self, count: usize) -> Self {
        self.options.limits.max_connections = Some(count);
        self
    }

    /// How many accepted connections one [peer](crate::PeerNet) may have at a time, over all
    /// shards, at least 1; one too many is treated likewise, and counted in
    /// [`Counters::refused_from_peer`](crate::Counters). Default: no limit but that of the
    /// configuration, which holds too. Nothing to a unix socket.
    #[must_use]
    pub fn max_connections_per_peer(mut self, count: usize) -> Self {
        self.options.limits.max_connections_per_peer = Some(count);
        self
    }

    /// How slow peers may be, until [`Conn::set_min_rate`](crate::Conn::set_min_rate) says
    /// otherwise. Default: as slow as they like.
    #[must_use]
    pub fn min_rate(mut self, rate: MinRate) -> Self {
        self.options.min_rate = Some(rate);
        self
    }

    /// How long its connections may live, counted from when they were accepted, until
    /// [`Conn::set_max_lifetime`](crate::Conn::set_max_lifetime) says otherwise. Default: for ever.
    #[must_use]
    pub fn max_lifetime(mut self, time: impl Into<Lifetime>) -> Self {
        self.options.max_lifetime = Some(time.into());
        self
    }

    /// How long a client that believes to be connected may take to be so, when the listener is
    /// closed: its last packet is still on its way. Default 1 s.
    ///
    /// From then on nobody new is let in; the socket is closed as soon as no handshake is under
    /// way, which on a quiet listener is after some milliseconds, and at the latest after this
    /// time. Who begins to connect meanwhile tries again after a second, and is refused then.
    /// Nothing to a unix socket, and to one that was opened elsewhere, which others may hold too.
    #[must_use]
    pub fn handshake_grace(mut self, time: Duration) -> Self {
        self.handshake_grace = time;
        self
    }
}

/// Whether this can be a listener's name, wherever names are told.
pub(crate) fn is_name(name: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_graphic() && byte != b':';
    (1..=255).contains(&name.len()) && name.bytes().all(fits)
}

/// A text that is no address to listen on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ParseListenError {
    text: String,
}

impl fmt::Display for ParseListenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:?} is neither an IP address with a port, such as 127.0.0.1:7000, nor a unix socket, \
             such as unix:/run/a.sock",
            self.text
        )
    }
}

impl std::error::Error for ParseListenError {}
