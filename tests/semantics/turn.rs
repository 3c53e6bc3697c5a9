//! One turn and many: interruptions, the end, the calendar, a host's own thread (S7, S8, S9, S23).

use shardpoll_reactor::{Config, Fault, Faults, Linux, Place, Reactor, Sim, Turn, Wake};
use shardpoll_tests::{Alone, PATIENCE, Rig};
use std::fs;
use std::process::Command;
use std::time::{Duration, Instant, SystemTime};

/// The example of a loop inside a thread of its host.
#[path = "../../reactor/examples/embed.rs"]
mod embed;

/// Stops and continues a process until it says something: a wait ends then, as by a handler
/// (signal(7)).
fn interrupt(alone: &Alone) -> String {
    let since = Instant::now();
    while since.elapsed() < PATIENCE {
        alone.signal("STOP");
        let stopped = || {
            let stat = fs::read_to_string(format!("/proc/{}/stat", alone.id()));
            stat.is_ok_and(|stat| stat.contains(") T "))
        };
        while !stopped() && since.elapsed() < PATIENCE {}
        alone.signal("CONT");
        if let Some(line) = alone.line_within(Duration::from_millis(100)) {
            return line;
        }
    }
    panic!("it does not notice");
}

#[test]
fn an_interrupted_wait_is_told_when_asked_for_and_else_a_turn_without_events() {
    // S7
    for (asked, answer) in [("asked", "Interrupted 0"), ("unasked", "Live 0")] {
        let program = env!("CARGO_BIN_EXE_alone");
        let alone = Alone::start(Command::new(program).args(["interrupted", asked]));
        assert_eq!(alone.line(), "waits");
        assert_eq!(interrupt(&alone), answer);
        assert_eq!(alone.end(), Some(0));
    }
}

#[test]
fn an_interrupted_turn_does_what_is_due() {
    // S7, S12
    let faults = Faults::none().with(Fault::WaitInterrupted, 1.0);
    let sim = Sim::new(1, faults);
    let mut reactor = Reactor::new(sim.clone(), Place::FIRST, Config::default()).expect("good");
    assert_eq!(reactor.turn(Some(Duration::ZERO)).expect("no error"), Turn::Live);
    reactor.interruptible(true);
    let (ran, runs) = std::sync::mpsc::channel();
    reactor.local(|local| {
        local.add_timer(Duration::ZERO, move |_, _| {
            ran.send(()).expect("the test listens");
            None
        })
    });
    assert_eq!(reactor.run().expect("no error"), Turn::Interrupted);
    assert!(runs.try_recv().is_ok());
    sim.set_faults(Faults::none());
    assert_eq!(reactor.turn(Some(Duration::ZERO)).expect("no error"), Turn::Live);
    sim.set_faults(Faults::none().with(Fault::WaitInterrupted, 1.0));
    reactor.quit(Duration::ZERO);
    assert_eq!(reactor.run().expect("no error"), Turn::Drained, "the end comes first");
}

#[test]
fn a_loop_runs_until_it_is_told_to_quit_and_is_empty() {
    // S9, S148
    let linux = Linux::new().expect("descriptors");
    let mut reactor = Reactor::new(linux, Place::FIRST, Config::default()).expect("good");
    let waker = reactor.waker();
    let turns = std::thread::scope(|scope| {
        scope.spawn(move || waker.wake());
        assert_eq!(reactor.turn(None).expect("no error"), Turn::Live);
        reactor.quit(Duration::from_secs(3600));
        assert_eq!(reactor.run().expect("no error"), Turn::Drained);
        reactor.counters().turns
    });
    assert_eq!(turns, 2, "an empty loop waits for nothing");
}

#[test]
fn a_time_of_the_loop_is_a_time_of_the_calendar() {
    // S23
    let hour = Duration::from_secs(3600);
    let mut linux = Rig::linux(Config::default());
    let before = SystemTime::now();
    linux.turn();
    let (now, later) = linux.local(|local| {
        let now = local.now();
        (local.wall_time(now), local.wall_time(now.saturating_add(hour)))
    });
    let after = SystemTime::now();
    // Read from two clocks, one after the other.
    let slack = Duration::from_millis(10);
    assert!(before <= now + slack && now <= after + slack, "{before:?}, {now:?}, {after:?}");
    assert!(later > now + hour - slack);
}

#[test]
fn in_a_simulation_the_calendar_is_simulated_too() {
    // S23: the year 2000 began 946,684,800 seconds after 1970
    let sim = Sim::new(1, Faults::none());
    let mut reactor = Reactor::new(sim.clone(), Place::FIRST, Config::default()).expect("good");
    let mut read = || reactor.local(|local| local.wall_time(local.now())).expect("no panic");
    let first = read();
    let begin = SystemTime::UNIX_EPOCH + Duration::from_secs(946_684_800);
    assert!(first >= begin && first < begin + Duration::from_secs(1));
    sim.advance(Duration::from_secs(86_400));
    assert_eq!(read(), first + Duration::from_secs(86_400));
}

#[test]
fn the_example_of_an_embedder_runs() {
    embed::main().expect("it ends by itself");
}
