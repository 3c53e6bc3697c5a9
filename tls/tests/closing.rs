//! How a session ends: by close_notify, by the end of its transport, or amid a handshake.
//!
//! Never: ends by an error of the peer; that is `hostile.rs`.

#![cfg(any(feature = "ring", feature = "aws-lc-rs"))]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[macro_use]
mod support;

use std::sync::Arc;

use rustls::version::{TLS12, TLS13};
use shardpoll_tls::{Error, Progress, ServerContext, Session};
use support::{NAME, P256, Pair, VERSIONS, records};

on_each_provider! {
    the_end_without_close_notify_is_truncation,
    the_end_after_close_notify_is_clean,
    close_is_said_once_and_ends_sending,
    the_other_side_may_finish_its_sentence_after_close_notify,
    close_in_a_handshake_says_what_tls_allows,
    a_server_that_may_speak_early_can_close_early,
    a_half_close_ends_sending_and_goes_on_receiving,
    a_half_close_waits_for_the_handshake,
}

fn the_end_without_close_notify_is_truncation() {
    for version in VERSIONS {
        let mut early = Pair::of(&P256, version);
        assert!(matches!(early.server.session.end_of_input(), Err(Error::Truncated)));

        let mut pair = Pair::established(&P256, version);
        pair.client.send(b"and then");
        pair.settle();
        let server = &mut pair.server;
        assert!(matches!(server.session.end_of_input(), Err(Error::Truncated)));
        // Final: whatever is tried next, it is the same error, and nothing is written.
        assert!(matches!(server.session.end_of_input(), Err(Error::Truncated)));
        assert!(matches!(server.refuse(vec![1, 2, 3]), Error::Truncated));
        assert!(matches!(server.session.send(b"more", &mut server.wire), Err(Error::Truncated)));
        server.close();
        assert!(server.wire.is_empty());
        assert!(server.session.is_established());
    }
}

fn the_end_after_close_notify_is_clean() {
    for version in VERSIONS {
        let mut pair = Pair::established(&P256, version);
        pair.client.close();
        assert_eq!(pair.server.feed(pair.client.owed()), Progress::PeerClosed);
        pair.server.session.end_of_input().expect("clean");
        pair.client.session.end_of_input().expect("closed by us");
    }
}

fn close_is_said_once_and_ends_sending() {
    for version in VERSIONS {
        let mut pair = Pair::established(&P256, version);
        pair.client.close();
        let said = pair.client.wire.len();
        assert_eq!(records(&pair.client.wire).len(), 1);
        pair.client.close();
        assert_eq!(pair.client.wire.len(), said);
        let sent = pair.client.session.send(b"more", &mut pair.client.wire);
        assert!(matches!(sent, Err(Error::NotOpen)));
        assert_eq!(pair.client.wire.len(), said);
    }
}

fn the_other_side_may_finish_its_sentence_after_close_notify() {
    for version in VERSIONS {
        let mut pair = Pair::established(&P256, version);
        pair.client.close();
        pair.server.feed(pair.client.owed());
        pair.server.send(b"what was queued");
        pair.server.close();
        assert_eq!(records(&pair.server.wire).len(), 2);
        assert_eq!(pair.server.feed(b"ignored".to_vec()), Progress::PeerClosed);
    }
}

fn close_in_a_handshake_says_what_tls_allows() {
    let clear = [21, 3, 3, 0, 2, 1, 0];
    for version in VERSIONS {
        // Nothing was sent: nothing to take back.
        let mut unstarted =
            Session::client(&P256.client(version), NAME.try_into().unwrap()).unwrap();
        let mut wire = Vec::new();
        unstarted.close(&mut wire);
        assert!(wire.is_empty());

        let mut pair = Pair::of(&P256, version);
        pair.client.owed();
        pair.client.close();
        assert_eq!(pair.client.wire, clear);
        assert_eq!(pair.client.feed(b"dropped".to_vec()), Progress::Handshaking);

        // After its flight a server of TLS 1.2 has no keys yet; one of TLS 1.3 has.
        let mut pair = Pair::of(&P256, version);
        pair.server.feed(pair.client.owed());
        pair.client.feed(pair.server.owed());
        pair.server.close();
        let notice = pair.server.owed();
        assert_eq!(notice, if version.version == TLS12.version { &clear[..] } else { &[] });
        // The session is over: the client's last flight changes nothing.
        assert_eq!(pair.server.feed(pair.client.owed()), Progress::Handshaking);
        assert!(pair.server.wire.is_empty());

        // A client of TLS 1.2 that has sealed its Finished cannot speak in the clear any more.
        if version.version == TLS12.version {
            let mut pair = Pair::of(&P256, version);
            pair.server.feed(pair.client.owed());
            pair.client.feed(pair.server.owed());
            pair.client.owed();
            pair.client.close();
            assert!(pair.client.wire.is_empty());
        }
    }
}

fn a_server_that_may_speak_early_can_close_early() {
    let mut config = rustls::ServerConfig::clone(P256.server().config());
    config.send_half_rtt_data = true;
    let mut pair = Pair::new(&P256.client(&TLS13), &ServerContext::new(Arc::new(config)));
    pair.server.feed(pair.client.owed());
    pair.server.close();
    assert_eq!(pair.client.feed(pair.server.owed()), Progress::Established);
    assert!(pair.client.peer_closed);
}

fn a_half_close_ends_sending_and_goes_on_receiving() {
    for version in VERSIONS {
        let mut pair = Pair::established(&P256, version);
        let Pair { client, server, .. } = &mut pair;
        client.session.end_output(&mut client.wire).unwrap();
        assert_eq!(records(&client.wire).len(), 1);
        client.session.end_output(&mut client.wire).unwrap();
        assert_eq!(records(&client.wire).len(), 1, "it is said once");
        let sent = client.session.send(b"more", &mut client.wire);
        assert!(matches!(sent, Err(Error::NotOpen)));

        assert_eq!(server.feed(client.owed()), Progress::PeerClosed);
        server.send(b"the answer");
        assert_eq!(client.feed(server.owed()), Progress::Open);
        assert_eq!(client.plain, b"the answer");
        server.close();
        assert_eq!(client.feed(server.owed()), Progress::PeerClosed);
        client.close();
        assert!(client.wire.is_empty(), "it was said before");
        client.session.end_of_input().expect("clean");
    }
}

fn a_half_close_waits_for_the_handshake() {
    let mut early = Pair::of(&P256, &TLS13);
    let Pair { client, .. } = &mut early;
    let refused = client.session.end_output(&mut client.wire);
    assert!(matches!(refused, Err(Error::NotOpen)), "{refused:?}");
}
