//! on_low_water: the moment to go on producing, once for each on_high_water.

use shardpoll_tests::{Event, Setup, Version};

const MIB: usize = 1024 * 1024;

/// Produces until the mark is passed, and goes on at the low one, this often.
fn produce(call: &mut shardpoll_tests::Call<'_, '_>, rounds: usize) {
    match (call.event, call.nth) {
        (Event::Incoming(_), _) => call.say_vec(vec![5; 8 * MIB]),
        (Event::LowWater, nth) if nth < rounds => call.say_vec(vec![5; 8 * MIB]),
        (Event::LowWater, _) => call.close(),
        _ => {}
    }
}

#[test]
fn a_producer_that_goes_on_at_the_low_mark_sends_everything() {
    let mut world = Setup::new().start(|call| produce(call, 4));
    let mut peer = world.connect();
    peer.send(b"go");
    let got = peer.read_to_end();
    assert!(got.len() == 32 * MIB && got.iter().all(|&byte| byte == 5), "{}", got.len());
    world.wait_for_end();
    let trace = world.finish();
    assert_eq!(trace.count(&Event::HighWater), 4);
    assert_eq!(trace.count(&Event::LowWater), 4);
}

#[test]
fn the_marks_hold_under_tls() {
    let mut world = Setup::new().tls().start(|call| produce(call, 2));
    let mut peer = world.connect_tls(Version::Tls13);
    peer.send(b"go");
    let got = peer.read_to_end();
    assert!(got.len() == 16 * MIB && got.iter().all(|&byte| byte == 5), "{}", got.len());
    world.wait_for_end();
    let trace = world.finish();
    assert_eq!(trace.count(&Event::HighWater), 2);
    assert_eq!(trace.count(&Event::LowWater), 2);
}

#[test]
fn a_drain_without_pressure_is_no_low_water() {
    let mut world = Setup::new().echo();
    let mut peer = world.connect();
    peer.echo(b"a little");
    world.wait_for_event(&Event::Drain);
    assert_eq!(world.finish().count(&Event::LowWater), 0);
}
