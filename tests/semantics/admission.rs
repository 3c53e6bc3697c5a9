//! Limits of connections in all, of a listener and of a peer: one too many is turned away when it
//! is accepted, before anybody hears of it.

use shardpoll::{CloseReason, Conn, Connect, Handler, incoming};
use shardpoll_tests::{Event, PATIENCE, Peer, Setup, Trace, Version, World, both_worlds};
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

both_worlds! {
    one_too_many_in_all_is_closed_at_once_and_nobody_hears_of_it,
    a_connection_that_has_ended_makes_room,
    a_listener_has_a_limit_of_its_own,
    a_peer_may_have_so_many_and_others_are_not_disturbed,
    a_listener_limits_the_connections_of_a_peer_too,
    connections_that_we_open_are_not_counted,
    those_who_wait_when_the_limit_is_reached_are_turned_away,
    a_handshake_counts_as_a_connection,
}

/// How often each limit has turned somebody away: in all, of a listener, from a peer.
fn refused(world: &World) -> [u64; 3] {
    world.run(|local| {
        let counters = local.counters();
        [counters.refused_in_all, counters.refused_of_listener, counters.refused_from_peer]
    })
}

/// So many who are served.
fn served(world: &mut World, count: usize) -> Vec<Peer> {
    let mut served: Vec<_> = (0..count).map(|_| world.connect_and_wait().0).collect();
    served.iter_mut().for_each(|peer| peer.echo(b"served"));
    served
}

fn connections(trace: &Trace) -> usize {
    trace.seen.iter().filter(|seen| seen.event == Event::Connect).count()
}

fn ip(last: u8) -> IpAddr {
    IpAddr::from([127, 0, 0, last])
}

fn one_too_many_in_all_is_closed_at_once_and_nobody_hears_of_it() {
    let mut world = Setup::new().config(|c| c.max_connections = Some(2)).echo();
    let mut served = served(&mut world, 2);
    // Whichever listener it comes to.
    let second = world.listen_too(|_| {});
    Peer::connect(world.addr()).expect_end();
    Peer::connect(second).expect_end();
    served.iter_mut().for_each(|peer| peer.echo(b"still served"));
    assert_eq!(refused(&world), [2, 0, 0]);
    assert_eq!(world.run(|local| local.counters().accepted), 2);
    drop(served);
    world.wait_for_each(2, |seen| seen.event == Event::ended("closed"));
    assert_eq!(connections(&world.finish()), 2);
}

fn a_connection_that_has_ended_makes_room() {
    let mut world = Setup::new().config(|c| c.max_connections = Some(1)).echo();
    for _ in 0..3 {
        let mut one = served(&mut world, 1);
        Peer::connect(world.addr()).expect_end();
        one.iter_mut().for_each(|peer| peer.echo(b"still served"));
        drop(one);
        world.wait_for_end();
    }
    assert_eq!(refused(&world), [3, 0, 0]);
    drop(world.finish());
}

fn a_listener_has_a_limit_of_its_own() {
    let mut world = Setup::new().limits(|l| l.max_connections = Some(1)).echo();
    let second = world.listen_too(|_| {});
    let _served = served(&mut world, 1);
    Peer::connect(world.addr()).expect_end();
    // The other has none.
    let _others: Vec<_> = (0..3).map(|_| Peer::connect(second)).collect();
    world.wait_for_each(3, |seen| seen.event == Event::Connect);
    assert_eq!(refused(&world), [0, 1, 0]);
    drop(world.finish());
}

fn a_peer_may_have_so_many_and_others_are_not_disturbed() {
    let mut world = Setup::new().config(|c| c.max_connections_per_peer = Some(2)).echo();
    let mut served = Vec::new();
    for last in [2, 3] {
        for _ in 0..2 {
            let mut peer = Peer::connect_from(world.addr(), ip(last));
            peer.echo(b"served");
            served.push(peer);
        }
        Peer::connect_from(world.addr(), ip(last)).expect_end();
    }
    assert_eq!(refused(&world), [0, 0, 2]);
    // One that was turned away for its peer's sake has left what it had entered.
    drop(served.remove(0));
    world.wait_for_end();
    Peer::connect_from(world.addr(), ip(3)).expect_end();
    Peer::connect_from(world.addr(), ip(2)).echo(b"served");
    drop(world.finish());
}

fn a_listener_limits_the_connections_of_a_peer_too() {
    let setup = Setup::new().limits(|l| l.max_connections_per_peer = Some(1));
    let mut world = setup.config(|c| c.max_connections_per_peer = Some(2)).echo();
    let second = world.listen_too(|_| {});
    let _served = served(&mut world, 1);
    Peer::connect(world.addr()).expect_end();
    // That of all holds as well.
    let _other = Peer::connect(second);
    world.wait_for_event(&Event::Connect);
    Peer::connect(second).expect_end();
    assert_eq!(refused(&world), [0, 0, 2]);
    drop(world.finish());
}

fn connections_that_we_open_are_not_counted() {
    let limit = |c: &mut shardpoll::Config| c.max_connections = Some(1);
    let mut world = Setup::new().config(limit).echo();
    let far = Setup::new().echo();
    for _ in 0..2 {
        world.dial(Connect::to(far.addr()), |_| {});
        world.wait_for_event(&Event::Connect);
    }
    served(&mut world, 1);
    assert_eq!(refused(&world), [0, 0, 0]);
    drop(world.finish());
    drop(far.finish());
}

fn those_who_wait_when_the_limit_is_reached_are_turned_away() {
    // Left in the kernel's queue, an attacker's would stand before everybody else's
    let mut world = Setup::new().config(|c| c.max_connections = Some(1)).echo();
    let held = world.hold_shard();
    let mut waiting: Vec<_> = (0..5).map(|_| Peer::connect(world.addr())).collect();
    drop(held);
    waiting[0].echo(b"served");
    waiting[1..].iter_mut().for_each(Peer::expect_end);
    assert_eq!(refused(&world), [4, 0, 0]);
    drop(waiting);
    world.wait_for_end();
    drop(world.finish());
}

fn a_handshake_counts_as_a_connection() {
    let mut world = Setup::new().tls().limits(|l| l.max_connections = Some(1)).echo();
    let slow = world.connect();
    world.wait_for_event(&Event::Starttls);
    Peer::connect(world.addr()).expect_end();
    drop(slow);
    world.wait_for_end();
    let mut next = world.connect_tls(Version::Tls13);
    next.echo(b"hello");
    next.finish();
    world.wait_for_end();
    assert_eq!(refused(&world), [0, 1, 0]);
    drop(world.finish());
}

/// Counts the connections that are open, on whatever shard.
#[derive(Clone, Default)]
struct Open(Arc<[AtomicUsize; 2]>);

impl Handler for Open {
    fn on_connect(&mut self, _: &mut Conn<'_>) {
        let [now, most] = &*self.0;
        most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
    }

    fn on_incoming(&mut self, conn: &mut Conn<'_>, data: &[u8]) {
        conn.write(data);
    }

    fn on_disconnect(&mut self, _: &mut Conn<'_>, _: &CloseReason) {
        self.0[0].fetch_sub(1, Ordering::SeqCst);
    }
}

#[test]
fn shards_that_are_stormed_have_one_limit_and_forget_nobody() {
    const MAX: usize = 8;
    let setup = Setup::new().shards(2).config(|c| c.max_connections = Some(MAX));
    let world = setup.config(|c| c.max_connections_per_peer = Some(MAX)).start(|_| {});
    let open = Open::default();
    let counted = open.clone();
    let addr = world.listen_as(move |_| counted.clone());
    let visit = || {
        for _ in 0..200 {
            if let Ok(mut peer) = Peer::try_connect(addr) {
                let _served = peer.try_echo(b"?");
            }
        }
    };
    std::thread::scope(|scope| (0..12).for_each(|_| drop(scope.spawn(visit))));
    let most = open.0[1].load(Ordering::SeqCst);
    assert!(most <= MAX, "{most}");
    // All have gone, so there is room for as many as ever, and for no more.
    let mut served = Vec::new();
    let since = Instant::now();
    while served.len() < MAX {
        assert!(since.elapsed() < PATIENCE, "{} of {MAX} are served", served.len());
        let mut peer = Peer::connect(addr);
        if peer.try_echo(b"!") {
            served.push(peer);
        }
    }
    Peer::connect(addr).expect_end();
    drop(served);
    drop(world.finish());
}

#[test]
fn a_limit_of_a_listener_that_lets_nobody_in_is_refused_by_name() {
    let world = Setup::new().echo();
    let nobody = shardpoll::Listen::on(([127, 0, 0, 1], 0)).max_connections_per_peer(0);
    let error = world.engine().listen(nobody, |_| incoming(|_, _| {})).expect_err("no sense");
    assert_eq!(error.to_string(), "max_connections_per_peer is 0: it must be at least 1");
    drop(world.finish());
}
