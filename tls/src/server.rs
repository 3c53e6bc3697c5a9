//! What server sessions are made from: a finished rustls configuration, shared by reference.
//!
//! Never: uses the process-wide default provider; reads a file.
//!
//! Invariants:
//! 1. Cloning a context is one reference count; all sessions of a context share its tickets and
//!    its certificates.

use std::sync::Arc;

use rustls::ServerConfig;
#[cfg(any(feature = "ring", feature = "aws-lc-rs"))]
use rustls::pki_types::{PrivateKeyDer, pem::PemObject};

#[cfg(any(feature = "ring", feature = "aws-lc-rs"))]
use crate::Error;
#[cfg(any(feature = "ring", feature = "aws-lc-rs"))]
use crate::provider::{self, VERSIONS};
use crate::{exporter, sni};

/// What every server session of one listener shares: certificates, versions, ALPN, client
/// authentication.
#[derive(Clone, Debug)]
pub struct ServerContext {
    config: Arc<ServerConfig>,
    exports: bool,
}

impl ServerContext {
    /// Takes a finished configuration.
    ///
    /// The configuration is copied once, to overhear the host name shown to its `cert_resolver`;
    /// what it holds (store, ticketer, verifier) stays shared with the original.
    pub fn new(config: Arc<ServerConfig>) -> Self {
        let mut config = Arc::unwrap_or_clone(config);
        config.cert_resolver = Arc::new(sni::Overheard(config.cert_resolver));
        Self { config: Arc::new(config), exports: false }
    }

    /// The same context, for sessions that keep what channel binding needs: [`Session::export`],
    /// `tls-exporter`, and `tls-server-end-point`.
    ///
    /// The configuration is copied once, to overhear the secrets shown to its `key_log`. Each
    /// session then keeps about 250 bytes more.
    ///
    /// [`Session::export`]: crate::Session::export
    #[must_use]
    pub fn with_exporter(self) -> Self {
        if self.exports {
            return self;
        }
        let mut config = Arc::unwrap_or_clone(self.config);
        config.key_log = Arc::new(exporter::Overheard(config.key_log));
        Self { config: Arc::new(config), exports: true }
    }

    /// Whether its sessions keep what channel binding needs.
    pub(crate) fn exports(&self) -> bool {
        self.exports
    }

    /// The configuration in use.
    pub fn config(&self) -> &Arc<ServerConfig> {
        &self.config
    }
}

#[cfg(any(feature = "ring", feature = "aws-lc-rs"))]
impl ServerContext {
    /// A server with one certificate: TLS 1.3 and 1.2, no client authentication, no ALPN.
    ///
    /// `certs` is a PEM chain, the server's own certificate first; `key` is its private key in
    /// PEM (PKCS #8, PKCS #1 or SEC1). The provider is ring where that feature is enabled, else
    /// AWS-LC.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] when the PEM cannot be read, holds no certificate or no key, or when the
    /// key does not fit the certificate.
    pub fn from_pem(certs: &[u8], key: &[u8]) -> Result<Self, Error> {
        let chain = provider::certificates("server certificate chain", certs)?;

        let key = PrivateKeyDer::from_pem_slice(key).map_err(provider::pem_error("private key"))?;
        let config = ServerConfig::builder_with_provider(provider::default())
            .with_protocol_versions(VERSIONS)
            .map_err(|error| Error::config("protocol versions", error))?
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .map_err(|error| Error::config("server certificate and key", error))?;
        Ok(Self::new(Arc::new(config)))
    }
}
