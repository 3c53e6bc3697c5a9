//! Echoes through the kernel's loopback: the real loop and blocking-free clients, turn about on one
//! thread, so that no scheduler is in the figure.
//!
//! `plain` has the sizes of messages with the default read size; `read_size` weighs how much one
//! `recv` should take: READ/MESSAGE. `ready` has 64-byte messages on so many connections, all there
//! when the turn begins.
//!
//! Never: says what a server on a CPU of its own would do; `versus` does.

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, BenchmarkId, Criterion, Throughput};
use criterion::{criterion_group, criterion_main};
use shardpoll::{Config, Conn, Engine, Pinning, Turn, Worker, incoming};
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::time::Duration;

const KIB: usize = 1024;

const MESSAGES: [usize; 3] = [64, 16 * KIB, 64 * KIB];
const READS: [usize; 3] = [16 * KIB, 32 * KIB, 64 * KIB];
const READY: [usize; 3] = [1, 10, 50];

/// An echo server on this thread, and its clients.
struct Loopback {
    engine: Engine,
    /// `None` when it is over.
    worker: Option<Worker>,
    clients: Vec<TcpStream>,
}

impl Loopback {
    fn new(connections: usize, read_size_bytes: usize) -> Self {
        let mut config = Config::default();
        config.read_size_bytes = read_size_bytes;
        let builder = Engine::builder().shards(1).pinning(Pinning::None).watchdog(None);
        let (engine, mut workers) = builder.config(config).workers().expect("an epoll can be had");
        let mut worker = workers.pop().expect("one was asked for").start();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port is free");
        let addr = listener.local_addr().expect("it is bound");
        let mut clients = Vec::with_capacity(connections);
        for _ in 0..connections {
            let client = TcpStream::connect(addr).expect("somebody listens");
            client.set_nodelay(true).expect("it is a TCP socket");
            client.set_nonblocking(true).expect("it is a socket");
            let (server, _) = listener.accept().expect("one has connected");
            server.set_nodelay(true).expect("it is a TCP socket");
            let echo = incoming(|conn: &mut Conn<'_>, data| {
                conn.write(data);
            });
            let adopted = worker.local(|local| local.adopt(server, echo).is_ok());
            assert_eq!(adopted, Some(true));
            clients.push(client);
        }
        Self { engine, worker: Some(worker), clients }
    }

    fn turn(&mut self) {
        let worker = self.worker.as_mut().expect("it is not over");
        worker.turn(Some(Duration::ZERO)).expect("the poller works");
    }

    /// One message on the first connection, until it is back in `back`.
    fn echo(&mut self, message: &[u8], back: &mut [u8]) {
        let (mut sent, mut got) = (0, 0);
        while got < message.len() {
            sent += or_later((&self.clients[0]).write(&message[sent..]));
            self.turn();
            got += or_later((&self.clients[0]).read(&mut back[got..]));
        }
    }

    /// One message of 64 bytes on each connection, all there before the turn.
    fn echo_all(&mut self) {
        let (message, mut back) = ([7; 64], [0; 64]);
        for client in &self.clients {
            assert_eq!(or_later((&*client).write(&message)), message.len());
        }
        let mut missing = self.clients.len() * message.len();
        while missing > 0 {
            self.turn();
            for client in &self.clients {
                missing -= or_later((&*client).read(&mut back));
            }
        }
    }
}

impl Drop for Loopback {
    fn drop(&mut self) {
        self.engine.quit(Duration::ZERO);
        if let Some(mut worker) = self.worker.take() {
            while worker.turn(None).expect("the poller works") != Turn::Drained {}
        }
    }
}

/// How many bytes went; none when the socket is not ready.
fn or_later(outcome: std::io::Result<usize>) -> usize {
    match outcome {
        Ok(count) => count,
        Err(error) if error.kind() == ErrorKind::WouldBlock => 0,
        Err(error) => panic!("loopback: {error}"),
    }
}

fn echo(group: &mut BenchmarkGroup<'_, WallTime>, id: BenchmarkId, read: usize, size: usize) {
    group.throughput(Throughput::Bytes(size as u64));
    group.bench_function(id, |bencher| {
        let mut loopback = Loopback::new(1, read);
        let (message, mut back) = (vec![7; size], vec![0; size]);
        bencher.iter(|| loopback.echo(&message, &mut back));
        assert_eq!(back, message);
    });
}

fn loopback(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("loopback");
    for size in MESSAGES {
        let read = Config::default().read_size_bytes;
        echo(&mut group, BenchmarkId::new("plain", size), read, size);
    }
    for read in READS {
        for size in [16 * KIB, 64 * KIB] {
            let id = BenchmarkId::new(format!("read_size/{read}"), size);
            echo(&mut group, id, read, size);
        }
    }
    for connections in READY {
        group.throughput(Throughput::Elements(connections as u64));
        group.bench_function(BenchmarkId::new("ready", connections), |bencher| {
            let mut loopback = Loopback::new(connections, Config::default().read_size_bytes);
            bencher.iter(|| loopback.echo_all());
        });
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1));
    targets = loopback
}
criterion_main!(benches);
