//! Why a session ended or could not begin, sorted by who is to blame.
//!
//! Never: carries peer data or key material; it names what went wrong, around rustls' own error.
//!
//! Invariants:
//! 1. An [`Error`] is at most 32 bytes, so that a reason for closing can carry it by value.

use std::fmt;
use std::sync::Arc;

use rustls::{CertificateError, OtherError};

/// Why TLS failed, by blame.
///
/// It is cheap to move and to clone; `source()` is the [`rustls::Error`] where there is one, or
/// what that carries for others, such as a [`CertificatesError`](crate::CertificatesError).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Error {
    /// The peer broke the protocol, offered nothing in common, or ended it with a fatal alert.
    Peer {
        /// What rustls found, or the alert it received.
        source: Box<rustls::Error>,
    },
    /// The peer kept to the protocol, but what it showed is not accepted here: its certificate,
    /// the name it asked for, its application protocols.
    Policy {
        /// Which check refused it.
        source: Box<rustls::Error>,
    },
    /// Our own configuration cannot work: certificates, keys, names or limits.
    Config {
        /// Which part of the configuration, in words.
        what: &'static str,
        /// What rustls says of it.
        source: Option<Box<rustls::Error>>,
    },
    /// The transport ended before the peer's close_notify: what came may be incomplete (RFC 8446,
    /// section 6.1).
    Truncated,
    /// The caller asked to send before the handshake was done, or after closing.
    NotOpen,
    /// The keys of a TLS 1.2 session have sealed as many records as is safe (RFC 8446, section
    /// 5.5), and TLS 1.2 cannot renew them.
    KeysExhausted,
    /// A bug of ours, or no randomness or time to be had from the system.
    Internal {
        /// What did not hold, in words.
        what: &'static str,
        /// What rustls says of it.
        source: Option<Box<rustls::Error>>,
    },
}

const _: () = assert!(size_of::<Error>() <= 32);

impl Error {
    /// Sorts what rustls reports while a session runs.
    pub(crate) fn blame(error: rustls::Error) -> Self {
        use rustls::Error as E;
        match error {
            E::InappropriateMessage { .. }
            | E::InappropriateHandshakeMessage { .. }
            | E::InvalidEncryptedClientHello(_)
            | E::InvalidMessage(_)
            | E::DecryptError
            | E::PeerIncompatible(_)
            | E::PeerMisbehaved(_)
            | E::AlertReceived(_)
            | E::PeerSentOversizedRecord => Self::Peer { source: error.into() },
            // `General` is what certificate resolvers and verifiers say no with.
            E::NoCertificatesPresented
            | E::InvalidCertificate(_)
            | E::NoApplicationProtocol
            | E::General(_) => Self::Policy { source: error.into() },
            E::FailedToGetCurrentTime
            | E::FailedToGetRandomBytes
            | E::HandshakeNotComplete
            | E::EncryptError => Self::internal("TLS cannot go on", Some(error)),
            _ => Self::config("TLS session", error),
        }
    }

    pub(crate) fn config(what: &'static str, source: rustls::Error) -> Self {
        Self::Config { what, source: Some(source.into()) }
    }

    /// As [`config`](Self::config), for what rustls has no words for.
    pub(crate) fn config_other(
        what: &'static str,
        source: impl std::error::Error + Send + Sync + 'static,
    ) -> Self {
        Self::config(what, OtherError(Arc::new(source)).into())
    }

    pub(crate) fn internal(what: &'static str, source: Option<rustls::Error>) -> Self {
        Self::Internal { what, source: source.map(Box::new) }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Peer { source } => write!(f, "TLS peer: {source}"),
            Self::Policy { source } => match source.as_ref() {
                // rustls would show how it looks inside.
                rustls::Error::InvalidCertificate(CertificateError::Other(OtherError(why))) => {
                    write!(f, "TLS policy: {why}")
                }
                source => write!(f, "TLS policy: {source}"),
            },
            Self::Config { what, source: None } => write!(f, "TLS configuration: {what}"),
            Self::Config { what, source: Some(source) } => {
                write!(f, "TLS configuration: {what}: ")?;
                match &**source {
                    rustls::Error::Other(other) => write!(f, "{other}"),
                    source => write!(f, "{source}"),
                }
            }
            Self::Truncated => f.write_str("TLS stream truncated: no close_notify before its end"),
            Self::NotOpen => f.write_str("TLS session is not open for sending"),
            Self::KeysExhausted => f.write_str("TLS 1.2 keys exhausted"),
            Self::Internal { what, source: None } => write!(f, "TLS internal error: {what}"),
            Self::Internal { what, source: Some(source) } => {
                write!(f, "TLS internal error: {what}: {source}")
            }
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Peer { source } | Self::Policy { source } => Some(carried(source)),
            Self::Config { source, .. } | Self::Internal { source, .. } => {
                source.as_deref().map(carried)
            }
            Self::Truncated | Self::NotOpen | Self::KeysExhausted => None,
        }
    }
}

/// What rustls carries for others, or its own error.
fn carried(source: &rustls::Error) -> &(dyn std::error::Error + 'static) {
    match source {
        rustls::Error::Other(other) => other.0.as_ref(),
        source => source,
    }
}

impl From<crate::CertificatesError> for Error {
    fn from(error: crate::CertificatesError) -> Self {
        Self::config_other("certificates", error)
    }
}
