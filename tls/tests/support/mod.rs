//! Certificates made at run time, contexts made of them, and two sessions back to back.
//!
//! Never: keeps a key on disk.

#![allow(dead_code, reason = "each test binary uses its part")]

pub(crate) mod chain;
pub(crate) mod count;
pub(crate) mod forge;
pub(crate) mod hello;
pub(crate) mod old;

use std::cell::RefCell;
use std::sync::{Arc, LazyLock};

use rustls::crypto::CryptoProvider;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};
use shardpoll_tls::{
    Certificate, Certificates, ClientContext, Error, Progress, Roots, ServerContext,
    ServerContextBuilder, Session,
};

pub(crate) const VERSIONS: [&SupportedProtocolVersion; 2] = [&TLS12, &TLS13];
pub(crate) const NAME: &str = "shard.example";

/// Makes a test of each of these functions for each provider that the features bring.
macro_rules! on_each_provider {
    ($($name:ident),+ $(,)?) => {
        #[cfg(feature = "ring")]
        mod ring {
            $(
                #[test]
                fn $name() {
                    crate::support::on(shardpoll_tls::provider::ring(), super::$name);
                }
            )+
        }
        #[cfg(feature = "aws-lc-rs")]
        mod aws_lc_rs {
            $(
                #[test]
                fn $name() {
                    crate::support::on(shardpoll_tls::provider::aws_lc_rs(), super::$name);
                }
            )+
        }
    };
}

thread_local! {
    static PROVIDER: RefCell<Option<Arc<CryptoProvider>>> = const { RefCell::new(None) };
}

/// Runs a test on a provider.
pub(crate) fn on(provider: Arc<CryptoProvider>, test: fn()) {
    with(&provider, test);
    let process_wide = CryptoProvider::get_default();
    assert!(process_wide.is_none(), "a provider was installed for the process: {process_wide:?}");
}

/// Makes something with a provider.
pub(crate) fn with<R>(provider: &Arc<CryptoProvider>, make: impl FnOnce() -> R) -> R {
    PROVIDER.set(Some(Arc::clone(provider)));
    make()
}

/// The cryptography of the running test.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    PROVIDER.with_borrow(Option::clone).expect("tests run on a provider")
}

pub(crate) struct Identity {
    pub(crate) cert: String,
    pub(crate) key: String,
}

impl Identity {
    pub(crate) fn new(algorithm: &'static rcgen::SignatureAlgorithm) -> Self {
        let key = rcgen::KeyPair::generate_for(algorithm).unwrap();
        let mut params = rcgen::CertificateParams::new([NAME.to_string()]).unwrap();
        // One issuer for each identity: else one authority looks like a bad copy of the other.
        params.distinguished_name.push(rcgen::DnType::CommonName, format!("{algorithm:?}"));
        Self { cert: params.self_signed(&key).unwrap().pem(), key: key.serialize_pem() }
    }

    /// A certificate for this name only.
    pub(crate) fn of(name: &str) -> Self {
        Self::made(name, |_| {})
    }

    /// A certificate for this name, changed before it is signed.
    pub(crate) fn made(name: &str, change: impl FnOnce(&mut rcgen::CertificateParams)) -> Self {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::new([name.to_string()]).unwrap();
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        change(&mut params);
        Self { cert: params.self_signed(&key).unwrap().pem(), key: key.serialize_pem() }
    }

    pub(crate) fn der(&self) -> Vec<u8> {
        CertificateDer::from_pem_slice(self.cert.as_bytes()).unwrap().to_vec()
    }

    pub(crate) fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(self.cert.as_bytes()).unwrap()).unwrap();
        roots
    }

    pub(crate) fn certificate(&self) -> Certificate {
        let (chain, key) = (self.cert.as_bytes(), self.key.as_bytes());
        Certificate::from_pem_with(chain, key, &provider()).unwrap()
    }

    /// A server of this certificate, with all else to be said.
    pub(crate) fn builder(&self) -> ServerContextBuilder {
        ServerContext::builder(Certificates::single(self.certificate())).provider(provider())
    }

    pub(crate) fn server(&self) -> ServerContext {
        self.builder().build().unwrap()
    }

    /// A client configuration that trusts this identity only.
    pub(crate) fn client_config(&self, version: &'static SupportedProtocolVersion) -> ClientConfig {
        ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(&[version])
            .unwrap()
            .with_root_certificates(self.roots())
            .with_no_client_auth()
    }

    pub(crate) fn client(&self, version: &'static SupportedProtocolVersion) -> ClientContext {
        ClientContext::new(Arc::new(self.client_config(version)))
    }
}

pub(crate) static P256: LazyLock<Identity> =
    LazyLock::new(|| Identity::new(&rcgen::PKCS_ECDSA_P256_SHA256));
pub(crate) static ED25519: LazyLock<Identity> =
    LazyLock::new(|| Identity::new(&rcgen::PKCS_ED25519));

/// A client of this version that accepts any certificate.
pub(crate) fn insecure(version: &'static SupportedProtocolVersion) -> ClientContext {
    let builder = ClientContext::builder(Roots::none()).insecure();
    builder.provider(provider()).versions(&[version]).build().unwrap()
}

pub(crate) fn insecure_config(version: &'static SupportedProtocolVersion) -> ClientConfig {
    ClientConfig::clone(insecure(version).config())
}

/// One session, what it has been given, and what it owes.
pub(crate) struct End {
    pub(crate) session: Session,
    pub(crate) plain: Vec<u8>,
    pub(crate) wire: Vec<u8>,
    pub(crate) established: usize,
    pub(crate) peer_closed: bool,
}

impl End {
    pub(crate) fn new(session: Session) -> Self {
        Self { session, plain: Vec::new(), wire: Vec::new(), established: 0, peer_closed: false }
    }

    /// Feeds bytes that must be accepted, and keeps account of what they led to.
    pub(crate) fn feed(&mut self, mut bytes: Vec<u8>) -> Progress {
        let progress =
            self.session.receive(&mut bytes, &mut self.plain, &mut self.wire).expect("accepted");
        self.established += usize::from(progress == Progress::Established);
        if progress == Progress::PeerClosed {
            assert!(self.session.peer_closed());
        }
        self.peer_closed |= self.session.peer_closed();
        progress
    }

    /// Feeds bytes that must be refused.
    pub(crate) fn refuse(&mut self, mut bytes: Vec<u8>) -> Error {
        let read = self.session.receive(&mut bytes, &mut self.plain, &mut self.wire);
        assert_eq!(self.session.buffered(), 0, "a failed session keeps nothing");
        read.expect_err("refused")
    }

    pub(crate) fn send(&mut self, plain: &[u8]) {
        self.session.send(plain, &mut self.wire).expect("sealed");
    }

    pub(crate) fn close(&mut self) {
        self.session.close(&mut self.wire);
    }

    pub(crate) fn owed(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.wire)
    }

    pub(crate) fn received(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.plain)
    }
}

pub(crate) struct Pair {
    pub(crate) client: End,
    pub(crate) server: End,
}

impl Pair {
    pub(crate) fn new(client: &ClientContext, server: &ServerContext) -> Self {
        Self::to(NAME, client, server)
    }

    /// A client that takes the server for this host, or address.
    pub(crate) fn to(host: &str, client: &ClientContext, server: &ServerContext) -> Self {
        let name = host.to_owned().try_into().unwrap();
        let mut pair = Self {
            client: End::new(Session::client(client, name).unwrap()),
            server: End::new(Session::server(server).unwrap()),
        };
        let started = pair.client.session.start(&mut pair.client.wire).unwrap();
        assert_eq!(started, Progress::Handshaking);
        let started = pair.server.session.start(&mut pair.server.wire).unwrap();
        assert_eq!((started, pair.server.wire.len()), (Progress::Handshaking, 0));
        pair
    }

    pub(crate) fn of(identity: &Identity, version: &'static SupportedProtocolVersion) -> Self {
        Self::new(&identity.client(version), &identity.server())
    }

    /// Carries whole outputs back and forth until both sides owe nothing.
    pub(crate) fn settle(&mut self) {
        while !self.client.wire.is_empty() || !self.server.wire.is_empty() {
            self.server.feed(self.client.owed());
            self.client.feed(self.server.owed());
        }
    }

    pub(crate) fn established(
        identity: &Identity,
        version: &'static SupportedProtocolVersion,
    ) -> Self {
        let mut pair = Self::of(identity, version);
        pair.settle();
        assert_eq!((pair.client.established, pair.server.established), (1, 1));
        pair
    }
}

/// The records in `wire`, by content type and payload; panics if the last is incomplete.
pub(crate) fn records(mut wire: &[u8]) -> Vec<(u8, &[u8])> {
    let mut records = Vec::new();
    while !wire.is_empty() {
        let len = usize::from(u16::from_be_bytes([wire[3], wire[4]]));
        records.push((wire[0], &wire[5..5 + len]));
        wire = &wire[5 + len..];
    }
    records
}
