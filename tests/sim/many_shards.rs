//! Worlds of many seeds around many shards; each is judged after every turn.

use shardpoll::sim::SimEngine;
use shardpoll::{Config, Conn, EngineState, Handler, Undelivered, incoming};
use shardpoll_tests::shards::play;
use shardpoll_tests::simulation::{Enough, Search, all_cores, fresh_seed, search};
use std::net::SocketAddr;
use std::time::Duration;

/// How many fresh seeds a run tries, if `SIM_SEEDS` does not say how many.
const SEEDS: u64 = 200;

/// From so many seeds on, what is usual must have been seen.
const MANY: u64 = 100;

/// The most shards of a world.
const SHARDS: usize = 5;

const AT: ([u8; 4], u16) = ([10, 0, 0, 1], 7000);

fn from_env(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is {text}: it must be a number")))
}

/// Fresh seeds each time; `SIM_SEED` tries just one, `SIM_SEEDS` so many.
#[test]
fn worlds_of_many_shards_keep_every_promise() {
    // S146 to S151: one end each, nobody cut early or forgotten, no letter lost, the report is true
    let one = from_env("SIM_SEED");
    let first = one.unwrap_or_else(fresh_seed);
    let seeds = one.map_or_else(|| from_env("SIM_SEEDS").unwrap_or(SEEDS), |_| 1);
    let enough = Enough::Seeds(seeds);
    let search_for = Search { first, enough, threads: all_cores() };
    let outcome = search(&search_for, |seed| play(seed, SHARDS));
    if let Some(failure) = outcome.failure {
        let (seed, violation) = (failure.seed, failure.violation);
        panic!(
            "seed {seed}: {violation}\n\
             replay: SIM_SEED={seed} cargo test -p shardpoll-tests --test behaviour many_shards"
        );
    }
    let sum = outcome.sum;
    println!("{seeds} seeds from {first}\n{sum:?}");
    if seeds >= MANY {
        // A world in which nothing happens would prove nothing.
        assert!(sum.letters > 10 * seeds && sum.cut > seeds / 10, "{sum:?}");
        assert!(sum.complete > seeds && sum.connections > 10 * seeds, "{sum:?}");
    }
}

#[test]
fn the_same_seed_is_the_same_history_of_many_shards() {
    let digest = |seed| play(seed, SHARDS).expect("no violation").digest;
    for seed in 0..20 {
        assert_eq!(digest(seed), digest(seed), "seed {seed}");
    }
    assert_ne!(digest(1), digest(2));
}

fn echo() -> impl Handler + use<> {
    incoming(|conn: &mut Conn<'_>, data| {
        conn.write(data);
    })
}

#[test]
fn the_seed_spreads_connections_over_the_shards() {
    let at = SocketAddr::from(AT);
    let mut world = SimEngine::new(4, 1, Config::default()).expect("good settings");
    world.listen(at, |_| echo()).expect("nobody is there");
    let peers: Vec<_> = (0..80).map(|_| world.sim().peer(at)).collect();
    world.settle();
    let each: Vec<_> = (0..4).map(|shard| world.local(shard, |local| local.live() - 1)).collect();
    assert_eq!(each.iter().sum::<usize>(), 80);
    assert!(each.iter().all(|count| *count > 5), "{each:?}");
    peers.iter().for_each(|peer| assert_eq!(peer.send(b"x"), 1));
    world.settle();
    assert!(peers.iter().all(|peer| peer.recv_all() == b"x"));
}

#[test]
fn time_goes_no_further_than_to_what_some_shard_has_to_do() {
    // a timer of one shard is not late because another waits for longer
    let mut world = SimEngine::new(3, 1, Config::default()).expect("good settings");
    let (reply, rung) = std::sync::mpsc::channel();
    for (shard, after) in [(0, 70), (1, 7), (2, 700)] {
        let reply = reply.clone();
        world.local(shard, |local| {
            let due = local.now().saturating_add(Duration::from_millis(after));
            local.add_timer(Duration::from_millis(after), move |local, _| {
                reply.send((shard, local.now() == due)).expect("the test listens");
                None
            });
        });
    }
    world.run_for(Duration::from_secs(1));
    assert_eq!(rung.try_iter().collect::<Vec<_>>(), [(1, true), (0, true), (2, true)]);
    assert!(!world.is_over());
}

#[test]
fn a_letter_takes_no_time_and_none_is_read_after_the_end() {
    let mut world = SimEngine::new(2, 1, Config::default()).expect("good settings");
    let remote = world.remote();
    let began = world.now();
    let (reply, read) = std::sync::mpsc::channel();
    let job = move |_: &mut shardpoll::Local<'_>| reply.send(()).expect("the test listens");
    remote.run(1, job.clone()).expect("it is there");
    world.settle();
    assert_eq!((read.try_iter().count(), world.now()), (1, began));
    remote.quit(Duration::ZERO);
    // Posted before the shard has ended, and behind the order: read all the same.
    remote.run(1, job.clone()).expect("it is there");
    world.settle();
    assert_eq!(read.try_iter().count(), 1);
    assert_eq!((world.is_over(), remote.state()), (true, EngineState::Closed));
    assert!(matches!(remote.run(1, job), Err(Undelivered::Ended(_))));
    assert_eq!(
        world.report().expect("it is over").to_string(),
        "0 finished, 0 cut; by shard: 0 + 0, 0 + 0"
    );
}
