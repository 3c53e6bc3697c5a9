//! Certificates are checked before they are used, and replaced while handshakes go on (S109, S120).
//!
//! Never: cares which name gets which certificate; that is `names.rs`.

#![cfg(any(feature = "ring", feature = "aws-lc-rs"))]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(clippy::disallowed_methods, reason = "a swap comes from another thread")]

#[macro_use]
mod support;

use rustls::pki_types::pem::PemObject;
use rustls::sign::CertifiedKey;
use rustls::version::{TLS12, TLS13};
use shardpoll_tls::{Certificate, Certificates, CertificatesError, Error, ServerContext};
use std::error::Error as _;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use support::{ED25519, End, Identity, P256, Pair, VERSIONS, insecure, provider};

on_each_provider! {
    a_certificate_tells_what_it_is_good_for_and_until_when,
    a_key_that_does_not_belong_to_the_certificate_is_refused,
    a_chain_that_is_none_is_refused,
    a_certificate_out_of_its_time_is_refused_by_host_and_date,
    a_certificate_out_of_its_time_can_be_allowed,
    a_set_without_a_certificate_is_refused,
    all_clones_of_a_context_show_the_new_certificate,
    a_handshake_that_has_begun_ends_with_its_certificate,
    what_cannot_be_used_leaves_everything_as_it_was,
    a_finished_configuration_keeps_its_own_resolver,
    no_handshake_fails_while_certificates_are_replaced,
    no_key_shows_in_debug_output,
}

fn server(certificates: Certificates) -> Result<ServerContext, Error> {
    ServerContext::builder(certificates).provider(provider()).build()
}

/// What a new client of this server is shown.
fn shown(server: &ServerContext) -> Vec<u8> {
    let mut pair = Pair::new(&insecure(&TLS13), server);
    pair.settle();
    shown_to(&pair.client)
}

fn shown_to(client: &End) -> Vec<u8> {
    client.session.info().peer_certificates().unwrap()[0].to_vec()
}

fn typed(error: &Error) -> &CertificatesError {
    assert!(matches!(error, Error::Config { .. }), "{error:?}");
    error.source().and_then(|source| source.downcast_ref()).expect("a typed error")
}

/// A certificate of these years.
fn of_years(name: &str, first: i32, last: i32) -> Identity {
    Identity::made(name, |params| {
        params.not_before = rcgen::date_time_ymd(first, 1, 1);
        params.not_after = rcgen::date_time_ymd(last, 1, 1);
    })
}

fn at(days: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(days * 86_400)
}

fn a_certificate_tells_what_it_is_good_for_and_until_when() {
    let made = Identity::made("a.example", |params| {
        let more = ["*.b.example", "192.0.2.7", "2001:db8::1"];
        let more = rcgen::CertificateParams::new(more.map(str::to_owned)).unwrap();
        params.subject_alt_names.extend(more.subject_alt_names);
        params.not_before = rcgen::date_time_ymd(1971, 1, 1);
        params.not_after = rcgen::date_time_ymd(2060, 1, 1);
    });
    let certificate = made.certificate();
    assert_eq!(certificate.names(), ["a.example", "*.b.example", "192.0.2.7", "2001:db8::1"]);
    assert_eq!(certificate.not_before(), at(365));
    assert_eq!(certificate.not_after(), at(32_872));
    assert_eq!(certificate.chain().len(), 1);
    let text = format!("{certificate:?}");
    assert!(text.contains("a.example") && text.contains("2060-01-01 00:00:00 UTC"), "{text}");
}

fn read(chain: &str, key: &str) -> Result<Certificate, Error> {
    Certificate::from_pem_with(chain.as_bytes(), key.as_bytes(), &provider())
}

fn a_key_that_does_not_belong_to_the_certificate_is_refused() {
    for (chain, key) in [(&*P256, &*ED25519), (&P256, &Identity::of("another.example"))] {
        let error = read(&chain.cert, &key.key).expect_err("another's key");
        assert!(error.to_string().contains("certificate and key"), "{error}");
        // Nor by the other door.
        let (chain, key) = (chain.certificate(), key.certificate());
        let key = Arc::clone(&key.certified_key().key);
        let mixed = CertifiedKey::new(chain.certified_key().cert.clone(), key);
        assert!(matches!(
            Certificate::from_certified_key(Arc::new(mixed)),
            Err(Error::Config { .. })
        ));
    }
}

fn a_chain_that_is_none_is_refused() {
    let text = |chain: &str, key: &str| read(chain, key).expect_err("unreadable").to_string();
    let Identity { cert, key } = &*P256;
    assert!(text("", key).contains("certificate chain"));
    assert!(text("not PEM", key).contains("certificate chain"));
    assert!(text(key, key).contains("certificate chain"));
    assert!(text(cert, "").contains("private key"));
    assert!(text(cert, cert).contains("private key"));
    // What is around it is PEM; what is in it is no certificate, first or last in the chain.
    let broken = "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n";
    assert!(text(broken, key).contains("certificate chain"));
    assert!(text(&format!("{cert}{broken}"), key).contains("certificate chain"));
    let none = CertifiedKey::new(Vec::new(), Arc::clone(&P256.certificate().certified_key().key));
    let error = Certificate::from_certified_key(Arc::new(none)).expect_err("no certificate");
    assert!(error.to_string().contains("certificate chain"), "{error}");
    // A chain may have more than the server's own, also one that has expired.
    let chain = format!("{cert}{}", of_years("old.example", 1990, 1999).cert);
    assert_eq!(read(&chain, key).unwrap().chain().len(), 2);
}

fn a_certificate_out_of_its_time_is_refused_by_host_and_date() {
    let old = of_years("old.example", 1990, 1999).certificate();
    let sound = P256.certificate();
    let error = Certificates::single(sound.clone()).name("*.old.example", old.clone());
    let error = server(error.unwrap()).expect_err("expired");
    let (used_by, not_after) = ("*.old.example".into(), at(10_592));
    assert_eq!(typed(&error), &CertificatesError::Expired { used_by, not_after });
    let text = error.to_string();
    let words = "the one for *.old.example has expired at 1999-01-01 00:00:00 UTC";
    assert_eq!(text, format!("TLS configuration: certificates: {words}"));

    let new = of_years("new.example", 2080, 2090).certificate();
    let error = server(Certificates::single(sound.clone()).nameless(new)).expect_err("too early");
    let (used_by, not_before) = ("clients that name no host".into(), at(40_177));
    assert_eq!(typed(&error), &CertificatesError::NotYetValid { used_by, not_before });
    let error = server(Certificates::single(sound).fallback(old.clone())).expect_err("expired");
    assert!(error.to_string().contains("hosts that are not listed"), "{error}");
    // The short way in has no other rules.
    let Identity { cert, key } = of_years("old.example", 1990, 1999);
    let error = ServerContext::from_pem(cert.as_bytes(), key.as_bytes()).expect_err("expired");
    assert!(matches!(typed(&error), CertificatesError::Expired { .. }), "{error}");
}

fn a_certificate_out_of_its_time_can_be_allowed() {
    let old = of_years("old.example", 1990, 1999);
    let server = server(Certificates::single(old.certificate()).allow_expired(true)).unwrap();
    assert!(shown(&server) == old.der());
}

fn a_set_without_a_certificate_is_refused() {
    for set in [Certificates::new(), Certificates::new().allow_expired(true)] {
        let error = server(set).expect_err("empty");
        assert_eq!(typed(&error), &CertificatesError::Empty);
    }
}

fn all_clones_of_a_context_show_the_new_certificate() {
    let server = P256.server();
    let clone = server.clone();
    assert!(shown(&clone) == P256.der());
    server.replace_certificates(Certificates::single(ED25519.certificate())).unwrap();
    for context in [&server, &clone, &clone.clone()] {
        assert!(shown(context) == ED25519.der());
    }
}

fn a_handshake_that_has_begun_ends_with_its_certificate() {
    for version in VERSIONS {
        let server = P256.server();
        let mut pair = Pair::new(&insecure(version), &server);
        // Its hello has been heard; what the client then says is heard after the swap.
        pair.server.feed(pair.client.owed());
        server.replace_certificates(Certificates::single(ED25519.certificate())).unwrap();
        pair.client.feed(pair.server.owed());
        pair.settle();
        assert_eq!((pair.client.established, pair.server.established), (1, 1));
        assert!(shown_to(&pair.client) == P256.der());
        assert!(shown(&server) == ED25519.der());
    }
}

fn what_cannot_be_used_leaves_everything_as_it_was() {
    let server = P256.server();
    let old = of_years("old.example", 1990, 1999).certificate();
    let error = server.replace_certificates(Certificates::single(old)).expect_err("expired");
    assert!(matches!(typed(&error), CertificatesError::Expired { .. }), "{error}");
    let error = server.replace_certificates(Certificates::new()).expect_err("empty");
    assert_eq!(typed(&error), &CertificatesError::Empty);
    assert!(shown(&server) == P256.der());
}

fn a_finished_configuration_keeps_its_own_resolver() {
    let finished = ServerContext::new(Arc::clone(P256.server().config()));
    let error = finished.replace_certificates(Certificates::single(ED25519.certificate()));
    let error = error.expect_err("not ours to replace");
    assert!(matches!(error, Error::Config { .. }), "{error:?}");
    assert!(shown(&finished) == P256.der());
}

fn no_handshake_fails_while_certificates_are_replaced() {
    let server = P256.server();
    let sets = [&*ED25519, &*P256].map(|identity| Certificates::single(identity.certificate()));
    let clients = [&TLS12, &TLS13].map(insecure);
    let (go_on, steps) = channel();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for (_step, set) in steps.into_iter().zip(sets.iter().cycle()) {
                server.replace_certificates(set.clone()).unwrap();
            }
        });
        for n in 0..100 {
            let mut pair = Pair::new(&clients[n % 2], &server);
            while !pair.client.wire.is_empty() || !pair.server.wire.is_empty() {
                // The other thread swaps while this one takes its step.
                go_on.send(()).unwrap();
                pair.server.feed(pair.client.owed());
                pair.client.feed(pair.server.owed());
            }
            assert_eq!((pair.client.established, pair.server.established), (1, 1));
        }
        drop(go_on);
    });
}

fn no_key_shows_in_debug_output() {
    let key = rustls::pki_types::PrivateKeyDer::from_pem_slice(P256.key.as_bytes()).unwrap();
    let secret = format!("{:?}", key.secret_der());
    let secret = &secret[secret.len() - 60..];
    let server = P256.server();
    for text in [format!("{server:?}"), format!("{:?}", P256.builder())] {
        assert!(!text.contains(secret.trim_end_matches(']')), "{text}");
    }
}
