//! What two sides agreed on, from rustls while it has the connection, and kept afterwards.
//!
//! Never: says anything that is not yet agreed.

use rustls::pki_types::CertificateDer;
use rustls::{
    CommonState, HandshakeKind, NamedGroup, ProtocolVersion, SupportedCipherSuite, Tls13CipherSuite,
};

/// What is kept of a connection that rustls has given up.
pub(crate) struct Kept {
    suite: &'static Tls13CipherSuite,
    group: Option<NamedGroup>,
    kind: Option<HandshakeKind>,
    protocol: Option<Box<[u8]>>,
    certificates: Option<Box<[CertificateDer<'static>]>>,
}

impl Kept {
    pub(crate) fn of(common: &CommonState, suite: &'static Tls13CipherSuite) -> Self {
        Self {
            suite,
            group: common.negotiated_key_exchange_group().map(|group| group.name()),
            kind: common.handshake_kind(),
            protocol: common.alpn_protocol().map(Box::from),
            certificates: common.peer_certificates().map(Box::from),
        }
    }
}

/// Who knows what was agreed.
#[derive(Clone, Copy)]
pub(crate) enum Agreed<'a> {
    Rustls(&'a CommonState),
    Kept(&'a Kept),
    Nothing,
}

impl<'a> Agreed<'a> {
    pub(crate) fn version(self) -> Option<ProtocolVersion> {
        match self {
            Self::Rustls(common) => common.protocol_version(),
            Self::Kept(_) => Some(ProtocolVersion::TLSv1_3),
            Self::Nothing => None,
        }
    }

    pub(crate) fn suite(self) -> Option<SupportedCipherSuite> {
        match self {
            Self::Rustls(common) => common.negotiated_cipher_suite(),
            Self::Kept(kept) => Some(SupportedCipherSuite::Tls13(kept.suite)),
            Self::Nothing => None,
        }
    }

    pub(crate) fn kind(self) -> Option<HandshakeKind> {
        match self {
            Self::Rustls(common) => common.handshake_kind(),
            Self::Kept(kept) => kept.kind,
            Self::Nothing => None,
        }
    }

    pub(crate) fn group(self) -> Option<NamedGroup> {
        match self {
            Self::Rustls(common) => {
                common.negotiated_key_exchange_group().map(|group| group.name())
            }
            Self::Kept(kept) => kept.group,
            Self::Nothing => None,
        }
    }

    pub(crate) fn protocol(self) -> Option<&'a [u8]> {
        match self {
            Self::Rustls(common) => common.alpn_protocol(),
            Self::Kept(kept) => kept.protocol.as_deref(),
            Self::Nothing => None,
        }
    }

    pub(crate) fn certificates(self) -> Option<&'a [CertificateDer<'static>]> {
        match self {
            Self::Rustls(common) => common.peer_certificates(),
            Self::Kept(kept) => kept.certificates.as_deref(),
            Self::Nothing => None,
        }
    }
}
