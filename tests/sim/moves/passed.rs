//! What one loop has accepted is served by another, before any callback; nothing of it is lost when
//! listeners pause or close.

use super::edges::{seen, world};
use super::{LISTENER, World, at};
use shardpoll_reactor::{Accept, Handler, ListenerOptions, Local, Peer, incoming};
use std::cell::Cell;
use std::rc::Rc;

/// A peer of shard 0, which passes all to shard 1; shard 0 has done so when this returns.
fn pass(world: &mut World) -> shardpoll_reactor::SimPeer {
    world.post.borrow_mut().pass_to = Some(1);
    let peer = world.sim.peer(at(0));
    while world.post.borrow().fresh.is_empty() {
        world.loops[0].turn(Some(super::MILLI)).expect("the poller works");
    }
    peer
}

#[test]
fn a_connection_that_is_passed_on_begins_on_the_other_shard() {
    let (mut world, log) = world(false);
    let peer = pass(&mut world);
    assert_eq!(world.post.borrow().open, [0, 0, 0]);
    world.run(20);
    peer.send(b"hi");
    world.run(20);
    assert_eq!(seen(&log), ["1 connect", "1 hi"]);
    let (from, to) = (world.loops[0].counters(), world.loops[1].counters());
    assert_eq!((from.passed_on, from.accepted), (1, 0));
    assert_eq!((to.passed_on, to.accepted), (0, 1));
    assert_eq!(world.post.borrow().open, [0, 1, 0]);
}

#[test]
fn where_the_listener_is_paused_or_gone_it_goes_back() {
    for gone in [false, true] {
        let (mut world, log) = world(false);
        if gone {
            world.loops[1].close_listener(LISTENER);
        } else {
            world.loops[1].local(|local| local.pause_listener(LISTENER));
        }
        let _peer = pass(&mut world);
        world.run(20);
        assert_eq!(seen(&log), ["0 connect"], "gone: {gone}");
        assert_eq!(world.post.borrow().open, [1, 0, 0]);
    }
}

/// Serves nothing, and notes how often it is asked and told of the end.
struct Keeper {
    asked: Rc<Cell<u32>>,
    told: Rc<Cell<u32>>,
}

impl Accept for Keeper {
    fn accept(&mut self, _peer: &Peer) -> Box<dyn Handler> {
        self.asked.set(self.asked.get() + 1);
        Box::new(incoming(|_, _| {}))
    }

    fn on_close(&mut self, _local: &mut Local<'_>) {
        self.told.set(self.told.get() + 1);
    }
}

#[test]
fn a_listener_that_closes_keeps_its_acceptor_for_what_comes_back() {
    let (mut world, _log) = world(false);
    let (asked, told) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
    let keeper = Keeper { asked: Rc::clone(&asked), told: Rc::clone(&told) };
    world.loops[0].close_listener(LISTENER);
    let fd = world.sim.listen(at(0), 64).expect("it is free again");
    let options = ListenerOptions::default();
    let added = world.loops[0].add_listener(LISTENER, fd, options, Box::new(keeper));
    added.expect("no faults");
    world.loops[1].close_listener(LISTENER);
    let peer = pass(&mut world);
    world.post.borrow_mut().owed = true;
    world.loops[0].close_listener(LISTENER);
    world.check();
    assert_eq!((asked.get(), told.get()), (0, 0));
    // Shard 1 has no such listener: it comes back, to one whose socket is closed.
    world.run(20);
    assert_eq!((asked.get(), told.get()), (1, 0));
    assert!(peer.is_connected() && !peer.is_at_end());
    world.loops[0].all_passed_on(LISTENER);
    assert_eq!(told.get(), 1);
    world.check();
}

#[test]
fn a_loop_that_quits_waits_for_what_may_come_back_and_no_longer_than_its_deadline() {
    for forced in [false, true] {
        let (mut world, log) = world(false);
        world.loops[1].close_listener(LISTENER);
        let peer = pass(&mut world);
        world.post.borrow_mut().owed = true;
        let deadline = std::time::Duration::from_secs(1);
        world.loops[0].quit(deadline);
        let turn = |world: &mut World| world.loops[0].turn(Some(super::MILLI)).expect("works");
        for _ in 0..10 {
            assert_eq!(turn(&mut world), shardpoll_reactor::Turn::Live);
        }
        if forced {
            world.sim.advance(deadline);
            assert_eq!(turn(&mut world), shardpoll_reactor::Turn::Drained);
            assert_eq!(seen(&log), Vec::<String>::new());
            continue;
        }
        world.run(40);
        // Served, and closed as all are.
        assert_eq!(seen(&log), ["0 end Asked"]);
        assert!(peer.is_at_end());
        drop(peer);
        world.run(40);
        world.loops[0].all_passed_on(LISTENER);
        assert!(world.loops[0].is_drained());
    }
}
