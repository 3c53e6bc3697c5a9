//! Certificates by host name, replaced while the engine runs; a listener's context, exchanged
//! (S109, S120).

use shardpoll::tls::{Certificate, Certificates, ClientContext, ServerContext, rustls};
use shardpoll::{Handler, Listen, ListenerId, Peer as Accepted};
use shardpoll_tests::{
    Event, Peer, React, Recorder, Setup, TlsPeer, World, both_worlds, certificate,
};
use std::io;
use std::net::SocketAddr;

both_worlds! {
    the_name_in_the_hello_chooses_the_certificate,
    a_name_that_nobody_serves_is_told_by_an_alert_and_was_no_connection,
    connections_live_on_when_certificates_are_replaced,
    a_listener_can_be_given_another_context_or_none,
    another_context_does_not_end_a_pause,
}

fn server(certificates: Certificates) -> ServerContext {
    ServerContext::builder(certificates).build().expect("sound certificates")
}

fn single(certificate: &Certificate) -> Certificates {
    Certificates::single(certificate.clone())
}

/// Listens with this context.
fn listen(world: &World, context: &ServerContext, react: impl React) -> SocketAddr {
    let log = world.log();
    world.listen_with(Some(context.clone()), move |_: &Accepted| -> Box<dyn Handler> {
        Box::new(Recorder::new(log.clone(), react.clone()))
    })
}

/// Says who it was asked for, and sends everything back.
fn echo_by_name(call: &mut shardpoll_tests::Call<'_, '_>) {
    match call.event {
        Event::Status(_) => {
            let name = call.tls().and_then(|info| info.server_name().map(str::to_owned));
            call.note(format!("{name:?}"));
        }
        Event::Incoming(data) => {
            call.write(data);
        }
        _ => {}
    }
}

/// A client that asks for this host and is served.
fn visit(to: SocketAddr, host: &str) -> TlsPeer {
    let mut peer = TlsPeer::asking(to, &ClientContext::insecure(), host);
    peer.handshake().expect("a handshake in time");
    peer.echo(b"hello");
    peer
}

fn the_name_in_the_hello_chooses_the_certificate() {
    let [a, b, rest, nameless] = ["a.test", "*.b.test", "rest.test", "none.test"].map(certificate);
    let set = Certificates::new().name("a.test", a.clone());
    let set = set.and_then(|set| set.name("*.b.test", b.clone())).expect("two hosts");
    let set = set.fallback(rest.clone()).nameless(nameless.clone());
    let mut world = Setup::new().echo();
    let addr = listen(&world, &server(set), echo_by_name);
    let cases = [("a.test", &a), ("x.b.test", &b), ("b.test", &rest), ("127.0.0.1", &nameless)];
    for (host, certificate) in cases {
        assert!(visit(addr, host).was_shown(certificate), "{host}");
        let name = Some(host).filter(|_| host != "127.0.0.1");
        world.wait_for_event(&Event::note(&format!("{name:?}")));
    }
    let _trace = world.finish();
}

fn a_name_that_nobody_serves_is_told_by_an_alert_and_was_no_connection() {
    let set = Certificates::new().name("a.test", certificate("a.test")).expect("a host");
    let mut world = Setup::new().echo();
    let addr = listen(&world, &server(set), echo_by_name);
    let mut peer = TlsPeer::asking(addr, &ClientContext::insecure(), "evil.test");
    let error = peer.handshake().expect_err("nobody is there");
    assert_eq!(alert(&error), Some(rustls::AlertDescription::AccessDenied), "{error}");
    let end = world.wait_for_end();
    assert!(end.cause.starts_with("Tls(Policy"), "{end:?}");
    assert_eq!(world.finish().only(), [Event::Starttls, end.event]);
}

fn alert(error: &io::Error) -> Option<rustls::AlertDescription> {
    match error.get_ref()?.downcast_ref()? {
        rustls::Error::AlertReceived(alert) => Some(*alert),
        _ => None,
    }
}

fn connections_live_on_when_certificates_are_replaced() {
    let [old, new] = [certificate("a.test"), certificate("a.test")];
    let context = server(single(&old));
    let world = Setup::new().echo();
    let addr = listen(&world, &context, echo_by_name);
    let mut first = visit(addr, "a.test");
    // In the middle of a handshake, too: the hello is sent, and maybe heard.
    let mut second = TlsPeer::asking(addr, &ClientContext::insecure(), "a.test");
    let hello = second.hello();
    second.peer.send(&hello);
    world.some_turns();
    context.replace_certificates(single(&new)).expect("a sound certificate");
    let third = visit(addr, "a.test");
    second.handshake().expect("a handshake in time");
    second.echo(b"still here");
    first.echo(b"still here");
    assert!(first.was_shown(&old) && third.was_shown(&new));
    assert!(second.was_shown(&old) || second.was_shown(&new));
    // What cannot be used changes nothing.
    context.replace_certificates(Certificates::new()).expect_err("empty");
    assert!(visit(addr, "a.test").was_shown(&new));
    let _trace = world.finish();
}

/// The listener of the connection that came last.
fn listener_of_last(world: &mut World) -> ListenerId {
    let id = world.wait_for_event(&Event::Connect).conn.expect("a callback has a connection");
    world.conn(id, |conn| conn.listener()).expect("it was accepted")
}

fn a_listener_can_be_given_another_context_or_none() {
    let [one, other] = [certificate("one.test"), certificate("other.test")];
    let mut world = Setup::new().echo();
    let addr = listen(&world, &server(single(&one)), echo_by_name);
    let mut first = visit(addr, "a.test");
    let listener = listener_of_last(&mut world);
    let context = server(single(&other));
    assert!(world.run(move |local| local.set_listener_tls(listener, context)));
    let mut second = visit(addr, "a.test");
    assert!(world.run(move |local| local.set_listener_tls(listener, None)));
    Peer::connect(addr).echo(b"in clear");
    for peer in [&mut first, &mut second] {
        peer.echo(b"as before");
    }
    assert!(first.was_shown(&one) && second.was_shown(&other));
    let nobody = ListenerId::new(77);
    assert!(!world.run(move |local| local.set_listener_tls(nobody, None)));
    let _trace = world.finish();
}

fn another_context_does_not_end_a_pause() {
    // S128
    let mut world = Setup::new().echo();
    let addr = listen(&world, &server(single(&certificate("a.test"))), echo_by_name);
    let _first = visit(addr, "a.test");
    let listener = listener_of_last(&mut world);
    assert!(world.run(move |local| {
        local.pause_listener(listener) && local.set_listener_tls(listener, None)
    }));
    let mut second = Peer::connect(addr);
    second.send(b"hello");
    world.some_turns();
    assert_eq!(world.run(|local| local.counters().accepted), 1);
    assert!(world.run(move |local| local.resume_listener(listener)));
    second.expect(b"hello");
    let _trace = world.finish();
}

#[test]
fn another_context_from_outside_holds_on_all_shards() {
    let [one, other] = [certificate("one.test"), certificate("other.test")];
    let world = Setup::new().shards(2).echo();
    let at = Listen::on(([127, 0, 0, 1], 0)).tls(server(single(&one)));
    let listener = world.add_listener(at, echo_by_name);
    let addr = world.engine().addr(listener).expect("it listens");
    assert!(visit(addr, "a.test").was_shown(&one));
    world.remote().set_listener_tls(listener, server(single(&other)));
    for shard in 0..2 {
        // Orders overtake nothing; the second task is read behind this one.
        world.run_on(shard, |_| ());
        world.run_on(shard, |_| ());
    }
    for _ in 0..8 {
        assert!(visit(addr, "a.test").was_shown(&other));
    }
    let _trace = world.finish();
}

#[test]
fn sessions_are_resumed_on_whatever_shard_they_come_to() {
    let mut world = Setup::new().shards(2).echo();
    let at = Listen::on(([127, 0, 0, 1], 0)).tls(server(single(&certificate("a.test"))));
    let listener = world.add_listener(at, echo_by_name);
    let addr = world.engine().addr(listener).expect("it listens");
    let client = ClientContext::insecure();
    let mut shards = [0, 0];
    // The kernel spreads; it may take some until both have had two.
    for n in 0..200 {
        let mut peer = TlsPeer::asking(addr, &client, "a.test");
        peer.handshake().expect("a handshake in time");
        peer.echo(b"hello");
        assert_eq!(peer.is_resumed(), n > 0, "visit {n}");
        let id = world.wait_for_event(&Event::Connect).conn.expect("a connection");
        shards[id.shard()] += 1;
        if shards.iter().all(|visits| *visits > 1) {
            break;
        }
    }
    assert!(shards.iter().all(|visits| *visits > 1), "{shards:?}");
    let _trace = world.finish();
}

#[test]
fn no_handshake_fails_while_certificates_are_replaced() {
    let certificates = [certificate("a.test"), certificate("a.test")];
    let context = server(single(&certificates[0]));
    let world = Setup::new().shards(2).echo();
    let at = Listen::on(([127, 0, 0, 1], 0)).tls(context.clone());
    let listener = world.add_listener(at, echo_by_name);
    let addr = world.engine().addr(listener).expect("it listens");
    let (visited, visits) = std::sync::mpsc::channel();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            let (visited, certificates) = (visited.clone(), &certificates);
            scope.spawn(move || {
                for _ in 0..50 {
                    let peer = visit(addr, "a.test");
                    assert!(certificates.iter().any(|one| peer.was_shown(one)));
                    visited.send(()).expect("somebody counts");
                }
            });
        }
        drop(visited);
        // One replacement for each four visits, while others are under way.
        let mut replaced = 0;
        for (n, ()) in visits.into_iter().enumerate() {
            if n % 4 == 3 {
                replaced += 1;
                let next = single(&certificates[replaced % 2]);
                context.replace_certificates(next).expect("a sound certificate");
            }
        }
        assert_eq!(replaced, 50);
    });
    let _trace = world.finish();
}
