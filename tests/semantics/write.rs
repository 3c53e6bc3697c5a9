//! write: queues, tells what became of it, and keeps the cap (S56, S57, S69, S72, S73).

use shardpoll::{Conn, Handler};
use shardpoll_tests::{Event, Peer, Setup, both_worlds, pattern};
use std::sync::Arc;
use std::time::Duration;

both_worlds! {
    the_three_ways_to_write_keep_their_order,
    a_queue_is_filled_to_its_cap_and_not_beyond,
    a_peer_that_never_reads_costs_at_most_the_cap,
    nothing_is_taken_after_the_end,
    pieces_of_the_input_leave_as_they_were_written,
}

/// Writes each piece of input back, in another way each time.
#[derive(Default)]
struct Mirror {
    calls: usize,
}

impl Handler for Mirror {
    fn on_incoming(&mut self, conn: &mut Conn<'_>, data: &[u8]) {
        let (front, back) = data.split_at(data.len() - data.len() / 4);
        self.calls += 1;
        match self.calls % 7 {
            0 => {
                conn.write(front);
                conn.write(back);
            }
            1 => {
                conn.write(front);
                conn.write_vec(back.to_vec());
            }
            2 => {
                conn.write(front);
                let id = conn.id();
                let mut local = conn.local();
                let mut same = local.conn(id).expect("it is alive");
                same.write_shared(Arc::from(back));
            }
            3 => {
                let before = conn.backlog();
                conn.write(data);
                assert_eq!(conn.backlog(), before + data.len());
                conn.pause_writes();
                conn.resume_writes();
            }
            _ => {
                conn.write(data);
            }
        }
    }
}

fn pieces_of_the_input_leave_as_they_were_written() {
    // S56: what was written leaves, wherever that lay, and however little the kernel takes
    let world = Setup::new().start(|_| {});
    let addr = world.listen_as(|_| Mirror::default());
    let mut peer = Peer::connect(addr);
    for round in 0..40 {
        peer.echo(&pattern(15_000 + round));
    }
    peer.echo(&pattern(4 * 1024 * 1024));
    drop(peer);
    let _trace = world.finish();
}

fn the_three_ways_to_write_keep_their_order() {
    // S56: copied, owned and shared pieces leave as they were written
    let mut world = Setup::new().start(|call| {
        if matches!(call.event, Event::Incoming(_)) {
            for round in 0..5_usize {
                call.write(&pattern(round * 1000 + 1));
                call.write_vec(pattern(round * 7000 + 2));
                call.write_shared(Arc::from(pattern(round * 500 + 3)));
            }
        }
    });
    let mut peer = world.connect();
    peer.send(b"go");
    for round in 0..5 {
        peer.expect(&pattern(round * 1000 + 1));
        peer.expect(&pattern(round * 7000 + 2));
        peer.expect(&pattern(round * 500 + 3));
    }
    drop(peer);
    world.wait_for_end();
    let _trace = world.finish();
}

fn a_queue_is_filled_to_its_cap_and_not_beyond() {
    // S69, O4: checked against the queue as it is; the fatal write is told once
    let world = Setup::new().config(|c| c.max_queued_bytes = 1000).start(|call| {
        if *call.event == Event::Connect {
            for len in [999, 1, 0, 1, 1] {
                let written = call.write(&vec![1; len]);
                call.note(format!("{written:?}"));
            }
        }
    });
    let mut world = world;
    let (mut peer, id) = world.connect_and_wait();
    world.wait_for_end();
    let _rest = peer.read_all();
    let want = [
        Event::Connect,
        Event::note("Ok"),
        Event::note("Ok"),
        Event::note("Ok"),
        Event::note("Full"),
        Event::note("Closed"),
        Event::ended("no space left in buffer"),
    ];
    assert_eq!(world.finish().of(id), want);
}

fn a_peer_that_never_reads_costs_at_most_the_cap() {
    // S69, B12: bounded memory, one disconnect, and others live on
    let cap = 1024 * 1024;
    let mut world = Setup::new().config(|c| c.max_queued_bytes = cap).start(move |call| {
        let more = match call.event {
            Event::Incoming(data) => data == b"flood",
            Event::Drain => true,
            _ => false,
        };
        if let (Event::Incoming(data), false) = (call.event, more) {
            call.write(data);
        }
        if more && call.nth < 10_000 {
            call.write_vec(vec![0; 64 * 1024]);
            let id = call.id();
            // A producer that does not wait for drains.
            call.local().add_timer(Duration::from_millis(1), move |local, _| {
                let mut conn = local.conn(id)?;
                conn.write(&[0; 64 * 1024]);
                assert!(conn.backlog() <= cap, "{} queued", conn.backlog());
                Some(Duration::ZERO)
            });
        }
    });
    let mut deaf = Peer::connect_with_buffer(world.addr(), 4096);
    deaf.send(b"flood");
    let end = world.wait_for_end();
    assert_eq!(end.event, Event::ended("no space left in buffer"));
    let mut other = world.connect();
    other.echo(b"alive");
    // It is flooded as well: that one reads is not what is looked at here.
    drop(other);
    let trace = world.finish();
    assert_eq!(trace.ends().len(), 2);
}

#[test]
fn an_unlimited_queue_takes_what_comes() {
    // S69: 0 is no limit
    let size = 40 * 1024 * 1024;
    let world = Setup::new().config(|c| c.max_queued_bytes = 0).start(move |call| {
        if matches!(call.event, Event::Incoming(_)) {
            let written = call.write_vec(vec![3; size]);
            call.note(format!("{written:?}"));
            call.close();
        }
    });
    let mut peer = world.connect();
    peer.send(b"go");
    assert_eq!(peer.read_to_end().len(), size);
    assert_eq!(world.finish().count(&Event::note("High")), 1);
}

fn nothing_is_taken_after_the_end() {
    // S72, S73, S35: not after close, not in on_disconnect
    let mut world = Setup::new().start(|call| {
        if matches!(call.event, Event::Incoming(_)) {
            call.close();
        }
        if matches!(call.event, Event::Incoming(_) | Event::Disconnect(_)) {
            let written =
                [call.write(b"a"), call.write_vec(vec![1]), call.write_shared(Arc::from([1]))];
            let queued = call.backlog();
            call.note(format!("{written:?} {queued}"));
        }
    });
    let mut peer = world.connect();
    peer.send(b"end");
    peer.expect_end();
    drop(peer);
    world.wait_for_end();
    let closed = Event::note("[Closed, Closed, Closed] 0");
    let want = [
        Event::Connect,
        Event::incoming(b"end"),
        closed.clone(),
        Event::ended("closed on request"),
        closed,
    ];
    assert_eq!(world.finish().only(), want);
}
