//! Letters to many, letters that are answered, and whose a key is.

use shardpoll::{ConnId, Engine, NoAnswer, Pinning, Remote, Undelivered, WorkerStart};
use shardpoll_tests::{PATIENCE, Setup, wait_for_reply};
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::thread::ThreadId;
use std::time::Duration;

/// An engine of which nothing runs.
fn at_rest(shards: usize) -> (Remote, Vec<WorkerStart>) {
    let builder = Engine::builder().shards(shards).pinning(Pinning::None);
    let (engine, workers) = builder.workers().expect("descriptors");
    (engine.remote(), workers)
}

#[test]
fn a_letter_to_many_is_never_copied() {
    // One buffer, and as many references to it as there are queues that hold it.
    let mut world = Setup::new().shards(2).echo();
    let mut peers: Vec<_> = (0..20).map(|_| world.connect_and_wait()).collect();
    for (_, id) in &peers {
        let id = *id;
        world.run_on(id.shard(), move |local| local.conn(id).expect("open").pause_writes());
    }
    let data: Arc<[u8]> = vec![b'x'; 1000].into();
    let ids: Vec<_> = peers.iter().map(|peer| peer.1).collect();
    world.remote().write_to_all(ids.iter().copied(), &data).expect("room");
    for shard in 0..2 {
        world.run_on(shard, |_| ());
    }
    let held = Arc::strong_count(&data);
    assert_eq!(held, 1 + peers.len(), "the letters are dropped, and each queue has a reference");
    for (peer, id) in &mut peers {
        let id = *id;
        world.run_on(id.shard(), move |local| local.conn(id).expect("open").resume_writes());
        peer.expect(&data);
    }
    for shard in 0..2 {
        world.run_on(shard, |_| ());
    }
    assert_eq!(Arc::strong_count(&data), 1, "all is sent");
    let _trace = world.finish();
}

#[test]
fn shared_bytes_reach_one_connection_too_and_keep_their_order() {
    let mut world = Setup::new().echo();
    let (mut peer, id) = world.connect_and_wait();
    let (remote, data): (_, Arc<[u8]>) = (world.remote(), b"two"[..].into());
    wait_for_reply(move || {
        remote.write(id, b"one".to_vec()).expect("room");
        remote.write_shared(id, Arc::clone(&data)).expect("room");
        remote.write_to_all([id, id], &data).expect("room");
        remote.write(id, b"end".to_vec()).expect("room");
    });
    peer.expect(b"onetwotwotwoend");
    let _trace = world.finish();
}

#[test]
fn a_letter_to_more_than_a_turn_may_serve_reaches_all() {
    // 256 connections of a shard are one letter
    let mut world = Setup::new().echo();
    let mut peers: Vec<_> = (0..3).map(|_| world.connect_and_wait()).collect();
    let ids: Vec<ConnId> = peers.iter().map(|peer| peer.1).cycle().take(1500).collect();
    let data: Arc<[u8]> = b"x"[..].into();
    world.remote().write_to_all(ids, &data).expect("room");
    for (peer, _) in &mut peers {
        peer.expect(&[b'x'; 500]);
    }
    let _trace = world.finish();
}

#[test]
fn a_letter_to_many_names_those_it_did_not_reach() {
    let mut world = Setup::new().echo();
    let (_peer, id) = world.connect_and_wait();
    let mut wide = Setup::new().shards(2).echo();
    let foreign = loop {
        let (_peer, id) = wide.connect_and_wait();
        if id.shard() == 1 {
            break id;
        }
    };
    let (remote, data): (_, Arc<[u8]>) = (world.remote(), b"x"[..].into());
    let unreached = remote.write_to_all([id, foreign], &data).expect_err("there is no shard 1");
    assert_eq!((unreached.full, unreached.ended), (vec![], vec![foreign]));

    let release = world.hold_shard();
    while remote.run(0, |_| ()).is_ok() {}
    // Of the first a queue may still have a reference.
    let data: Arc<[u8]> = b"y"[..].into();
    let unreached = remote.write_to_all([id], &data).expect_err("full");
    assert_eq!((unreached.full, unreached.ended), (vec![id], vec![]));
    assert_eq!(remote.broadcast(|_| ()).expect_err("full").full, [0]);
    assert_eq!(Arc::strong_count(&data), 1, "given back");
    drop(release);
    // Until there is room again, which what follows needs.
    while remote.run(0, |_| ()).is_err() {
        std::thread::yield_now();
    }
    let (_, _) = (world.finish(), wide.finish());
}

#[test]
fn an_abort_from_another_thread_is_told() {
    // S79 is for the connection's own handler; this one has not asked for it
    let mut world = Setup::new().shards(2).echo();
    let (mut peer, id) = world.connect_and_wait();
    let remote = world.remote();
    wait_for_reply(move || {
        remote.write(id, vec![b'x'; 8 * 1024 * 1024]).expect("room");
        remote.abort(id).expect("room");
        remote.abort(id).expect("room");
    });
    let (got, _) = peer.read_all();
    assert!(got.len() < 8 * 1024 * 1024, "the queue is lost");
    assert_eq!(world.wait_for_end().cause, "Asked");
    let _trace = world.finish();
}

#[test]
fn a_broadcast_runs_once_on_each_shard() {
    let world = Setup::new().shards(3).echo();
    let (ran, where_it_ran) = channel::<ThreadId>();
    let task = move |_: &mut shardpoll::Local<'_>| {
        ran.send(std::thread::current().id()).expect("the test listens");
    };
    world.remote().broadcast(task).expect("room");
    let mut shards: Vec<_> =
        (0..3).map(|_| where_it_ran.recv_timeout(PATIENCE).expect("three of them")).collect();
    shards.dedup();
    assert_eq!(shards.len(), 3, "{shards:?}");
    assert!(where_it_ran.recv_timeout(PATIENCE).is_err(), "the task is dropped on all");
    let _trace = world.finish();
}

#[test]
fn a_task_answers_whoever_asked() {
    let world = Setup::new().shards(2).echo();
    let remote = world.remote();
    let name = |_: &mut shardpoll::Local<'_>| std::thread::current().name().map(str::to_owned);
    let answer = remote.ask(1, name).expect("room");
    assert_eq!(answer.wait(), Ok(Some("shardpoll-1".into())));

    let release = world.hold_shard();
    let answer = remote.ask(0, |_| 7).expect("room");
    assert_eq!(answer.try_take(), Ok(None));
    assert_eq!(answer.wait_timeout(Duration::from_millis(1)), Ok(None));
    drop(release);
    assert_eq!(answer.wait_timeout(PATIENCE), Ok(Some(7)));
    assert_eq!(answer.try_take(), Err(NoAnswer::Taken));
    let _trace = world.finish();
}

#[test]
fn a_shard_that_would_wait_for_itself_is_told_so() {
    let world = Setup::new().shards(2).echo();
    let remote = world.remote();
    let told = world.run(move |_| {
        let own = remote.ask(0, |_| ()).expect("room");
        let (waited, timed) = (own.wait(), remote.ask(1, |_| ()).expect("room"));
        (waited, timed.wait_timeout(PATIENCE))
    });
    assert_eq!(told, (Err(NoAnswer::OnShard), Err(NoAnswer::OnShard)));
    let _trace = world.finish();
}

#[test]
fn a_task_that_panics_answers_that() {
    let mut world = Setup::new().echo();
    let answer = world.remote().ask(0, |_| -> u32 { panic!("on purpose") }).expect("room");
    assert_eq!(answer.wait(), Err(NoAnswer::Panicked));
    world.expect_panics(1);
    let _trace = world.finish();
}

#[test]
fn a_shard_that_ends_leaves_nobody_waiting() {
    let (remote, workers) = at_rest(1);
    let answer = remote.ask(0, |_| ()).expect("room");
    let waits = std::thread::spawn(move || answer.wait());
    drop(workers);
    assert_eq!(waits.join().expect("it does not panic"), Err(NoAnswer::Ended));
    assert!(matches!(remote.ask(0, |_| ()), Err(Undelivered::Ended(_))));
}

#[test]
fn a_task_dropped_unread_is_dropped_on_its_shard() {
    // what a user leaves in a mailbox may look at its shard's thread when it is dropped
    struct Told(std::sync::mpsc::Sender<ThreadId>);
    impl Drop for Told {
        fn drop(&mut self) {
            let _gone = self.0.send(std::thread::current().id());
        }
    }
    let (remote, mut workers) = at_rest(1);
    let (told, dropped) = channel();
    let letter = Told(told);
    remote.run(0, move |_| drop(letter)).expect("room");
    let worker = workers.pop().expect("one");
    let shard = std::thread::spawn(move || drop(worker.start()));
    let shard_thread = shard.thread().id();
    shard.join().expect("it does not panic");
    assert_eq!(dropped.recv_timeout(PATIENCE), Ok(shard_thread));
}

#[test]
fn a_key_has_the_same_shard_in_every_process_and_version() {
    // The first four bits of the hashes published with SipHash-2-4, for 0 to 15 bytes 00 01 02 ...
    let (remote, _workers) = at_rest(16);
    let key: Vec<u8> = (0..16).collect();
    let shards: Vec<_> = (0..16).map(|len| remote.shard_of(&key[..len])).collect();
    assert_eq!(shards, [7, 7, 0, 8, 12, 1, 12, 10, 9, 9, 7, 15, 7, 1, 15, 10]);
    assert_eq!(remote.shard_of("\0\u{1}\u{2}"), 8, "text is its bytes");
}

#[test]
fn keys_are_spread_over_all_shards() {
    let (remote, _workers) = at_rest(3);
    let mut counts = [0_usize; 3];
    for number in 0..9_000_u64 {
        // Numbers that have much in common.
        counts[remote.shard_of(&(number * 4096).to_le_bytes())] += 1;
    }
    assert!(counts.iter().all(|&count| count.abs_diff(3000) < 300), "{counts:?}");
}
