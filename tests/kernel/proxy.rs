//! PROXY headers on sockets that only a real kernel has: unix ones, and those of both families.

use shardpoll::{Conn, ConnId, Handler, Listen, Others, ProxyHeader, ProxyProtocol};
use shardpoll_tests::{Call, Event, PATIENCE, Peer, Setup, SocketPath};
use socket2::{Domain, Socket, Type};
use std::io::{Read, Write};
use std::net::{Ipv6Addr, SocketAddr, TcpListener};
use std::os::unix::net::UnixStream;
use std::path::Path;

fn header() -> ProxyHeader {
    let ends: [SocketAddr; 2] =
        ["192.0.2.7:40000", "198.51.100.1:5222"].map(|end| end.parse().expect("an address"));
    ProxyHeader::proxied(ends[0], ends[1])
}

/// Says who has connected.
fn says_who(call: &mut Call<'_, '_>) {
    if *call.event == Event::Connect {
        let peer = call.peer().to_string();
        call.say(peer.as_bytes());
        call.close();
    }
}

/// What is answered to a header over a unix socket.
fn answer(path: &Path) -> String {
    let mut stream = UnixStream::connect(path).expect("somebody listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("more than zero");
    let _refused = stream.write_all(&header().encode());
    let mut got = String::new();
    // A reset when it is closed with the header unread.
    let _end = stream.read_to_string(&mut got);
    got
}

#[test]
fn who_comes_over_a_unix_socket_is_believed_only_if_told_so() {
    let world = Setup::new().shards(2).echo();
    let listed = ProxyProtocol::from_senders(["0.0.0.0/0", "::/0"]).expect("networks");
    let cases = [
        (ProxyProtocol::from_unix(), "192.0.2.7:40000"),
        (listed.clone().unix(true), "192.0.2.7:40000"),
        (listed.clone().others(Others::Direct), "unix:"),
        (listed, ""),
    ];
    for (proxy, wanted) in cases {
        let path = SocketPath::new();
        world.add_listener(Listen::unix(&path).proxy_protocol(proxy), says_who);
        assert_eq!(answer(&path), wanted);
    }
    drop(world.finish());
}

#[test]
fn an_ipv4_sender_is_the_same_on_a_socket_of_both_families() {
    let world = Setup::new().echo();
    let socket = Socket::new(Domain::IPV6, Type::STREAM, None).expect("a socket");
    socket.set_only_v6(false).expect("an option of IPv6");
    let any = SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0));
    socket.bind(&any.into()).expect("a free port");
    socket.listen(16).expect("bound");
    let listener = TcpListener::from(socket);
    let port = listener.local_addr().expect("bound").port();
    let proxy = ProxyProtocol::from_senders(["127.0.0.1"]).expect("an address");
    world.listen(Listen::inherited(listener).proxy_protocol(proxy), says_who);
    let mut peer = Peer::connect(([127, 0, 0, 1], port).into());
    peer.send(&header().encode());
    assert_eq!(peer.read_to_end(), b"192.0.2.7:40000");
    drop(world.finish());
}

/// Goes to the next shard when it hears something, and says there what it knows.
struct Mover;

impl Handler for Mover {
    fn on_incoming(&mut self, conn: &mut Conn<'_>, _: &[u8]) {
        let to = (conn.id().shard() + 1) % SHARDS;
        conn.move_to::<Self>(to).expect("there are several shards");
    }

    fn on_moved(&mut self, conn: &mut Conn<'_>, _: ConnId) {
        let source = conn.proxy().and_then(ProxyHeader::source).expect("one came");
        let text = format!("{source} is {}", conn.peer());
        conn.write(text.as_bytes());
    }
}

const SHARDS: usize = 4;

#[test]
fn a_header_is_known_on_whatever_shard_its_connection_is() {
    // Fresh ones are passed on to other shards with their headers unread (S125).
    let world = Setup::new().shards(SHARDS).echo();
    let proxy = ProxyProtocol::from_senders(["127.0.0.1"]).expect("an address");
    let listen = Listen::on(([127, 0, 0, 1], 0)).proxy_protocol(proxy);
    let id = world.engine().listen(listen, |_| Mover).expect("a free port");
    let addr = world.engine().addr(id).expect("added a moment ago");
    let mut peers: Vec<_> = (0..32).map(|_| Peer::connect(addr)).collect();
    for peer in &mut peers {
        peer.send(&[&header().encode()[..], b"go"].concat());
    }
    for peer in &mut peers {
        peer.expect(b"192.0.2.7:40000 is 192.0.2.7:40000");
    }
    drop(world.finish());
}
