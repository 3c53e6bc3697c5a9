//! Channel binding and the rest of what `Conn::tls` tells (S119): the same on both sides, and
//! nothing where there is nothing.

use shardpoll::tls::BindingError;
use shardpoll::{Connect, Handler, Peer};
use shardpoll_tests::{
    Call, Event, React, Recorder, Setup, Version, World, both_worlds, server_context,
};
use std::net::SocketAddr;

both_worlds! {
    both_ends_of_a_connection_bind_to_the_same_values,
    a_resumed_connection_says_so_and_binds_to_other_values,
    during_the_handshake_there_is_no_binding_yet,
    a_context_that_was_not_asked_binds_to_nothing,
    a_connection_without_tls_tells_nothing_and_one_with_it_to_its_end,
}

/// A listener whose connections can be bound to.
fn listen(world: &World, react: impl React) -> SocketAddr {
    let log = world.log();
    let accept =
        move |_: &Peer| -> Box<dyn Handler> { Box::new(Recorder::new(log.clone(), react.clone())) };
    world.listen_with(Some(server_context().with_exporter()), accept)
}

/// Everything that both sides must agree on, as text.
fn values(call: &Call<'_, '_>) -> String {
    let info = call.tls().expect("TLS is in place");
    let mut own = [0; 20];
    let exported = info.export(&mut own, b"EXPERIMENTAL shardpoll", Some(b"context"));
    let certificate = info.tls_server_end_point();
    let exporter = info.tls_exporter();
    let sound = exported.is_ok() && certificate.is_ok() && exporter.is_ok();
    assert!(sound, "{exported:?} {certificate:?} {exporter:?}");
    let (resumed, group) = (info.resumed(), info.key_exchange_group());
    format!("{resumed:?} {group:?} {exporter:?} {certificate:?} {own:?}")
}

/// The values of both ends of each of two connections that our engine makes to itself, one after
/// the other, by the same contexts.
fn two_connections(version: Version) -> [[String; 2]; 2] {
    let mut world = Setup::new().echo();
    let addr = listen(&world, |call| match call.event {
        Event::Connect => call.note(format!("server {}", values(call))),
        // The client has read its tickets when it gets an answer.
        Event::Incoming(data) => call.say(data),
        _ => {}
    });
    let context = version.client().with_exporter();
    [1, 2].map(|_| {
        let name = "localhost".try_into().expect("a name");
        world.dial(Connect::to(addr).tls(context.clone(), name), |call| match call.event {
            Event::Connect => {
                call.note(format!("client {}", values(call)));
                call.say(b"?");
            }
            Event::Incoming(_) => call.close(),
            _ => {}
        });
        let seen = world.wait_for_each(2, |seen| matches!(seen.event, Event::Note(_)));
        let _ends = world.wait_for_each(2, |seen| seen.event.is_end());
        ["client ", "server "].map(|side| {
            let mut own = seen.iter().filter_map(|seen| match &seen.event {
                Event::Note(text) => text.strip_prefix(side),
                _ => None,
            });
            own.next().expect("both sides noted").to_owned()
        })
    })
}

fn both_ends_of_a_connection_bind_to_the_same_values() {
    // S119, RFC 9266, RFC 5929 section 4.1
    for version in Version::ALL {
        for [client, server] in two_connections(version) {
            assert_eq!(client, server, "{version:?}");
        }
    }
}

fn a_resumed_connection_says_so_and_binds_to_other_values() {
    // S119
    for version in Version::ALL {
        let [[first, _], [second, _]] = two_connections(version);
        assert!(first.starts_with("Some(false) Some("), "{first}");
        assert!(second.starts_with("Some(true)"), "{second}");
        let exporter = |values: &str| values.split_once("Ok([").map(|(_, rest)| rest[..60].into());
        let exporters: [Option<String>; 2] = [exporter(&first), exporter(&second)];
        assert!(exporters[0].is_some() && exporters[0] != exporters[1], "{exporters:?}");
    }
}

fn during_the_handshake_there_is_no_binding_yet() {
    // S119
    let mut world = Setup::new().echo();
    let addr = listen(&world, |call| {
        if *call.event == Event::Starttls {
            let info = call.tls().expect("TLS is in place");
            let (exporter, certificate) = (info.tls_exporter(), info.tls_server_end_point());
            assert_eq!(exporter, Err(BindingError::Handshaking));
            assert_eq!(certificate, Err(BindingError::Handshaking));
            assert_eq!((info.resumed(), info.key_exchange_group()), (None, None));
            call.note("nothing yet");
        }
    });
    let _peer = shardpoll_tests::TlsPeer::connect(addr, Version::Tls13);
    world.wait_for_event(&Event::note("nothing yet"));
    let _trace = world.finish();
}

fn a_context_that_was_not_asked_binds_to_nothing() {
    // S119
    let mut world = Setup::new().tls().start(|call| {
        if *call.event == Event::Connect {
            let info = call.tls().expect("TLS is in place");
            assert_eq!(info.tls_exporter(), Err(BindingError::NotKept));
            assert_eq!(info.tls_server_end_point(), Err(BindingError::NotKept));
            call.note("nothing kept");
        }
    });
    let _peer = world.connect_tls(Version::Tls13);
    world.wait_for_event(&Event::note("nothing kept"));
    let _trace = world.finish();
}

fn a_connection_without_tls_tells_nothing_and_one_with_it_to_its_end() {
    // S119: a typed answer, never a panic
    let mut world = Setup::new().start(|call| {
        if *call.event == Event::Connect {
            let plain = call.tls().is_none();
            call.note(format!("plain {plain}"));
        }
    });
    let addr = listen(&world, |call| {
        if let Event::Incoming(_) = call.event {
            call.abort();
        }
        let version = call.tls().and_then(|info| info.protocol_version());
        call.note(format!("{:?} {version:?}", call.event));
    });
    let _plain = world.connect();
    world.wait_for_event(&Event::note("plain true"));
    let mut peer = shardpoll_tests::TlsPeer::connect(addr, Version::Tls13);
    peer.send(b"!");
    world.wait_for_event(&Event::note("Connect Some(TLSv1_3)"));
    world.wait_for_event(&Event::note("Incoming(\"!\") Some(TLSv1_3)"));
    // An abort is not told of, the peer's own end is.
    let mut peer = shardpoll_tests::TlsPeer::connect(addr, Version::Tls13);
    peer.finish();
    world.wait_for_event(&Event::note("Disconnect(\"closed\") Some(TLSv1_3)"));
    let _trace = world.finish();
}
