//! IPv6, and what an address may be (S123).

use shardpoll::{Connect, Listen};
use shardpoll_tests::{Event, Peer, Setup};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};

/// Whether this machine has an IPv6 loopback.
pub(super) fn has_ipv6() -> bool {
    let has = TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_ok();
    if !has {
        eprintln!("no IPv6 loopback on this machine: nothing to test");
    }
    has
}

#[test]
fn ipv6_serves_and_connects_like_ipv4() {
    if !has_ipv6() {
        return;
    }
    let at = Listen::on((Ipv6Addr::LOCALHOST, 0));
    let mut world = Setup::new().shards(2).listen(at).echo();
    assert!(world.addr().is_ipv6());
    world.connect().echo(b"six");
    let id = world.dial(Connect::to(world.addr()), |call| {
        if *call.event == Event::Connect {
            let peer = call.peer().to_string();
            call.note(peer);
            call.write(b"out");
        }
    });
    let addr = Event::note(&world.addr().to_string());
    world.wait_for(|seen| seen.conn == Some(id) && seen.event == addr);
    world.wait_for(|seen| seen.conn == Some(id) && seen.event == Event::incoming(b"out"));
    let _trace = world.finish();
}

#[test]
fn an_ipv6_listener_leaves_the_port_of_ipv4_free() {
    // S123: v6-only
    if !has_ipv6() {
        return;
    }
    // Somebody else may hold the IPv4 port that we try, but not five times in a row.
    let free = (0..5).any(|_| {
        let world = Setup::new().listen(Listen::on((Ipv6Addr::UNSPECIFIED, 0))).echo();
        let four = SocketAddr::from((Ipv4Addr::UNSPECIFIED, world.addr().port()));
        let free = TcpListener::bind(four).is_ok();
        let _trace = world.finish();
        free
    });
    assert!(free);
}

#[test]
fn a_listener_on_every_address_answers_on_each() {
    let world = Setup::new().listen(Listen::on((Ipv4Addr::UNSPECIFIED, 0))).echo();
    for host in [[127, 0, 0, 1], [127, 0, 0, 9], [127, 1, 2, 3]] {
        Peer::connect((host, world.addr().port()).into()).echo(b"here");
    }
    let _trace = world.finish();
}
