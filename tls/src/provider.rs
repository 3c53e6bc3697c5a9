//! The cryptography that the features bring: one is named for each context, none for the process.
//!
//! Never: uses the process-wide default provider; reads a file.

use std::sync::Arc;

use rustls::SupportedProtocolVersion;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::{self, PemObject};
use rustls::server::ProducesTickets;
use rustls::version::{TLS12, TLS13};

use crate::Error;

pub(crate) const VERSIONS: &[&SupportedProtocolVersion] = &[&TLS13, &TLS12];

/// The cryptography of a context for which none is named: ring where that feature is enabled, else
/// AWS-LC.
#[cfg(any(feature = "ring", feature = "aws-lc-rs"))]
pub fn default() -> Arc<CryptoProvider> {
    #[cfg(feature = "ring")]
    return ring();
    #[cfg(not(feature = "ring"))]
    return aws_lc_rs();
}

/// The provider that was named, else the [`default`].
pub(crate) fn or_default(named: Option<Arc<CryptoProvider>>) -> Result<Arc<CryptoProvider>, Error> {
    #[cfg(any(feature = "ring", feature = "aws-lc-rs"))]
    let default = Some(default());
    #[cfg(not(any(feature = "ring", feature = "aws-lc-rs")))]
    let default = None;
    let what = "no feature brings a provider, and none was given";
    named.or(default).ok_or(Error::Config { what, source: None })
}

/// The cryptography of the crate ring, as rustls chooses from it.
#[cfg(feature = "ring")]
pub fn ring() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// The cryptography of AWS-LC, as rustls chooses from it. It prefers the key exchange
/// X25519MLKEM768, which a quantum computer does not break.
#[cfg(feature = "aws-lc-rs")]
pub fn aws_lc_rs() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

/// What seals session tickets, by keys that are made anew every six hours: of the library that the
/// provider is made of, else of the [`default`].
pub(crate) fn ticketer(provider: &CryptoProvider) -> Result<Arc<dyn ProducesTickets>, Error> {
    #[cfg(feature = "aws-lc-rs")]
    if cfg!(not(feature = "ring")) || is_of_aws_lc(provider) {
        return rustls::crypto::aws_lc_rs::Ticketer::new().map_err(keyless);
    }
    #[cfg(not(feature = "aws-lc-rs"))]
    let _ = provider;
    #[cfg(feature = "ring")]
    return rustls::crypto::ring::Ticketer::new().map_err(keyless);
    #[cfg(not(feature = "ring"))]
    Err(Error::Config { what: "no feature brings keys for tickets", source: None })
}

#[cfg(any(feature = "ring", feature = "aws-lc-rs"))]
fn keyless(error: rustls::Error) -> Error {
    Error::internal("no keys for tickets", Some(error))
}

/// A provider does not tell its name, but what it is made of has an address.
#[cfg(feature = "aws-lc-rs")]
fn is_of_aws_lc(provider: &CryptoProvider) -> bool {
    let all = rustls::crypto::aws_lc_rs::ALL_KX_GROUPS;
    let is_known = |group| all.iter().any(|known| std::ptr::addr_eq(*known, group));
    provider.kx_groups.iter().any(|group| is_known(*group))
}

pub(crate) fn pem_error(what: &'static str) -> impl Fn(pem::Error) -> Error {
    move |error| Error::config_other(what, error)
}

pub(crate) fn certificates(
    what: &'static str,
    pem: &[u8],
) -> Result<Vec<CertificateDer<'static>>, Error> {
    let found = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<Vec<_>, _>>()
        .map_err(pem_error(what))?;
    if found.is_empty() {
        return Err(pem_error(what)(pem::Error::NoItemsFound));
    }
    Ok(found)
}

#[cfg(all(test, any(feature = "ring", feature = "aws-lc-rs")))]
mod tests {
    use super::*;

    /// Tickets of one library have other lengths than those of the other.
    fn ticket_len(provider: &CryptoProvider) -> usize {
        let sealed = ticketer(provider).expect("keys").encrypt(&[1; 100]);
        sealed.expect("sealed").len()
    }

    #[test]
    #[cfg(all(feature = "ring", feature = "aws-lc-rs"))]
    fn each_provider_seals_its_tickets_itself() {
        // Key name, nonce, tag; and key name, vector, whole blocks, HMAC-SHA256.
        assert_eq!(ticket_len(&ring()), 16 + 12 + 100 + 16);
        assert_eq!(ticket_len(&aws_lc_rs()), 16 + 16 + 112 + 32);
        assert_eq!(ticket_len(&default()), ticket_len(&ring()));
    }

    #[test]
    fn a_provider_of_unknown_make_has_tickets_too() {
        let mut bare = CryptoProvider::clone(&default());
        bare.kx_groups.clear();
        assert_eq!(ticket_len(&bare), ticket_len(&default()));
    }
}
