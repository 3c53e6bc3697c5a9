//! One SO_REUSEPORT socket per shard and address (S123, S124).

use shardpoll::{Listen, StartError};
use shardpoll_tests::{Event, Peer, Setup};
use std::collections::HashSet;
use std::io;

#[test]
fn connections_to_one_address_reach_every_shard() {
    // the kernel spreads; that one of four gets none of 200 is a chance of 10^-24
    let mut world = Setup::new().shards(4).echo();
    let mut peers: Vec<_> = (0..200).map(|_| world.connect()).collect();
    let seen = world.wait_for_each(200, |seen| seen.event == Event::Connect);
    let shards: HashSet<_> = seen.iter().filter_map(|s| s.conn).map(|id| id.shard()).collect();
    assert_eq!(shards, HashSet::from([0, 1, 2, 3]));
    for peer in &mut peers {
        peer.echo(b"each is served");
    }
    let _trace = world.finish();
}

#[test]
fn port_zero_is_resolved_once_for_all_shards() {
    // and anew for each listener
    let world = Setup::new().shards(4).echo();
    let other = world.listen(Listen::on(([127, 0, 0, 1], 0)), |_| {});
    assert_ne!(world.addr().port(), 0);
    assert_ne!(world.addr(), other);
    assert!(world.engine().addr(shardpoll::ListenerId::new(7)).is_none());
    let _trace = world.finish();
}

#[test]
fn a_second_engine_on_the_same_address_is_told_that_it_is_in_use() {
    // S124: never silently shared, whoever has it
    let world = Setup::new().shards(2).echo();
    let second = Setup::new().shards(2).echo();
    let again =
        second.engine().listen(Listen::on(world.addr()), |_| shardpoll::incoming(|_, _| {}));
    let error = again.expect_err("taken");
    assert!(error.to_string().contains(&world.addr().to_string()), "{error}");
    match error {
        StartError::Listen { addr, source } => {
            assert_eq!(addr.ip(), Some(world.addr()));
            assert_eq!(source.kind(), io::ErrorKind::AddrInUse);
        }
        other => panic!("{other}"),
    }
    // Neither is hurt.
    world.connect().echo(b"first");
    second.connect().echo(b"second");
    let (_, _) = (world.finish(), second.finish());
}

#[test]
fn an_address_can_be_had_again_once_its_engine_has_ended() {
    // S123: address reuse is on, connections in TIME_WAIT do not hold it
    let world = Setup::new().shards(2).start(|call| {
        if matches!(call.event, Event::Incoming(_)) {
            call.close();
        }
    });
    let addr = world.addr();
    let mut peer = world.connect();
    peer.send(b"x");
    peer.expect_end();
    drop(peer);
    let _trace = world.finish();
    let again = Setup::new().shards(2).listen(Listen::on(addr)).echo();
    Peer::connect(addr).echo(b"again");
    let _trace = again.finish();
}
