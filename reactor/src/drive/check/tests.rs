//! What the loop checks of itself is broken on purpose, one thing at a time, and found.
//!
//! Never: breaks anything in a way that user code or a peer could.

use super::*;
use crate::api::{Config, Conn, Connect, incoming};
use crate::core::Door;
use crate::drive::Simulation;
use crate::sys::SimPeer;
use crate::table::Alarm;
use std::time::Duration;

/// A loop with one open connection, whose state is then broken.
struct Broken {
    world: Simulation,
    peer: SimPeer,
    id: ConnId,
}

impl Broken {
    fn new() -> Self {
        let config = Config { max_queued_bytes: 1000, ..Config::default() };
        let mut world = Simulation::new(config).expect("good settings");
        let peer = world.connect(incoming(|_: &mut Conn<'_>, _| {}));
        let ids = world.reactor().core.table.snapshot();
        let is_line = |id: &ConnId| world.reactor().core.table.line(*id).is_some();
        let id = ids.into_iter().find(is_line).expect("one has connected");
        let mut broken = Self { world, peer, id };
        assert_eq!(broken.found(), "");
        broken
    }

    fn line(&mut self) -> &mut Line {
        self.world.reactor().core.line(self.id)
    }

    fn alarm(&mut self) -> &mut Alarm {
        self.world.reactor().core.table.served_with_alarm(self.id).1
    }

    /// What is found to be broken, if anything.
    fn found(&mut self) -> String {
        let reactor = self.world.reactor();
        reactor.check().and_then(|()| reactor.check_edges()).err().unwrap_or_default()
    }

    #[track_caller]
    fn is_found(&mut self, text: &str) {
        let found = self.found();
        assert!(found.contains(text), "{found:?} instead of {text:?}");
    }
}

#[test]
fn a_line_with_work_that_nobody_comes_back_to_is_found() {
    let mut broken = Broken::new();
    broken.line().ready.add(Ready::READABLE);
    broken.is_found("has work, and nobody comes back");
}

#[test]
fn a_line_that_is_on_the_agenda_twice_or_only_says_so_is_found() {
    let mut broken = Broken::new();
    broken.line().on_agenda = true;
    broken.is_found("on_agenda true, on the agenda false");
    let id = broken.id;
    broken.world.reactor().core.agenda.extend([id, id]);
    broken.is_found("on the agenda twice");
}

#[test]
fn input_that_no_event_will_tell_of_is_found() {
    let mut broken = Broken::new();
    broken.peer.send(b"hello");
    broken.world.sim().advance(Duration::from_millis(10));
    let reactor = broken.world.reactor();
    // The wait reports it; whoever loses the report never hears of it again.
    let until = reactor.core.now;
    reactor.sys.wait(&mut reactor.events, until).expect("the poller works");
    broken.is_found("has input in the kernel, and no edge will come");
}

#[test]
fn output_that_no_event_will_carry_on_is_found() {
    let mut broken = Broken::new();
    let id = broken.id;
    broken.line().outbox.push(b"hello");
    broken.world.reactor().core.recount(id);
    broken.line().ready.clear(Ready::WRITABLE);
    let found = broken.world.reactor().check_edges().expect_err("nobody sends it");
    assert!(found.contains("has output, and no edge will come"), "{found}");
}

#[test]
fn a_descriptor_that_belongs_to_nobody_or_is_missing_is_found() {
    let mut broken = Broken::new();
    let addr = std::net::SocketAddr::from(([10, 0, 0, 1], 7));
    let stray = broken.world.sim().listen(addr, 1).expect("no limit");
    broken.world.reactor().fds.push(Some(stray));
    broken.is_found("belongs to nobody");
    broken.world.reactor().fds.pop();
    let slot = broken.id.slot();
    broken.world.reactor().fds[slot] = None;
    broken.is_found("has no descriptor");
}

#[test]
fn more_than_may_be_queued_or_than_is_counted_is_found() {
    let mut broken = Broken::new();
    broken.line().outbox.push(&[7; 10]);
    broken.line().ready.clear(Ready::WRITABLE);
    broken.is_found("counted");
    let mut broken = Broken::new();
    let id = broken.id;
    broken.line().outbox.push(&[7; 1001]);
    broken.world.reactor().core.recount(id);
    broken.line().ready.clear(Ready::WRITABLE);
    broken.is_found("bytes are queued, above 1000");
}

#[test]
fn a_deadline_that_nothing_stands_for_is_found() {
    let mut broken = Broken::new();
    let entry = broken.alarm().entry.take().expect("a read timeout is configured");
    broken.is_found("its alarm stands at");
    broken.alarm().entry = Some(entry);
    broken.world.reactor().core.timers.remove(entry);
    broken.is_found("its alarm stands at");
    // An alarm that is gone would be missed again when the world ends.
    broken.alarm().entry = None;
}

#[test]
fn a_handler_that_is_lost_or_outlives_its_end_is_found() {
    let mut broken = Broken::new();
    broken.line().told = true;
    broken.is_found("was told of its end and has a handler");
    let mut broken = Broken::new();
    broken.line().handler = None;
    broken.is_found("has lost its handler");
}

#[test]
fn a_change_of_stage_past_its_only_way_is_found() {
    let mut broken = Broken::new();
    broken.line().stage = Stage::Lingering { discarded: 0 };
    broken.is_found("is Lingering and was seen to be Open");
}

#[test]
fn bytes_that_stay_staged_and_timers_that_are_forgotten_are_found() {
    let mut broken = Broken::new();
    let id = broken.id;
    broken.world.reactor().core.staging.begin(id, 100, Door::Direct);
    assert!(broken.world.reactor().core.staging.take(id, b"lost"));
    broken.is_found("bytes are staged between turns");
    let mut broken = Broken::new();
    broken.world.local(|local| {
        local.add_timer(Duration::ZERO, |_, _| None);
    });
    let core = &mut broken.world.reactor().core;
    core.timers.start_turn(core.now);
    assert!(core.timers.pop_due().is_some(), "and nobody ends it or arms it again");
    broken.is_found("1 timers run between turns");
}

#[test]
fn a_link_that_one_side_does_not_know_of_is_found() {
    let mut broken = Broken::new();
    let addr = std::net::SocketAddr::from(([10, 0, 0, 1], 7));
    let _far = broken.world.sim().listen(addr, 1).expect("no limit");
    let to = broken.world.local(|local| local.connect(Connect::to(addr), incoming(|_, _| {})));
    let (from, to) = (broken.id, to.expect("not quitting"));
    broken.world.settle();
    broken.world.local(|local| local.link(from, to)).expect("both are there");
    broken.world.settle();
    assert_eq!(broken.found(), "");
    broken.world.reactor().core.line(to).tune().sources.clear();
    broken.is_found("0 times a source");
}
