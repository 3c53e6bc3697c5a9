//! Which certificate a client is shown, by the name it asks for (S109).
//!
//! Never: replaces a certificate; that is `certificates.rs`.

#![cfg(any(feature = "ring", feature = "aws-lc-rs"))]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[macro_use]
mod support;

use rustls::pki_types::CertificateDer;
use rustls::version::TLS12;
use rustls::{AlertDescription, SupportedProtocolVersion};
use shardpoll_tls::{Certificates, CertificatesError, Error, ServerContext, Session};
use std::error::Error as _;
use support::{End, Identity, Pair, VERSIONS, hello, insecure, provider};

on_each_provider! {
    exact_comes_before_wildcard_and_wildcard_before_fallback,
    a_wildcard_stands_for_one_label,
    a_name_without_a_certificate_ends_in_access_denied,
    the_set_tells_what_a_handshake_will_show,
    one_certificate_alone_is_for_everybody,
    upper_case_and_a_dot_at_the_end_change_nothing,
    an_address_as_a_name_is_no_name,
    a_name_that_is_none_is_refused_as_illegal,
    hosts_that_nobody_can_ask_for_are_named_when_the_set_is_made,
}

/// What a server shows to a client that asks for this host, or to one that names none.
fn shown(
    server: &ServerContext,
    version: &'static SupportedProtocolVersion,
    host: Option<&str>,
) -> Option<Vec<u8>> {
    let mut pair = Pair::to(host.unwrap_or("192.0.2.1"), &insecure(version), server);
    let (server, client) = (&mut pair.server, &mut pair.client);
    let mut up = client.owed();
    if let Err(error) = server.session.receive(&mut up, &mut server.plain, &mut server.wire) {
        assert!(matches!(error, Error::Policy { .. }), "{error:?}");
        let error = client.refuse(server.owed());
        let alert = rustls::Error::AlertReceived(AlertDescription::AccessDenied);
        assert!(matches!(&error, Error::Peer { source } if **source == alert), "{error:?}");
        return None;
    }
    pair.settle();
    assert_eq!(pair.server.session.info().server_name(), host);
    let certificates = pair.client.session.info().peer_certificates();
    certificates.and_then(|shown| shown.first()).map(|first| first.to_vec())
}

/// Checks what each host is shown; `None` is a client without a name.
fn check(certificates: Certificates, wanted: &[(Option<&str>, Option<&Identity>)]) {
    let server = ServerContext::builder(certificates).provider(provider()).build().unwrap();
    for version in VERSIONS {
        for (host, identity) in wanted {
            let wanted = identity.map(Identity::der);
            assert!(shown(&server, version, *host) == wanted, "{host:?} {version:?}");
        }
    }
}

fn exact_comes_before_wildcard_and_wildcard_before_fallback() {
    let [exact, wildcard, rest, nameless] =
        ["a.one.example", "*.one.example", "rest.example", "nameless.example"].map(Identity::of);
    let certificates = Certificates::new()
        .name("*.one.example", wildcard.certificate())
        .and_then(|set| set.name("a.one.example", exact.certificate()))
        .unwrap()
        .fallback(rest.certificate())
        .nameless(nameless.certificate());
    let wanted = [
        (Some("a.one.example"), Some(&exact)),
        (Some("b.one.example"), Some(&wildcard)),
        (Some("two.example"), Some(&rest)),
        (None, Some(&nameless)),
    ];
    check(certificates, &wanted);
}

fn a_wildcard_stands_for_one_label() {
    // RFC 6125, section 6.4.3
    let wildcard = Identity::of("*.one.example");
    let certificates = Certificates::new().name("*.one.example", wildcard.certificate()).unwrap();
    let wanted = [
        (Some("a.one.example"), Some(&wildcard)),
        (Some("one.example"), None),
        (Some("a.b.one.example"), None),
        (Some("aone.example"), None),
    ];
    check(certificates, &wanted);
}

fn a_name_without_a_certificate_ends_in_access_denied() {
    // A certificate for the others is none for those who name nobody, and the other way round.
    let only = Identity::of("only.example");
    let listed = Certificates::new().name("only.example", only.certificate()).unwrap();
    let wanted = [(Some("only.example"), Some(&only)), (Some("evil.example"), None), (None, None)];
    check(listed, &wanted);
    let fallback = Certificates::new().fallback(only.certificate());
    check(fallback, &[(Some("any.example"), Some(&only)), (None, None)]);
    let nameless = Certificates::new().nameless(only.certificate());
    check(nameless, &[(Some("only.example"), None), (None, Some(&only))]);
}

fn one_certificate_alone_is_for_everybody() {
    let [one, other] = ["one.example", "other.example"].map(Identity::of);
    let wanted = [(Some("other.example"), Some(&one)), (None, Some(&one))];
    check(Certificates::single(one.certificate()), &wanted);
    let refined = Certificates::single(one.certificate());
    let refined = refined.name("other.example", other.certificate()).unwrap();
    check(refined, &[(Some("other.example"), Some(&other)), (None, Some(&one))]);
}

fn the_set_tells_what_a_handshake_will_show() {
    let [exact, wildcard] = ["a.example", "*.b.example"].map(Identity::of);
    let set = Certificates::new().name("A.Example.", exact.certificate());
    let set = set.and_then(|set| set.name("*.B.example", wildcard.certificate())).unwrap();
    let names = |host| set.choose(host).map(|chosen| chosen.names().concat());
    assert_eq!(names(Some("a.example")).as_deref(), Some("a.example"));
    assert_eq!(names(Some("X.b.EXAMPLE.")).as_deref(), Some("*.b.example"));
    assert_eq!(names(Some("b.example")), None);
    assert_eq!(names(Some("")), None);
    assert_eq!(names(None), None);
}

/// The name a server heard, and the certificate it shows.
type Shown = (Option<String>, Vec<u8>);

/// Why a server ended a handshake, and what it sent.
type Refused = (Error, Vec<u8>);

/// What a server makes of a TLS 1.2 hello with this in its server_name; certificates are in the
/// clear there.
fn ask(server: &ServerContext, name: &[u8]) -> Result<Shown, Refused> {
    let mut end = End::new(Session::server(server).unwrap());
    let mut hello = hello::with_server_name(&TLS12, name);
    match end.session.receive(&mut hello, &mut end.plain, &mut end.wire) {
        Ok(_) => {
            let heard = end.session.info().server_name().map(str::to_owned);
            Ok((heard, hello::first_certificate(&end.wire)))
        }
        Err(error) => Err((error, end.wire)),
    }
}

/// A server with `a.example`, and a certificate for those who name no host.
fn two() -> (ServerContext, CertificateDer<'static>, CertificateDer<'static>) {
    let [named, nameless] = ["a.example", "nameless.example"].map(Identity::of);
    let set = Certificates::new().name("a.example", named.certificate()).unwrap();
    let set = set.nameless(nameless.certificate());
    let server = ServerContext::builder(set).provider(provider()).build().unwrap();
    (server, named.der().into(), nameless.der().into())
}

fn upper_case_and_a_dot_at_the_end_change_nothing() {
    let (server, named, _) = two();
    for spelled in ["a.example", "A.EXAMPLE", "a.eXample", "a.example.", "A.Example."] {
        let (heard, shown) = ask(&server, spelled.as_bytes()).expect("accepted");
        assert_eq!(heard.as_deref(), Some("a.example"), "{spelled}");
        assert!(shown == named.as_ref(), "{spelled}");
    }
}

fn an_address_as_a_name_is_no_name() {
    // RFC 6066, section 3, forbids it; some clients do it all the same.
    let (server, _, nameless) = two();
    for address in ["192.0.2.1", "2001:db8::1"] {
        let (heard, shown) = ask(&server, address.as_bytes()).expect("accepted");
        assert_eq!(heard, None, "{address}");
        assert!(shown == nameless.as_ref(), "{address}");
    }
}

fn a_name_that_is_none_is_refused_as_illegal() {
    let (server, ..) = two();
    let label = "a".repeat(63);
    let longest = format!("{label}.{label}.{label}.{}", &label[..61]);
    assert_eq!(longest.len(), 253);
    // Long, but a name; nobody has a certificate for it.
    let (error, alert) = ask(&server, longest.as_bytes()).expect_err("not listed");
    assert!(matches!(error, Error::Policy { .. }), "{error:?}");
    assert_eq!(alert, [21, 3, 3, 0, 2, 2, AlertDescription::AccessDenied.into()]);
    let too_long = [format!("{longest}."), format!("{longest}aa"), "a".repeat(64)];
    let too_long = too_long.iter().map(|name| name.as_bytes());
    let others: [&[u8]; 6] = [
        b"a..example",
        b".example",
        b"a example",
        b"*.example",
        "\u{e4}.example".as_bytes(),
        b"\0",
    ];
    for name in too_long.chain(others) {
        let (error, alert) = ask(&server, name).expect_err("no name");
        assert!(matches!(error, Error::Peer { .. }), "{name:?}: {error:?}");
        assert_eq!(alert, [21, 3, 3, 0, 2, 2, AlertDescription::IllegalParameter.into()]);
    }
}

fn hosts_that_nobody_can_ask_for_are_named_when_the_set_is_made() {
    let any = Identity::of("any.example").certificate();
    let refused = |set: Certificates, host: &str| {
        let error = set.name(host, any.clone()).expect_err("no host");
        assert!(error.to_string().contains(&format!("{host:?}")), "{error}");
        let source = error.source().and_then(|source| source.downcast_ref::<CertificatesError>());
        source.cloned().expect("a typed error")
    };
    let long = "a.".repeat(127);
    for host in ["", ".", "*", "*.", "*.*.example", "a.*.example", "*a.example", "192.0.2.1", "::1"]
        .into_iter()
        .chain(["\u{e4}.example", "a b", "a..b", "-a.example", &long])
    {
        let error = refused(Certificates::new(), host);
        assert_eq!(error, CertificatesError::BadHost { host: host.into() });
    }
    for (first, second) in [("a.example", "A.example."), ("*.example", "*.EXAMPLE")] {
        let set = Certificates::new().name(first, any.clone()).unwrap();
        let error = refused(set, second);
        assert_eq!(error, CertificatesError::NamedTwice { host: second.into() });
    }
    // A name and the wildcard around it are two.
    let set = Certificates::new().name("*.example", any.clone()).unwrap();
    assert!(set.name("a.example", any.clone()).is_ok());
}
