//! What client sessions are made from: a finished rustls configuration, shared by reference.
//!
//! Never: uses the process-wide default provider; reads a file.
//!
//! Invariants:
//! 1. Cloning a context is one reference count; all sessions of a context share its tickets.

use std::sync::Arc;

use rustls::ClientConfig;
#[cfg(any(feature = "ring", feature = "aws-lc-rs"))]
use rustls::RootCertStore;

#[cfg(any(feature = "ring", feature = "aws-lc-rs"))]
use crate::Error;
use crate::exporter;
#[cfg(any(feature = "ring", feature = "aws-lc-rs"))]
use crate::provider::{self, VERSIONS};
#[cfg(any(feature = "ring", feature = "aws-lc-rs"))]
use crate::trust::AnyCertificate;

/// What client sessions share: trusted roots, versions, ALPN, tickets.
#[derive(Clone, Debug)]
pub struct ClientContext {
    config: Arc<ClientConfig>,
    exports: bool,
}

impl ClientContext {
    /// Takes a finished configuration, as it is.
    pub fn new(config: Arc<ClientConfig>) -> Self {
        Self { config, exports: false }
    }

    /// The same context, for sessions that keep what channel binding needs: [`Session::export`],
    /// `tls-exporter`.
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
    pub fn config(&self) -> &Arc<ClientConfig> {
        &self.config
    }
}

#[cfg(any(feature = "ring", feature = "aws-lc-rs"))]
impl ClientContext {
    /// A client that trusts these certificates only: TLS 1.3 and 1.2, no ALPN.
    ///
    /// `pem` holds certificates of authorities, or self-signed ones of servers. The provider is
    /// ring where that feature is enabled, else AWS-LC.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] when the PEM cannot be read, holds no certificate, or one that cannot be
    /// trusted (not X.509 version 3).
    pub fn from_roots_pem(pem: &[u8]) -> Result<Self, Error> {
        let mut roots = RootCertStore::empty();
        for root in provider::certificates("trusted roots", pem)? {
            roots.add(root).map_err(|error| Error::config("trusted roots", error))?;
        }
        let config = ClientConfig::builder_with_provider(provider::default())
            .with_protocol_versions(VERSIONS)
            .map_err(|error| Error::config("protocol versions", error))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self::new(Arc::new(config)))
    }

    /// **Dangerous**: a client that accepts any certificate from anyone, for tests and load tools.
    ///
    /// The connection is encrypted but not authenticated: whoever sits between can read and
    /// change everything. Still checked is that the server holds the key of the certificate it
    /// shows.
    pub fn insecure() -> Self {
        let provider = provider::default();
        let verifier = AnyCertificate(Arc::clone(&provider));
        let config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(VERSIONS)
            .expect("each provider has cipher suites for TLS 1.2 and 1.3")
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier))
            .with_no_client_auth();
        Self::new(Arc::new(config))
    }
}
