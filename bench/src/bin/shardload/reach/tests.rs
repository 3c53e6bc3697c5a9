//! What becomes of targets and options before anything is connected.

use super::*;
use crate::cli::TlsVersion;
use crate::units::{Addresses, addresses};
use std::path::PathBuf;

fn reach(targets: &[&str]) -> Reach {
    let mut targets = targets.iter().map(|text| text.parse().expect(text));
    let mut reach = Reach::to(targets.next().expect("a target"), false);
    reach.targets.extend(targets);
    reach
}

fn refused(reach: &Reach) -> String {
    Endpoint::resolve(reach, false).expect_err("it cannot be done").to_string()
}

fn from(text: &str) -> Addresses {
    addresses(text).expect(text)
}

fn ip(text: &str) -> IpAddr {
    text.parse().expect(text)
}

#[test]
fn sources_and_targets_take_turns_independently() {
    let mut reach = reach(&["tcp://127.0.0.1:1", "tcp://127.0.0.1:2"]);
    reach.source = vec![from("127.0.0.2-127.0.0.3"), from("127.0.0.4")];
    let endpoints = Endpoint::resolve(&reach, false).expect("loopback");
    let mut pairs = std::collections::BTreeSet::new();
    for number in 0..6_u64 {
        let endpoint = &endpoints[usize::try_from(number % 2).expect("small")];
        pairs.insert((endpoint.target.to_string(), endpoint.source(number)));
    }
    assert_eq!(pairs.len(), 6, "{pairs:?}");
    assert!(endpoints.iter().all(|endpoint| endpoint.sources().len() == 3));
}

#[test]
fn a_source_serves_the_targets_of_its_family() {
    let mut reach = reach(&["tcp://127.0.0.1:1", "tcp://[::1]:2"]);
    reach.source = vec![from("::1"), from("127.0.0.2")];
    let endpoints = Endpoint::resolve(&reach, false).expect("loopback");
    assert_eq!(endpoints[0].source(7), Some(ip("127.0.0.2")));
    assert_eq!(endpoints[1].source(7), Some(ip("::1")));
}

#[test]
fn a_source_that_cannot_be_is_refused_by_name() {
    for (source, target, why) in [
        ("::1", "tcp://127.0.0.1:1", "IPv6 only"),
        ("127.0.0.1", "tcp://[::1]:1", "IPv4 only"),
        ("192.0.2.1", "tcp://127.0.0.1:1", "no address of this machine"),
        ("0.0.0.0", "tcp://127.0.0.1:1", "nothing comes from"),
        ("127.0.0.1", "unix:/run/a", "unix:/run/a is a unix socket"),
    ] {
        let mut reach = reach(&[target]);
        reach.source = vec![from(source)];
        let said = refused(&reach);
        assert!(said.contains(source) && said.contains(why), "{said}");
    }
    let mut reach = reach(&["tcp://127.0.0.1:1"]);
    reach.source = vec![from("127.0.0.1"); 2];
    assert!(refused(&reach).contains("twice"));
}

#[test]
fn a_header_names_the_source_and_a_port_of_its_own() {
    let mut reach = reach(&["tcp://127.0.0.1:7"]);
    reach.proxy = Some(ProxyVersion::V1);
    let header = |reach: &Reach, number| {
        let endpoint = Endpoint::resolve(reach, false).expect("loopback").swap_remove(0);
        let proxy = endpoint.proxy.expect("it was asked for");
        endpoint.header(proxy, endpoint.source(number), number)
    };
    assert_eq!(header(&reach, 5).encode(), b"PROXY TCP4 127.0.0.1 127.0.0.1 1029 7\r\n");
    assert_eq!(header(&reach, 64_511).source().and_then(Addr::port), Some(65_535));
    assert_eq!(header(&reach, 64_512).source().and_then(Addr::port), Some(1024));
    reach.source = vec![from("127.0.0.9")];
    reach.proxy = Some(ProxyVersion::V2);
    let second = header(&reach, 0);
    assert_eq!(second.version(), shardpoll::ProxyVersion::V2);
    let source = "127.0.0.9:1024".parse::<SocketAddr>().expect("an address");
    assert_eq!(second.source(), Some(&Addr::Ip(source)));
    reach.targets = vec!["unix:/run/a".parse().expect("a path")];
    reach.source.clear();
    let unix = header(&reach, 0);
    assert!(matches!(unix.destination(), Some(Addr::Unix(Some(path))) if path.ends_with("run/a")));
}

#[test]
fn an_option_of_tls_is_refused_where_there_is_none() {
    let plain = || reach(&["tcp://127.0.0.1:1", "unix:/run/a"]);
    let pem = || Some(PathBuf::from("a.pem"));
    for (option, reach) in [
        ("--sni", Reach { sni: Some("a".into()), ..plain() }),
        ("--alpn", Reach { alpn: vec!["a".into()], ..plain() }),
        ("--ca", Reach { ca: pem(), ..plain() }),
        ("--insecure", Reach { insecure: true, ..plain() }),
        ("--cert", Reach { cert: pem(), key: pem(), ..plain() }),
        ("--tls-version", Reach { tls_version: Some(TlsVersion::V13), ..plain() }),
        ("--no-resumption", Reach { no_resumption: true, ..plain() }),
    ] {
        let said = refused(&reach);
        assert!(said.contains(option) && said.contains("tcp://127.0.0.1:1"), "{said}");
    }
    // A script may begin TLS by itself.
    let upgraded = Endpoint::resolve(&Reach { insecure: true, ..plain() }, true).expect("sound");
    assert!(upgraded.iter().all(|endpoint| endpoint.tls().is_some()));
    assert!(upgraded.iter().all(|endpoint| !endpoint.begins_with_tls()));
    let one_of_two = reach(&["tcp://127.0.0.1:1", "tls://127.0.0.1:2"]);
    let mixed = Endpoint::resolve(&Reach { insecure: true, ..one_of_two }, false).expect("sound");
    assert!(mixed[0].tls().is_none() && mixed[1].tls().is_some());
}

#[test]
fn a_name_for_tls_is_the_hosts_unless_another_is_given() {
    let mut reach = reach(&["starttls+xmpp://127.0.0.1:1"]);
    reach.insecure = true;
    let one = |reach: &Reach| Endpoint::resolve(reach, false).map(|mut all| all.swap_remove(0));
    let endpoint = one(&reach).expect("sound");
    assert_eq!(endpoint.preamble(), Some(Preamble::Xmpp));
    assert_eq!(&**endpoint.domain(), "127.0.0.1");
    reach.sni = Some("example.org".into());
    let endpoint = one(&reach).expect("sound");
    assert_eq!(&**endpoint.domain(), "example.org");
    let (_, name) = endpoint.tls().expect("XMPP comes to TLS");
    assert_eq!(name.to_str(), "example.org");
    reach.sni = Some("no name".into());
    assert!(one(&reach).expect_err("no name").to_string().contains("--sni \"no name\""));
}

#[test]
fn the_context_is_as_the_options_say() {
    let tls = |change: fn(&mut Reach)| {
        let mut reach = reach(&["tls://127.0.0.1:1", "tls://127.0.0.1:2"]);
        reach.insecure = true;
        change(&mut reach);
        Endpoint::resolve(&reach, false)
    };
    let config = |all: &[Endpoint], at: usize| {
        Arc::clone(all[at].tls().expect("a target with TLS").0.config())
    };
    let both = tls(|_| {}).expect("sound");
    assert!(config(&both, 0).alpn_protocols.is_empty());
    assert!(!Arc::ptr_eq(&config(&both, 0), &config(&both, 1)), "sessions are not shared");
    assert!(Arc::ptr_eq(&config(&both, 0), &config(&both.clone(), 0)), "but by clones");
    let alpn = tls(|reach| reach.alpn = vec!["a".into(), "b".into()]).expect("sound");
    assert_eq!(config(&alpn, 0).alpn_protocols, [b"a", b"b"]);
    let empty = tls(|reach| reach.alpn = vec![String::new()]).expect_err("an empty name");
    assert!(empty.to_string().contains("--alpn"), "{empty}");
    let none = tls(|reach| reach.insecure = false).expect_err("whom to trust?").to_string();
    assert!(none.contains("tls://127.0.0.1:1") && none.contains("--ca"), "{none}");
}
