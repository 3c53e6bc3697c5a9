//! Each context names its cryptography, and what it agrees on: key exchange, versions, ALPN.
//!
//! Never: installs a provider for the process; `support::on` sees that nothing does.

#![cfg(any(feature = "ring", feature = "aws-lc-rs"))]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[macro_use]
mod support;

use rustls::version::{TLS12, TLS13};
use rustls::{AlertDescription, ClientConfig, NamedGroup, SupportedCipherSuite};
use shardpoll_tls::{ClientContext, Error, ServerContext, provider as of};
use std::sync::Arc;
use support::{P256, Pair, VERSIONS, insecure, insecure_config, provider};

on_each_provider! {
    a_context_uses_the_provider_it_was_given,
    versions_are_both_or_the_newer,
    a_provider_without_the_versions_asked_for_is_refused,
    the_servers_order_of_application_protocols_decides,
    a_client_with_other_application_protocols_gets_an_alert,
    protocols_whose_names_cannot_be_sent_are_refused,
}

fn a_context_uses_the_provider_it_was_given() {
    // Its suites, cut down to one.
    let mut narrow = rustls::crypto::CryptoProvider::clone(&provider());
    narrow.cipher_suites.truncate(1);
    let only = narrow.cipher_suites[0].suite();
    let server = P256.builder().provider(Arc::new(narrow)).build().unwrap();
    let mut pair = Pair::new(&insecure(&TLS13), &server);
    pair.settle();
    let suite = pair.server.session.info().cipher_suite();
    assert_eq!(suite.map(|suite| suite.suite()), Some(only));
}

fn versions_are_both_or_the_newer() {
    let newer = P256.builder().tls12(false).build().unwrap();
    for version in VERSIONS {
        let mut pair = Pair::new(&insecure(version), &P256.server());
        pair.settle();
        assert_eq!(pair.server.session.info().protocol_version(), Some(version.version));
        let mut pair = Pair::new(&insecure(version), &newer);
        if version.version == TLS12.version {
            let error = pair.server.refuse(pair.client.owed());
            assert!(matches!(error, Error::Peer { .. }), "{error:?}");
            let alert = AlertDescription::ProtocolVersion.into();
            assert_eq!(pair.server.wire, [21, 3, 3, 0, 2, 2, alert]);
        } else {
            pair.settle();
            assert_eq!(pair.server.established, 1);
        }
    }
}

fn a_provider_without_the_versions_asked_for_is_refused() {
    let mut old = rustls::crypto::CryptoProvider::clone(&provider());
    old.cipher_suites.retain(|suite| matches!(suite, SupportedCipherSuite::Tls12(_)));
    let error = P256.builder().provider(Arc::new(old)).tls12(false).build().expect_err("none");
    assert!(matches!(error, Error::Config { .. }), "{error:?}");
}

/// A client that offers these protocols.
fn offering(protocols: &[&str]) -> ClientContext {
    let mut config: ClientConfig = insecure_config(&TLS13);
    config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
    ClientContext::new(Arc::new(config))
}

fn speaking(protocols: &[&str]) -> ServerContext {
    P256.builder().alpn(protocols.iter().copied()).build().unwrap()
}

fn the_servers_order_of_application_protocols_decides() {
    // RFC 7301, section 3.2
    let agreed = |offered: &[&str], spoken: &[&str]| {
        let mut pair = Pair::new(&offering(offered), &speaking(spoken));
        pair.settle();
        let chosen = |end: &support::End| end.session.info().alpn_protocol().map(<[u8]>::to_vec);
        assert_eq!(chosen(&pair.client), chosen(&pair.server));
        chosen(&pair.client).map(|name| String::from_utf8(name).unwrap())
    };
    let both = ["http/1.1", "h2"];
    assert_eq!(agreed(&both, &["h2", "http/1.1"]).as_deref(), Some("h2"));
    assert_eq!(agreed(&both, &["xmpp-client", "http/1.1"]).as_deref(), Some("http/1.1"));
    // Where one side has none there is nothing to agree on, and nothing to refuse.
    assert_eq!(agreed(&both, &[]), None);
    assert_eq!(agreed(&[], &both), None);
}

fn a_client_with_other_application_protocols_gets_an_alert() {
    let mut pair = Pair::new(&offering(&["xmpp-client"]), &speaking(&["xmpp-server"]));
    let error = pair.server.refuse(pair.client.owed());
    assert!(matches!(error, Error::Policy { .. }), "{error:?}");
    // By then it is sealed.
    let error = pair.client.refuse(pair.server.owed());
    let alert = rustls::Error::AlertReceived(AlertDescription::NoApplicationProtocol);
    assert!(matches!(&error, Error::Peer { source } if **source == alert), "{error:?}");
}

fn protocols_whose_names_cannot_be_sent_are_refused() {
    for bad in [String::new(), "x".repeat(256)] {
        let error = P256.builder().alpn(["h2", &bad]).build().expect_err("a bad name");
        assert!(error.to_string().contains(&format!("{} bytes", bad.len())), "{error}");
    }
    assert!(P256.builder().alpn(["x".repeat(255)]).build().is_ok());
}

/// The group of the key exchange between two sessions of the running test's provider.
fn group() -> NamedGroup {
    let (client, server) = (insecure(&TLS13), P256.server());
    assert!(Arc::ptr_eq(server.config().crypto_provider(), &provider()));
    assert!(Arc::ptr_eq(client.config().crypto_provider(), &provider()));
    let mut pair = Pair::new(&client, &server);
    pair.settle();
    let [client, server] =
        [&pair.client, &pair.server].map(|end| end.session.info().key_exchange_group());
    assert_eq!(client, server);
    client.expect("a key exchange")
}

#[cfg(feature = "aws-lc-rs")]
#[test]
fn two_sides_with_aws_lc_agree_on_a_post_quantum_key_exchange() {
    support::on(of::aws_lc_rs(), || {
        assert_eq!(group(), NamedGroup::X25519MLKEM768);
    });
}

#[cfg(feature = "ring")]
#[test]
fn two_sides_with_ring_agree_on_x25519() {
    support::on(of::ring(), || assert_eq!(group(), NamedGroup::X25519));
}

#[cfg(all(feature = "ring", feature = "aws-lc-rs"))]
#[test]
fn the_two_providers_understand_each_other() {
    for (client, server) in [(of::ring(), of::aws_lc_rs()), (of::aws_lc_rs(), of::ring())] {
        for version in VERSIONS {
            let client = support::with(&client, || insecure(version));
            let server = support::with(&server, || P256.server());
            let mut pair = Pair::new(&client, &server);
            pair.settle();
            assert_eq!((pair.client.established, pair.server.established), (1, 1));
        }
    }
}
