//! A provider that counts what TLS 1.3 seals: no number may be used twice under one key.
//!
//! Never: looks at TLS 1.2.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};

use rustls::crypto::CryptoProvider;
use rustls::crypto::cipher::{
    AeadKey, Iv, MessageDecrypter, MessageEncrypter, OutboundOpaqueMessage, OutboundPlainMessage,
    Tls13AeadAlgorithm, UnsupportedOperationError,
};
use rustls::{
    CipherSuite, CipherSuiteCommon, ConnectionTrafficSecrets, Error, SupportedCipherSuite,
    Tls13CipherSuite,
};

/// By key and nonce base: the numbers of what was sealed.
pub(crate) type Sealed = Arc<Mutex<HashMap<Vec<u8>, HashSet<u64>>>>;

/// A provider of this suite alone, whose keys are worn out after so many records.
pub(crate) fn provider(which: CipherSuite, limit: u64) -> (Arc<CryptoProvider>, Sealed) {
    let mut provider = CryptoProvider::clone(&super::provider());
    let suites = provider.cipher_suites.iter();
    let honest = suites.copied().find(|suite| suite.suite() == which).and_then(|s| s.tls13());
    let honest = honest.expect("a suite of TLS 1.3");
    let sealed = Sealed::default();
    let suite = Tls13CipherSuite {
        common: CipherSuiteCommon {
            suite: which,
            hash_provider: honest.common.hash_provider,
            confidentiality_limit: limit,
        },
        hkdf_provider: honest.hkdf_provider,
        aead_alg: Box::leak(Box::new(Counting(honest.aead_alg, Arc::clone(&sealed)))),
        quic: None,
    };
    provider.cipher_suites = vec![SupportedCipherSuite::Tls13(Box::leak(Box::new(suite)))];
    (Arc::new(provider), sealed)
}

struct Counting(&'static dyn Tls13AeadAlgorithm, Sealed);

impl Tls13AeadAlgorithm for Counting {
    fn encrypter(&self, key: AeadKey, iv: Iv) -> Box<dyn MessageEncrypter> {
        let key_and_iv = [key.as_ref(), iv.as_ref()].concat();
        Box::new(Counted(self.0.encrypter(key, iv), key_and_iv, Arc::clone(&self.1)))
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

struct Counted(Box<dyn MessageEncrypter>, Vec<u8>, Sealed);

impl MessageEncrypter for Counted {
    fn encrypt(
        &mut self,
        message: OutboundPlainMessage<'_>,
        seq: u64,
    ) -> Result<OutboundOpaqueMessage, Error> {
        // The empty one is wiped out by who seals it, unseen: it begins AWS-LC's counting.
        if seq > 0 || !message.payload.is_empty() {
            let mut sealed = self.2.lock().expect("no panic");
            assert!(sealed.entry(self.1.clone()).or_default().insert(seq), "{seq} is used twice");
        }
        self.0.encrypt(message, seq)
    }

    fn encrypted_payload_len(&self, payload_len: usize) -> usize {
        self.0.encrypted_payload_len(payload_len)
    }
}
