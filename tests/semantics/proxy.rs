//! PROXY headers that are received: for whom a balancer has connected is known before anything else
//! of the connection is (S126).

use shardpoll::{
    Accept, Addr, Counters, DrainPlan, Handler, ListenerId, Local, Peer as Accepted, ProxyHeader,
    ProxyProtocol, ProxyTlv, ProxyVersion,
};
use shardpoll_reactor::ListenerOptions;
use shardpoll_tests::{
    Call, Event, Peer, React, Recorder, Seen, Setup, TlsPeer, Version, World, both_worlds,
    server_context,
};
use std::net::SocketAddr;
use std::sync::mpsc::Sender;
use std::time::Duration;

both_worlds! {
    a_header_is_read_at_every_split_and_nothing_behind_it,
    what_the_header_says_is_told_to_acceptor_and_handler,
    a_hello_in_the_same_segment_is_the_sessions,
    a_command_in_the_same_segment_is_the_handlers,
    data_in_the_same_segment_waits_for_a_paused_handler,
    data_and_the_end_in_the_same_segment_are_told_in_order,
    who_says_nothing_of_addresses_has_his_own,
    those_that_wait_for_headers_are_no_handshakes,
    a_context_set_meanwhile_is_for_those_who_come_later,
    a_client_whose_header_comes_in_a_drain_is_served_and_told,
}

pub(super) const CLIENT: &str = "192.0.2.7:40000";
const SERVER: &str = "198.51.100.1:5222";

pub(super) fn ip(text: &str) -> Addr {
    Addr::Ip(text.parse().expect("an address"))
}

/// Believes every peer of a test.
pub(super) fn believing() -> ProxyProtocol {
    ProxyProtocol::from_senders(["127.0.0.0/8", "10.0.0.0/8"]).expect("networks")
}

pub(super) fn header() -> ProxyHeader {
    ProxyHeader::proxied(ip(CLIENT), ip(SERVER))
}

/// One of each kind.
fn headers() -> Vec<Vec<u8>> {
    let values = header().with_tlv(ProxyTlv::UNIQUE_ID, b"name").expect("it fits");
    vec![
        header().with_version(ProxyVersion::V1).encode(),
        ProxyHeader::proxied(ip("[2001:db8::1]:7"), ip("[::1]:8")).encode(),
        values.with_checksum(true).encode(),
        ProxyHeader::local().encode(),
        b"PROXY UNKNOWN of somebody\r\n".to_vec(),
    ]
}

/// An acceptor that notes whom it was asked for, and its end.
#[derive(Clone)]
struct Gate<R> {
    log: Sender<Seen>,
    react: R,
}

impl<R: React> Gate<R> {
    fn note(&self, text: String) {
        let (conn, by, at) = (None, "gate", shardpoll::Tick::ZERO);
        let event = Event::Note(text);
        let _gone = self.log.send(Seen { conn, by, event, at, cause: String::new() });
    }
}

impl<R: React> Accept for Gate<R> {
    fn accept(&mut self, peer: &Accepted) -> Box<dyn Handler> {
        let header = peer.proxy.as_ref().map(|header| header.is_local());
        self.note(format!("asked for {} {header:?}", peer.addr));
        Box::new(Recorder::new(self.log.clone(), self.react.clone()))
    }

    fn on_close(&mut self, _: &mut Local<'_>) {
        self.note("over".into());
    }
}

pub(super) fn listen(
    world: &World,
    proxy: ProxyProtocol,
    tls: bool,
    react: impl React,
) -> SocketAddr {
    let gate = Gate { log: world.log(), react };
    world.listen_having(options(proxy, tls), gate)
}

pub(super) fn options(proxy: ProxyProtocol, tls: bool) -> ListenerOptions {
    let mut options = ListenerOptions::default();
    (options.tls, options.proxy) = (tls.then(server_context), Some(proxy));
    options
}

pub(super) fn echo(call: &mut Call<'_, '_>) {
    if let Event::Incoming(data) = call.event {
        call.say(data);
    }
}

pub(super) fn counters(world: &World) -> Counters {
    world.run(|local| local.counters())
}

fn a_header_is_read_at_every_split_and_nothing_behind_it() {
    let world = Setup::new().echo();
    let addr = listen(&world, believing(), false, echo);
    let mut count = 0;
    for bytes in headers() {
        for split in 1..=bytes.len() {
            let mut peer = Peer::connect(addr);
            peer.send(&bytes[..split]);
            world.some_turns();
            peer.send(&[&bytes[split..], b"PROXY \r\n"].concat());
            peer.expect(b"PROXY \r\n");
            count += 1;
        }
    }
    let counters = counters(&world);
    assert_eq!((counters.proxy_headers, counters.bad_proxy_headers), (count, 0));
    drop(world.finish());
}

fn what_the_header_says_is_told_to_acceptor_and_handler() {
    let mut world = Setup::new().echo();
    let addr = listen(&world, believing(), false, |call: &mut Call<'_, '_>| {
        if matches!(call.event, Event::Connect | Event::Disconnect(_)) {
            let (peer, header) = (call.peer().clone(), call.proxy().expect("one came").clone());
            let to = header.destination().expect("of TCP").clone();
            let text = format!("{peer} to {to}, {:?}", header.authority());
            call.note(text);
        }
    });
    let header = header().with_tlv(ProxyTlv::AUTHORITY, b"a.example").expect("it fits");
    let mut peer = Peer::connect(addr);
    peer.send(&header.encode());
    world.wait_for_event(&Event::note(&format!("asked for {CLIENT} Some(false)")));
    let said = Event::note(&format!("{CLIENT} to {SERVER}, Some(\"a.example\")"));
    world.wait_for_event(&said);
    peer.finish();
    world.wait_for_event(&said);
    drop(world.finish());
}

fn a_hello_in_the_same_segment_is_the_sessions() {
    let mut world = Setup::new().echo();
    let addr = listen(&world, believing(), true, echo);
    let bytes = header().encode();
    for version in [Version::Tls12, Version::Tls13] {
        for split in (0..bytes.len()).step_by(3) {
            let mut peer = TlsPeer::begin(addr, version);
            peer.peer.send(&bytes[..split]);
            world.some_turns();
            let hello = peer.hello();
            peer.peer.send(&[&bytes[split..], &hello].concat());
            peer.handshake().expect("a handshake in time");
            peer.echo(b"sealed");
        }
    }
    let seen = world.wait_for(|seen| seen.event == Event::Starttls).conn;
    let mut order = Vec::new();
    while order.last() != Some(&Event::incoming(b"sealed")) {
        order.push(world.wait_for(|next| next.conn == seen).event);
    }
    let wanted = [Event::Status("ssl-handshake-complete".into()), Event::Connect];
    assert_eq!(order[..2], wanted, "{order:?}");
    drop(world.finish());
}

fn a_command_in_the_same_segment_is_the_handlers() {
    let world = Setup::new().echo();
    let addr = listen(&world, believing(), false, |call: &mut Call<'_, '_>| {
        if *call.event == Event::incoming(b"STARTTLS\n") {
            call.say(b"go\n");
            call.start_tls(server_context()).expect("an open connection is upgraded");
        } else {
            echo(call);
        }
    });
    for bytes in headers() {
        let mut peer = Peer::connect(addr);
        peer.send(&[&bytes[..], b"STARTTLS\n"].concat());
        peer.expect(b"go\n");
        let mut peer = TlsPeer::over(peer, Version::Tls13);
        peer.handshake().expect("a handshake in time");
        peer.echo(b"sealed");
    }
    drop(world.finish());
}

fn data_in_the_same_segment_waits_for_a_paused_handler() {
    let mut world = Setup::new().echo();
    let addr = listen(&world, believing(), false, |call: &mut Call<'_, '_>| match call.event {
        Event::Connect => call.pause(),
        _ => echo(call),
    });
    let mut peer = Peer::connect(addr);
    peer.send(&[&header().encode()[..], b"early"].concat());
    let id = world.wait_for(|seen| seen.event == Event::Connect).conn.expect("a connection");
    world.some_turns();
    peer.expect_silence(Duration::from_millis(20));
    world.conn(id, |conn| conn.resume());
    peer.expect(b"early");
    drop(world.finish());
}

fn data_and_the_end_in_the_same_segment_are_told_in_order() {
    let mut world = Setup::new().echo();
    let addr = listen(&world, believing(), false, echo);
    for bytes in headers() {
        let mut peer = Peer::connect(addr);
        peer.send(&[&bytes[..], b"all there is"].concat());
        peer.finish();
        assert_eq!(peer.read_to_end(), b"all there is");
        world.wait_for_event(&Event::ended("closed"));
    }
    // The end without data.
    let mut peer = Peer::connect(addr);
    peer.send(&header().encode());
    peer.finish();
    peer.expect_end();
    world.wait_for_event(&Event::ended("closed"));
    drop(world.finish());
}

fn who_says_nothing_of_addresses_has_his_own() {
    let mut world = Setup::new().echo();
    let addr = listen(&world, believing(), false, |call: &mut Call<'_, '_>| {
        if *call.event == Event::Connect {
            let peer = call.peer().clone();
            call.note(peer);
        }
    });
    let unknown = header().encode();
    let mut unspecified = unknown.clone();
    (unspecified[13], unspecified[15]) = (0, 0);
    unspecified.truncate(16);
    let mut local = unknown;
    local[12] = 0x20;
    for bytes in [local, unspecified, b"PROXY UNKNOWN 192.0.2.7 ::1 1 2\r\n".to_vec()] {
        let mut peer = Peer::connect(addr);
        peer.send(&bytes);
        world.wait_for_event(&Event::Note(peer.addr().to_string()));
    }
    drop(world.finish());
}

fn those_that_wait_for_headers_are_no_handshakes() {
    let world = Setup::new().config(|config| config.max_handshakes = 1).echo();
    let addr = listen(&world, believing(), true, echo);
    let waiting: Vec<_> = (0..5).map(|_| Peer::connect(addr)).collect();
    let mut peer = TlsPeer::begin(addr, Version::Tls13);
    peer.peer.send(&header().encode());
    peer.handshake().expect("a handshake in time");
    peer.echo(b"sealed");
    assert_eq!(counters(&world).shed_handshakes, 0);
    drop(waiting);
    drop(world.finish());
}

fn a_context_set_meanwhile_is_for_those_who_come_later() {
    // S120
    let mut world = Setup::new().echo();
    let addr = listen(&world, believing(), false, echo);
    let mut first = Peer::connect(addr);
    first.send(&header().encode());
    let id = world.wait_for(|seen| seen.event == Event::Connect).conn.expect("a connection");
    let of: ListenerId = world.conn(id, |conn| conn.listener().expect("it was accepted"));
    let mut plain = Peer::connect(addr);
    while counters(&world).accepted < 2 {
        world.some_turns();
    }
    assert!(world.run(move |local| local.set_listener_tls(of, server_context())));
    plain.send(&header().encode());
    plain.echo(b"plain");
    let mut sealed = TlsPeer::begin(addr, Version::Tls13);
    sealed.peer.send(&header().encode());
    sealed.handshake().expect("a handshake in time");
    sealed.echo(b"sealed");
    drop(world.finish());
}

fn a_client_whose_header_comes_in_a_drain_is_served_and_told() {
    // S147: it was accepted before
    let mut world = Setup::new().echo();
    let addr = listen(&world, believing(), false, |call: &mut Call<'_, '_>| {
        if *call.event == Event::DrainBegin {
            call.say(b"bye");
            call.close();
        }
    });
    let mut waiting = [Peer::connect(addr), Peer::connect(addr)];
    while counters(&world).accepted < 2 {
        world.some_turns();
    }
    let plan = DrainPlan::default().accept_for(Duration::from_millis(50));
    world.drain(plan.deadline(Duration::from_secs(30)));
    let [early, late] = &mut waiting;
    early.send(&header().encode());
    assert_eq!(early.read_to_end(), b"bye");
    late.expect_silence(Duration::from_millis(100));
    late.send(&header().encode());
    assert_eq!(late.read_to_end(), b"bye");
    let trace = world.end();
    assert_eq!(trace.count(&Event::note("over")), 1);
}
