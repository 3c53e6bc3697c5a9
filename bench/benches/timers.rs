//! What the timer heap costs per operation, at 10^3, 10^5 and 10^6 pending timers.
//!
//! Never: reads a clock inside the heap, or measures what the heap costs when it is left alone (a
//! connection's deadline that only moves later is one store, and no business of the heap's).
//!
//! Deadlines are spread evenly over a minute from fixed seeds, and each operation picks its timer
//! at random: the worst case for the caches, so a real server is faster.

use std::hint::black_box;
use std::time::Duration;

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, BenchmarkId, Criterion, criterion_group, criterion_main};
use fastrand::Rng;
use shardpoll_timers::{Heap, Tick, TimerId};

const SIZES: [u64; 3] = [1_000, 100_000, 1_000_000];

/// Deadlines lie within this span after now.
const SPAN_NANOS: u64 = 60_000_000_000;

/// Where the benches' time begins: far enough from 0 for deadlines to move earlier for years.
const EPOCH_NANOS: u64 = 1 << 60;

/// A heap of `pending` timers, their ids, and the randomness to go on with.
struct Crowd {
    heap: Heap<u64>,
    ids: Vec<TimerId>,
    rng: Rng,
}

impl Crowd {
    fn new(pending: u64) -> Self {
        let mut rng = Rng::with_seed(pending);
        let mut heap = Heap::with_capacity(usize::try_from(pending).expect("64-bit machine") + 1);
        let ids = (0..pending).map(|n| heap.insert(due_after(&mut rng, EPOCH_NANOS), n)).collect();
        Self { heap, ids, rng }
    }

    fn any(&mut self) -> TimerId {
        self.ids[self.rng.usize(..self.ids.len())]
    }
}

fn due_after(rng: &mut Rng, now: u64) -> Tick {
    Tick::from_nanos(now + rng.u64(1..SPAN_NANOS))
}

/// A new timer comes, and it goes again before it was due: a connection that lived shortly.
fn insert_remove(group: &mut BenchmarkGroup<'_, WallTime>, pending: u64) {
    let mut crowd = None;
    group.bench_function(BenchmarkId::new("insert_remove", pending), |bencher| {
        let crowd = crowd.get_or_insert_with(|| Crowd::new(pending));
        bencher.iter(|| {
            let place = crowd.rng.usize(..crowd.ids.len());
            let due = due_after(&mut crowd.rng, EPOCH_NANOS);
            let new = crowd.heap.insert(due, 0);
            let old = std::mem::replace(&mut crowd.ids[place], new);
            black_box(crowd.heap.remove(old))
        });
    });
}

/// A deadline moves behind all others, or before them.
fn reschedule(group: &mut BenchmarkGroup<'_, WallTime>, pending: u64) {
    let mut crowd = None;
    let mut latest = 2 * EPOCH_NANOS;
    group.bench_function(BenchmarkId::new("reschedule_later", pending), |bencher| {
        let crowd = crowd.get_or_insert_with(|| Crowd::new(pending));
        bencher.iter(|| {
            latest += 1;
            let id = crowd.any();
            black_box(crowd.heap.reschedule(id, Tick::from_nanos(latest)))
        });
    });
    let mut crowd = None;
    let mut earliest = EPOCH_NANOS;
    group.bench_function(BenchmarkId::new("reschedule_earlier", pending), |bencher| {
        let crowd = crowd.get_or_insert_with(|| Crowd::new(pending));
        bencher.iter(|| {
            earliest -= 1;
            let id = crowd.any();
            black_box(crowd.heap.reschedule(id, Tick::from_nanos(earliest)))
        });
    });
}

/// The earliest timer runs and is armed again: one turn each.
fn pop_rearm(group: &mut BenchmarkGroup<'_, WallTime>, pending: u64) {
    let mut crowd = None;
    group.bench_function(BenchmarkId::new("pop_rearm", pending), |bencher| {
        let crowd = crowd.get_or_insert_with(|| Crowd::new(pending));
        bencher.iter(|| {
            let now = crowd.heap.next_due().expect("the crowd never gets smaller");
            crowd.heap.start_turn(now);
            let (id, value) = crowd.heap.pop_due().expect("the earliest is due now");
            let due = due_after(&mut crowd.rng, now.as_nanos());
            crowd.heap.rearm(id, due, value).expect("nobody stopped it")
        });
    });
}

// The crowds are made when their bench runs: a filter on the command line skips the others' cost.
fn timers(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("timers");
    for pending in SIZES {
        insert_remove(&mut group, pending);
        reschedule(&mut group, pending);
        pop_rearm(&mut group, pending);
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2));
    targets = timers
}
criterion_main!(benches);
