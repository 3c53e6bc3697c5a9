//! on_read_timeout: silence for the read timeout, exactly (S38, S51, S84 to S88, O7).

use shardpoll::{Connect, Tick};
use shardpoll_tests::{Event, Seen, Setup, Version, both_worlds};
use std::time::Duration;

both_worlds! {
    a_silent_peer_is_asked_about_and_then_closed,
    a_silent_peer_that_is_kept_is_asked_about_again,
    every_read_begins_the_silence_anew,
    an_outgoing_connection_to_a_silent_peer_times_out_too,
    a_paused_connection_has_no_read_timeout_and_a_resumed_one_a_whole_one,
    a_pause_in_on_read_timeout_with_keep_stops_the_clock,
    no_read_timeout_is_none,
    whoever_comes_after_another_has_a_whole_read_timeout,
    an_overdue_silence_is_not_judged_while_input_waits,
    an_overdue_silence_that_is_an_end_is_told_as_the_end,
    output_does_not_break_a_peers_silence,
    a_handshake_that_stalls_ends_by_the_handshake_timeout,
    a_handshake_that_trickles_ends_all_the_same,
}

const WAIT: Duration = Duration::from_millis(200);

fn at(seen: &Seen, after: &Seen) -> Duration {
    Duration::from_nanos(seen.at.as_nanos() - after.at.as_nanos())
}

fn a_silent_peer_is_asked_about_and_then_closed() {
    // S38, S87
    let mut world = Setup::new().config(|c| c.read_timeout = Some(WAIT)).start(|_| {});
    let mut peer = world.connect();
    let begin = world.wait_for_event(&Event::Connect);
    let fired = world.wait_for_event(&Event::ReadTimeout);
    assert!(at(&fired, &begin) >= WAIT, "early: {:?}", at(&fired, &begin));
    peer.expect_end();
    let want = [Event::Connect, Event::ReadTimeout, Event::ended("read timeout")];
    assert_eq!(world.finish().only(), want);
}

fn a_silent_peer_that_is_kept_is_asked_about_again() {
    // S86: armed again with the read timeout
    let mut world = Setup::new().config(|c| c.read_timeout = Some(WAIT)).start(|call| {
        if *call.event == Event::ReadTimeout && call.nth < 3 {
            call.keep();
        }
    });
    let _peer = world.connect();
    let fired = world.wait_for_each(3, |seen| seen.event == Event::ReadTimeout);
    for pair in fired.windows(2) {
        assert!(at(&pair[1], &pair[0]) >= WAIT, "early: {:?}", at(&pair[1], &pair[0]));
    }
    world.wait_for_end();
    let want = [
        Event::Connect,
        Event::ReadTimeout,
        Event::ReadTimeout,
        Event::ReadTimeout,
        Event::ended("read timeout"),
    ];
    assert_eq!(world.finish().only(), want);
}

fn every_read_begins_the_silence_anew() {
    // S51
    for tls in [false, true] {
        let setup = Setup::new().config(|c| c.read_timeout = Some(WAIT));
        let setup = if tls { setup.tls() } else { setup };
        let mut world = setup.echo();
        let mut plain = (!tls).then(|| world.connect());
        let mut sealed = tls.then(|| world.connect_tls(Version::Tls13));
        for _ in 0..4 {
            if let Some(peer) = &mut plain {
                peer.echo(b"x");
                peer.expect_silence(WAIT / 4);
            }
            if let Some(peer) = &mut sealed {
                peer.echo(b"x");
                peer.peer.expect_silence(WAIT / 4);
            }
        }
        world.wait_for_event(&Event::ReadTimeout);
        let trace = world.finish();
        let mut last_read = Tick::ZERO;
        for seen in &trace.seen {
            match seen.event {
                Event::Incoming(_) => last_read = seen.at,
                Event::ReadTimeout => {
                    assert!(seen.at >= last_read.saturating_add(WAIT), "early, TLS: {tls}");
                }
                _ => {}
            }
        }
    }
}

fn an_outgoing_connection_to_a_silent_peer_times_out_too() {
    // S85 (B40): armed when connect is reported
    let server = Setup::new().start(|_| {});
    let mut world = Setup::new().config(|c| c.read_timeout = Some(WAIT)).echo();
    let id = world.dial(Connect::to(server.addr()), |_| {});
    let begin = world.wait_for_event(&Event::Connect);
    let fired = world.wait_for_event(&Event::ReadTimeout);
    assert!(at(&fired, &begin) >= WAIT);
    world.wait_for_end();
    assert_eq!(world.finish().of(id).last(), Some(&Event::ended("read timeout")));
}

fn a_paused_connection_has_no_read_timeout_and_a_resumed_one_a_whole_one() {
    // S88, S94, S95
    let mut world = Setup::new().config(|c| c.read_timeout = Some(WAIT)).start(|call| {
        if *call.event == Event::Connect {
            call.pause();
        }
    });
    let (mut peer, id) = world.connect_and_wait();
    peer.expect_silence(WAIT * 2);
    let resumed = world.run(move |local| {
        local.conn(id).expect("still there").resume();
        local.now()
    });
    let fired = world.wait_for_event(&Event::ReadTimeout);
    assert!(fired.at >= resumed.saturating_add(WAIT), "early");
    let want = [Event::Connect, Event::ReadTimeout, Event::ended("read timeout")];
    assert_eq!(world.finish().of(id), want);
}

fn a_pause_in_on_read_timeout_with_keep_stops_the_clock() {
    // S86: what the callback sets, counts
    let mut world = Setup::new().config(|c| c.read_timeout = Some(WAIT)).start(|call| {
        if *call.event == Event::ReadTimeout {
            call.keep();
            call.pause();
        }
    });
    let mut peer = world.connect();
    world.wait_for_event(&Event::ReadTimeout);
    peer.expect_silence(WAIT * 3);
    let want = [Event::Connect, Event::ReadTimeout, Event::ended("closed on request")];
    assert_eq!(world.finish().only(), want);
}

fn whoever_comes_after_another_has_a_whole_read_timeout() {
    // The alarm of the first one comes up in the second one's time.
    let mut world = Setup::new().config(|c| c.read_timeout = Some(WAIT)).start(|_| {});
    let mut peer = world.connect();
    world.wait_for_event(&Event::Connect);
    peer.expect_silence(WAIT / 4);
    peer.finish();
    world.wait_for_end();
    let mut next = world.connect();
    let begin = world.wait_for_event(&Event::Connect);
    let fired = world.wait_for_event(&Event::ReadTimeout);
    assert!(at(&fired, &begin) >= WAIT, "early: {:?}", at(&fired, &begin));
    next.expect_end();
    let _trace = world.finish();
}

fn no_read_timeout_is_none() {
    // S84
    let world = Setup::new().config(|c| c.read_timeout = None).echo();
    let mut peer = world.connect();
    peer.expect_silence(WAIT * 2);
    peer.echo(b"still there");
    assert_eq!(world.finish().count(&Event::ReadTimeout), 0);
}

fn an_overdue_silence_is_not_judged_while_input_waits() {
    // O7: read first, then judge
    let mut world = Setup::new().config(|c| c.read_timeout = Some(WAIT)).echo();
    let (mut peer, _) = world.connect_and_wait();
    let release = world.hold_shard();
    peer.send(b"here");
    peer.expect_silence(WAIT * 2);
    drop(release);
    peer.expect(b"here");
    let events = world.finish().only();
    assert_eq!(events[..2], [Event::Connect, Event::incoming(b"here")]);
}

fn an_overdue_silence_that_is_an_end_is_told_as_the_end() {
    // O7: what waits may be the end of input
    let mut world = Setup::new().config(|c| c.read_timeout = Some(WAIT)).start(|_| {});
    let (mut peer, id) = world.connect_and_wait();
    let release = world.hold_shard();
    peer.finish();
    peer.expect_silence(WAIT * 2);
    drop(release);
    world.wait_for_end();
    assert_eq!(world.finish().of(id), [Event::Connect, Event::ended("closed")]);
}

fn output_does_not_break_a_peers_silence() {
    // S51: only reading does
    let mut world = Setup::new().config(|c| c.read_timeout = Some(WAIT)).start(|call| {
        if *call.event == Event::Connect {
            let id = call.id();
            call.local().add_timer(WAIT / 8, move |local, _| {
                local.conn(id)?.write(b".");
                Some(WAIT / 8)
            });
        }
    });
    let mut peer = world.connect();
    let end = world.wait_for_end();
    assert_eq!(end.event, Event::ended("read timeout"));
    assert!(!peer.read_all().0.is_empty(), "the timer wrote");
    let _trace = world.finish();
}

fn a_handshake_that_stalls_ends_by_the_handshake_timeout() {
    // S93: direct TLS says "connection timeout"; S88: no read timeout meanwhile
    let mut world = Setup::new()
        .tls()
        .config(|c| {
            c.handshake_timeout = WAIT;
            c.read_timeout = Some(WAIT / 4);
        })
        .start(|_| {});
    let mut peer = world.connect();
    let begin = world.wait_for_event(&Event::Starttls);
    let end = world.wait_for_end();
    assert!(at(&end, &begin) >= WAIT, "early");
    let _rest = peer.read_all();
    let want = [Event::Starttls, Event::ended("connection timeout")];
    assert_eq!(world.finish().only(), want);
}

fn a_handshake_that_trickles_ends_all_the_same() {
    // S93: a deadline for all of it
    let step = Duration::from_millis(400);
    let set = move |config: &mut shardpoll::Config| {
        config.handshake_timeout = step;
        config.handshake_deadline = step * 4;
    };
    let mut world = Setup::new().tls().config(set).start(|_| {});
    let mut trickler = shardpoll_tests::TlsPeer::begin(world.addr(), Version::Tls13);
    let hello = trickler.hello();
    let begin = world.wait_for_event(&Event::Starttls);
    for byte in &hello {
        trickler.peer.send_some(&[*byte]);
        if trickler.peer.is_over_after(step / 4) {
            break;
        }
    }
    let end = world.wait_for_end();
    let took = at(&end, &begin);
    assert_eq!(end.event, Event::ended("connection timeout"));
    assert!(took >= step * 3, "{took:?}: each byte is progress");
    let _trace = world.finish();
}
