//! Sessions of TLS 1.3 that have lived long enough to do their records themselves: they are what
//! they were, to a peer that is rustls' own.
//!
//! Never: tests what a session does before; the other files do. Has a peer that breaks the
//! protocol; those are in `traffic_hostile.rs`.

#![cfg(any(feature = "ring", feature = "aws-lc-rs"))]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[macro_use]
mod support;

use std::io::{Read, Write};
use std::sync::Arc;

use rustls::ClientConnection;
use rustls::version::{TLS12, TLS13};
use shardpoll_tls::{ClientContext, Error, Progress, ServerContext, Session};
use support::old::{is_own, old_pair, talk};
use support::{End, NAME, P256, Pair, records};

on_each_provider! {
    records_are_taken_over_behind_some_messages_of_tls_1_3_only,
    what_was_agreed_stays_known,
    a_peer_of_rustls_own_notices_nothing,
    input_may_be_cut_anywhere,
    data_is_lent_where_it_lies,
    tickets_that_come_late_are_kept,
    both_ends_are_told_of_the_end,
}

fn records_are_taken_over_behind_some_messages_of_tls_1_3_only() {
    for version in [&TLS12, &TLS13] {
        let mut pair = Pair::established(&P256, version);
        assert!(!is_own(&pair.client) && !is_own(&pair.server));
        talk(&mut pair);
        let own = version.version == TLS13.version;
        assert_eq!((is_own(&pair.client), is_own(&pair.server)), (own, own));
        assert_eq!((pair.client.session.buffered(), pair.server.session.buffered()), (0, 0));
    }
}

fn what_was_agreed_stays_known() {
    let mut config = P256.client_config(&TLS13);
    config.alpn_protocols = vec![b"xmpp-client".to_vec()];
    let mut offer = rustls::ServerConfig::clone(P256.server().config());
    offer.alpn_protocols = vec![b"xmpp-client".to_vec()];
    let client = ClientContext::new(Arc::new(config)).with_exporter();
    let server = ServerContext::new(Arc::new(offer)).with_exporter();
    let mut pair = Pair::new(&client, &server);
    pair.settle();
    let tell = |end: &End| {
        let info = end.session.info();
        (format!("{info:?}"), info.tls_exporter().unwrap(), info.tls_server_end_point().unwrap())
    };
    let before = (tell(&pair.client), tell(&pair.server));
    assert!(
        before.0.0.contains("xmpp-client") && before.0.0.contains("peer_certificates: Some(1)")
    );
    talk(&mut pair);
    assert!(is_own(&pair.client) && is_own(&pair.server));
    assert_eq!((tell(&pair.client), tell(&pair.server)), before);
}

fn a_peer_of_rustls_own_notices_nothing() {
    let config = Arc::new(P256.client_config(&TLS13));
    let mut client = ClientConnection::new(config, NAME.try_into().unwrap()).unwrap();
    let mut server = End::new(Session::server(&P256.server()).unwrap());
    let exchange = |client: &mut ClientConnection, server: &mut End| {
        let mut wire = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut wire).unwrap();
        }
        server.feed(wire);
        let owed = server.owed();
        let mut rest = &owed[..];
        while !rest.is_empty() {
            client.read_tls(&mut rest).unwrap();
            client.process_new_packets().unwrap();
        }
    };
    while client.is_handshaking() || server.established == 0 {
        exchange(&mut client, &mut server);
    }
    for round in 0..200_usize {
        if round % 7 == 0 {
            client.refresh_traffic_keys().unwrap();
        }
        let message: Vec<u8> = (0..round * 500).map(|n| (n + round).to_le_bytes()[0]).collect();
        let mut left = &message[..];
        while !left.is_empty() {
            left = &left[client.writer().write(left).unwrap()..];
            exchange(&mut client, &mut server);
        }
        exchange(&mut client, &mut server);
        assert!(server.received() == message, "round {round}");
        server.send(&message[..message.len().min(10_000)]);
        exchange(&mut client, &mut server);
        let mut answer = vec![0; message.len().min(10_000)];
        client.reader().read_exact(&mut answer).unwrap();
        assert!(answer[..] == message[..answer.len()], "round {round}");
    }
    assert!(is_own(&server));
    client.send_close_notify();
    exchange(&mut client, &mut server);
    assert!(server.peer_closed);
}

fn input_may_be_cut_anywhere() {
    for piece in [1, 2, 5, 21, 100, 16_384, 16_406, 20_000] {
        let mut pair = old_pair();
        let data: Vec<u8> = (0..40_000_u32).map(|n| n.to_le_bytes()[0] ^ 5).collect();
        pair.client.send(&data);
        pair.client.send(b"");
        pair.client.send(b"end");
        let mut wire = pair.client.owed();
        // Once by either way in.
        let End { session, plain, wire: owed, .. } = &mut pair.server;
        for (number, part) in wire.chunks_mut(piece).enumerate() {
            let mut part = part;
            if number % 3 == 0 {
                assert_eq!(session.receive(part, plain, owed).unwrap(), Progress::Open);
                continue;
            }
            while !part.is_empty() {
                let mut behind = Vec::new();
                let next = session.next(part, &mut behind, owed).unwrap();
                assert!(next.taken > 0);
                let taken = next.taken;
                behind.extend_from_slice(next.data);
                plain.append(&mut behind);
                part = &mut part[taken..];
            }
            assert!(session.buffered() <= 2 * 16_406, "{}", session.buffered());
        }
        assert!(pair.server.received() == [&data[..], b"end"].concat(), "in pieces of {piece}");
        assert_eq!(pair.server.session.buffered(), 0);
    }
}

fn data_is_lent_where_it_lies() {
    let mut pair = old_pair();
    pair.client.send(b"one");
    pair.client.send(b"two");
    pair.client.close();
    let mut wire = pair.client.owed();
    let (mut plain, mut owed, mut at) = (Vec::new(), Vec::new(), 0);
    for expected in [&b"one"[..], b"two", b""] {
        let session = &mut pair.server.session;
        let next = session.next(&mut wire[at..], &mut plain, &mut owed).unwrap();
        assert_eq!(next.data, expected);
        at += next.taken;
    }
    assert_eq!((at, plain.len(), owed.len()), (wire.len(), 0, 0));
    assert!(pair.server.session.peer_closed());
    // What comes behind the end is dropped.
    let mut rest = [1; 30];
    let next = pair.server.session.next(&mut rest, &mut plain, &mut owed).unwrap();
    assert_eq!((next.taken, next.data), (30, &b""[..]));
}

fn tickets_that_come_late_are_kept() {
    let (client, server) = (P256.client(&TLS13), P256.server());
    let mut pair = Pair::new(&client, &server);
    pair.server.feed(pair.client.owed());
    pair.client.feed(pair.server.owed());
    pair.server.feed(pair.client.owed());
    let tickets = pair.server.owed();
    assert!(!tickets.is_empty());
    for _ in 0..20 {
        pair.client.send(b"before the tickets");
    }
    assert!(is_own(&pair.client));
    assert_eq!(pair.client.feed(tickets), Progress::Open);
    let mut again = Pair::new(&client, &server);
    again.settle();
    assert_eq!(again.client.session.info().resumed(), Some(true));
}

fn both_ends_are_told_of_the_end() {
    let mut pair = old_pair();
    pair.client.send(b"last");
    pair.client.session.end_output(&mut pair.client.wire).unwrap();
    assert!(matches!(pair.client.session.send(b"more", &mut Vec::new()), Err(Error::NotOpen)));
    assert_eq!(pair.server.feed(pair.client.owed()), Progress::PeerClosed);
    assert_eq!(pair.server.received(), b"last");
    // The other direction goes on.
    pair.server.send(b"answer");
    pair.server.close();
    assert_eq!(records(&pair.server.wire).len(), 2);
    assert_eq!(pair.client.feed(pair.server.owed()), Progress::PeerClosed);
    assert_eq!(pair.client.received(), b"answer");
    pair.client.session.end_of_input().unwrap();
    // And a stream that is cut is told as such.
    let mut pair = old_pair();
    assert!(matches!(pair.server.session.end_of_input(), Err(Error::Truncated)));
}
