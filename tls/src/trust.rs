//! Verifiers of certificates that rustls does not bring.
//!
//! Never: accepts a false signature of a handshake.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature,
};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, SignatureScheme};

use crate::Roots;
use crate::judge::{self, Judge};
use crate::pkix::Chain;

/// The signature of a handshake is checked whatever the certificate is worth: else its key could
/// be anybody's.
macro_rules! signatures_are_checked {
    () => {
        fn verify_tls12_signature(
            &self,
            message: &[u8],
            cert: &CertificateDer<'_>,
            dss: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, rustls::Error> {
            let algorithms = self.algorithms();
            verify_tls12_signature(message, cert, dss, algorithms)
        }

        fn verify_tls13_signature(
            &self,
            message: &[u8],
            cert: &CertificateDer<'_>,
            dss: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, rustls::Error> {
            let algorithms = self.algorithms();
            verify_tls13_signature(message, cert, dss, algorithms)
        }

        fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
            self.algorithms().supported_schemes()
        }
    };
}

/// Accepts every certificate, but not a false signature of the handshake.
#[derive(Debug)]
pub(crate) struct AnyCertificate(pub(crate) Arc<CryptoProvider>);

impl AnyCertificate {
    fn algorithms(&self) -> &WebPkiSupportedAlgorithms {
        &self.0.signature_verification_algorithms
    }
}

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

    signatures_are_checked!();
}

/// Has servers judged, and refuses those that nobody vouches for unless it only records.
#[derive(Debug)]
pub(crate) struct JudgedServer {
    pub(crate) judge: Arc<Judge>,
    pub(crate) records_only: bool,
}

impl JudgedServer {
    fn algorithms(&self) -> &WebPkiSupportedAlgorithms {
        &self.judge.algorithms
    }
}

impl ServerCertVerifier for JudgedServer {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let chain = Chain { leaf: end_entity, others: intermediates };
        let verdict = self.judge.judge(chain, Some(server_name), now);
        judge::hand_over(verdict.clone());
        if self.records_only || verdict.is_ok() {
            Ok(ServerCertVerified::assertion())
        } else {
            Err(verdict.into_error(now))
        }
    }

    signatures_are_checked!();
}

/// What a server records of its clients: the verifier for its configuration, and the judge for
/// [`ServerContext`](crate::ServerContext), whose sessions then have a verdict.
///
/// Clients are asked for a certificate and need not show one; whatever they show passes.
pub(crate) fn recording_client_verifier(
    roots: Roots,
    provider: &CryptoProvider,
) -> (Arc<dyn ClientCertVerifier>, Arc<Judge>) {
    let algorithms = provider.signature_verification_algorithms;
    let judge = Arc::new(Judge { roots, algorithms, dane: None });
    (Arc::new(RecordedClient(Arc::clone(&judge))), judge)
}

/// Has clients judged, and lets them pass.
#[derive(Debug)]
struct RecordedClient(Arc<Judge>);

impl RecordedClient {
    fn algorithms(&self) -> &WebPkiSupportedAlgorithms {
        &self.0.algorithms
    }
}

impl ClientCertVerifier for RecordedClient {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        // A hint would keep clients back whose certificates others have issued.
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        let chain = Chain { leaf: end_entity, others: intermediates };
        judge::hand_over(self.0.judge(chain, None, now));
        Ok(ClientCertVerified::assertion())
    }

    signatures_are_checked!();
}
