//! What a hostile or broken peer can do to a session that does its records itself: it gets an alert
//! where TLS has one, an error here, and no more memory than it needs.
//!
//! Never: tests what a session does before; that is in `hostile.rs`.

#![cfg(any(feature = "ring", feature = "aws-lc-rs"))]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[macro_use]
mod support;

use rustls::{AlertDescription, HandshakeType, InvalidMessage, PeerMisbehaved};
use shardpoll_tls::{Error, Progress};
use support::forge::{ALERT, APPLICATION_DATA, HANDSHAKE, OVERSIZED, forged};
use support::old::{forging_client, old_pair};
use support::records;

on_each_provider! {
    a_key_update_may_come_in_two_records,
    what_has_begun_and_can_only_be_refused_is_not_kept,
    what_breaks_the_protocol_is_answered_with_its_alert,
    a_header_that_cannot_be_is_refused_at_once,
    what_a_peer_may_do_has_its_measure,
    a_fatal_alert_of_the_peer_is_not_answered,
    nothing_follows_our_close_notify,
}

fn peer_error(error: &Error) -> &rustls::Error {
    match error {
        Error::Peer { source } => source,
        other => panic!("not the peer's fault: {other:?}"),
    }
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

fn a_fatal_alert_of_the_peer_is_not_answered() {
    let mut pair = forging_client();
    pair.client.send(&forged(ALERT, &[2, 80]));
    let error = pair.server.refuse(pair.client.owed());
    let expected = rustls::Error::AlertReceived(AlertDescription::InternalError);
    assert_eq!(peer_error(&error), &expected);
    assert!(pair.server.wire.is_empty());
}

fn nothing_follows_our_close_notify() {
    let mut pair = forging_client();
    pair.server.session.end_output(&mut pair.server.wire).unwrap();
    assert_eq!(records(&pair.server.owed()).len(), 1);
    // It goes on listening, and refuses what it must.
    pair.client.send(b"data");
    pair.client.send(&forged(HANDSHAKE, &[1, 0, 0, 0]));
    peer_error(&pair.server.refuse(pair.client.owed()));
    assert_eq!((&pair.server.plain[..], pair.server.wire.len()), (&b"data"[..], 0));
}
