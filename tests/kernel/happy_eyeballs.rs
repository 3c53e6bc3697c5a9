//! Connecting to any of several addresses, on a real network; its timing is tested on the simulated
//! one (RFC 8305).

use super::addresses::has_ipv6;
use shardpoll::{Config, Connect};
use shardpoll_tests::{Call, Event, Setup, World, blackhole, client_context, refused_addr};
use std::net::{Ipv6Addr, SocketAddr};
use std::time::{Duration, Instant};

const DELAY: Duration = Duration::from_millis(250);

fn any(addrs: &[SocketAddr]) -> Connect {
    Connect::to_any(addrs.iter().copied()).expect("not empty")
}

fn tell(call: &mut Call<'_, '_>) {
    if *call.event == Event::Connect {
        let names = (call.peer().to_string(), call.server_port(), call.client_port().is_some());
        call.note(format!("{names:?}"));
        call.write(b"hello");
    }
}

/// Awaits an echo from this server, and that nothing is left of the other attempts.
fn expect_winner(world: &mut World, to: Connect, winner: SocketAddr) {
    let id = world.dial(to, tell);
    let names = (winner.to_string(), Some(winner.port()), true);
    let note = Event::note(&format!("{names:?}"));
    world.wait_for(|seen| seen.conn == Some(id) && seen.event == note);
    world.wait_for(|seen| seen.conn == Some(id) && seen.event == Event::incoming(b"hello"));
    assert_eq!(world.live(), 2, "the listener and the one that won");
    world.conn(id, |conn| conn.abort());
}

#[test]
fn an_attempt_that_is_refused_is_followed_at_once() {
    // RFC 8305 section 5
    let server = Setup::new().echo();
    let ((_one, first), (_other, second)) = (refused_addr(), refused_addr());
    let mut world = Setup::new().echo();
    expect_winner(&mut world, any(&[first, second, server.addr()]), server.addr());
    let (_, _) = (world.finish(), server.finish());
}

#[test]
fn one_that_does_not_answer_is_joined_by_the_next_after_the_delay() {
    // RFC 8305 section 5
    let server = Setup::new().echo();
    let (_hole, hole) = blackhole();
    let mut world = Setup::new().echo();
    let began = Instant::now();
    expect_winner(&mut world, any(&[hole, server.addr()]), server.addr());
    assert!(began.elapsed() >= DELAY);
    let (_, _) = (world.finish(), server.finish());
}

#[test]
fn both_families_are_tried() {
    // RFC 8305 section 4
    if !has_ipv6() {
        return;
    }
    let server = Setup::new().echo();
    let nobody = SocketAddr::from((Ipv6Addr::LOCALHOST, server.addr().port()));
    let six = Setup::new().listen(shardpoll::Listen::on((Ipv6Addr::LOCALHOST, 0))).echo();
    let mut world = Setup::new().echo();
    expect_winner(&mut world, any(&[nobody, server.addr()]), server.addr());
    expect_winner(&mut world, any(&[six.addr(), server.addr()]), six.addr());
    let (_, _, _) = (world.finish(), server.finish(), six.finish());
}

#[test]
fn tls_begins_with_whoever_wins() {
    let server = Setup::new().tls().echo();
    let ((_refused, refused), (_hole, hole)) = (refused_addr(), blackhole());
    let mut world = Setup::new().echo();
    let name = "localhost".try_into().expect("a name");
    let to = any(&[refused, hole, server.addr()]).tls(client_context(), name);
    expect_winner(&mut world, to, server.addr());
    let (_, _) = (world.finish(), server.finish());
}

#[test]
fn when_all_are_refused_the_connection_is() {
    // S134
    let sockets: Vec<_> = (0..4).map(|_| refused_addr()).collect();
    let addrs: Vec<_> = sockets.iter().map(|(_, addr)| *addr).collect();
    let mut world = Setup::new().echo();
    let id = world.dial(any(&addrs), |_| {});
    let end = world.wait_for(|seen| seen.conn == Some(id) && seen.event.is_end());
    assert_eq!(end.event, Event::ended("connection refused"));
    assert_eq!(world.live(), 1);
    let _trace = world.finish();
}

#[test]
fn the_connect_timeout_is_that_of_all_attempts() {
    // S135
    let holes: Vec<_> = (0..3).map(|_| blackhole()).collect();
    let addrs: Vec<_> = holes.iter().map(|(_, addr)| *addr).collect();
    let config = |c: &mut Config| c.connect_timeout = Duration::from_millis(400);
    let mut world = Setup::new().config(config).echo();
    let id = world.dial(any(&addrs), |_| {});
    let end = world.wait_for(|seen| seen.conn == Some(id) && seen.event.is_end());
    assert_eq!(end.event, Event::ended("connection timeout"));
    assert_eq!(world.live(), 1);
    let _trace = world.finish();
}

#[test]
fn an_option_that_is_set_before_anybody_has_won_is_the_winners() {
    // S156
    let server = Setup::new().echo();
    let (_hole, hole) = blackhole();
    let mut world = Setup::new().echo();
    let id = world.dial(any(&[hole, server.addr()]), tell);
    // Absurd, so that each socket that is told of it counts.
    world.conn(id, |conn| conn.keep_alive(Some(Duration::ZERO)));
    world.wait_for(|seen| seen.conn == Some(id) && seen.event == Event::Connect);
    let refused = world.run(|local| local.counters().refused_options);
    assert_eq!(refused, 2, "the attempt that ran, and the one that was yet to begin");
    let (_, _) = (world.finish(), server.finish());
}
