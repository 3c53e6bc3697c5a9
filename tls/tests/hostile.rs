//! What a hostile or broken peer can do: it gets an alert where TLS has one, an error here, bounded
//! memory, and never a panic or a walk without end.
//!
//! Never: tests honest sessions; those are in `pair.rs` and `contract.rs`.

#![cfg(any(feature = "ring", feature = "aws-lc-rs"))]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[macro_use]
mod support;

use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::version::TLS13;
use rustls::{AlertDescription, CertificateError, InvalidMessage, PeerMisbehaved};
use shardpoll_tls::{ClientContext, Error, Progress, ServerContext};
use support::forge::{self, ALERT, APPLICATION_DATA, HANDSHAKE, OVERSIZED, forged};
use support::{ED25519, End, P256, Pair, VERSIONS};

on_each_provider! {
    plain_http_is_the_peers_fault_and_is_answered_with_an_alert,
    garbage_is_the_peers_fault_however_it_is_cut,
    an_sslv2_hello_is_refused,
    close_notify_before_any_handshake_neither_ends_nor_hangs_it,
    a_storm_of_warning_alerts_ends_the_handshake,
    an_oversized_record_is_refused_by_its_header,
    an_oversized_plaintext_is_answered_with_record_overflow,
    empty_records_by_the_thousand_end_the_session,
    sealed_empty_records_by_the_thousand_end_the_session,
    plaintext_before_an_error_is_delivered,
    an_unknown_authority_is_the_clients_policy_and_the_servers_peer,
    a_storm_of_key_updates_ends_the_session,
    held_back_handshake_data_is_bounded,
    handshake_messages_that_never_end_together_with_a_record_are_bounded,
    a_handshake_message_over_64_kib_is_refused_by_its_header,
    a_64_kib_client_hello_may_come_in_pieces_of_any_size,
    what_comes_after_our_close_cannot_harm,
    a_client_hello_may_come_in_records_of_any_size,
    close_notify_in_the_middle_of_a_handshake_hangs_nothing,
    an_end_right_behind_the_finished_is_a_truncation_of_an_established_session,
    plaintext_after_the_handshake_is_never_delivered,
}

const CLOSE_NOTIFY: [u8; 7] = [ALERT, 3, 3, 0, 2, 1, 0];

/// A server that nobody has spoken to yet.
fn fresh_server() -> End {
    Pair::of(&P256, &TLS13).server
}

fn fatal(alert: AlertDescription) -> Vec<u8> {
    vec![ALERT, 3, 3, 0, 2, 2, alert.into()]
}

fn peer_error(error: &Error) -> &rustls::Error {
    match error {
        Error::Peer { source } => source,
        other => panic!("not the peer's fault: {other:?}"),
    }
}

fn plain_http_is_the_peers_fault_and_is_answered_with_an_alert() {
    let mut server = fresh_server();
    let error = server.refuse(b"GET / HTTP/1.1\r\nHost: example.org\r\n\r\n".to_vec());
    let expected = rustls::Error::InvalidMessage(InvalidMessage::InvalidContentType);
    assert_eq!(peer_error(&error), &expected);
    assert_eq!(server.wire, fatal(AlertDescription::DecodeError));
}

fn garbage_is_the_peers_fault_however_it_is_cut() {
    for seed in 0..2000 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut bytes = vec![0; rng.usize(1..3000)];
        rng.fill(&mut bytes);
        // Half of it looks like the beginning of a handshake record.
        if rng.bool() {
            bytes.splice(..1, [HANDSHAKE, 3, 1, 0, rng.u8(1..40), 1, 0, 0]);
        }
        let mut server = fresh_server();
        let piece = rng.usize(1..bytes.len() + 1);
        let outcome = bytes.chunks_mut(piece).try_for_each(|piece| {
            let End { session, plain, wire, .. } = &mut server;
            session.receive(piece, plain, wire).map(drop)
        });
        match outcome {
            Ok(()) => assert_eq!(server.session.end_of_input().unwrap_err().to_string(), {
                Error::Truncated.to_string()
            }),
            Err(error) => drop(peer_error(&error)),
        }
        assert!(server.plain.is_empty());
    }
}

fn an_sslv2_hello_is_refused() {
    let error =
        fresh_server().refuse(vec![0x80, 0x2e, 1, 0, 2, 0, 0x15, 0, 0, 0, 0x10, 1, 0, 0x80]);
    peer_error(&error);
}

fn close_notify_before_any_handshake_neither_ends_nor_hangs_it() {
    let mut server = fresh_server();
    assert_eq!(server.feed(CLOSE_NOTIFY.to_vec()), Progress::Handshaking);
    assert_eq!((server.wire.len(), server.peer_closed), (0, false));
    assert!(matches!(server.session.end_of_input(), Err(Error::Truncated)));
}

fn a_storm_of_warning_alerts_ends_the_handshake() {
    let mut server = fresh_server();
    let error = server.refuse(CLOSE_NOTIFY.repeat(1000));
    let expected = PeerMisbehaved::TooManyWarningAlertsReceived;
    assert_eq!(peer_error(&error), &expected.into());
}

fn an_oversized_record_is_refused_by_its_header() {
    let mut server = fresh_server();
    let error = server.refuse(vec![HANDSHAKE, 3, 3, 0xff, 0xff]);
    assert_eq!(peer_error(&error), &InvalidMessage::MessageTooLarge.into());
    assert_eq!(server.wire, fatal(AlertDescription::DecodeError));

    for version in VERSIONS {
        let mut pair = Pair::established(&P256, version);
        // One byte at a time: it is known for what it is with the last byte of the header.
        for byte in [APPLICATION_DATA, 3, 3, 0x48] {
            assert_eq!(pair.server.feed(vec![byte]), Progress::Open);
        }
        peer_error(&pair.server.refuse(vec![0]));
        pair.client.refuse(pair.server.wire);
    }
}

fn an_oversized_plaintext_is_answered_with_record_overflow() {
    let mut pair = forge::client();
    pair.client.send(&forged(OVERSIZED, b""));
    let error = pair.server.refuse(pair.client.owed());
    assert_eq!(peer_error(&error), &rustls::Error::PeerSentOversizedRecord);
    let error = pair.client.refuse(pair.server.owed());
    let expected = rustls::Error::AlertReceived(AlertDescription::RecordOverflow);
    assert_eq!(peer_error(&error), &expected);
}

fn empty_records_by_the_thousand_end_the_session() {
    let mut server = fresh_server();
    peer_error(&server.refuse([APPLICATION_DATA, 3, 3, 0, 0].repeat(1000)));

    for version in VERSIONS {
        let mut pair = Pair::established(&P256, version);
        peer_error(&pair.server.refuse([APPLICATION_DATA, 3, 3, 0, 0].repeat(1000)));
    }
}

fn sealed_empty_records_by_the_thousand_end_the_session() {
    let mut pair = forge::client();
    for _ in 0..1000 {
        pair.client.send(&forged(APPLICATION_DATA, b""));
    }
    let error = pair.server.refuse(pair.client.owed());
    assert_eq!(peer_error(&error), &PeerMisbehaved::TooManyEmptyFragments.into());
    assert!(pair.server.plain.is_empty());
}

fn plaintext_before_an_error_is_delivered() {
    for version in VERSIONS {
        let mut pair = Pair::established(&P256, version);
        pair.client.send(b"sound");
        let mut wire = pair.client.owed();
        wire.extend([APPLICATION_DATA, 3, 3, 0, 40]);
        wire.extend([9; 40]);
        let error = pair.server.refuse(wire);
        assert_eq!(peer_error(&error), &rustls::Error::DecryptError);
        assert_eq!(pair.server.plain, b"sound");
        // And the alert, which is sealed by now, reaches the peer.
        let error = pair.client.refuse(pair.server.wire);
        let expected = rustls::Error::AlertReceived(AlertDescription::BadRecordMac);
        assert_eq!(peer_error(&error), &expected);
    }
}

fn an_unknown_authority_is_the_clients_policy_and_the_servers_peer() {
    for version in VERSIONS {
        let mut pair = Pair::new(&ED25519.client(version), &P256.server());
        pair.server.feed(pair.client.owed());
        let error = pair.client.refuse(pair.server.owed());
        let Error::Policy { source } = &error else { panic!("{error:?}") };
        let unknown = CertificateError::UnknownIssuer;
        assert_eq!(**source, rustls::Error::InvalidCertificate(unknown));
        assert!(!pair.client.session.is_established());

        let error = pair.server.refuse(pair.client.owed());
        let expected = rustls::Error::AlertReceived(AlertDescription::UnknownCA);
        assert_eq!(peer_error(&error), &expected);
        assert!(!pair.server.session.is_established());
    }
}

fn a_storm_of_key_updates_ends_the_session() {
    let key_update = forged(HANDSHAKE, &[24, 0, 0, 1, 1]);
    let mut pair = forge::client();
    // Each update changes the keys, which a forged one does not: the second cannot be read.
    pair.client.send(&key_update);
    assert_eq!(pair.server.feed(pair.client.owed()), Progress::Open);
    pair.client.send(&key_update);
    let error = pair.server.refuse(pair.client.owed());
    assert_eq!(peer_error(&error), &rustls::Error::DecryptError);

    // Many in one record are one change of keys too many.
    let mut pair = forge::client();
    pair.client.send(&forged(HANDSHAKE, &[24, 0, 0, 1, 1].repeat(1000)));
    peer_error(&pair.server.refuse(pair.client.owed()));
}

fn held_back_handshake_data_is_bounded() {
    // A ClientHello of the largest size, in records of one byte each: six times its size.
    let mut server = fresh_server();
    let mut most = 0;
    let mut send = |byte: u8| {
        let End { session, plain, wire, .. } = &mut server;
        let read = session.receive(&mut [HANDSHAKE, 3, 3, 0, 1, byte], plain, wire);
        most = most.max(session.buffered());
        read.err()
    };
    let mut bytes = [1, 0, 0xff, 0xff].into_iter().chain([0; 0xffff]);
    let error = bytes.find_map(&mut send).expect("refused before its end");
    let expected = InvalidMessage::HandshakePayloadTooLarge;
    assert_eq!(peer_error(&error), &expected.into());
    assert!(most <= 164 * 1024, "{most}");
}

fn handshake_messages_that_never_end_together_with_a_record_are_bounded() {
    // Each record ends the last ticket and begins the next, so rustls never lets go of any.
    let mut pair = forging_server();
    let ticket = [4, 0, 0, 16, 0, 0, 0, 9, 0, 0, 0, 0, 1, 7, 0, 2, 8, 8, 0, 0];
    let tickets = ticket.repeat(10_000);
    pair.server.send(&forged(HANDSHAKE, &tickets[..1]));
    let mut failed = None;
    for part in tickets[1..].chunks(ticket.len()) {
        pair.server.send(&forged(HANDSHAKE, part));
        let End { session, plain, wire, .. } = &mut pair.client;
        let read = session.receive(&mut pair.server.owed(), plain, wire);
        assert!(session.buffered() <= 164 * 1024);
        if let Err(error) = read {
            failed = Some(error);
            break;
        }
    }
    let expected = InvalidMessage::HandshakePayloadTooLarge;
    assert_eq!(peer_error(&failed.expect("refused")), &expected.into());
}

fn a_handshake_message_over_64_kib_is_refused_by_its_header() {
    let error = fresh_server().refuse(vec![HANDSHAKE, 3, 3, 0, 4, 1, 1, 0, 0]);
    let expected = InvalidMessage::HandshakePayloadTooLarge;
    assert_eq!(peer_error(&error), &expected.into());
}

fn a_64_kib_client_hello_may_come_in_pieces_of_any_size() {
    // Single bytes; pieces of a record; pieces that hold a whole record and part of the next.
    for piece in [1, 3000, 16_388, 20_000, 40_000] {
        large_client_hello(piece);
    }
}

fn large_client_hello(piece: usize) {
    let mut config = P256.client_config(&TLS13);
    config.alpn_protocols = (0..250).map(|n| vec![n; 255]).collect();
    let mut pair = Pair::new(&ClientContext::new(Arc::new(config)), &P256.server());
    let hello = pair.client.owed();
    assert!(hello.len() > 64_000);
    let mut most = 0;
    for part in hello.chunks(piece) {
        assert_eq!(pair.server.feed(part.to_vec()), Progress::Handshaking);
        most = most.max(pair.server.session.buffered());
    }
    assert!(most <= 2 * 64 * 1024, "{most}");
    assert_eq!(pair.server.session.buffered(), 0);
    pair.settle();
    assert_eq!((pair.client.established, pair.server.established), (1, 1));
}

fn what_comes_after_our_close_cannot_harm() {
    for version in VERSIONS {
        let mut pair = Pair::established(&P256, version);
        pair.server.close();
        let notice = pair.server.owed();
        assert_eq!(pair.server.feed(b"garbage".to_vec()), Progress::Open);
        assert_eq!((pair.server.wire.len(), pair.server.session.buffered()), (0, 0));
        pair.server.session.end_of_input().expect("we closed first");
        assert_eq!(pair.client.feed(notice), Progress::PeerClosed);
    }
}

/// The handshake messages of plaintext records, in records of so many bytes each.
fn reframed(wire: &[u8], size: usize) -> Vec<u8> {
    let records = support::records(wire);
    assert!(records.iter().all(|(kind, _)| *kind == HANDSHAKE), "nothing is sealed yet");
    let messages: Vec<u8> = records.into_iter().flat_map(|(_, payload)| payload).copied().collect();
    let record = |part: &[u8]| {
        let len = u16::try_from(part.len()).unwrap().to_be_bytes();
        [&[HANDSHAKE, 3, 3][..], &len, part].concat()
    };
    messages.chunks(size).flat_map(record).collect()
}

fn a_client_hello_may_come_in_records_of_any_size() {
    for version in VERSIONS {
        for size in (1..40).chain([100, 1000]) {
            let mut pair = Pair::of(&P256, version);
            let hello = reframed(&pair.client.owed(), size);
            pair.server.feed(hello);
            pair.settle();
            assert_eq!((pair.client.established, pair.server.established), (1, 1), "{size}");
        }
    }
}

fn close_notify_in_the_middle_of_a_handshake_hangs_nothing() {
    // The pattern of CVE-2024-32650, at each point where the server waits: it is as good as
    // nothing, or an alert like any other once TLS 1.3 is agreed on.
    for version in VERSIONS {
        for flights in 0..3 {
            let Pair { mut client, mut server } = Pair::of(&P256, version);
            for _ in 0..flights {
                server.feed(client.owed());
                client.feed(server.owed());
            }
            if server.session.is_established() {
                continue;
            }
            if version.version == TLS13.version && flights > 0 {
                peer_error(&server.refuse(CLOSE_NOTIFY.to_vec()));
                continue;
            }
            assert_eq!(server.feed(CLOSE_NOTIFY.to_vec()), Progress::Handshaking);
            assert!(server.wire.is_empty() && !server.peer_closed);
            assert!(matches!(server.session.end_of_input(), Err(Error::Truncated)));
        }
    }
}

fn an_end_right_behind_the_finished_is_a_truncation_of_an_established_session() {
    for version in VERSIONS {
        let Pair { mut client, mut server } = Pair::of(&P256, version);
        while !server.session.is_established() {
            server.feed(client.owed());
            client.feed(server.owed());
        }
        assert!(matches!(server.session.end_of_input(), Err(Error::Truncated)));
        assert!(server.session.is_established() && server.plain.is_empty());
    }
}

fn plaintext_after_the_handshake_is_never_delivered() {
    // In the clear: a record of data, one of a handshake, none at all.
    let data = [&[APPLICATION_DATA, 3, 3, 0, 30][..], &[b'x'; 30]].concat();
    let hello = Pair::of(&P256, &TLS13).client.owed();
    for version in VERSIONS {
        for plaintext in [data.clone(), hello.clone(), b"QUIT\r\nQUIT\r\n".to_vec()] {
            let mut pair = Pair::established(&P256, version);
            peer_error(&pair.server.refuse(plaintext));
            assert!(pair.server.plain.is_empty());
            pair.client.refuse(pair.server.wire);
        }
    }
}

/// Established sessions whose server can forge records.
fn forging_server() -> Pair {
    let config = rustls::ServerConfig::builder_with_provider(forge::provider())
        .with_protocol_versions(&[&TLS13])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![CertificateDer::from_pem_slice(P256.cert.as_bytes()).unwrap()],
            PrivateKeyDer::from_pem_slice(P256.key.as_bytes()).unwrap(),
        )
        .unwrap();
    let server = ServerContext::new(Arc::new(config));
    let mut pair = Pair::new(&P256.client(&TLS13), &server);
    pair.settle();
    pair
}
