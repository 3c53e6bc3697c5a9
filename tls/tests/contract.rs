//! What `Session` promises its caller: order of calls, what may be said when, and what is kept.
//!
//! Never: cuts streams (`pair.rs`), breaks the protocol (`hostile.rs`) or ends it (`closing.rs`).

#![cfg(any(feature = "ring", feature = "aws-lc-rs"))]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[macro_use]
mod support;

use std::error::Error as _;
use std::io::Read;
use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::pki_types::ServerName;
use rustls::version::{TLS12, TLS13};
use rustls::{
    CipherSuiteCommon, ClientConfig, ClientConnection, ProtocolVersion, SupportedCipherSuite,
    SupportedProtocolVersion, Tls12CipherSuite, Tls13CipherSuite,
};
use shardpoll_tls::{ClientContext, Error, Progress, ServerContext, Session};
use support::{ED25519, End, NAME, P256, Pair, VERSIONS, records};

on_each_provider! {
    sending_before_the_handshake_is_done_is_refused_and_harmless,
    a_large_write_is_split_into_full_records,
    a_write_is_split_as_the_configuration_says,
    output_is_appended_to_what_is_there,
    sending_nothing_makes_no_record,
    steady_traffic_does_not_grow_the_buffers,
    an_idle_session_holds_no_memory_of_its_own,
    the_peer_may_change_its_keys,
    worn_out_keys_end_tls_1_2_with_close_notify,
    worn_out_keys_are_renewed_in_tls_1_3,
    info_tells_what_was_agreed,
    each_server_session_hears_its_own_name,
    an_insecure_client_takes_any_certificate,
    unusable_configurations_are_named,
    errors_travel_and_keep_their_source,
}

fn sending_before_the_handshake_is_done_is_refused_and_harmless() {
    for version in VERSIONS {
        let mut pair = Pair::of(&P256, version);
        let mut wire = Vec::new();
        for end in [&mut pair.client, &mut pair.server] {
            assert!(matches!(end.session.send(b"early", &mut wire), Err(Error::NotOpen)));
        }
        // Also where TLS 1.3 would let a server speak: after its Finished, before the client's.
        pair.server.feed(pair.client.owed());
        assert!(matches!(pair.server.session.send(b"early", &mut wire), Err(Error::NotOpen)));
        assert!(wire.is_empty());
        pair.settle();
        pair.client.send(b"in time");
        pair.settle();
        assert_eq!(pair.server.received(), b"in time");
    }
}

fn a_large_write_is_split_into_full_records() {
    let data: Vec<u8> = (0..1_u32 << 20).map(|n| n.to_le_bytes()[1]).collect();
    for version in VERSIONS {
        let mut pair = Pair::established(&P256, version);
        pair.client.send(&data);
        let lengths: Vec<usize> = records(&pair.client.wire).iter().map(|(_, r)| r.len()).collect();
        assert_eq!(lengths.len(), 64);
        assert!(lengths.iter().all(|len| (1 << 14..(1 << 14) + 256).contains(len)), "{lengths:?}");
        pair.settle();
        assert!(pair.server.plain == data);
    }
}

fn a_write_is_split_as_the_configuration_says() {
    let mut config = P256.client_config(&TLS13);
    config.max_fragment_size = Some(100);
    let mut pair = Pair::new(&ClientContext::new(Arc::new(config)), &P256.server());
    pair.settle();
    pair.client.send(&[5; 10_000]);
    // 100 bytes are 5 of header and 95 of payload, to which sealing adds 17.
    let lengths: Vec<usize> = records(&pair.client.wire).iter().map(|(_, r)| r.len()).collect();
    assert_eq!((lengths.len(), lengths[0]), (106, 112));
    pair.settle();
    assert_eq!(pair.server.received(), [5; 10_000]);
}

fn output_is_appended_to_what_is_there() {
    let mut pair = Pair::established(&P256, &TLS13);
    pair.client.wire = b"before".to_vec();
    pair.client.send(b"message");
    pair.client.close();
    let sealed = pair.client.owed().split_off(6);
    pair.server.plain = b"before ".to_vec();
    assert_eq!(pair.server.feed(sealed), Progress::PeerClosed);
    assert_eq!(pair.server.plain, b"before message");
}

fn sending_nothing_makes_no_record() {
    let mut pair = Pair::established(&P256, &TLS13);
    pair.client.send(b"");
    assert!(pair.client.wire.is_empty());
}

fn steady_traffic_does_not_grow_the_buffers() {
    for version in VERSIONS {
        let mut pair = Pair::established(&P256, version);
        let (mut wire, mut plain) = (Vec::with_capacity(128), Vec::with_capacity(64));
        let mut none = Vec::new();
        for _ in 0..100 {
            wire.clear();
            plain.clear();
            pair.client.session.send(&[1; 64], &mut wire).unwrap();
            pair.server.session.receive(&mut wire, &mut plain, &mut none).unwrap();
            assert_eq!(plain, [1; 64]);
        }
        assert_eq!((wire.capacity(), plain.capacity(), none.capacity()), (128, 64, 0));
    }
}

fn an_idle_session_holds_no_memory_of_its_own() {
    for version in VERSIONS {
        let mut pair = Pair::established(&P256, version);
        assert_eq!((pair.client.session.buffered(), pair.server.session.buffered()), (0, 0));
        pair.client.send(&[3; 5000]);
        let mut wire = pair.client.owed();
        let rest = wire.split_off(1000);
        assert_eq!(pair.server.feed(wire), Progress::Open);
        assert_eq!(pair.server.session.buffered(), 1000);
        assert_eq!(pair.server.feed(rest), Progress::Open);
        assert_eq!(pair.server.session.buffered(), 0);
        assert_eq!(pair.server.received(), [3; 5000]);
    }
}

fn the_peer_may_change_its_keys() {
    let config = Arc::new(P256.client_config(&TLS13));
    let mut peer = ClientConnection::new(config, name()).unwrap();
    let mut server = Pair::of(&P256, &TLS13).server;
    let mut exchange = |peer: &mut ClientConnection, reply: &[u8]| {
        while peer.wants_write() {
            let mut wire = Vec::new();
            peer.write_tls(&mut wire).unwrap();
            server.feed(wire);
            if server.session.is_established() {
                server.send(reply);
            }
            peer.read_tls(&mut &*server.owed()).unwrap();
            peer.process_new_packets().unwrap();
        }
        server.received()
    };
    exchange(&mut peer, b"hello");
    for round in 0..100_u8 {
        // Asks for a change of our keys too; the answer goes out with our next record.
        peer.refresh_traffic_keys().unwrap();
        std::io::Write::write_all(&mut peer.writer(), &[round]).unwrap();
        assert_eq!(exchange(&mut peer, b"hello"), [round]);
        let mut reply = [0; 5];
        peer.reader().read_exact(&mut reply).unwrap();
        assert_eq!(&reply, b"hello");
    }
}

/// A client whose keys are worn out after a few records.
fn short_lived_keys(version: &'static SupportedProtocolVersion) -> Pair {
    let mut provider = CryptoProvider::clone(&support::provider());
    let suites = provider.cipher_suites.iter();
    let suite = suites.copied().find(|suite| suite.version() == version).unwrap();
    let common = CipherSuiteCommon {
        suite: suite.suite(),
        hash_provider: match suite {
            SupportedCipherSuite::Tls12(suite) => suite.common.hash_provider,
            SupportedCipherSuite::Tls13(suite) => suite.common.hash_provider,
        },
        confidentiality_limit: 20,
    };
    provider.cipher_suites = vec![match suite {
        SupportedCipherSuite::Tls12(suite) => {
            SupportedCipherSuite::Tls12(Box::leak(Box::new(Tls12CipherSuite { common, ..*suite })))
        }
        SupportedCipherSuite::Tls13(suite) => {
            SupportedCipherSuite::Tls13(Box::leak(Box::new(Tls13CipherSuite { common, ..*suite })))
        }
    }];
    let config = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[version])
        .unwrap()
        .with_root_certificates(P256.roots())
        .with_no_client_auth();
    let mut pair = Pair::new(&ClientContext::new(Arc::new(config)), &P256.server());
    pair.settle();
    pair
}

fn worn_out_keys_end_tls_1_2_with_close_notify() {
    let mut pair = short_lived_keys(&TLS12);
    let End { session, wire, .. } = &mut pair.client;
    let sent = (0..100).take_while(|n| session.send(&[*n], wire).is_ok()).count();
    assert!((10..20).contains(&sent), "{sent}");
    assert!(matches!(session.send(b"more", wire), Err(Error::KeysExhausted)));
    assert_eq!(pair.server.feed(pair.client.owed()), Progress::PeerClosed);
    assert_eq!(pair.server.received().len(), sent);
}

fn worn_out_keys_are_renewed_in_tls_1_3() {
    let mut pair = short_lived_keys(&TLS13);
    for n in 0..100 {
        pair.client.send(&[n; 1000]);
        pair.settle();
        assert_eq!(pair.server.received(), [n; 1000]);
        // Answers count as signs of life: key updates alone are a storm.
        pair.server.send(b"ok");
        pair.settle();
    }
}

fn info_tells_what_was_agreed() {
    let mut config = ED25519.client_config(&TLS13);
    config.alpn_protocols = vec![b"xmpp-client".to_vec(), b"h2".to_vec()];
    let mut offer = rustls::ServerConfig::clone(ED25519.server().config());
    offer.alpn_protocols = vec![b"xmpp-client".to_vec()];
    let client = ClientContext::new(Arc::new(config));
    let server = ServerContext::new(Arc::new(offer));
    let mut pair = Pair::new(&client, &server);
    assert!(pair.server.session.info().protocol_version().is_none());
    pair.settle();
    for end in [&pair.client, &pair.server] {
        let info = end.session.info();
        assert_eq!(info.protocol_version(), Some(ProtocolVersion::TLSv1_3));
        assert!(info.cipher_suite().is_some_and(|suite| suite.tls13().is_some()));
        assert_eq!(info.alpn_protocol(), Some(&b"xmpp-client"[..]));
    }
    assert_eq!(pair.server.session.info().server_name(), Some(NAME));
    assert_eq!(pair.client.session.info().server_name(), None);
    assert_eq!(pair.client.session.info().peer_certificates().map(<[_]>::len), Some(1));
    assert!(pair.server.session.info().peer_certificates().is_none());
}

fn each_server_session_hears_its_own_name() {
    let server = P256.server();
    let insecure = ClientContext::insecure();
    let names = [Some("one.example"), None, Some("two.example")];
    let mut sessions = names.map(|name| {
        let target = name.unwrap_or("192.0.2.1").try_into().unwrap();
        let (mut client, mut hello) = (Session::client(&insecure, target).unwrap(), Vec::new());
        client.start(&mut hello).unwrap();
        (Session::server(&server).unwrap(), hello)
    });
    let (mut plain, mut wire) = (Vec::new(), Vec::new());
    // Interleaved: all first halves, then all second halves.
    for half in 0..2 {
        for (session, hello) in &mut sessions {
            let middle = hello.len() / 2;
            let part = if half == 0 { &mut hello[..middle] } else { &mut hello[middle..] };
            session.receive(part, &mut plain, &mut wire).unwrap();
        }
    }
    let heard = sessions.each_ref().map(|(session, _)| session.info().server_name());
    assert_eq!(heard, names);
}

fn an_insecure_client_takes_any_certificate() {
    for identity in [&*P256, &*ED25519] {
        let mut pair = Pair::new(&ClientContext::insecure(), &identity.server());
        pair.settle();
        assert_eq!(pair.client.established, 1);
    }
}

fn unusable_configurations_are_named() {
    let text = |result: Result<(), Error>| {
        let error = result.expect_err("unusable");
        assert!(matches!(error, Error::Config { .. }), "{error:?}");
        error.to_string()
    };
    let server = |certs: &str, key: &str| {
        text(ServerContext::from_pem(certs.as_bytes(), key.as_bytes()).map(drop))
    };
    assert!(server("", &P256.key).contains("certificate chain"));
    assert!(server(&P256.cert, "").contains("private key"));
    assert!(server(&P256.cert, &ED25519.key).contains("certificate and key"));
    assert!(text(ClientContext::from_roots_pem(b"no pem").map(drop)).contains("trusted roots"));

    let mut early = rustls::ServerConfig::clone(P256.server().config());
    early.max_early_data_size = 1000;
    let early = ServerContext::new(Arc::new(early));
    assert!(text(Session::server(&early).map(drop)).contains("max_early_data_size"));
}

fn errors_travel_and_keep_their_source() {
    fn travels<T: Send + Sync + 'static>(_: &T) {}
    let mut server = Pair::of(&P256, &TLS13).server;
    let error = server.refuse(b"GET /".to_vec());
    travels(&error);
    travels(&server.session);
    travels(&ClientContext::insecure());
    travels(&P256.server());
    let source = error.source().and_then(|source| source.downcast_ref::<rustls::Error>());
    assert!(matches!(source, Some(rustls::Error::InvalidMessage(_))));
    assert!(error.to_string().starts_with("TLS peer: "));
}

fn name() -> ServerName<'static> {
    NAME.try_into().unwrap()
}
