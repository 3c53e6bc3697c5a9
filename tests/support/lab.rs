//! The simulated side of the harness: loops, peers and a clock in the hands of one thread.
//!
//! ```text
//!   in_sim(test) ──► the thread's Lab: one Sim, a loop for each World, a SimPeer for each Peer
//!   World, Peer  ──► step(): one turn of each loop, and what must hold after it
//! ```
//!
//! Nothing happens but in a step, so whoever waits for something steps until it has come. Time is
//! the simulation's: a wait of hours takes no longer than the turns in it.
//!
//! Never: starts a thread, opens a socket, or reads a clock.
//!
//! Invariants:
//! 1. A loop is taken out of the lab while it turns, so that its callbacks may reach the lab.

use crate::PATIENCE;
use shardpoll::{Config, ConnId, DrainPlan, EngineState, ListenerId, Local, ShardReport, Tick};
use shardpoll_reactor::{
    Acceptor, Events, Faults, ListenerOptions, Place, Reactor, Sim, SimFd, SimPeer, Sys, Turn,
};
use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::sync::mpsc::{Receiver, TryRecvError};
use std::time::Duration;

/// The longest wait of one turn: how coarse the clock of a peer is.
const QUANTUM: Duration = Duration::from_millis(1);

/// What a turn takes: without it a loop that always has work would stand still in time.
const TURN: Duration = Duration::from_micros(50);

/// What other threads would post.
pub(crate) type Job = Box<dyn FnOnce(&mut Local<'_>)>;

/// A loop and what it is asked to do.
struct Shard {
    /// None while it turns, and once it is over.
    reactor: Option<Reactor<Sim>>,
    jobs: VecDeque<Job>,
    /// It rests for as long as the other end of this is there.
    held: Option<Receiver<()>>,
    listeners: u32,
    over: bool,
    report: Option<ShardReport>,
}

struct Lab {
    /// Watches nothing: passes time when no loop may.
    sim: Sim,
    shards: Vec<Shard>,
    peers: HashMap<usize, SimPeer>,
    /// Listeners of no loop.
    outside: HashMap<usize, SimFd>,
    next: usize,
}

thread_local! {
    static LAB: RefCell<Option<Lab>> = const { RefCell::new(None) };
}

/// Whether this thread's test runs in the simulation.
#[must_use]
pub fn is_on() -> bool {
    LAB.with_borrow(Option::is_some)
}

fn with<R>(f: impl FnOnce(&mut Lab) -> R) -> R {
    LAB.with_borrow_mut(|lab| f(lab.as_mut().expect("the test runs in the simulation")))
}

/// Runs a test in the simulation.
///
/// # Panics
/// As the test does; also when it leaves a loop or a descriptor behind.
pub fn in_sim(test: fn()) {
    let lab = Lab {
        sim: Sim::new(1, Faults::none()),
        shards: Vec::new(),
        peers: HashMap::new(),
        outside: HashMap::new(),
        next: 0,
    };
    LAB.set(Some(lab));
    let guard = Guard;
    test();
    std::mem::forget(guard);
    let lab = LAB.take().expect("set above");
    let left = lab.shards.iter().filter(|shard| !shard.over).count();
    assert_eq!(left, 0, "loops are left");
    drop(lab.outside);
    assert_eq!(lab.sim.open_descriptors(), 0, "descriptors are left");
}

/// Takes the lab away from the thread of a test that has failed.
struct Guard;

impl Drop for Guard {
    fn drop(&mut self) {
        drop(LAB.take());
    }
}

/// The simulation's clock.
pub(crate) fn now() -> Tick {
    with(|lab| lab.sim.time())
}

/// Whether this much time has passed since then.
pub(crate) fn has_passed(since: Tick, time: Duration) -> bool {
    now() >= since.saturating_add(time)
}

/// One turn of every loop that may turn.
pub(crate) fn step() {
    let count = with(|lab| lab.shards.len());
    let turned = (0..count).filter(|&shard| turn(shard)).count();
    if turned == 0 {
        let mut sim = with(|lab| lab.sim.clone());
        let until = sim.time().saturating_add(QUANTUM);
        // Nothing is watched, so there is no event to have room for.
        sim.wait(&mut Events::default(), until).expect("a simulated poller does not fail");
    }
}

/// Lets this much time pass.
pub(crate) fn pass(time: Duration) {
    let begun = now();
    while !has_passed(begun, time) {
        step();
    }
}

/// One turn, and what must hold after it; false when it may not turn.
fn turn(index: usize) -> bool {
    let taken = with(|lab| {
        let shard = &mut lab.shards[index];
        let held = shard.held.as_ref().is_some_and(|h| h.try_recv() == Err(TryRecvError::Empty));
        let reactor = if held { None } else { shard.reactor.take() };
        reactor.map(|reactor| (reactor, std::mem::take(&mut shard.jobs)))
    });
    let Some((mut reactor, mut jobs)) = taken else { return false };
    let wait = if jobs.is_empty() { QUANTUM } else { Duration::ZERO };
    let turned = reactor.turn_with(Some(wait), |local| {
        let Some(job) = jobs.pop_front() else { return false };
        job(local);
        true
    });
    let turned = turned.expect("a simulated poller does not fail");
    let held = reactor.check().and_then(|()| reactor.check_edges());
    held.expect("an invariant of the loop");
    with(|lab| lab.sim.advance(TURN));
    if turned == Turn::Drained {
        let over = (reactor.descriptors(), reactor.local(|local| local.live()));
        assert_eq!(over, (0, Some(0)), "drained, but something is left");
        let report = reactor.drain_report();
        // Dropped here: what is left on it is the user's.
        drop(reactor);
        with(|lab| {
            lab.shards[index].over = true;
            lab.shards[index].report = Some(report);
        });
    } else {
        with(|lab| lab.shards[index].reactor = Some(reactor));
    }
    true
}

/// Does something with a loop between two turns; `None` when it is over.
fn outside<R>(index: usize, f: impl FnOnce(&mut Reactor<Sim>) -> R) -> Option<R> {
    let mut reactor = with(|lab| lab.shards.get_mut(index)?.reactor.take())?;
    let result = f(&mut reactor);
    with(|lab| lab.shards[index].reactor = Some(reactor));
    Some(result)
}

/// Begins a loop; gives its number.
pub(crate) fn start(config: Config) -> usize {
    with(|lab| {
        let sim = lab.sim.another_loop();
        let number = u32::try_from(lab.shards.len()).expect("a test has few loops");
        let reactor = Reactor::new(sim, Place::new(0, number), config).expect("a good config");
        let reactor = Some(reactor);
        let (jobs, held) = (VecDeque::new(), None);
        lab.shards.push(Shard { reactor, jobs, held, listeners: 0, over: false, report: None });
        lab.shards.len() - 1
    })
}

/// Listens at an address of its own.
pub(crate) fn listen(index: usize, options: ListenerOptions, accept: Acceptor) -> SocketAddr {
    let (addr, fd, id) = with(|lab| {
        lab.next += 1;
        let port = u16::try_from(lab.next).expect("a test has few listeners");
        let addr = SocketAddr::from(([10, 9, 9, 9], port));
        let fd = lab.sim.listen(addr, 1024).expect("nobody is there yet");
        let shard = &mut lab.shards[index];
        shard.listeners += 1;
        (addr, fd, ListenerId::new(shard.listeners - 1))
    });
    let added = outside(index, |reactor| reactor.add_listener(id, fd, options, accept));
    added.expect("it is not over").expect("no faults");
    addr
}

/// Posts what the loop does in its next turn.
pub(crate) fn post(index: usize, job: Job) {
    with(|lab| lab.shards[index].jobs.push_back(job));
}

/// The loop rests for as long as the other end of this is there.
pub(crate) fn hold(index: usize, held: Receiver<()>) {
    with(|lab| lab.shards[index].held = Some(held));
}

/// An order overtakes nothing that was posted before it.
fn after_jobs(index: usize, order: impl FnOnce(&mut Reactor<Sim>)) {
    let jobs = with(|lab| std::mem::take(&mut lab.shards[index].jobs));
    outside(index, |reactor| {
        for job in jobs {
            reactor.local(job);
        }
        order(reactor);
    });
}

/// Tells a loop to end; no-op for one that has.
pub(crate) fn quit(index: usize, forced_after: Duration) {
    after_jobs(index, |reactor| reactor.quit(forced_after));
}

/// Tells a loop to drain; no-op for one that is over.
pub(crate) fn drain(index: usize, plan: DrainPlan) {
    after_jobs(index, |reactor| reactor.drain(plan));
}

/// Withdraws what a loop was told about its end.
pub(crate) fn cancel_quit(index: usize) {
    after_jobs(index, Reactor::cancel_quit);
}

/// How far a loop is.
pub(crate) fn state(index: usize) -> EngineState {
    outside(index, |reactor| reactor.state()).unwrap_or(EngineState::Closed)
}

/// Closes all connections and listeners of a loop.
pub(crate) fn close_all(index: usize) {
    after_jobs(index, |reactor| {
        reactor.local(|local| local.close_all());
    });
}

/// What a loop that is over has reported; `None` while it is not.
pub(crate) fn report(index: usize) -> Option<ShardReport> {
    with(|lab| lab.shards[index].report)
}

/// Ends a loop whose test is over, maybe by a panic.
pub(crate) fn abandon(index: usize) {
    let reactor = LAB.try_with(|lab| {
        let mut lab = lab.try_borrow_mut().ok()?;
        let shard = lab.as_mut()?.shards.get_mut(index)?;
        shard.over = true;
        shard.reactor.take()
    });
    drop(reactor);
}

/// An address where nobody listens.
pub(crate) fn nowhere() -> SocketAddr {
    SocketAddr::from(([10, 9, 9, 8], 9))
}

/// A listener whose queue is always full; it is there until the test ends.
pub(crate) fn full_listener() -> SocketAddr {
    with(|lab| {
        lab.next += 1;
        let port = u16::try_from(lab.next).expect("a test has few listeners");
        let addr = SocketAddr::from(([10, 9, 9, 7], port));
        let fd = lab.sim.listen(addr, 0).expect("nobody is there yet");
        lab.outside.insert(lab.next, fd);
        addr
    })
}

/// Begins to connect from outside; gives the peer's number.
pub(crate) fn dial(to: SocketAddr, window: Option<usize>) -> usize {
    with(|lab| {
        let peer = match window {
            Some(window) => lab.sim.peer_with_window(to, window),
            None => lab.sim.peer(to),
        };
        keep(lab, peer)
    })
}

/// Begins to connect from this address; gives the peer's number.
pub(crate) fn dial_from(to: SocketAddr, from: IpAddr) -> usize {
    with(|lab| {
        // Ports of the simulation's own choice begin above.
        let port = u16::try_from(lab.next).expect("a test has few peers");
        let peer = lab.sim.peer_from(to, SocketAddr::new(from, port));
        keep(lab, peer)
    })
}

fn keep(lab: &mut Lab, peer: SimPeer) -> usize {
    lab.next += 1;
    lab.peers.insert(lab.next, peer);
    lab.next
}

/// Does something with a peer.
pub(crate) fn peer<R>(number: usize, f: impl FnOnce(&SimPeer) -> R) -> R {
    with(|lab| f(&lab.peers[&number]))
}

/// Closes a peer's side.
pub(crate) fn hang_up(number: usize) {
    let peer = LAB.try_with(|lab| lab.try_borrow_mut().ok()?.as_mut()?.peers.remove(&number));
    drop(peer);
}

/// Waits until something is there.
///
/// # Errors
/// When it is not there in time.
pub(crate) fn wait_for<R>(mut look: impl FnMut() -> Option<R>) -> Result<R, ()> {
    let begun = now();
    loop {
        if let Some(found) = look() {
            return Ok(found);
        }
        if has_passed(begun, PATIENCE) {
            return Err(());
        }
        step();
    }
}

/// Writes to a connection, as a letter would.
pub(crate) fn write(index: usize, id: ConnId, data: Vec<u8>) {
    let job = move |local: &mut Local<'_>| {
        if let Some(mut conn) = local.conn(id) {
            conn.write_vec(data);
        }
    };
    post(index, Box::new(job));
}

/// Closes a connection, as a letter would.
pub(crate) fn close(index: usize, id: ConnId) {
    let job = move |local: &mut Local<'_>| {
        if let Some(mut conn) = local.conn(id) {
            conn.close();
        }
    };
    post(index, Box::new(job));
}
