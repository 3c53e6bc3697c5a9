//! Listening sockets that were opened elsewhere (S123).

use shardpoll::{Listen, StartError, incoming};
use shardpoll_tests::{Call, Event, Peer, Setup, SocketPath, World, server_context};
use std::fs::File;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};

fn echo(call: &mut Call<'_, '_>) {
    if let Event::Incoming(data) = call.event {
        call.write(data);
    }
}

fn tcp() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let addr = listener.local_addr().expect("bound");
    (listener, addr)
}

#[test]
fn a_tcp_listener_is_shared_by_all_shards() {
    let (listener, addr) = tcp();
    let world = Setup::new().shards(4).echo();
    assert_eq!(world.listen(Listen::inherited(listener), echo), addr);
    let mut peers: Vec<_> = (0..100).map(|_| Peer::connect(addr)).collect();
    for peer in &mut peers {
        peer.echo(b"served");
    }
    let trace = world.finish();
    assert_eq!(trace.count(&Event::Connect), 100);
    assert!(TcpListener::bind(addr).is_ok(), "closed with the engine");
}

#[test]
fn an_inherited_listener_may_be_one_of_tls() {
    let (listener, addr) = tcp();
    let world = Setup::new().echo();
    world.listen(Listen::inherited(listener).tls(server_context()), echo);
    shardpoll_tests::TlsPeer::connect(addr, shardpoll_tests::Version::Tls13).echo(b"sealed");
    let _trace = world.finish();
}

#[test]
fn the_file_of_an_inherited_unix_listener_stays() {
    let path = SocketPath::new();
    let listener = UnixListener::bind(&path).expect("a free path");
    let world = Setup::new().shards(2).echo();
    let id = world.add_listener(Listen::inherited(listener), echo);
    let addr = world.engine().listener_addr(id).expect("added a moment ago");
    assert_eq!(addr.to_string(), format!("unix:{}", path.display()));
    let mut stream = UnixStream::connect(&path).expect("somebody listens");
    stream.write_all(b"hello").expect("the engine reads");
    let mut got = [0; 5];
    stream.read_exact(&mut got).expect("an answer");
    assert_eq!(&got, b"hello");
    let _trace = world.finish();
    assert!(path.exists(), "whoever made it removes it");
}

fn refuse(world: &World, fd: impl Into<OwnedFd>, what: &str) {
    let fd: OwnedFd = fd.into();
    let number = fd.as_raw_fd();
    let listened = world.engine().listen(Listen::inherited(fd), |_| incoming(|_, _| {}));
    let error = listened.expect_err("nothing to listen on");
    assert_eq!(error.to_string(), format!("cannot listen on descriptor {number}: {what}"));
    match error {
        StartError::Inherited { fd, source } => {
            assert_eq!((fd, source.to_string()), (number, what.into()));
        }
        other => panic!("{other}"),
    }
}

#[test]
fn what_is_no_listening_socket_is_refused_by_name() {
    let (_listener, addr) = tcp();
    let world = Setup::new().shards(2).echo();
    refuse(&world, File::open("/dev/null").expect("there"), "not a socket");
    let datagrams = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    refuse(&world, datagrams, "not a stream socket");
    let stream = TcpStream::connect(addr).expect("it listens");
    refuse(&world, stream, "not a listening socket");
    assert_eq!(world.live(), 2, "nothing is left of the attempts");
    let _trace = world.finish();
}

#[test]
fn a_description_that_was_cloned_can_be_used_twice() {
    let (listener, addr) = tcp();
    let at = Listen::inherited(listener);
    let (first, second) = (Setup::new().echo(), Setup::new().echo());
    assert_eq!(first.listen(at.clone(), echo), addr);
    assert_eq!(second.listen(at, echo), addr);
    let _trace = first.finish();
    Peer::connect(addr).echo(b"the other engine's");
    let _trace = second.finish();
}
