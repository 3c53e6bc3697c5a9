//! Where outgoing connections come from, on a real network (ip(7)).

use super::addresses::has_ipv6;
use shardpoll::{Connect, Listen};
use shardpoll_tests::{Event, Setup, SocketPath, World};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Awaits how this ends that was never established.
fn end_of(world: &mut World, to: Connect) -> String {
    let id = world.dial(to, |_| {});
    let seen = world.wait_for_end();
    assert_eq!(seen.conn, Some(id));
    let Event::Disconnect(reason) = seen.event else { unreachable!("waited for") };
    reason
}

#[test]
fn an_address_of_another_machine_is_a_connect_that_failed() {
    // RFC 5737: 192.0.2.0/24 is nobody's
    let server = Setup::new().echo();
    let mut world = Setup::new().echo();
    let to = Connect::to(server.addr()).source(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)));
    let end = end_of(&mut world, to);
    assert!(end.contains("assign"), "{end}");
    let (_, _) = (world.finish(), server.finish());
}

#[test]
fn a_unix_socket_is_reached_from_no_address() {
    let path = SocketPath::new();
    let mut world = Setup::new().echo();
    world.add_listener(Listen::unix(&path), |_| {});
    let to = Connect::unix(&path).expect("a short path").source(IpAddr::V4(Ipv4Addr::LOCALHOST));
    let end = end_of(&mut world, to);
    assert!(end.contains("unix:") && end.contains("127.0.0.1"), "{end}");
    drop(world.finish());
}

#[test]
fn ipv6_has_sources_as_well() {
    if !has_ipv6() {
        return;
    }
    let local = IpAddr::V6(Ipv6Addr::LOCALHOST);
    let mut world = Setup::new().listen(Listen::on((local, 0))).start(|call| {
        if *call.event == Event::Connect && call.listener().is_some() {
            let peer = World::ip(call.peer()).ip();
            call.note(peer);
        }
    });
    let to = Connect::to(world.addr()).source(local);
    world.dial(to, |_| {});
    world.wait_for_event(&Event::note("::1"));
    drop(world.finish());
}
