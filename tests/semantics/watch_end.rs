//! The end of watches: asked for, by a panic, with the loop, and before the beginning (S138 to
//! S140, S146, S150).

use shardpoll::{Config, PanicPolicy, Refused, WatchInterest};
use shardpoll_reactor::{Fault, Faults, Turn};
use shardpoll_tests::{Heard, Rig, read_text};
use std::fs::File;
use std::os::fd::AsFd;
use std::time::Duration;

const READABLE: WatchInterest = WatchInterest::READABLE;
const BOTH: WatchInterest = WatchInterest::BOTH;
const HOUR: Duration = Duration::from_secs(3600);

fn nothing(_: &mut Heard<'_, '_>) {}

fn take_all(heard: &mut Heard<'_, '_>) {
    if heard.readable {
        heard.read();
    }
}

#[test]
fn close_all_and_quit_give_descriptors_back() {
    // S140, S146, B35
    for quits in [false, true] {
        for mut rig in Rig::both() {
            let (mut one, mut two) = (rig.pair(), rig.pair());
            let probe = rig.probe("w", nothing);
            let back = probe.back();
            let ours = one.take();
            rig.local(|local| local.watch(ours, READABLE, probe)).expect("room");
            rig.settle();
            // One that the kernel does not know of yet.
            let late = rig.watch(&mut two, "late", WatchInterest::NOTHING, nothing);
            if quits {
                rig.quit(HOUR);
            } else {
                rig.local(|local| local.close_all());
            }
            let turn = rig.turn();
            assert_eq!(turn, if quits { Turn::Drained } else { Turn::Live }, "S9");
            let mut heard = rig.heard();
            heard.sort();
            assert_eq!(heard, ["late closed", "late dropped", "w closed", "w dropped"]);
            assert!(!rig.local(|local| local.stop_watch(late)));
            one.send("open");
            assert_eq!(read_text(back.take().as_fd()), "open");
            // By the test, which had it.
            one.expect_closed();
        }
    }
}

#[test]
fn who_quits_watches_nothing_new() {
    // S150, O5: no callback after a refusal
    for mut rig in Rig::both() {
        let mut pair = rig.pair();
        rig.quit(Duration::ZERO);
        let (ours, probe) = (pair.take(), rig.probe("w", nothing));
        let refused = rig.local(|local| local.watch(ours, READABLE, probe));
        assert_eq!(refused, Err(Refused::Quitting));
        pair.expect_closed();
        assert_eq!(rig.turn(), Turn::Drained);
        assert_eq!(rig.heard(), ["w dropped"]);
    }
}

#[test]
fn a_panic_ends_the_watch_and_closes_its_descriptor() {
    // O3
    for mut rig in Rig::both() {
        let (mut bad, mut good) = (rig.pair(), rig.pair());
        rig.watch(&mut bad, "bad", BOTH, |_| panic!("a test's panic"));
        rig.watch(&mut good, "good", READABLE, take_all);
        bad.send("x");
        good.send("x");
        rig.settle();
        let mut heard = rig.heard();
        heard.sort();
        assert_eq!(heard, ["bad dropped", "bad readable", "good readable"]);
        assert_eq!((rig.counters().panics, rig.live()), (1, 1));
        bad.expect_closed();
    }
}

#[test]
fn a_watch_goes_on_after_a_panic_when_the_policy_says_so() {
    // O3, S27
    for mut rig in Rig::both_with(|config| config.panic_policy = PanicPolicy::Continue) {
        let mut pair = rig.pair();
        rig.watch(&mut pair, "w", READABLE, |heard| {
            heard.read();
            assert!(heard.nth > 1, "a test's panic");
        });
        for _ in 0..2 {
            pair.send("x");
            rig.settle();
        }
        assert_eq!(rig.heard(), ["w readable", "w readable"]);
        assert_eq!((rig.counters().panics, rig.live()), (1, 1));
    }
}

#[test]
fn what_cannot_be_watched_comes_back_with_the_reason() {
    // S139: the original loses the error
    let mut linux = Rig::linux(Config::default());
    let file = File::open(env!("CARGO_MANIFEST_PATH")).expect("a regular file");
    let probe = linux.probe("w", nothing);
    let back = probe.back();
    linux.local(|local| local.watch(file, READABLE, probe)).expect("room");
    linux.settle();
    let heard = linux.heard();
    assert!(heard[0].starts_with("w failed Operation not permitted"), "{heard:?}");
    assert_eq!((heard.len(), linux.live()), (2, 0));
    assert!(back.read().starts_with("[package]"));

    let faults = Faults::none().with(Fault::RegisterRefused, 1.0);
    let mut sim = Rig::sim(Config::default(), faults);
    let mut pair = sim.pair();
    sim.watch(&mut pair, "w", READABLE, nothing);
    sim.settle();
    let heard = sim.heard();
    assert!(heard[0].starts_with("w failed No space left on device"), "{heard:?}");
    assert_eq!((heard.len(), sim.live()), (2, 0));
}

#[test]
fn a_descriptor_that_came_back_can_be_watched_again() {
    for mut rig in Rig::both() {
        let mut pair = rig.pair();
        let probe = rig.probe("one", nothing);
        let (ours, back) = (pair.take(), probe.back());
        let id = rig.local(|local| local.watch(ours, BOTH, probe)).expect("room");
        rig.turn();
        rig.local(|local| local.stop_watch(id));
        rig.turn();
        let _before = rig.heard();
        let again = rig.probe("two", take_all);
        rig.local(|local| local.watch(back.take(), READABLE, again)).expect("room");
        pair.send("x");
        rig.settle();
        assert_eq!(rig.heard(), ["two readable"]);
    }
}

#[test]
fn a_loop_that_is_dropped_closes_what_it_watches() {
    for mut rig in Rig::both() {
        let mut pair = rig.pair();
        rig.watch(&mut pair, "w", READABLE, nothing);
        rig.turn();
        drop(rig);
        pair.expect_closed();
    }
}

#[test]
fn an_event_that_comes_too_late_is_nobodys() {
    // S5: for a registration that has ended; its slot has another owner by now
    let faults = Faults::none().with(Fault::StaleEvent, 1.0);
    let mut rig = Rig::sim(Config::default(), faults);
    let (mut one, mut two) = (rig.pair(), rig.pair());
    let old = rig.watch(&mut one, "old", READABLE, nothing);
    rig.settle();
    rig.local(|local| local.stop_watch(old));
    rig.turn();
    rig.watch(&mut two, "new", BOTH, |heard| heard.watch.set(None, Some(false)));
    rig.turn();
    let before = rig.counters().stale_events;
    rig.settle();
    assert_eq!(rig.counters().stale_events, before + 2);
    assert_eq!(rig.heard(), ["old closed", "old dropped", "new writable"]);
}
