//! What client sessions are made from: a finished rustls configuration, shared by reference.
//!
//! Never: uses the process-wide default provider; reads a file; looks up a TLSA record.
//!
//! Invariants:
//! 1. Cloning a context is one reference count; all sessions of a context share its tickets.
//! 2. Contexts that verify differently share no tickets: what one let pass, another does not
//!    resume.

use std::fmt;
use std::sync::Arc;

use rustls::ClientConfig;
use rustls::client::Resumption;
use rustls::pki_types::ServerName;

use crate::judge::{Dane, Judge};
use crate::trust::JudgedServer;
use crate::{DaneMode, Error, Roots, Tlsa, dane, exporter};

mod builder;

pub use builder::ClientContextBuilder;

/// Tickets kept for the one server that a set of TLSA records is for: as many as rustls keeps for
/// any one.
const DANE_TICKETS: usize = 8;

/// What client sessions share: trusted roots, TLSA records, versions, ALPN, tickets.
#[derive(Clone)]
pub struct ClientContext {
    inner: Arc<Inner>,
}

#[derive(Clone)]
struct Inner {
    config: Arc<ClientConfig>,
    /// Whom the configuration trusts; `None` when it came finished.
    roots: Option<Roots>,
    /// Who judges what the sessions record.
    judge: Option<Arc<Judge>>,
    exports: bool,
}

impl ClientContext {
    /// Takes a finished configuration; all is as it says.
    ///
    /// It is copied once, to be allowed its sessions' keys (`enable_secret_extraction`): they do
    /// their records themselves, unless told otherwise
    /// ([`with_rustls_records`](Self::with_rustls_records)). What it holds stays shared with the
    /// original.
    ///
    /// Its sessions have no [`Verdict`](crate::Verdict), and it takes no TLSA records.
    pub fn new(config: Arc<ClientConfig>) -> Self {
        let mut config = Arc::unwrap_or_clone(config);
        config.enable_secret_extraction = true;
        Self::of(Arc::new(config), None, None)
    }

    /// Makes a client that trusts these roots, unless told otherwise: TLS 1.3 and 1.2, no ALPN, no
    /// certificate of its own.
    pub fn builder(roots: Roots) -> ClientContextBuilder {
        ClientContextBuilder::new(roots)
    }

    fn of(config: Arc<ClientConfig>, roots: Option<Roots>, judge: Option<Arc<Judge>>) -> Self {
        Self { inner: Arc::new(Inner { config, roots, judge, exports: false }) }
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
        if self.exports() {
            return self;
        }
        let mut config = ClientConfig::clone(self.config());
        config.key_log = Arc::new(exporter::Overheard(config.key_log));
        self.changed(config, |inner| inner.exports = true)
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
        let mut config = ClientConfig::clone(self.config());
        config.enable_secret_extraction = false;
        self.changed(config, |_| {})
    }

    /// Whether its sessions keep what channel binding needs.
    pub(crate) fn exports(&self) -> bool {
        self.inner.exports
    }

    /// A context that differs in its configuration and in what else is changed.
    fn changed(&self, config: ClientConfig, change: impl FnOnce(&mut Inner)) -> Self {
        let mut inner = Inner { config: Arc::new(config), ..Inner::clone(&self.inner) };
        change(&mut inner);
        Self { inner: Arc::new(inner) }
    }

    /// The configuration in use.
    pub fn config(&self) -> &Arc<ClientConfig> {
        &self.inner.config
    }

    pub(crate) fn judge(&self) -> Option<&Arc<Judge>> {
        self.inner.judge.as_ref()
    }

    /// This context for one server, whose TLSA records DNSSEC has secured (RFC 6698, RFC 7671).
    ///
    /// Look the records up under `_port._tcp.host`, and ask for that host when you connect: for
    /// usages 0 to 2 the certificate must carry its name. Records that came without DNSSEC are
    /// worth nothing; do not give them. Usages 0 and 1 need roots that say yes as well (for SMTP,
    /// leave such records out: RFC 7672, section 3.1.3). A `Record` or `insecure` context gives
    /// its roots, nothing else: `mode` alone decides.
    ///
    /// Where several digests of one usage and selector are there, the strongest kind counts (RFC
    /// 7671, section 9). All sessions have a [`Verdict`](crate::Verdict), which names the record
    /// that matched. Keep the context as long as the records: sessions are resumed only by the
    /// context that verified them.
    ///
    /// # Limits
    ///
    /// A server's certificate must be X.509 version 3 without critical extensions unknown here,
    /// even for usage 3, since the signature of the handshake is checked with it. A record of
    /// usage 2 that holds a key whole ("2 1 0") stands for an authority of any name. Revocation
    /// lists of the roots count for usages 0 to 2.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] when this context was made by [`new`](Self::new), whose roots are not
    /// known, and with [`DaneMode::Require`] when no record can be used (S110): its source is the
    /// [`TlsaError`](crate::TlsaError) of the first.
    pub fn with_dane(
        &self,
        records: impl IntoIterator<Item = Tlsa>,
        mode: DaneMode,
    ) -> Result<Self, Error> {
        self.with_records(records, None, mode)
    }

    /// As [`with_dane`](Self::with_dane), where the name to ask for is not the host of the records.
    ///
    /// So it is with SRV and MX records that DNSSEC has secured: the host they point to is the
    /// TLSA base domain, and the certificate may carry its name instead (RFC 7671, section 7; RFC
    /// 7673, section 4).
    ///
    /// # Errors
    ///
    /// As [`with_dane`](Self::with_dane).
    pub fn with_dane_of(
        &self,
        base_domain: ServerName<'static>,
        records: impl IntoIterator<Item = Tlsa>,
        mode: DaneMode,
    ) -> Result<Self, Error> {
        self.with_records(records, Some(base_domain), mode)
    }

    fn with_records(
        &self,
        records: impl IntoIterator<Item = Tlsa>,
        base_domain: Option<ServerName<'static>>,
        mode: DaneMode,
    ) -> Result<Self, Error> {
        let Some(roots) = &self.inner.roots else {
            let what = "TLSA records for a finished configuration, whose roots are not known";
            return Err(Error::Config { what, source: None });
        };
        let (records, why) = dane::usable(records);
        if records.is_empty() && mode == DaneMode::Require {
            return Err(Error::config_other("no TLSA record can be used", why));
        }
        let mut config = ClientConfig::clone(self.config());
        let judge = Arc::new(Judge {
            roots: roots.clone(),
            algorithms: config.crypto_provider().signature_verification_algorithms,
            dane: Some(Dane { records, base_domain, mode }),
        });
        let records_only = mode == DaneMode::Record;
        let verifier = JudgedServer { judge: Arc::clone(&judge), records_only };
        config.dangerous().set_certificate_verifier(Arc::new(verifier));
        config.resumption = Resumption::in_memory_sessions(DANE_TICKETS);
        Ok(self.changed(config, |inner| inner.judge = Some(judge)))
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
    /// trusted (not X.509).
    pub fn from_roots_pem(pem: &[u8]) -> Result<Self, Error> {
        Self::builder(Roots::from_pem(pem)?).build()
    }

    /// **Dangerous**: a client that accepts any certificate from anyone, for tests and load tools.
    ///
    /// The connection is encrypted but not authenticated: whoever sits between can read and
    /// change everything. Still checked is that the server holds the key of the certificate it
    /// shows.
    pub fn insecure() -> Self {
        let builder = Self::builder(Roots::none()).insecure();
        builder.build().expect("each provider has cipher suites for TLS 1.2 and 1.3")
    }
}

impl fmt::Debug for ClientContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientContext")
            .field("roots", &self.inner.roots)
            .field("dane", &self.judge().and_then(|judge| judge.dane.as_ref()))
            .field("config", self.config())
            .finish_non_exhaustive()
    }
}
