//! What a session agreed on, to look at.
//!
//! Never: changes the session, or says anything that is not yet agreed.

use std::fmt;

use rustls::pki_types::CertificateDer;
use rustls::{HandshakeKind, NamedGroup, ProtocolVersion, SupportedCipherSuite};

use crate::agreed::Agreed;
use crate::binding::TLS_EXPORTER;
use crate::{BindingError, Session, Verdict};

/// What the two sides agreed on; each part is `None` until the handshake has settled it.
#[derive(Clone, Copy)]
pub struct Info<'a> {
    pub(crate) session: &'a Session,
    pub(crate) agreed: Agreed<'a>,
    pub(crate) server_name: Option<&'a str>,
    pub(crate) verdict: Option<&'a Verdict>,
}

impl<'a> Info<'a> {
    /// The protocol version: TLS 1.2 or TLS 1.3.
    pub fn protocol_version(&self) -> Option<ProtocolVersion> {
        self.agreed.version()
    }

    /// The cipher suite.
    pub fn cipher_suite(&self) -> Option<SupportedCipherSuite> {
        self.agreed.suite()
    }

    /// Whether an earlier session was resumed, so that no certificate was shown again.
    ///
    /// What the peer showed then is what [`peer_certificates`](Self::peer_certificates) tells.
    pub fn resumed(&self) -> Option<bool> {
        self.agreed.kind().map(|kind| kind == HandshakeKind::Resumed)
    }

    /// The group of the key exchange, such as X25519 or X25519MLKEM768.
    ///
    /// `None` as well for a resumed TLS 1.2 session, which has no key exchange of its own.
    pub fn key_exchange_group(&self) -> Option<NamedGroup> {
        self.agreed.group()
    }

    /// The application protocol (ALPN, RFC 7301); `None` as well when none was negotiated.
    pub fn alpn_protocol(&self) -> Option<&'a [u8]> {
        self.agreed.protocol()
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
        self.agreed.certificates()
    }

    /// What was found out about the peer's certificates, once the handshake is done; after one
    /// that failed, why.
    ///
    /// `None` unless the context records or uses DANE: elsewhere a bad certificate ends the
    /// handshake, and an established session is all there is to say.
    pub fn verdict(&self) -> Option<&'a Verdict> {
        self.verdict
    }

    /// Fills `output` with keying material: see [`Session::export`].
    ///
    /// # Errors
    ///
    /// See [`BindingError`]; `output` is then without meaning.
    pub fn export(
        &self,
        output: &mut [u8],
        label: &[u8],
        context: Option<&[u8]>,
    ) -> Result<(), BindingError> {
        self.session.export(output, label, context)
    }

    /// The channel binding `tls-exporter` (RFC 9266): 32 bytes that are the same on both sides of
    /// this session, and on no other.
    ///
    /// # Errors
    ///
    /// [`BindingError::NotKept`] unless the context was asked, [`BindingError::Handshaking`]
    /// before the session is established, [`BindingError::NoExtendedMasterSecret`].
    pub fn tls_exporter(&self) -> Result<[u8; 32], BindingError> {
        let mut value = [0; 32];
        self.export(&mut value, TLS_EXPORTER, Some(&[]))?;
        Ok(value)
    }

    /// The channel binding `tls-server-end-point` (RFC 5929, section 4.1): the hash of the
    /// server's certificate, 32 to 64 bytes, by the hash that its own signature uses.
    ///
    /// On the server's side it is the certificate that this handshake chose. A client that resumes
    /// a session goes by the certificate it was shown when that session began, since no other is
    /// shown. So if the certificate was exchanged in between, the two differ, and what binds to it
    /// fails, until the client begins a session anew; `tls-exporter` has no such case.
    ///
    /// # Errors
    ///
    /// [`BindingError::NotKept`] on the server's side unless the context was asked,
    /// [`BindingError::Handshaking`] before the session is established, and when the certificate
    /// does not do: [`BindingError::NoCertificate`], [`BindingError::Certificate`],
    /// [`BindingError::NoHash`].
    pub fn tls_server_end_point(&self) -> Result<Vec<u8>, BindingError> {
        crate::binding::server_end_point(self.session.server_certificate()?)
    }
}

impl fmt::Debug for Info<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Info")
            .field("protocol_version", &self.protocol_version())
            .field("cipher_suite", &self.cipher_suite())
            .field("resumed", &self.resumed())
            .field("key_exchange_group", &self.key_exchange_group())
            .field("alpn_protocol", &self.alpn_protocol().map(String::from_utf8_lossy))
            .field("server_name", &self.server_name)
            .field("peer_certificates", &self.peer_certificates().map(<[_]>::len))
            .field("verdict", &self.verdict)
            .finish()
    }
}
