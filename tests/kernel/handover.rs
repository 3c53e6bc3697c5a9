//! Listening sockets handed to another process: here to another engine of this one, over the same
//! kind of connection.

use shardpoll::{HandOverError, HandedOver, Inheritance, Listen};
use shardpoll_reactor::send_descriptors;
use shardpoll_tests::{Call, Event, PATIENCE, Peer, Setup, SocketPath, wait_for_reply};
use std::io::{Read, Write};
use std::net::Ipv4Addr;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::thread;
use std::time::Duration;

const ANY: (Ipv4Addr, u16) = (Ipv4Addr::LOCALHOST, 0);
const SOON: Duration = Duration::from_millis(100);

fn echo(call: &mut Call<'_, '_>) {
    if let Event::Incoming(data) = call.event {
        call.write(data);
    }
}

/// An answer that says who gives it.
fn newer(call: &mut Call<'_, '_>) {
    if matches!(call.event, Event::Incoming(_)) {
        call.write(b"new");
    }
}

fn ask(stream: &mut (impl Read + Write)) -> [u8; 3] {
    let mut answer = [0; 3];
    stream.write_all(b"old").expect("connected");
    stream.read_exact(&mut answer).expect("an answer");
    answer
}

fn pair() -> (UnixStream, UnixStream) {
    UnixStream::pair().expect("a pair")
}

#[test]
fn a_successor_gets_the_listeners_it_wants_and_the_other_keeps_the_rest() {
    // More shards than sockets, as many, and fewer.
    for shards in [3, 2, 1] {
        let path = SocketPath::new();
        let old = Setup::new().shards(2).echo();
        let tcp = old.add_listener(Listen::on(ANY).name("tcp"), echo);
        let unix = old.add_listener(Listen::unix(&path).name("unix"), echo);
        let addr = old.engine().addr(tcp).expect("TCP");
        let mut stays = Peer::connect(addr);
        stays.echo(b"served by the old one");

        let new = Setup::new().shards(shards).echo();
        let (ours, theirs) = pair();
        let engine = old.engine();
        let handed = thread::scope(|scope| {
            let hand_over = scope.spawn(|| engine.hand_over(ours, PATIENCE));
            let mut inheritance = Inheritance::receive(theirs, PATIENCE).expect("the whole list");
            let names: Vec<_> = inheritance.names().map(str::to_owned).collect();
            assert_eq!(names, ["0", "tcp", "unix"]);
            for name in ["unix", "tcp"] {
                new.add_listener(inheritance.take(name).expect("announced"), newer);
            }
            assert!(inheritance.take("tcp").is_none(), "taken");
            inheritance.finish().expect("the other listens to this");
            hand_over.join().expect("no panic").expect("a good successor")
        });
        let first = shardpoll::ListenerId::new(0);
        assert_eq!(handed, HandedOver { taken: vec![tcp, unix], kept: vec![first] });

        let mut late: Vec<_> =
            (0..30).map(|_| std::net::TcpStream::connect(addr).expect("it listens")).collect();
        for stream in &mut late {
            assert_eq!(&ask(stream), b"new");
        }
        assert_eq!(&ask(&mut UnixStream::connect(&path).expect("it listens")), b"new");
        old.connect().echo(b"what was not wanted is served here");
        stays.echo(b"and so is who was there");
        drop((stays, late));
        let _trace = old.finish();
        assert_eq!(&ask(&mut UnixStream::connect(&path).expect("it listens")), b"new");
        let _trace = new.finish();
        assert!(!path.exists(), "the file went with the last who had it");
    }
}

#[test]
fn those_who_wait_during_a_hand_over_are_served() {
    let old = Setup::new().listen(Listen::on(ANY).name("tcp")).echo();
    let new = Setup::new().echo();
    let release = old.hold_shard();
    let mut peers: Vec<_> = (0..40).map(|_| old.connect()).collect();
    let (ours, theirs) = pair();
    let engine = old.engine();
    thread::scope(|scope| {
        scope.spawn(|| engine.hand_over(ours, PATIENCE).expect("a good successor"));
        drop(release);
        let mut inheritance = Inheritance::receive(theirs, PATIENCE).expect("the whole list");
        new.add_listener(inheritance.take("tcp").expect("announced"), echo);
        inheritance.finish().expect("the other listens to this");
    });
    for peer in &mut peers {
        peer.echo(b"by the one or the other");
    }
    drop(peers);
    let (_, _) = (old.finish(), new.finish());
}

#[test]
fn a_successor_that_fails_costs_nothing() {
    let world = Setup::new().shards(2).echo();
    let hand_over = |to: UnixStream| world.engine().hand_over(to, SOON);
    let (ours, _silent) = pair();
    assert!(matches!(hand_over(ours), Err(HandOverError::TimedOut)));
    let (ours, theirs) = pair();
    drop(theirs);
    assert!(matches!(hand_over(ours), Err(HandOverError::Gone)));
    for nonsense in ["hello\n", "taken 1\n", "taken x\n", "taken  0\n", "\n"] {
        let (ours, mut theirs) = pair();
        theirs.write_all(nonsense.as_bytes()).expect("room");
        match hand_over(ours) {
            Err(HandOverError::Protocol(line)) => assert_eq!(line, nonsense.trim_end_matches('\n')),
            other => panic!("{other:?}"),
        }
        world.connect().echo(b"served as before");
    }
    let (ours, mut theirs) = pair();
    theirs.write_all(b"taken\n").expect("room");
    assert_eq!(hand_over(ours).expect("nothing was wanted").kept.len(), 1);
    world.connect().echo(b"served as before");
    let _trace = world.finish();
}

#[test]
fn a_predecessor_that_talks_nonsense_is_told_apart() {
    let receive = |text: &str, descriptors: usize| {
        let (ours, theirs) = pair();
        let passed = vec![theirs.as_fd(); descriptors];
        send_descriptors(&ours, text.as_bytes(), &passed).expect("room");
        drop(ours);
        wait_for_reply(move || Inheritance::receive(theirs, PATIENCE).map(drop))
    };
    for (text, descriptors) in [
        ("GET / HTTP/1.0\n", 0),
        ("shardpoll 2\n", 0),
        ("shardpoll 1\nlistener a\n", 0),
        ("shardpoll 1\nlistener a:b 1 -\n", 1),
        ("shardpoll 1\nlistener a x -\n", 0),
        ("shardpoll 1\nlistener a 2 -\nend\n", 1),
        ("shardpoll 1\nlistener a 18446744073709551615 -\nlistener b 2 -\nend\n", 1),
        ("shardpoll 1\nend\n", 1),
    ] {
        let received = receive(text, descriptors);
        assert!(matches!(received, Err(HandOverError::Protocol(_))), "{text:?}: {received:?}");
    }
    let received = receive("shardpoll 1\nlistener a 1 -\n", 1);
    assert!(matches!(received, Err(HandOverError::Gone)), "{received:?}");
    let (_silent, theirs) = pair();
    let received = wait_for_reply(move || Inheritance::receive(theirs, SOON).map(drop));
    assert!(matches!(received, Err(HandOverError::TimedOut)), "{received:?}");
}
