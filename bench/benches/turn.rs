//! What a turn of the loop costs by how many events it has: the real loop on a simulated network,
//! without a kernel.
//!
//! Each event is a 64-byte message that is echoed. The simulated network's own work is in it, so
//! that a row says little alone: compare rows, before and after a change.
//!
//! Never: times the peers; they send before the turn and read behind it.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use shardpoll::sim::{SimPeer, Simulation};
use shardpoll::{Config, Conn, incoming};
use shardpoll_bench::clock::Clock;
use std::time::Duration;

/// A turn takes 256 events at most; none: what a turn costs by itself.
const EVENTS: [usize; 5] = [0, 1, 10, 50, 250];

const MESSAGE: [u8; 64] = [7; 64];

/// An echo server and its peers.
struct World {
    world: Simulation,
    peers: Vec<SimPeer>,
}

impl World {
    fn new(peers: usize) -> Self {
        let mut world = Simulation::new(Config::default()).expect("the defaults make sense");
        // What is sent is there.
        world.sim().set_latency(Duration::ZERO, Duration::ZERO);
        let echo = || {
            incoming(|conn: &mut Conn<'_>, data| {
                conn.write(data);
            })
        };
        let peers = (0..peers).map(|_| world.connect(echo())).collect();
        Self { world, peers }
    }

    /// One turn that finds a message on each connection; how long it took.
    fn turn(&mut self) -> Duration {
        for peer in &self.peers {
            peer.send(&MESSAGE);
        }
        // What is sent arrives when time passes; not at the cost of the turn.
        self.world.sim().advance(Duration::from_millis(1));
        let clock = Clock::start();
        self.world.reactor().turn(Some(Duration::ZERO)).expect("nothing goes wrong here");
        let took = clock.elapsed();
        self.world.settle();
        for peer in &self.peers {
            assert_eq!(peer.recv(MESSAGE.len()), MESSAGE);
        }
        took
    }
}

fn turn(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("turn");
    for events in EVENTS {
        if events > 0 {
            group.throughput(Throughput::Elements(events as u64));
        }
        group.bench_function(BenchmarkId::new("events", events), |bencher| {
            let mut world = World::new(events);
            bencher.iter_custom(|times| (0..times).map(|_| world.turn()).sum());
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
    targets = turn
}
criterion_main!(benches);
