//! limit and read_size: how fast a connection is read, and in what pieces (S54, S100 to S103).

use shardpoll::Conn;
use shardpoll_tests::{Call, Event, Seen, Setup, Trace, Version, both_worlds, pattern};
use std::num::NonZeroU64;
use std::time::Duration;

both_worlds! {
    a_limit_that_is_set_anew_does_not_forgive_what_is_owed,
    many_tiny_reads_cost_what_one_large_one_costs,
    pieces_of_the_connections_own_size_come_at_the_rate_that_was_set,
    the_first_read_is_never_delayed,
    the_first_read_of_a_tls_connection_is_never_delayed_either,
    no_limit_opens_again_at_once,
    a_tls_connection_is_read_at_the_rate_that_was_set,
    the_end_of_a_debt_does_not_undo_a_pause,
    resuming_does_not_pay_a_debt,
    a_peer_that_falls_silent_behind_a_debt_is_timed_out,
    the_peers_end_waits_behind_a_debt,
    a_read_size_of_its_own_holds_from_the_next_read_on,
}

/// Long enough for what takes a tenth of a second, on any machine.
const AT_MOST: Duration = Duration::from_secs(8);

fn set(conn: &mut Conn<'_>, bytes_per_second: u64) {
    conn.limit(NonZeroU64::new(bytes_per_second));
}

fn is_input(seen: &Seen) -> bool {
    matches!(seen.event, Event::Incoming(_))
}

fn len(seen: &Seen) -> usize {
    match &seen.event {
        Event::Incoming(data) => data.len(),
        _ => 0,
    }
}

/// The time from the first piece of input to the last, and the lengths of all.
fn pace(trace: &Trace) -> (Duration, Vec<usize>) {
    let inputs: Vec<_> = trace.seen.iter().filter(|seen| is_input(seen)).collect();
    let (first, last) = (inputs[0].at, inputs[inputs.len() - 1].at);
    let took = Duration::from_nanos(last.as_nanos() - first.as_nanos());
    (took, inputs.into_iter().map(len).collect())
}

/// Limits at `on_connect`: a rate in bytes per second, and a read size.
fn limited(rate: u64, size: usize) -> impl FnMut(&mut Call<'_, '_>) + Clone + Send {
    move |call| {
        if *call.event == Event::Connect {
            set(call, rate);
            call.read_size(size);
        }
    }
}

fn many_tiny_reads_cost_what_one_large_one_costs() {
    // S101 (B24): half a millisecond each, and none of it is free
    let data = pattern(200);
    let mut world = Setup::new().start(limited(2000, 1));
    let mut peer = world.connect();
    peer.send(&data);
    peer.finish();
    world.wait_for_end();
    let (took, lens) = pace(&world.finish());
    assert_eq!(lens, [1; 200]);
    // All but the last are paid for.
    assert!(took >= Duration::from_micros(199 * 500), "{took:?}");
    assert!(took <= AT_MOST, "{took:?}");
}

fn pieces_of_the_connections_own_size_come_at_the_rate_that_was_set() {
    // S54, S100: the two together
    let data = pattern(200);
    let mut world = Setup::new().start(limited(1000, 10));
    let (mut peer, id) = world.connect_and_wait();
    peer.send(&data);
    peer.finish();
    world.wait_for_end();
    let trace = world.finish();
    let (took, lens) = pace(&trace);
    assert!(lens.iter().all(|len| *len <= 10), "{lens:?}");
    assert!(took >= Duration::from_millis(190) && took <= AT_MOST, "{took:?}");
    let want = [Event::Connect, Event::Incoming(data), Event::ended("closed")];
    assert_eq!(trace.of(id), want);
}

fn the_first_read_is_never_delayed() {
    // S101: one byte a second, so its debt would last longer than the test
    let mut world = Setup::new().start(limited(1, 16384));
    let (mut peer, id) = world.connect_and_wait();
    peer.send(&pattern(100));
    world.wait_for_event(&Event::Incoming(pattern(100)));
    peer.send(b"not paid for");
    world.some_turns();
    let trace = world.finish();
    assert_eq!(trace.of(id)[..2], [Event::Connect, Event::Incoming(pattern(100))]);
    assert_eq!(trace.seen.iter().filter(|seen| is_input(seen)).count(), 1);
}

fn the_first_read_of_a_tls_connection_is_never_delayed_either() {
    // S101 under TLS: what a read has brought is delivered before the connection rests
    let mut world = Setup::new().tls().start(limited(1, 16384));
    let mut peer = world.connect_tls(Version::Tls12);
    world.wait_for_event(&Event::Connect);
    peer.send(&pattern(100));
    world.wait_for_event(&Event::Incoming(pattern(100)));
    peer.send(b"not paid for");
    world.some_turns();
    let trace = world.finish();
    assert_eq!(trace.seen.iter().filter(|seen| is_input(seen)).count(), 1);
}

fn no_limit_opens_again_at_once() {
    // S100: the debt is forgotten with the limit; plain and TLS
    for tls in [false, true] {
        let setup = if tls { Setup::new().tls() } else { Setup::new() };
        let mut world = setup.start(|_| {});
        let mut plain = (!tls).then(|| world.connect());
        let mut sealed = tls.then(|| world.connect_tls(Version::Tls13));
        let id = world.wait_for_event(&Event::Connect).conn.expect("a connection");
        world.conn(id, |conn| set(conn, 1));
        let mut send = |data: &[u8]| {
            plain.iter_mut().for_each(|peer| peer.send(data));
            sealed.iter_mut().for_each(|peer| peer.send(data));
        };
        send(b"in debt");
        world.some_turns();
        send(b", waits");
        world.some_turns();
        world.conn(id, |conn| conn.limit(None));
        let mut got = Vec::new();
        while got.len() < 14 {
            if let Event::Incoming(data) = world.wait_for(is_input).event {
                got.extend(data);
            }
        }
        assert_eq!(got, b"in debt, waits");
        for n in 0..3 {
            send(&[n; 1000]);
            let mut more = 0;
            while more < 1000 {
                more += len(&world.wait_for(is_input));
            }
        }
        let _trace = world.finish();
    }
}

fn a_tls_connection_is_read_at_the_rate_that_was_set() {
    // S100, S101: the rate is that of the bytes on the wire, which are more
    let data = pattern(400);
    let mut world = Setup::new().tls().start(limited(2000, 20));
    let mut peer = world.connect_tls(Version::Tls13);
    world.wait_for_event(&Event::Connect);
    let pieces: Vec<_> = data.chunks(40).collect();
    let batch = peer.seal(&pieces);
    let wire = batch.len();
    peer.peer.send(&batch);
    let begin = world.wait_for(is_input);
    let mut got = len(&begin);
    let mut last = begin.at;
    while got < data.len() {
        let seen = world.wait_for(is_input);
        got += len(&seen);
        last = seen.at;
    }
    // The first record is complete after at most four reads, and the last read is not paid for.
    let paid = u64::try_from(wire - 5 * 20).expect("a length");
    let took = Duration::from_nanos(last.as_nanos() - begin.at.as_nanos());
    assert!(took >= Duration::from_micros(paid * 500), "{took:?}");
    assert!(took <= AT_MOST, "{took:?}");
    let trace = world.finish();
    assert!(trace.only().contains(&Event::Incoming(data)));
}

fn the_end_of_a_debt_does_not_undo_a_pause() {
    // S102 (B25): made in on_incoming, where the debt begins
    let debt = Duration::from_millis(50);
    let mut world = Setup::new().start(|call| match call.event {
        Event::Connect => {
            set(call, 1000);
            call.read_size(50);
        }
        Event::Incoming(_) => call.pause(),
        _ => {}
    });
    let (mut peer, id) = world.connect_and_wait();
    peer.send(&pattern(100));
    world.wait_for(is_input);
    peer.expect_silence(debt * 4);
    world.some_turns();
    let resumed = world.conn(id, |conn| {
        conn.resume();
        conn.local().now()
    });
    assert!(world.wait_for(is_input).at >= resumed, "read while paused");
    let _trace = world.finish();
}

fn resuming_does_not_pay_a_debt() {
    // S102: a rate limit stays
    let mut world = Setup::new().start(limited(1, 5));
    let (mut peer, id) = world.connect_and_wait();
    peer.send(b"firstsecond");
    world.wait_for_event(&Event::incoming(b"first"));
    world.conn(id, |conn| {
        conn.pause();
        conn.resume();
    });
    world.some_turns();
    assert_eq!(world.finish().of(id)[1], Event::incoming(b"first"));
}

fn a_peer_that_falls_silent_behind_a_debt_is_timed_out() {
    // S103 (B26), S88: not while it is in debt, and a whole timeout from there
    let (debt, wait) = (Duration::from_millis(300), Duration::from_millis(100));
    let setup = Setup::new().config(|c| c.read_timeout = Some(wait));
    let mut world = setup.start(limited(1000, 16384));
    let release = world.hold_shard();
    let mut peer = world.connect();
    peer.send(&pattern(300));
    drop(release);
    let read = world.wait_for_event(&Event::Incoming(pattern(300)));
    let fired = world.wait_for_event(&Event::ReadTimeout);
    assert!(fired.at >= read.at.saturating_add(debt + wait), "early");
    peer.expect_end();
    assert_eq!(world.wait_for_end().event, Event::ended("read timeout"));
    let _trace = world.finish();
}

fn the_peers_end_waits_behind_a_debt() {
    // S55, S100: all bytes, then the end
    let mut world = Setup::new().start(limited(1000, 30));
    let release = world.hold_shard();
    let mut peer = world.connect();
    peer.send(&pattern(90));
    peer.finish();
    drop(release);
    world.wait_for_end();
    let trace = world.finish();
    let want = [Event::Connect, Event::Incoming(pattern(90)), Event::ended("closed")];
    assert_eq!(trace.only(), want);
    let end = trace.seen.iter().find(|seen| seen.event.is_end()).expect("ended");
    let begin = trace.seen.iter().find(|seen| is_input(seen)).expect("input");
    assert!(end.at >= begin.at.saturating_add(Duration::from_millis(90)), "early");
}

fn a_read_size_of_its_own_holds_from_the_next_read_on() {
    // S54: smaller and larger than the configured one, with its ends as the nearest that can be
    for (asked, want) in [(3, 3), (0, 1), (5000, 5000), (usize::MAX, 8000)] {
        let mut world = Setup::new().config(|c| c.read_size_bytes = 1000).start(move |call| {
            if *call.event == Event::Connect {
                call.read_size(asked);
                call.pause();
            }
        });
        let (mut peer, id) = world.connect_and_wait();
        let data = pattern(if want == 1 { 20 } else { 8000 });
        peer.send(&data);
        peer.finish();
        // The end is known when it has been looked for.
        peer.expect_silence(Duration::from_millis(50));
        world.conn(id, |conn| conn.resume());
        world.wait_for_end();
        let trace = world.finish();
        let (_, lens) = pace(&trace);
        assert_eq!(lens.iter().max(), Some(&want), "asked for {asked}");
        assert_eq!(trace.of(id)[1], Event::Incoming(data));
    }
}

fn a_limit_that_is_set_anew_does_not_forgive_what_is_owed() {
    // S101: the handler that knows no better sets it with each piece
    let mut world = Setup::new().config(|c| c.read_size_bytes = 1000).start(|call| {
        if matches!(call.event, Event::Connect | Event::Incoming(_)) {
            call.limit(NonZeroU64::new(10_000));
        }
    });
    let mut peer = world.connect();
    peer.send(&[1; 5000]);
    let seen = world.wait_for_each(5, |seen| matches!(seen.event, Event::Incoming(_)));
    let took = seen[4].at.as_nanos() - seen[0].at.as_nanos();
    assert!(took >= 400_000_000, "{took} ns");
    let _trace = world.finish();
}
