//! quit: everything is closed in order, and the engine ends by its deadline (S147 to S151).

use shardpoll::{Connect, Undelivered};
use shardpoll_tests::{
    Event, PATIENCE, Peer, Setup, TlsPeer, Version, blackhole, both_worlds, pattern, wait_for_reply,
};
use std::time::{Duration, Instant};

both_worlds! {
    output_is_flushed_before_the_engine_ends,
    a_write_before_the_quit_from_the_same_thread_is_sent,
    a_second_quit_can_bring_the_deadline_forward_only,
    handshakes_and_dials_under_way_end_with_the_engine,
    a_peer_that_stays_after_the_end_cannot_hold_the_engine,
    those_who_wait_in_the_accept_queue_are_not_reset,
    a_connection_accepted_while_quitting_does_not_hold_the_engine_to_its_deadline,
}

const FAR: Duration = Duration::from_secs(3600);
const SIZE: usize = 24 * 1024 * 1024;

#[test]
fn an_idle_engine_ends_at_once() {
    // S148 (B3): without connections; the deadline is never waited for
    for shards in [1, 4] {
        let mut world = Setup::new().shards(shards).echo();
        world.quit(FAR);
        assert!(world.end().seen.iter().all(|seen| seen.event == Event::Dropped));
    }
}

#[test]
fn connections_are_closed_in_order_and_told_that_we_asked() {
    // S147, S151: what the deadline does not cut is an ordinary close
    let mut world = Setup::new().shards(2).echo();
    let mut peers: Vec<_> = (0..10).map(|_| world.connect()).collect();
    for peer in &mut peers {
        peer.echo(b"x");
    }
    world.quit(FAR);
    peers.iter_mut().for_each(Peer::expect_end);
    drop(peers);
    let trace = world.end();
    assert_eq!(trace.ends().len(), 10);
    assert!(trace.ends().iter().all(|(_, cause)| cause == "Asked"));
}

fn output_is_flushed_before_the_engine_ends() {
    // S148: never "at once with the flush lost"
    let mut world = Setup::new().start(|call| {
        if *call.event == Event::Connect {
            call.write_vec(pattern(SIZE));
        }
    });
    let (mut peer, _) = world.connect_and_wait();
    world.quit(FAR);
    assert!(peer.read_to_end() == pattern(SIZE));
    drop(peer);
    let trace = world.end();
    assert_eq!(trace.only().last(), Some(&Event::ended("closed on request")));
}

fn a_write_before_the_quit_from_the_same_thread_is_sent() {
    // what one thread posts to a shard is done in order
    let mut world = Setup::new().echo();
    let (mut peer, id) = world.connect_and_wait();
    world.write(id, b"last");
    world.quit(FAR);
    assert_eq!(peer.read_to_end(), b"last");
    drop(peer);
    let _trace = world.end();
}

#[test]
fn the_deadline_cuts_what_does_not_drain_and_tells_it() {
    // S151: one on_disconnect each, "quitting"; the call returns at the deadline
    let deadline = Duration::from_millis(300);
    let mut world = Setup::new().start(|call| {
        if *call.event == Event::Connect {
            call.write_vec(vec![0; SIZE]);
        }
    });
    let _deaf: Vec<_> = (0..3).map(|_| Peer::connect_with_buffer(world.addr(), 4096)).collect();
    world.wait_for_each(3, |seen| seen.event == Event::Connect);
    let asked = Instant::now();
    world.quit(deadline);
    let trace = world.end();
    assert!(asked.elapsed() >= deadline, "early");
    let ends = trace.ends();
    assert_eq!(ends.len(), 3);
    assert!(ends.iter().all(|(_, cause)| cause == "Quitting"), "{ends:?}");
    assert_eq!(trace.count(&Event::ended("quitting")), 3);
}

#[test]
fn a_deadline_of_zero_ends_at_once_and_tells_everybody() {
    // S151
    let mut world = Setup::new().shards(2).start(|call| {
        if *call.event == Event::Connect {
            call.write_vec(vec![0; SIZE]);
        }
    });
    let _peers: Vec<_> = (0..6).map(|_| world.connect()).collect();
    world.wait_for_each(6, |seen| seen.event == Event::Connect);
    world.quit(Duration::ZERO);
    assert_eq!(world.end().ends().len(), 6);
}

fn a_second_quit_can_bring_the_deadline_forward_only() {
    // S147: told twice, ended once
    let mut world = Setup::new().start(|call| {
        if *call.event == Event::Connect {
            call.write_vec(vec![0; SIZE]);
        }
    });
    let _deaf = Peer::connect_with_buffer(world.addr(), 4096);
    world.wait_for_event(&Event::Connect);
    world.quit(FAR);
    world.quit(Duration::ZERO);
    world.quit(FAR);
    assert_eq!(world.end().ends()[0].1, "Quitting");
}

fn handshakes_and_dials_under_way_end_with_the_engine() {
    // S146, S150: stages without a flush
    let (_held, nobody) = blackhole();
    let mut world = Setup::new().tls().echo();
    let dial = world.dial(Connect::to(nobody), |_| {});
    let mut half = TlsPeer::begin(world.addr(), Version::Tls13);
    let hello = half.hello();
    half.peer.send(&hello[..20]);
    world.wait_for_event(&Event::Starttls);
    world.quit(FAR);
    let _rest = half.peer.read_all();
    drop(half);
    let trace = world.end();
    assert_eq!(trace.of(dial), [Event::ended("closed on request")]);
    assert_eq!(trace.ends().len(), 2);
    assert_eq!(trace.count(&Event::Connect), 0);
}

fn a_peer_that_stays_after_the_end_cannot_hold_the_engine() {
    // O8: 2 s of discarding, or the deadline
    for deadline in [FAR, Duration::from_millis(50)] {
        let mut world = Setup::new().echo();
        let (mut peer, _) = world.connect_and_wait();
        world.quit(deadline);
        peer.expect_end();
        let trace = world.end();
        assert_eq!(trace.ends().len(), 1);
    }
}

fn those_who_wait_in_the_accept_queue_are_not_reset() {
    // Listeners accept until empty before closing: a socket's queue dies with it;
    // S150: those accepted while quitting are closed at once
    let mut world = Setup::new().echo();
    let release = world.hold_shard();
    let mut peers: Vec<_> = (0..20).map(|_| world.connect()).collect();
    world.quit(FAR);
    drop(release);
    let orderly = peers.iter_mut().map(|peer| peer.read_all().1).filter(|orderly| *orderly);
    assert_eq!(orderly.count(), 20);
    drop(peers);
    let _trace = world.end();
}

fn a_connection_accepted_while_quitting_does_not_hold_the_engine_to_its_deadline() {
    // S150: closed at once, or never accepted
    let mut world = Setup::new().echo();
    let release = world.hold_shard();
    let _peers: Vec<_> = (0..3).map(|_| world.connect()).collect();
    world.quit(FAR);
    drop(release);
    let trace = world.end();
    assert!(trace.ends().iter().all(|(_, cause)| cause == "Asked"));
}

#[test]
fn a_handle_of_an_engine_that_has_ended_says_so() {
    let mut world = Setup::new().echo();
    let (_peer, id) = world.connect_and_wait();
    let remote = world.remote();
    remote.quit(Duration::ZERO);
    let _trace = world.end();
    let written = remote.write(id, b"late".to_vec());
    assert!(matches!(written, Err(Undelivered::Ended(data)) if data == b"late"));
    assert!(matches!(remote.close(id), Err(Undelivered::Ended(()))));
    assert!(matches!(remote.run(0, |_| ()), Err(Undelivered::Ended(_))));
    remote.close_all();
    remote.quit(PATIENCE);
}

#[test]
fn quit_may_be_asked_from_a_callback_and_join_from_elsewhere() {
    // S147: the asking connection is closed like the others
    let mut world = Setup::new().echo();
    let remote = world.remote();
    let addr = world.listen_too(move |call| {
        if matches!(call.event, Event::Incoming(_)) {
            call.write(b"ending");
            remote.quit(FAR);
        }
    });
    let mut peer = Peer::connect(addr);
    peer.send(b"quit");
    assert_eq!(peer.read_to_end(), b"ending");
    drop(peer);
    let _trace = world.end();
}

#[test]
fn waiting_for_an_engine_on_its_own_shard_is_refused() {
    // it would wait for itself
    let world = Setup::new().echo();
    let engine = shardpoll::Engine::builder().shards(1).start().expect("starts");
    let remote = engine.remote();
    let text = world.run(move |_| engine.join().expect_err("on a shard").to_string());
    assert_eq!(text, "called from a callback, where it would wait for itself");
    remote.quit(Duration::ZERO);
    let _trace = world.finish();
    wait_for_reply(move || while remote.run(0, |_| ()).is_ok() {});
}
