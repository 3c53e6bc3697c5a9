//! What a session agreed on, to look at.
//!
//! Never: changes the session, or says anything that is not yet agreed.

use std::fmt;

use rustls::pki_types::CertificateDer;
use rustls::{CommonState, ProtocolVersion, SupportedCipherSuite};

use crate::Verdict;

/// What the two sides agreed on; each part is `None` until the handshake has settled it.
#[derive(Clone, Copy)]
pub struct Info<'a> {
    pub(crate) common: &'a CommonState,
    pub(crate) server_name: Option<&'a str>,
    pub(crate) verdict: Option<&'a Verdict>,
}

impl<'a> Info<'a> {
    /// The protocol version: TLS 1.2 or TLS 1.3.
    pub fn protocol_version(&self) -> Option<ProtocolVersion> {
        self.common.protocol_version()
    }

    /// The cipher suite.
    pub fn cipher_suite(&self) -> Option<SupportedCipherSuite> {
        self.common.negotiated_cipher_suite()
    }

    /// The application protocol (ALPN, RFC 7301); `None` as well when none was negotiated.
    pub fn alpn_protocol(&self) -> Option<&'a [u8]> {
        self.common.alpn_protocol()
    }

    /// The host name the client asked for (SNI, RFC 6066 section 3), on the server's side.
    ///
    /// In lower case, without a dot at the end. `None` on the client's side, and when the client
    /// named no host, or an address, which is no name (there).
    pub fn server_name(&self) -> Option<&'a str> {
        self.server_name
    }

    /// The certificates the peer showed, its own first; `None` when it showed none.
    pub fn peer_certificates(&self) -> Option<&'a [CertificateDer<'static>]> {
        self.common.peer_certificates()
    }

    /// What was found out about the peer's certificates, once the handshake is done; after one
    /// that failed, why.
    ///
    /// `None` unless the context records or uses DANE: elsewhere a bad certificate ends the
    /// handshake, and an established session is all there is to say.
    pub fn verdict(&self) -> Option<&'a Verdict> {
        self.verdict
    }
}

impl fmt::Debug for Info<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Info")
            .field("protocol_version", &self.protocol_version())
            .field("cipher_suite", &self.cipher_suite())
            .field("alpn_protocol", &self.alpn_protocol().map(String::from_utf8_lossy))
            .field("server_name", &self.server_name)
            .field("peer_certificates", &self.peer_certificates().map(<[_]>::len))
            .field("verdict", &self.verdict)
            .finish()
    }
}
