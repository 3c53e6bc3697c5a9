//! What sessions are made from: finished rustls configurations, shared by reference.
//!
//! Never: uses the process-wide default provider; reads a file.
//!
//! Invariants:
//! 1. Cloning a context is one reference count; all sessions of a context share its tickets and
//!    its certificates.

use std::sync::Arc;

use rustls::{ClientConfig, ServerConfig};

use crate::sni;

/// What every server session of one listener shares: certificates, versions, ALPN, client
/// authentication.
#[derive(Clone, Debug)]
pub struct ServerContext {
    config: Arc<ServerConfig>,
}

impl ServerContext {
    /// Takes a finished configuration.
    ///
    /// The configuration is copied once, to overhear the host name shown to its `cert_resolver`;
    /// what it holds (store, ticketer, verifier) stays shared with the original.
    pub fn new(config: Arc<ServerConfig>) -> Self {
        let mut config = Arc::unwrap_or_clone(config);
        config.cert_resolver = Arc::new(sni::Overheard(config.cert_resolver));
        Self { config: Arc::new(config) }
    }

    /// The configuration in use.
    pub fn config(&self) -> &Arc<ServerConfig> {
        &self.config
    }
}

/// What client sessions share: trusted roots, versions, ALPN, tickets.
#[derive(Clone, Debug)]
pub struct ClientContext {
    config: Arc<ClientConfig>,
}

impl ClientContext {
    /// Takes a finished configuration, as it is.
    pub fn new(config: Arc<ClientConfig>) -> Self {
        Self { config }
    }

    /// The configuration in use.
    pub fn config(&self) -> &Arc<ClientConfig> {
        &self.config
    }
}
