//! on_starttls and on_status for TLS from the first byte (S39, S40, S112, S114).

use shardpoll::Connect;
use shardpoll_tests::{Event, Setup, Version, both_worlds, client_context, refused_addr};

both_worlds! {
    direct_tls_is_starttls_then_status_then_connect,
    starttls_comes_at_accept_and_nothing_else_before_the_handshake,
    outgoing_tls_is_starttls_then_status_then_connect,
    no_starttls_for_a_connection_that_was_refused,
    what_is_written_before_the_handshake_is_done_leaves_encrypted_after_it,
    what_was_agreed_on_is_known_in_on_status,
    a_name_that_the_certificate_does_not_carry_fails_the_handshake,
}

fn established() -> Event {
    Event::Status("ssl-handshake-complete".into())
}

fn direct_tls_is_starttls_then_status_then_connect() {
    // S112, S114
    for version in Version::ALL {
        let mut world = Setup::new().tls().echo();
        let mut peer = world.connect_tls(version);
        peer.echo(b"hello");
        peer.finish();
        world.wait_for_end();
        let events = world.finish().only();
        assert_eq!(events[..3], [Event::Starttls, established(), Event::Connect], "{version:?}");
        let data = events.iter().position(|e| *e == Event::incoming(b"hello"));
        assert!(data.is_some_and(|at| at >= 3), "{version:?}: {events:?}");
    }
}

fn starttls_comes_at_accept_and_nothing_else_before_the_handshake() {
    // S114: before the peer has said a word
    let mut world = Setup::new().tls().echo();
    let peer = world.connect();
    world.wait_for_event(&Event::Starttls);
    drop(peer);
    let end = world.wait_for_end();
    assert_eq!(world.finish().only(), [Event::Starttls, end.event]);
}

fn outgoing_tls_is_starttls_then_status_then_connect() {
    // S115: the order of a server's side, once the connection stands
    let mut world = Setup::new().tls().echo();
    let name = "localhost".try_into().expect("a name");
    let id = world.dial(Connect::to(world.addr()).tls(client_context(), name), |call| {
        if *call.event == Event::Connect {
            call.write(b"hello");
        }
    });
    world.wait_for(|seen| seen.conn == Some(id) && seen.event == Event::incoming(b"hello"));
    let events = world.finish().of(id);
    let want = [
        Event::Starttls,
        established(),
        Event::Connect,
        Event::Predrain,
        Event::Drain,
        Event::incoming(b"hello"),
    ];
    assert_eq!(events[..6], want);
}

fn no_starttls_for_a_connection_that_was_refused() {
    // S115 (B27): connect first
    let (_held, nobody) = refused_addr();
    let mut world = Setup::new().echo();
    let name = "localhost".try_into().expect("a name");
    world.dial(Connect::to(nobody).tls(client_context(), name), |_| {});
    world.wait_for_end();
    assert_eq!(world.finish().only(), [Event::ended("connection refused")]);
}

fn what_is_written_before_the_handshake_is_done_leaves_encrypted_after_it() {
    // S105
    for version in Version::ALL {
        let world = Setup::new().tls().start(|call| {
            if matches!(call.event, Event::Starttls | Event::Status(_) | Event::Connect) {
                let name = format!("{:?};", call.event);
                call.write(name.as_bytes());
            }
        });
        let mut peer = world.connect_tls(version);
        peer.expect(b"Starttls;Status(\"ssl-handshake-complete\");Connect;");
        let _trace = world.finish();
    }
}

fn what_was_agreed_on_is_known_in_on_status() {
    // S119
    for version in Version::ALL {
        let mut world = Setup::new().tls().start(|call| {
            if matches!(call.event, Event::Status(_)) {
                let info = call.tls().expect("TLS is in place");
                let name = info.server_name().map(str::to_owned);
                let text = format!("{:?} {name:?}", info.protocol_version());
                call.note(text);
            }
        });
        let _peer = world.connect_tls(version);
        let name = match version {
            Version::Tls12 => "Some(TLSv1_2) Some(\"localhost\")",
            Version::Tls13 => "Some(TLSv1_3) Some(\"localhost\")",
        };
        world.wait_for_event(&Event::note(name));
        let _trace = world.finish();
    }
}

fn a_name_that_the_certificate_does_not_carry_fails_the_handshake() {
    // S113: on both sides, once, without connect
    let mut world = Setup::new().tls().echo();
    let name = "elsewhere.test".try_into().expect("a name");
    let id = world.dial(Connect::to(world.addr()).tls(client_context(), name), |_| {});
    let ends = world.wait_for_each(2, |seen| seen.event.is_end());
    assert!(ends.iter().all(|end| end.cause.starts_with("Tls(")), "{ends:?}");
    let trace = world.finish();
    let events = trace.of(id);
    assert_eq!(events[0], Event::Starttls);
    assert!(!events.contains(&established()) && events.len() == 2, "{events:?}");
}
