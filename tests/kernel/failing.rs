//! A shard whose loop fails follows its policy, within a moment; one that is stuck can end the
//! process.

use shardpoll_tests::{Alone, PATIENCE, Peer};
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// An echo server of two shards whose logger panics when it is told of a panic, and so takes the
/// loop along.
fn failing(policy: &str) -> (Alone, SocketAddr) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_alone"));
    command.args(["failing", policy]).stderr(Stdio::null());
    let alone = Alone::start(&mut command);
    let addr = alone.line().parse().expect("its first line is its address");
    (alone, addr)
}

/// A client for each shard.
fn one_each(addr: SocketAddr) -> [Peer; 2] {
    let mut shards = [None, None];
    while shards.iter().any(Option::is_none) {
        let mut peer = Peer::connect(addr);
        peer.send(b"?");
        let shard = usize::from(peer.receive(1)[0] - b'0');
        shards[shard] = Some(peer);
    }
    shards.map(|peer| peer.expect("just found"))
}

#[test]
fn a_shard_that_begins_anew_loses_its_connections_and_no_other() {
    let (mut alone, addr) = failing("restart");
    for round in 1..=3 {
        let [mut first, mut second] = one_each(addr);
        let since = Instant::now();
        first.send(b"fail");
        assert_eq!(first.read_to_end(), b"");
        assert!(since.elapsed() < Duration::from_secs(1), "{:?}", since.elapsed());
        second.echo(b"undisturbed");
        assert_eq!(alone.ask("restarts"), format!("{round} 0"));
        // Nobody finds a closed door, on whatever shard.
        let mut peers: Vec<_> = (0..20).map(|_| Peer::connect(addr)).collect();
        peers.iter_mut().for_each(|peer| peer.echo(b"welcome"));
        // Its mailbox is the same.
        assert_eq!(alone.ask("letter"), "read");
    }
    assert_eq!(alone.end(), Some(0));
}

#[test]
fn a_shard_that_fails_ends_the_engine_unless_told_otherwise() {
    let (mut alone, addr) = failing("end");
    let [mut first, _second] = one_each(addr);
    first.send(b"fail");
    first.read_all();
    assert_eq!(alone.ask("join"), "shard 0 panicked");
    assert_eq!(alone.end(), Some(0));
}

#[test]
fn a_shard_that_fails_can_end_the_process() {
    let (alone, addr) = failing("abort");
    let [mut first, _second] = one_each(addr);
    first.send(b"fail");
    first.read_all();
    assert_eq!(alone.end(), None, "a signal has ended it");
}

#[test]
fn a_shard_that_is_stuck_for_too_long_can_end_the_process() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_alone"));
    let mut alone = Alone::start(command.args(["stuck", "200"]).stderr(Stdio::null()));
    assert_eq!(alone.ask("stick"), "stuck");
    let since = Instant::now();
    assert_eq!(alone.end(), None, "a signal has ended it");
    assert!(since.elapsed() < PATIENCE);
}

#[test]
fn a_process_that_was_stopped_raises_no_alarm() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_alone"));
    let mut alone = Alone::start(command.args(["stuck", "60000"]).stderr(Stdio::null()));
    assert_eq!(alone.ask("busy"), "busy");
    for _ in 0..3 {
        alone.signal("STOP");
        // Longer than any threshold.
        assert_eq!(alone.line_within(Duration::from_millis(200)), None);
        alone.signal("CONT");
        assert_eq!(alone.ask("stalls"), "0");
    }
    assert_eq!(alone.end(), Some(0));
}
