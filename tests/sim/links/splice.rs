//! Links through which much goes: spliced, whatever the kernel does, and as they were to all else.

use super::*;
use shardpoll_reactor::PanicPolicy;

const CHUNK: usize = 1000;

fn small_chunks() -> Config {
    let mut config = never_silent();
    config.read_size_bytes = CHUNK;
    config
}

#[test]
fn what_fills_its_reads_is_spliced_and_arrives_in_order() {
    // S142, S143: under each fault, to a target that is slow and to one that is not
    let kinds = [
        None,
        Some(Fault::ShortRead),
        Some(Fault::ShortWrite),
        Some(Fault::ReadBlocked),
        Some(Fault::WriteBlocked),
        Some(Fault::RecvInterrupted),
        Some(Fault::SendInterrupted),
        Some(Fault::SpuriousEvent),
        Some(Fault::Reordered),
    ];
    for kind in kinds {
        for window in [3 * CHUNK, 64 * 1024] {
            let mut bench = Bench::new(small_chunks());
            let (a, one) = bench.accepted();
            let (b, two) = bench.accepted_with_window(window);
            bench.link(a, b, LinkOptions::default());
            if let Some(kind) = kind {
                bench.sim.set_faults(Faults::none().with(kind, 0.3));
            }
            let data = pattern(300_000);
            assert!(bench.pump(&one, &data, &two) == data, "{kind:?}");
            let counters = bench.reactor.counters();
            let moved = (counters.bytes_in, counters.bytes_out);
            assert_eq!(moved, (300_000, 300_000), "{kind:?}");
            assert!(counters.spliced_bytes > 0, "{kind:?}, {window}: nothing was spliced");
        }
    }
}

#[test]
fn without_splices_a_link_copies() {
    let mut bench = Bench::new(small_chunks());
    bench.sim.set_faults(Faults::none().with(Fault::SpliceRefused, 1.0));
    let (a, one) = bench.accepted();
    let (b, two) = bench.accepted();
    bench.link(a, b, LinkOptions::default());
    let data = pattern(100_000);
    assert!(bench.pump(&one, &data, &two) == data);
    assert_eq!(bench.reactor.counters().spliced_bytes, 0);
    assert!(bench.sim.counts().of(Fault::SpliceRefused) > 0);
}

#[test]
fn a_read_size_of_its_own_is_the_most_that_is_spliced_and_queued_at_once() {
    // S143, S144: so the queue of the target stays below the mark and one chunk
    for high in [0, 5 * CHUNK] {
        let mut bench = Bench::new(never_silent());
        let (a, one) = bench.accepted();
        let (b, two) = bench.accepted_with_window(700);
        bench.link(a, b, LinkOptions::default().water_marks(0, high).read_size(CHUNK));
        let data = pattern(100_000);
        let (mut sent, mut got) = (0, Vec::new());
        bench.turn_until("all of it", |bench| {
            sent += one.send(&data[sent..]);
            got.extend(two.recv(usize::MAX));
            let queued = bench.local(|local| local.conn(b).expect("open").backlog());
            assert!(queued <= high + CHUNK, "{queued} bytes are queued, above {high}");
            got.len() >= data.len()
        });
        assert!(got == data);
        assert!(bench.reactor.counters().spliced_bytes > 0);
    }
}

#[test]
fn an_end_behind_much_is_passed_on_and_a_reset_ends_both() {
    // S145
    for reset in [false, true] {
        let mut bench = Bench::new(small_chunks());
        let (a, one) = bench.accepted();
        let (b, two) = bench.accepted();
        bench.local(|local| local.link_both(a, b)).expect("both are there");
        let data = pattern(100_000);
        assert!(bench.pump(&one, &data, &two) == data);
        assert!(bench.reactor.counters().spliced_bytes > 0);
        if reset {
            one.reset();
            assert_eq!(bench.await_end(a), "Reset");
        } else {
            one.shutdown();
            bench.turn_until("its end", |_| two.is_at_end());
            two.shutdown();
            assert_eq!(bench.await_end(a), "PeerClosed");
        }
        bench.await_end(b);
    }
}

#[test]
fn who_falls_silent_behind_much_is_told() {
    // S84: that a target may pull is no sign of life
    let mut config = Config::default();
    config.read_size_bytes = CHUNK;
    config.read_timeout = Some(Duration::from_secs(60));
    let mut bench = Bench::new(config);
    let (a, one) = bench.accepted();
    let (b, two) = bench.accepted();
    bench.link(a, b, LinkOptions::default());
    let data = pattern(100 * CHUNK);
    assert!(bench.pump(&one, &data, &two) == data);
    bench.sim.advance(Duration::from_secs(59));
    bench.turns(5);
    assert_eq!(bench.end_of(a), None);
    bench.sim.advance(Duration::from_secs(2));
    assert_eq!(bench.await_end(a), "Silent");
}

/// Panics whenever it may add something to what is sent.
struct Nervous;

impl Handler for Nervous {
    fn on_incoming(&mut self, _conn: &mut Conn<'_>, _data: &[u8]) {}

    fn on_predrain(&mut self, _conn: &mut Conn<'_>) {
        panic!("planned");
    }
}

#[test]
fn a_panic_of_the_targets_predrain_holds_nothing_back() {
    // S27: under `Continue` it counts as returned, and what was about to be sent is sent
    for bytes in [CHUNK / 2, 100 * CHUNK] {
        let mut config = small_chunks();
        config.panic_policy = PanicPolicy::Continue;
        let mut bench = Bench::new(config);
        let (a, one) = bench.accepted();
        let (b, two) = bench.accepted();
        bench.local(|local| local.conn(b).expect("open").set_handler(Nervous));
        bench.link(a, b, LinkOptions::default());
        bench.turns(5);
        let before = bench.reactor.counters().panics;
        let data = pattern(bytes);
        assert!(bench.pump(&one, &data, &two) == data);
        let counters = bench.reactor.counters();
        assert!(counters.panics > before);
        assert_eq!(counters.spliced_bytes > 0, bytes > CHUNK);
    }
}

#[test]
fn small_chunks_reach_a_target_that_is_slow() {
    // S142, S143: by the short way while it takes all, else by its queue
    for kind in [Fault::ShortWrite, Fault::WriteBlocked, Fault::SendInterrupted, Fault::ShortRead] {
        let mut bench = Bench::new(never_silent());
        let (a, one) = bench.accepted();
        let (b, two) = bench.accepted_with_window(300);
        bench.link(a, b, LinkOptions::default().water_marks(0, 100));
        bench.sim.set_faults(Faults::none().with(kind, 0.3));
        let data = pattern(50_000);
        let (mut sent, mut got) = (0, Vec::new());
        bench.turn_until("all of it", |_| {
            let next = data.len().min(sent + 200);
            sent += one.send(&data[sent..next]);
            got.extend(two.recv(usize::MAX));
            got.len() >= data.len()
        });
        assert!(got == data, "{kind:?}");
    }
}

#[test]
fn a_link_that_is_undone_or_made_anew_amid_much_loses_nothing() {
    // S142: what was left to the target and not pulled is the handler's, or the next target's
    for anew in [false, true] {
        let mut bench = Bench::new(small_chunks());
        let (a, one) = bench.accepted();
        let (b, two) = bench.accepted();
        let (c, three) = bench.accepted();
        bench.link(a, b, LinkOptions::default());
        let data = pattern(200_000);
        let (mut sent, mut got, mut rest) = (0, Vec::new(), Vec::new());
        let mut undone = false;
        bench.turn_until("all of it", |bench| {
            sent += one.send(&data[sent..]);
            got.extend(two.recv(usize::MAX));
            rest.extend(three.recv(usize::MAX));
            if got.len() > 50_000 && !undone {
                undone = true;
                if anew {
                    bench.link(a, c, LinkOptions::default());
                } else {
                    assert!(bench.local(|local| local.unlink(a)));
                }
            }
            got.len() + rest.len() + bench.input_of(a).len() >= data.len()
        });
        got.extend(rest);
        got.extend(bench.input_of(a));
        assert!(got == data, "anew: {anew}");
    }
}
