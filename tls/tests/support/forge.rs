//! A provider whose TLS 1.3 records can be forged: correctly sealed, of any type and length.
//!
//! A record whose payload begins with [`MARK`] is sealed as a record of the type that follows, with
//! what follows that as its payload.
//!
//! Never: forges anything for a session that does not send the mark.

use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::crypto::cipher::{
    AeadKey, Iv, MessageDecrypter, MessageEncrypter, OutboundOpaqueMessage, OutboundPlainMessage,
    Tls13AeadAlgorithm, UnsupportedOperationError,
};
use rustls::version::TLS13;
use rustls::{
    CipherSuite, CipherSuiteCommon, ClientConfig, ConnectionTrafficSecrets, Error,
    SupportedCipherSuite, Tls13CipherSuite,
};
use shardpoll_tls::ClientContext;

use super::{P256, Pair};

const MARK: &[u8] = b"\0forge\0";

pub(crate) const ALERT: u8 = 21;
pub(crate) const HANDSHAKE: u8 = 22;
pub(crate) const APPLICATION_DATA: u8 = 23;

/// Not a content type: asks for application data of two bytes more than a record may hold.
pub(crate) const OVERSIZED: u8 = 255;

/// What to send for a record of this type with this payload.
pub(crate) fn forged(kind: u8, payload: &[u8]) -> Vec<u8> {
    let mut order = [MARK, &[kind], payload].concat();
    if kind == OVERSIZED {
        // The sender makes room for what it believes to seal.
        order.resize(1 << 14, 0);
    }
    order
}

pub(crate) fn provider() -> Arc<CryptoProvider> {
    let mut provider = CryptoProvider::clone(&super::provider());
    provider.cipher_suites.retain(|suite| suite.suite() == CipherSuite::TLS13_AES_128_GCM_SHA256);
    let honest = provider.cipher_suites[0].tls13().expect("a TLS 1.3 suite");
    let suite = Tls13CipherSuite {
        common: CipherSuiteCommon {
            suite: honest.common.suite,
            hash_provider: honest.common.hash_provider,
            confidentiality_limit: honest.common.confidentiality_limit,
        },
        hkdf_provider: honest.hkdf_provider,
        aead_alg: Box::leak(Box::new(Forger(honest.aead_alg))),
        quic: None,
    };
    provider.cipher_suites = vec![SupportedCipherSuite::Tls13(Box::leak(Box::new(suite)))];
    Arc::new(provider)
}

struct Forger(&'static dyn Tls13AeadAlgorithm);

impl Tls13AeadAlgorithm for Forger {
    fn encrypter(&self, key: AeadKey, iv: Iv) -> Box<dyn MessageEncrypter> {
        Box::new(Encrypter(self.0.encrypter(key, iv)))
    }

    fn decrypter(&self, key: AeadKey, iv: Iv) -> Box<dyn MessageDecrypter> {
        self.0.decrypter(key, iv)
    }

    fn key_len(&self) -> usize {
        self.0.key_len()
    }

    fn extract_keys(
        &self,
        key: AeadKey,
        iv: Iv,
    ) -> Result<ConnectionTrafficSecrets, UnsupportedOperationError> {
        self.0.extract_keys(key, iv)
    }
}

struct Encrypter(Box<dyn MessageEncrypter>);

impl MessageEncrypter for Encrypter {
    fn encrypt(
        &mut self,
        honest: OutboundPlainMessage<'_>,
        seq: u64,
    ) -> Result<OutboundOpaqueMessage, Error> {
        let payload = honest.payload.to_vec();
        let Some((kind, payload)) = payload.strip_prefix(MARK).and_then(<[u8]>::split_first) else {
            return self.0.encrypt(honest, seq);
        };
        let (kind, payload) = match *kind {
            OVERSIZED => (APPLICATION_DATA, &[1; (1 << 14) + 2][..]),
            kind => (kind, payload),
        };
        let version = honest.version;
        let forged = OutboundPlainMessage { typ: kind.into(), version, payload: payload.into() };
        self.0.encrypt(forged, seq)
    }

    fn encrypted_payload_len(&self, payload_len: usize) -> usize {
        self.0.encrypted_payload_len(payload_len)
    }
}

/// Established sessions whose client can forge records.
pub(crate) fn client() -> Pair {
    let config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])
        .unwrap()
        .with_root_certificates(P256.roots())
        .with_no_client_auth();
    let mut pair = Pair::new(&ClientContext::new(Arc::new(config)), &P256.server());
    pair.settle();
    pair
}
