//! What a server makes of its clients' certificates: required, optional, recorded, not asked for.
//!
//! Never: looks closely at a verdict; that is `verdict.rs`.

#![cfg(any(feature = "ring", feature = "aws-lc-rs"))]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[macro_use]
mod support;

use rustls::version::TLS13;
use rustls::{AlertDescription, SupportedProtocolVersion};
use shardpoll_tls::{
    Certificate, Certificates, ClientAuth, ClientContext, Error, Problem, Roots, ServerContext,
    ServerContextBuilder,
};
use std::sync::Arc;
use support::chain::{Clock, FAMILY, crl, new_year, today};
use support::{Identity, P256, Pair, VERSIONS, provider};
use webpki::EndEntityCert;

on_each_provider! {
    a_client_that_is_not_asked_shows_nothing,
    a_required_certificate_must_be_there_and_be_vouched_for,
    an_optional_certificate_may_be_missing_but_not_be_wrong,
    a_recorded_certificate_passes_and_is_judged,
    what_a_list_revokes_is_refused_or_recorded,
    a_resumed_session_remembers_the_clients_certificate,
    a_recorded_session_that_is_resumed_is_judged_anew,
    roots_that_are_none_are_refused_where_they_would_decide,
    the_clock_of_a_context_is_what_its_own_certificates_are_held_to,
}

/// The client's certificate, and the authority's.
fn known() -> Certificate {
    let key = FAMILY.leaf.certified(&[FAMILY.inter.der()], &FAMILY.leaf.key);
    Certificate::from_certified_key(Arc::new(key)).unwrap()
}

fn trusting() -> Roots {
    Roots::from_pem(FAMILY.root.pem().as_bytes()).unwrap()
}

fn asking(auth: ClientAuth) -> ServerContext {
    builder(auth).build().unwrap()
}

fn builder(auth: ClientAuth) -> ServerContextBuilder {
    let own = Certificates::single(P256.certificate()).allow_expired(true);
    ServerContext::builder(own).provider(provider()).clock(today()).client_auth(auth)
}

fn showing(
    version: &'static SupportedProtocolVersion,
    certificate: Option<Certificate>,
) -> ClientContext {
    let builder = ClientContext::builder(Roots::none()).insecure().provider(provider());
    let builder = builder.versions(&[version]);
    let builder = match certificate {
        Some(certificate) => builder.client_certificate(certificate),
        None => builder,
    };
    builder.build().unwrap()
}

/// Shakes hands; gives the server's error and the alert that it sent, if it refuses.
fn shake(client: &ClientContext, server: &ServerContext) -> Result<Pair, (Error, Alert)> {
    let mut pair = Pair::new(client, server);
    while !pair.client.wire.is_empty() || !pair.server.wire.is_empty() {
        let (mut up, end) = (pair.client.owed(), &mut pair.server);
        if let Err(error) = end.session.receive(&mut up, &mut end.plain, &mut end.wire) {
            // A client of TLS 1.3 is done by then, and hears of it later.
            return Err((error, alert(&pair.client.refuse(pair.server.owed()))));
        }
        pair.client.feed(pair.server.owed());
    }
    assert!(pair.client.session.is_established() && pair.server.session.is_established());
    Ok(pair)
}

type Alert = Option<AlertDescription>;

fn alert(error: &Error) -> Alert {
    match error {
        Error::Peer { source } => match **source {
            rustls::Error::AlertReceived(alert) => Some(alert),
            _ => None,
        },
        _ => None,
    }
}

fn shown(pair: &Pair) -> usize {
    pair.server.session.info().peer_certificates().map_or(0, <[_]>::len)
}

/// The alert for a refused handshake, which is our policy's doing.
fn refused(client: &ClientContext, server: &ServerContext) -> Alert {
    let (error, alert) = shake(client, server).map(drop).expect_err("refused");
    assert!(matches!(error, Error::Policy { .. }), "{error:?}");
    alert
}

fn a_client_that_is_not_asked_shows_nothing() {
    for version in VERSIONS {
        let pair = shake(&showing(version, Some(known())), &asking(ClientAuth::None)).unwrap();
        assert_eq!(shown(&pair), 0);
        assert!(pair.server.session.info().verdict().is_none());
    }
}

fn a_required_certificate_must_be_there_and_be_vouched_for() {
    let server = asking(ClientAuth::Required(trusting()));
    let stranger = Identity::of("stranger.example").certificate();
    for version in VERSIONS {
        let pair = shake(&showing(version, Some(known())), &server).unwrap();
        assert_eq!(shown(&pair), 2);
        let none = refused(&showing(version, None), &server);
        assert_eq!(none, Some(AlertDescription::CertificateRequired), "{version:?}");
        let unknown = refused(&showing(version, Some(stranger.clone())), &server);
        assert_eq!(unknown, Some(AlertDescription::UnknownCA), "{version:?}");
    }
}

fn an_optional_certificate_may_be_missing_but_not_be_wrong() {
    let server = asking(ClientAuth::Optional(trusting()));
    let stranger = Identity::of("stranger.example").certificate();
    for version in VERSIONS {
        assert_eq!(shown(&shake(&showing(version, Some(known())), &server).unwrap()), 2);
        assert_eq!(shown(&shake(&showing(version, None), &server).unwrap()), 0);
        let unknown = refused(&showing(version, Some(stranger.clone())), &server);
        assert_eq!(unknown, Some(AlertDescription::UnknownCA), "{version:?}");
    }
}

/// What was found out about the client: nothing, or the problem.
fn problem(pair: &Pair) -> Option<Problem> {
    let verdict = pair.server.session.info().verdict().cloned().expect("it is recorded");
    assert_eq!(verdict.is_ok(), verdict.problem().is_none());
    verdict.problem().cloned()
}

fn a_recorded_certificate_passes_and_is_judged() {
    let server = asking(ClientAuth::Record(trusting()));
    let stranger = Identity::of("stranger.example").certificate();
    for version in VERSIONS {
        let good = shake(&showing(version, Some(known())), &server).unwrap();
        assert_eq!((shown(&good), problem(&good)), (2, None));
        let none = shake(&showing(version, None), &server).unwrap();
        assert_eq!((shown(&none), problem(&none)), (0, Some(Problem::NoCertificate)));
        let unknown = shake(&showing(version, Some(stranger.clone())), &server).unwrap();
        let found = problem(&unknown);
        assert!(matches!(found, Some(Problem::UnknownIssuer { .. })), "{found:?}");
        assert_eq!(shown(&unknown), 1);
    }
    let late = builder(ClientAuth::Record(trusting())).clock(Clock::at(new_year(2036)));
    let late = shake(&showing(&TLS13, Some(known())), &late.build().unwrap()).unwrap();
    let found = problem(&late);
    assert!(matches!(found, Some(Problem::Expired { .. })), "{found:?}");
}

fn what_a_list_revokes_is_refused_or_recorded() {
    let serial = EndEntityCert::try_from(&FAMILY.leaf.der).unwrap().serial().to_vec();
    let list = crl(&FAMILY.inter, &[serial.into()]);
    let roots = || trusting().with_crls_pem(list.as_bytes()).unwrap();
    let client = showing(&TLS13, Some(known()));
    for auth in [ClientAuth::Required(roots()), ClientAuth::Optional(roots())] {
        let alert = refused(&client, &asking(auth));
        assert_eq!(alert, Some(AlertDescription::CertificateRevoked));
    }
    let found = problem(&shake(&client, &asking(ClientAuth::Record(roots()))).unwrap());
    assert!(matches!(found, Some(Problem::Revoked)), "{found:?}");
}

fn a_resumed_session_remembers_the_clients_certificate() {
    for version in VERSIONS {
        let client = showing(version, Some(known()));
        for auth in [ClientAuth::Required(trusting()), ClientAuth::Optional(trusting())] {
            let server = asking(auth);
            for resumed in [false, true] {
                let pair = shake(&client, &server).unwrap();
                assert_eq!(pair.server.session.info().resumed(), Some(resumed), "{version:?}");
                assert_eq!(shown(&pair), 2);
            }
        }
    }
}

fn a_recorded_session_that_is_resumed_is_judged_anew() {
    for version in VERSIONS {
        let client = showing(version, Some(known()));
        let clock = Clock::at(new_year(2030));
        let server = builder(ClientAuth::Record(trusting())).clock(clock.clone()).build().unwrap();
        assert_eq!(problem(&shake(&client, &server).unwrap()), None);
        // The client's certificate expires; its ticket is younger than that by the hour.
        clock.set(new_year(2035) - 1800);
        assert_eq!(problem(&shake(&client, &server).unwrap()), None);
        clock.set(new_year(2035) + 1800);
        let pair = shake(&client, &server).unwrap();
        assert_eq!(pair.server.session.info().resumed(), Some(true), "{version:?}");
        let found = problem(&pair);
        assert!(matches!(found, Some(Problem::Expired { .. })), "{version:?}: {found:?}");
    }
}

fn roots_that_are_none_are_refused_where_they_would_decide() {
    for auth in [ClientAuth::Required(Roots::none()), ClientAuth::Optional(Roots::none())] {
        let error = builder(auth).build().expect_err("nobody is trusted");
        assert!(matches!(error, Error::Config { .. }), "{error:?}");
    }
    let server = asking(ClientAuth::Record(Roots::none()));
    let found = problem(&shake(&showing(&TLS13, Some(known())), &server).unwrap());
    assert!(matches!(found, Some(Problem::UnknownIssuer { .. })), "{found:?}");
}

fn the_clock_of_a_context_is_what_its_own_certificates_are_held_to() {
    let clock = Clock::at(new_year(2030));
    let own = || Certificates::single(known());
    let builder = ServerContext::builder(own()).provider(provider()).clock(clock.clone());
    let server = builder.build().unwrap();
    clock.set(new_year(2035) + 1);
    let error = server.replace_certificates(own()).expect_err("expired since");
    assert!(error.to_string().contains("2035-01-01 00:00:00 UTC"), "{error}");
    // What is in use goes on being shown.
    assert!(shake(&showing(&TLS13, None), &server).is_ok());
}
