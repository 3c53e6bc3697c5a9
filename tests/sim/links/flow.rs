//! Caps, read sizes, timeouts, and no turn without a reason.

use super::*;

#[test]
fn what_a_link_queues_stays_below_the_cap() {
    // S69, S143: whatever the water marks are, and whatever else was written
    for queued in [0, 20_000] {
        let mut config = Config::default();
        config.max_queued_bytes = 20_000;
        config.read_size_bytes = 3000;
        let mut bench = Bench::new(config);
        let (a, one) = bench.accepted();
        let (b, two) = bench.accepted_with_window(500);
        bench.local(|local| local.conn(b).expect("open").pause_writes());
        bench.local(|local| local.conn(b).expect("open").write(&pattern(queued)));
        bench.link(a, b, LinkOptions::default());
        let data = pattern(100_000);
        let mut sent = 0;
        for _ in 0..100 {
            sent += one.send(&data[sent..]);
            bench.turn();
        }
        bench.local(|local| local.conn(b).expect("open").resume_writes());
        let mut got = Vec::new();
        bench.turn_until("all of it", |_| {
            sent += one.send(&data[sent..]);
            got.extend(two.recv(usize::MAX));
            got.len() >= data.len() + queued
        });
        assert!(got[..queued] == pattern(queued) && got[queued..] == data);
    }
}

#[test]
fn what_links_queue_stays_below_the_cap_of_the_shard() {
    // S69: but for one read of each into an empty queue, and nobody waits for ever
    let mut config = Config::default();
    config.max_shard_queued_bytes = 20_000;
    config.read_size_bytes = 1000;
    let mut bench = Bench::new(config);
    let data = pattern(40_000);
    let mut pairs = Vec::new();
    for _ in 0..5 {
        let ((a, one), (b, two)) = (bench.accepted(), bench.accepted_with_window(500));
        bench.link(a, b, LinkOptions::default());
        pairs.push((b, one, two, Vec::new()));
    }
    for (_, one, _, _) in &pairs {
        assert_eq!(one.send(&data), data.len());
    }
    bench.turns(100);
    let queued = |bench: &mut Bench| -> usize {
        let backlogs = pairs.iter().map(|(b, ..)| *b).collect::<Vec<_>>();
        let of = |id| bench.local(|local| local.conn(id).expect("open").backlog());
        backlogs.into_iter().map(of).sum()
    };
    let queued = queued(&mut bench);
    assert!((20_000..=25_000).contains(&queued), "{queued} bytes are queued");
    bench.turn_until("all of it", |_| {
        for (_, _, two, got) in &mut pairs {
            got.extend(two.recv(usize::MAX));
        }
        pairs.iter().all(|(.., got)| *got == data)
    });
}

#[test]
fn a_large_read_size_of_one_is_not_that_of_others() {
    // S45, S54
    let mut config = Config::default();
    config.read_size_bytes = 1000;
    let mut bench = Bench::new(config);
    let (a, one) = bench.accepted();
    let (b, two) = bench.accepted();
    bench.local(|local| local.conn(a).expect("open").read_size(50_000));
    let data = pattern(40_000);
    one.send(&data);
    bench.turn_until("all of it", |bench| bench.input_of(a).len() == data.len());
    two.send(&data);
    bench.turn_until("all of it", |bench| bench.input_of(b).len() == data.len());
    let log = bench.log.borrow();
    let longest =
        |id| log.input.iter().filter(|(of, _)| *of == id).map(|(_, data)| data.len()).max();
    assert_eq!(longest(a), Some(40_000));
    assert_eq!(longest(b), Some(1000));
}

#[test]
fn the_end_of_our_side_has_the_whole_send_timeout() {
    // S92: close_notify has only now begun to wait, however long nothing was sent before
    let mut config = never_silent();
    config.send_timeout = Some(Duration::from_secs(10));
    let mut bench = Bench::new(config);
    let (client, server) = bench.tls_pair();
    bench.turns(10);
    bench.sim.advance(Duration::from_secs(60));
    bench.turns(2);
    bench.sim.set_faults(Faults::none().with(Fault::WriteBlocked, 1.0));
    bench.local(|local| local.conn(client).expect("open").half_close());
    bench.turns(50);
    assert_eq!(bench.end_of(client), None);
    bench.sim.set_faults(Faults::none());
    assert_eq!(bench.await_end(server), "PeerClosed");
}

#[test]
fn a_send_timeout_of_its_own_that_passed_with_nothing_queued_is_over() {
    // S89, S92: there was nothing to wait for, and what is written later has only begun to
    let mut bench = Bench::new(never_silent());
    let (a, _one) = bench.accepted();
    let second = Duration::from_secs(1);
    bench.local(|local| {
        local.conn(a).expect("open").set_write_timeout(Wait::After(second));
    });
    bench.turns(2);
    bench.sim.advance(10 * second);
    bench.turns(2);
    bench.sim.set_faults(Faults::none().with(Fault::WriteBlocked, 1.0));
    bench.local(|local| local.conn(a).expect("open").write(b"late"));
    bench.turns(50);
    assert_eq!(bench.end_of(a), None);
    bench.sim.advance(200 * second);
    assert_eq!(bench.await_end(a), "NotDraining");
}

#[test]
fn a_read_timeout_of_its_own_that_passed_while_nothing_was_read_is_over() {
    // S84, S103: it begins anew when the connection is read again
    for way in 0..4 {
        let mut config = Config::default();
        config.read_timeout = Some(Duration::from_secs(60));
        let mut bench = Bench::new(config);
        let (a, one) = bench.accepted();
        let (b, _two) = bench.accepted_with_window(10);
        let second = Duration::from_secs(1);
        if way == 0 {
            bench.link(a, b, LinkOptions::default().water_marks(0, 0));
        }
        bench.local(|local| {
            let mut conn = local.conn(a).expect("open");
            match way {
                1 => conn.set_credit(Some(Credit::Chunks(1))),
                2 => conn.limit(NonZeroU64::new(10)),
                3 => conn.pause(),
                _ => {}
            }
        });
        one.send(&pattern(100));
        bench.turns(20);
        bench.local(|local| {
            local.conn(a).expect("open").set_read_timeout(Wait::After(second));
        });
        bench.turns(2);
        bench.sim.advance(20 * second);
        bench.turns(2);
        assert_eq!(bench.end_of(a), None, "way {way}");
        bench.local(|local| {
            match way {
                0 => drop(local.unlink(a)),
                1 => local.conn(a).expect("open").grant(Credit::Chunks(1)),
                3 => local.conn(a).expect("open").resume(),
                _ => {}
            };
        });
        bench.turns(20);
        assert_eq!(bench.end_of(a), None, "way {way}");
        bench.sim.advance(61 * second);
        assert_eq!(bench.await_end(a), "Silent", "way {way}");
    }
}

#[test]
fn what_is_discarded_is_not_read_byte_by_byte() {
    // S54, O8: the read size is that of a chunk for the handler, and there is none any more
    let mut bench = Bench::new(Config::default());
    let (a, one) = bench.accepted();
    bench.local(|local| {
        let mut conn = local.conn(a).expect("open");
        conn.read_size(1);
        conn.pause();
    });
    one.send(&pattern(50_000));
    bench.turns(10);
    bench.local(|local| local.conn(a).expect("open").close());
    bench.turns(10);
    assert_eq!(bench.reactor.counters().bytes_in, 50_000);
}

#[test]
fn a_link_to_a_connection_in_its_handshake_does_not_spin() {
    // S63, S144: the pair of predrain and drain waits for the end of the handshake
    let mut bench = Bench::new(Config::default());
    let (a, _one) = bench.accepted();
    let b = bench.dial(OUTSIDE, true);
    bench.turns(20);
    bench.link(a, b, LinkOptions::default());
    let (time, turns) = (bench.sim.time(), bench.reactor.counters().turns);
    bench.turns(100);
    let passed = bench.sim.time().as_nanos() - time.as_nanos();
    let turns = bench.reactor.counters().turns - turns;
    assert!(passed >= 90_000_000, "{turns} turns in {passed} ns: a spin");
}
