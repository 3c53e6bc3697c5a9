//! Watches: descriptors of others, on Linux and on the simulation (S3, S4, S41 to S44, S139, S140).

use shardpoll::{Tick, WatchInterest};
use shardpoll_tests::{Heard, Rig, read_text};
use std::fs::File;
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::time::Duration;

const READABLE: WatchInterest = WatchInterest::READABLE;
const WRITABLE: WatchInterest = WatchInterest::WRITABLE;
const BOTH: WatchInterest = WatchInterest::BOTH;
const NOTHING: WatchInterest = WatchInterest::NOTHING;
const HOUR: Duration = Duration::from_secs(3600);

fn nothing(_: &mut Heard<'_, '_>) {}

fn take_all(heard: &mut Heard<'_, '_>) {
    if heard.readable {
        heard.read();
    }
}

#[test]
fn a_watch_is_called_for_each_event_until_it_is_closed_and_its_descriptor_stays_open() {
    // S139, S140; scenario 97
    for mut rig in Rig::both() {
        let mut pair = rig.pair();
        let probe = rig.probe("w", |heard| {
            heard.read();
            if heard.nth == 2 {
                heard.watch.close();
            }
        });
        let (ours, back) = (pair.take(), probe.back());
        rig.local(|local| local.watch(ours, READABLE, probe)).expect("room");
        rig.settle();
        assert!(rig.heard().is_empty(), "nothing has come yet");
        pair.send("one");
        rig.settle();
        pair.send("two");
        rig.settle();
        assert_eq!(rig.heard(), ["w readable", "w readable", "w closed", "w dropped"]);
        assert_eq!(rig.live(), 0);
        pair.send("three");
        rig.settle();
        assert!(rig.heard().is_empty() && pair.is_open());
        assert_eq!(back.read(), "three");
    }
}

#[test]
fn what_is_not_taken_is_reported_again() {
    // S3: level-triggered
    for mut rig in Rig::both() {
        let mut pair = rig.pair();
        rig.watch(&mut pair, "w", READABLE, |heard| {
            if heard.nth == 4 {
                heard.read();
            }
        });
        pair.send("left");
        (0..10).for_each(|_| _ = rig.turn());
        assert_eq!(rig.heard(), ["w readable"; 4]);
    }
}

#[test]
fn the_readable_half_comes_first_and_one_that_is_over_has_no_other() {
    // S4
    for mut rig in Rig::both() {
        let (mut pair, mut other) = (rig.pair(), rig.pair());
        rig.watch(&mut pair, "w", BOTH, |heard| {
            if heard.readable {
                heard.read();
            } else {
                heard.watch.set(None, Some(false));
            }
        });
        rig.watch(&mut other, "x", BOTH, |heard| heard.watch.close());
        pair.send("both");
        other.send("both");
        rig.settle();
        let (mut w, x): (Vec<_>, Vec<_>) =
            rig.heard().into_iter().partition(|line| line.starts_with('w'));
        w.truncate(2);
        assert_eq!(w, ["w readable", "w writable"]);
        assert_eq!(x, ["x readable", "x closed", "x dropped"]);
    }
}

#[test]
fn the_end_of_the_other_side_is_something_to_read() {
    // S3
    for mut rig in Rig::both() {
        let mut pair = rig.pair();
        rig.watch(&mut pair, "w", READABLE, |heard| {
            assert_eq!(heard.read(), "");
            heard.watch.close();
        });
        rig.settle();
        pair.finish();
        rig.settle();
        assert_eq!(rig.heard(), ["w readable", "w closed", "w dropped"]);
    }
}

#[test]
fn an_error_is_told_to_whichever_half_is_wanted() {
    // S3: nobody reads the pipe any more
    let mut rig = Rig::linux(shardpoll::Config::default());
    let (reader, mut writer) = std::io::pipe().expect("two descriptors");
    writer.write_all(&[0; 4096]).expect("room");
    let probe = rig.probe("w", |heard| {
        let mut pipe = File::from(heard.watch.fd().try_clone_to_owned().expect("a descriptor"));
        assert!(pipe.write(b"x").is_err());
        heard.watch.close();
    });
    drop(reader);
    rig.local(|local| local.watch(writer, WRITABLE, probe)).expect("room");
    rig.settle();
    assert_eq!(rig.heard(), ["w writable", "w closed", "w dropped"]);
}

#[test]
fn none_leaves_a_half_as_it_is() {
    // S42, S44, B8: the original drops a reading watch here
    for mut rig in Rig::both() {
        let mut pair = rig.pair();
        let id = rig.watch(&mut pair, "w", READABLE, take_all);
        assert!(rig.local(|local| local.set_watch(id, None, Some(false))));
        pair.send("still there");
        rig.settle();
        assert_eq!(rig.heard(), ["w readable"]);
        assert!(rig.local(|local| local.set_watch(id, Some(false), Some(true))));
        pair.send("not asked for");
        rig.settle();
        assert!(rig.heard().iter().all(|line| line == "w writable"));
        assert!(rig.local(|local| local.set_watch(id, None, Some(false))));
        rig.turn();
        let _last = rig.heard();
        rig.settle();
        assert!(rig.heard().is_empty());
        assert!(rig.local(|local| local.set_watch(id, Some(true), None)));
        rig.settle();
        assert_eq!(rig.heard(), ["w readable"]);
    }
}

#[test]
fn the_kernel_is_told_only_what_has_changed_and_once_for_each_callback() {
    // S42
    for mut rig in Rig::both() {
        let mut pair = rig.pair();
        let id = rig.watch(&mut pair, "w", READABLE, |heard| {
            heard.read();
            for on in [false, true, false, true] {
                heard.watch.set(Some(on), Some(!on));
            }
        });
        rig.settle();
        assert_eq!(rig.counters().watch_changes, 1, "registered");
        pair.send("there and back again");
        rig.settle();
        assert_eq!(rig.heard(), ["w readable"]);
        rig.local(|local| local.set_watch(id, Some(true), Some(false)));
        rig.settle();
        assert_eq!(rig.counters().watch_changes, 1, "nothing has changed");
        rig.local(|local| {
            local.set_watch(id, Some(false), None);
            local.set_watch(id, None, Some(true));
        });
        rig.turn();
        assert_eq!(rig.counters().watch_changes, 2, "two changes, one call");
        rig.local(|local| local.stop_watch(id));
        rig.turn();
        assert_eq!(rig.counters().watch_changes, 3, "unregistered");
    }
}

#[test]
fn a_watch_without_interest_costs_nothing_and_still_counts() {
    // S9, S44
    for mut rig in Rig::both() {
        let mut pair = rig.pair();
        let id = rig.watch(&mut pair, "w", NOTHING, take_all);
        pair.send("unheard");
        rig.settle();
        assert_eq!((rig.live(), rig.counters().watch_changes), (1, 0));
        rig.local(|local| local.set_watch(id, Some(true), None));
        rig.settle();
        assert_eq!(rig.heard(), ["w readable"]);
        rig.local(|local| local.set_watch(id, Some(false), None));
        pair.send("unheard");
        rig.settle();
        assert_eq!((rig.live(), rig.counters().watch_changes), (1, 2));
        assert!(rig.heard().is_empty());
    }
}

#[test]
fn one_that_is_stopped_in_a_batch_hears_nothing_of_it() {
    // S5: both are ready at once, and each stops the other
    for mut rig in Rig::both() {
        let (mut one, mut two) = (rig.pair(), rig.pair());
        let ids = std::rc::Rc::new(std::cell::Cell::new(None));
        let stop_others = |ids: &std::rc::Rc<std::cell::Cell<Option<[_; 2]>>>| {
            let ids = std::rc::Rc::clone(ids);
            move |heard: &mut Heard<'_, '_>| {
                let own = heard.watch.id();
                for id in ids.get().into_iter().flatten().filter(|id| *id != own) {
                    assert!(heard.watch.local().stop_watch(id));
                    assert!(!heard.watch.local().stop_watch(id), "once");
                    assert!(!heard.watch.local().set_watch(id, Some(true), None), "over");
                }
                heard.read();
            }
        };
        let first = rig.watch(&mut one, "w", READABLE, stop_others(&ids));
        let second = rig.watch(&mut two, "w", READABLE, stop_others(&ids));
        ids.set(Some([first, second]));
        rig.settle();
        one.send("now");
        two.send("now");
        rig.settle();
        assert_eq!(rig.heard(), ["w readable", "w closed", "w dropped"]);
        assert_eq!(rig.counters().stale_events, 0);
    }
}

#[test]
fn an_id_names_one_watch_for_ever() {
    for mut rig in Rig::both() {
        let (mut one, mut two) = (rig.pair(), rig.pair());
        let old = rig.watch(&mut one, "old", READABLE, nothing);
        rig.local(|local| local.stop_watch(old));
        rig.settle();
        let new = rig.watch(&mut two, "new", READABLE, take_all);
        assert_ne!(old, new);
        assert!(!rig.local(|local| local.stop_watch(old)));
        assert!(!rig.local(|local| local.set_watch(old, Some(false), None)));
        two.send("x");
        rig.settle();
        assert_eq!(rig.heard(), ["old closed", "old dropped", "new readable"]);
    }
}

#[test]
fn one_that_does_not_say_what_to_do_is_not_asked_again() {
    struct Deaf;
    impl shardpoll::Watcher for Deaf {}
    for mut rig in Rig::both() {
        let mut pair = rig.pair();
        let ours = pair.take();
        let id = rig.local(|local| local.watch(ours, BOTH, Deaf)).expect("room");
        pair.send("unheard");
        rig.settle();
        let events = rig.counters().events;
        assert!(events > 0);
        (0..5).for_each(|_| _ = rig.turn());
        assert_eq!((rig.counters().events, rig.live()), (events, 1));
        rig.local(|local| local.stop_watch(id));
        rig.settle();
        // Nobody has taken the descriptor back.
        pair.expect_closed();
    }
}

#[test]
fn a_paused_watch_hears_of_no_input_until_its_time_is_over() {
    // S96, S98, S139; what can be written is told all the same
    for mut rig in Rig::both() {
        let mut pair = rig.pair();
        let long = Duration::from_millis(60);
        let mut due = Tick::MAX;
        rig.watch(&mut pair, "w", BOTH, move |heard| {
            if heard.readable {
                heard.read();
                assert!(heard.watch.local().now() >= due, "too early");
            } else if heard.nth == 1 {
                heard.watch.pause_for(HOUR);
            } else {
                // Replaces the other, and is not ended by an interest that is there already.
                heard.watch.pause_for(long);
                heard.watch.set(Some(true), Some(false));
                due = heard.watch.local().now().saturating_add(long);
            }
        });
        rig.settle();
        pair.send("early");
        rig.turn();
        assert_eq!(rig.heard(), ["w writable", "w writable"]);
        rig.turn_until(1);
        assert_eq!(rig.heard(), ["w readable"]);
        assert_eq!(rig.counters().panics, 0);
    }
}

#[test]
fn what_a_watcher_writes_to_a_connection_is_sent() {
    // S56 from a watch, on a running engine
    struct Bridge(shardpoll::ConnId);
    impl shardpoll::Watcher for Bridge {
        fn on_readable(&mut self, watch: &mut shardpoll::Watch<'_>) {
            let text = read_text(watch.fd());
            watch.local().conn(self.0).expect("open").write(text.as_bytes());
        }
    }
    let mut world = shardpoll_tests::Setup::new().echo();
    let (mut peer, id) = world.connect_and_wait();
    let (ours, mut theirs) = UnixStream::pair().expect("two descriptors");
    world.run(move |local| local.watch(ours, READABLE, Bridge(id))).expect("room");
    theirs.write_all(b"over the bridge").expect("room for a word");
    peer.expect(b"over the bridge");
    let _trace = world.finish();
}
