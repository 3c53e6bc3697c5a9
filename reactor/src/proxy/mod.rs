//! The PROXY protocol: a header in front of a connection in which a balancer says for whom it has
//! connected.
//!
//! ```text
//!   mod      ProxyHeader: what a header says; decoded, made and encoded
//!   v1       the line of text
//!   v2       the binary block
//!   tlv      what the second version carries beside addresses
//!   error    why bytes are no header
//!   senders  networks whose headers are believed
//! ```
//!
//! The specification: "The PROXY protocol, Versions 1 & 2" (HAProxy, `proxy-protocol.txt`).
//!
//! Never: reads, sends, or waits; never panics on any bytes.
//!
//! Invariants:
//! 1. As many bytes as [`Decoded::Needs`] names belong to the header, if it is one: whoever reads
//!    no more never takes a byte of what lies behind.

mod error;
mod senders;
mod tlv;
mod v1;
mod v2;

pub use error::{ProxyError, ProxyTlvError};
pub(crate) use senders::Network;
pub use senders::ParseNetworkError;
pub use tlv::{ProxySsl, ProxyTlv};

use crate::api::Addr;
use std::net::{IpAddr, SocketAddr};

/// The longest header there is: that of the second version with a length of 65,535.
pub(crate) const MAX_HEADER_BYTES: usize = v2::FIXED_BYTES + u16::MAX as usize;

/// The longest line of the first version, its CRLF included (section 2.1).
pub(crate) const MAX_LINE_BYTES: usize = v1::MAX_BYTES;

/// A version of the PROXY protocol.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum ProxyVersion {
    /// A line of text: addresses of TCP, and nothing else.
    V1,
    /// Binary, with whatever else the sender knows ([`ProxyTlv`]).
    #[default]
    V2,
}

/// What a header says: for whom a balancer, or another proxy, has connected.
///
/// One that was received is given by [`Conn::proxy`](crate::Conn::proxy) and
/// [`Peer::proxy`](crate::Peer); one to be sent by
/// [`Connect::proxy_header`](crate::Connect::proxy_header).
///
/// ```
/// use shardpoll_reactor::{Decoded, ProxyHeader, ProxyVersion};
/// use std::net::SocketAddr;
///
/// let (client, server): (SocketAddr, SocketAddr) =
///     ("192.0.2.7:40000".parse()?, "198.51.100.1:5222".parse()?);
/// let header = ProxyHeader::proxied(client, server).with_version(ProxyVersion::V1);
/// let line = b"PROXY TCP4 192.0.2.7 198.51.100.1 40000 5222\r\n";
/// assert_eq!(header.encode(), line);
///
/// // Bytes may come in any pieces: a piece that is too short says what it lacks at the least.
/// assert_eq!(ProxyHeader::decode(&line[..15])?, Decoded::Needs(17));
/// assert_eq!(ProxyHeader::decode(line)?, Decoded::Header(header, line.len()));
/// assert!(ProxyHeader::decode(b"\x16\x03\x01").is_err(), "that is TLS");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ProxyHeader {
    version: ProxyVersion,
    is_local: bool,
    is_datagram: bool,
    /// Both are there or neither is.
    ends: Option<Box<(Addr, Addr)>>,
    /// As they are sent, without what pads and what checks.
    tlvs: Vec<u8>,
    is_checked: bool,
}

/// What bytes have come to, as far as they go.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Decoded {
    /// A header, and how many bytes it took.
    Header(ProxyHeader, usize),
    /// They are the beginning of a header that has at least so many bytes more.
    Needs(usize),
}

/// What is received.
impl ProxyHeader {
    /// Decodes the header at the beginning of these bytes, be it of the first version or the
    /// second.
    ///
    /// A header whose command is LOCAL, or whose family is unknown, has no addresses: the
    /// connection has its own. What else a LOCAL header holds is discarded (section 2.2).
    ///
    /// # Errors
    /// [`ProxyError`]: the bytes are no header, whatever follows them: the sender's mistake.
    pub fn decode(bytes: &[u8]) -> Result<Decoded, ProxyError> {
        Self::decode_at_most(bytes, MAX_HEADER_BYTES)
    }

    /// As [`decode`](Self::decode); one of the second version that is longer than this is refused.
    pub(crate) fn decode_at_most(bytes: &[u8], most: usize) -> Result<Decoded, ProxyError> {
        match bytes.first() {
            None => Ok(Decoded::Needs(v1::MIN_BYTES)),
            Some(b'P') => v1::decode(bytes),
            Some(b'\r') => v2::decode(bytes, most),
            Some(_) => Err(ProxyError::NoHeader),
        }
    }

    /// The version it came in, or is sent in.
    #[must_use]
    pub fn version(&self) -> ProxyVersion {
        self.version
    }

    /// Whether the sender has connected on its own behalf, such as for a health check (LOCAL).
    #[must_use]
    pub fn is_local(&self) -> bool {
        self.is_local
    }

    /// Whether what is proxied are datagrams; only a header of the second version says so.
    #[must_use]
    pub fn is_datagram(&self) -> bool {
        self.is_datagram
    }

    /// Where the connection comes from in truth; `None` when the header does not say.
    #[must_use]
    pub fn source(&self) -> Option<&Addr> {
        self.ends.as_deref().map(|(source, _)| source)
    }

    /// What it had connected to; `None` when the header does not say.
    #[must_use]
    pub fn destination(&self) -> Option<&Addr> {
        self.ends.as_deref().map(|(_, destination)| destination)
    }

    /// Whether it carried a checksum (CRC-32C), which was right; or is to carry one.
    #[must_use]
    pub fn is_checked(&self) -> bool {
        self.is_checked
    }
}

/// What is sent.
impl ProxyHeader {
    fn new(version: ProxyVersion, ends: Option<(Addr, Addr)>) -> Self {
        let ends = ends.map(Box::new);
        let (is_local, is_datagram, is_checked) = (false, false, false);
        Self { version, is_local, is_datagram, ends, tlvs: Vec::new(), is_checked }
    }

    /// Says that the sender has connected on its own behalf (LOCAL).
    #[must_use]
    pub fn local() -> Self {
        Self { is_local: true, ..Self::new(ProxyVersion::V2, None) }
    }

    /// Says that a stream is carried on which has come from `source` to `destination`.
    ///
    /// Internet addresses of two kinds are both sent as IPv6 ones (RFC 4291 section 2.5.5.2), and
    /// IPv4 addresses that a dual-stack socket has given as IPv6 ones are sent as what they are. An
    /// internet address and a unix socket have no family in common: the header says that it does
    /// not know.
    #[must_use]
    pub fn proxied(source: impl Into<Addr>, destination: impl Into<Addr>) -> Self {
        let ends = match (source.into(), destination.into()) {
            (Addr::Ip(source), Addr::Ip(destination)) => {
                let (source, destination) = of_one_family(source, destination);
                Some((Addr::Ip(source), Addr::Ip(destination)))
            }
            ends @ (Addr::Unix(_), Addr::Unix(_)) => Some(ends),
            _ => None,
        };
        Self::new(ProxyVersion::V2, ends)
    }

    /// In which version it is sent. Default: the second. The first has addresses of TCP only: it
    /// carries no [`ProxyTlv`], and says UNKNOWN where it cannot say more (section 2.1).
    #[must_use]
    pub fn with_version(mut self, version: ProxyVersion) -> Self {
        self.version = version;
        self
    }

    /// Adds a value of this type, such as [`ProxyTlv::AUTHORITY`], behind those it has.
    ///
    /// # Errors
    /// [`ProxyTlvError`] for a value that a header has no room for, and for the two types that the
    /// header writes itself.
    pub fn with_tlv(mut self, kind: u8, value: &[u8]) -> Result<Self, ProxyTlvError> {
        if kind == ProxyTlv::CRC32C || kind == ProxyTlv::NOOP {
            return Err(ProxyTlvError::Reserved(kind));
        }
        // Room for the largest addresses and the checksum is kept, so that the rest may change.
        let bytes = self.tlvs.len() + tlv::FIXED_BYTES + value.len();
        if bytes + v2::UNIX_BYTES + tlv::CHECKSUM_BYTES > usize::from(u16::MAX) {
            return Err(ProxyTlvError::TooLarge { kind, bytes: value.len() });
        }
        tlv::append(&mut self.tlvs, kind, value);
        Ok(self)
    }

    /// Whether it carries a checksum (CRC-32C, section 2.2.3). Default: no.
    #[must_use]
    pub fn with_checksum(mut self, on: bool) -> Self {
        self.is_checked = on;
        self
    }

    /// Its bytes, as they are sent.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        match self.version {
            ProxyVersion::V1 => v1::encode(self),
            ProxyVersion::V2 => v2::encode(self),
        }
    }
}

/// Two addresses as a header can say them: both IPv4 if they are, else both IPv6.
fn of_one_family(one: SocketAddr, other: SocketAddr) -> (SocketAddr, SocketAddr) {
    let plain = |addr: SocketAddr| SocketAddr::new(addr.ip().to_canonical(), addr.port());
    let (one, other) = (plain(one), plain(other));
    if one.is_ipv4() == other.is_ipv4() {
        return (one, other);
    }
    let mapped = |addr: SocketAddr| match addr.ip() {
        IpAddr::V4(ip) => SocketAddr::new(IpAddr::V6(ip.to_ipv6_mapped()), addr.port()),
        IpAddr::V6(_) => addr,
    };
    (mapped(one), mapped(other))
}

#[cfg(test)]
mod tests;
