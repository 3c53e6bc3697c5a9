//! Letters from one thread to another: `letter` to a shard that is busy with them, `lockstep` the
//! same without a second thread (what posting and reading cost in instructions), `ping_pong` there
//! and back between two shards, each of which waits for the other.
//!
//! Never: pins a thread; on a machine with few CPUs these scatter more than anything else here.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use shardpoll::{Engine, Local, Pinning, Remote};
use shardpoll_bench::clock::Clock;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Sender};
use std::time::Duration;

/// Letters that wait when a turn begins, of `lockstep`; a turn reads up to 256.
const A_TURN: u64 = 100;

fn engine(shards: usize) -> Engine {
    let builder = Engine::builder().shards(shards).pinning(Pinning::None).watchdog(None);
    builder.start().expect("threads and descriptors can be had")
}

fn end(engine: Engine) {
    engine.quit(Duration::ZERO);
    engine.join().expect("every shard ends");
}

/// Posts so many, tries again when there is no room, and waits until all are read.
fn post(remote: &Remote, letters: u64) {
    let read = Arc::new(AtomicU64::new(0));
    for _ in 0..letters {
        let counter = Arc::clone(&read);
        let letter = move |_: &mut Local<'_>| {
            counter.fetch_add(1, Ordering::Relaxed);
        };
        let mut refused = remote.run(0, letter).err();
        while let Some(job) = refused {
            std::thread::yield_now();
            refused = remote.run(0, job.into_inner()).err();
        }
    }
    while read.load(Ordering::Relaxed) < letters {
        std::thread::yield_now();
    }
}

/// Goes to this shard, from there to the other one, and so on, until it is used up.
fn throw(remote: &Remote, to: usize, left: u64, done: &Sender<()>) {
    let (back, done) = (remote.clone(), done.clone());
    let ball = move |_: &mut Local<'_>| match left {
        0 => {
            let _gone = done.send(());
        }
        _ => throw(&back, 1 - to, left - 1, &done),
    };
    remote.run(to, ball).expect("nobody else sends anything");
}

fn cross_shard(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("cross_shard");
    group.throughput(Throughput::Elements(1));
    group.bench_function("letter", |bencher| {
        let engine = engine(1);
        let remote = engine.remote();
        bencher.iter_custom(|times| {
            let clock = Clock::start();
            post(&remote, times);
            clock.elapsed()
        });
        end(engine);
    });
    group.bench_function("ping_pong", |bencher| {
        let engine = engine(2);
        let remote = engine.remote();
        let (done, over) = mpsc::channel();
        bencher.iter_custom(|times| {
            let clock = Clock::start();
            throw(&remote, 0, 2 * times, &done);
            over.recv().expect("the last one says so");
            clock.elapsed()
        });
        end(engine);
    });
    group.throughput(Throughput::Elements(A_TURN));
    group.bench_function("lockstep", |bencher| {
        let builder = Engine::builder().shards(1).pinning(Pinning::None).watchdog(None);
        let (engine, mut workers) = builder.workers().expect("an epoll can be had");
        let mut worker = workers.pop().expect("one was asked for").start();
        let remote = engine.remote();
        bencher.iter(|| {
            for _ in 0..A_TURN {
                remote.run(0, |_| {}).expect("there is room");
            }
            worker.turn(Some(Duration::ZERO)).expect("the poller works");
        });
    });
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1));
    targets = cross_shard
}
criterion_main!(benches);
