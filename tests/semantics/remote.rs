//! Remote: any shard from any thread; what is stale is harmless.

use shardpoll::Undelivered;
use shardpoll_tests::{Event, Recorder, Setup, wait_for_reply};
use std::sync::mpsc::channel;

#[test]
fn any_thread_writes_to_any_connection() {
    let mut world = Setup::new().shards(3).echo();
    let mut peers: Vec<_> = (0..9).map(|_| world.connect_and_wait()).collect();
    let threads: Vec<_> = peers
        .iter()
        .map(|(_, id)| (world.remote(), *id))
        .map(|(remote, id)| {
            std::thread::spawn(move || {
                for n in 0..100_u32 {
                    remote.write(id, format!("{n};").into_bytes()).expect("room in the mailbox");
                }
            })
        })
        .collect();
    let want: String = (0..100).map(|n| format!("{n};")).collect();
    for (peer, _) in &mut peers {
        peer.expect(want.as_bytes());
    }
    for thread in threads {
        thread.join().expect("its own panic is reported by it");
    }
    let _trace = world.finish();
}

#[test]
fn what_one_thread_posts_to_one_shard_is_done_in_order() {
    let mut world = Setup::new().echo();
    let (mut peer, id) = world.connect_and_wait();
    let remote = world.remote();
    for n in 0..100_u8 {
        match n % 3 {
            0 => remote.write(id, vec![n]).expect("room"),
            1 => remote
                .run(0, move |local| {
                    local.conn(id).expect("open").write(&[n]);
                })
                .expect("room"),
            _ => remote
                .with::<Recorder>(id, move |_, conn| {
                    conn.write(&[n]);
                })
                .expect("room"),
        }
    }
    remote.close(id).expect("room");
    remote.write(id, b"late".to_vec()).expect("room");
    assert_eq!(peer.read_to_end(), (0..100).collect::<Vec<u8>>());
    let _trace = world.finish();
}

#[test]
fn a_close_from_another_thread_is_an_ordinary_close() {
    // S74: flushed, and told that we asked
    let mut world = Setup::new().shards(2).echo();
    let (mut peer, id) = world.connect_and_wait();
    let remote = world.remote();
    wait_for_reply(move || {
        remote.write(id, b"bye".to_vec()).expect("room");
        remote.close(id).expect("room");
        remote.close(id).expect("room");
    });
    assert_eq!(peer.read_to_end(), b"bye");
    let end = world.wait_for_end();
    assert_eq!(end.cause, "Asked");
    let _trace = world.finish();
}

#[test]
fn a_task_runs_on_the_shard_it_is_sent_to() {
    let world = Setup::new().shards(3).echo();
    let threads: Vec<_> = (0..3)
        .map(|shard| world.run_on(shard, |_| std::thread::current().name().map(str::to_owned)))
        .collect();
    let name = |n| Some(format!("shardpoll-{n}"));
    assert_eq!(threads, [name(0), name(1), name(2)]);
    let nowhere = world.remote().run(3, |_| ());
    assert!(matches!(nowhere, Err(Undelivered::Ended(_))));
    let _trace = world.finish();
}

#[test]
fn a_stale_id_is_harmless() {
    // the slot's next owner gets nothing of what was meant for the last
    let mut world = Setup::new().echo();
    let (peer, old) = world.connect_and_wait();
    drop(peer);
    world.wait_for_event(&Event::Dropped);
    while world.live() > 1 {
        world.run(|_| ());
    }
    let (mut next, new) = world.connect_and_wait();
    assert_ne!(old, new);
    let remote = world.remote();
    remote.write(old, b"for the dead".to_vec()).expect("a stale id is no error");
    remote.close(old).expect("a stale id is no error");
    remote.with::<Recorder>(old, |_, conn| conn.abort()).expect("a stale id is no error");
    world.run(move |local| {
        assert!(local.conn(old).is_none());
        assert!(local.conn(new).is_some());
    });
    next.echo(b"mine");
    let _trace = world.finish();
}

#[test]
fn an_id_of_another_engine_is_harmless() {
    // ConnId: "names one connection for as long as the process lives"
    let mut world = Setup::new().echo();
    let (mut peer, id) = world.connect_and_wait();
    let mut other = Setup::new().echo();
    let (_theirs, foreign) = other.connect_and_wait();
    assert_ne!(id, foreign);
    let remote = world.remote();
    let _either = remote.write(foreign, b"not yours".to_vec());
    let _either = remote.close(foreign);
    peer.echo(b"mine");
    world.run(move |local| assert!(local.conn(foreign).is_none()));
    let (_, _) = (world.finish(), other.finish());
}

#[test]
fn an_id_of_a_shard_that_this_engine_has_not_is_refused() {
    let world = Setup::new().echo();
    let mut wide = Setup::new().shards(2).echo();
    let foreign = loop {
        let (_peer, id) = wide.connect_and_wait();
        if id.shard() == 1 {
            break id;
        }
    };
    let written = world.remote().write(foreign, b"x".to_vec());
    assert!(matches!(written, Err(Undelivered::Ended(data)) if data == b"x"));
    let (_, _) = (world.finish(), wide.finish());
}

#[test]
fn a_full_mailbox_gives_the_letter_back_and_loses_none_that_it_took() {
    // bounded tasks; orders are never refused
    let mut world = Setup::new().echo();
    let (mut peer, id) = world.connect_and_wait();
    let release = world.hold_shard();
    let remote = world.remote();
    let mut taken = 0_usize;
    let back = loop {
        match remote.write(id, vec![b'x']) {
            Ok(()) => taken += 1,
            Err(Undelivered::Full(data)) => break data,
            Err(other) => panic!("{other}"),
        }
        assert!(taken < 1_000_000, "the mailbox has a bound");
    };
    assert_eq!(back, b"x");
    assert!(matches!(remote.run(0, |_| ()), Err(Undelivered::Full(_))));
    remote.close_all();
    drop(release);
    assert_eq!(peer.read_to_end().len(), taken, "all that came before the order is done");
    drop(peer);
    let _trace = world.finish();
}

#[test]
fn a_refused_task_can_be_posted_again() {
    let world = Setup::new().echo();
    let release = world.hold_shard();
    let remote = world.remote();
    while remote.run(0, |_| ()).is_ok() {}
    let (done, told) = channel();
    let task = move |_: &mut shardpoll::Local<'_>| done.send(7).expect("the test listens");
    let mut job = remote.run(0, task).expect_err("full").into_inner();
    // However often: a box round the box each time would be deeper than a stack.
    for _ in 0..300_000 {
        job = remote.run(0, job).expect_err("still full").into_inner();
    }
    drop(release);
    let mut job = Some(job);
    while let Some(again) = job.take() {
        job = remote.run(0, again).err().map(Undelivered::into_inner);
    }
    assert_eq!(told.recv_timeout(shardpoll_tests::PATIENCE), Ok(7));
    let _trace = world.finish();
}

#[test]
fn many_threads_lose_no_letter() {
    // the parked flag: 8 senders, pauses of every length between letters
    let world = Setup::new().shards(2).echo();
    let (done, told) = channel();
    let senders: Vec<_> = (0..8)
        .map(|sender: usize| {
            let (remote, done) = (world.remote(), done.clone());
            std::thread::spawn(move || {
                for n in 0..2_000_usize {
                    let done = done.clone();
                    let task = move |_: &mut shardpoll::Local<'_>| {
                        let _gone = done.send((sender, n));
                    };
                    let mut job = remote.run(n % 2, task).err();
                    while let Some(again) = job.take() {
                        std::thread::yield_now();
                        job = remote.run(n % 2, again.into_inner()).err();
                    }
                    if n % 97 == 0 {
                        std::thread::yield_now();
                    }
                }
            })
        })
        .collect();
    drop(done);
    let mut last = [[None; 2]; 8];
    for _ in 0..16_000 {
        let (sender, n) = told.recv_timeout(shardpoll_tests::PATIENCE).expect("a letter is lost");
        let before = last[sender][n % 2].replace(n);
        assert!(before < Some(n), "out of order");
    }
    for sender in senders {
        sender.join().expect("its own panic is reported by it");
    }
    let _trace = world.finish();
}

#[test]
fn a_letter_reaches_a_shard_that_sleeps() {
    // one by one, so that the shard has parked before each
    let world = Setup::new().config(|c| c.read_timeout = None).echo();
    for _ in 0..500 {
        world.run(|_| ());
    }
    let _trace = world.finish();
}

#[test]
fn a_listener_added_from_outside_serves_at_once() {
    let world = Setup::new().shards(2).echo();
    for _ in 0..10 {
        let addr = world.listen_too(|call| {
            if let Event::Incoming(data) = call.event {
                call.write(data);
            }
        });
        shardpoll_tests::Peer::connect(addr).echo(b"x");
    }
    let _trace = world.finish();
}

#[test]
fn listening_from_a_callback_is_refused() {
    // it would wait for itself
    let world = Setup::new().echo();
    let engine = shardpoll::Engine::builder().shards(1).start().expect("starts");
    let remote = engine.remote();
    let refused = world.run(move |_| {
        let at = shardpoll::Listen::on(([127, 0, 0, 1], 0));
        let text = engine.listen(at, |_| shardpoll::incoming(|_, _| {}));
        text.expect_err("on a shard").to_string()
    });
    assert_eq!(refused, "called from a callback, where it would wait for itself");
    remote.quit(std::time::Duration::ZERO);
    let _trace = world.finish();
}
