//! The write timeout: no progress of queued output for the send timeout (S68, S89, S90, S92).

use shardpoll::Wait;
use shardpoll_tests::{Event, Peer, Setup, TlsPeer, Version, both_worlds, pass};
use std::time::Duration;

both_worlds! {
    a_peer_that_never_reads_is_given_up,
    writing_on_does_not_put_the_write_timeout_off,
    a_deaf_tls_peer_is_given_up_too,
    the_last_flush_is_bounded_by_the_write_timeout,
    a_slow_reader_that_makes_progress_is_kept,
    a_drained_connection_has_no_write_timeout,
}

const WAIT: Duration = Duration::from_millis(300);
const LARGE: usize = 24 * 1024 * 1024;

fn a_peer_that_never_reads_is_given_up() {
    // S90: "write timeout", once; nothing of it is drained
    let mut world = Setup::new().config(|c| c.send_timeout = Some(WAIT)).start(|call| {
        if *call.event == Event::Connect {
            call.write_vec(vec![0; LARGE]);
        }
    });
    let _deaf = Peer::connect_with_buffer(world.addr(), 4096);
    let begin = world.wait_for_event(&Event::Connect);
    let end = world.wait_for_end();
    assert_eq!(end.cause, "NotDraining");
    assert!(end.at >= begin.at.saturating_add(WAIT), "early");
    let trace = world.finish();
    assert_eq!(trace.only().last(), Some(&Event::ended("write timeout")));
    assert_eq!(trace.count(&Event::Drain), 0);
}

fn writing_on_does_not_put_the_write_timeout_off() {
    // S92 (B22): armed when the queue becomes non-empty, moved by progress only
    let mut world = Setup::new().config(|c| c.send_timeout = Some(WAIT)).start(|call| {
        if *call.event == Event::Connect {
            call.write_vec(vec![0; LARGE]);
            let id = call.id();
            call.local().add_timer(WAIT / 10, move |local, _| {
                local.conn(id)?.write(b"more");
                Some(WAIT / 10)
            });
        }
    });
    let _deaf = Peer::connect_with_buffer(world.addr(), 4096);
    assert_eq!(world.wait_for_end().event, Event::ended("write timeout"));
    let _trace = world.finish();
}

fn a_deaf_tls_peer_is_given_up_too() {
    // S90 under TLS: sealed records count like plain bytes
    let mut world = Setup::new().tls().config(|c| c.send_timeout = Some(WAIT)).start(|call| {
        if *call.event == Event::Connect {
            call.write_vec(vec![0; LARGE]);
        }
    });
    let _deaf = TlsPeer::connect(world.addr(), Version::Tls13);
    assert_eq!(world.wait_for_end().event, Event::ended("write timeout"));
    assert_eq!(world.finish().count(&Event::Drain), 0);
}

fn the_last_flush_is_bounded_by_the_write_timeout() {
    // S76: closing does not wait for ever
    let mut world = Setup::new().config(|c| c.send_timeout = Some(WAIT)).start(|call| {
        if *call.event == Event::Connect {
            call.write_vec(vec![0; LARGE]);
            call.close();
        }
    });
    let _deaf = Peer::connect_with_buffer(world.addr(), 4096);
    assert_eq!(world.wait_for_end().event, Event::ended("write timeout"));
    let _trace = world.finish();
}

#[test]
fn room_left_over_in_the_kernel_is_no_progress() {
    // S90: there is some behind the first flush; a wait of its own would be used up by it (S89)
    let mut world = Setup::new().config(|c| c.send_timeout = None).start(|call| {
        if let Event::Incoming(_) = call.event {
            call.write_vec(vec![0; LARGE]);
            let id = call.id();
            call.local().add_timer(WAIT / 3, move |local, _| {
                local.conn(id)?.set_write_timeout(Wait::After(WAIT));
                None
            });
        }
    });
    let mut deaf = Peer::connect_with_buffer(world.addr(), 8192);
    deaf.send(b"x");
    assert_eq!(world.wait_for_end().event, Event::ended("write timeout"));
    let _trace = world.finish();
}

fn a_slow_reader_that_makes_progress_is_kept() {
    // S60, S92: every progress begins the timeout anew; reading takes longer than one of them
    let wait = Duration::from_secs(2);
    let mut world = Setup::new().config(|c| c.send_timeout = Some(wait)).start(|call| {
        if *call.event == Event::Connect {
            call.write_vec(vec![5; STEPS * STEP]);
            call.close();
        }
    });
    let mut slow = Peer::connect_with_buffer(world.addr(), 256 * 1024);
    let begin = world.wait_for_event(&Event::Connect);
    for _ in 0..STEPS {
        slow.expect(&[5; STEP]);
        pass(wait * 2 / STEPS_U32);
    }
    slow.expect_end();
    let end = world.wait_for_end();
    assert_eq!(end.event, Event::ended("closed on request"));
    assert!(end.at >= begin.at.saturating_add(wait), "the timeout was never tried");
    let _trace = world.finish();
}

const STEPS: usize = 64;
const STEPS_U32: u32 = 64;
const STEP: usize = 192 * 1024;

fn a_drained_connection_has_no_write_timeout() {
    // S59
    let world = Setup::new().config(|c| c.send_timeout = Some(WAIT / 3)).echo();
    let mut peer = world.connect();
    peer.echo(b"out");
    peer.expect_silence(WAIT);
    peer.echo(b"still there");
    let _trace = world.finish();
}
