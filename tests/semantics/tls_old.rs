//! TLS connections that have answered so often that their sessions do their records themselves:
//! each record of a read is delivered by itself, and a callback may stop in the middle of them.

use shardpoll::PanicPolicy;
use shardpoll_tests::{
    Call, Event, Peer, Seen, Setup, TlsPeer, Version, World, both_worlds, is_simulated, pattern,
};

both_worlds! {
    a_pause_in_the_middle_of_a_read_holds_back_what_lies_behind,
    a_close_in_the_middle_of_a_read_drops_what_lies_behind,
    a_panic_in_the_middle_of_a_read_loses_no_other_record,
    a_panic_that_ends_it_leaves_its_records_to_nobody,
    what_the_kernel_does_not_take_at_once_goes_out_in_order,
    a_record_that_was_changed_ends_it_behind_what_came_before,
}

/// More than the kernel takes of a client that does not read.
fn much() -> usize {
    if is_simulated() { 400_000 } else { 12 * 1024 * 1024 }
}

/// Its session has taken its records over behind 17 answers.
fn grown_old(world: &World) -> TlsPeer {
    let peer = Peer::connect_with_buffer(world.addr(), 4096);
    let mut peer = TlsPeer::over(peer, Version::Tls13);
    peer.handshake().expect("a handshake in time");
    for _ in 0..20 {
        peer.echo(b"#");
    }
    peer
}

/// One record each, in one piece.
fn batch(peer: &mut TlsPeer, words: &[&[u8]]) -> Vec<u8> {
    words.iter().flat_map(|word| peer.seal(&[word])).collect()
}

fn echo(call: &mut Call<'_, '_>) {
    if let Event::Incoming(data) = call.event {
        call.say(data);
    }
}

fn is_word(seen: &Seen, word: &[u8]) -> bool {
    seen.event == Event::incoming(word)
}

fn a_pause_in_the_middle_of_a_read_holds_back_what_lies_behind() {
    // S55
    let mut world = Setup::new().tls().start(|call: &mut Call<'_, '_>| {
        echo(call);
        if *call.event == Event::incoming(b"two") {
            call.pause();
        }
    });
    let mut peer = grown_old(&world);
    let mut wire = batch(&mut peer, &[b"one", b"two", b"three", b"four"]);
    wire.extend(peer.seal_end());
    peer.peer.send(&wire);
    peer.expect(b"onetwo");
    let id = world.wait_for(|seen| is_word(seen, b"two")).conn.expect("a connection");
    world.some_turns();
    world.conn(id, |conn| conn.resume());
    // Held back together, they come together.
    world.wait_for(|seen| is_word(seen, b"threefour"));
    assert_eq!(peer.read_to_end(), b"threefour");
    world.wait_for_end();
    drop(world.finish());
}

fn a_close_in_the_middle_of_a_read_drops_what_lies_behind() {
    // S76
    let mut world = Setup::new().tls().start(|call: &mut Call<'_, '_>| {
        echo(call);
        if *call.event == Event::incoming(b"two") {
            call.close();
        }
    });
    let mut peer = grown_old(&world);
    let wire = batch(&mut peer, &[b"one", b"two", b"three"]);
    peer.peer.send(&wire);
    assert_eq!(peer.read_to_end(), b"onetwo");
    world.wait_for_end();
    assert_eq!(world.finish().count(&Event::incoming(b"three")), 0);
}

fn a_panic_in_the_middle_of_a_read_loses_no_other_record() {
    // S28
    let going_on = Setup::new().config(|c| c.panic_policy = PanicPolicy::Continue);
    let mut world = going_on.tls().start(|call: &mut Call<'_, '_>| {
        assert!(*call.event != Event::incoming(b"two"), "a test's panic");
        echo(call);
    });
    let mut peer = grown_old(&world);
    let wire = batch(&mut peer, &[b"one", b"two", b"three", b"four"]);
    peer.peer.send(&wire);
    peer.expect(b"onethreefour");
    peer.echo(b"and on");
    peer.finish();
    world.wait_for_end();
    world.expect_panics(1);
    drop(world.finish());
}

fn a_panic_that_ends_it_leaves_its_records_to_nobody() {
    // S27
    let mut world = Setup::new().tls().start(|call: &mut Call<'_, '_>| {
        assert!(*call.event != Event::incoming(b"two"), "a test's panic");
        echo(call);
    });
    let (mut one, mut other) = (grown_old(&world), grown_old(&world));
    let wire = batch(&mut one, &[b"one", b"two", b"three"]);
    one.peer.send(&wire);
    assert!(one.ends_without_notice());
    other.echo(b"mine");
    other.finish();
    world.wait_for_end();
    world.expect_panics(1);
    let trace = world.finish();
    assert_eq!(trace.count(&Event::incoming(b"three")), 0);
}

fn what_the_kernel_does_not_take_at_once_goes_out_in_order() {
    // S58 to S62
    let much = much();
    let mut world = Setup::new().tls().start(move |call: &mut Call<'_, '_>| {
        echo(call);
        if *call.event == Event::incoming(b"much") {
            call.say_vec(pattern(much));
            call.say(b"and the rest");
        }
    });
    let mut peer = grown_old(&world);
    let wire = batch(&mut peer, &[b"much", b"more"]);
    peer.peer.send(&wire);
    peer.expect(&[b"much", &pattern(much)[..], b"and the rest", b"more"].concat());
    peer.finish();
    world.wait_for_end();
    drop(world.finish());
}

fn a_record_that_was_changed_ends_it_behind_what_came_before() {
    let mut world = Setup::new().tls().start(echo);
    let mut peer = grown_old(&world);
    let mut wire = batch(&mut peer, &[b"one", b"two"]);
    *wire.last_mut().expect("two records") ^= 1;
    peer.peer.send(&wire);
    world.wait_for(|seen| is_word(seen, b"one"));
    let end = world.wait_for_end();
    assert!(end.cause.contains("DecryptError"), "{}", end.cause);
    drop(world.finish());
}
