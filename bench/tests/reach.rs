//! How `shardload` reaches its targets, as the servers see it: names, protocols, certificates,
//! PROXY headers, sources; and what it says of what cannot be.

mod support;

use serde_json::Value;
use shardpoll::tls::rustls::ProtocolVersion;
use shardpoll::tls::{Certificate, Certificates, ClientAuth, Roots, ServerContext};
use shardpoll::{Conn, Engine, Handler, Listen, Pinning, ProxyHeader, ProxyProtocol};
use shardpoll_bench::clock::calendar;
use std::collections::BTreeSet;
use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};
use support::{assert_sound, certificate_files, good_run, one_line_with_code};

/// What a server knows of a connection on which something has come.
#[derive(Clone, Debug)]
struct Seen {
    peer: shardpoll::Addr,
    proxy: Option<ProxyHeader>,
    sni: Option<String>,
    alpn: Option<Vec<u8>>,
    version: Option<ProtocolVersion>,
    is_resumed: Option<bool>,
    has_certificate: bool,
}

impl Seen {
    fn ip(&self) -> IpAddr {
        self.peer.ip().expect("an internet address").ip()
    }
}

/// Echoes, and remembers whom it has served.
struct Witness {
    engine: Engine,
    addr: Option<SocketAddr>,
    seen: Arc<Mutex<Vec<Seen>>>,
}

struct Echo {
    seen: Arc<Mutex<Vec<Seen>>>,
    is_noted: bool,
}

impl Handler for Echo {
    fn on_incoming(&mut self, conn: &mut Conn<'_>, data: &[u8]) {
        if !self.is_noted {
            self.is_noted = true;
            let tls = conn.tls();
            let seen = Seen {
                peer: conn.peer().clone(),
                proxy: conn.proxy().cloned(),
                sni: tls.and_then(|tls| tls.server_name()).map(String::from),
                alpn: tls.and_then(|tls| tls.alpn_protocol()).map(Vec::from),
                version: tls.and_then(|tls| tls.protocol_version()),
                is_resumed: tls.and_then(|tls| tls.resumed()),
                has_certificate: tls.is_some_and(|tls| tls.peer_certificates().is_some()),
            };
            self.seen.lock().expect("nobody panics with it").push(seen);
        }
        conn.write(data);
    }
}

impl Witness {
    fn start(listen: Listen) -> Self {
        let engine = Engine::builder().shards(1).pinning(Pinning::None).start().expect("a shard");
        let seen = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&seen);
        let echo = move |_: &_| Echo { seen: Arc::clone(&log), is_noted: false };
        let listener = engine.listen(listen, echo).expect("the kernel has ports");
        let addr = engine.addr(listener);
        Self { engine, addr, seen }
    }

    fn plain() -> Self {
        Self::start(Listen::on(([127, 0, 0, 1], 0)))
    }

    fn tls(context: ServerContext) -> Self {
        Self::start(Listen::on(([127, 0, 0, 1], 0)).tls(context))
    }

    fn port(&self) -> u16 {
        self.addr.expect("it is no unix socket").port()
    }

    fn target(&self, scheme: &str) -> String {
        format!("{scheme}://127.0.0.1:{}", self.port())
    }

    /// All that has been seen since the last time.
    fn take(&self) -> Vec<Seen> {
        std::mem::take(&mut *self.seen.lock().expect("nobody panics with it"))
    }
}

impl Drop for Witness {
    fn drop(&mut self) {
        self.engine.quit(Duration::ZERO);
    }
}

/// A certificate for `localhost`: its file, and what a server is made from with it.
fn identity(name: &str) -> (PathBuf, Certificates) {
    let (cert, key) = certificate_files(name);
    let [chain, secret] = [&cert, &key].map(|path| fs::read(path).expect("just written"));
    let certificate = Certificate::from_pem(&chain, &secret).expect("a pair");
    (cert, Certificates::single(certificate))
}

fn text(path: &Path) -> &str {
    path.to_str().expect("text")
}

/// An echo of few messages that must go well.
fn echo(targets: &[&str], options: &[&str]) -> Value {
    let run =
        good_run(&[&["echo"], targets, &["-c", "4", "--duration", "100ms"], options].concat());
    assert_sound(&run);
    run
}

#[test]
fn a_server_is_asked_for_the_host_or_for_the_name_that_is_given() {
    let (cert, certificates) = identity("sni");
    let server = Witness::tls(ServerContext::builder(certificates).build().expect("sound"));
    let by_name = format!("tls://localhost:{}", server.port());
    let by_address = server.target("tls");
    for (target, options, want) in [
        (&by_name, &["--ca", text(&cert)][..], Some("localhost")),
        (&by_address, &["--ca", text(&cert), "--sni", "localhost"], Some("localhost")),
        (&by_name, &["--insecure", "--sni", "other.example"], Some("other.example")),
        (&by_address, &["--insecure"], None),
    ] {
        echo(&[target], options);
        let seen = server.take();
        assert_eq!(seen.len(), 4);
        assert!(seen.iter().all(|seen| seen.sni.as_deref() == want), "{seen:?}");
    }
    let wrong = ["echo", &by_name, "--ca", text(&cert), "--sni", "other.example"];
    let said = one_line_with_code(3, &[&wrong[..], &["--quiet"]].concat());
    assert!(said.contains(&by_name) && said.contains("other.example"), "{said}");
}

#[test]
fn protocols_are_offered_and_a_server_that_chooses_none_is_an_error() {
    let (_, certificates) = identity("alpn");
    let context = ServerContext::builder(certificates.clone()).alpn(["two", "one"]);
    let server = Witness::tls(context.build().expect("sound"));
    let target = server.target("tls");
    for (offered, want) in [("one,two", &b"two"[..]), ("one", b"one")] {
        echo(&[&target], &["--insecure", "--alpn", offered]);
        let seen = server.take();
        assert!(seen.iter().all(|seen| seen.alpn.as_deref() == Some(want)), "{seen:?}");
    }
    echo(&[&target], &["--insecure"]);
    assert!(server.take().iter().all(|seen| seen.alpn.is_none()));
    let other = ["echo", &target, "--insecure", "--alpn", "three", "--quiet"];
    assert!(one_line_with_code(3, &other).contains(&target));
    let silent = Witness::tls(ServerContext::builder(certificates).build().expect("sound"));
    let target = silent.target("tls");
    let said = one_line_with_code(3, &["echo", &target, "--insecure", "--alpn", "one", "--quiet"]);
    assert!(said.contains("--alpn"), "{said}");
}

#[test]
fn a_client_certificate_is_shown_to_a_server_that_asks() {
    let (_, certificates) = identity("asking");
    let (cert, key) = certificate_files("client");
    let roots = Roots::from_pem(&fs::read(&cert).expect("just written")).expect("sound");
    let context = ServerContext::builder(certificates).client_auth(ClientAuth::Required(roots));
    let server = Witness::tls(context.build().expect("sound"));
    let target = server.target("tls");
    for version in ["1.2", "1.3"] {
        let options = ["--insecure", "--cert", text(&cert), "--key", text(&key)];
        echo(&[&target], &[&options[..], &["--tls-version", version]].concat());
        let seen = server.take();
        assert!(seen.len() == 4 && seen.iter().all(|seen| seen.has_certificate), "{seen:?}");
    }
    let without = ["echo", &target, "--insecure", "--tls-version", "1.2", "--quiet"];
    assert!(one_line_with_code(3, &without).contains(&target));
    assert!(server.take().is_empty());
}

#[test]
fn one_version_of_tls_is_offered_when_told_so() {
    let (_, certificates) = identity("version");
    let server = Witness::tls(ServerContext::builder(certificates).build().expect("sound"));
    let target = server.target("tls");
    for (options, want) in [
        (&["--tls-version", "1.2"][..], ProtocolVersion::TLSv1_2),
        (&["--tls-version", "1.3"], ProtocolVersion::TLSv1_3),
        (&[], ProtocolVersion::TLSv1_3),
    ] {
        echo(&[&target], &[&["--insecure", "--provider", "ring"], options].concat());
        let seen = server.take();
        assert!(seen.iter().all(|seen| seen.version == Some(want)), "{seen:?}");
    }
}

#[test]
fn sessions_are_resumed_unless_told_otherwise() {
    let (_, certificates) = identity("resumption");
    let server = Witness::tls(ServerContext::builder(certificates).build().expect("sound"));
    let target = server.target("tls");
    for version in ["1.2", "1.3"] {
        for (options, resumes) in [(&[][..], true), (&["--no-resumption"], false)] {
            let base = ["churn", &target, "--insecure", "--tls-version", version, "--size", "8"];
            let how = ["-c", "2", "--duration", "1500ms"];
            let run = good_run(&[&base[..], &how, options].concat());
            let [all, resumed] = ["handshakes", "resumed_handshakes"]
                .map(|name| run[name].as_u64().expect("a number"));
            let seen = server.take();
            assert_eq!(seen.len() as u64, all, "{run}");
            let count = seen.iter().filter(|seen| seen.is_resumed == Some(true)).count();
            assert_eq!(count as u64, resumed, "{run}");
            // Only the first of each place have nothing to resume.
            let want = if resumes { all - 2..all } else { 0..1 };
            assert!(all > 2 && want.contains(&resumed), "{version}: {run}");
        }
    }
}

#[test]
fn a_proxy_header_names_the_source_and_a_port_of_each_connection() {
    let (_, certificates) = identity("proxy");
    let tls = ServerContext::builder(certificates).build().expect("sound");
    for (scheme, context) in [("tcp", None), ("tls", Some(tls))] {
        let senders = ProxyProtocol::from_senders(["127.0.0.0/8"]).expect("a network");
        let listen = Listen::on(([127, 0, 0, 1], 0)).proxy_protocol(senders);
        let server = Witness::start(match context {
            Some(context) => listen.tls(context),
            None => listen,
        });
        let trust: &[&str] = if scheme == "tls" { &["--insecure"] } else { &[] };
        for (name, version) in
            [("v1", shardpoll::ProxyVersion::V1), ("v2", shardpoll::ProxyVersion::V2)]
        {
            let options = [&["--proxy", name, "--source", "127.0.0.7"], trust].concat();
            echo(&[&server.target(scheme)], &options);
            let seen = server.take();
            let headers = seen.iter().map(|seen| seen.proxy.clone().expect("it was asked for"));
            let headers: Vec<_> = headers.collect();
            assert!(headers.iter().all(|header| header.version() == version), "{headers:?}");
            let addr = server.addr.map(shardpoll::Addr::Ip);
            assert!(headers.iter().all(|header| header.destination() == addr.as_ref()));
            let sources: BTreeSet<_> = seen.iter().map(|seen| seen.peer.to_string()).collect();
            let want = ["1024", "1025", "1026", "1027"].map(|port| format!("127.0.0.7:{port}"));
            assert_eq!(sources, BTreeSet::from(want));
        }
    }
}

#[test]
fn a_unix_socket_is_a_target_with_and_without_a_header() {
    let path = std::env::temp_dir().join(format!("shardload-reach-{}.sock", std::process::id()));
    let target = format!("unix:{}", path.display());
    let plain = Witness::start(Listen::unix(&path));
    echo(&[&target], &[]);
    assert_eq!(plain.take().len(), 4);
    drop(plain);
    let headers = path.with_extension("proxied");
    let target = format!("unix:{}", headers.display());
    let server = Witness::start(Listen::unix(&headers).proxy_protocol(ProxyProtocol::from_unix()));
    for version in ["v1", "v2"] {
        echo(&[&target], &["--proxy", version]);
        assert!(server.take().iter().all(|seen| seen.proxy.is_some()));
    }
}

#[test]
fn each_target_is_reached_from_each_source() {
    let servers = [Witness::plain(), Witness::plain()];
    let targets = servers.each_ref().map(|server| server.target("tcp"));
    let targets = targets.each_ref().map(String::as_str);
    let want: BTreeSet<IpAddr> = [8, 9].map(|last| IpAddr::from([127, 0, 0, last])).into();
    let sources = ["--source", "127.0.0.8-127.0.0.9"];
    let run = echo(&targets, &sources);
    assert_eq!(run["targets"].as_array().map(Vec::len), Some(2), "{run}");
    for server in &servers {
        let seen = server.take();
        assert_eq!((seen.len(), seen.iter().map(Seen::ip).collect()), (2, want.clone()));
    }
    // Visits as well, be it one at a time or as many as there are of both.
    for connections in ["1", "2", "4"] {
        let how = ["--size", "8", "-c", connections, "--duration", "500ms"];
        good_run(&[&["churn"], &targets[..], &how, &sources].concat());
        for server in &servers {
            let from: BTreeSet<IpAddr> = server.take().iter().map(Seen::ip).collect();
            assert_eq!(from, want, "{connections}");
        }
    }
}

#[test]
fn what_cannot_be_reached_so_is_refused_by_name() {
    let (cert, key) = certificate_files("refused");
    let (cert, key) = (text(&cert), text(&key));
    let (plain, sealed) = ("tcp://127.0.0.1:1", "tls://127.0.0.1:1");
    for (named, options) in [
        ("--sni has no meaning for tcp://127.0.0.1:1", &[plain, "--sni", "a"][..]),
        ("--alpn", &[plain, "--alpn", "a"]),
        ("--cert", &[plain, "--cert", cert, "--key", key]),
        ("--tls-version", &["unix:/run/a.sock", "--tls-version", "1.3"]),
        ("--no-resumption", &[plain, "--no-resumption"]),
        ("--key", &[sealed, "--insecure", "--cert", cert]),
        ("/no/such.key", &[sealed, "--insecure", "--cert", cert, "--key", "/no/such.key"]),
        (cert, &[sealed, "--insecure", "--cert", cert, "--key", cert]),
        ("'1.1'", &[sealed, "--insecure", "--tls-version", "1.1"]),
        ("'openssl'", &[sealed, "--insecure", "--provider", "openssl"]),
        ("'v3'", &[plain, "--proxy", "v3"]),
        ("\"no name\"", &[sealed, "--insecure", "--sni", "no name"]),
        ("--alpn", &[sealed, "--insecure", "--alpn", "a,,b"]),
        ("\"elsewhere\"", &[plain, "--source", "elsewhere"]),
        ("192.0.2.1", &[plain, "--source", "192.0.2.1"]),
        ("::1", &[plain, "--source", "::1"]),
        ("127.0.0.1", &["unix:/run/a.sock", "--source", "127.0.0.1"]),
        ("http://", &["http://127.0.0.1:1"]),
        ("unix:///run/a.sock", &["unix://run/a.sock"]),
        ("--start-at 2001-09-09T01:46:40Z: that was", &[plain, "--start-at", "1000000000"]),
        ("--instance 3/3", &[plain, "-c", "2", "--instance", "3/3"]),
    ] {
        let said = one_line_with_code(2, &[&["echo"], options].concat());
        assert!(said.contains(named), "{named}: {said}");
    }
    // A port of loopback rests for a second at the least, and there are 65,535.
    let said = one_line_with_code(2, &["churn", plain, "--rate", "1m"]);
    assert!(said.contains("TIME_WAIT") && said.contains("--source 127.0.0.2-"), "{said}");
}

#[test]
fn instances_begin_at_one_time_and_share_the_connections() {
    let server = Witness::plain();
    let target = server.target("tcp");
    let since_1970 = calendar().duration_since(SystemTime::UNIX_EPOCH).expect("it is later");
    let begin = since_1970.as_secs() + 2;
    let at = begin.to_string();
    let children = ["1/2", "2/2"].map(|instance| {
        let how = ["-c", "5", "--rate", "500", "--duration", "300ms", "--start-at", &at];
        let rest = ["--instance", instance, "--quiet", "--json"];
        let mut command = support::shardload(&[&["echo", &target], &how[..], &rest].concat());
        command.stdout(std::process::Stdio::piped()).spawn().expect("the program runs")
    });
    let documents = children.map(|child| {
        let output = child.wait_with_output().expect("it is ours");
        assert_eq!(output.status.code(), Some(0));
        serde_json::from_slice::<Value>(&output.stdout).expect("JSON")
    });
    let begin = SystemTime::UNIX_EPOCH + Duration::from_secs(begin);
    for (document, (number, connections, rate)) in
        documents.iter().zip([(1, 2, 200.0), (2, 3, 300.0)])
    {
        let run = &document["runs"][0];
        assert_eq!(document["instance"]["number"], number, "{document}");
        assert_eq!(run["connections"], connections, "{run}");
        assert_eq!(run["asked_per_second"], rate, "{run}");
        let started = document["started"].as_str().expect("a time");
        let started = humantime::parse_rfc3339(started).expect("a time");
        assert!(started >= begin, "{document}");
    }
    assert_eq!(server.take().len(), 5);
}
