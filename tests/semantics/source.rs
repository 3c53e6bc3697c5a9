//! Where outgoing connections come from (ip(7)).

use shardpoll::Connect;
use shardpoll_tests::{Call, Event, Setup, World, both_worlds, refused_addr};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

both_worlds! {
    a_connection_comes_from_the_source_it_was_given,
    each_of_several_attempts_comes_from_the_source,
    addresses_of_the_other_family_are_left_out,
    a_source_of_the_other_family_is_a_connect_that_failed,
}

const SOURCE: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 42));

const OTHER_FAMILY: SocketAddr = SocketAddr::new(IpAddr::V6(Ipv6Addr::LOCALHOST), 9);

/// Notes where the peer is, and echoes.
fn server() -> World {
    Setup::new().start(|call| match call.event {
        Event::Connect => {
            let peer = World::ip(call.peer()).ip();
            call.note(peer);
        }
        Event::Incoming(data) => {
            call.write(data);
        }
        _ => {}
    })
}

/// Notes where its own end is.
fn client(call: &mut Call<'_, '_>) {
    if *call.event == Event::Connect {
        let local = call.local_addr().map(|local| World::ip(local).ip());
        call.note(format!("{local:?}"));
        call.write(b"hello");
    }
}

/// Awaits that both ends know the source, and an echo.
fn expect_source(server: &mut World, world: &mut World, to: Connect) {
    let id = world.dial(to.source(SOURCE), client);
    server.wait_for_event(&Event::note(&SOURCE.to_string()));
    let ours = Event::note(&format!("{:?}", Some(SOURCE)));
    world.wait_for(|seen| seen.conn == Some(id) && seen.event == ours);
    world.wait_for(|seen| seen.conn == Some(id) && seen.event == Event::incoming(b"hello"));
}

fn a_connection_comes_from_the_source_it_was_given() {
    let (mut server, mut world) = (server(), Setup::new().echo());
    for fast_open in [false, true] {
        let to = Connect::to(server.addr()).fast_open(fast_open);
        expect_source(&mut server, &mut world, to);
    }
    let (_, _) = (world.finish(), server.finish());
}

fn each_of_several_attempts_comes_from_the_source() {
    // RFC 8305 section 5
    let (mut server, mut world) = (server(), Setup::new().echo());
    let (_held, nobody) = refused_addr();
    let to = Connect::to_any([nobody, server.addr()]).expect("two");
    expect_source(&mut server, &mut world, to);
    let (_, _) = (world.finish(), server.finish());
}

fn addresses_of_the_other_family_are_left_out() {
    let (mut server, mut world) = (server(), Setup::new().echo());
    let (_held, nobody) = refused_addr();
    for list in [&[OTHER_FAMILY][..], &[nobody, OTHER_FAMILY]] {
        let to = list.iter().copied().chain([server.addr()]);
        let to = Connect::to_any(to).expect("two or more");
        expect_source(&mut server, &mut world, to);
    }
    let (_, _) = (world.finish(), server.finish());
}

fn a_source_of_the_other_family_is_a_connect_that_failed() {
    // S134
    let mut world = Setup::new().echo();
    let another = SocketAddr::new(OTHER_FAMILY.ip(), 10);
    let several = Connect::to_any([OTHER_FAMILY, another]).expect("two");
    let mut last = OTHER_FAMILY;
    for to in [Connect::to(OTHER_FAMILY), several] {
        let id = world.dial(to.source(SOURCE), |_| {});
        let end = format!("{last} cannot be reached from {SOURCE}, which is of another family");
        let seen = world.wait_for_end();
        assert_eq!((seen.conn, seen.event), (Some(id), Event::ended(&end)));
        last = another;
    }
    drop(world.finish());
}
