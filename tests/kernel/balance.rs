//! Which shard a connection lives on.

use shardpoll::{Balance, Conn, Engine, Handler, Listen, Pinning, StartError};
use shardpoll_tests::{Peer, SocketPath, receive};
use std::io::Read;
use std::net::TcpStream;
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

/// Tells where it is, to its peer too.
struct Place(Sender<usize>);

impl Handler for Place {
    fn on_connect(&mut self, conn: &mut Conn<'_>) {
        let _gone = self.0.send(conn.id().shard());
        conn.write(b"!");
    }

    fn on_incoming(&mut self, _conn: &mut Conn<'_>, _data: &[u8]) {}
}

fn engine(shards: usize, balance: Balance) -> Engine {
    let builder = Engine::builder().shards(shards).pinning(Pinning::None).balance(balance);
    builder.start().expect("an engine starts")
}

fn end(engine: Engine) {
    engine.quit(Duration::from_secs(5));
    engine.join().expect("no shard has failed");
}

/// How many of so many connections each shard has.
fn spread(engine: &Engine, connections: usize) -> Vec<usize> {
    let (log, places) = channel();
    let at = Listen::on(([127, 0, 0, 1], 0));
    let listener = engine.listen(at, move |_: &_| Place(log.clone())).expect("a free port");
    let addr = engine.addr(listener).expect("it listens");
    let mut counts = vec![0; engine.shards()];
    let mut peers = Vec::new();
    for _ in 0..connections {
        let mut peer = TcpStream::connect(addr).expect("it listens");
        peer.read_exact(&mut [0]).expect("it is served");
        counts[receive(&places).expect("it connects")] += 1;
        peers.push(peer);
    }
    counts
}

fn passed_on(engine: &Engine) -> u64 {
    let count = |shard| {
        let (reply, count) = channel();
        let ask = move |local: &mut shardpoll::Local<'_>| {
            let _gone = reply.send(local.counters().passed_on);
        };
        assert!(engine.remote().run(shard, ask).is_ok());
        receive(&count).expect("an answer")
    };
    (0..engine.shards()).map(count).sum()
}

#[test]
fn few_connections_are_spread_evenly() {
    for (shards, connections) in [(4, 16), (8, 100), (3, 10)] {
        let engine = engine(shards, Balance::default());
        let counts = spread(&engine, connections);
        let most = counts.iter().max().expect("some");
        assert!(*most <= connections.div_ceil(shards), "{counts:?}");
        end(engine);
    }
}

#[test]
fn the_kernel_alone_is_let_be() {
    let engine = engine(4, Balance::Kernel);
    assert_eq!(spread(&engine, 64).iter().sum::<usize>(), 64);
    assert_eq!(passed_on(&engine), 0);
    end(engine);
}

#[test]
fn what_waits_at_one_socket_for_all_is_spread_too() {
    // A unix socket has one queue, from which the first shard takes what it can.
    let path = SocketPath::new();
    let engine = engine(2, Balance::default());
    let (log, places) = channel();
    let at = Listen::unix(&path);
    engine.listen(at, move |_: &_| Place(log.clone())).expect("a free path");
    let mut counts = [0; 2];
    let mut peers = Vec::new();
    for _ in 0..20 {
        let stream = std::os::unix::net::UnixStream::connect(&path);
        peers.push(stream.expect("it listens"));
        counts[receive(&places).expect("it connects")] += 1;
    }
    assert_eq!(counts, [10, 10]);
    end(engine);
}

#[test]
fn whoever_arrives_while_shards_quit_is_served_or_turned_away_and_shards_end() {
    for _ in 0..20 {
        let engine = engine(3, Balance::default());
        let (log, places) = channel();
        let at = Listen::on(([127, 0, 0, 1], 0));
        let listener = engine.listen(at, move |_: &_| Place(log.clone())).expect("a free port");
        let addr = engine.addr(listener).expect("it listens");
        let storm = std::thread::spawn(move || {
            let mut peers = Vec::new();
            while let Ok(peer) = Peer::try_connect(addr) {
                peers.push(peer);
            }
            for mut peer in peers {
                // The end, in whatever form; the kernel has none for a handshake that a closed
                // socket has forgotten, until something is sent.
                peer.send_some(b"hello");
                let _all = peer.read_all();
            }
        });
        for _ in 0..50 {
            receive(&places).expect("it connects");
        }
        end(engine);
        storm.join().expect("each of them ends");
    }
}

/// Connects and tells that it stands.
struct Dial;

impl Handler for Dial {
    fn on_incoming(&mut self, _conn: &mut Conn<'_>, _data: &[u8]) {}
}

#[test]
fn a_connection_is_served_on_the_cpu_that_has_received_it() {
    // The loopback's packets are received on the CPU of the sender: here a shard's own.
    let builder = Engine::builder().balance(Balance::CpuLocal);
    let engine = builder.start().expect("an engine starts");
    let (log, places) = channel();
    let at = Listen::on(([127, 0, 0, 1], 0));
    let listener = engine.listen(at, move |_: &_| Place(log.clone())).expect("a free port");
    let addr = engine.addr(listener).expect("it listens");
    for shard in (0..engine.shards()).cycle().take(40) {
        let dial = move |local: &mut shardpoll::Local<'_>| {
            let _gone = local.connect(shardpoll::Connect::to(addr), Dial);
        };
        assert!(engine.remote().run(shard, dial).is_ok());
        assert_eq!(receive(&places), Ok(shard));
    }
    end(engine);
}

#[test]
fn a_shard_without_a_cpu_cannot_be_local_to_one() {
    let builder = Engine::builder().pinning(Pinning::None).balance(Balance::CpuLocal);
    assert!(matches!(builder.start(), Err(StartError::Unpinned)));
}
