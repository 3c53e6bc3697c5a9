//! What an engine counts is what has happened, shard by shard and listener by listener; and it is
//! shown in a format that others read.

use shardpoll::{CloseKind, Counters, Listen, prometheus};
use shardpoll_tests::{Call, Event, Setup, TlsPeer, Version, World, both_worlds, client_context};
use std::collections::{BTreeMap, BTreeSet};

both_worlds! {
    each_end_is_counted_once_by_its_reason,
    bytes_are_counted_both_ways,
    connections_that_come_and_go_leave_the_timer_heap_alone,
    a_handshake_is_counted_by_what_came_of_it,
}

fn counters(world: &World) -> Counters {
    world.run(|local| local.counters())
}

/// Panics when told to.
fn fragile_echo(call: &mut Call<'_, '_>) {
    if let Event::Incoming(data) = call.event {
        assert_ne!(data, b"panic", "wanted by this test");
        call.write(data);
    }
}

fn each_end_is_counted_once_by_its_reason() {
    let mut world = Setup::new().start(fragile_echo);
    let ends = [
        CloseKind::PeerClosed,
        CloseKind::Reset,
        CloseKind::Asked,
        CloseKind::HandlerPanic,
        CloseKind::Asked,
        CloseKind::PeerClosed,
    ];
    let peers: Vec<_> = ends.map(|_| world.connect_and_wait()).into();
    assert_eq!((counters(&world).accepted, counters(&world).open), (6, 6));
    for (number, ((mut peer, id), end)) in peers.into_iter().zip(ends).enumerate() {
        match end {
            CloseKind::PeerClosed => drop(peer),
            CloseKind::Reset => peer.reset(),
            CloseKind::HandlerPanic => {
                peer.send(b"panic");
                peer.read_to_end();
            }
            // Once in order, and once in silence (S79).
            _ if number == 2 => {
                world.close(id);
                peer.read_to_end();
            }
            _ => world.conn(id, |conn| conn.abort()),
        }
        world.wait_for_event(&Event::Dropped);
    }
    while counters(&world).open > 0 {}
    let closed = counters(&world).closed_by;
    assert_eq!((closed.total(), counters(&world).closed), (6, 6));
    for kind in CloseKind::ALL {
        let want = ends.iter().filter(|end| *end == kind).count() as u64;
        assert_eq!(closed[*kind], want, "{kind:?}");
    }
    world.expect_panics(1);
    let _trace = world.finish();
}

fn bytes_are_counted_both_ways() {
    let mut world = Setup::new().start(|call| {
        if let Event::Incoming(_) = call.event {
            call.write_vec(vec![7; 300_000]);
        }
    });
    let (mut peer, _) = world.connect_and_wait();
    let before = counters(&world);
    assert_eq!((before.bytes_in, before.bytes_out, before.timers), (0, 0, 1));
    peer.send(b"hello");
    peer.drain(300_000);
    let after = counters(&world);
    assert_eq!((after.bytes_in, after.bytes_out), (5, 300_000));
    assert!(after.turns > before.turns && after.events > before.events);
    let _trace = world.finish();
}

fn connections_that_come_and_go_leave_the_timer_heap_alone() {
    let mut world = Setup::new().echo();
    let visit = |world: &mut World| {
        let (mut peer, _) = world.connect_and_wait();
        peer.echo(b"hello");
        assert_eq!(counters(world).timers, 1);
        peer.finish();
        world.wait_for_end();
        while counters(world).open > 0 {}
        assert_eq!(counters(world).timers, 0, "nobody is left who has one");
        counters(world).timer_operations
    };
    let first = visit(&mut world);
    for _ in 0..10 {
        assert_eq!(visit(&mut world), first);
    }
    let _trace = world.finish();
}

fn a_handshake_is_counted_by_what_came_of_it() {
    let mut world = Setup::new().tls().echo();
    let client = client_context();
    let count = |world: &World| {
        let counters = counters(world);
        let Counters { handshakes, resumed_handshakes, failed_handshakes, .. } = counters;
        (handshakes, resumed_handshakes, failed_handshakes)
    };
    for visit in 0..2 {
        let mut peer = TlsPeer::asking(world.addr(), &client, "localhost");
        peer.handshake().expect("a handshake in time");
        peer.echo(b"hello");
        assert_eq!(peer.is_resumed(), visit > 0);
        peer.finish();
        world.wait_for_end();
    }
    assert_eq!(count(&world), (2, 1, 0));
    // One that says something else, one that leaves in the middle, and one that is still at it.
    let mut other = world.connect();
    other.send(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
    world.wait_for_end();
    assert_eq!(count(&world), (2, 1, 1));
    drop(TlsPeer::begin(world.addr(), Version::Tls13));
    world.wait_for_end();
    let _slow = TlsPeer::begin(world.addr(), Version::Tls12);
    world.wait_for_event(&Event::Starttls);
    assert_eq!(count(&world), (2, 1, 2));
    let _trace = world.finish();
}

#[test]
fn a_snapshot_knows_each_listener_on_each_shard() {
    let mut world = Setup::new().shards(2).echo();
    let tls = world.add_listener(Listen::on(([127, 0, 0, 1], 0)).tls(server()), |_: &mut _| {});
    let tls_addr = world.engine().addr(tls).expect("it listens");
    let mut peers: Vec<_> = (0..20).map(|_| world.connect()).collect();
    world.wait_for_each(20, |seen| seen.event == Event::Connect);
    for peer in &mut peers {
        peer.echo(b"hello");
    }
    peers.truncate(13);
    world.wait_for_each(7, |seen| seen.event.is_end());
    drop(TlsPeer::connect(tls_addr, Version::Tls13));
    world.wait_for_end();
    let snapshot = world.engine().metrics();
    let total = snapshot.total();
    assert_eq!((snapshot.shards.len(), total.counters.accepted), (2, 21));
    // Turns are in it when they are over, and letters when they are done.
    let letters = total.letters;
    world.run_on(1, |_| ());
    world.run_on(1, |_| ());
    let snapshot = world.remote().metrics();
    assert_eq!(snapshot.total().letters, letters + 2);
    assert!(snapshot.shards[1].turn_times.count() > 0);
    let [plain, secure] = &snapshot.listeners[..] else { panic!("{:?}", snapshot.listeners) };
    assert_eq!((plain.total().accepted, plain.total().closed_by[CloseKind::PeerClosed]), (20, 7));
    assert_eq!((secure.total().accepted, secure.total().handshakes), (1, 1));
    assert_eq!((secure.id, secure.addr.ip()), (tls, Some(tls_addr)));
    assert_eq!(snapshot.listener(tls), Some(secure.total()));
    for (shard, metrics) in snapshot.shards.iter().enumerate() {
        let here = plain.shards[shard].accepted + secure.shards[shard].accepted;
        assert_eq!(metrics.counters.accepted, here, "shard {shard}");
    }
    let _trace = world.finish();
}

fn server() -> shardpoll::tls::ServerContext {
    shardpoll_tests::server_context()
}

#[test]
fn a_shard_that_is_stuck_is_seen_all_the_same() {
    let mut world = Setup::new().echo();
    let (mut peer, _) = world.connect_and_wait();
    peer.echo(b"hello");
    // Bytes are shown when the turn is over.
    world.some_turns();
    let held = world.hold_shard();
    // Waits for nobody.
    let counters = world.engine().metrics().total().counters;
    assert_eq!((counters.accepted, counters.open, counters.bytes_in), (1, 1, 5));
    drop(held);
    let _trace = world.finish();
}

#[test]
fn what_an_ended_engine_has_done_can_still_be_read() {
    let mut world = Setup::new().echo();
    let (mut peer, _) = world.connect_and_wait();
    peer.echo(b"hello");
    let remote = world.remote();
    let _trace = world.finish();
    let counters = remote.metrics().total().counters;
    assert_eq!((counters.accepted, counters.open, counters.bytes_in), (1, 0, 5));
}

/// A series: its name and labels, and its value.
type Series = (String, BTreeMap<String, String>, f64);

/// Reads Prometheus' text format, and is strict about it.
fn parse(text: &str) -> (BTreeMap<String, String>, Vec<Series>) {
    let (mut types, mut series) = (BTreeMap::new(), Vec::new());
    let mut helped = BTreeSet::new();
    assert!(text.ends_with('\n'), "the last line ends too");
    for line in text.lines() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            let (name, help) = help.split_once(' ').expect("a name and a text");
            assert!(helped.insert(name.to_owned()) && !help.is_empty(), "{line}");
        } else if let Some(kind) = line.strip_prefix("# TYPE ") {
            let (name, kind) = kind.split_once(' ').expect("a name and a type");
            assert!(["counter", "gauge", "histogram"].contains(&kind), "{line}");
            assert!(helped.contains(name), "no help before {line}");
            assert!(types.insert(name.to_owned(), kind.to_owned()).is_none(), "twice: {line}");
        } else {
            series.push(parse_series(line));
        }
    }
    (types, series)
}

fn parse_series(line: &str) -> Series {
    let is_name = |name: &str| {
        let legal = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        name.bytes().all(legal) && !name.starts_with(|first: char| first.is_ascii_digit())
    };
    let (name, rest) = line.split_once('{').expect("labels");
    assert!(is_name(name), "{line}");
    let (mut labels, mut rest) = (BTreeMap::new(), rest);
    loop {
        let (label, tail) = rest.split_once("=\"").expect("a label and its value");
        assert!(is_name(label), "{line}");
        let (mut value, mut chars) = (String::new(), tail.char_indices());
        let end = loop {
            match chars.next().expect("the value ends") {
                (at, '"') => break at,
                (_, '\\') => match chars.next().expect("an escape").1 {
                    'n' => value.push('\n'),
                    escaped @ ('\\' | '"') => value.push(escaped),
                    other => panic!("\\{other} in {line}"),
                },
                (_, char) => value.push(char),
            }
        };
        assert!(labels.insert(label.to_owned(), value).is_none(), "twice {label}: {line}");
        rest = &tail[end + 1..];
        match rest.strip_prefix(',') {
            Some(more) => rest = more,
            None => break,
        }
    }
    let value = rest.strip_prefix("} ").expect("a value").parse().expect("a number");
    (name.to_owned(), labels, value)
}

/// A value of the text, by name and labels.
fn value(series: &[Series], name: &str, labels: &[(&str, &str)]) -> f64 {
    let fits = |(known, has, _): &&Series| {
        known == name
            && labels.iter().all(|(label, value)| has.get(*label).is_some_and(|has| has == value))
    };
    series.iter().filter(fits).map(|(_, _, value)| value).sum()
}

#[test]
fn the_text_for_prometheus_keeps_its_rules_and_says_what_the_snapshot_says() {
    let path = shardpoll_tests::SocketPath::new();
    let mut world = Setup::new().shards(2).echo();
    world.add_listener(Listen::unix(&*path), |_: &mut _| {});
    let mut peers: Vec<_> = (0..5).map(|_| world.connect()).collect();
    peers.iter_mut().for_each(|peer| peer.echo(b"hello"));
    drop(peers.pop());
    world.wait_for_end();
    // Whichever shard has told of the end, has left it behind when it reads a letter.
    (0..2).for_each(|shard| world.run_on(shard, |_| ()));
    world.some_turns();
    let snapshot = world.engine().metrics();
    let mut text = String::new();
    snapshot.prometheus(&mut text).expect("a string takes all");
    let (types, series) = parse(&text);
    let mut seen = BTreeSet::new();
    for (name, labels, _) in &series {
        let plain = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end));
        let family = plain.filter(|plain| types.contains_key(*plain)).unwrap_or(name);
        let kind = types.get(family).unwrap_or_else(|| panic!("{name} has no type"));
        assert_eq!(kind == "counter", name.ends_with("_total"), "{name}");
        assert!(name.starts_with("shardpoll_") && labels.contains_key("shard"), "{name}");
        assert!(seen.insert((name, labels)), "twice: {name} {labels:?}");
    }
    let of = |name: &str, labels: &[_]| value(&series, name, labels);
    assert_eq!(of("shardpoll_connections_accepted_total", &[]), 5.0);
    assert_eq!(of("shardpoll_connections_open", &[]), 4.0);
    assert_eq!(of("shardpoll_received_bytes_total", &[]), 25.0);
    let closed = of("shardpoll_connections_closed_total", &[("reason", "peer_closed")]);
    assert_eq!(closed, 1.0);
    let unix = [("listener", "1"), ("address", &*format!("unix:{}", path.display()))];
    assert_eq!(of("shardpoll_listener_connections_open", &[("listener", "0")]), 4.0);
    assert!(series.iter().any(|(_, labels, _)| {
        unix.iter().all(|(label, value)| labels.get(*label).is_some_and(|has| has == value))
    }));
    // Buckets add up to the count, which is that of the turns that are over.
    let count = of("shardpoll_turn_seconds_count", &[("shard", "0")]);
    let all = [("shard", "0"), ("le", "+Inf")];
    assert_eq!(of("shardpoll_turn_seconds_bucket", &all), count);
    assert_eq!(count, snapshot.shards[0].turn_times.count() as f64);
    let buckets: Vec<_> = series
        .iter()
        .filter(|(name, labels, _)| name.ends_with("turn_seconds_bucket") && labels["shard"] == "0")
        .map(|(_, labels, value)| (labels["le"].parse::<f64>().expect("a bound"), *value))
        .collect();
    assert!(buckets.windows(2).all(|pair| pair[0].0 < pair[1].0 && pair[0].1 <= pair[1].1));
    assert!(prometheus::CONTENT_TYPE.contains("version=0.0.4"));
    let _trace = world.finish();
}
