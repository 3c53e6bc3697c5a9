//! The least rate of a peer: who takes, or sends, too little for a whole window is cut, and nobody
//! is for what is not his to do.

use shardpoll::{Conn, MinRate};
use shardpoll_tests::{
    Event, Peer, Seen, Setup, TlsPeer, Version, World, both_worlds, pass, pattern,
};
use std::num::NonZeroU64;
use std::time::Duration;

both_worlds! {
    a_peer_that_takes_too_little_is_cut,
    a_deaf_tls_peer_is_cut_too,
    a_slow_reader_that_takes_enough_is_kept,
    the_last_flush_is_held_to_the_rate,
    a_peer_that_sends_too_little_is_cut,
    a_peer_that_sends_enough_is_kept_until_it_stops,
    a_pause_is_not_the_peers,
    what_a_lock_holds_back_is_not_the_peers,
    a_debt_is_not_the_peers,
    a_handshake_is_not_judged,
    a_handler_asks_for_a_rate_while_it_expects_a_request,
    an_idle_connection_owes_no_output,
}

const WINDOW: Duration = Duration::from_millis(200);
/// For peers that are to be kept, on a machine that may be busy with other things.
const LONG: Duration = Duration::from_secs(2);
const LARGE: usize = 24 * 1024 * 1024;

/// Of the listener.
fn held_to(rate: MinRate) -> Setup {
    held_for(WINDOW, rate)
}

fn held_for(window: Duration, rate: MinRate) -> Setup {
    Setup::new().options(|o| o.min_rate = Some(rate.window(window)))
}

/// All at once.
fn writes_much(call: &mut shardpoll_tests::Call<'_, '_>) {
    if *call.event == Event::Connect {
        call.write_vec(vec![0; LARGE]);
    }
}

/// It was cut for this, once.
fn assert_too_slow(world: &World, end: &Seen, sending: bool) {
    let cause = format!("TooSlow {{ sending: {sending} }}");
    assert_eq!((&end.event, &end.cause), (&Event::ended("too slow"), &cause));
    assert_eq!(world.run(|local| local.counters().too_slow), 1);
}

fn since(begin: &Seen, end: &Seen) -> Duration {
    Duration::from_nanos(end.at.as_nanos() - begin.at.as_nanos())
}

fn a_peer_that_takes_too_little_is_cut() {
    // With a send timeout of 3 minutes
    let mut world = held_to(MinRate::output(1000)).start(writes_much);
    let _deaf = Peer::connect_with_buffer(world.addr(), 4096);
    let begin = world.wait_for_event(&Event::Connect);
    let end = world.wait_for_end();
    assert_too_slow(&world, &end, false);
    assert!(since(&begin, &end) >= WINDOW, "early");
    drop(world.finish());
}

fn a_deaf_tls_peer_is_cut_too() {
    let mut world = held_to(MinRate::output(1000)).tls().start(writes_much);
    let _deaf = TlsPeer::connect(world.addr(), Version::Tls13);
    let end = world.wait_for_end();
    assert_too_slow(&world, &end, false);
    drop(world.finish());
}

fn a_slow_reader_that_takes_enough_is_kept() {
    for tls in [false, true] {
        let setup = held_for(LONG, MinRate::output(1000));
        let setup = if tls { setup.tls() } else { setup };
        let mut world = setup.start(writes_much);
        let read = |drain: &mut dyn FnMut(usize)| {
            // Over many windows, with rests.
            for _ in 0..24 {
                drain(LARGE / 24);
                pass(LONG / 12);
            }
        };
        if tls {
            let mut slow = world.connect_tls(Version::Tls13);
            read(&mut |bytes| slow.drain(bytes));
            slow.finish();
        } else {
            let mut slow = Peer::connect_with_buffer(world.addr(), 64 * 1024);
            read(&mut |bytes| slow.drain(bytes));
            slow.finish();
        }
        assert_eq!(world.wait_for_end().event, Event::ended("closed"));
        drop(world.finish());
    }
}

fn the_last_flush_is_held_to_the_rate() {
    let mut world = held_to(MinRate::output(1000)).start(|call| {
        if *call.event == Event::Connect {
            call.write_vec(vec![0; LARGE]);
            call.close();
        }
    });
    let _deaf = Peer::connect_with_buffer(world.addr(), 4096);
    let end = world.wait_for_end();
    assert_too_slow(&world, &end, false);
    drop(world.finish());
}

fn a_peer_that_sends_too_little_is_cut() {
    // Byte by byte, so that no read timeout ever comes
    for tls in [false, true] {
        let setup = held_to(MinRate::input(1000));
        let setup = if tls { setup.tls() } else { setup };
        let mut world = setup.start(|_| {});
        let mut plain = (!tls).then(|| world.connect());
        let mut sealed = tls.then(|| world.connect_tls(Version::Tls13));
        let begin = world.wait_for_event(&Event::Connect);
        let end = loop {
            if let Some(peer) = &mut plain {
                peer.send_some(b"x");
            }
            if let Some(peer) = &mut sealed {
                peer.send_some(b"x");
            }
            pass(WINDOW / 5);
            if let Some(end) = world.seen_end() {
                break end;
            }
        };
        assert_too_slow(&world, &end, true);
        assert!(since(&begin, &end) >= WINDOW, "early");
        drop(world.finish());
    }
}

fn a_peer_that_sends_enough_is_kept_until_it_stops() {
    // Once a window is enough: what counts is the sum
    let mut world = held_for(LONG, MinRate::input(100)).start(|_| {});
    let mut peer = world.connect();
    let begin = world.wait_for_event(&Event::Connect);
    for _ in 0..10 {
        peer.send(&pattern(1000));
        pass(LONG / 5);
    }
    let end = world.wait_for_end();
    assert_too_slow(&world, &end, true);
    assert!(since(&begin, &end) >= LONG * 2, "it was kept while it sent");
    drop(world.finish());
}

fn a_pause_is_not_the_peers() {
    // By the callback, and from outside, which no service of the line sees
    for outside in [false, true] {
        let mut world = held_to(MinRate::input(1000)).start(move |call| {
            if *call.event == Event::Connect && !outside {
                call.pause();
            }
        });
        let (mut peer, id) = world.connect_and_wait();
        if outside {
            world.conn(id, |conn| conn.pause());
        }
        peer.expect_silence(WINDOW * 4);
        let resumed = world.conn(id, |conn| {
            conn.resume();
            conn.local().now()
        });
        let end = world.wait_for_end();
        assert_too_slow(&world, &end, true);
        let took = Duration::from_nanos(end.at.as_nanos() - resumed.as_nanos());
        assert!(took >= WINDOW, "the window began anew: {took:?}");
        drop(world.finish());
    }
}

fn what_a_lock_holds_back_is_not_the_peers() {
    let mut world = held_to(MinRate::output(1000)).start(|call| {
        if *call.event == Event::Connect {
            call.pause_writes();
            call.write(&pattern(1000));
        }
    });
    let (mut peer, id) = world.connect_and_wait();
    peer.expect_silence(WINDOW * 4);
    world.conn(id, |conn| conn.resume_writes());
    peer.expect(&pattern(1000));
    peer.finish();
    assert_eq!(world.wait_for_end().event, Event::ended("closed"));
    drop(world.finish());
}

fn a_debt_is_not_the_peers() {
    // Each read is paid for in more than a window, in which nothing more is read
    let mut world = held_to(MinRate::input(400)).start(|call| {
        if *call.event == Event::Connect {
            call.limit(NonZeroU64::new(500));
            call.read_size(150);
        }
    });
    let mut peer = world.connect();
    peer.send(&pattern(900));
    peer.finish();
    assert_eq!(world.wait_for_end().event, Event::ended("closed"));
    drop(world.finish());
}

fn a_handshake_is_not_judged() {
    let mut world = held_to(MinRate::output(1000).and_input(1000)).tls().echo();
    let mut late = TlsPeer::begin(world.addr(), Version::Tls13);
    world.wait_for_event(&Event::Starttls);
    pass(WINDOW * 3);
    late.handshake().expect("it is still there");
    let end = world.wait_for_end();
    assert_too_slow(&world, &end, true);
    drop(world.finish());
}

fn a_handler_asks_for_a_rate_while_it_expects_a_request() {
    let ask = |conn: &mut Conn<'_>, rate: Option<MinRate>| {
        conn.set_min_rate(rate.map(|rate| rate.window(WINDOW)));
    };
    let mut world = Setup::new().config(|c| c.read_timeout = None).start(move |call| {
        let Event::Incoming(data) = call.event else { return };
        let last = data.last();
        ask(call, (last != Some(&b'.')).then_some(MinRate::input(1000)));
    });
    let mut peer = world.connect();
    peer.send(b"complete.");
    // As long as it likes.
    peer.expect_silence(WINDOW * 3);
    peer.send(b"half of a");
    let end = world.wait_for_end();
    assert_too_slow(&world, &end, true);
    drop(world.finish());
}

fn an_idle_connection_owes_no_output() {
    let mut world = held_to(MinRate::output(u64::MAX)).echo();
    let mut peer = world.connect();
    for _ in 0..4 {
        peer.echo(b"hello");
        peer.expect_silence(WINDOW);
    }
    peer.finish();
    assert_eq!(world.wait_for_end().event, Event::ended("closed"));
    drop(world.finish());
}
