//! What was found out about a peer's certificates, where the handshake passes all the same (S119).
//!
//! Never: uses a certificate of the outside world.

#![cfg(any(feature = "ring", feature = "aws-lc-rs"))]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[macro_use]
mod support;

use std::time::{Duration, SystemTime};

use rcgen::{BasicConstraints, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa};
use shardpoll_tls::{
    Authority, ClientContext, ClientContextBuilder, Problem, Roots, ServerContext, Verdict,
};
use support::chain::{
    Clock, FAMILY, authority, crl, issue, key, leaf_params, new_year, params, shake, today,
};
use support::{NAME, VERSIONS};
use webpki::EndEntityCert;

on_each_provider! {
    a_good_chain_is_vouched_for_by_a_root,
    dates_are_said_of_each_certificate,
    an_expired_certificate_off_the_path_does_not_matter,
    an_unknown_issuer_is_found_where_the_path_breaks_off,
    a_wrong_name_is_said_with_the_names_there_are,
    one_certificate_may_have_many_faults_and_all_are_told,
    what_a_list_revokes_is_told_of_the_certificate_it_revokes,
    what_is_not_for_servers_is_not_fit_for_its_purpose,
    a_bad_signature_is_found_where_it_is,
    names_in_a_verdict_are_escaped_and_not_endless,
    the_signature_of_the_handshake_is_checked_where_all_else_is_recorded,
    a_resumed_session_is_judged_anew,
    before_the_handshake_is_done_there_is_no_verdict,
}

/// A client's builder on the provider of the test.
fn builder(roots: Roots) -> ClientContextBuilder {
    ClientContext::builder(roots).provider(support::provider())
}

fn trusting() -> Roots {
    Roots::from_pem(FAMILY.root.pem().as_bytes()).unwrap()
}

/// What a recording client finds out; and whoever does not record refuses just what has findings.
fn verdict_at(roots: Roots, clock: u64, server: &ServerContext, name: &str) -> Verdict {
    let builder = builder(roots).clock(Clock::at(clock));
    let ends = shake(&builder.clone().record(true).build().unwrap(), server, name);
    assert!(ends.error.is_none(), "{:?}", ends.error);
    assert!(ends.client.is_established() && ends.server.is_established());
    assert!(ends.server.info().verdict().is_none(), "nobody asked for it");
    let verdict = ends.client.info().verdict().unwrap().clone();
    let strict = shake(&builder.build().unwrap(), server, name);
    assert_eq!(strict.error.is_none(), verdict.is_ok(), "{verdict}: {:?}", strict.error);
    assert!(strict.client.info().verdict().is_none(), "it passed or it failed");
    assert_eq!(verdict.findings().is_empty(), verdict.is_ok());
    verdict
}

fn now() -> u64 {
    new_year(2026) + 150 * 86_400
}

fn verdict(roots: Roots, server: &ServerContext) -> Verdict {
    verdict_at(roots, now(), server, NAME)
}

fn server() -> ServerContext {
    FAMILY.leaf.serves(&[FAMILY.inter.der()])
}

fn at(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
}

fn a_good_chain_is_vouched_for_by_a_root() {
    let verdict = verdict(trusting(), &server());
    assert_eq!(verdict.authority(), Some(&Authority::Root));
    assert_eq!(verdict.to_string(), "verified by a trusted root");
}

fn dates_are_said_of_each_certificate() {
    let verdict = verdict_at(trusting(), new_year(2035) + 1, &server(), NAME);
    assert_eq!(verdict.problem(), Some(&Problem::Expired { not_after: at(new_year(2035)) }));
    assert_eq!(
        verdict.to_string(),
        "not verified: certificate 0 (shard.example) expired at 2035-01-01 00:00:00 UTC"
    );
    let verdict = verdict_at(trusting(), new_year(2045), &server(), NAME);
    assert_eq!(verdict.findings().len(), 2, "{verdict}");
    let inter = Problem::Expired { not_after: at(new_year(2040)) };
    assert_eq!(verdict.problems_of(1).collect::<Vec<_>>(), [&inter]);
    let verdict = verdict_at(trusting(), new_year(2024), &server(), NAME);
    assert_eq!(
        verdict.to_string(),
        "not verified: certificate 0 (shard.example) is not valid before 2025-01-01 00:00:00 UTC"
    );
}

fn an_expired_certificate_off_the_path_does_not_matter() {
    let mut old = authority("Old");
    old.not_after = rcgen::date_time_ymd(2021, 1, 1);
    let old = CertifiedIssuer::self_signed(old, key()).unwrap();
    let server = FAMILY.leaf.serves(&[FAMILY.inter.der(), old.der()]);
    assert!(verdict(trusting(), &server).is_ok());
    let late = verdict_at(trusting(), new_year(2036), &server, NAME);
    assert_eq!(late.findings().len(), 1, "{late}");
}

fn an_unknown_issuer_is_found_where_the_path_breaks_off() {
    let unknown = |server: &ServerContext, place: usize, issuer: &str| {
        let verdict = verdict(Roots::from_pem(FAMILY.stranger.pem().as_bytes()).unwrap(), server);
        let problem = Problem::UnknownIssuer { issuer: issuer.into() };
        assert_eq!(verdict.problems_of(place).collect::<Vec<_>>(), [&problem], "{verdict}");
        assert_eq!(verdict.findings().len(), 1, "{verdict}");
    };
    unknown(&server(), 1, "Root");
    unknown(&FAMILY.leaf.serves(&[]), 0, "Inter");
    unknown(&FAMILY.leaf.serves(&[FAMILY.inter.der(), FAMILY.root.der()]), 2, "itself");
    // Order does not matter.
    unknown(&FAMILY.leaf.serves(&[FAMILY.root.der(), FAMILY.inter.der()]), 1, "itself");
    let verdict = verdict(Roots::none(), &server());
    let words = "not verified: certificate 1 (Inter) has an unknown issuer (Root)";
    assert_eq!(verdict.to_string(), words);
}

fn a_wrong_name_is_said_with_the_names_there_are() {
    let verdict = verdict_at(trusting(), now(), &server(), "elsewhere.example");
    assert_eq!(
        verdict.to_string(),
        "not verified: certificate 0 (shard.example) is for shard.example, \
         not for elsewhere.example"
    );
    let verdict = verdict_at(trusting(), now(), &server(), "192.0.2.1");
    assert!(matches!(verdict.problem(), Some(Problem::WrongName { .. })), "{verdict}");
}

fn one_certificate_may_have_many_faults_and_all_are_told() {
    let verdict = verdict_at(Roots::none(), new_year(2050), &server(), "elsewhere.example");
    let mut kinds: Vec<_> = verdict.problems_of(0).map(std::mem::discriminant).collect();
    kinds.dedup();
    assert_eq!((kinds.len(), verdict.problems_of(1).count()), (2, 2), "{verdict}");
    assert!(verdict.to_string().contains("has an unknown issuer (Root)"), "{verdict}");
}

fn what_a_list_revokes_is_told_of_the_certificate_it_revokes() {
    let serial = |der| EndEntityCert::try_from(der).unwrap().serial().to_vec().into();
    let lists = [
        (0, crl(&FAMILY.inter, &[serial(&FAMILY.leaf.der)])),
        (1, crl(&FAMILY.root, &[serial(FAMILY.inter.der())])),
    ];
    for (place, list) in lists {
        let verdict = verdict(trusting().with_crls_pem(list.as_bytes()).unwrap(), &server());
        assert_eq!(verdict.problems_of(place).collect::<Vec<_>>(), [&Problem::Revoked]);
        assert_eq!(verdict.findings().len(), 1, "{verdict}");
    }
    let others = crl(&FAMILY.inter, &[42.into()]);
    let verdict = verdict(trusting().with_crls_pem(others.as_bytes()).unwrap(), &server());
    assert!(verdict.is_ok(), "{verdict}");
    assert!(trusting().with_crls_pem(b"").is_err());
}

fn what_is_not_for_servers_is_not_fit_for_its_purpose() {
    let mut params = leaf_params();
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    let client = issue(&params, &FAMILY.inter).serves(&[FAMILY.inter.der()]);
    params = leaf_params();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca = issue(&params, &FAMILY.inter).serves(&[FAMILY.inter.der()]);
    for server in [client, ca] {
        let verdict = verdict(trusting(), &server);
        let found: Vec<_> = verdict.problems_of(0).collect();
        assert!(matches!(found[..], [Problem::NotFit { .. }]), "{verdict}");
    }
    // The leaf in the place of an authority.
    let between = issue(&leaf_params(), &FAMILY.inter);
    let issuer = rcgen::Issuer::new(leaf_params(), &between.key);
    let key = key();
    let below = params_of("below.example").signed_by(&key, &issuer).unwrap().der().clone();
    let below = support::chain::Peer { der: below, key };
    let server = below.serves(&[&between.der, FAMILY.inter.der()]);
    let verdict = verdict_at(trusting(), now(), &server, "below.example");
    let found: Vec<_> = verdict.problems_of(1).collect();
    assert!(matches!(found[..], [Problem::NotFit { .. }]), "{verdict}");
}

fn params_of(name: &str) -> rcgen::CertificateParams {
    let mut made = params(name);
    made.not_before = rcgen::date_time_ymd(2025, 1, 1);
    made
}

fn a_bad_signature_is_found_where_it_is() {
    // The same names, other keys.
    let forged = CertifiedIssuer::signed_by(authority("Inter"), key(), &FAMILY.root).unwrap();
    let server = FAMILY.leaf.serves(&[forged.der()]);
    let leaf = verdict(trusting(), &server);
    assert_eq!(leaf.problems_of(0).collect::<Vec<_>>(), [&Problem::BadSignature], "{leaf}");
    let root = CertifiedIssuer::self_signed(authority("Root"), key()).unwrap();
    let inter = verdict(Roots::from_pem(root.pem().as_bytes()).unwrap(), &self::server());
    assert_eq!(inter.problems_of(1).collect::<Vec<_>>(), [&Problem::BadSignature], "{inter}");
}

fn names_in_a_verdict_are_escaped_and_not_endless() {
    let mut made = leaf_params();
    let evil = format!("\n\u{1b}[31m\"{}", "x".repeat(10_000));
    made.distinguished_name.push(DnType::CommonName, evil);
    let verdict = verdict(Roots::none(), &issue(&made, &FAMILY.inter).serves(&[]));
    let words = verdict.to_string();
    assert!(words.contains(r"(\n\u{1b}[31m") && words.len() < 400, "{words}");
    assert!(!words.contains(char::is_control), "{words}");
}

fn the_signature_of_the_handshake_is_checked_where_all_else_is_recorded() {
    let thief = FAMILY.leaf.config_with(&[FAMILY.inter.der()], &key());
    let cx = builder(trusting()).record(true).build().unwrap();
    let ends = shake(&cx, &ServerContext::new(thief.into()), NAME);
    assert!(ends.error.is_some() && !ends.client.is_established());
}

fn a_resumed_session_is_judged_anew() {
    for version in VERSIONS {
        let clock = today();
        let builder = builder(trusting()).record(true).versions(&[version]);
        let cx = builder.clock(clock.clone()).build().unwrap();
        let server = server();
        let first = shake(&cx, &server, NAME);
        assert!(first.client.info().verdict().unwrap().is_ok() && !first.resumed());
        let again = shake(&cx, &server, NAME);
        assert!(again.client.info().verdict().unwrap().is_ok() && again.resumed(), "{version:?}");
        // A ticket of this hour is still good in the next, and the certificate is not.
        clock.set(new_year(2035) - 3600);
        let _renewed = shake(&cx, &server, NAME);
        clock.set(new_year(2035) + 3600);
        let late = shake(&cx, &server, NAME);
        assert!(late.resumed(), "{version:?}");
        let info = late.client.info();
        let problem = info.verdict().unwrap().problem();
        assert_eq!(problem, Some(&Problem::Expired { not_after: at(new_year(2035)) }));
    }
}

fn before_the_handshake_is_done_there_is_no_verdict() {
    let cx = builder(trusting()).record(true).build().unwrap();
    let name = NAME.try_into().unwrap();
    let mut session = shardpoll_tls::Session::client(&cx, name).unwrap();
    session.start(&mut Vec::new()).unwrap();
    assert!(session.info().verdict().is_none());
}
