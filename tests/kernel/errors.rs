//! Bad input and refusals: typed errors that name the value (S124, O5).

use shardpoll::{Config, Engine, Listen, Pinning, StartError, tls};
use shardpoll_tests::{Alone, Setup, pem};
use std::error::Error;
use std::io;
use std::net::TcpListener;
use std::os::fd::AsRawFd;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::time::Duration;

#[test]
fn a_text_that_is_no_address_is_refused_by_name() {
    let texts = ["", "localhost", "localhost:80", "127.0.0.1", "1.2.3.4:99999", "::1:80", ":80"];
    for text in texts {
        let error = Listen::parse(text).expect_err("no address").to_string();
        assert!(error.contains(&format!("{text:?}")), "{error}");
    }
    assert!(Listen::parse("[::1]:0").is_ok() && Listen::parse("127.0.0.1:0").is_ok());
}

fn listen_error(addr: &str) -> (StartError, String) {
    let world = Setup::new().shards(2).echo();
    let at = Listen::parse(addr).expect("an address");
    let error = world.engine().listen(at, |_| shardpoll::incoming(|_, _| {})).expect_err("refused");
    let text = error.to_string();
    // Nothing is left of the attempt.
    assert_eq!(world.live(), 2);
    world.connect().echo(b"alive");
    let _trace = world.finish();
    (error, text)
}

#[test]
fn an_address_that_is_not_ours_is_refused_by_name() {
    // 192.0.2.0/24 is nobody's (RFC 5737)
    let (error, text) = listen_error("192.0.2.1:0");
    assert!(text.contains("192.0.2.1:0"), "{text}");
    match error {
        StartError::Listen { source, .. } => {
            assert_eq!(source.kind(), io::ErrorKind::AddrNotAvailable);
        }
        other => panic!("{other}"),
    }
}

#[test]
fn an_address_in_use_by_a_stranger_is_refused_by_name() {
    // S124: a stranger that does not share its port
    let stranger = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    let addr = stranger.local_addr().expect("bound").to_string();
    let (error, text) = listen_error(&addr);
    assert!(text.contains(&addr), "{text}");
    let source = error.source().and_then(|source| source.downcast_ref::<io::Error>());
    assert_eq!(source.map(io::Error::kind), Some(io::ErrorKind::AddrInUse));
}

#[test]
fn a_privileged_port_is_refused_by_name() {
    // in a process without privileges, whoever runs the tests
    let program = std::fs::File::open(env!("CARGO_BIN_EXE_alone")).expect("built with the tests");
    // By its descriptor, since another user may not reach its path.
    let path = format!("/proc/self/fd/{}", program.as_raw_fd());
    let mut command = Command::new(path);
    command.arg("privileged");
    if std::fs::read_dir("/proc/1/fd").is_ok() {
        command.uid(65_534).gid(65_534);
    }
    let alone = Alone::start(&mut command);
    let line = alone.line();
    assert_eq!(
        line,
        "PermissionDenied cannot listen on 127.0.0.1:1: Permission denied (os error 13)"
    );
    assert_eq!(alone.end(), Some(0));
}

#[test]
fn settings_that_make_no_sense_are_refused_by_name_and_value() {
    let with = |set: fn(&mut Config)| {
        let mut config = Config::default();
        set(&mut config);
        Engine::builder().shards(1).config(config).start().expect_err("absurd").to_string()
    };
    assert!(with(|c| c.read_size_bytes = 0).contains("read_size_bytes is 0"));
    assert!(with(|c| c.read_size_bytes = usize::MAX).contains("read_size_bytes"));
    assert!(with(|c| c.read_timeout = Some(Duration::ZERO)).contains("read_timeout is 0ns"));
    assert!(with(|c| c.send_timeout = Some(Duration::ZERO)).contains("send_timeout is 0ns"));
    assert!(with(|c| c.connect_timeout = Duration::ZERO).contains("connect_timeout is 0ns"));
    assert!(with(|c| c.handshake_timeout = Duration::ZERO).contains("handshake_timeout is 0ns"));
    for count in [0, shardpoll_max() + 1] {
        let error = Engine::builder().shards(count).start().expect_err("absurd").to_string();
        assert!(error.contains(&format!("{count} shards")), "{error}");
    }
    let pinned = Engine::builder().shards(1).pinning(Pinning::List(vec![4095])).start();
    assert!(pinned.expect_err("no such CPU").to_string().contains("4095"));
}

/// What 10 bits can name.
fn shardpoll_max() -> usize {
    1024
}

#[test]
fn settings_at_the_edge_of_sense_work() {
    // the largest of everything: no overflow in any deadline
    let config = |c: &mut Config| {
        c.read_timeout = Some(Duration::MAX);
        c.send_timeout = Some(Duration::MAX);
        c.connect_timeout = Duration::MAX;
        c.handshake_timeout = Duration::MAX;
        c.max_queued_bytes = usize::MAX;
        c.read_size_bytes = 1024 * 1024;
    };
    let world = Setup::new().tls().config(config).echo();
    world.connect_tls(shardpoll_tests::Version::Tls13).echo(b"fine");
    let _trace = world.finish();
}

#[test]
fn pem_that_cannot_be_read_is_our_configurations_fault_and_named() {
    let (cert, key) = pem();
    let other_key = rcgen::KeyPair::generate().expect("randomness").serialize_pem();
    let broken = cert.replace("MII", "!!!");
    let cases: [(&[u8], &[u8], &str); 8] = [
        (b"", key.as_bytes(), "certificate"),
        (b"not PEM at all", key.as_bytes(), "certificate"),
        (broken.as_bytes(), key.as_bytes(), "certificate"),
        (key.as_bytes(), key.as_bytes(), "certificate"),
        (cert.as_bytes(), b"", "key"),
        (cert.as_bytes(), cert.as_bytes(), "key"),
        (cert.as_bytes(), other_key.as_bytes(), "key"),
        (b"\xff\xfe\0", b"\xff", "certificate"),
    ];
    for (certs, key, what) in cases {
        let error = tls::ServerContext::from_pem(certs, key).expect_err("unreadable");
        assert!(matches!(error, tls::Error::Config { .. }), "{error}");
        assert!(error.to_string().contains(what), "{error}");
    }
    for roots in [&b""[..], b"garbage", key.as_bytes()] {
        let error = tls::ClientContext::from_roots_pem(roots).expect_err("unreadable");
        assert!(matches!(error, tls::Error::Config { .. }), "{error}");
    }
}
