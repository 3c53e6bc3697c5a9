//! Streams that were opened elsewhere (S136, S154).

use shardpoll::{ConnId, Connect, Refused};
use shardpoll_reactor::{CloseReason, Conn, Handler, Linux, Place, Reactor, SocketOption, Sys};
use shardpoll_tests::{
    Call, Event, PATIENCE, React, Recorder, Setup, World, blackhole, client_context, refused_addr,
};
use socket2::{Domain, SockRef, Socket, Type};
use std::fs::File;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

fn adopt(world: &World, stream: impl Into<OwnedFd>, react: impl React) -> ConnId {
    world.dial(Connect::adopted(stream), react)
}

/// A socket that has begun to connect.
fn connecting(to: SocketAddr) -> Socket {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    socket.set_nonblocking(true).expect("a socket");
    let _pending = socket.connect(&to.into());
    socket
}

fn tell(call: &mut Call<'_, '_>) {
    if *call.event == Event::Connect {
        let names = (call.peer().to_string(), call.local_addr().map(ToString::to_string));
        let ports = (call.client_port(), call.server_port());
        call.note(format!("{names:?} {ports:?} {:?}", call.listener()));
        call.write(b"hello");
    }
}

#[test]
fn a_connected_stream_is_told_of_at_its_first_event_and_served() {
    // S136: connect, predrain, drain, as for one that we have begun
    let server = Setup::new().echo();
    let mut world = Setup::new().echo();
    let stream = TcpStream::connect(server.addr()).expect("it listens");
    let (ours, theirs) = (stream.local_addr().expect("connected"), server.addr());
    let id = adopt(&world, stream, tell);
    world.wait_for(|seen| seen.conn == Some(id) && seen.event == Event::incoming(b"hello"));
    let events = world.finish().of(id);
    let names = (theirs.to_string(), Some(ours.to_string()));
    let ports = (Some(ours.port()), Some(theirs.port()));
    let note = Event::note(&format!("{names:?} {ports:?} None"));
    let want = [Event::Connect, note, Event::Predrain, Event::Drain, Event::incoming(b"hello")];
    assert_eq!(events[..5], want);
    let _trace = server.finish();
}

#[test]
fn a_connecting_stream_is_adopted_like_one_we_have_begun() {
    // S136
    let server = Setup::new().echo();
    let mut world = Setup::new().echo();
    let id = adopt(&world, connecting(server.addr()), tell);
    world.wait_for(|seen| seen.conn == Some(id) && seen.event == Event::incoming(b"hello"));
    let (_, _) = (world.finish(), server.finish());
}

#[test]
fn an_adopted_stream_that_is_refused_or_never_answered_is_told_so() {
    // S134, S135, S136
    let (_refused, refused) = refused_addr();
    let (_hole, hole) = blackhole();
    let config = |c: &mut shardpoll::Config| c.connect_timeout = Duration::from_millis(200);
    let mut world = Setup::new().config(config).echo();
    for (to, text) in [(refused, "connection refused"), (hole, "connection timeout")] {
        let id = adopt(&world, connecting(to), |_| {});
        let end = world.wait_for(|seen| seen.conn == Some(id) && seen.event.is_end());
        assert_eq!(end.event, Event::ended(text));
    }
    let _trace = world.finish();
}

#[test]
fn one_end_of_a_pair_is_adopted() {
    // S136
    let (ours, mut theirs) = UnixStream::pair().expect("a pair");
    theirs.set_read_timeout(Some(PATIENCE)).expect("more than zero");
    let mut world = Setup::new().echo();
    let id = adopt(&world, ours, |call| match call.event {
        Event::Connect => {
            let ports = (call.client_port(), call.server_port());
            let text = format!("{} {ports:?}", call.peer());
            call.note(text);
        }
        Event::Incoming(data) => {
            call.write(data);
        }
        _ => {}
    });
    theirs.write_all(b"through").expect("a pair");
    let mut got = [0; 7];
    theirs.read_exact(&mut got).expect("an answer in time");
    assert_eq!(&got, b"through");
    let none: (Option<u16>, Option<u16>) = (None, None);
    world.wait_for_event(&Event::note(&format!("unix: {none:?}")));
    drop(theirs);
    world.wait_for(|seen| seen.conn == Some(id) && seen.event == Event::ended("closed"));
    let _trace = world.finish();
}

#[test]
fn what_is_no_stream_is_told_so_once_and_never_connected() {
    // S136
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let mut world = Setup::new().echo();
    let file = File::open("/dev/null").expect("there");
    for (fd, text) in [
        (OwnedFd::from(file), "not a socket"),
        (OwnedFd::from(listener), "a listening socket, and no stream"),
    ] {
        let id = adopt(&world, fd, |_| {});
        let end = world.wait_for(|seen| seen.conn == Some(id) && seen.event.is_end());
        assert_eq!(end.event, Event::ended(text));
    }
    assert_eq!(world.live(), 1);
    assert_eq!(world.finish().count(&Event::Connect), 0);
}

#[test]
fn tls_begins_on_an_adopted_stream() {
    // S136: with a context
    let server = Setup::new().tls().echo();
    let mut world = Setup::new().echo();
    let stream = TcpStream::connect(server.addr()).expect("it listens");
    let name = "localhost".try_into().expect("a name");
    let id = world.dial(Connect::adopted(stream).tls(client_context(), name), tell);
    world.wait_for(|seen| seen.conn == Some(id) && seen.event == Event::incoming(b"hello"));
    let (_, _) = (world.finish(), server.finish());
}

#[test]
fn what_is_written_at_once_waits_for_the_first_event() {
    // S136
    let server = Setup::new().echo();
    let mut world = Setup::new().echo();
    let stream = TcpStream::connect(server.addr()).expect("it listens");
    let log = world.log();
    let id = world.run(move |local| {
        let handler = Recorder::new(log, |_: &mut Call<'_, '_>| {});
        let id = local.adopt(stream, handler).expect("not quitting");
        local.conn(id).expect("just adopted").write(b"early");
        id
    });
    world.wait_for(|seen| seen.conn == Some(id) && seen.event == Event::incoming(b"early"));
    let (_, _) = (world.finish(), server.finish());
}

#[test]
fn a_loop_that_quits_adopts_nothing_and_closes_it() {
    // S150
    let (ours, mut theirs) = UnixStream::pair().expect("a pair");
    theirs.set_read_timeout(Some(PATIENCE)).expect("more than zero");
    let linux = Linux::new().expect("descriptors");
    let mut reactor = Reactor::new(linux, Place::FIRST, Default::default()).expect("a good one");
    reactor.quit(PATIENCE);
    let refused = reactor.local(|local| local.adopt(ours, shardpoll::incoming(|_, _| {})));
    assert_eq!(refused, Some(Err(Refused::Quitting)));
    assert_eq!(theirs.read(&mut [0; 8]).expect("an end in time"), 0);
    let (ours, mut theirs) = UnixStream::pair().expect("a pair");
    let refused = reactor.adopt(ours.into(), shardpoll::incoming(|_, _| {}));
    assert_eq!(refused, Err(Refused::Quitting));
    assert_eq!(theirs.read(&mut [0; 8]).expect("an end in time"), 0);
}

/// Says what it is told into a shared list.
struct Log(std::rc::Rc<std::cell::RefCell<Vec<String>>>);

impl Handler for Log {
    fn on_connect(&mut self, conn: &mut Conn<'_>) {
        self.0.borrow_mut().push(format!("connect {}", conn.peer()));
        conn.write(b"ping");
    }

    fn on_incoming(&mut self, _: &mut Conn<'_>, data: &[u8]) {
        self.0.borrow_mut().push(String::from_utf8_lossy(data).into());
    }

    fn on_disconnect(&mut self, _: &mut Conn<'_>, reason: &CloseReason) {
        self.0.borrow_mut().push(reason.to_string());
    }
}

#[test]
fn an_embedder_adopts_a_descriptor_of_its_own_and_may_look_at_it() {
    // S136, S154; its options are its owner's
    let server = Setup::new().echo();
    let mut linux = Linux::new().expect("descriptors");
    let stream = TcpStream::connect(server.addr()).expect("it listens");
    stream.set_nodelay(false).expect("TCP");
    let fd = linux.adopt(stream.into()).expect("a stream");
    let mut reactor = Reactor::new(linux, Place::FIRST, Default::default()).expect("a good one");
    let log = std::rc::Rc::default();
    let id = reactor.adopt(fd, Log(std::rc::Rc::clone(&log))).expect("not quitting");
    assert!(log.borrow().is_empty(), "nothing is called outside of a turn");
    let began = Instant::now();
    while log.borrow().len() < 2 {
        reactor.turn(Some(Duration::from_millis(20))).expect("the poller works");
        reactor.check().expect("every invariant");
        assert!(began.elapsed() < PATIENCE, "{:?}", log.borrow());
    }
    assert_eq!(*log.borrow(), [format!("connect {}", server.addr()), "ping".into()]);
    let no_delay = |reactor: &Reactor| {
        let fd = reactor.socket(id).expect("it stands");
        SockRef::from(fd).tcp_nodelay().expect("TCP")
    };
    assert!(!no_delay(&reactor), "as it was given");
    reactor.local(|local| {
        local.conn(id).expect("it stands").set_option(SocketOption::NoDelay(true));
    });
    reactor.turn(Some(Duration::ZERO)).expect("the poller works");
    assert!(no_delay(&reactor));
    reactor.local(|local| local.conn(id).expect("it stands").abort());
    reactor.turn(Some(Duration::ZERO)).expect("the poller works");
    assert!(reactor.socket(id).is_none(), "gone (S154)");
    assert_eq!(log.borrow().len(), 2, "aborted: nothing more is called");
    drop(reactor);
    let _trace = server.finish();
}
