//! How a client's context is put together.
//!
//! Never: installs or asks for a process-wide provider.

use std::sync::Arc;

use rustls::client::danger::ServerCertVerifier;
use rustls::crypto::CryptoProvider;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::time_provider::{DefaultTimeProvider, TimeProvider};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, SupportedProtocolVersion};

use super::ClientContext;
use crate::judge::Judge;
use crate::trust::{AnyCertificate, JudgedServer};
use crate::{Certificate, Error, Roots, provider};

/// What becomes of a server's certificate.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Checks {
    Enforced,
    Recorded,
    Dropped,
}

/// Makes a [`ClientContext`]: see [`ClientContext::builder`].
#[derive(Clone, Debug)]
#[must_use]
pub struct ClientContextBuilder {
    roots: Roots,
    provider: Option<Arc<CryptoProvider>>,
    clock: Arc<dyn TimeProvider>,
    versions: Vec<&'static SupportedProtocolVersion>,
    alpn: Vec<Vec<u8>>,
    identity: Option<Arc<CertifiedKey>>,
    checks: Checks,
    exporter: bool,
}

impl ClientContextBuilder {
    pub(super) fn new(roots: Roots) -> Self {
        Self {
            roots,
            provider: None,
            clock: Arc::new(DefaultTimeProvider),
            versions: vec![&TLS13, &TLS12],
            alpn: Vec::new(),
            identity: None,
            checks: Checks::Enforced,
            exporter: false,
        }
    }

    /// The cryptography. Default: ring where that feature is enabled, else AWS-LC.
    pub fn provider(mut self, provider: Arc<CryptoProvider>) -> Self {
        self.provider = Some(provider);
        self
    }

    /// What the dates of certificates are compared with. Default: the system's clock.
    pub fn clock(mut self, clock: Arc<dyn TimeProvider>) -> Self {
        self.clock = clock;
        self
    }

    /// The protocol versions to offer. Default: TLS 1.3 and 1.2.
    pub fn versions(mut self, versions: &[&'static SupportedProtocolVersion]) -> Self {
        self.versions = versions.to_vec();
        self
    }

    /// Whether TLS 1.2 is offered besides TLS 1.3. Default: it is.
    pub fn tls12(self, offered: bool) -> Self {
        let all: [&SupportedProtocolVersion; 2] = [&TLS13, &TLS12];
        self.versions(if offered { &all } else { &all[..1] })
    }

    /// The application protocols to offer, the dearest first (ALPN, RFC 7301). Default: none, and
    /// then no extension is sent.
    pub fn alpn<P: Into<Vec<u8>>>(mut self, protocols: impl IntoIterator<Item = P>) -> Self {
        self.alpn = protocols.into_iter().map(Into::into).collect();
        self
    }

    /// Shows this certificate to servers that ask for one. Default: none is shown.
    pub fn client_certificate(mut self, certificate: Certificate) -> Self {
        self.identity = Some(Arc::clone(certificate.certified_key()));
        self
    }

    /// Lets the handshake pass whatever certificate the server shows, and says what would have
    /// been against it: [`Info::verdict`](crate::Info::verdict). Default: it does not.
    ///
    /// For protocols that decide later. **Nobody else decides**: without a look at the verdict
    /// the connection is encrypted but not authenticated. Still checked is that the server holds
    /// the key of the certificate it shows.
    pub fn record(mut self, record: bool) -> Self {
        self.checks = if record { Checks::Recorded } else { Checks::Enforced };
        self
    }

    /// **Dangerous**: accepts any certificate from anyone, as [`ClientContext::insecure`] does.
    pub fn insecure(mut self) -> Self {
        self.checks = Checks::Dropped;
        self
    }

    /// Whether sessions keep what channel binding needs. Default: no; see
    /// [`ClientContext::with_exporter`].
    pub fn exporter(mut self, kept: bool) -> Self {
        self.exporter = kept;
        self
    }

    /// Puts it together.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] when the provider cannot do one of the versions, when no version is
    /// offered, when a name for ALPN is empty or longer than 255 bytes, when there are revocation
    /// lists but no roots, and when no feature brings a provider and none was given.
    pub fn build(self) -> Result<ClientContext, Error> {
        if self.alpn.iter().any(|name| !(1..=255).contains(&name.len())) {
            let what = "a name for ALPN has no byte or more than 255 (RFC 7301, section 3.1)";
            return Err(Error::Config { what, source: None });
        }
        let provider = provider::or_default(self.provider)?;
        let judge = Arc::new(Judge {
            roots: self.roots.clone(),
            algorithms: provider.signature_verification_algorithms,
            dane: None,
        });
        let recorded = self.checks == Checks::Recorded;
        let verifier: Arc<dyn ServerCertVerifier> = match self.checks {
            Checks::Dropped => Arc::new(AnyCertificate(Arc::clone(&provider))),
            // rustls' verifier does not exist without roots; this one then refuses everybody.
            Checks::Enforced if !self.roots.is_none() => self.roots.server_verifier(&provider)?,
            Checks::Enforced | Checks::Recorded => {
                Arc::new(JudgedServer { judge: Arc::clone(&judge), records_only: recorded })
            }
        };
        let builder = ClientConfig::builder_with_details(provider, self.clock)
            .with_protocol_versions(&self.versions)
            .map_err(|error| Error::config("protocol versions", error))?
            .dangerous()
            .with_custom_certificate_verifier(verifier);
        let mut config = match self.identity {
            Some(key) => builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(key))),
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = self.alpn;
        // Sessions do their records themselves.
        config.enable_secret_extraction = true;
        let judge = recorded.then_some(judge);
        let context = ClientContext::of(Arc::new(config), Some(self.roots), judge);
        Ok(if self.exporter { context.with_exporter() } else { context })
    }
}
