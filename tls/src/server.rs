//! What server sessions are made from: a rustls configuration, shared by reference, and the
//! certificates in use.
//!
//! Never: uses the process-wide default provider; reads a file.
//!
//! Invariants:
//! 1. Cloning a context is a reference count or two; all sessions of a context and of its clones
//!    share its tickets and its certificates.

mod builder;

use std::sync::Arc;

use rustls::ServerConfig;

pub use self::builder::{ClientAuth, ServerContextBuilder};
use crate::certificates::{Certificates, InUse};
use crate::judge::Judge;
use crate::{Certificate, Error, exporter, sni};

/// What every server session of one listener shares: certificates, versions, ALPN, client
/// authentication.
#[derive(Clone, Debug)]
pub struct ServerContext {
    config: Arc<ServerConfig>,
    /// What can be replaced; a finished configuration has its own.
    in_use: Option<Arc<InUse>>,
    /// Who judges the clients' certificates that the sessions record.
    judge: Option<Arc<Judge>>,
    exports: bool,
}

impl ServerContext {
    /// Takes a finished configuration; its certificates, tickets and all else are as it says.
    ///
    /// The configuration is copied once, to overhear the host name shown to its `cert_resolver`,
    /// and to be allowed its sessions' keys (`enable_secret_extraction`): they do their records
    /// themselves, unless told otherwise ([`with_rustls_records`](Self::with_rustls_records)). What
    /// it holds (store, ticketer, verifier) stays shared with the original.
    pub fn new(config: Arc<ServerConfig>) -> Self {
        let mut config = Arc::unwrap_or_clone(config);
        config.cert_resolver = Arc::new(sni::Overheard(config.cert_resolver));
        config.enable_secret_extraction = true;
        Self { config: Arc::new(config), in_use: None, judge: None, exports: false }
    }

    /// The same context, for sessions that keep what channel binding needs: [`Session::export`],
    /// `tls-exporter`, and `tls-server-end-point`.
    ///
    /// It shares certificates and tickets with this one. The configuration is copied once, to
    /// overhear the secrets shown to its `key_log`. Each session then keeps about 250 bytes more.
    ///
    /// [`Session::export`]: crate::Session::export
    #[must_use]
    pub fn with_exporter(self) -> Self {
        if self.exports {
            return self;
        }
        let mut config = Arc::unwrap_or_clone(self.config);
        config.key_log = Arc::new(exporter::Overheard(config.key_log));
        Self { config: Arc::new(config), exports: true, ..self }
    }

    /// The same context, for sessions that leave their records to rustls all their life: no key
    /// leaves it (`enable_secret_extraction` is off), and a small message takes twice as many
    /// instructions.
    ///
    /// Cipher suites that say that they are FIPS-validated ([`fips`]) are always left to it.
    ///
    /// [`fips`]: rustls::Tls13CipherSuite::fips
    #[must_use]
    pub fn with_rustls_records(self) -> Self {
        let mut config = Arc::unwrap_or_clone(self.config);
        config.enable_secret_extraction = false;
        Self { config: Arc::new(config), ..self }
    }

    /// Whether its sessions keep what channel binding needs.
    pub(crate) fn exports(&self) -> bool {
        self.exports
    }

    /// The configuration in use.
    pub fn config(&self) -> &Arc<ServerConfig> {
        &self.config
    }

    pub(crate) fn judge(&self) -> Option<&Arc<Judge>> {
        self.judge.as_ref()
    }
}

impl ServerContext {
    /// A server with these certificates, and all else by default, or as the builder is told.
    pub fn builder(certificates: Certificates) -> ServerContextBuilder {
        ServerContextBuilder::new(certificates)
    }

    /// A server with one certificate, whatever name a client asks for; all else is the builder's
    /// default.
    ///
    /// `chain` is a PEM chain, the server's own certificate first; `key` is its private key in PEM
    /// (PKCS #8, PKCS #1 or SEC1).
    ///
    /// # Errors
    ///
    /// [`Error::Config`] when the PEM cannot be read, holds no certificate or no key, when the key
    /// does not belong to the certificate, or when it has expired.
    pub fn from_pem(chain: &[u8], key: &[u8]) -> Result<Self, Error> {
        Self::builder(Certificates::single(Certificate::from_pem(chain, key)?)).build()
    }

    /// Replaces all certificates, for this context, its clones, and so for all shards at once
    /// (S109, S120).
    ///
    /// Handshakes that have begun end with the certificate they began with; later ones see the new
    /// set. Established connections go on, and tickets stay valid, but for hosts that have no
    /// certificate any more.
    ///
    /// # Errors
    ///
    /// [`Error::Config`], and everything stays as it was: as
    /// [`build`](ServerContextBuilder::build), or when the context was made of a finished
    /// configuration, whose resolver only its maker knows.
    pub fn replace_certificates(&self, certificates: Certificates) -> Result<(), Error> {
        let Some(in_use) = &self.in_use else {
            let what = "the certificates of a finished configuration are its own resolver's";
            return Err(Error::Config { what, source: None });
        };
        builder::check(&certificates, &self.config)?;
        in_use.replace(certificates);
        Ok(())
    }
}
