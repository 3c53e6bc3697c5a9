//! Why a connection ended, sorted by who is to blame.
//!
//! Never: decides anything; the loop closes, this only says why.

use crate::proxy::ProxyError;
use shardpoll_tls as tls;
use std::fmt;
use std::io;

/// Why a connection ended: the last thing its handler is told (S35).
///
/// `Display` gives the short texts that Prosody's listeners know, such as "read timeout".
#[derive(Debug)]
#[non_exhaustive]
pub enum CloseReason {
    /// We asked: [`Conn::close`](crate::Conn::close), [`Conn::abort`](crate::Conn::abort) or
    /// [`Local::close_all`](crate::Local::close_all) (S74).
    Asked,
    /// The peer ended its side in order (S48).
    PeerClosed,
    /// The peer reset the connection (S83).
    Reset,
    /// The TLS layer failed; the error says whether the peer or our configuration is to blame.
    Tls(Box<tls::Error>),
    /// The peer was silent for the read timeout and the handler did not keep it (S87).
    Silent,
    /// The peer took nothing for the send timeout (S90).
    NotDraining,
    /// More was written than the connection may queue (S69).
    BufferFull,
    /// The other side of its link has ended, and
    /// [`LinkOptions::propagate`](crate::LinkOptions::propagate) was asked for (S145).
    LinkEnded,
    /// The connection's handler panicked and was dropped.
    HandlerPanic,
    /// The deadline of a shutdown came (S151).
    Quitting,
    /// The kernel refused the outgoing connection (S134).
    Connect(io::Error),
    /// The outgoing connection did not come to be in time (S135).
    ConnectTimeout,
    /// The TLS handshake took too long (S93).
    HandshakeTimeout {
        /// Whether `on_connect` had been called before: true only for an upgraded connection.
        connected: bool,
    },
    /// The peer has moved less than its [`MinRate`](crate::MinRate) asks for.
    TooSlow {
        /// Whether it sent too little; else it has taken too little.
        sending: bool,
    },
    /// It has lived as long as its [`Lifetime`](crate::Lifetime) allows.
    TooOld,
    /// More TLS handshakes were under way on the shard than
    /// [`Config::max_handshakes`](crate::Config::max_handshakes) allows.
    TooManyHandshakes,
    /// The peer, or somebody between, sent bytes in clear behind the command that begins TLS, and
    /// [`Pipelined::Refuse`](crate::Pipelined) holds (S122).
    Injected,
    /// A connection that was to begin with a PROXY header did not
    /// ([`ProxyProtocol`](crate::ProxyProtocol)). It had no handler yet that could be told; it is
    /// counted, and logged.
    Proxy(ProxyError),
    /// The kernel reported another error.
    Io(io::Error),
    /// A bug in this library, not in yours; please report it.
    Internal,
}

// It is moved at every close and stands in every line.
const _: () = assert!(size_of::<CloseReason>() <= 16);

impl CloseReason {
    /// The reason behind an error of `recv` or `send`.
    pub(crate) fn from_io(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::ConnectionReset
            | io::ErrorKind::BrokenPipe
            | io::ErrorKind::ConnectionAborted => Self::Reset,
            _ => Self::Io(error),
        }
    }

    /// The reason behind an error of the TLS layer.
    pub(crate) fn from_tls(error: tls::Error) -> Self {
        Self::Tls(Box::new(error))
    }
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self {
            Self::Asked => "closed on request",
            Self::PeerClosed | Self::Reset | Self::LinkEnded => "closed",
            Self::Tls(error) => return error.fmt(f),
            Self::Silent => "read timeout",
            Self::NotDraining | Self::HandshakeTimeout { connected: true } => "write timeout",
            Self::ConnectTimeout | Self::HandshakeTimeout { connected: false } => {
                "connection timeout"
            }
            Self::BufferFull => "no space left in buffer",
            Self::HandlerPanic => "handler panicked",
            Self::Quitting => "quitting",
            Self::TooManyHandshakes => "too many handshakes",
            Self::TooSlow { .. } => "too slow",
            Self::TooOld => "too old",
            Self::Injected => "plaintext behind starttls",
            Self::Connect(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                "connection refused"
            }
            Self::Connect(error) | Self::Io(error) => return error.fmt(f),
            Self::Proxy(error) => return error.fmt(f),
            Self::Internal => "internal error",
        };
        f.write_str(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_read_as_prosodys_listeners_know_them() {
        let io = |kind: io::ErrorKind| io::Error::from(kind);
        let reset = CloseReason::from_io(io(io::ErrorKind::ConnectionReset));
        let refused = CloseReason::Connect(io(io::ErrorKind::ConnectionRefused));
        assert_eq!(reset.to_string(), "closed");
        assert_eq!(refused.to_string(), "connection refused");
        assert_eq!(CloseReason::Silent.to_string(), "read timeout");
        assert_eq!(CloseReason::NotDraining.to_string(), "write timeout");
        assert_eq!(CloseReason::ConnectTimeout.to_string(), "connection timeout");
        let handshake = |connected| CloseReason::HandshakeTimeout { connected }.to_string();
        assert_eq!(handshake(false), "connection timeout");
        assert_eq!(handshake(true), "write timeout");
        assert_eq!(CloseReason::BufferFull.to_string(), "no space left in buffer");
    }
}
