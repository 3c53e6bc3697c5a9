//! Where to connect to, and how.
//!
//! Never: looks a name up; addresses are numbers or paths.

use super::addr::{Addr, UnixPathError};
use super::config::WhenFull;
use super::option::{Options, SocketOption};
use crate::conn::TlsDial;
use crate::proxy::ProxyHeader;
use shardpoll_tls::ClientContext;
use shardpoll_tls::rustls::pki_types::ServerName;
use std::collections::VecDeque;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::Duration;

/// Where to connect to, and how.
///
/// ```
/// use shardpoll_reactor::Connect;
///
/// let one = Connect::parse("127.0.0.1:5222")?.read_size(4096);
/// let any = Connect::to_any(["[::1]:5222".parse()?, "127.0.0.1:5222".parse()?])?;
/// let unix = Connect::unix("/run/backend.sock")?;
/// assert!(Connect::parse("localhost").is_err());
/// # let _ = (one, any, unix); Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Connect {
    pub(crate) target: Target,
    pub(crate) source: Option<IpAddr>,
    pub(crate) tls: Option<Box<TlsDial>>,
    pub(crate) options: Options,
    pub(crate) fast_open: bool,
    pub(crate) read_size: Option<usize>,
    pub(crate) when_full: Option<WhenFull>,
    pub(crate) proxy_header: Option<Box<ProxyHeader>>,
}

/// What a connection is made from.
#[derive(Debug)]
pub(crate) enum Target {
    One(Addr),
    /// The first to be established; two or more, in the order in which they are tried.
    Any(VecDeque<SocketAddr>),
    /// A socket that is there already.
    Adopted(OwnedFd),
}

impl Connect {
    fn new(target: Target) -> Self {
        let options = Options::default();
        Self {
            target,
            source: None,
            tls: None,
            options,
            fast_open: false,
            read_size: None,
            when_full: None,
            proxy_header: None,
        }
    }

    /// Connects to this address over TCP.
    #[must_use]
    pub fn to(addr: impl Into<SocketAddr>) -> Self {
        Self::new(Target::One(Addr::Ip(addr.into())))
    }

    /// Connects to whichever of these addresses answers first ("happy eyeballs").
    ///
    /// They are tried in the order given, but so that the two families take turns. The next attempt
    /// begins when the one before has failed, or after 250 ms without an answer; all of them go on
    /// until one is established, and the others are closed then (RFC 8305 sections 4 and 5). The
    /// connect timeout is that of the whole; when all attempts have failed, the error is the last
    /// one's.
    ///
    /// # Errors
    /// [`NoAddress`] for an empty list.
    pub fn to_any(addrs: impl IntoIterator<Item = SocketAddr>) -> Result<Self, NoAddress> {
        let mut addrs = take_turns(addrs);
        match addrs.len() {
            0 => Err(NoAddress),
            1 => addrs.pop_front().map(Self::to).ok_or(NoAddress),
            _ => Ok(Self::new(Target::Any(addrs))),
        }
    }

    /// Connects to the unix socket of this path. When as many wait there as its listener lets wait,
    /// the attempt fails at once ([`WouldBlock`](std::io::ErrorKind::WouldBlock), connect(2)).
    ///
    /// # Errors
    /// [`UnixPathError`] for a path that no unix socket can have, such as one of more than 107
    /// bytes.
    pub fn unix(path: impl AsRef<Path>) -> Result<Self, UnixPathError> {
        let path = path.as_ref();
        UnixPathError::check(path)?;
        Ok(Self::new(Target::One(Addr::Unix(Some(path.into())))))
    }

    /// Comes from this address, which must be one of this machine's; the port is the kernel's
    /// choice. Default: the address is that as well, by the way to the peer.
    ///
    /// A machine of several addresses is so known by one of them to its peers, and has the ports of
    /// each: to one peer no more than about 28,000 connections come from one address
    /// (`ip_local_port_range` in ip(7)). The port is chosen when the connection is made, not before
    /// (`IP_BIND_ADDRESS_NO_PORT` there), so a port may serve for several peers at a time.
    ///
    /// Of [several addresses](Self::to_any) those of the other family are left out. Where none is
    /// of its family, a unix socket included, the attempt fails with
    /// [`InvalidInput`](std::io::ErrorKind::InvalidInput); an address that is not of this machine,
    /// with [`AddrNotAvailable`](std::io::ErrorKind::AddrNotAvailable), as it does when no port is
    /// left. Both are told as [`CloseReason::Connect`](crate::CloseReason::Connect). Nothing to
    /// sockets that are adopted.
    ///
    /// ```
    /// use shardpoll_reactor::Connect;
    ///
    /// let to = Connect::parse("127.0.0.1:5222")?.source("127.0.0.2".parse()?);
    /// # let _ = to; Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn source(mut self, ip: IpAddr) -> Self {
        self.source = Some(ip);
        if let Target::Any(list) = &self.target {
            let of_family = |addr: &&SocketAddr| addr.is_ipv4() == ip.is_ipv4();
            let fitting: VecDeque<_> = list.iter().filter(of_family).copied().collect();
            match fitting.front() {
                None => {}
                Some(only) if fitting.len() == 1 => self.target = Target::One(Addr::Ip(*only)),
                Some(_) => self.target = Target::Any(fitting),
            }
        }
        self
    }

    /// Takes over a stream socket that is connected, or connecting; see
    /// [`Local::adopt`](crate::Local::adopt), to which this adds TLS and options.
    #[must_use]
    pub fn adopted(stream: impl Into<OwnedFd>) -> Self {
        Self::new(Target::Adopted(stream.into()))
    }

    /// Connects to what is written as `127.0.0.1:5222`, `[::1]:5222` or `unix:/the/path`.
    ///
    /// # Errors
    /// When the text is none of these; the error names it.
    pub fn parse(text: &str) -> Result<Self, ParseConnectError> {
        let parsed = match text.strip_prefix("unix:") {
            Some(path) => Self::unix(path).ok(),
            None => text.parse::<SocketAddr>().map(Self::to).ok(),
        };
        parsed.ok_or_else(|| ParseConnectError { text: text.into() })
    }

    /// TLS from the first byte on; `name` is sent to the server and checked in its certificate.
    #[must_use]
    pub fn tls(mut self, context: ClientContext, name: ServerName<'static>) -> Self {
        self.tls = Some(Box::new(TlsDial { context, name, preface: Vec::new(), begun: None }));
        self
    }

    /// Whether small pieces are sent at once (`TCP_NODELAY`), instead of what the configuration
    /// says. Nothing to a unix socket.
    #[must_use]
    pub fn no_delay(mut self, on: bool) -> Self {
        self.options.set(SocketOption::NoDelay(on));
        self
    }

    /// After how much silence the kernel probes whether the peer is still there (`SO_KEEPALIVE`),
    /// `None`: never; instead of what the configuration says. Nothing to a unix socket.
    #[must_use]
    pub fn keep_alive(mut self, idle: Option<Duration>) -> Self {
        self.options.set(SocketOption::KeepAlive(idle));
        self
    }

    /// Whether what is written before the connection stands, or the beginning of the TLS handshake,
    /// may go with its first packet (TCP Fast Open, RFC 7413). Default: no.
    ///
    /// Only with a server this machine has connected to before does it save a round trip. The
    /// server may get these bytes twice, so they must bear that (section 6 there). Not done for
    /// several addresses, unix sockets, and sockets that are adopted.
    #[must_use]
    pub fn fast_open(mut self, on: bool) -> Self {
        self.fast_open = on;
        self
    }

    /// The largest chunk its handler is given, as
    /// [`Conn::read_size`](crate::Conn::read_size) sets it.
    #[must_use]
    pub fn read_size(mut self, bytes: usize) -> Self {
        self.read_size = Some(bytes);
        self
    }

    /// What becomes of the connection when it writes more than it may queue. Default: as the
    /// configuration says.
    #[must_use]
    pub fn when_full(mut self, then: WhenFull) -> Self {
        self.when_full = Some(then);
        self
    }
}

/// The order of attempts: that of the list, but the families take turns, beginning with that of the
/// first (RFC 8305 section 4).
fn take_turns(addrs: impl IntoIterator<Item = SocketAddr>) -> VecDeque<SocketAddr> {
    let addrs: Vec<SocketAddr> = addrs.into_iter().collect();
    let Some(first) = addrs.first().map(SocketAddr::is_ipv6) else { return VecDeque::new() };
    let of = |is_ipv6| addrs.iter().copied().filter(move |addr| addr.is_ipv6() == is_ipv6);
    let (mut one, mut other) = (of(first), of(!first));
    let mut order = VecDeque::with_capacity(addrs.len());
    while order.len() < addrs.len() {
        order.extend(one.next());
        order.extend(other.next());
    }
    order
}

/// A list of addresses that is empty: there is nothing to connect to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NoAddress;

impl fmt::Display for NoAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the list of addresses is empty")
    }
}

impl std::error::Error for NoAddress {}

/// A text that is nothing to connect to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ParseConnectError {
    text: String,
}

impl fmt::Display for ParseConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:?} is neither an IP address with a port, such as 127.0.0.1:5222, nor a unix socket, \
             such as unix:/run/a.sock",
            self.text
        )
    }
}

impl std::error::Error for ParseConnectError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn addr(text: &str) -> SocketAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn the_families_take_turns_beginning_with_that_of_the_first() {
        let list = ["[::1]:1", "[::1]:2", "[::1]:3", "1.1.1.1:1"].map(addr);
        let order = take_turns(list);
        assert_eq!(order, ["[::1]:1", "1.1.1.1:1", "[::1]:2", "[::1]:3"].map(addr));
        let list = ["1.1.1.1:1", "[::1]:1", "[::1]:2", "1.1.1.1:2"].map(addr);
        let order = take_turns(list);
        assert_eq!(order, ["1.1.1.1:1", "[::1]:1", "1.1.1.1:2", "[::1]:2"].map(addr));
        assert_eq!(take_turns([]), []);
    }

    #[test]
    fn a_list_of_one_is_that_one_and_an_empty_one_is_refused() {
        let one = Connect::to_any([addr("1.1.1.1:1")]).expect("an address");
        assert!(matches!(one.target, Target::One(Addr::Ip(to)) if to == addr("1.1.1.1:1")));
        assert_eq!(Connect::to_any([]).expect_err("empty"), NoAddress);
    }

    #[test]
    fn a_text_that_is_nothing_to_connect_to_is_refused_by_name() {
        let long = format!("unix:/{}", "x".repeat(107));
        for text in ["", "localhost:80", "127.0.0.1", "1.2.3.4:99999", "unix:", &long] {
            let error = Connect::parse(text).expect_err("nothing to connect to").to_string();
            assert!(error.contains(&format!("{text:?}")), "{error}");
        }
        for text in ["[::1]:0", "127.0.0.1:80", "unix:/run/a", "unix:relative"] {
            assert!(Connect::parse(text).is_ok(), "{text}");
        }
    }
}
