//! The cryptography that the features chose, and what is made with it from PEM.
//!
//! Never: uses the process-wide default provider; reads a file.

use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::{self, PemObject};
use rustls::version::{TLS12, TLS13};
use rustls::{OtherError, SupportedProtocolVersion};

use crate::Error;

pub(crate) const VERSIONS: &[&SupportedProtocolVersion] = &[&TLS13, &TLS12];

/// The cryptography the features chose: ring where it is enabled, else AWS-LC.
pub(crate) fn default() -> Arc<CryptoProvider> {
    #[cfg(feature = "ring")]
    return Arc::new(rustls::crypto::ring::default_provider());
    #[cfg(not(feature = "ring"))]
    return Arc::new(rustls::crypto::aws_lc_rs::default_provider());
}

pub(crate) fn pem_error(what: &'static str) -> impl Fn(pem::Error) -> Error {
    move |error| Error::config(what, rustls::Error::Other(OtherError(Arc::new(error))))
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
