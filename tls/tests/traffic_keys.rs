//! The keys of sessions that do their records themselves: their limits, their updates, and who may
//! have them.
//!
//! Never: forges a record; that is in `traffic_hostile.rs`.

#![cfg(any(feature = "ring", feature = "aws-lc-rs"))]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[macro_use]
mod support;

use std::io::{Read, Write};
use std::sync::Arc;

use rustls::version::TLS13;
use rustls::{CipherSuite, ClientConnection, PeerMisbehaved, ServerConfig};
use shardpoll_tls::{Error, ServerContext, Session};
use support::old::is_own;
use support::{End, NAME, P256, Pair, count};

on_each_provider! {
    no_number_is_used_twice_and_no_key_beyond_its_limit,
    the_send_that_takes_over_may_answer_a_key_update,
    key_updates_alone_are_a_storm,
    a_context_may_leave_the_records_to_rustls,
}

/// A client of rustls' own, and a session that answers it.
struct Talk {
    client: ClientConnection,
    server: End,
}

impl Talk {
    fn begin(server: &ServerContext) -> Self {
        let config = Arc::new(P256.client_config(&TLS13));
        let client = ClientConnection::new(config, NAME.try_into().unwrap()).unwrap();
        let mut talk = Self { client, server: End::new(Session::server(server).unwrap()) };
        while talk.client.is_handshaking() || talk.server.established == 0 {
            assert!(talk.exchange().is_empty());
        }
        talk
    }

    /// What the client has to send.
    fn wire(&mut self) -> Vec<u8> {
        let mut wire = Vec::new();
        while self.client.wants_write() {
            self.client.write_tls(&mut wire).unwrap();
        }
        wire
    }

    /// What the client gets.
    fn read(&mut self) -> Vec<u8> {
        let (owed, mut got) = (self.server.owed(), Vec::new());
        let mut rest = &owed[..];
        while !rest.is_empty() {
            self.client.read_tls(&mut rest).unwrap();
            let there = self.client.process_new_packets().unwrap().plaintext_bytes_to_read();
            let mut plain = vec![0; there];
            self.client.reader().read_exact(&mut plain).unwrap();
            got.extend(plain);
        }
        got
    }

    fn exchange(&mut self) -> Vec<u8> {
        let wire = self.wire();
        self.server.feed(wire);
        self.read()
    }

    fn echo(&mut self, data: &[u8]) {
        self.client.writer().write_all(data).unwrap();
        let wire = self.wire();
        self.server.feed(wire);
        let got = self.server.received();
        assert!(got == data);
        self.server.send(&got);
        assert!(self.exchange() == data);
    }
}

fn no_number_is_used_twice_and_no_key_beyond_its_limit() {
    let suites = [
        CipherSuite::TLS13_AES_128_GCM_SHA256,
        CipherSuite::TLS13_AES_256_GCM_SHA384,
        CipherSuite::TLS13_CHACHA20_POLY1305_SHA256,
    ];
    for (suite, limit) in suites.into_iter().flat_map(|suite| [(suite, 17), (suite, 40)]) {
        let (provider, sealed) = count::provider(suite, limit);
        let resolver = Arc::clone(&P256.server().config().cert_resolver);
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&TLS13])
            .unwrap()
            .with_no_client_auth()
            .with_cert_resolver(resolver);
        config.max_fragment_size = Some(1000);
        let mut talk = Talk::begin(&ServerContext::new(Arc::new(config)));
        for round in 0..200_u8 {
            if round % 9 == 0 {
                talk.client.refresh_traffic_keys().unwrap();
            }
            talk.echo(&vec![round; 1 + 37 * usize::from(round)]);
        }
        assert!(is_own(&talk.server));
        let sealed = sealed.lock().unwrap();
        let most = sealed.values().map(|numbers| numbers.len() as u64).max();
        assert_eq!(most, Some(limit), "{suite:?}");
        assert!(sealed.len() > 20, "{} keys", sealed.len());
    }
}

fn the_send_that_takes_over_may_answer_a_key_update() {
    // What it is sealed behind is there in part only.
    for (at, cut) in (14..20).flat_map(|at| [0, 1, 5, 6, 20, 60].map(|cut| (at, cut))) {
        let mut talk = Talk::begin(&P256.server());
        for round in 0..25_u8 {
            if round == at {
                talk.client.refresh_traffic_keys().unwrap();
            }
            talk.client.writer().write_all(&[round; 50]).unwrap();
            let mut wire = talk.wire();
            let rest = wire.split_off(wire.len() - if round >= at { cut } else { 0 });
            talk.server.feed(wire);
            talk.server.send(&[round; 30]);
            talk.server.feed(rest);
            assert_eq!(talk.exchange(), [round; 30]);
            assert_eq!(talk.server.received(), [round; 50]);
        }
        assert!(is_own(&talk.server));
    }
}

fn key_updates_alone_are_a_storm() {
    let mut talk = Talk::begin(&P256.server());
    (0..20).for_each(|_| talk.echo(b"data"));
    assert!(is_own(&talk.server));
    for _ in 0..32 {
        talk.client.refresh_traffic_keys().unwrap();
    }
    assert!(talk.exchange().is_empty());
    talk.server.send(b"still here");
    assert_eq!(talk.exchange(), b"still here");
    talk.client.refresh_traffic_keys().unwrap();
    let wire = talk.wire();
    let Error::Peer { source } = talk.server.refuse(wire) else { panic!("not the peer's fault") };
    assert_eq!(*source, PeerMisbehaved::TooManyKeyUpdateRequests.into());
}

fn a_context_may_leave_the_records_to_rustls() {
    let server = P256.server().with_rustls_records();
    let mut pair = Pair::new(&P256.client(&TLS13).with_rustls_records(), &server);
    pair.settle();
    for round in 0..40_u8 {
        pair.client.send(&[round; 100]);
        pair.server.send(&[round; 50]);
        pair.settle();
    }
    assert_eq!((pair.server.received().len(), pair.client.received().len()), (4000, 2000));
    assert!(!is_own(&pair.client) && !is_own(&pair.server));
}
