//! Listeners and shards that go away, and lose nobody (S128; `lossless` does so by the 100,000).

use shardpoll::{DrainPlan, Listen, ListenerId, StartError, incoming};
use shardpoll_tests::{Call, Event, PATIENCE, Peer, Setup, SocketPath, World};
use std::collections::HashSet;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::time::Duration;

const ANY: (Ipv4Addr, u16) = (Ipv4Addr::LOCALHOST, 0);

fn echo(call: &mut Call<'_, '_>) {
    if let Event::Incoming(data) = call.event {
        call.write(data);
    }
}

/// Says on which shard it is served.
fn tell_shard(call: &mut Call<'_, '_>) {
    if matches!(call.event, Event::Incoming(_)) {
        let shard = u8::try_from(call.id().shard()).expect("few shards");
        call.write(&[shard]);
    }
}

fn add(world: &World, at: Listen) -> (ListenerId, SocketAddr) {
    let id = world.add_listener(at, echo);
    (id, world.engine().addr(id).expect("added a moment ago"))
}

/// A stream to a listener that defers: its client believes to be connected, the kernel waits for
/// the first data (tcp(7)).
fn half_open(addr: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(addr).expect("somebody listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("not zero");
    stream
}

fn expect_echo(stream: &mut (impl Read + Write)) -> io::Result<()> {
    stream.write_all(b"late")?;
    let mut got = [0; 4];
    stream.read_exact(&mut got)?;
    assert_eq!(&got, b"late");
    Ok(())
}

fn wait_until_nobody_listens(addr: SocketAddr) {
    while TcpStream::connect_timeout(&addr, PATIENCE).is_ok() {}
}

#[test]
fn those_who_wait_at_a_listener_that_is_closed_are_served() {
    let world = Setup::new().shards(2).echo();
    let (id, addr) = add(&world, Listen::on(ANY));
    let release = world.hold_shard();
    let mut peers: Vec<_> = (0..50).map(|_| Peer::connect(addr)).collect();
    world.engine().close_listener(id);
    drop(release);
    for peer in &mut peers {
        peer.echo(b"served");
    }
    wait_until_nobody_listens(addr);
    let _trace = world.finish();
}

#[test]
fn whoever_believes_to_be_connected_is_waited_for() {
    let world = Setup::new().shards(2).echo();
    let at = Listen::on(ANY).defer_accept(Duration::from_secs(9)).handshake_grace(PATIENCE);
    let (id, addr) = add(&world, at);
    let mut client = half_open(addr);
    world.engine().close_listener(id);
    // From when the shards have heard of it nobody new comes in, and is refused only when the
    // sockets are closed.
    let late = loop {
        if let Err(error) = TcpStream::connect_timeout(&addr, Duration::from_millis(200)) {
            break error;
        }
    };
    assert_eq!(late.kind(), io::ErrorKind::TimedOut);
    expect_echo(&mut client).expect("served");
    wait_until_nobody_listens(addr);
    expect_echo(&mut client).expect("it lives on");
    drop(client);
    let _trace = world.finish();
}

#[test]
fn a_listener_waits_no_longer_than_its_grace() {
    let world = Setup::new().echo();
    let at = Listen::on(ANY).defer_accept(Duration::from_secs(9));
    let (id, addr) = add(&world, at.handshake_grace(Duration::from_millis(50)));
    let mut client = half_open(addr);
    world.engine().close_listener(id);
    wait_until_nobody_listens(addr);
    assert!(expect_echo(&mut client).is_err(), "reset");
    let _trace = world.finish();
}

fn shards_that_serve(addr: SocketAddr) -> HashSet<u8> {
    let mut peers: Vec<_> = (0..60).map(|_| half_open(addr)).collect();
    let ask = |peer: &mut TcpStream| {
        let mut shard = [0];
        peer.write_all(b"?").expect("connected");
        peer.read_exact(&mut shard).expect("an answer");
        shard[0]
    };
    peers.iter_mut().map(ask).collect()
}

#[test]
fn shards_are_retired_one_by_one_and_the_others_take_their_sockets() {
    // The last of a group, one in its midst, the first, and those that have two by then.
    for order in [[3, 2, 0, 4], [1, 4, 3, 0], [0, 1, 2, 3]] {
        let mut world = Setup::new().shards(5).echo();
        let id = world.add_listener(Listen::on(ANY), tell_shard);
        let addr = world.engine().addr(id).expect("an internet address");
        let mut live: HashSet<u8> = (0..5).collect();
        for shard in order {
            // One who is served already, and those who wait, of whom some at the shard that goes.
            let hold = |shard| {
                let (release, released) = std::sync::mpsc::channel::<()>();
                let task = move |_: &mut shardpoll::Local<'_>| {
                    let _released = released.recv_timeout(PATIENCE);
                };
                world.remote().run(usize::from(shard), task).expect("the shard is there");
                release
            };
            let held: Vec<_> = live.iter().copied().map(hold).collect();
            let mut waiting: Vec<_> = (0..40).map(|_| half_open(addr)).collect();
            drop(held);
            world.engine().retire(usize::from(shard), DrainPlan::default()).expect("not the last");
            live.remove(&shard);
            for peer in &mut waiting {
                peer.write_all(b"?").expect("connected");
                peer.read_exact(&mut [0]).expect("an answer");
            }
            drop(waiting);
            assert_eq!(shards_that_serve(addr), live, "retired {shard} of {order:?}");
            let again = world.engine().retire(usize::from(shard), DrainPlan::default());
            assert!(matches!(again, Err(StartError::NotRetired { .. })), "{again:?}");
        }
        let last = usize::from(*live.iter().next().expect("one is left"));
        let error = world.engine().retire(last, DrainPlan::default()).expect_err("the last");
        assert!(error.to_string().contains(&last.to_string()), "{error}");
        // What is added later is on the shards that are left.
        let id = world.add_listener(Listen::on(ANY), tell_shard);
        assert_eq!(shards_that_serve(world.engine().addr(id).expect("TCP")), live);
        world.quit(Duration::ZERO);
        let _trace = world.end();
    }
}

#[test]
fn a_unix_listener_outlives_a_shard() {
    let path = SocketPath::new();
    let mut world = Setup::new().shards(2).echo();
    world.add_listener(Listen::unix(&path), echo);
    world.engine().retire(0, DrainPlan::default()).expect("not the last");
    for _ in 0..5 {
        expect_echo(&mut UnixStream::connect(&path).expect("it listens")).expect("served");
    }
    world.quit(Duration::from_secs(5));
    let _trace = world.end();
    assert!(!path.exists());
}

#[test]
fn an_address_is_shared_by_whoever_asks_to() {
    // S124, and its exception
    let first = Setup::new().shards(2).echo();
    let second = Setup::new().shards(2).echo();
    let at = || Listen::on(first.addr());
    let refused = second.engine().listen(at(), |_| incoming(|_, _| {}));
    assert!(matches!(refused, Err(StartError::Listen { source, .. })
        if source.kind() == io::ErrorKind::AddrInUse));
    let id = second.add_listener(at().share(true), echo);
    let mut peers: Vec<_> = (0..60).map(|_| first.connect()).collect();
    for peer in &mut peers {
        peer.echo(b"served by one of them");
    }
    drop(peers);
    second.engine().close_listener(id);
    let (one, other) = (first.finish(), second.finish());
    let (one, other) = (one.count(&Event::Connect), other.count(&Event::Connect));
    assert!(one > 0 && other > 0 && one + other == 60, "{one} and {other}");
}

#[test]
fn a_name_that_no_environment_can_hold_is_refused() {
    let world = Setup::new().echo();
    for name in ["", "a b", "a:b", "\u{e4}", &"x".repeat(256)] {
        let at = Listen::on(ANY).name(name);
        let refused = world.engine().listen(at, |_| incoming(|_, _| {}));
        assert!(matches!(&refused, Err(StartError::Name(told)) if told == name), "{refused:?}");
    }
    let _trace = world.finish();
}
