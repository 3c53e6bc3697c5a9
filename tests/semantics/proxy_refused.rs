//! PROXY headers that do not come, or come from whom nobody believes: closed before anybody is
//! asked.

use super::proxy::{CLIENT, believing, counters, echo, header, ip, listen, options};
use shardpoll::{Conn, Handler, Others, PanicPolicy, Peer as Accepted, ProxyHeader, ProxyProtocol};
use shardpoll_tests::{Call, Event, Peer, Recorder, Setup, TlsPeer, Version, both_worlds};
use std::time::Duration;

both_worlds! {
    what_is_no_header_ends_the_connection_before_anybody_is_asked,
    a_header_that_is_late_ends_the_connection_however_it_trickles,
    others_are_refused_unless_they_are_served_directly,
    closing_all_ends_those_that_wait_for_headers_at_once,
    an_acceptor_that_panics_costs_that_client_only,
    a_listener_that_ends_waits_for_the_headers_of_those_who_came,
    limits_count_the_clients_and_not_the_balancer,
}

fn what_is_no_header_ends_the_connection_before_anybody_is_asked() {
    let mut world = Setup::new().echo();
    let proxy = believing().max_header_bytes(300);
    let addr = listen(&world, proxy, true, echo);
    let good = header().encode();
    let with = |at: usize, byte: u8| {
        let mut bytes = good.clone();
        bytes[at] = byte;
        bytes
    };
    let bad = [
        TlsPeer::begin(world.addr(), Version::Tls13).hello(),
        b"GET / HTTP/1.1\r\n\r\n".to_vec(),
        [b"PROXY UNKNOWN ".to_vec(), vec![b'x'; 93]].concat(),
        // Too short for its family; longer than allowed, at once.
        with(15, 11),
        [&with(14, 0xFF)[..14], &[0xFF, 0xFF]].concat(),
        with(12, 0x31),
        with(13, 0x51),
        good[..good.len() - 1].to_vec(),
        Vec::new(),
    ];
    let count = bad.len() as u64;
    for bytes in bad {
        let mut peer = Peer::connect(addr);
        peer.send(&bytes);
        if bytes.len() < 16 || bytes == good[..good.len() - 1] {
            // Only its end shows that it is none.
            peer.finish();
        }
        assert_eq!(peer.read_all().0, b"");
    }
    let counters = counters(&world);
    assert_eq!((counters.bad_proxy_headers, counters.proxy_headers), (count, 0));
    let mut peer = TlsPeer::begin(addr, Version::Tls13);
    peer.peer.send(&good);
    peer.handshake().expect("a handshake in time");
    let first = world.wait_for(|seen| matches!(seen.event, Event::Note(_)));
    assert_eq!(first.event, Event::note(&format!("asked for {CLIENT} Some(false)")));
    drop(world.finish());
}

fn a_header_that_is_late_ends_the_connection_however_it_trickles() {
    let world = Setup::new().echo();
    let proxy = believing().deadline(Duration::from_millis(300));
    let addr = listen(&world, proxy, false, echo);
    let mut silent = Peer::connect(addr);
    let mut slow = Peer::connect(addr);
    let mut sent = 0;
    for byte in b"PROXY UNKNOWN and so on and on and on" {
        slow.send_some(&[*byte]);
        sent += 1;
        if slow.is_over_after(Duration::from_millis(50)) {
            break;
        }
    }
    assert!((4..20).contains(&sent), "after {sent} bytes, 50 ms apart");
    assert_eq!(silent.read_all().0, b"");
    assert_eq!(counters(&world).bad_proxy_headers, 2);
    let mut late = Peer::connect(addr);
    late.send(&header().encode());
    late.expect_silence(Duration::from_millis(400));
    late.echo(b"what has its header has time");
    drop(world.finish());
}

fn others_are_refused_unless_they_are_served_directly() {
    let mut world = Setup::new().echo();
    let strangers = ProxyProtocol::from_senders(["203.0.113.0/24"]).expect("a network");
    let refusing = listen(&world, strangers.clone(), false, echo);
    let mut peer = Peer::connect(refusing);
    peer.send_some(&header().encode());
    assert_eq!(peer.read_all().0, b"");
    let counted = counters(&world);
    assert_eq!((counted.refused_senders, counted.accepted), (1, 0));
    let direct = listen(&world, strangers.others(Others::Direct), false, echo);
    let mut peer = Peer::connect(direct);
    peer.echo(&header().encode());
    let own = Event::Note(format!("asked for {} None", peer.addr()));
    world.wait_for_event(&own);
    assert_eq!(counters(&world).proxy_headers, 0);
    drop(world.finish());
}

fn closing_all_ends_those_that_wait_for_headers_at_once() {
    let mut world = Setup::new().echo();
    let (waits, begun) = (Peer::connect, header().encode());
    let addr = listen(&world, believing().deadline(Duration::from_secs(3600)), false, echo);
    let mut peers = [waits(addr), waits(addr)];
    peers[1].send(&begun[..20]);
    // They were accepted.
    while counters(&world).accepted < 2 {
        world.some_turns();
    }
    world.close_all();
    for peer in &mut peers {
        assert_eq!(peer.read_all().0, b"");
    }
    world.wait_for_event(&Event::note("over"));
    assert_eq!(counters(&world).bad_proxy_headers, 0, "it is no fault of theirs");
    drop(world.finish());
}

fn an_acceptor_that_panics_costs_that_client_only() {
    for policy in [PanicPolicy::Close, PanicPolicy::Continue] {
        let mut world = Setup::new().config(|config| config.panic_policy = policy).echo();
        world.expect_panics(1);
        let mut asked = 0;
        let addr = world.listen_having(options(believing(), false), move |_: &Accepted| {
            asked += 1;
            assert!(asked > 1, "wanted by this test");
            let echo = |conn: &mut Conn<'_>, data: &[u8]| {
                conn.write(data);
            };
            Box::new(shardpoll::incoming(echo)) as Box<dyn Handler>
        });
        let mut peer = Peer::connect(addr);
        peer.send(&header().encode());
        assert_eq!(peer.read_all().0, b"");
        let mut peer = Peer::connect(addr);
        peer.send(&header().encode());
        peer.echo(b"the next");
        drop(peer);
        drop(world.finish());
    }
}

fn a_listener_that_ends_waits_for_the_headers_of_those_who_came() {
    let mut world = Setup::new().echo();
    let addr = listen(&world, believing(), false, |call: &mut Call<'_, '_>| {
        if *call.event == Event::Connect {
            let id = call.listener().expect("it was accepted");
            call.local().close_listener(id);
        }
        echo(call);
    });
    let mut waiting = [Peer::connect(addr), Peer::connect(addr)];
    while counters(&world).accepted < 2 {
        world.some_turns();
    }
    let mut first = Peer::connect(addr);
    first.send(&header().encode());
    first.echo(b"first");
    world.wait_for(|seen| seen.event == Event::incoming(b"first"));
    // The callback has returned; the listener's end is carried out behind it.
    let refused = (0..1000).any(|_| {
        world.some_turns();
        Peer::try_connect(addr).is_err()
    });
    assert!(refused, "it listens no more");
    let [second, third] = &mut waiting;
    second.send(&header().encode());
    second.echo(b"second");
    third.finish();
    assert_eq!(third.read_all().0, b"");
    world.wait_for_event(&Event::note("over"));
    second.echo(b"again");
    let trace = world.finish();
    let over = trace.seen.iter().filter(|seen| seen.event == Event::note("over")).count();
    assert_eq!(over, 1);
}

fn limits_count_the_clients_and_not_the_balancer() {
    let world = Setup::new().echo();
    let mut options = options(believing(), false);
    options.limits.max_connections_per_peer = Some(1);
    let log = world.log();
    let addr = world.listen_having(options, move |_: &Accepted| -> Box<dyn Handler> {
        Box::new(Recorder::new(log.clone(), echo))
    });
    // One balancer, which has yet to say for whom it connects.
    let _waiting = [Peer::connect(addr), Peer::connect(addr), Peer::connect(addr)];
    let comes = |from: &str| {
        let mut peer = Peer::connect(addr);
        peer.send(&ProxyHeader::proxied(ip(from), ip("198.51.100.1:5222")).encode());
        peer
    };
    let mut one = comes("192.0.2.7:1");
    one.echo(b"one");
    let mut other = comes("192.0.2.8:1");
    other.echo(b"other");
    assert_eq!(comes("192.0.2.7:2").read_all().0, b"");
    let counted = counters(&world);
    assert_eq!((counted.refused_from_peer, counted.bad_proxy_headers), (1, 0));
    one.finish();
    one.expect_end();
    while world.run(|local| local.counters().closed) < 2 {
        world.some_turns();
    }
    comes("192.0.2.7:3").echo(b"one again");
    drop(world.finish());
}
