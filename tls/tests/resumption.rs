//! Sessions are resumed by tickets that every shard takes; early data never is taken.
//!
//! The client is rustls' buffered one, which tells whether it has resumed.
//!
//! Never: resumes from a store of the server's.

#![cfg(any(feature = "ring", feature = "aws-lc-rs"))]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[macro_use]
mod support;

use rustls::version::TLS13;
use rustls::{ClientConfig, ClientConnection, HandshakeKind, SupportedProtocolVersion};
use shardpoll_tls::{Certificates, Error, ServerContext, Session};
use std::io::Read;
use std::sync::Arc;
use support::{ED25519, End, Identity, NAME, P256, VERSIONS, insecure_config, provider};

on_each_provider! {
    any_clone_of_a_context_resumes_what_another_began,
    tickets_stay_valid_when_certificates_are_replaced,
    a_host_without_a_certificate_is_not_resumed_either,
    a_ticket_for_one_host_is_none_for_another,
    a_context_does_not_take_the_tickets_of_another_but_shakes_hands,
    without_tickets_nothing_is_resumed,
    a_short_context_gives_tickets_too,
    a_finished_configuration_resumes_as_it_says,
    early_data_is_never_offered_nor_taken,
}

/// A client that keeps its tickets from one connection to the next.
fn client(version: &'static SupportedProtocolVersion) -> Arc<ClientConfig> {
    Arc::new(insecure_config(version))
}

/// Shakes hands, says a word each way, and tells how it went.
fn visit(client: &Arc<ClientConfig>, server: &ServerContext) -> HandshakeKind {
    visit_host(client, server, NAME).expect("a handshake")
}

fn visit_host(
    client: &Arc<ClientConfig>,
    server: &ServerContext,
    host: &str,
) -> Result<HandshakeKind, Error> {
    let host = host.to_owned().try_into().unwrap();
    let mut client = ClientConnection::new(Arc::clone(client), host).unwrap();
    assert!(client.early_data().is_none(), "nobody has offered early data");
    let mut server = End::new(Session::server(server).unwrap());
    let (mut said, mut heard) = (false, Vec::new());
    while client.wants_write() || !server.wire.is_empty() || !said {
        if server.session.is_established() && !std::mem::replace(&mut said, true) {
            // With it go the tickets of TLS 1.3, if they did not before.
            server.send(b"welcome");
        }
        client.read_tls(&mut &*server.owed()).unwrap();
        client.process_new_packets().unwrap();
        let mut wire = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut wire).unwrap();
        }
        server.session.receive(&mut wire, &mut server.plain, &mut server.wire)?;
    }
    let _would_block = client.reader().read_to_end(&mut heard);
    assert_eq!(heard, b"welcome");
    assert!(!client.is_early_data_accepted());
    Ok(client.handshake_kind().expect("it is over"))
}

const FULL: HandshakeKind = HandshakeKind::Full;
const RESUMED: HandshakeKind = HandshakeKind::Resumed;

fn any_clone_of_a_context_resumes_what_another_began() {
    for version in VERSIONS {
        let client = client(version);
        // As shards have them.
        let server = P256.server();
        let shards = [server.clone(), server.clone(), server];
        let kinds = [0, 1, 2, 1].map(|shard: usize| visit(&client, &shards[shard]));
        assert_eq!(kinds, [FULL, RESUMED, RESUMED, RESUMED], "{version:?}");
    }
}

fn tickets_stay_valid_when_certificates_are_replaced() {
    for version in VERSIONS {
        let (client, server) = (client(version), P256.server());
        assert_eq!(visit(&client, &server), FULL);
        server.replace_certificates(Certificates::single(ED25519.certificate())).unwrap();
        assert_eq!(visit(&client, &server), RESUMED, "{version:?}");
        // Also what was given after the swap.
        assert_eq!(visit(&client, &server), RESUMED, "{version:?}");
    }
}

fn a_host_without_a_certificate_is_not_resumed_either() {
    for version in VERSIONS {
        let (client, server) = (client(version), P256.server());
        assert_eq!(visit(&client, &server), FULL);
        let other = Certificates::new().name("other.example", P256.certificate()).unwrap();
        server.replace_certificates(other).unwrap();
        let error = visit_host(&client, &server, NAME).expect_err("no certificate any more");
        assert!(matches!(error, Error::Policy { .. }), "{error:?}");
    }
}

fn a_ticket_for_one_host_is_none_for_another() {
    // RFC 6066, section 3: what was asked for is part of the session.
    for version in VERSIONS {
        let (client, server) = (client(version), P256.server());
        let kinds = ["one.example", "two.example", "one.example"]
            .map(|host| visit_host(&client, &server, host).expect("a handshake"));
        assert_eq!(kinds, [FULL, FULL, RESUMED], "{version:?}");
    }
}

fn a_context_does_not_take_the_tickets_of_another_but_shakes_hands() {
    for version in VERSIONS {
        let (client, one, other) = (client(version), P256.server(), P256.server());
        let kinds = [&one, &other, &other].map(|server| visit(&client, server));
        assert_eq!(kinds, [FULL, FULL, RESUMED], "{version:?}");
    }
}

fn without_tickets_nothing_is_resumed() {
    for version in VERSIONS {
        let (client, server) = (client(version), P256.builder().tickets(false).build().unwrap());
        let kinds = [&server; 3].map(|server| visit(&client, server));
        assert_eq!(kinds, [FULL; 3], "{version:?}");
    }
}

fn a_short_context_gives_tickets_too() {
    let Identity { cert, key } = &*P256;
    let server = ServerContext::from_pem(cert.as_bytes(), key.as_bytes()).unwrap();
    for version in VERSIONS {
        let client = client(version);
        assert_eq!([&server; 2].map(|server| visit(&client, server)), [FULL, RESUMED]);
    }
}

fn a_finished_configuration_resumes_as_it_says() {
    let certificate = P256.certificate();
    let config = rustls::ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&VERSIONS)
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(rustls::sign::SingleCertAndKey::from(Arc::clone(
            certificate.certified_key(),
        ))));
    // The store that rustls' own default keeps.
    let server = ServerContext::new(Arc::new(config.clone()));
    assert!(!server.config().ticketer.enabled());
    let client = client(&TLS13);
    assert_eq!([&server; 2].map(|server| visit(&client, server)), [FULL, RESUMED]);
}

fn early_data_is_never_offered_nor_taken() {
    // RFC 8446, section 8
    let mut eager = insecure_config(&TLS13);
    eager.enable_early_data = true;
    let (eager, server) = (Arc::new(eager), P256.server());
    // `visit` sees that no ticket allows it, and that none is taken.
    assert_eq!([&server; 2].map(|server| visit(&eager, server)), [FULL, RESUMED]);
    assert_eq!(server.config().max_early_data_size, 0);
}
