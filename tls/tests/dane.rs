//! TLSA records: what matches, what does not, and what cannot be used (S110; RFC 6698, RFC 7671).
//!
//! Never: looks a record up.

#![cfg(any(feature = "ring", feature = "aws-lc-rs"))]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[macro_use]
mod support;

use std::error::Error as _;

use rustls::CertificateError;
use rustls::pki_types::CertificateDer;
use shardpoll_tls::{
    Authority, ClientContext, ClientContextBuilder, DaneMode, Error, Problem, Roots, ServerContext,
    Tlsa, TlsaError,
};
use support::chain::{
    Clock, FAMILY, authority, crl, issue, key, leaf_params, new_year, shake, tlsa, today,
};
use support::{NAME, VERSIONS};
use webpki::EndEntityCert;

on_each_provider! {
    every_usage_selector_and_matching_type_matches_what_it_should_and_nothing_else,
    both_versions_match_alike_and_the_signature_of_the_handshake_is_checked,
    usage_3_ignores_names_and_dates_and_the_others_do_not,
    the_certificate_may_be_for_the_base_domain_instead,
    an_authority_counts_only_where_it_leads_to_the_server,
    the_key_of_a_record_that_nobody_shows_is_a_root_of_any_name,
    an_authority_of_usage_2_is_one_and_within_its_dates,
    what_an_authority_has_revoked_is_refused_unless_the_record_names_it,
    of_several_digests_the_strongest_counts,
    records_that_cannot_be_used_never_pass_silently,
    a_record_that_matches_is_not_passed_over_when_the_roots_say_no,
    what_does_not_match_is_said_in_the_error,
    a_finished_configuration_takes_no_records,
    sessions_are_resumed_by_the_context_that_verified_them_and_by_no_other,
}

const USAGES: [u8; 4] = [0, 1, 2, 3];
const SELECTORS: [u8; 2] = [0, 1];
const MATCHINGS: [u8; 3] = [0, 1, 2];

/// A client's builder on the provider of the test.
fn builder(roots: Roots) -> ClientContextBuilder {
    ClientContext::builder(roots).provider(support::provider())
}

fn trusting() -> Roots {
    Roots::from_pem(FAMILY.root.pem().as_bytes()).unwrap()
}

fn base(roots: Roots) -> ClientContext {
    builder(roots).clock(today()).build().unwrap()
}

/// The family's server with all that is needed behind it.
fn server() -> ServerContext {
    FAMILY.leaf.serves(&[FAMILY.inter.der()])
}

/// What the client finds, or what it fails with.
fn outcome(client: &ClientContext, server: &ServerContext, name: &str) -> Result<Authority, Error> {
    let ends = shake(client, server, name);
    match ends.error {
        Some(error) => Err(error),
        None => Ok(ends.client.info().verdict().unwrap().authority().unwrap().clone()),
    }
}

fn certificate_error(error: &Error) -> CertificateError {
    match error {
        Error::Policy { source } => match source.as_ref() {
            rustls::Error::InvalidCertificate(error) => error.clone(),
            other => panic!("{other}"),
        },
        other => panic!("{other}"),
    }
}

/// Which of the family a cell is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Target {
    Leaf,
    Inter,
    Root,
    Stranger,
}

const TARGETS: [Target; 4] = [Target::Leaf, Target::Inter, Target::Root, Target::Stranger];

impl Target {
    fn der(self) -> &'static CertificateDer<'static> {
        match self {
            Self::Leaf => &FAMILY.leaf.der,
            Self::Inter => FAMILY.inter.der(),
            Self::Root => FAMILY.root.der(),
            Self::Stranger => FAMILY.stranger.der(),
        }
    }
}

/// What RFC 6698 and RFC 7671 make of a record for `target`, when the server shows so many of
/// leaf, intermediate, root, and the client trusts the root or nobody.
fn should_match(
    (usage, selector, matching): (u8, u8, u8),
    target: Target,
    shown: usize,
    trusted: bool,
) -> bool {
    let path_to_root = shown >= 2;
    let holds_certificate = (selector, matching) == (0, 0);
    match usage {
        3 => target == Target::Leaf,
        1 => target == Target::Leaf && trusted && path_to_root,
        // An intermediate that the record holds whole need not be shown.
        0 if target == Target::Inter => trusted && (path_to_root || holds_certificate),
        0 => target == Target::Root && trusted && path_to_root,
        _ => match target {
            Target::Inter => shown >= 2 || matching == 0,
            Target::Root => path_to_root && (shown >= 3 || matching == 0),
            Target::Leaf | Target::Stranger => false,
        },
    }
}

fn every_usage_selector_and_matching_type_matches_what_it_should_and_nothing_else() {
    let (root, inter) = (FAMILY.root.der(), FAMILY.inter.der());
    let servers =
        [vec![], vec![inter], vec![inter, root]].map(|others| FAMILY.leaf.serves(&others));
    let bases = [(true, base(trusting())), (false, base(Roots::none()))];
    let (mut cells, mut matching_cells) = (0, 0);
    for (usage, selector, matching) in all_kinds() {
        for (target, (shown, server)) in
            TARGETS.iter().flat_map(|target| servers.iter().enumerate().map(move |it| (target, it)))
        {
            let record = tlsa(usage, selector, matching, target.der());
            for (trusted, base) in &bases {
                let want = should_match((usage, selector, matching), *target, shown + 1, *trusted);
                let cell = format!("{record}: {target:?}, {} shown, {trusted}", shown + 1);
                let cx = base.with_dane([record.clone()], DaneMode::Require).unwrap();
                let required = outcome(&cx, server, NAME);
                assert_eq!(required.is_ok(), want, "{cell}: {required:?}");
                if let Ok(authority) = required {
                    assert_eq!(authority, Authority::Tlsa(record.clone()), "{cell}");
                }
                let cx = base.with_dane([record.clone()], DaneMode::FallbackToPkix).unwrap();
                assert_eq!(outcome(&cx, server, NAME).is_ok(), want, "{cell}: never falls back");
                let cx = base.with_dane([record.clone()], DaneMode::Record).unwrap();
                let ends = shake(&cx, server, NAME);
                assert!(ends.error.is_none(), "{cell}: recording lets pass");
                let info = ends.client.info();
                let verdict = info.verdict().unwrap();
                assert_eq!(verdict.is_ok(), want, "{cell}: {verdict}");
                assert_eq!(verdict.findings().is_empty(), want, "{cell}: {verdict}");
                cells += 1;
                matching_cells += usize::from(want);
            }
        }
    }
    // 36 of usage 3, 12 of usage 1, 25 of usage 0, and 28 and 16 of usage 2.
    println!("{cells} cells, of which {matching_cells} match");
    assert_eq!((cells, matching_cells), (4 * 2 * 3 * 4 * 3 * 2, 117));
}

fn all_kinds() -> impl Iterator<Item = (u8, u8, u8)> {
    USAGES.into_iter().flat_map(|usage| {
        SELECTORS
            .into_iter()
            .flat_map(move |selector| MATCHINGS.map(|matching| (usage, selector, matching)))
    })
}

fn both_versions_match_alike_and_the_signature_of_the_handshake_is_checked() {
    // Usage 3 looks at nothing else, so a thief of the certificate without its key must fail.
    for version in VERSIONS {
        let base = builder(Roots::none()).versions(&[version]).build().unwrap();
        let record = tlsa(3, 1, 1, &FAMILY.leaf.der);
        let cx = base.with_dane([record], DaneMode::Require).unwrap();
        assert!(outcome(&cx, &server(), NAME).is_ok());
        let record_only = base.with_dane([tlsa(3, 1, 1, &FAMILY.leaf.der)], DaneMode::Record);
        for cx in [cx, record_only.unwrap()] {
            let thief = FAMILY.leaf.config_with(&[], &key());
            let error = outcome(&cx, &ServerContext::new(thief.into()), NAME).unwrap_err();
            assert_eq!(certificate_error(&error), CertificateError::BadSignature, "{version:?}");
        }
    }
}

fn usage_3_ignores_names_and_dates_and_the_others_do_not() {
    // RFC 7671, section 5.1
    let late = Clock::at(new_year(2035) + 86_400);
    let base = builder(trusting()).clock(late).build().unwrap();
    let other_name = "other.example";
    for (usage, target) in [(0, Target::Root), (1, Target::Leaf), (2, Target::Inter)] {
        let cx = base.with_dane([tlsa(usage, 1, 1, target.der())], DaneMode::Require).unwrap();
        let error = certificate_error(&outcome(&cx, &server(), NAME).unwrap_err());
        assert!(matches!(error, CertificateError::ExpiredContext { .. }), "{usage}: {error:?}");
        let base = self::base(trusting());
        let cx = base.with_dane([tlsa(usage, 1, 1, target.der())], DaneMode::Require).unwrap();
        let error = certificate_error(&outcome(&cx, &server(), other_name).unwrap_err());
        assert_eq!(error, CertificateError::NotValidForName, "{usage}");
    }
    let cx = base.with_dane([tlsa(3, 1, 1, &FAMILY.leaf.der)], DaneMode::Require).unwrap();
    assert!(outcome(&cx, &server(), other_name).is_ok());
}

fn the_certificate_may_be_for_the_base_domain_instead() {
    // RFC 7671, section 7; RFC 7673, section 4
    let base = base(Roots::none());
    let records = [tlsa(2, 0, 1, FAMILY.inter.der())];
    let cx = base.with_dane_of(NAME.try_into().unwrap(), records.clone(), DaneMode::Require);
    assert!(outcome(&cx.unwrap(), &server(), "service.example").is_ok());
    let other = "other.example".try_into().unwrap();
    let cx = base.with_dane_of(other, records, DaneMode::Require).unwrap();
    assert!(outcome(&cx, &server(), NAME).is_ok());
    assert!(outcome(&cx, &server(), "service.example").is_err());
}

fn an_authority_counts_only_where_it_leads_to_the_server() {
    // The stranger is shown, and named by a record, but has nothing to do with the leaf.
    let server = FAMILY.leaf.serves(&[FAMILY.inter.der(), FAMILY.stranger.der()]);
    for usage in [0, 2] {
        for matching in MATCHINGS {
            let record = tlsa(usage, 0, matching, FAMILY.stranger.der());
            let cx = base(trusting()).with_dane([record], DaneMode::Require).unwrap();
            assert!(outcome(&cx, &server, NAME).is_err(), "usage {usage}, matching {matching}");
        }
    }
}

fn the_key_of_a_record_that_nobody_shows_is_a_root_of_any_name() {
    // RFC 7671, section 5.2.3: 2 1 0; a wrong key is none, whatever it is called.
    for (key, want) in [(FAMILY.inter.der(), true), (FAMILY.stranger.der(), false)] {
        let cx = base(Roots::none()).with_dane([tlsa(2, 1, 0, key)], DaneMode::Require).unwrap();
        assert_eq!(outcome(&cx, &FAMILY.leaf.serves(&[]), NAME).is_ok(), want);
    }
}

fn an_authority_of_usage_2_is_one_and_within_its_dates() {
    let mut old = authority("Old");
    old.not_after = rcgen::date_time_ymd(2026, 1, 1);
    let old = rcgen::CertifiedIssuer::self_signed(old, key()).unwrap();
    let none = rcgen::CertifiedIssuer::self_signed(leaf_params(), key()).unwrap();
    for matching in MATCHINGS {
        let by_old = issue(&leaf_params(), &old);
        let record = tlsa(2, 0, matching, old.der());
        let cx = base(Roots::none()).with_dane([record], DaneMode::Require).unwrap();
        assert!(outcome(&cx, &by_old.serves(&[old.der()]), NAME).is_err(), "{matching}");
        let by_none = issue(&leaf_params(), &none);
        let record = tlsa(2, 0, matching, none.der());
        let cx = base(Roots::none()).with_dane([record], DaneMode::Require).unwrap();
        let error = outcome(&cx, &by_none.serves(&[none.der()]), NAME).unwrap_err();
        if matching != 0 {
            assert_eq!(certificate_error(&error), CertificateError::InvalidPurpose);
        }
    }
}

fn what_an_authority_has_revoked_is_refused_unless_the_record_names_it() {
    let serial = EndEntityCert::try_from(&FAMILY.leaf.der).unwrap().serial().to_vec();
    let list = crl(&FAMILY.inter, &[serial.into()]);
    let base = base(trusting().with_crls_pem(list.as_bytes()).unwrap());
    for (usage, target) in [(0, Target::Inter), (1, Target::Leaf), (2, Target::Inter)] {
        let cx = base.with_dane([tlsa(usage, 0, 1, target.der())], DaneMode::Require).unwrap();
        let error = outcome(&cx, &server(), NAME).unwrap_err();
        assert_eq!(certificate_error(&error), CertificateError::Revoked, "{usage}");
    }
    let cx = base.with_dane([tlsa(3, 0, 1, &FAMILY.leaf.der)], DaneMode::Require).unwrap();
    assert!(outcome(&cx, &server(), NAME).is_ok());
}

fn of_several_digests_the_strongest_counts() {
    // RFC 7671, section 9, for the same usage and selector; others are not touched.
    let (leaf, stranger) = (&FAMILY.leaf.der, FAMILY.stranger.der());
    let base = base(Roots::none());
    let passes = |records: [Tlsa; 2]| {
        let cx = base.with_dane(records, DaneMode::Require).unwrap();
        outcome(&cx, &server(), NAME).is_ok()
    };
    assert!(!passes([tlsa(3, 1, 1, leaf), tlsa(3, 1, 2, stranger)]));
    assert!(passes([tlsa(3, 1, 1, stranger), tlsa(3, 1, 2, leaf)]));
    assert!(passes([tlsa(3, 1, 1, leaf), tlsa(3, 0, 2, stranger)]));
    assert!(passes([tlsa(3, 1, 1, leaf), tlsa(2, 1, 2, stranger)]));
    assert!(passes([tlsa(3, 1, 0, leaf), tlsa(3, 1, 2, stranger)]));
    let mut broken = tlsa(3, 1, 2, stranger);
    broken.data.pop();
    assert!(passes([tlsa(3, 1, 1, leaf), broken]), "one that cannot be used weakens nothing");
}

/// Records that cannot be used, and why.
fn unusable() -> Vec<(Tlsa, TlsaError)> {
    let leaf = &FAMILY.leaf.der;
    let with = |change: &dyn Fn(&mut Tlsa), matching| {
        let mut record = tlsa(3, 0, matching, leaf);
        change(&mut record);
        record
    };
    let mut list = vec![
        (with(&|it| it.usage = 4, 1), TlsaError::Usage(4)),
        (with(&|it| it.usage = 255, 1), TlsaError::Usage(255)),
        (with(&|it| it.selector = 2, 1), TlsaError::Selector(2)),
        (with(&|it| it.matching = 3, 1), TlsaError::Matching(3)),
        (with(&|it| it.data.push(0), 1), TlsaError::Length { found: 33, wanted: 32 }),
        (with(&|it| it.data.clear(), 1), TlsaError::Length { found: 0, wanted: 32 }),
        (with(&|it| it.data.truncate(32), 2), TlsaError::Length { found: 32, wanted: 64 }),
        (with(&|it| it.data.push(0), 0), TlsaError::Certificate),
        (with(&|it| it.data.truncate(100), 0), TlsaError::Certificate),
        (with(&|it| it.data.clear(), 0), TlsaError::Certificate),
        (with(&|it| it.selector = 1, 0), TlsaError::PublicKey),
    ];
    for len in [0, 1, 50] {
        let mut record = tlsa(2, 1, 0, leaf);
        record.data.truncate(len);
        list.push((record, TlsaError::PublicKey));
    }
    list
}

fn records_that_cannot_be_used_never_pass_silently() {
    // S110
    for (record, why) in unusable() {
        assert_eq!(record.check(), Err(why), "{record}");
        for (trusted, base) in [(true, base(trusting())), (false, base(Roots::none()))] {
            let refused = base.with_dane([record.clone()], DaneMode::Require).unwrap_err();
            assert!(refused.to_string().contains(&why.to_string()), "{refused}");
            assert!(matches!(refused, Error::Config { .. }) && refused.source().is_some());
            let cx = base.with_dane([record.clone()], DaneMode::FallbackToPkix).unwrap();
            let found = outcome(&cx, &server(), NAME).ok();
            assert_eq!(found, trusted.then_some(Authority::RootForWantOfTlsa), "{record}");
            let cx = base.with_dane([record.clone()], DaneMode::Record).unwrap();
            let ends = shake(&cx, &server(), NAME);
            let info = ends.client.info();
            let verdict = info.verdict().unwrap();
            assert_eq!(verdict.problem(), Some(&Problem::NoUsableTlsa));
            assert_eq!(verdict.findings().len(), if trusted { 1 } else { 2 }, "{verdict}");
        }
        // Beside one that can be used it is passed over.
        let both = [record, tlsa(3, 1, 1, &FAMILY.leaf.der)];
        let cx = base(Roots::none()).with_dane(both, DaneMode::Require).unwrap();
        assert!(outcome(&cx, &server(), NAME).is_ok());
    }
    let refused = base(trusting()).with_dane([], DaneMode::Require).unwrap_err();
    assert!(refused.to_string().contains(&TlsaError::None.to_string()), "{refused}");
}

fn a_record_that_matches_is_not_passed_over_when_the_roots_say_no() {
    let cx = base(Roots::none());
    let cx = cx.with_dane([tlsa(1, 0, 1, &FAMILY.leaf.der)], DaneMode::FallbackToPkix).unwrap();
    let error = outcome(&cx, &server(), NAME).unwrap_err();
    assert_eq!(certificate_error(&error), CertificateError::UnknownIssuer);
}

fn what_does_not_match_is_said_in_the_error() {
    let record = tlsa(3, 1, 1, FAMILY.stranger.der());
    let cx = base(trusting()).with_dane([record], DaneMode::Require).unwrap();
    let error = outcome(&cx, &server(), NAME).unwrap_err();
    assert!(error.to_string().contains("no DANE record matches"), "{error}");
}

fn a_finished_configuration_takes_no_records() {
    let finished = ClientContext::new(base(trusting()).config().clone());
    let record = tlsa(3, 1, 1, &FAMILY.leaf.der);
    let refused = finished.with_dane([record], DaneMode::Require).unwrap_err();
    assert!(matches!(refused, Error::Config { .. }), "{refused}");
}

fn sessions_are_resumed_by_the_context_that_verified_them_and_by_no_other() {
    for version in VERSIONS {
        let base = builder(trusting()).clock(today()).versions(&[version]);
        let base = base.build().unwrap();
        let records = [tlsa(3, 1, 1, &FAMILY.leaf.der)];
        let cx = base.with_dane(records.clone(), DaneMode::Require).unwrap();
        let server = server();
        assert!(!shake(&cx, &server, NAME).resumed());
        let again = shake(&cx, &server, NAME);
        assert!(again.resumed(), "{version:?}");
        let info = again.client.info();
        let authority = info.verdict().unwrap().authority();
        assert_eq!(authority, Some(&Authority::Tlsa(records[0].clone())), "{version:?}");
        let other = base.with_dane(records, DaneMode::Require).unwrap();
        assert!(!shake(&other, &server, NAME).resumed(), "{version:?}");
        assert!(!shake(&base, &server, NAME).resumed(), "{version:?}");
    }
}
