//! The PROXY protocol as users see it: whose headers are believed, and what they have said.
//!
//! Never: reads a header; the loop does before a connection is told of.

use super::{Addr, Conn, Connect};
use crate::proxy::{MAX_HEADER_BYTES, MAX_LINE_BYTES, Network, ParseNetworkError, ProxyHeader};
use std::sync::Arc;
use std::time::Duration;

/// Whose PROXY headers a listener believes, and what becomes of the others.
///
/// A connection from one of the senders begins with a header: nothing is told of it, and neither
/// TLS nor its handler begins, before that is complete. Its
/// [`Peer::addr`](crate::Peer) and [`Conn::peer`] are then those of the header. One whose header is
/// wrong, or does not come in time, is closed at once, counted
/// ([`Counters::bad_proxy_headers`](crate::Counters)) and logged.
///
/// Whoever can send a header can say any address: list the balancers, and nobody else.
///
/// ```
/// use shardpoll_reactor::{Others, ProxyProtocol};
/// use std::time::Duration;
///
/// let proxy = ProxyProtocol::from_senders(["10.0.0.0/8", "::1"])?
///     .deadline(Duration::from_secs(3))
///     .others(Others::Refuse);
/// assert!(ProxyProtocol::from_senders(["10.0.0.1/8"]).is_err(), "10.0.0.0/8 is meant");
/// # let _ = proxy; Ok::<(), shardpoll_reactor::ParseNetworkError>(())
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ProxyProtocol {
    /// Shared by the shards.
    senders: Arc<[Network]>,
    unix: bool,
    deadline: Duration,
    others: Others,
    max_header_bytes: usize,
}

/// What becomes of those who connect and are no senders of headers.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
#[non_exhaustive]
pub enum Others {
    /// They are closed at once, and counted: nobody goes around the balancer, and what it limits
    /// and forbids.
    #[default]
    Refuse,
    /// They are served as they are; a header that they send is data like any other, and believed by
    /// nobody.
    Direct,
}

/// What a listener does with one who has connected.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Welcome {
    /// It begins with a header.
    Header,
    Direct,
    Refused,
}

impl ProxyProtocol {
    fn new(senders: Arc<[Network]>, unix: bool) -> Self {
        let (deadline, others) = (Duration::from_secs(5), Others::default());
        Self { senders, unix, deadline, others, max_header_bytes: 4096 }
    }

    /// Believes whoever connects from these networks, such as `10.0.0.0/8`, `2001:db8::/32` or the
    /// one address `127.0.0.1`.
    ///
    /// An IPv4 address is the same when a socket that listens on `[::]` gives it as an IPv6 one;
    /// `::/0` does not have it.
    ///
    /// # Errors
    /// [`ParseNetworkError`] names the first text that is no network: the caller's mistake.
    pub fn from_senders<T: AsRef<str>>(
        networks: impl IntoIterator<Item = T>,
    ) -> Result<Self, ParseNetworkError> {
        let parsed = networks.into_iter().map(|network| network.as_ref().parse());
        Ok(Self::new(parsed.collect::<Result<_, _>>()?, false))
    }

    /// Believes whoever connects over a unix socket, and nobody else.
    #[must_use]
    pub fn from_unix() -> Self {
        Self::new(Arc::default(), true)
    }

    /// Whether whoever connects over a unix socket is a sender as well: there are no addresses to
    /// list, and who can connect is a matter of the rights of its file. Default: no; nobody is
    /// believed who was not named.
    #[must_use]
    pub fn unix(mut self, on: bool) -> Self {
        self.unix = on;
        self
    }

    /// How long after it was accepted a connection may take to send its whole header, however
    /// many pieces come. Default 5 s.
    #[must_use]
    pub fn deadline(mut self, time: Duration) -> Self {
        self.deadline = time;
        self
    }

    /// What becomes of those who are no senders. Default: they are refused.
    #[must_use]
    pub fn others(mut self, others: Others) -> Self {
        self.others = others;
        self
    }

    /// How long a header of the second version may be, with all that it carries, in bytes; what
    /// lies beyond 107 to 65,551 is taken as the nearer end. A line of the first version has 107
    /// at the most. Default 4096.
    #[must_use]
    pub fn max_header_bytes(mut self, bytes: usize) -> Self {
        self.max_header_bytes = bytes.clamp(MAX_LINE_BYTES, MAX_HEADER_BYTES);
        self
    }

    pub(crate) fn welcome(&self, addr: &Addr) -> Welcome {
        let is_sender = match addr {
            Addr::Ip(addr) => self.senders.iter().any(|network| network.contains(addr.ip())),
            Addr::Unix(_) => self.unix,
        };
        match self.others {
            _ if is_sender => Welcome::Header,
            Others::Refuse => Welcome::Refused,
            Others::Direct => Welcome::Direct,
        }
    }

    pub(crate) fn time(&self) -> Duration {
        self.deadline
    }

    pub(crate) fn most(&self) -> usize {
        self.max_header_bytes
    }
}

impl Conn<'_> {
    /// What the balancer in front has said of this connection; `None` without
    /// [`ProxyProtocol`], or for one that was served directly.
    ///
    /// [`peer`](Self::peer) is its source then, if it has one; [`local_addr`](Self::local_addr) is
    /// still that of the socket.
    #[must_use]
    pub fn proxy(&self) -> Option<&ProxyHeader> {
        self.line().tuning.as_ref().and_then(|tuning| tuning.proxy.as_deref())
    }
}

impl ProxyHeader {
    /// What a proxy says of a connection that it carries on: its peer, and what that has connected
    /// to, be it here or at a balancer in front.
    #[must_use]
    pub fn of(conn: &Conn<'_>) -> Self {
        let before = conn.proxy().and_then(Self::destination);
        match before.or_else(|| conn.local_addr()) {
            Some(to) => Self::proxied(conn.peer().clone(), to.clone()),
            None => Self::local(),
        }
    }
}

impl Connect {
    /// Sends this header before anything else, TLS included: the server then knows for whom the
    /// connection is made.
    ///
    /// It goes with the first packet under [`fast_open`](Self::fast_open). Without TLS it is the
    /// first that is written: it counts as queued, and paused writes
    /// ([`Conn::pause_writes`]) hold it back with all that follows.
    ///
    /// ```
    /// use shardpoll_reactor::{Conn, Connect, Handler, ProxyHeader};
    ///
    /// struct Front {
    ///     backend: std::net::SocketAddr,
    /// }
    ///
    /// impl Handler for Front {
    ///     fn on_connect(&mut self, conn: &mut Conn<'_>) {
    ///         let to = Connect::to(self.backend).proxy_header(ProxyHeader::of(conn));
    ///         let front = conn.id();
    ///         let mut local = conn.local();
    ///         let back = local.connect(to, shardpoll_reactor::incoming(|_, _| {}));
    ///         if let Ok(back) = back {
    ///             let _gone = local.link_both(front, back);
    ///         }
    ///     }
    ///
    ///     fn on_incoming(&mut self, _: &mut Conn<'_>, _: &[u8]) {}
    /// }
    /// ```
    #[must_use]
    pub fn proxy_header(mut self, header: ProxyHeader) -> Self {
        self.proxy_header = Some(Box::new(header));
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> Addr {
        Addr::Ip(text.parse().expect("an address"))
    }

    #[test]
    fn who_is_not_listed_is_refused_unless_told_otherwise() {
        let proxy = ProxyProtocol::from_senders(["10.0.0.0/8"]).expect("a network");
        assert_eq!(proxy.welcome(&ip("10.1.2.3:4")), Welcome::Header);
        assert_eq!(proxy.welcome(&ip("[::ffff:10.1.2.3]:4")), Welcome::Header);
        assert_eq!(proxy.welcome(&ip("11.1.2.3:4")), Welcome::Refused);
        assert_eq!(proxy.welcome(&Addr::Unix(None)), Welcome::Refused);
        let open = proxy.others(Others::Direct).unix(true);
        assert_eq!(open.welcome(&ip("11.1.2.3:4")), Welcome::Direct);
        assert_eq!(open.welcome(&Addr::Unix(None)), Welcome::Header);
        let unix = ProxyProtocol::from_unix();
        assert_eq!(unix.welcome(&Addr::Unix(None)), Welcome::Header);
        assert_eq!(unix.welcome(&ip("127.0.0.1:4")), Welcome::Refused);
    }

    #[test]
    fn the_size_of_a_header_stays_between_its_ends() {
        let most = |bytes| ProxyProtocol::from_unix().max_header_bytes(bytes).most();
        assert_eq!((most(0), most(300), most(usize::MAX)), (107, 300, 65_551));
    }
}
