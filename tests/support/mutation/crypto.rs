//! Cryptography that a seed repeats, and whose records can be changed before they are sealed.
//!
//! All randomness and all time come from the thread's seed, keys are exchanged by a toy, and
//! Ed25519 signs the same thing the same way. The rest is that of the provider in use.
//!
//! Never: is safe; it is for these tests.

use super::change::Changer;
use fastrand::Rng;
use shardpoll::tls::rustls::crypto::cipher::{
    AeadKey, Iv, KeyBlockShape, MessageDecrypter, MessageEncrypter, OutboundOpaqueMessage,
    OutboundPlainMessage, Tls12AeadAlgorithm, Tls13AeadAlgorithm, UnsupportedOperationError,
};
use shardpoll::tls::rustls::crypto::{
    ActiveKeyExchange, CryptoProvider, GetRandomFailed, SecureRandom, SharedSecret,
    SupportedKxGroup,
};
use shardpoll::tls::rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer, UnixTime};
use shardpoll::tls::rustls::server::WebPkiClientVerifier;
use shardpoll::tls::rustls::time_provider::TimeProvider;
use shardpoll::tls::rustls::{
    CipherSuiteCommon, ClientConfig, ConnectionTrafficSecrets, Error, NamedGroup, PeerMisbehaved,
    RootCertStore, ServerConfig, SupportedCipherSuite, Tls12CipherSuite, Tls13CipherSuite, version,
};
use shardpoll::tls::{ClientContext, ServerContext};
use std::cell::{Cell, RefCell};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

thread_local! {
    static RANDOM: RefCell<Rng> = const { RefCell::new(Rng::with_seed(0)) };
    /// Changes what is sealed on this thread, while it is there.
    static BENT: Cell<Option<Changer>> = const { Cell::new(None) };
}

/// The name in the certificate.
pub(super) const NAME: &str = "shard.example";

/// A PKCS #8 key of Ed25519, but for its 32 bytes (RFC 8410, section 7).
const KEY_HEAD: [u8; 16] = [0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];

/// Makes the thread's randomness that of a seed, and its records honest.
pub(super) fn begin(seed: u64) {
    RANDOM.set(Rng::with_seed(seed));
    BENT.set(None);
}

/// Runs a session; with a changer its records are changed before they are sealed.
pub(super) fn bent<R>(changer: &mut Option<Changer>, run: impl FnOnce() -> R) -> R {
    BENT.set(changer.take());
    let result = run();
    *changer = BENT.take();
    result
}

/// The contexts of a case.
#[derive(Debug)]
pub(super) struct Contexts {
    pub(super) client: ClientContext,
    pub(super) server: ServerContext,
}

/// Everything that a seed may choose of two contexts.
pub(super) fn contexts(rng: &mut Rng) -> Contexts {
    let known = &*KNOWN;
    let versions: &[_] = if rng.bool() { &[&version::TLS13] } else { &[&version::TLS12] };
    let (provider, time) = (known.provider.clone(), Arc::new(Fixed));
    let (chain, key) = (vec![known.cert.clone()], || known.key.clone_key().into());
    let server = ServerConfig::builder_with_details(provider.clone(), time.clone())
        .with_protocol_versions(&[&version::TLS13, &version::TLS12])
        .expect("suites for both");
    let asks_client = rng.u8(..4) == 0;
    let server = if asks_client {
        let verifier = WebPkiClientVerifier::builder_with_provider(roots(), provider.clone());
        server.with_client_cert_verifier(verifier.build().expect("an authority is there"))
    } else {
        server.with_no_client_auth()
    };
    let mut server = server.with_single_cert(chain.clone(), key()).expect("they fit");
    let client = ClientConfig::builder_with_details(provider, time)
        .with_protocol_versions(versions)
        .expect("suites for both")
        .with_root_certificates(roots());
    let mut client = client.with_client_auth_cert(chain, key()).expect("they fit");
    let sizes = [None, None, None, Some(32), Some(500)];
    server.max_fragment_size = sizes[rng.usize(..sizes.len())];
    client.max_fragment_size = sizes[rng.usize(..sizes.len())];
    if rng.bool() {
        server.alpn_protocols = vec![b"xmpp-client".to_vec(), b"smtp".to_vec()];
        client.alpn_protocols = vec![b"smtp".to_vec()];
    }
    let (client, server) = (ClientContext::new(client.into()), ServerContext::new(server.into()));
    Contexts { client: client.with_exporter(), server: server.with_exporter() }
}

struct Known {
    provider: Arc<CryptoProvider>,
    cert: CertificateDer<'static>,
    key: PrivatePkcs8KeyDer<'static>,
}

static KNOWN: LazyLock<Known> = LazyLock::new(|| {
    let key = PrivatePkcs8KeyDer::from([&KEY_HEAD[..], &[7; 32]].concat());
    let pair = rcgen::KeyPair::try_from(&key).expect("a key like any other");
    let params = rcgen::CertificateParams::new([NAME.to_owned()]).expect("a name");
    let cert = params.self_signed(&pair).expect("it can sign").der().clone();
    let honest = ClientContext::insecure().config().crypto_provider().clone();
    let mut provider = CryptoProvider::clone(&honest);
    provider.secure_random = &Seeded;
    provider.kx_groups = vec![&Toy];
    provider.cipher_suites = honest.cipher_suites.iter().copied().map(bendable).collect();
    Known { provider: Arc::new(provider), cert, key }
});

fn roots() -> Arc<RootCertStore> {
    let mut roots = RootCertStore::empty();
    roots.add(KNOWN.cert.clone()).expect("made a moment ago");
    Arc::new(roots)
}

/// A time in 2030.
#[derive(Debug)]
struct Fixed;

impl TimeProvider for Fixed {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(Duration::from_secs(1_893_456_000)))
    }
}

#[derive(Debug)]
struct Seeded;

impl SecureRandom for Seeded {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), GetRandomFailed> {
        RANDOM.with_borrow_mut(|rng| rng.fill(bytes));
        Ok(())
    }
}

/// The secret of both is what their shares differ in.
#[derive(Debug)]
struct Toy;

struct Share([u8; 32]);

impl SupportedKxGroup for Toy {
    fn start(&self) -> Result<Box<dyn ActiveKeyExchange>, Error> {
        let mut share = [0; 32];
        RANDOM.with_borrow_mut(|rng| rng.fill(&mut share));
        Ok(Box::new(Share(share)))
    }

    fn name(&self) -> NamedGroup {
        NamedGroup::X25519
    }
}

impl ActiveKeyExchange for Share {
    fn complete(self: Box<Self>, peer: &[u8]) -> Result<SharedSecret, Error> {
        if peer.len() != self.0.len() {
            return Err(PeerMisbehaved::InvalidKeyShare.into());
        }
        let secret: Vec<u8> = self.0.iter().zip(peer).map(|(own, peer)| own ^ peer).collect();
        Ok(secret.into())
    }

    fn pub_key(&self) -> &[u8] {
        &self.0
    }

    fn group(&self) -> NamedGroup {
        NamedGroup::X25519
    }
}

/// The same suite, whose records can be changed.
fn bendable(honest: SupportedCipherSuite) -> SupportedCipherSuite {
    let common = |common: &CipherSuiteCommon| CipherSuiteCommon {
        suite: common.suite,
        hash_provider: common.hash_provider,
        confidentiality_limit: common.confidentiality_limit,
    };
    match honest {
        SupportedCipherSuite::Tls13(suite) => {
            SupportedCipherSuite::Tls13(Box::leak(Box::new(Tls13CipherSuite {
                common: common(&suite.common),
                hkdf_provider: suite.hkdf_provider,
                aead_alg: Box::leak(Box::new(Bendable(suite.aead_alg))),
                quic: None,
            })))
        }
        SupportedCipherSuite::Tls12(suite) => {
            SupportedCipherSuite::Tls12(Box::leak(Box::new(Tls12CipherSuite {
                common: common(&suite.common),
                prf_provider: suite.prf_provider,
                kx: suite.kx,
                sign: suite.sign,
                aead_alg: Box::leak(Box::new(Bendable(suite.aead_alg))),
            })))
        }
    }
}

struct Bendable<A: ?Sized + 'static>(&'static A);

impl Tls13AeadAlgorithm for Bendable<dyn Tls13AeadAlgorithm> {
    fn encrypter(&self, key: AeadKey, iv: Iv) -> Box<dyn MessageEncrypter> {
        Box::new(Bending(self.0.encrypter(key, iv)))
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

impl Tls12AeadAlgorithm for Bendable<dyn Tls12AeadAlgorithm> {
    fn encrypter(&self, key: AeadKey, iv: &[u8], extra: &[u8]) -> Box<dyn MessageEncrypter> {
        Box::new(Bending(self.0.encrypter(key, iv, extra)))
    }

    fn decrypter(&self, key: AeadKey, iv: &[u8]) -> Box<dyn MessageDecrypter> {
        self.0.decrypter(key, iv)
    }

    fn key_block_shape(&self) -> KeyBlockShape {
        self.0.key_block_shape()
    }

    fn extract_keys(
        &self,
        key: AeadKey,
        iv: &[u8],
        explicit: &[u8],
    ) -> Result<ConnectionTrafficSecrets, UnsupportedOperationError> {
        self.0.extract_keys(key, iv, explicit)
    }
}

struct Bending(Box<dyn MessageEncrypter>);

impl MessageEncrypter for Bending {
    fn encrypt(
        &mut self,
        honest: OutboundPlainMessage<'_>,
        seq: u64,
    ) -> Result<OutboundOpaqueMessage, Error> {
        let Some(mut changer) = BENT.take() else { return self.0.encrypt(honest, seq) };
        let mut kind = honest.typ.into();
        let mut payload = honest.payload.to_vec();
        changer.change_record(&mut kind, &mut payload);
        BENT.set(Some(changer));
        let payload = payload.as_slice().into();
        self.0.encrypt(OutboundPlainMessage { typ: kind.into(), payload, ..honest }, seq)
    }

    fn encrypted_payload_len(&self, payload_len: usize) -> usize {
        self.0.encrypted_payload_len(payload_len)
    }
}
