//! Whatever is sent to the TLS port: an alert or a close, never a panic (S113).

use shardpoll_tests::{Event, Peer, Setup, TlsPeer, Version};

/// The kinds of first bytes, by name.
fn openings() -> Vec<(&'static str, Vec<u8>)> {
    let mut random = fastrand::Rng::with_seed(7);
    let mut noise = vec![0; 4096];
    random.fill(&mut noise);
    let mut oversized = vec![22, 3, 1, 0xff, 0xff];
    oversized.resize(70_000, 1);
    let mut hello = TlsHello::get();
    hello[20] ^= 0xff;
    let mut forged = hello.clone();
    forged[5] = 11;
    vec![
        ("an HTTP request", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_vec()),
        ("an SSH greeting", b"SSH-2.0-OpenSSH_9.6\r\n".to_vec()),
        ("zeros", vec![0; 1000]),
        ("ones", vec![0xff; 1000]),
        ("noise", noise),
        (
            "a SSLv2 hello",
            vec![0x80, 0x2e, 1, 0, 2, 0, 0x15, 0, 0, 0, 0x10, 1, 0, 0x80, 2, 0, 0x80],
        ),
        ("a record that is too long", oversized),
        ("an empty handshake record", vec![22, 3, 1, 0, 0]),
        ("application data before the handshake", vec![23, 3, 3, 0, 5, 1, 2, 3, 4, 5]),
        ("an alert first", vec![21, 3, 3, 0, 2, 2, 40]),
        ("close_notify first", vec![21, 3, 3, 0, 2, 1, 0]),
        ("another message where a hello is due", forged),
    ]
}

struct TlsHello;

impl TlsHello {
    /// A good ClientHello.
    fn get() -> Vec<u8> {
        let world = Setup::new().echo();
        TlsPeer::begin(world.addr(), Version::Tls13).hello()
    }
}

#[test]
fn garbage_ends_that_connection_with_an_alert_or_a_close_and_no_other() {
    let mut world = Setup::new().tls().echo();
    let mut bystander = world.connect_tls(Version::Tls13);
    bystander.echo(b"before");
    let openings = openings();
    for (name, bytes) in &openings {
        let mut peer = Peer::connect(world.addr());
        peer.send_some(bytes);
        peer.try_finish();
        let (answer, orderly) = peer.read_all();
        let alert = answer.first() == Some(&21);
        assert!(alert || answer.is_empty() || !orderly, "{name}: {answer:?}");
        let end = world.wait_for_end();
        assert!(end.cause.starts_with("Tls(") || end.event == Event::ended("closed"), "{name}");
        bystander.echo(b"alive");
    }
    let trace = world.finish();
    assert_eq!(trace.count(&Event::Connect), 1, "the bystander's");
    assert_eq!(trace.count(&Event::Starttls), 1 + openings.len());
    assert_eq!(trace.ends().len(), 1 + openings.len());
}

#[test]
fn a_wrong_first_byte_is_answered_by_an_alert() {
    // S113, O8: the peer is told why before the end
    let mut world = Setup::new().tls().echo();
    let mut peer = Peer::connect(world.addr());
    peer.send(b"GET / HTTP/1.1\r\n\r\n");
    let (answer, orderly) = peer.read_all();
    assert!(orderly, "no reset that could destroy the alert");
    assert_eq!(answer.first(), Some(&21), "{answer:?}");
    world.wait_for_end();
    let _trace = world.finish();
}

#[test]
fn garbage_after_the_handshake_ends_the_connection_and_no_other() {
    for version in Version::ALL {
        let mut world = Setup::new().tls().echo();
        let mut bystander = world.connect_tls(version);
        let mut peer = world.connect_tls(version);
        peer.echo(b"fine");
        let mut record = peer.seal(&[b"this is to be altered"]);
        let last = record.len() - 1;
        record[last] ^= 1;
        peer.peer.send(&record);
        let end = world.wait_for_end();
        assert!(end.cause.starts_with("Tls("), "{version:?}: {}", end.cause);
        let _alert = peer.peer.read_all();
        bystander.echo(b"alive");
        let trace = world.finish();
        let echoed = trace.seen.iter().filter(|s| matches!(s.event, Event::Incoming(_)));
        assert_eq!(echoed.count(), 2, "nothing of the altered record");
    }
}

#[test]
fn what_came_before_the_garbage_is_delivered() {
    // sound plaintext in the same segment as a broken record
    let mut world = Setup::new().tls().echo();
    let mut peer = world.connect_tls(Version::Tls13);
    let mut batch = peer.seal(&[b"sound"]);
    batch.extend([23, 3, 3, 0, 20]);
    batch.extend([9; 20]);
    peer.peer.send(&batch);
    world.wait_for_event(&Event::incoming(b"sound"));
    let end = world.wait_for_end();
    assert!(end.cause.starts_with("Tls("), "{}", end.cause);
    let _rest = peer.peer.read_all();
    let _trace = world.finish();
}
