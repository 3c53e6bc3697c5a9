//! Contexts for the common cases, with the cryptography that the features chose.
//!
//! Never: uses the process-wide default provider; reads a file.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::version::{TLS12, TLS13};
use rustls::{
    ClientConfig, DigitallySignedStruct, OtherError, RootCertStore, ServerConfig, SignatureScheme,
    SupportedProtocolVersion,
};

use crate::{ClientContext, Error, ServerContext};

const VERSIONS: &[&SupportedProtocolVersion] = &[&TLS13, &TLS12];

/// The cryptography the features chose: ring where it is enabled, else AWS-LC.
fn provider() -> Arc<CryptoProvider> {
    #[cfg(feature = "ring")]
    return Arc::new(rustls::crypto::ring::default_provider());
    #[cfg(not(feature = "ring"))]
    return Arc::new(rustls::crypto::aws_lc_rs::default_provider());
}

fn pem_error(what: &'static str) -> impl Fn(pem::Error) -> Error {
    move |error| Error::config(what, rustls::Error::Other(OtherError(Arc::new(error))))
}

fn certificates(what: &'static str, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, Error> {
    let found = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<Vec<_>, _>>()
        .map_err(pem_error(what))?;
    if found.is_empty() {
        return Err(pem_error(what)(pem::Error::NoItemsFound));
    }
    Ok(found)
}

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
        let chain = certificates("server certificate chain", certs)?;
        let key = PrivateKeyDer::from_pem_slice(key).map_err(pem_error("private key"))?;
        let config = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(VERSIONS)
            .map_err(|error| Error::config("protocol versions", error))?
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .map_err(|error| Error::config("server certificate and key", error))?;
        Ok(Self::new(Arc::new(config)))
    }
}

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
        for root in certificates("trusted roots", pem)? {
            roots.add(root).map_err(|error| Error::config("trusted roots", error))?;
        }
        let config = ClientConfig::builder_with_provider(provider())
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
        let provider = provider();
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

/// Accepts every certificate, but not a false signature of the handshake.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls12_signature(message, cert, dss, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
