//! Shards on threads of the embedder.

use shardpoll::{Engine, Listen, Pinning, StartError, Turn, incoming};
use shardpoll_tests::Peer;
use std::time::Duration;

#[test]
fn shards_run_on_the_embedders_threads_and_serve() {
    let builder = Engine::builder().shards(2).pinning(Pinning::None);
    let (engine, workers) = builder.workers().expect("two shards");
    assert_eq!(workers.iter().map(|worker| worker.shard()).collect::<Vec<_>>(), [0, 1]);
    let threads: Vec<_> = workers
        .into_iter()
        .map(|worker| {
            std::thread::spawn(move || {
                let mut worker = worker.start();
                assert!(worker.local(|local| local.live()).is_some());
                while worker.turn(Some(Duration::from_secs(1))).expect("epoll works") == Turn::Live
                {
                }
            })
        })
        .collect();
    let echo = |_: &_| {
        incoming(|conn, data| {
            conn.write(data);
        })
    };
    let at = Listen::on(([127, 0, 0, 1], 0));
    let id = engine.listen(at, echo).expect("a free port");
    Peer::connect(engine.addr(id).expect("it listens")).echo(b"hello");
    engine.quit(Duration::from_secs(5));
    engine.join().expect("all have drained");
    for thread in threads {
        thread.join().expect("it does not panic");
    }
}

#[test]
fn a_worker_that_is_dropped_ends_the_engine_for_whoever_joins() {
    let (engine, mut workers) = Engine::builder().shards(2).workers().expect("two shards");
    drop(workers.pop());
    let other = workers.pop().expect("the first");
    let thread = std::thread::spawn(move || other.start().run());
    assert!(matches!(engine.join(), Err(StartError::Abandoned)));
    thread.join().expect("it does not panic").expect("it was told to quit");
}

#[test]
fn whoever_runs_a_shard_cannot_wait_for_shards() {
    let (engine, mut workers) = Engine::builder().shards(1).workers().expect("one shard");
    let mut worker = workers.pop().expect("the only one").start();
    let at = Listen::on(([127, 0, 0, 1], 0));
    let refused = engine.listen(at.clone(), |_| incoming(|_, _| {}));
    assert!(matches!(refused, Err(StartError::OnShard)), "it would wait for itself");
    engine.quit(Duration::ZERO);
    while worker.turn(None).expect("epoll works") == Turn::Live {}
    drop(worker);
    assert!(engine.join().is_ok());
}
