//! What it costs to queue bytes for a peer that does not read, and to send them when it does: by
//! copy, by giving a vector away, and by reference.
//!
//! The outbox is no public name, so it is reached as users reach it: through a connection of the
//! simulated loop, whose peer has a window that is full.
//!
//! Never: touches the kernel. `drain` has the simulated network's own copies in it, the same for
//! all three: compare rows, do not read them alone.

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, BenchmarkId, Criterion, Throughput};
use criterion::{criterion_group, criterion_main};
use shardpoll::sim::{SimPeer, Simulation};
use shardpoll::{Config, Conn, ConnId, Handler, Written};
use shardpoll_bench::clock::Clock;
use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

/// Queued at once: 64 KiB to 1 MiB, within the default limits.
const MESSAGES: usize = 64;
const SIZES: [usize; 2] = [1024, 16 * 1024];

/// The simulated kernel takes so much for a peer that does not read.
const WINDOW: usize = 4096;

/// How the bytes are handed over.
#[derive(Clone, Copy)]
enum Way {
    Copy,
    Vec,
    Shared,
}

impl Way {
    const ALL: [(Self, &str); 3] =
        [(Self::Copy, "copy"), (Self::Vec, "vec"), (Self::Shared, "shared")];
}

/// Tells which connection it is on.
struct Silent(Rc<Cell<Option<ConnId>>>);

impl Handler for Silent {
    fn on_connect(&mut self, conn: &mut Conn<'_>) {
        self.0.set(Some(conn.id()));
    }

    fn on_incoming(&mut self, _conn: &mut Conn<'_>, _data: &[u8]) {}
}

/// A connection whose peer reads when it is told to.
struct Queue {
    world: Simulation,
    peer: SimPeer,
    conn: ConnId,
    message: Arc<[u8]>,
}

impl Queue {
    fn new(size: usize) -> Self {
        let mut world = Simulation::new(Config::default()).expect("the defaults make sense");
        world.sim().set_latency(Duration::ZERO, Duration::ZERO);
        world.sim().set_window(WINDOW);
        let id = Rc::new(Cell::new(None));
        let peer = world.connect(Silent(Rc::clone(&id)));
        let conn = id.get().expect("the peer has connected");
        let mut queue = Self { world, peer, conn, message: vec![7; size].into() };
        // What the kernel takes, so that all that follows is queued.
        queue.write(vec![queue.message.to_vec(); WINDOW.div_ceil(size)], Way::Vec);
        queue.world.settle();
        queue
    }

    /// The vectors that are given away are made beforehand.
    fn vectors(&self) -> Vec<Vec<u8>> {
        vec![self.message.to_vec(); MESSAGES]
    }

    fn write(&mut self, vectors: Vec<Vec<u8>>, way: Way) {
        let (conn, message) = (self.conn, &self.message);
        self.world.local(|local| {
            let mut conn = local.conn(conn).expect("nobody has closed it");
            for vector in vectors {
                let written = match way {
                    Way::Copy => conn.write(message),
                    Way::Vec => conn.write_vec(vector),
                    Way::Shared => conn.write_shared(Arc::clone(message)),
                };
                assert_ne!(written, Written::Full);
            }
        });
    }

    /// The peer reads all of it, but for what fills its window again.
    fn drain(&mut self) {
        let queued = MESSAGES * self.message.len();
        let mut read = 0;
        while read < queued {
            read += self.peer.recv(queued - read).len();
            self.world.settle();
        }
    }
}

fn queue_and_drain(group: &mut BenchmarkGroup<'_, WallTime>, size: usize, way: (Way, &str)) {
    let (way, name) = way;
    let total = u64::try_from(size * MESSAGES).expect("a constant");
    group.throughput(Throughput::Bytes(total));
    let mut bench = |what: &str, timed: fn(&mut Queue, Vec<Vec<u8>>, Way) -> Duration| {
        let id = BenchmarkId::new(format!("{what}/{name}"), size);
        group.bench_function(id, |bencher| {
            let mut queue = Queue::new(size);
            bencher.iter_custom(|times| {
                (0..times)
                    .map(|_| {
                        let vectors = queue.vectors();
                        timed(&mut queue, vectors, way)
                    })
                    .sum()
            });
        });
    };
    bench("queue", |queue, vectors, way| {
        let clock = Clock::start();
        queue.write(vectors, way);
        let took = clock.elapsed();
        queue.drain();
        took
    });
    bench("drain", |queue, vectors, way| {
        queue.write(vectors, way);
        let clock = Clock::start();
        queue.drain();
        clock.elapsed()
    });
}

fn outbox(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("outbox");
    for size in SIZES {
        for way in Way::ALL {
            queue_and_drain(&mut group, size, way);
        }
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1));
    targets = outbox
}
criterion_main!(benches);
