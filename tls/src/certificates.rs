//! Which certificate for which name, and the table of them that can be replaced while running.
//!
//! Never: waits for a handshake; one that has begun ends with the certificate it began with.
//!
//! Invariants:
//! 1. Host names in a table are in lower case, without a dot at the end; a wildcard is kept without
//!    its star, and so begins with a dot.
//! 2. A table in use was checked as a whole before it came there.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::SystemTime;

use rustls::pki_types::DnsName;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use crate::Error;
use crate::certificate::{Certificate, CertificatesError};

/// Which certificate a server shows to whom (S109).
///
/// What decides is the name in the client's hello (SNI, RFC 6066 section 3), in this order:
///
/// 1. the certificate of exactly this [`name`](Self::name);
/// 2. the certificate of a wildcard that fits it: `*.example` fits `a.example`, but neither
///    `example` nor `a.b.example` (RFC 6125, section 6.4.3);
/// 3. the [`fallback`](Self::fallback).
///
/// A hello without a name, or with an address for one, gets the [`nameless`](Self::nameless). Where
/// there is no certificate for a hello the handshake ends with the alert access_denied.
///
/// ```
/// # use shardpoll_tls::{Certificate, Certificates, Error, ServerContext};
/// # fn certificate(name: &str) -> Result<Certificate, Error> {
/// #     let made = rcgen::generate_simple_self_signed([name.to_string()]).unwrap();
/// #     let (chain, key) = (made.cert.pem(), made.signing_key.serialize_pem());
/// #     Certificate::from_pem(chain.as_bytes(), key.as_bytes())
/// # }
/// # fn main() -> Result<(), Error> {
/// # let (shop, others) = (certificate("shop.example")?, certificate("*.example")?);
/// let certificates = Certificates::new()
///     .name("shop.example", shop.clone())?
///     .name("*.example", others)?
///     .nameless(shop);
/// let context = ServerContext::builder(certificates).build()?;
///
/// # let renewed = certificate("shop.example")?;
/// // Later, from any thread, for all shards at once:
/// context.replace_certificates(Certificates::single(renewed))?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Default, Debug)]
pub struct Certificates {
    by_name: BTreeMap<Box<str>, Certificate>,
    nameless: Option<Certificate>,
    fallback: Option<Certificate>,
    allow_expired: bool,
}

impl Certificates {
    /// No certificate yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// One certificate for every client, whatever name it asks for; it is both
    /// [`nameless`](Self::nameless) and [`fallback`](Self::fallback).
    pub fn single(certificate: Certificate) -> Self {
        Self::new().nameless(certificate.clone()).fallback(certificate)
    }

    /// The certificate for this host, such as `a.example`, or for the hosts that a wildcard such as
    /// `*.example` stands for.
    ///
    /// Upper case is lower case, in ASCII, and a dot at the end is none. Whether the certificate
    /// is good for that name is not checked: see [`Certificate::names`].
    ///
    /// # Errors
    ///
    /// [`Error::Config`] of [`CertificatesError::BadHost`] when it is neither, such as an address,
    /// which no client may ask for; of [`CertificatesError::NamedTwice`] when it has one already.
    pub fn name(mut self, host: &str, certificate: Certificate) -> Result<Self, Error> {
        let (star, rest) = match host.strip_prefix("*.") {
            Some(rest) => (".", rest),
            None => ("", host),
        };
        if DnsName::try_from(rest).is_err() {
            return Err(CertificatesError::BadHost { host: host.into() }.into());
        }
        let key = format!("{star}{}", canonical(rest)).into_boxed_str();
        if self.by_name.insert(key, certificate).is_some() {
            return Err(CertificatesError::NamedTwice { host: host.into() }.into());
        }
        Ok(self)
    }

    /// The certificate for clients that name no host. Default: none.
    #[must_use]
    pub fn nameless(mut self, certificate: Certificate) -> Self {
        self.nameless = Some(certificate);
        self
    }

    /// The certificate for names that are not listed. Default: none.
    #[must_use]
    pub fn fallback(mut self, certificate: Certificate) -> Self {
        self.fallback = Some(certificate);
        self
    }

    /// Whether a certificate may be used out of its time. Default: no, it is refused when the set
    /// is put to use; one that expires later is shown all the same, since a server that falls
    /// silent at midnight helps nobody.
    #[must_use]
    pub fn allow_expired(mut self, allowed: bool) -> Self {
        self.allow_expired = allowed;
        self
    }

    /// The certificate for a client that asks for this host, or for none.
    pub fn choose(&self, host: Option<&str>) -> Option<&Certificate> {
        let Some(host) = host else { return self.nameless.as_ref() };
        let host = &*canonical(host);
        let exact = self.by_name.get(host);
        let wildcard = || host.find('.').and_then(|dot| self.by_name.get(&host[dot..]));
        exact.or_else(wildcard).or(self.fallback.as_ref())
    }

    /// Whether it can be put to use at this time.
    pub(crate) fn check(&self, now: SystemTime) -> Result<(), CertificatesError> {
        let listed = self.by_name.iter().map(|(host, certificate)| {
            let star = if host.starts_with('.') { "*" } else { "" };
            (format!("{star}{host}"), certificate)
        });
        let nameless =
            self.nameless.iter().map(|found| ("clients that name no host".into(), found));
        let fallback =
            self.fallback.iter().map(|found| ("hosts that are not listed".into(), found));
        let mut all = listed.chain(nameless).chain(fallback).peekable();
        if all.peek().is_none() {
            return Err(CertificatesError::Empty);
        }
        if self.allow_expired {
            return Ok(());
        }
        all.try_for_each(|(used_by, certificate)| certificate.check(&used_by, now))
    }
}

/// A host name as it is kept, looked for, and told.
pub(crate) fn canonical(host: &str) -> Cow<'_, str> {
    let host = host.strip_suffix('.').unwrap_or(host);
    if host.bytes().any(|byte| byte.is_ascii_uppercase()) {
        Cow::Owned(host.to_ascii_lowercase())
    } else {
        Cow::Borrowed(host)
    }
}

/// The certificates in use, which all clones of a context and all shards share.
///
/// Read once for each hello, by a thread that then copies one reference; whoever replaces them
/// holds the lock for one move.
#[derive(Debug)]
pub(crate) struct InUse(RwLock<Certificates>);

impl InUse {
    pub(crate) fn new(certificates: Certificates) -> Self {
        Self(RwLock::new(certificates))
    }

    pub(crate) fn replace(&self, certificates: Certificates) {
        let mut lock = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let old = std::mem::replace(&mut *lock, certificates);
        drop(lock);
        drop(old);
    }
}

impl ResolvesServerCert for InUse {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let lock = self.0.read().unwrap_or_else(PoisonError::into_inner);
        lock.choose(hello.server_name()).map(|found| Arc::clone(found.certified_key()))
    }
}
