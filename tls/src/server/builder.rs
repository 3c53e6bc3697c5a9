//! How a server context is made: each choice has a default that is safe and fast.
//!
//! Never: uses the process-wide default provider.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use rustls::ServerConfig;
use rustls::crypto::CryptoProvider;
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::time_provider::{DefaultTimeProvider, TimeProvider};

use super::ServerContext;
use crate::certificates::{Certificates, InUse};
use crate::judge::Judge;
use crate::provider::{self, VERSIONS};
use crate::trust::recording_client_verifier;
use crate::{Error, Roots, sni};

/// What a [`ServerContext`] is to be; made by [`ServerContext::builder`].
#[must_use]
pub struct ServerContextBuilder {
    certificates: Certificates,
    provider: Option<Arc<CryptoProvider>>,
    clock: Arc<dyn TimeProvider>,
    alpn: Vec<Vec<u8>>,
    client_auth: ClientAuth,
    tls12: bool,
    tickets: bool,
    exporter: bool,
}

/// Whether a server asks its clients for a certificate, and what becomes of it.
#[derive(Clone, Default, Debug)]
#[non_exhaustive]
pub enum ClientAuth {
    /// None is asked for.
    #[default]
    None,
    /// A client without a certificate that these roots vouch for is refused by an alert.
    Required(Roots),
    /// A client need not show a certificate; one that these roots do not vouch for is refused by
    /// an alert.
    Optional(Roots),
    /// A client need not show a certificate, and whatever it shows passes:
    /// [`Info::verdict`](crate::Info::verdict) says what these roots make of it.
    ///
    /// For protocols that decide later. **Nobody else decides**: without a look at the verdict the
    /// client is whoever it says it is. Still checked is that it holds the key of the certificate
    /// it shows.
    Record(Roots),
}

impl ServerContextBuilder {
    pub(super) fn new(certificates: Certificates) -> Self {
        Self {
            certificates,
            provider: None,
            clock: Arc::new(DefaultTimeProvider),
            alpn: Vec::new(),
            client_auth: ClientAuth::None,
            tls12: true,
            tickets: true,
            exporter: false,
        }
    }

    /// The cryptography. Default: [`provider::default`].
    pub fn provider(mut self, provider: Arc<CryptoProvider>) -> Self {
        self.provider = Some(provider);
        self
    }

    /// What the dates of certificates are compared with, its own and those of clients. Default: the
    /// system's clock.
    pub fn clock(mut self, clock: Arc<dyn TimeProvider>) -> Self {
        self.clock = clock;
        self
    }

    /// Whether clients are asked for a certificate. Default: [`ClientAuth::None`].
    ///
    /// A resumed session remembers what the client showed when it began. It is not verified again
    /// as long as the ticket is good, twelve hours at most, but a recorded one is judged anew.
    pub fn client_auth(mut self, client_auth: ClientAuth) -> Self {
        self.client_auth = client_auth;
        self
    }

    /// The application protocols it speaks, the best first (ALPN, RFC 7301), such as
    /// `xmpp-client`. Default: none, and what clients offer is not looked at.
    ///
    /// A client that offers some, but none of these, is refused with the alert
    /// no_application_protocol; one that offers none is not.
    pub fn alpn<P: Into<Vec<u8>>>(mut self, protocols: impl IntoIterator<Item = P>) -> Self {
        self.alpn = protocols.into_iter().map(Into::into).collect();
        self
    }

    /// Whether it speaks TLS 1.2 besides 1.3. Default: yes.
    pub fn tls12(mut self, spoken: bool) -> Self {
        self.tls12 = spoken;
        self
    }

    /// Whether clients get tickets to resume by (RFC 8446, section 2.2; RFC 5077). Default: yes.
    ///
    /// A ticket holds the whole state of a session, sealed by a key that all shards share, so that
    /// any shard takes it and none keeps anything. The keys live in memory only and are made anew
    /// every six hours; a ticket is good for six to twelve. Without tickets nothing is resumed.
    /// Early data (0-RTT) is never taken, since it can be replayed (RFC 8446, section 8).
    pub fn tickets(mut self, given: bool) -> Self {
        self.tickets = given;
        self
    }

    /// Whether sessions keep what channel binding needs. Default: no; see
    /// [`ServerContext::with_exporter`].
    pub fn exporter(mut self, kept: bool) -> Self {
        self.exporter = kept;
        self
    }

    /// Makes the context.
    ///
    /// # Errors
    ///
    /// [`Error::Config`], of a [`CertificatesError`](crate::CertificatesError) when there is no
    /// certificate, or one is out of its time and that is not
    /// [allowed](Certificates::allow_expired); when an application protocol has no name or one
    /// longer than 255 bytes; when the provider has no cipher suite of the versions asked for, or
    /// no feature brings a provider or keys for tickets; when there are no roots for clients that
    /// are not only recorded.
    /// [`Error::Internal`] when the system has no randomness for the tickets' keys.
    pub fn build(self) -> Result<ServerContext, Error> {
        if let Some(bad) = self.alpn.iter().find(|name| !(1..=255).contains(&name.len())) {
            return Err(Error::config_other("ALPN", BadProtocol { len: bad.len() }));
        }
        let provider = provider::or_default(self.provider)?;
        let (verifier, judge) = verifier(self.client_auth, &provider)?;
        let ticketer = if self.tickets { Some(provider::ticketer(&provider)?) } else { None };
        let in_use = Arc::new(InUse::new(self.certificates.clone()));
        let resolver = Arc::clone(&in_use);
        let mut config = ServerConfig::builder_with_details(provider, self.clock)
            .with_protocol_versions(if self.tls12 { VERSIONS } else { &VERSIONS[..1] })
            .map_err(|error| Error::config("protocol versions", error))?
            .with_client_cert_verifier(verifier)
            .with_cert_resolver(Arc::new(sni::Overheard(resolver)));
        check(&self.certificates, &config)?;
        config.alpn_protocols = self.alpn;
        // Sessions do their records themselves.
        config.enable_secret_extraction = true;
        // What tickets do statelessly must not be done by a store that all shards lock.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        match ticketer {
            Some(ticketer) => config.ticketer = ticketer,
            None => config.send_tls13_tickets = 0,
        }
        let config = Arc::new(config);
        let context = ServerContext { config, in_use: Some(in_use), judge, exports: false };
        Ok(if self.exporter { context.with_exporter() } else { context })
    }
}

impl fmt::Debug for ServerContextBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerContextBuilder")
            .field("certificates", &self.certificates)
            .field("client_auth", &self.client_auth)
            .field("tls12", &self.tls12)
            .field("tickets", &self.tickets)
            .field("exporter", &self.exporter)
            .finish_non_exhaustive()
    }
}

type Verifier = Arc<dyn ClientCertVerifier>;

/// Who looks at a client's certificate, and who judges it where that is recorded.
fn verifier(
    client_auth: ClientAuth,
    provider: &Arc<CryptoProvider>,
) -> Result<(Verifier, Option<Arc<Judge>>), Error> {
    Ok(match client_auth {
        ClientAuth::None => (WebPkiClientVerifier::no_client_auth(), None),
        ClientAuth::Required(roots) => (roots.client_verifier(provider, false)?, None),
        ClientAuth::Optional(roots) => (roots.client_verifier(provider, true)?, None),
        ClientAuth::Record(roots) => {
            let (verifier, judge) = recording_client_verifier(roots, provider);
            (verifier, Some(judge))
        }
    })
}

/// Whether these can be put to use now, by the clock that the configuration goes by.
pub(super) fn check(certificates: &Certificates, config: &ServerConfig) -> Result<(), Error> {
    let now = config.time_provider.current_time().ok_or_else(|| {
        Error::internal("no time of day", Some(rustls::Error::FailedToGetCurrentTime))
    })?;
    certificates.check(UNIX_EPOCH + Duration::from_secs(now.as_secs()))?;
    Ok(())
}

/// A protocol whose name cannot be sent (RFC 7301, section 3.1).
#[derive(Debug)]
struct BadProtocol {
    len: usize,
}

impl fmt::Display for BadProtocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a protocol's name has {} bytes, not 1 to 255", self.len)
    }
}

impl std::error::Error for BadProtocol {}
