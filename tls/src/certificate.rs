//! One certificate with its chain and its key, looked at before it is used.
//!
//! Never: reads a file, or tells the key.

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::ParsedCertificate;
use rustls::sign::CertifiedKey;
use rustls::{InconsistentKeys, InvalidMessage};

use crate::der::{self, Validity};
use crate::{Error, date, provider};

/// A certificate, the chain that vouches for it, and its private key.
///
/// That the key belongs to the certificate was checked when it was made. A clone is one more
/// reference to the same.
#[derive(Clone)]
pub struct Certificate {
    key: Arc<CertifiedKey>,
    validity: Validity,
}

impl Certificate {
    /// Reads a chain, the certificate itself first, and its private key (PKCS #8, PKCS #1 or SEC1),
    /// both as PEM. The provider is [`provider::default`].
    ///
    /// # Errors
    ///
    /// [`Error::Config`] when the PEM cannot be read, holds no certificate or no key, when a
    /// certificate is not X.509 version 3, when the key does not belong to the first, or when no
    /// feature brings a provider.
    pub fn from_pem(chain: &[u8], key: &[u8]) -> Result<Self, Error> {
        Self::from_pem_with(chain, key, &*provider::or_default(None)?)
    }

    /// As [`from_pem`](Self::from_pem), with the provider that is to sign.
    ///
    /// It need not be the one of the context the certificate is used in.
    ///
    /// # Errors
    ///
    /// As [`from_pem`](Self::from_pem).
    pub fn from_pem_with(
        chain: &[u8],
        key: &[u8],
        provider: &CryptoProvider,
    ) -> Result<Self, Error> {
        let chain = provider::certificates("certificate chain", chain)?;
        let key = PrivateKeyDer::from_pem_slice(key).map_err(provider::pem_error("private key"))?;
        let key = provider.key_provider.load_private_key(key);
        let key = key.map_err(|error| Error::config("private key", error))?;
        Self::from_certified_key(Arc::new(CertifiedKey::new(chain, key)))
    }

    /// Takes what rustls is to show and to sign with, such as a key that lies elsewhere, or a
    /// certificate with a stapled OCSP response (RFC 6066, section 8).
    ///
    /// # Errors
    ///
    /// [`Error::Config`] when there is no certificate, when one is not X.509 version 3, or when the
    /// key does not belong to the first; a key that does not tell its public part is believed.
    pub fn from_certified_key(key: Arc<CertifiedKey>) -> Result<Self, Error> {
        let unreadable = || {
            let found = rustls::CertificateError::BadEncoding.into();
            Error::config("certificate chain", found)
        };
        let mut dates = None;
        for certificate in &key.cert {
            ParsedCertificate::try_from(certificate)
                .map_err(|error| Error::config("certificate chain", error))?;
            let read = der::validity(certificate).ok_or_else(unreadable)?;
            dates = dates.or(Some(read));
        }
        let validity = dates.ok_or_else(|| {
            Error::config("certificate chain", InvalidMessage::MissingData("certificate").into())
        })?;
        match key.keys_match() {
            Ok(()) | Err(rustls::Error::InconsistentKeys(InconsistentKeys::Unknown)) => {}
            Err(error) => return Err(Error::config("certificate and key", error)),
        }
        Ok(Self { key, validity })
    }

    /// What rustls shows and signs with.
    pub fn certified_key(&self) -> &Arc<CertifiedKey> {
        &self.key
    }

    /// The certificates, its own first.
    pub fn chain(&self) -> &[CertificateDer<'static>] {
        &self.key.cert
    }

    /// The host names and addresses it is good for, as its subjectAltName lists them (RFC 6125,
    /// section 6.4): `a.example`, `*.b.example`, `192.0.2.1`. The common name is none of them.
    pub fn names(&self) -> Vec<String> {
        let Some(own) = self.key.cert.first() else { return Vec::new() };
        let hosts = der::dns_names(own).into_iter().map(str::to_owned);
        hosts.chain(der::addresses(own).iter().map(ToString::to_string)).collect()
    }

    /// Since when it is good.
    pub fn not_before(&self) -> SystemTime {
        self.validity.not_before
    }

    /// Until when it is good: this second is its last.
    pub fn not_after(&self) -> SystemTime {
        self.validity.not_after
    }

    /// Whether it is good at this time, for use by those whom `used_by` names.
    pub(crate) fn check(&self, used_by: &str, now: SystemTime) -> Result<(), CertificatesError> {
        let Validity { not_before, not_after } = self.validity;
        if now > not_after {
            return Err(CertificatesError::Expired { used_by: used_by.into(), not_after });
        }
        if now < not_before {
            return Err(CertificatesError::NotYetValid { used_by: used_by.into(), not_before });
        }
        Ok(())
    }
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificate")
            .field("names", &self.names())
            .field("not_before", &format_args!("{}", date::Words(self.validity.not_before)))
            .field("not_after", &format_args!("{}", date::Words(self.validity.not_after)))
            .finish_non_exhaustive()
    }
}

/// Why a set of certificates cannot be used: the `source()` of an [`Error::Config`].
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum CertificatesError {
    /// There is no certificate in it.
    Empty,
    /// Neither a host name nor a wildcard that stands for one label.
    BadHost {
        /// What was given.
        host: String,
    },
    /// A host has two certificates.
    NamedTwice {
        /// Which host.
        host: String,
    },
    /// A certificate is not good any more.
    Expired {
        /// Which clients would get it: a host, or in words.
        used_by: String,
        /// Until when it was good.
        not_after: SystemTime,
    },
    /// A certificate is not yet good.
    NotYetValid {
        /// Which clients would get it: a host, or in words.
        used_by: String,
        /// Since when it will be good.
        not_before: SystemTime,
    },
}

impl fmt::Display for CertificatesError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("there is none"),
            Self::BadHost { host } => write!(
                f,
                "{host:?} is neither a host name, such as a.example (ASCII only, RFC 5890), nor a \
                 wildcard, such as *.example"
            ),
            Self::NamedTwice { host } => write!(f, "{host:?} has one already"),
            Self::Expired { used_by, not_after } => {
                let date = date::Words(*not_after);
                write!(f, "the one for {used_by} has expired at {date}")
            }
            Self::NotYetValid { used_by, not_before } => {
                let date = date::Words(*not_before);
                write!(f, "the one for {used_by} is not valid before {date}")
            }
        }
    }
}

impl std::error::Error for CertificatesError {}
