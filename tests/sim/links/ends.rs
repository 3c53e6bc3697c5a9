//! Who hears of which end, and that nothing before it is lost.

use super::*;

#[test]
fn an_end_is_passed_on_to_a_target_that_is_still_being_connected() {
    // S145: `request | nc -N` through a proxy
    for tls in [false, true] {
        let mut bench = Bench::new(never_silent());
        let (a, one) = bench.accepted();
        let b = bench.dial(if tls { TLS } else { OUTSIDE }, tls);
        bench.local(|local| local.link_both(a, b)).expect("both are there");
        one.send(b"request");
        one.shutdown();
        if tls {
            bench.turn_until("the request", |bench| {
                bench.log.borrow().input.iter().any(|(_, data)| data == b"request")
            });
            let server = bench.log.borrow().input[0].0;
            assert_eq!(bench.await_end(server), "PeerClosed");
        } else {
            bench.turns(10);
            let two = bench.sim.accept_peer(&bench.outside).expect("it has connected");
            let mut got = Vec::new();
            bench.turn_until("the end", |_| {
                got.extend(two.recv(usize::MAX));
                two.is_at_end()
            });
            assert_eq!(got, b"request");
            two.send(b"answer");
            two.shutdown();
            let mut got = Vec::new();
            bench.turn_until("the answer", |_| {
                got.extend(one.recv(usize::MAX));
                one.is_at_end()
            });
            assert_eq!(got, b"answer");
        }
        assert_eq!(bench.await_end(a), "PeerClosed");
        assert_eq!(bench.await_end(b), "PeerClosed");
    }
}

#[test]
fn a_source_whose_target_takes_nothing_any_more_is_heard_ending() {
    // S145: its service finds the target half-closed, and the end behind nothing
    let mut bench = Bench::new(never_silent());
    let (a, one) = bench.accepted();
    let (b, two) = bench.accepted();
    bench.link(a, b, LinkOptions::default());
    bench.local(|local| local.conn(b).expect("open").half_close());
    bench.turn_until("our end", |_| two.is_at_end());
    one.shutdown();
    assert_eq!(bench.await_end(a), "PeerClosed");
}

#[test]
fn a_tls_source_whose_target_has_ended_is_heard_ending() {
    // S145: close_notify is an end like any other, before and after the target's
    for before in [true, false] {
        let mut bench = Bench::new(never_silent());
        let (client, a) = bench.tls_pair();
        let (b, two) = bench.accepted_with_window(1);
        bench.link(a, b, LinkOptions::default().water_marks(0, 0));
        let end = |bench: &mut Bench| {
            bench.local(|local| {
                let mut conn = local.conn(client).expect("open");
                if before {
                    conn.write(b"stuck");
                }
                conn.half_close();
            });
            bench.turns(10);
        };
        if before {
            end(&mut bench);
        }
        two.reset();
        bench.await_end(b);
        if !before {
            end(&mut bench);
        }
        assert_eq!(bench.await_end(a), "PeerClosed", "before {before}");
    }
}

#[test]
fn an_orphaned_tls_source_loses_nothing() {
    // S145: what came behind the end of the target is the handler's, once it is resumed
    let mut bench = Bench::new(never_silent());
    let (client, a) = bench.tls_pair();
    let (b, two) = bench.accepted();
    bench.link(a, b, LinkOptions::default());
    two.reset();
    bench.await_end(b);
    bench.local(|local| {
        let mut conn = local.conn(client).expect("open");
        conn.write(&pattern(100_000));
        conn.half_close();
    });
    bench.turns(50);
    assert!(bench.end_of(a).is_none() && bench.input_of(a).is_empty());
    bench.local(|local| local.conn(a).expect("open").resume());
    assert_eq!(bench.await_end(a), "PeerClosed");
    assert!(bench.input_of(a) == pattern(100_000));
}

#[test]
fn a_link_that_is_replaced_by_one_to_the_same_target_loses_nothing() {
    // S142: as when the water marks of a proxy are changed while one side has ended
    let mut bench = Bench::new(never_silent());
    let (a, one) = bench.accepted();
    let (b, two) = bench.accepted();
    bench.local(|local| local.link_both(a, b)).expect("both are there");
    two.shutdown();
    bench.turn_until("the end", |_| one.is_at_end());
    let options = LinkOptions::default().propagate(true).water_marks(0, 1000);
    bench.link(a, b, options);
    let data = pattern(300_000);
    assert!(bench.pump(&one, &data, &two) == data);
    one.shutdown();
    assert_eq!(bench.await_end(a), "PeerClosed");
    assert_eq!(bench.await_end(b), "PeerClosed");
}

#[test]
fn a_connection_whose_side_has_ended_can_be_read_from_and_not_written_to() {
    // S142
    let mut bench = Bench::new(never_silent());
    let (a, one) = bench.accepted();
    let (b, two) = bench.accepted();
    bench.local(|local| local.conn(a).expect("open").half_close());
    let both = bench.local(|local| (local.link_both(a, b), local.unlink(a), local.unlink(b)));
    assert_eq!(both, (Err(LinkError::Gone(a)), false, false), "neither is linked");
    bench.link(a, b, LinkOptions::default());
    assert!(bench.pump(&one, b"heard", &two) == b"heard");
}

#[test]
fn a_ring_of_links_passes_every_byte_and_every_end_on() {
    // S145: an end that was passed on already does not cut what still comes from elsewhere
    let mut bench = Bench::new(never_silent());
    let sides: Vec<_> = (0..3).map(|_| bench.accepted()).collect();
    let options = LinkOptions::default().propagate(true);
    for at in 0..3 {
        bench.link(sides[at].0, sides[(at + 1) % 3].0, options);
    }
    for from in 0..3 {
        let (one, two) = (&sides[from].1, &sides[(from + 1) % 3].1);
        let data = pattern(200_000 + from);
        assert!(bench.pump(one, &data, two) == data, "from {from}");
        one.shutdown();
        bench.turn_until("the end", |_| two.is_at_end());
    }
    for (id, _) in &sides {
        assert_eq!(bench.await_end(*id), "PeerClosed");
    }
}
