//! All connections of the load on one shard, and the phases they go through together.
//!
//! ```text
//!   launch            all are up          begin              duration over, or stop
//!     │ Connecting ──────────────► Ready ───────► Running ───────────────► Draining ──► Done
//!     └── one fails: Event::Failed                          nothing in flight, or grace over
//! ```
//!
//! Never: shared between threads; the main thread sends letters, and reads [`Event`]s and a
//! counter.
//!
//! Invariants:
//! 1. `in_flight` is the sum over all live connections.
//! 2. [`Event::Quiet`] is sent exactly once after [`begin`].

use crate::client::Client;
use crate::reach::Endpoint;
use hdrhistogram::Histogram;
use shardpoll::{ConnId, Local};
use shardpoll_bench::clock::Clock;
use std::cell::RefCell;
use std::ops::Range;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::Sender;
use std::time::Duration;

/// How long an echo may still take after the last message was sent.
pub(crate) const GRACE: Duration = Duration::from_secs(2);

/// Connections a shard establishes at a time: well below what listeners queue, since one that does
/// not fit is tried again by the kernel only after a second.
const DIALS_AT_A_TIME: u64 = 64;

/// Messages are made in pieces of at most this.
const SCRATCH_BYTES: usize = 64 * 1024;

/// Latencies are kept from 1 ns to 10 minutes, with three digits.
const LONGEST_NANOS: u64 = 600_000_000_000;

/// What one shard is to do.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) endpoint: Endpoint,
    /// The numbers of its connections.
    pub(crate) numbers: Range<u64>,
    pub(crate) size: usize,
    pub(crate) depth: usize,
    pub(crate) duration: Duration,
}

/// What a shard tells the main thread.
#[derive(Debug)]
pub(crate) enum Event {
    /// All its connections are up.
    Ready,
    /// One connection could not be established, or ended before the load began.
    Failed(String),
    /// The load is over.
    Quiet(Box<Tally>),
}

/// What a shard has counted.
#[derive(Debug)]
pub(crate) struct Tally {
    /// Of each message that came back, in nanoseconds.
    pub(crate) latencies: Histogram<u64>,
    /// Messages that came back as they were sent.
    pub(crate) messages: u64,
    /// How many of these while sending went on, and how long that was.
    pub(crate) in_window: u64,
    pub(crate) window: Duration,
    /// Messages that did not come back.
    pub(crate) lost: u64,
    /// Connections that ended before we ended them.
    pub(crate) broken: u64,
    /// Connections on which a byte was wrong.
    pub(crate) wrong: u64,
    /// What was the first to go wrong.
    pub(crate) first_fault: Option<String>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Phase {
    Connecting,
    Ready,
    Running,
    Draining,
    Done,
}

pub(crate) struct State {
    phase: Phase,
    /// The number of the connection to dial next.
    next: u64,
    up: Vec<ConnId>,
    alive: u64,
    pub(crate) in_flight: u64,
    begun: u64,
    pub(crate) scratch: Vec<u8>,
    pub(crate) tally: Tally,
}

pub(crate) struct Swarm {
    pub(crate) plan: Plan,
    pub(crate) clock: Clock,
    pub(crate) state: RefCell<State>,
    events: Sender<Event>,
    /// Connections established, then messages echoed: for the progress line only.
    progress: Arc<AtomicU64>,
}

thread_local! {
    /// This shard's: letters from the main thread cannot carry an `Rc`.
    static SWARM: RefCell<Option<Rc<Swarm>>> = const { RefCell::new(None) };
}

/// A letter: begins to connect.
pub(crate) fn launch(
    local: &mut Local<'_>,
    plan: Plan,
    events: Sender<Event>,
    progress: Arc<AtomicU64>,
) {
    let latencies =
        Histogram::new_with_bounds(1, LONGEST_NANOS, 3).expect("the bounds are constants that fit");
    let tally = Tally {
        latencies,
        messages: 0,
        in_window: 0,
        window: Duration::ZERO,
        lost: 0,
        broken: 0,
        wrong: 0,
        first_fault: None,
    };
    let state = State {
        phase: Phase::Connecting,
        next: plan.numbers.start,
        up: Vec::new(),
        alive: 0,
        in_flight: 0,
        begun: 0,
        scratch: vec![0; plan.size.min(SCRATCH_BYTES)],
        tally,
    };
    let state = RefCell::new(state);
    let swarm = Rc::new(Swarm { plan, clock: Clock::start(), state, events, progress });
    SWARM.with_borrow_mut(|this| *this = Some(Rc::clone(&swarm)));
    for _ in 0..DIALS_AT_A_TIME {
        swarm.dial_next(local);
    }
}

/// A letter: begins to send.
pub(crate) fn begin(local: &mut Local<'_>) {
    let Some(swarm) = SWARM.with_borrow(Clone::clone) else { return };
    let up = {
        let state = &mut *swarm.state.borrow_mut();
        if state.phase != Phase::Ready {
            return;
        }
        state.phase = Phase::Running;
        state.begun = swarm.clock.nanos();
        std::mem::take(&mut state.up)
    };
    let duration = swarm.plan.duration;
    local.add_timer(duration, |local, _| {
        stop(local);
        None
    });
    for id in up {
        local.with::<Client, _>(id, Client::begin);
    }
    if swarm.state.borrow().alive == 0 {
        swarm.stop(local);
    }
}

/// A letter: sends no more, and waits for what is in flight.
pub(crate) fn stop(local: &mut Local<'_>) {
    if let Some(swarm) = SWARM.with_borrow(Clone::clone) {
        swarm.stop(local);
    }
}

impl Swarm {
    pub(crate) fn phase(&self) -> Phase {
        self.state.borrow().phase
    }

    /// Shows the main thread how far it is.
    pub(crate) fn publish(&self, count: u64) {
        self.progress.store(count, Ordering::Relaxed);
    }

    fn tell(&self, event: Event) {
        // A main thread that no longer listens has given up already.
        let _gone = self.events.send(event);
    }

    fn dial_next(self: &Rc<Self>, local: &mut Local<'_>) {
        let number = {
            let state = &mut *self.state.borrow_mut();
            if state.next == self.plan.numbers.end {
                return;
            }
            state.next += 1;
            state.next - 1
        };
        let endpoint = &self.plan.endpoint;
        let mut connect = endpoint.connect(number);
        if let Some((context, name)) = endpoint.tls()
            && endpoint.begins_with_tls()
        {
            connect = connect.tls(context, name);
        }
        match local.connect(connect, Client::new(Rc::clone(self), number)) {
            Ok(id) => {
                let state = &mut *self.state.borrow_mut();
                state.up.push(id);
                state.alive += 1;
            }
            Err(refused) => self.tell(Event::Failed(refused.to_string())),
        }
    }

    /// One more connection is up.
    pub(crate) fn connected(self: &Rc<Self>, local: &mut Local<'_>) {
        let count = self.progress.load(Ordering::Relaxed) + 1;
        self.publish(count);
        if count < self.plan.numbers.end - self.plan.numbers.start {
            return self.dial_next(local);
        }
        self.state.borrow_mut().phase = Phase::Ready;
        self.publish(0);
        self.tell(Event::Ready);
    }

    fn stop(self: &Rc<Self>, local: &mut Local<'_>) {
        {
            let state = &mut *self.state.borrow_mut();
            if state.phase != Phase::Running {
                return;
            }
            state.phase = Phase::Draining;
            state.tally.in_window = state.tally.messages;
            state.tally.window = Duration::from_nanos(self.clock.nanos() - state.begun);
        }
        let swarm = Rc::clone(self);
        local.add_timer(GRACE, move |_, _| {
            swarm.finish();
            None
        });
        self.drained();
    }

    /// Something came back, or was given up: perhaps it was the last.
    pub(crate) fn drained(&self) {
        if self.state.borrow().in_flight == 0 {
            self.finish();
        }
    }

    fn finish(&self) {
        let state = &mut *self.state.borrow_mut();
        if state.phase != Phase::Draining {
            return;
        }
        state.phase = Phase::Done;
        state.tally.lost += std::mem::take(&mut state.in_flight);
        let empty = Histogram::new_from(&state.tally.latencies);
        let tally = Tally {
            latencies: std::mem::replace(&mut state.tally.latencies, empty),
            first_fault: state.tally.first_fault.take(),
            ..state.tally
        };
        self.tell(Event::Quiet(Box::new(tally)));
    }

    /// A connection had a wrong byte and was given up, with so many messages in flight.
    pub(crate) fn wrong(self: &Rc<Self>, local: &mut Local<'_>, in_flight: u64, fault: String) {
        self.state.borrow_mut().tally.wrong += 1;
        self.gone(local, in_flight, fault);
    }

    /// A connection has ended, with so many messages in flight.
    pub(crate) fn broken(self: &Rc<Self>, local: &mut Local<'_>, in_flight: u64, fault: String) {
        match self.phase() {
            Phase::Connecting | Phase::Ready => self.tell(Event::Failed(fault)),
            Phase::Running | Phase::Draining => {
                self.state.borrow_mut().tally.broken += 1;
                self.gone(local, in_flight, fault);
            }
            // We are ending them.
            Phase::Done => {}
        }
    }

    fn gone(self: &Rc<Self>, local: &mut Local<'_>, in_flight: u64, fault: String) {
        let alive = {
            let state = &mut *self.state.borrow_mut();
            state.in_flight -= in_flight;
            state.tally.lost += in_flight;
            state.tally.first_fault.get_or_insert(fault);
            state.alive -= 1;
            state.alive
        };
        if alive == 0 {
            self.stop(local);
        }
        if self.phase() == Phase::Draining {
            self.drained();
        }
    }
}
