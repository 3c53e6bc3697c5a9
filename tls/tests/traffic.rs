//! Sessions of TLS 1.3 that have lived long enough to do their records themselves: they are what
//! they were, to a peer that is rustls' own, and to one that breaks the protocol.
//!
//! Never: tests what a session does before; the other files do.

#![cfg(any(feature = "ring", feature = "aws-lc-rs"))]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[macro_use]
mod support;

use std::io::{Read, Write};
use std::sync::Arc;

use rustls::version::{TLS12, TLS13};
use rustls::{
    AlertDescription, ClientConfig, ClientConnection, HandshakeType, InvalidMessage, PeerMisbehaved,
};
use shardpoll_tls::{ClientContext, Error, Progress, ServerContext, Session};
use support::forge::{self, ALERT, APPLICATION_DATA, HANDSHAKE, OVERSIZED, forged};
use support::{End, NAME, P256, Pair, records};

on_each_provider! {
    records_are_taken_over_behind_some_messages_of_tls_1_3_only,
    what_was_agreed_stays_known,
    a_peer_of_rustls_own_notices_nothing,
    input_may_be_cut_anywhere,
    data_is_lent_where_it_lies,
    tickets_that_come_late_are_kept,
    a_key_update_may_come_in_two_records,
    what_has_begun_and_can_only_be_refused_is_not_kept,
    what_breaks_the_protocol_is_answered_with_its_alert,
    a_header_that_cannot_be_is_refused_at_once,
    what_a_peer_may_do_has_its_measure,
    both_ends_are_told_of_the_end,
    a_fatal_alert_of_the_peer_is_not_answered,
}

fn is_own(end: &End) -> bool {
    format!("{:?}", end.session).contains("own_records: true")
}

/// Lets both sides talk until they have taken their records over.
fn talk(pair: &mut Pair) {
    for round in 0..20_u8 {
        pair.client.send(&[round; 100]);
        pair.settle();
        assert_eq!(pair.server.received(), [round; 100]);
        pair.server.send(&[round; 50]);
        pair.settle();
        assert_eq!(pair.client.received(), [round; 50]);
    }
}

/// Two sessions whose records are their own.
fn old_pair() -> Pair {
    let mut pair = Pair::established(&P256, &TLS13);
    talk(&mut pair);
    assert!(is_own(&pair.client) && is_own(&pair.server));
    pair
}

/// The same, whose client can forge records.
fn forging_client() -> Pair {
    let config = ClientConfig::builder_with_provider(forge::provider())
        .with_protocol_versions(&[&TLS13])
        .unwrap()
        .with_root_certificates(P256.roots())
        .with_no_client_auth();
    let mut pair = Pair::new(&ClientContext::new(Arc::new(config)), &P256.server());
    pair.settle();
    talk(&mut pair);
    assert!(is_own(&pair.client) && is_own(&pair.server));
    pair
}

fn peer_error(error: &Error) -> &rustls::Error {
    match error {
        Error::Peer { source } => source,
        other => panic!("not the peer's fault: {other:?}"),
    }
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

fn a_key_update_may_come_in_two_records() {
    let mut pair = forging_client();
    let update = [24, 0, 0, 1, 0];
    pair.client.send(&forged(HANDSHAKE, &update[..2]));
    assert_eq!(pair.server.feed(pair.client.owed()), Progress::Open);
    assert!(pair.server.session.buffered() > 0);
    // Nothing may come between its two parts.
    pair.client.send(b"data");
    let error = pair.server.refuse(pair.client.owed());
    let expected = PeerMisbehaved::MessageInterleavedWithHandshakeMessage;
    assert_eq!(peer_error(&error), &expected.into());
    assert!(pair.server.plain.is_empty());

    let mut pair = forging_client();
    pair.client.send(&forged(HANDSHAKE, &update[..2]));
    pair.client.send(&forged(HANDSHAKE, &update[2..]));
    assert_eq!(pair.server.feed(pair.client.owed()), Progress::Open);
    assert_eq!(pair.server.session.buffered(), 0);
    // The forger has kept its old keys.
    pair.client.send(b"data");
    let error = pair.server.refuse(pair.client.owed());
    assert_eq!(peer_error(&error), &rustls::Error::DecryptError);
}

fn what_has_begun_and_can_only_be_refused_is_not_kept() {
    let unexpected = |got_type| rustls::Error::InappropriateHandshakeMessage {
        expect_types: vec![HandshakeType::KeyUpdate],
        got_type,
    };
    let headers: &[([u8; 4], rustls::Error)] = &[
        ([1, 0, 0xff, 0], unexpected(HandshakeType::ClientHello)),
        ([4, 0, 1, 0], unexpected(HandshakeType::NewSessionTicket)),
        ([24, 0, 1, 0], InvalidMessage::InvalidKeyUpdate.into()),
    ];
    for (header, error) in headers {
        let mut pair = forging_client();
        for byte in &header[..3] {
            pair.client.send(&forged(HANDSHAKE, &[*byte]));
        }
        assert_eq!(pair.server.feed(pair.client.owed()), Progress::Open);
        pair.client.send(&forged(HANDSHAKE, &header[3..]));
        assert_eq!(peer_error(&pair.server.refuse(pair.client.owed())), error);
        assert_eq!(pair.server.session.buffered(), 0);
    }
}

fn what_breaks_the_protocol_is_answered_with_its_alert() {
    use AlertDescription as A;
    let invalid = rustls::Error::InvalidMessage;
    let unexpected = |got_type| rustls::Error::InappropriateHandshakeMessage {
        expect_types: vec![HandshakeType::KeyUpdate],
        got_type,
    };
    let cases: &[(u8, &[u8], rustls::Error, A)] = &[
        (OVERSIZED, b"", rustls::Error::PeerSentOversizedRecord, A::RecordOverflow),
        (HANDSHAKE, b"", invalid(InvalidMessage::InvalidEmptyPayload), A::UnexpectedMessage),
        (ALERT, b"", invalid(InvalidMessage::InvalidEmptyPayload), A::UnexpectedMessage),
        (ALERT, &[1, 0, 0], invalid(InvalidMessage::TrailingData("Alert")), A::DecodeError),
        (ALERT, &[1, 40], rustls::Error::AlertReceived(A::HandshakeFailure), A::DecodeError),
        (ALERT, &[3, 40], rustls::Error::AlertReceived(A::HandshakeFailure), A::IllegalParameter),
        (
            HANDSHAKE,
            &[24, 0, 0, 1, 2],
            invalid(InvalidMessage::InvalidKeyUpdate),
            A::IllegalParameter,
        ),
        (HANDSHAKE, &[24, 0, 0, 0], invalid(InvalidMessage::InvalidKeyUpdate), A::DecodeError),
        (
            HANDSHAKE,
            &[24, 0, 0, 1, 0, 24],
            PeerMisbehaved::KeyEpochWithPendingFragment.into(),
            A::UnexpectedMessage,
        ),
        (
            HANDSHAKE,
            &[4, 0, 0, 0],
            unexpected(HandshakeType::NewSessionTicket),
            A::UnexpectedMessage,
        ),
        (HANDSHAKE, &[1, 0, 0, 0], unexpected(HandshakeType::ClientHello), A::UnexpectedMessage),
        (
            HANDSHAKE,
            &[24, 1, 0, 0],
            invalid(InvalidMessage::HandshakePayloadTooLarge),
            A::DecodeError,
        ),
        (20, &[1], PeerMisbehaved::IllegalMiddleboxChangeCipherSpec.into(), A::UnexpectedMessage),
    ];
    for (kind, payload, error, alert) in cases {
        let mut pair = forging_client();
        pair.client.send(b"before");
        pair.client.send(&forged(*kind, payload));
        let refused = pair.server.refuse(pair.client.owed());
        assert_eq!(peer_error(&refused), error);
        assert_eq!(pair.server.plain, b"before");
        let told = pair.client.refuse(pair.server.owed());
        assert_eq!(peer_error(&told), &rustls::Error::AlertReceived(*alert), "{error}");
    }
}

fn a_header_that_cannot_be_is_refused_at_once() {
    let headers: &[([u8; 5], AlertDescription)] = &[
        ([APPLICATION_DATA, 3, 3, 0x41, 1], AlertDescription::RecordOverflow),
        ([HANDSHAKE, 3, 3, 0, 9], AlertDescription::UnexpectedMessage),
        ([20, 3, 3, 0, 1], AlertDescription::UnexpectedMessage),
        ([ALERT, 3, 3, 0, 2], AlertDescription::UnexpectedMessage),
        ([APPLICATION_DATA, 2, 3, 0, 9], AlertDescription::DecodeError),
        (*b"QUIT\r", AlertDescription::DecodeError),
    ];
    for (header, alert) in headers {
        for one_by_one in [false, true] {
            let mut pair = old_pair();
            if one_by_one {
                for byte in &header[..4] {
                    assert_eq!(pair.server.feed(vec![*byte]), Progress::Open);
                }
                peer_error(&pair.server.refuse(vec![header[4]]));
            } else {
                peer_error(&pair.server.refuse(header.to_vec()));
            }
            let told = pair.client.refuse(pair.server.owed());
            assert_eq!(peer_error(&told), &rustls::Error::AlertReceived(*alert), "{header:?}");
        }
    }
    // A record that was changed on the way.
    let mut pair = old_pair();
    pair.client.send(b"data");
    let mut wire = pair.client.owed();
    wire[7] ^= 1;
    assert_eq!(peer_error(&pair.server.refuse(wire)), &rustls::Error::DecryptError);
    let told = pair.client.refuse(pair.server.owed());
    let expected = rustls::Error::AlertReceived(AlertDescription::BadRecordMac);
    assert_eq!(peer_error(&told), &expected);
}

fn what_a_peer_may_do_has_its_measure() {
    let many: &[(u8, &[u8], usize, PeerMisbehaved)] = &[
        (APPLICATION_DATA, b"", 32, PeerMisbehaved::TooManyEmptyFragments),
        (ALERT, &[1, 90], 4, PeerMisbehaved::TooManyWarningAlertsReceived),
    ];
    for (kind, payload, most, error) in many {
        let mut pair = forging_client();
        for _ in 0..*most {
            pair.client.send(&forged(*kind, payload));
        }
        assert_eq!(pair.server.feed(pair.client.owed()), Progress::Open);
        pair.client.send(&forged(*kind, payload));
        assert_eq!(peer_error(&pair.server.refuse(pair.client.owed())), &(*error).clone().into());
    }
    // Data makes up for empty records.
    let mut pair = forging_client();
    for _ in 0..10 {
        for _ in 0..30 {
            pair.client.send(&forged(APPLICATION_DATA, b""));
        }
        pair.client.send(b"data");
    }
    assert_eq!(pair.server.feed(pair.client.owed()), Progress::Open);
    assert_eq!(pair.server.received().len(), 40);
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

fn a_fatal_alert_of_the_peer_is_not_answered() {
    let mut pair = forging_client();
    pair.client.send(&forged(ALERT, &[2, 80]));
    let error = pair.server.refuse(pair.client.owed());
    let expected = rustls::Error::AlertReceived(AlertDescription::InternalError);
    assert_eq!(peer_error(&error), &expected);
    assert!(pair.server.wire.is_empty());
}
