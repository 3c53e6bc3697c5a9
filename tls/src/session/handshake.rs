//! What a session learns of its handshake that rustls shows only to callbacks, or to nobody.
//!
//! Never: reads bytes in another way than a session after its handshake does.

use rustls::pki_types::CertificateDer;

use super::Session;
use crate::judge::Trial;
use crate::{BindingError, Error, Info, exporter, sni};

impl Session {
    /// Reads, and learns what rustls shows only to its callbacks, or to nobody.
    pub(super) fn shake_hands(
        &mut self,
        input: &mut [u8],
        plain: &mut Vec<u8>,
        wire: &mut Vec<u8>,
    ) -> Result<(), Error> {
        let is_server = self.side.is_server();
        let mut exporter = self.exporter.take();
        if let Some(exporter) = exporter.as_mut().filter(|_| !is_server) {
            exporter.hello.pass(input);
        }
        sni::take();
        if self.trial.is_some() {
            Trial::begin();
        }
        let written = wire.len();
        let read = exporter::overhear(&mut exporter, || self.read(input, plain, wire));
        self.server_name = sni::take().or_else(|| self.server_name.take());
        if let Some(exporter) = exporter.as_mut().filter(|_| is_server) {
            exporter.hello.pass(&wire[written..]);
        }
        self.exporter = exporter;
        self.hear_verdict();
        read
    }

    fn hear_verdict(&mut self) {
        let Some(mut trial) = self.trial.take() else { return };
        trial.hear();
        if !self.side.is_handshaking() {
            trial.conclude(self.side.agreed().certificates());
        }
        self.trial = Some(trial);
    }

    /// What the two sides agreed on so far.
    pub fn info(&self) -> Info<'_> {
        Info {
            session: self,
            agreed: self.side.agreed(),
            server_name: self.server_name.as_deref(),
            verdict: self.trial.as_ref().and_then(|trial| trial.verdict()),
        }
    }

    /// The server's own certificate: ours on the server's side, else what the peer showed.
    pub(crate) fn server_certificate(&self) -> Result<&CertificateDer<'static>, BindingError> {
        let chain = if self.side.is_server() {
            let exporter = self.exporter.as_deref().ok_or(BindingError::NotKept)?;
            exporter.certified.as_deref().map(|certified| certified.cert.as_slice())
        } else {
            self.side.agreed().certificates()
        };
        if !self.established {
            return Err(BindingError::Handshaking);
        }
        chain.and_then(<[_]>::first).ok_or(BindingError::NoCertificate)
    }

    /// Fills `output` with keying material that both sides can derive, and nobody else (RFC 5705;
    /// RFC 8446, section 7.5).
    ///
    /// `label` says what it is for, by a name from IANA's registry of exporter labels, or one that
    /// begins with `EXPERIMENTAL`. In TLS 1.2 no context and an empty one are different things; in
    /// TLS 1.3 they are the same. It can be had at any time once the session is established, as
    /// often as is wanted, also after a resumption, when it is another.
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
        let exporter = self.exporter.as_deref().ok_or(BindingError::NotKept)?;
        let suite = self.side.agreed().suite().filter(|_| self.established);
        exporter.export(suite.ok_or(BindingError::Handshaking)?, output, label, context)
    }
}
