//! Connections that move between loops, in a simulated world: no byte is lost, whatever the network
//! does, and each loop keeps its invariants.
//!
//! Never: lets a turn go by without a look at the loops from inside.

mod edges;
mod passed;

use super::faults::HARMLESS;
use shardpoll_reactor::tls::rustls::pki_types::ServerName;
use shardpoll_reactor::{
    Config, Connect, Faults, Fresh, Handler, ListenerId, ListenerOptions, Parcel, Peer, Place,
    Reactor, Router, Sim, SimFd as Fd,
};
use shardpoll_tests::{Hopper, Journal, SharedJournal, client_context, server_context};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

const MILLI: Duration = Duration::from_millis(1);
const HERE: ([u8; 4], u16) = ([10, 0, 0, 9], 1);
const LISTENER: ListenerId = ListenerId::new(0);

/// What is on its way between loops.
#[derive(Default)]
struct Post {
    parcels: VecDeque<Parcel<Fd>>,
    fresh: VecDeque<(usize, Fresh<Fd>)>,
    /// Loops that take nothing.
    closed: Vec<usize>,
    /// Where the next fresh ones go, if not where they came.
    pass_to: Option<usize>,
    /// Connections that were accepted, by the loop they are on.
    open: Vec<i64>,
    /// Of a listener that closes, what may come back.
    owed: bool,
}

/// The way from one loop to the others, through the post.
struct Way {
    at: usize,
    post: Rc<RefCell<Post>>,
}

impl Router<Fd> for Way {
    fn shards(&self) -> usize {
        self.post.borrow().open.len()
    }

    fn pass(&mut self, fresh: Fresh<Fd>) -> Option<Fresh<Fd>> {
        let post = &mut *self.post.borrow_mut();
        match post.pass_to {
            Some(to) if to != self.at => {
                post.fresh.push_back((to, fresh));
                None
            }
            _ => Some(fresh),
        }
    }

    fn send(&mut self, parcel: Parcel<Fd>) -> Result<(), Parcel<Fd>> {
        let post = &mut *self.post.borrow_mut();
        if post.closed.contains(&parcel.to()) {
            return Err(parcel);
        }
        post.parcels.push_back(parcel);
        Ok(())
    }

    fn taken(&mut self) {}

    fn settled(&mut self) {}

    fn entered(&mut self) {
        self.post.borrow_mut().open[self.at] += 1;
    }

    fn left(&mut self, _lived: Option<Duration>) {
        self.post.borrow_mut().open[self.at] -= 1;
    }

    fn closed(&mut self, _listener: ListenerId) -> bool {
        !self.post.borrow().owed
    }
}

/// Several loops in one network; the first one listens on a socket, the others have its acceptor
/// on sockets of their own.
struct World {
    sim: Sim,
    loops: Vec<Reactor<Sim>>,
    post: Rc<RefCell<Post>>,
}

fn at(shard: usize) -> SocketAddr {
    let (ip, port) = HERE;
    (ip, port + u16::try_from(shard).expect("a few shards")).into()
}

impl World {
    fn new(
        shards: usize,
        seed: u64,
        tls: bool,
        make: impl Fn() -> Box<dyn Handler> + 'static,
    ) -> Self {
        let sim = Sim::new(seed, Faults::none());
        let post = Rc::new(RefCell::new(Post { open: vec![0; shards], ..Post::default() }));
        let make = Rc::new(make);
        let mut loops = Vec::new();
        for shard in 0..shards {
            let own = if shard == 0 { sim.clone() } else { sim.another_loop() };
            let place = Place::new(u16::try_from(shard).expect("a few shards"), 1);
            let mut reactor = Reactor::new(own, place, Config::default()).expect("a good one");
            reactor.route(Box::new(Way { at: shard, post: Rc::clone(&post) }));
            let make = Rc::clone(&make);
            let accept = move |_: &Peer| make();
            let mut options = ListenerOptions::default();
            options.tls = tls.then(server_context);
            let fd = sim.listen(at(shard), 64).expect("nobody is there yet");
            reactor.add_listener(LISTENER, fd, options, Box::new(accept)).expect("no faults");
            loops.push(reactor);
        }
        Self { sim, loops, post }
    }

    /// A turn of each loop, and what is on its way arrives.
    fn turn(&mut self) {
        for reactor in &mut self.loops {
            reactor.turn(Some(MILLI / 4)).expect("the poller works");
        }
        self.deliver();
        self.check();
    }

    fn deliver(&mut self) {
        let parcels = std::mem::take(&mut self.post.borrow_mut().parcels);
        for parcel in parcels {
            let to = parcel.to();
            self.loops[to].arrive(parcel).expect("there is room");
        }
        let fresh = std::mem::take(&mut self.post.borrow_mut().fresh);
        for (to, fresh) in fresh {
            if let Err(back) = self.loops[to].admit_passed(fresh) {
                self.loops[0].admit_passed(back).expect("whoever has accepted it serves it");
            }
        }
    }

    fn check(&self) {
        for (shard, reactor) in self.loops.iter().enumerate() {
            reactor.check().unwrap_or_else(|broken| panic!("shard {shard}: {broken}"));
            reactor.check_edges().unwrap_or_else(|broken| panic!("shard {shard}: {broken}"));
        }
    }

    fn run(&mut self, turns: usize) {
        for _ in 0..turns {
            self.turn();
        }
    }

    fn moves(&self) -> (u64, u64) {
        let sum = |of: fn(&Reactor<Sim>) -> u64| self.loops.iter().map(of).sum();
        (sum(|it| it.counters().moved_out), sum(|it| it.counters().moved_in))
    }
}

fn journals() -> (SharedJournal, SharedJournal) {
    (SharedJournal::default(), SharedJournal::default())
}

fn faults() -> Faults {
    HARMLESS.into_iter().fold(Faults::none(), |faults, fault| faults.with(fault, 0.1))
}

/// Two hoppers and the stream between them; gives how often they have moved.
fn stream(seed: u64, tls: bool, rough: bool) -> u64 {
    let total = 400_000;
    let (one, other) = journals();
    let accepted = Arc::clone(&one);
    let mut world = World::new(4, seed, tls, move || {
        Box::new(Hopper::new(0, total, rough, seed, Arc::clone(&accepted)))
    });
    world.sim.set_faults(faults());
    let far = Hopper::new(1, total, rough, seed + 1, Arc::clone(&other));
    let name = ServerName::try_from("localhost").expect("a name");
    let to = Connect::to(at(0));
    let to = if tls { to.tls(client_context(), name) } else { to };
    let dialled = world.loops[3].local(|local| local.connect(to, far));
    dialled.expect("no panic").expect("not quitting");
    let over = |journal: &SharedJournal| !journal.lock().expect("whole").ends.is_empty();
    for _ in 0..40_000 {
        world.turn();
        if over(&one) && over(&other) {
            break;
        }
    }
    let mut moves = 0;
    for journal in [one, other] {
        let Journal { moves: own, received, ends, faults } = &*journal.lock().expect("whole");
        assert_eq!(faults, &Vec::<String>::new(), "seed {seed}");
        assert_eq!((*received, ends.len()), (total, 1), "seed {seed}: {ends:?}, {own} moves");
        moves += own;
    }
    let (out, into) = world.moves();
    assert_eq!((out, into), (moves, moves), "seed {seed}");
    moves
}

#[test]
fn no_byte_is_lost_while_both_ends_move_hundreds_of_times() {
    for seed in 0..20 {
        let moves = stream(seed, false, false);
        assert!(moves > 200, "seed {seed}: {moves}");
    }
}

#[test]
fn no_byte_is_lost_under_tls() {
    for seed in 0..10 {
        let moves = stream(seed, true, false);
        assert!(moves > 100, "seed {seed}: {moves}");
    }
}

#[test]
fn pauses_limits_and_locks_move_with_the_connection() {
    for seed in 0..10 {
        for tls in [false, true] {
            stream(seed, tls, true);
        }
    }
}
