//! Each promise that the history keeps watch over is shown to be missed when it is broken.
//!
//! What the loop checks of itself is broken in `reactor/src/drive/check/tests.rs`.
//!
//! Never: plays a world.

use super::history::{Callback, Door, History, SeatState};
use super::place::stream;
use shardpoll_reactor::{ConnId, Credit, Simulation, Tick, incoming};
use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

const NOW: Tick = Tick::from_nanos(1_000);
const LATER: Tick = Tick::from_nanos(2_000);

/// Ids of connections can be had from a loop only.
fn ids() -> [ConnId; 2] {
    let mut world = Simulation::new(shardpoll_reactor::Config::default()).expect("good settings");
    let seen = Rc::new(Cell::new(None));
    let mut connect = || {
        let noted = Rc::clone(&seen);
        let peer = world.connect(incoming(move |conn: &mut shardpoll_reactor::Conn<'_>, _| {
            noted.set(Some(conn.id()));
        }));
        peer.send(b"?");
        world.settle();
        seen.take().expect("it was told")
    };
    [connect(), connect()]
}

/// A history with one connection, and the number of its handler.
struct Bench {
    history: History,
    me: usize,
    number: usize,
    id: ConnId,
}

impl Bench {
    fn new() -> Self {
        let mut history = History::new(1);
        history.turn = 1;
        let me = history.add_record(true);
        let number = history.add_seat(me, SeatState::Serving);
        Self { history, me, number, id: ids()[0] }
    }

    fn connected() -> Self {
        let mut bench = Self::new();
        bench.call(Callback::Connect);
        bench
    }

    /// A whole callback.
    fn call(&mut self, callback: Callback) {
        self.call_at(callback, NOW);
    }

    fn call_at(&mut self, callback: Callback, now: Tick) {
        self.history.enter(self.number, callback, self.id, now);
        self.history.leave();
    }

    #[track_caller]
    fn is_quiet(&self) {
        assert_eq!(self.history.violations, Vec::<String>::new());
    }

    #[track_caller]
    fn accuses(&self, of: &str) {
        let [violation] = &self.history.violations[..] else {
            panic!("one violation is wanted: {:?}", self.history.violations)
        };
        assert!(violation.contains(of), "{violation}");
    }
}

#[test]
fn a_second_disconnect_is_missed_by_nobody() {
    let mut bench = Bench::connected();
    bench.call(Callback::Disconnect);
    bench.is_quiet();
    bench.call(Callback::Disconnect);
    bench.accuses("after on_disconnect");
}

#[test]
fn a_connection_that_is_never_told_of_its_end_is_missed_by_nobody() {
    let mut bench = Bench::connected();
    bench.history.drop_seat(bench.number);
    bench.history.judge();
    bench.accuses("was not told of its end");
}

#[test]
fn a_handler_that_is_kept_or_dropped_twice_is_missed_by_nobody() {
    let mut bench = Bench::connected();
    bench.call(Callback::Disconnect);
    bench.history.judge();
    bench.accuses("never dropped");
    let mut bench = Bench::connected();
    bench.history.drop_seat(bench.number);
    bench.history.drop_seat(bench.number);
    bench.accuses("dropped twice");
}

#[test]
fn a_callback_inside_another_is_missed_by_nobody() {
    let mut bench = Bench::connected();
    bench.history.enter(bench.number, Callback::Incoming, bench.id, NOW);
    bench.history.enter(bench.number, Callback::Drain, bench.id, NOW);
    bench.accuses("inside a callback");
}

#[test]
fn a_callback_on_a_closed_line_is_missed_by_nobody() {
    let mut bench = Bench::connected();
    bench.history.records[bench.me].closing = true;
    bench.call(Callback::Predrain);
    bench.is_quiet();
    bench.call(Callback::Drain);
    bench.accuses("after close");
    for set in [
        |b: &mut Bench| b.history.records[b.me].aborted = true,
        |b: &mut Bench| {
            b.history.records[b.me].panicked = true;
        },
    ] {
        let mut bench = Bench::connected();
        set(&mut bench);
        bench.call(Callback::Disconnect);
        bench.accuses("after a");
    }
}

#[test]
fn a_callback_of_a_handler_that_was_replaced_is_missed_by_nobody() {
    let mut bench = Bench::connected();
    let next = bench.history.add_seat(bench.me, SeatState::Waiting);
    bench.call(Callback::Detach);
    bench.history.enter(next, Callback::Attach, bench.id, NOW);
    bench.history.leave();
    bench.is_quiet();
    bench.call(Callback::Incoming);
    bench.accuses("of a handler that does not serve");
}

#[test]
fn a_handler_that_changes_its_connection_is_missed_by_nobody() {
    let mut bench = Bench::connected();
    bench.id = ids()[1];
    bench.call(Callback::Incoming);
    bench.accuses("has changed its connection");
}

#[test]
fn bytes_that_are_lost_doubled_or_a_strangers_are_missed_by_nobody() {
    let (sender, other) = (7_u64, 8_u64);
    let said = [&sender.to_le_bytes()[..], &stream(sender, 8)[..100]].concat();
    let broken = [
        [&said[..50], &said[51..]].concat(),
        [&said[..50], &said[49..]].concat(),
        [&said[..50], &stream(other, 50)[..50]].concat(),
    ];
    let mut bench = Bench::connected();
    bench.history.take(bench.me, &said[..3], NOW);
    bench.history.take(bench.me, &said[3..], NOW);
    bench.is_quiet();
    for bytes in broken {
        let mut bench = Bench::connected();
        bench.history.take(bench.me, &bytes, NOW);
        bench.accuses("comes what was not sent");
    }
}

#[test]
fn bytes_that_are_missing_at_an_orderly_end_are_missed_by_nobody() {
    let mut bench = Bench::connected();
    bench.call(Callback::Disconnect);
    bench.history.drop_seat(bench.number);
    let peer = bench.history.add_record(false);
    let said = bench.history.say(bench.me, 100);
    bench.history.records[bench.me].written = 100;
    bench.history.records[bench.me].graceful = true;
    bench.history.take(peer, &said[..99], NOW);
    bench.history.judge();
    bench.is_quiet();
    bench.history.records[peer].clean_end = true;
    bench.history.judge();
    bench.accuses("got 99 and an orderly end");
}

#[test]
fn what_is_delivered_while_paused_is_missed_by_nobody() {
    let mut bench = Bench::connected();
    bench.history.records[bench.me].flow.paused = true;
    bench.call(Callback::Drain);
    bench.is_quiet();
    bench.call(Callback::Incoming);
    bench.accuses("while paused");
    let mut bench = Bench::connected();
    bench.history.records[bench.me].flow.paused_until = Some(LATER);
    bench.call_at(Callback::Incoming, LATER);
    bench.is_quiet();
    bench.call(Callback::Incoming);
    bench.accuses("in a timed pause");
}

#[test]
fn what_is_delivered_beyond_a_limit_or_credit_is_missed_by_nobody() {
    let mut bench = Bench::connected();
    bench.history.records[bench.me].flow.rate = Some((1, NOW));
    bench.call(Callback::Incoming);
    bench.history.take(bench.me, &[0; 5], NOW);
    bench.is_quiet();
    bench.call(Callback::Incoming);
    bench.accuses("before the last is paid for");
    let mut bench = Bench::connected();
    bench.history.records[bench.me].flow.credit = Some(Credit::Bytes(5));
    bench.history.take(bench.me, &[0; 5], NOW);
    bench.is_quiet();
    bench.history.take(bench.me, &[0; 1], NOW);
    bench.accuses("beyond its credit");
}

#[test]
fn what_is_sent_while_writes_are_paused_is_missed_by_nobody() {
    let mut bench = Bench::connected();
    let flow = &mut bench.history.records[bench.me].flow;
    assert!(flow.look_at_queue(10), "not locked");
    flow.locked = Some(10);
    assert!(flow.look_at_queue(20) && flow.look_at_queue(20), "more was written");
    assert!(!flow.look_at_queue(19));
}

#[test]
fn silence_that_is_told_early_is_missed_by_nobody() {
    let mut bench = Bench::connected();
    bench.history.records[bench.me].flow.silence_due = LATER;
    bench.call_at(Callback::ReadTimeout, LATER);
    bench.is_quiet();
    bench.call(Callback::ReadTimeout);
    bench.accuses("early");
}

#[test]
fn a_water_mark_that_is_told_twice_is_missed_by_nobody() {
    let mut bench = Bench::connected();
    bench.call(Callback::HighWater);
    bench.call(Callback::LowWater);
    bench.is_quiet();
    bench.call(Callback::LowWater);
    bench.accuses("without on_high_water");
}

#[test]
fn a_timer_that_is_early_twice_in_a_turn_or_stopped_is_missed_by_nobody() {
    let due = LATER;
    let armed = || {
        let mut bench = Bench::new();
        let alarm = bench.history.add_alarm(due);
        bench.history.turn += 1;
        (bench, alarm)
    };
    let (mut bench, alarm) = armed();
    bench.history.ring(alarm, NOW);
    bench.accuses("rings early");
    let (mut bench, alarm) = armed();
    bench.history.ring(alarm, due);
    bench.is_quiet();
    bench.history.arm(alarm, due);
    bench.history.ring(alarm, due);
    bench.accuses("in the turn in which it was armed");
    let (mut bench, alarm) = armed();
    bench.history.disarm(alarm);
    bench.history.ring(alarm, due);
    bench.accuses("after its end");
}

#[test]
fn a_listener_that_accepts_while_paused_or_over_is_missed_by_nobody() {
    let mut bench = Bench::new();
    bench.history.doors.push(Door { paused_until: Some(LATER), ..Door::default() });
    bench.history.accept(0, LATER);
    bench.is_quiet();
    bench.history.accept(0, NOW);
    bench.accuses("accepts while paused");
    let mut bench = Bench::new();
    bench.history.doors.push(Door::default());
    bench.history.close_door(0);
    bench.history.accept(0, NOW);
    bench.accuses("accepts after its end");
}

#[test]
fn a_panic_that_is_not_told_is_missed_by_nobody() {
    let mut bench = Bench::connected();
    bench.history.goes_on = true;
    bench.history.read_timeout = Duration::from_secs(1);
    bench.history.panic(bench.me);
    bench.call(Callback::Panic);
    bench.is_quiet();
    bench.history.turn += 1;
    bench.history.panic(bench.me);
    bench.call(Callback::Drain);
    bench.accuses("and on_panic is another thing");
}
