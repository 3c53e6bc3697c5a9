//! Unix sockets: to listen on, and to connect to (S123, S124, S128).

use shardpoll::{Accept, Connect, Handler, Listen, Local, Peer, StartError, incoming};
use shardpoll_tests::{
    Call, Event, PATIENCE, Setup, SocketPath, World, client_context, server_context,
};
use std::fs;
use std::io::{self, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::mpsc::{Sender, channel};

fn echo(call: &mut Call<'_, '_>) {
    if let Event::Incoming(data) = call.event {
        call.write(data);
    }
}

fn client(path: &Path) -> UnixStream {
    let stream = UnixStream::connect(path).expect("somebody listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("more than zero");
    stream
}

fn expect_echo(stream: &mut UnixStream, data: &[u8]) {
    stream.write_all(data).expect("the engine reads");
    let mut got = vec![0; data.len()];
    stream.read_exact(&mut got).expect("an answer in time");
    assert_eq!(got, data);
}

#[test]
fn a_unix_listener_serves_many_on_all_shards() {
    // S123: one socket that the shards share; who is too late gets nothing and does not wait
    let path = SocketPath::new();
    let world = Setup::new().shards(4).echo();
    let id = world.add_listener(Listen::unix(&path), echo);
    assert_eq!(world.engine().addr(id), None);
    let addr = world.engine().listener_addr(id).expect("added a moment ago");
    assert_eq!(addr.to_string(), format!("unix:{}", path.display()));
    let mut clients: Vec<_> = (0..100).map(|_| client(&path)).collect();
    for (number, client) in clients.iter_mut().enumerate() {
        expect_echo(client, format!("number {number}").as_bytes());
    }
    drop(clients);
    let trace = world.finish();
    assert_eq!(trace.count(&Event::Connect), 100);
    assert!(!path.exists(), "removed with the last socket");
}

#[test]
fn a_unix_socket_is_connected_to_like_any_other() {
    let path = SocketPath::new();
    let mut world = Setup::new().echo();
    world.add_listener(Listen::unix(&path), echo);
    let to = Connect::unix(&path).expect("a short path");
    let id = world.dial(to, |call| {
        if *call.event == Event::Connect {
            call.write(b"here");
        }
    });
    let seen =
        world.wait_for(|seen| seen.event == Event::incoming(b"here") && seen.conn == Some(id));
    assert_eq!(seen.conn, Some(id));
    let out = world.finish().of(id);
    assert_eq!(out[..3], [Event::Connect, Event::Predrain, Event::Drain]);
}

#[test]
fn tls_runs_over_unix_sockets() {
    let path = SocketPath::new();
    let mut world = Setup::new().echo();
    world.add_listener(Listen::unix(&path).tls(server_context()), echo);
    let name = "localhost".try_into().expect("a name");
    let to = Connect::unix(&path).expect("a short path").tls(client_context(), name);
    let id = world.dial(to, |call| {
        if *call.event == Event::Connect {
            call.write(b"sealed");
        }
    });
    world.wait_for(|seen| seen.event == Event::incoming(b"sealed") && seen.conn == Some(id));
    let _trace = world.finish();
}

#[test]
fn a_file_behind_which_nobody_listens_is_replaced() {
    // S124: what a crash leaves behind is in nobody's way
    let path = SocketPath::new();
    drop(UnixListener::bind(&path).expect("a free path"));
    assert!(path.exists());
    let world = Setup::new().echo();
    world.add_listener(Listen::unix(&path), echo);
    expect_echo(&mut client(&path), b"anew");
    let _trace = world.finish();
}

fn refused(world: &World, path: &Path) -> (StartError, String) {
    let listen = world.engine().listen(Listen::unix(path), |_| incoming(|_, _| {}));
    let error = listen.expect_err("not to be had");
    let text = error.to_string();
    assert!(text.contains(&path.display().to_string()), "{text}");
    assert_eq!(world.live(), 1, "nothing is left of the attempt");
    (error, text)
}

fn kind_of(error: &StartError) -> io::ErrorKind {
    match error {
        StartError::Listen { source, .. } => source.kind(),
        other => panic!("{other}"),
    }
}

#[test]
fn a_path_that_somebody_listens_on_is_in_use_and_left_alone() {
    // S124
    let path = SocketPath::new();
    let stranger = UnixListener::bind(&path).expect("a free path");
    let world = Setup::new().echo();
    let (error, _) = refused(&world, &path);
    assert_eq!(kind_of(&error), io::ErrorKind::AddrInUse);
    let _client = client(&path);
    stranger.accept().expect("the stranger still has it");
    // Its queue may be full as well: then it is alive all the more.
    let _crowd: Vec<_> = (0..200).map(|_| connect_or_not(&path)).collect();
    let (error, _) = refused(&world, &path);
    assert_eq!(kind_of(&error), io::ErrorKind::AddrInUse);
    let _trace = world.finish();
    assert!(path.exists());
}

fn connect_or_not(path: &Path) -> Option<socket2::Socket> {
    let socket = socket2::Socket::new(socket2::Domain::UNIX, socket2::Type::STREAM, None).ok()?;
    socket.set_nonblocking(true).ok()?;
    socket.connect(&socket2::SockAddr::unix(path).ok()?).ok()?;
    Some(socket)
}

#[test]
fn a_file_that_is_no_socket_is_never_removed() {
    // S124
    let path = SocketPath::new();
    fs::write(&path, b"precious").expect("a free path");
    let world = Setup::new().echo();
    let (error, _) = refused(&world, &path);
    assert_eq!(kind_of(&error), io::ErrorKind::AddrInUse);
    let _trace = world.finish();
    assert_eq!(fs::read(&path).expect("still there"), b"precious");
}

#[test]
fn a_path_that_no_socket_can_have_is_refused_by_name() {
    let world = Setup::new().echo();
    let long = format!("/tmp/{}", "x".repeat(103));
    let (error, text) = refused(&world, Path::new(&long));
    assert_eq!(kind_of(&error), io::ErrorKind::InvalidInput);
    assert!(text.contains("108 bytes"), "{text}");
    let error = Connect::unix(&long).expect_err("too long").to_string();
    assert!(error.contains(&long) && error.contains("108 bytes"), "{error}");
    let (error, _) = refused(&world, Path::new("/no/such/folder/a.sock"));
    assert_eq!(kind_of(&error), io::ErrorKind::NotFound);
    let _trace = world.finish();
}

#[derive(Clone)]
struct Told {
    path: std::path::PathBuf,
    ended: Sender<bool>,
}

impl Accept for Told {
    fn accept(&mut self, _: &Peer) -> Box<dyn Handler> {
        Box::new(incoming(|conn, data| {
            conn.write(data);
        }))
    }

    fn on_close(&mut self, _: &mut Local<'_>) {
        let _gone = self.ended.send(self.path.exists());
    }
}

#[test]
fn the_file_goes_with_the_last_socket_and_before_the_listeners_end_is_told() {
    // S128, O9
    let path = SocketPath::new();
    let world = Setup::new().shards(3).echo();
    let (ended, ends) = channel();
    let accept = Told { path: path.to_path_buf(), ended };
    let id = world.engine().listen_with(Listen::unix(&path), accept).expect("a free path");
    let mut stays = client(&path);
    expect_echo(&mut stays, b"before");
    assert!(path.exists());
    world.engine().close_listener(id);
    assert!(!ends.recv_timeout(PATIENCE).expect("told in time"), "the file is gone by then");
    expect_echo(&mut stays, b"and after");
    // And the path is free for another.
    world.add_listener(Listen::unix(&path), echo);
    expect_echo(&mut client(&path), b"another");
    drop(stays);
    let _trace = world.finish();
    assert!(ends.recv_timeout(PATIENCE).is_err(), "told once");
}

#[test]
fn a_file_that_took_the_place_of_ours_is_not_removed() {
    let path = SocketPath::new();
    let world = Setup::new().echo();
    world.add_listener(Listen::unix(&path), echo);
    fs::remove_file(&path).expect("ours");
    let _stranger = UnixListener::bind(&path).expect("a free path");
    let _trace = world.finish();
    assert!(path.exists(), "the stranger's");
}

#[test]
fn a_path_without_a_listener_refuses() {
    // S134
    let (stale, nothing) = (SocketPath::new(), SocketPath::new());
    drop(UnixListener::bind(&stale).expect("a free path"));
    let mut world = Setup::new().echo();
    for (path, text) in [(&stale, "connection refused"), (&nothing, "No such file")] {
        let id = world.dial(Connect::unix(path).expect("a short path"), |_| {});
        let seen = world.wait_for(|seen| seen.conn == Some(id) && seen.event.is_end());
        let Event::Disconnect(reason) = &seen.event else { panic!("{seen:?}") };
        assert!(reason.starts_with(text), "{reason}");
    }
    let _trace = world.finish();
}
