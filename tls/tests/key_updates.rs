//! Keys that change (RFC 8446, section 4.6.3): as often as a peer likes, at a bounded cost, and
//! without a byte lost. The peer is rustls' buffered client, which changes them in earnest.
//!
//! Never: tests forged updates; those are in `hostile.rs`.

#![cfg(any(feature = "ring", feature = "aws-lc-rs"))]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[macro_use]
mod support;

use std::io::{Read, Write};
use std::sync::Arc;

use rustls::ClientConnection;
use rustls::version::TLS13;
use shardpoll_tls::Session;
use support::{End, NAME, P256};

on_each_provider! {
    keys_may_change_before_each_message,
    a_storm_of_honest_key_updates_is_answered_once,
}

/// What a KeyUpdate takes on the wire, sealed: header 5, message 5, type 1, tag 16.
const UPDATE_BYTES: usize = 27;

struct Client(ClientConnection);

impl Client {
    /// A client, and the server whose handshake with it is done.
    fn established() -> (Self, End) {
        let config = Arc::new(P256.client_config(&TLS13));
        let name = NAME.try_into().unwrap();
        let mut client = Self(ClientConnection::new(config, name).unwrap());
        let mut server = End::new(Session::server(&P256.server()).unwrap());
        while client.0.is_handshaking() || server.established == 0 {
            server.feed(client.wire());
            client.take(&server.owed());
        }
        (client, server)
    }

    fn wire(&mut self) -> Vec<u8> {
        let mut wire = Vec::new();
        while self.0.wants_write() {
            self.0.write_tls(&mut wire).unwrap();
        }
        wire
    }

    fn take(&mut self, mut wire: &[u8]) {
        while !wire.is_empty() {
            self.0.read_tls(&mut wire).unwrap();
            self.0.process_new_packets().unwrap();
        }
    }
}

fn keys_may_change_before_each_message() {
    let (mut client, mut server) = Client::established();
    for round in 0..1000_u32 {
        client.0.refresh_traffic_keys().unwrap();
        client.0.writer().write_all(&round.to_be_bytes()).unwrap();
        server.feed(client.wire());
        assert_eq!(server.received(), round.to_be_bytes());
        server.send(b"heard");
        let owed = server.owed();
        assert!(owed.len() <= UPDATE_BYTES + 27, "{} bytes for an update and a word", owed.len());
        client.take(&owed);
        let mut word = [0; 5];
        client.0.reader().read_exact(&mut word).unwrap();
        assert_eq!(&word, b"heard");
        assert_eq!(server.session.buffered(), 0);
    }
}

fn a_storm_of_honest_key_updates_is_answered_once() {
    let (mut client, mut server) = Client::established();
    for _ in 0..30 {
        client.0.refresh_traffic_keys().unwrap();
    }
    client.0.writer().write_all(b"behind them").unwrap();
    server.feed(client.wire());
    assert_eq!(server.received(), b"behind them");
    server.send(b"heard");
    let owed = server.owed();
    assert!(owed.len() <= UPDATE_BYTES + 27, "{} bytes are owed for 30 updates", owed.len());
    client.take(&owed);
    let mut word = [0; 5];
    client.0.reader().read_exact(&mut word).unwrap();
    assert_eq!(&word, b"heard");
}
