//! Options of sockets (S130, S156), read sizes of listeners and outgoing connections (S45, S54).

use shardpoll::{Config, Connect, Listen, SocketOption};
use shardpoll_reactor::{Linux, Place, Reactor};
use shardpoll_tests::{Call, Event, Seen, Setup, pattern, refused_addr, server_context};
use socket2::SockRef;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::net::UnixStream;
use std::time::Duration;

const MINUTE: Option<Duration> = Some(Duration::from_secs(60));

/// The options of a listener's socket, which all that it accepts inherits.
fn of_listener(
    config: impl FnOnce(&mut Config),
    at: impl FnOnce(Listen) -> Listen,
) -> (bool, bool) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let look = listener.try_clone().expect("descriptors");
    let world = Setup::new().config(config).echo();
    world.listen(at(Listen::inherited(listener)), |_| {});
    let look = SockRef::from(&look);
    let set = (look.tcp_nodelay().expect("TCP"), look.keepalive().expect("TCP"));
    let _trace = world.finish();
    set
}

#[test]
fn accepted_connections_begin_as_the_configuration_says_or_their_listener() {
    // S130
    let keep = |c: &mut Config| (c.no_delay, c.keep_alive) = (false, MINUTE);
    assert_eq!(of_listener(|_| {}, |at| at), (true, false));
    assert_eq!(of_listener(keep, |at| at), (false, true));
    assert_eq!(of_listener(|_| {}, |at| at.no_delay(false).keep_alive(MINUTE)), (false, true));
    assert_eq!(of_listener(keep, |at| at.no_delay(true).keep_alive(None)), (true, false));
}

/// The options of an outgoing connection.
fn of_outgoing(
    config: impl FnOnce(&mut Config),
    to: impl FnOnce(Connect) -> Connect,
) -> (bool, bool) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let to = to(Connect::to(listener.local_addr().expect("bound")));
    let mut limits = Config::default();
    config(&mut limits);
    let linux = Linux::new().expect("descriptors");
    let mut reactor = Reactor::new(linux, Place::FIRST, limits).expect("a good one");
    let handler = shardpoll::incoming(|_, _| {});
    let id = reactor.local(|local| local.connect(to, handler)).expect("no panic");
    let id = id.expect("not quitting");
    reactor.turn(Some(Duration::ZERO)).expect("the poller works");
    let socket = SockRef::from(reactor.socket(id).expect("begun"));
    (socket.tcp_nodelay().expect("TCP"), socket.keepalive().expect("TCP"))
}

#[test]
fn outgoing_connections_begin_as_the_configuration_says_or_their_connect() {
    // S130
    let keep = |c: &mut Config| (c.no_delay, c.keep_alive) = (false, MINUTE);
    assert_eq!(of_outgoing(|_| {}, |to| to), (true, false));
    assert_eq!(of_outgoing(keep, |to| to), (false, true));
    assert_eq!(of_outgoing(|_| {}, |to| to.no_delay(false).keep_alive(MINUTE)), (false, true));
    assert_eq!(of_outgoing(keep, |to| to.no_delay(true).keep_alive(None)), (true, false));
}

#[test]
fn an_option_that_is_refused_is_counted_and_the_connection_goes_on() {
    // S156
    let mut world = Setup::new().echo();
    let (mut peer, id) = world.connect_and_wait();
    world.conn(id, |conn| {
        conn.no_delay(false);
        conn.keep_alive(MINUTE);
        conn.keep_alive(None);
    });
    peer.echo(b"taken");
    let refused =
        |world: &shardpoll_tests::World| world.run(|local| local.counters().refused_options);
    assert_eq!(refused(&world), 0);
    world.conn(id, |conn| {
        conn.keep_alive(Some(Duration::ZERO));
        conn.set_option(SocketOption::KeepAlive(Some(Duration::MAX)));
    });
    world.some_turns();
    assert_eq!(refused(&world), 2);
    peer.echo(b"goes on");
    let _trace = world.finish();
}

#[test]
fn a_connection_that_is_to_reset_does_so_when_it_is_cut() {
    for reset in [true, false] {
        let mut world = Setup::new().echo();
        let (mut peer, id) = world.connect_and_wait();
        peer.echo(b"it stands");
        world.conn(id, move |conn| conn.set_option(SocketOption::ResetOnClose(reset)));
        world.conn(id, |conn| conn.cut());
        let (_nothing, orderly) = peer.read_all();
        assert_eq!(orderly, !reset);
        let _trace = world.finish();
    }
}

#[test]
fn a_unix_socket_is_told_nothing_by_default_and_refuses_what_is_tcps() {
    // S130, S156
    let config = |c: &mut Config| (c.no_delay, c.keep_alive) = (true, MINUTE);
    let world = Setup::new().config(config).echo();
    let (ours, _theirs) = UnixStream::pair().expect("a pair");
    let id = world.dial(Connect::adopted(ours), |_| {});
    let path = shardpoll_tests::SocketPath::new();
    world.add_listener(Listen::unix(&path).no_delay(true).fast_open(4), |_| {});
    let to = Connect::unix(&path).expect("a short path").no_delay(true).fast_open(true);
    world.dial(to, |_| {});
    world.some_turns();
    let refused = world.run(|local| local.counters().refused_options);
    assert_eq!(refused, 0);
    world.conn(id, |conn| conn.no_delay(true));
    world.some_turns();
    assert_eq!(world.run(|local| local.counters().refused_options), 1);
    let _trace = world.finish();
}

#[test]
fn an_absurd_default_is_refused_by_name_and_an_absurd_listener_too() {
    let mut config = Config::default();
    config.keep_alive = Some(Duration::from_secs(40_000));
    let error = shardpoll::Engine::builder().config(config).start().expect_err("absurd");
    assert!(error.to_string().starts_with("keep_alive is 40000s"), "{error}");
    let world = Setup::new().echo();
    let at = Listen::on((Ipv4Addr::LOCALHOST, 0)).keep_alive(Some(Duration::from_secs(40_000)));
    let error = world.engine().listen(at, |_| shardpoll::incoming(|_, _| {})).expect_err("absurd");
    assert!(error.to_string().contains("TCP_KEEPIDLE 40000"), "{error}");
    let _trace = world.finish();
}

#[test]
fn a_client_that_says_nothing_is_not_reported_by_a_listener_that_defers() {
    // S130
    let at = Listen::on((Ipv4Addr::LOCALHOST, 0)).defer_accept(Duration::from_secs(30));
    let mut world = Setup::new().listen(at).echo();
    let mut peer = world.connect();
    peer.expect_silence(Duration::from_millis(50));
    assert_eq!(world.live(), 1, "the listener");
    peer.echo(b"now");
    let seen = world.wait_for_event(&Event::Connect);
    assert_eq!(world.finish().of(seen.conn.expect("a callback"))[0], Event::Connect);
}

/// Connects with what is written at once, and hears it come back, once and in order.
fn fast_echo(listen: Listen, to: impl Fn(SocketAddr) -> Connect) {
    let mut world = Setup::new().listen(listen.fast_open(16)).echo();
    let early = pattern(5000);
    // The second one may know the server's cookie.
    for _ in 0..3 {
        let (to, log, sent) = (to(world.addr()).fast_open(true), world.log(), early.clone());
        let id = world.run(move |local| {
            let handler = shardpoll_tests::Recorder::new(log, |_: &mut Call<'_, '_>| {});
            let id = local.connect(to, handler).expect("not quitting");
            local.conn(id).expect("just begun").write(&sent);
            id
        });
        let mut got = Vec::new();
        while got.len() < early.len() {
            let fits = |event: &Event| matches!(event, Event::Incoming(_));
            let seen = world.wait_for(|seen| seen.conn == Some(id) && fits(&seen.event));
            if let Event::Incoming(data) = seen.event {
                got.extend(data);
            }
        }
        assert!(got == early, "other bytes than were sent");
    }
    let _trace = world.finish();
}

#[test]
fn bytes_that_may_go_with_the_first_packet_arrive_once_and_in_order() {
    // S130, RFC 7413
    fast_echo(Listen::on((Ipv4Addr::LOCALHOST, 0)), Connect::to);
    let name = || "localhost".try_into().expect("a name");
    let tls = Listen::on((Ipv4Addr::LOCALHOST, 0)).tls(server_context());
    fast_echo(tls, |addr| Connect::to(addr).tls(shardpoll_tests::client_context(), name()));
}

#[test]
fn a_fast_open_that_is_refused_is_told_like_any_other() {
    // S134
    let (_socket, addr) = refused_addr();
    let mut world = Setup::new().echo();
    for _ in 0..2 {
        let id = world.dial(Connect::to(addr).fast_open(true), |_| {});
        let end = world.wait_for(|seen| seen.conn == Some(id) && seen.event.is_end());
        assert_eq!(end.event, Event::ended("connection refused"));
    }
    let _trace = world.finish();
}

/// How much one callback was given.
fn len(seen: &Seen) -> usize {
    if let Event::Incoming(data) = &seen.event { data.len() } else { 0 }
}

#[test]
fn a_read_size_of_a_listener_or_a_connect_is_that_of_its_connections() {
    // S45, S54; what is absurd is taken as the nearer end
    let at = Listen::on((Ipv4Addr::LOCALHOST, 0)).read_size(7);
    let mut world = Setup::new().listen(at).echo();
    let to = Connect::to(world.addr()).read_size(0);
    let out = world.dial(to, |call| {
        if *call.event == Event::Connect {
            call.write(b"twenty bytes, and one");
        }
    });
    let (mut sent, mut back) = (Vec::new(), Vec::new());
    while back.iter().sum::<usize>() < 21 {
        let seen = world.wait_for(|seen| len(seen) > 0);
        let chunks = if seen.conn == Some(out) { &mut back } else { &mut sent };
        chunks.push(len(&seen));
    }
    assert_eq!((sent, back), (vec![7; 3], vec![1; 21]));
    let _trace = world.finish();
}
