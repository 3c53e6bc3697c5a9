//! Channel binding: both sides of a session have the same values, and no other session has them.
//!
//! Never: checks the values against another implementation; `scripts/peers-binding.sh` does.

#![cfg(any(feature = "ring", feature = "aws-lc-rs"))]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[macro_use]
mod support;

use std::collections::HashSet;
use std::sync::{Arc, Mutex};

use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::version::TLS13;
use rustls::{
    ClientConfig, ClientConnection, Connection, KeyLog, ServerConfig, ServerConnection,
    SupportedCipherSuite, SupportedProtocolVersion,
};
use shardpoll_tls::{
    BindingError, Certificate, Certificates, ClientContext, DaneMode, Roots, ServerContext,
    Session, Tlsa,
};
use support::{ED25519, Identity, NAME, P256, Pair, VERSIONS};

on_each_provider! {
    both_sides_export_the_same_and_each_session_and_context_another,
    every_cipher_suite_exports,
    what_is_exported_is_what_rustls_buffered_connection_exports,
    a_context_that_was_not_asked_keeps_nothing,
    one_side_alone_may_be_asked,
    a_session_exports_nothing_before_its_handshake_is_done,
    what_cannot_be_derived_is_refused_by_its_cause,
    the_configurations_own_key_log_is_told_the_same_with_and_without_an_exporter,
    what_was_agreed_on_says_whether_it_was_resumed_and_by_which_group,
    both_sides_bind_to_the_servers_certificate_by_the_hash_of_its_signature,
    a_client_needs_not_be_asked_for_the_servers_end_point,
    a_session_resumed_over_an_exchange_of_certificates_binds_to_the_old_one_at_the_client_only,
    a_session_that_keeps_secrets_does_not_show_them,
    a_builder_asks_for_it_and_what_is_made_of_a_context_keeps_it,
}

const LABEL: &[u8] = b"EXPERIMENTAL shardpoll";

/// Contexts whose sessions can export, and can be resumed.
fn contexts(
    identity: &Identity,
    version: &'static SupportedProtocolVersion,
) -> (ClientContext, ServerContext) {
    (identity.client(version).with_exporter(), identity.server().with_exporter())
}

fn settled((client, server): &(ClientContext, ServerContext)) -> Pair {
    let mut pair = Pair::new(client, server);
    pair.settle();
    pair
}

fn export(session: &Session, len: usize, context: Option<&[u8]>) -> Result<Vec<u8>, BindingError> {
    let mut output = vec![0; len];
    session.export(&mut output, LABEL, context).map(|()| output)
}

/// What both sides of a pair derive, which must be the same.
fn exported(pair: &Pair, len: usize, context: Option<&[u8]>) -> Vec<u8> {
    let values = [&pair.client, &pair.server].map(|end| export(&end.session, len, context));
    assert_eq!(values[0], values[1]);
    values[0].clone().unwrap()
}

fn both_sides_export_the_same_and_each_session_and_context_another() {
    // RFC 5705, RFC 8446 section 7.5
    for version in VERSIONS {
        let contexts = contexts(&P256, version);
        let mut seen = HashSet::new();
        for resumed in [false, true, true] {
            let pair = settled(&contexts);
            assert_eq!(pair.client.session.info().resumed(), Some(resumed));
            for context in [None, Some(&b"context"[..]), Some(b"other")] {
                assert!(seen.insert(exported(&pair, 32, context)), "{version:?}");
            }
            let empty = exported(&pair, 32, Some(b""));
            // RFC 8446 knows no difference between no context and an empty one, RFC 5705 does.
            assert_eq!(empty == exported(&pair, 32, None), version.version == TLS13.version);
            for len in [1, 31, 33, 255, 1000] {
                assert_eq!(exported(&pair, len, None).len(), len);
            }
        }
    }
}

/// A client whose provider has one cipher suite only.
fn client_of(suite: SupportedCipherSuite) -> ClientContext {
    let mut provider = CryptoProvider::clone(&support::provider());
    provider.cipher_suites = vec![suite];
    let config = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[suite.version()])
        .unwrap()
        .with_root_certificates(P256.roots())
        .with_no_client_auth();
    ClientContext::new(Arc::new(config)).with_exporter()
}

fn every_cipher_suite_exports() {
    let suites = support::provider().cipher_suites.clone();
    // The others need a certificate with an RSA key.
    for suite in suites.into_iter().filter(|suite| !format!("{suite:?}").contains("RSA")) {
        let pair = settled(&(client_of(suite), P256.server().with_exporter()));
        assert_eq!(pair.server.session.info().cipher_suite(), Some(suite));
        exported(&pair, 100, Some(b"context"));
    }
}

/// Carries bytes between a session and rustls' buffered connection, `piece` at a time.
fn play(session: &mut Session, other: &mut Connection, piece: usize) {
    let (mut plain, mut wire) = (Vec::new(), Vec::new());
    session.start(&mut wire).unwrap();
    while !session.is_established() || other.is_handshaking() {
        for part in std::mem::take(&mut wire).chunks(piece) {
            assert_eq!(other.read_tls(&mut &*part).unwrap(), part.len());
            other.process_new_packets().unwrap();
        }
        let mut answer = Vec::new();
        while other.wants_write() {
            other.write_tls(&mut answer).unwrap();
        }
        for part in answer.chunks_mut(piece) {
            session.receive(part, &mut plain, &mut wire).unwrap();
        }
    }
}

fn same_as_rustls(mut session: Session, mut other: Connection, piece: usize) {
    play(&mut session, &mut other, piece);
    for context in [None, Some(&b""[..]), Some(b"context")] {
        let theirs = other.export_keying_material([0; 77], LABEL, context).unwrap();
        assert_eq!(export(&session, 77, context).unwrap(), theirs);
    }
    let label = b"EXPORTER-Channel-Binding";
    let theirs = other.export_keying_material([0; 32], label, Some(b"")).unwrap();
    assert_eq!(session.info().tls_exporter(), Ok(theirs));
}

fn what_is_exported_is_what_rustls_buffered_connection_exports() {
    for version in VERSIONS {
        for piece in [1, 3, 100_000] {
            for max_fragment_size in [None, Some(32)] {
                let (client, server) = contexts(&P256, version);
                let mut config = ServerConfig::clone(server.config());
                config.max_fragment_size = max_fragment_size;
                let config = Arc::new(config);
                let ours = Session::client(&client, NAME.try_into().unwrap()).unwrap();
                let theirs = ServerConnection::new(config.clone()).unwrap();
                same_as_rustls(ours, theirs.into(), piece);

                let ours = ServerContext::new(config).with_exporter();
                let ours = Session::server(&ours).unwrap();
                let config = client.config().clone();
                let theirs = ClientConnection::new(config, NAME.try_into().unwrap()).unwrap();
                same_as_rustls(ours, theirs.into(), piece);
            }
        }
    }
}

fn a_context_that_was_not_asked_keeps_nothing() {
    for version in VERSIONS {
        let pair = Pair::established(&P256, version);
        for end in [&pair.client, &pair.server] {
            assert_eq!(export(&end.session, 32, None), Err(BindingError::NotKept));
            assert_eq!(end.session.info().tls_exporter(), Err(BindingError::NotKept));
        }
    }
}

fn one_side_alone_may_be_asked() {
    for version in VERSIONS {
        let pair = settled(&(P256.client(version).with_exporter(), P256.server()));
        export(&pair.client.session, 32, None).unwrap();
        assert_eq!(export(&pair.server.session, 32, None), Err(BindingError::NotKept));
    }
}

fn a_session_exports_nothing_before_its_handshake_is_done() {
    for version in VERSIONS {
        let (client, server) = contexts(&P256, version);
        let mut pair = Pair::new(&client, &server);
        let mut early = 0;
        while !pair.client.wire.is_empty() || !pair.server.wire.is_empty() {
            for end in [&pair.client.session, &pair.server.session] {
                let value = end.info().tls_exporter();
                assert_eq!(value.is_ok(), end.is_established());
                early += usize::from(value == Err(BindingError::Handshaking));
            }
            pair.server.feed(pair.client.owed());
            pair.client.feed(pair.server.owed());
        }
        assert!(early >= 2, "{early}");
    }
}

fn what_cannot_be_derived_is_refused_by_its_cause() {
    // RFC 8446 section 7.1, RFC 5705 section 4
    use BindingError as E;
    for version in VERSIONS {
        let pair = settled(&contexts(&P256, version));
        let session = &pair.client.session;
        let ask = |len: usize, label: &[u8], context: Option<&[u8]>| {
            session.export(&mut vec![0; len], label, context)
        };
        assert_eq!(ask(0, LABEL, None), Err(E::OutputLength { len: 0 }));
        assert_eq!(ask(32, b"", None), Err(E::LabelLength { len: 0 }));
        let is_13 = version.version == TLS13.version;
        let only = |in_13: bool, error: E| if is_13 == in_13 { Err(error) } else { Ok(()) };
        assert_eq!(ask(32, &[b'x'; 249], None), Ok(()));
        assert_eq!(ask(32, &[b'x'; 250], None), only(true, E::LabelLength { len: 250 }));
        for len in [255 * 48 + 1, 70_000] {
            assert_eq!(ask(len, LABEL, None), only(true, E::OutputLength { len }));
        }
        assert_eq!(ask(32, LABEL, Some(&[1; 65_535])), Ok(()));
        let long = E::ContextLength { len: 65_536 };
        assert_eq!(ask(32, LABEL, Some(&[1; 65_536])), only(false, long));
        assert_eq!(ask(32, b"master secret", None), only(false, E::LabelReserved));
        assert_eq!(ask(32, b"key expansion of mine", None), only(false, E::LabelReserved));
    }
}

/// Counts what it is told, by label.
#[derive(Debug, Default)]
struct Log(Mutex<Vec<String>>);

impl KeyLog for Log {
    fn log(&self, label: &str, _: &[u8], _: &[u8]) {
        self.0.lock().unwrap().push(label.to_owned());
    }
}

fn the_configurations_own_key_log_is_told_the_same_with_and_without_an_exporter() {
    for version in VERSIONS {
        let [without, with] = [false, true].map(|asked| {
            let log = Arc::new(Log::default());
            let mut config = P256.client_config(version);
            config.key_log = log.clone();
            let mut client = ClientContext::new(Arc::new(config));
            if asked {
                client = client.with_exporter().with_exporter();
            }
            let _pair = settled(&(client, P256.server()));
            std::mem::take(&mut *log.0.lock().unwrap())
        });
        assert_eq!(without, with);
        assert!(!with.is_empty());
    }
}

fn what_was_agreed_on_says_whether_it_was_resumed_and_by_which_group() {
    // S119
    for version in VERSIONS {
        let contexts = contexts(&P256, version);
        for resumed in [false, true] {
            let pair = Pair::new(&contexts.0, &contexts.1);
            assert_eq!(pair.client.session.info().resumed(), None);
            assert_eq!(pair.client.session.info().key_exchange_group(), None);
            let mut pair = pair;
            pair.settle();
            for end in [&pair.client, &pair.server] {
                let info = end.session.info();
                assert_eq!(info.resumed(), Some(resumed));
                let exchanged = !resumed || version.version == TLS13.version;
                assert_eq!(info.key_exchange_group().is_some(), exchanged, "{version:?}");
                let debug = format!("{info:?}");
                assert!(debug.contains(&format!("resumed: Some({resumed})")), "{debug}");
            }
        }
    }
}

/// What both sides say of the server's certificate, before and after the handshake.
fn end_points(
    client: &ClientContext,
    server: &ServerContext,
) -> [Result<Vec<u8>, BindingError>; 2] {
    let mut pair = Pair::new(client, server);
    for end in [&pair.client, &pair.server] {
        let early = end.session.info().tls_server_end_point();
        assert_eq!(early, Err(BindingError::Handshaking));
    }
    pair.settle();
    [&pair.client, &pair.server].map(|end| end.session.info().tls_server_end_point())
}

fn both_sides_bind_to_the_servers_certificate_by_the_hash_of_its_signature() {
    // RFC 5929, section 4.1
    let p384 = Identity::new(&rcgen::PKCS_ECDSA_P384_SHA384);
    for version in VERSIONS {
        for (identity, len) in [(&*P256, 32), (&p384, 48)] {
            let (client, server) = contexts(identity, version);
            let suites = &support::provider().cipher_suites;
            let mut hashes = suites.iter().filter_map(|suite| suite.tls13());
            let suite = hashes.find(|suite| suite.common.hash_provider.output_len() == len);
            let hash = suite.unwrap().common.hash_provider;
            let der = CertificateDer::from_pem_slice(identity.cert.as_bytes()).unwrap();
            let want = Ok(hash.hash(&der).as_ref().to_vec());
            // The second is resumed.
            for _ in 0..2 {
                assert_eq!(end_points(&client, &server), [want.clone(), want.clone()]);
            }
        }
        let (client, server) = contexts(&ED25519, version);
        let none = Err(BindingError::NoHash);
        assert_eq!(end_points(&client, &server), [none.clone(), none]);
    }
}

fn a_client_needs_not_be_asked_for_the_servers_end_point() {
    for version in VERSIONS {
        let pair = Pair::established(&P256, version);
        let client = pair.client.session.info().tls_server_end_point();
        assert_eq!(client.map(|value| value.len()), Ok(32));
        let server = pair.server.session.info().tls_server_end_point();
        assert_eq!(server, Err(BindingError::NotKept));
    }
}

/// Certificates that are exchanged while sessions begin.
#[derive(Debug)]
struct Exchanged(Mutex<Arc<CertifiedKey>>);

impl ResolvesServerCert for Exchanged {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.lock().unwrap().clone())
    }
}

fn certified(identity: &Identity) -> Arc<CertifiedKey> {
    let chain = vec![CertificateDer::from_pem_slice(identity.cert.as_bytes()).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes()).unwrap();
    Arc::new(CertifiedKey::from_der(chain, key, &support::provider()).unwrap())
}

fn a_session_resumed_over_an_exchange_of_certificates_binds_to_the_old_one_at_the_client_only() {
    // As documented at `tls_server_end_point`; the exporter is the same on both sides all the same.
    let new = Identity::new(&rcgen::PKCS_ECDSA_P256_SHA256);
    for version in VERSIONS {
        let resolver = Arc::new(Exchanged(Mutex::new(certified(&P256))));
        let (client, server) = contexts(&P256, version);
        let mut config = ServerConfig::clone(server.config());
        config.cert_resolver = resolver.clone();
        let server = ServerContext::new(Arc::new(config)).with_exporter();
        let [old, same] = end_points(&client, &server);
        assert_eq!(old, same);
        *resolver.0.lock().unwrap() = certified(&new);
        let pair = settled(&(client, server));
        assert_eq!(pair.server.session.info().resumed(), Some(true));
        assert_eq!(pair.client.session.info().tls_server_end_point(), old);
        assert_ne!(pair.server.session.info().tls_server_end_point(), old);
        exported(&pair, 32, None);
    }
}

fn a_session_that_keeps_secrets_does_not_show_them() {
    let pair = settled(&contexts(&P256, &TLS13));
    let debug = format!("{:?} {:?}", pair.client.session, pair.client.session.info());
    assert!(!debug.contains("secret") && !debug.contains("exporter"), "{debug}");
}

fn a_builder_asks_for_it_and_what_is_made_of_a_context_keeps_it() {
    let certificate = Certificate::from_pem(P256.cert.as_bytes(), P256.key.as_bytes()).unwrap();
    let build = |asked| {
        let server = ServerContext::builder(Certificates::single(certificate.clone()));
        let roots = Roots::from_pem(P256.cert.as_bytes()).unwrap();
        let client = ClientContext::builder(roots).provider(support::provider());
        let server = server.provider(support::provider()).exporter(asked).build().unwrap();
        (client.exporter(asked).build().unwrap(), server)
    };
    let (client, server) = build(true);
    // Certificates are replaced, and records are for one server, in the same context.
    server.replace_certificates(Certificates::single(certificate.clone())).unwrap();
    let records = [Tlsa::parse("3 1 1 00").unwrap()];
    let recording = client.with_dane(records, DaneMode::Record).unwrap();
    for client in [client, recording] {
        // The second is resumed, by a ticket.
        for resumed in [false, true] {
            let pair = settled(&(client.clone(), server.clone()));
            assert_eq!(pair.server.session.info().resumed(), Some(resumed));
            exported(&pair, 32, None);
            let points =
                [&pair.client, &pair.server].map(|end| end.session.info().tls_server_end_point());
            assert!(points[0].is_ok() && points[0] == points[1], "{points:?}");
        }
    }
    let pair = settled(&build(false));
    assert_eq!(export(&pair.server.session, 32, None), Err(BindingError::NotKept));
    assert_eq!(export(&pair.client.session, 32, None), Err(BindingError::NotKept));
}
