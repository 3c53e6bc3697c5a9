//! What a connection says of its two ends (S152, S157).

use shardpoll::{Connect, Listen};
use shardpoll_tests::{Call, Event, Peer, Seen, Setup, SocketPath, Version, client_context};
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::net::UnixStream;

/// Notes the names of a connection, and echoes.
fn tell(call: &mut Call<'_, '_>) {
    match call.event {
        Event::Starttls | Event::Connect | Event::Disconnect(_) => {
            let local = call.local_addr().map(ToString::to_string);
            let ports = (call.client_port(), call.server_port());
            call.note(format!("{:?} {local:?} {ports:?}", call.event));
        }
        Event::Incoming(data) => {
            call.write(data);
        }
        _ => {}
    }
}

fn note(event: &Event, local: SocketAddr, client: u16, server: u16) -> Event {
    let local = Some(local.to_string());
    Event::note(&format!("{event:?} {local:?} {:?}", (Some(client), Some(server))))
}

#[test]
fn an_accepted_connection_knows_both_ports_by_direction() {
    // S152: the client's is the peer's, the server's is ours
    let mut world = Setup::new().shards(2).start(tell);
    let mut wanted = Vec::new();
    for _ in 0..10 {
        let mut peer = world.connect();
        peer.echo(b"x");
        let client = peer.addr().port();
        wanted.push(note(&Event::Connect, world.addr(), client, world.addr().port()));
    }
    // They end in any order, on two shards.
    let told = |seen: &Seen| match &seen.event {
        Event::Note(text) => text.starts_with("Connect"),
        _ => false,
    };
    for seen in world.wait_for_each(10, told) {
        let at = wanted.iter().position(|want| *want == seen.event);
        wanted.swap_remove(at.unwrap_or_else(|| panic!("{:?} of {wanted:?}", seen.event)));
    }
    let _trace = world.finish();
}

#[test]
fn a_listener_on_every_address_tells_each_connection_its_own() {
    // S152
    let at = Listen::on((Ipv4Addr::UNSPECIFIED, 0));
    let mut world = Setup::new().listen(at).start(tell);
    let port = world.addr().port();
    for host in [[127, 0, 0, 1], [127, 0, 0, 9], [127, 0, 0, 9], [127, 0, 0, 1]] {
        let to = SocketAddr::from((host, port));
        let peer = Peer::connect(to);
        let want = note(&Event::Connect, to, peer.addr().port(), port);
        world.wait_for_event(&want);
    }
    let _trace = world.finish();
}

#[test]
fn an_outgoing_connection_knows_both_ports_by_direction() {
    // S152: the client's is ours, the server's is the peer's
    let mut server = Setup::new().start(|call| {
        if *call.event == Event::Connect {
            let peer = call.peer().to_string();
            call.note(peer);
        }
    });
    let mut world = Setup::new().echo();
    let id = world.dial(Connect::to(server.addr()), tell);
    let seen = server.wait_for(|seen| matches!(seen.event, Event::Note(_)));
    let Event::Note(ours) = seen.event else { unreachable!("waited for") };
    let ours: SocketAddr = ours.parse().expect("an address");
    let want = note(&Event::Connect, ours, ours.port(), server.addr().port());
    world.wait_for(|seen| seen.conn == Some(id) && seen.event == want);
    let (_, _) = (world.finish(), server.finish());
}

#[test]
fn our_address_is_not_known_before_the_connection_stands() {
    // S152
    let world = Setup::new().echo();
    let to = Connect::to(world.addr());
    let (local, ports) = world.run(move |local| {
        let id = local.connect(to, shardpoll::incoming(|_, _| {})).expect("not quitting");
        let conn = local.conn(id).expect("just begun");
        (conn.local_addr().cloned(), (conn.client_port(), conn.server_port()))
    });
    assert_eq!((local, ports), (None, (None, Some(world.addr().port()))));
    let _trace = world.finish();
}

#[test]
fn names_are_known_from_the_first_callback_to_the_last_also_under_tls() {
    // S152
    let mut world = Setup::new().tls().start(tell);
    let name = "localhost".try_into().expect("a name");
    let out = world.dial(Connect::to(world.addr()).tls(client_context(), name), tell);
    let first =
        world.wait_for(|seen| seen.conn == Some(out) && matches!(seen.event, Event::Note(_)));
    let Event::Note(text) = first.event else { unreachable!("waited for") };
    assert!(text.starts_with("Starttls Some(") && !text.contains("None"), "{text}");
    let mut peer = world.connect_tls(Version::Tls13);
    peer.echo(b"x");
    let addr = (peer.peer.addr().port(), world.addr().port());
    drop(peer);
    let want = format!("{:?} {:?}", Some(world.addr().to_string()), (Some(addr.0), Some(addr.1)));
    let last = world.wait_for(|seen| match &seen.event {
        Event::Note(text) => text.starts_with("Disconnect") && text.ends_with(&want),
        _ => false,
    });
    assert_ne!(last.conn, Some(out));
    let _trace = world.finish();
}

#[test]
fn a_unix_socket_has_names_and_no_ports() {
    // S152
    let path = SocketPath::new();
    let mut world = Setup::new().echo();
    world.add_listener(Listen::unix(&path), tell);
    let _client = UnixStream::connect(&path).expect("somebody listens");
    let local = Some(format!("unix:{}", path.display()));
    let none: (Option<u16>, Option<u16>) = (None, None);
    world.wait_for_event(&Event::note(&format!("Connect {local:?} {none:?}")));
    let _trace = world.finish();
}

#[test]
fn a_connection_reads_as_its_id_and_both_addresses() {
    // S157
    let mut world = Setup::new().start(|call| {
        if *call.event == Event::Connect {
            let text = call.to_string();
            call.note(text);
        }
    });
    let (peer, id) = world.connect_and_wait();
    let text = format!("{id} (peer {}, local {})", peer.addr(), world.addr());
    world.wait_for_event(&Event::note(&text));
    let _trace = world.finish();
}
