//! All connections of the load on one shard, and the phases they go through together.
//!
//! | file | what is in it |
//! |---|---|
//! | `plan` | what one shard is to do |
//! | `opening` | a connection until it is usable: TCP, what comes before TLS, TLS |
//! | `echo`, `pace` | messages there and back; in an open loop, when they are due |
//! | `cycle`, `visit` | connections that come and go |
//! | `speech`, `conversation` | what follows a script: on the way to TLS, and as the work itself |
//! | `quiet`, `bulk`, `abuse` | connections that are held, that carry much, that misbehave |
//! | `interval` | what is counted, second by second |
//! | `event` | what the main thread is told |
//!
//! ```text
//!   launch         all are decided       begin              duration over, or stop
//!     │ Opening ──────────────► Ready ───────► Running ───────────────► Draining ──► Done
//!                                                       nothing in flight, or grace over
//! ```
//!
//! Work whose connections come and go is ready at once.
//!
//! Never: shared between threads; the main thread sends letters, and reads [`Event`]s and a
//! counter.
//!
//! Invariants:
//! 1. `in_flight` is the sum over all live connections.
//! 2. [`Event::Ready`] is sent exactly once after [`launch`], [`Event::Quiet`] exactly once after
//!    [`begin`].

mod abuse;
mod bulk;
mod conversation;
mod cycle;
mod echo;
mod event;
mod interval;
mod opening;
mod pace;
mod plan;
mod quiet;
mod speech;
mod visit;

pub(crate) use abuse::{Answers, Attacks, name as attack_name};
pub(crate) use event::{Event, Rest};
pub(crate) use interval::Cut;
pub(crate) use plan::{BULK_DEPTH, Plan, Work};

use crate::counts::histogram;
use crate::tally::{Fault, Openings, Tally};
use conversation::Slots;
use cycle::Cycle;
use hdrhistogram::Histogram;
use opening::{Opening, Role, Ticket};
use shardpoll::{ConnId, Local, Refused};
use shardpoll_bench::clock::Clock;
use speech::Scripts;
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::Sender;
use std::time::Duration;

/// How long an operation may still take after the last one was begun.
pub(crate) const GRACE: Duration = Duration::from_secs(2);

/// Connections a shard establishes at a time: well below what listeners queue, since one that does
/// not fit is tried again by the kernel only after a second.
const DIALS_AT_A_TIME: u64 = 64;

/// Messages are made in pieces of at most this.
const SCRATCH_BYTES: usize = 64 * 1024;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    Opening,
    Ready,
    Running,
    Draining,
    Done,
}

struct State {
    phase: Phase,
    /// The number of the connection to dial next.
    next: u64,
    /// Connections that are up or will not be.
    decided: u64,
    /// Those that came up; those that have ended meanwhile among them.
    up: Vec<ConnId>,
    alive: u64,
    in_flight: u64,
    /// Of these, not lost if they are not over at the end: conversations that rest or go on.
    excused: u64,
    /// Operations that are due and not begun.
    owed: u64,
    /// Messages that are due and were not handed to their connections.
    pending: u64,
    /// When [`begin`] was called, by the swarm's clock; 0 before.
    begun: u64,
    /// When what is being counted began.
    cut: u64,
    /// Pieces of the window that were sent away.
    cuts: usize,
    scratch: Vec<u8>,
    tally: Tally,
    /// What happened outside of the window.
    outside: Tally,
    openings: Openings,
    lateness: Histogram<u64>,
    first_error: Option<String>,
    deserted: bool,
    cycle: Cycle,
    slots: Slots,
    attacks: Attacks,
    /// How long the window was, once it is over.
    window: Duration,
}

impl State {
    fn new(plan: &Plan) -> Self {
        let open_loop = plan.per_second.is_some();
        let size = plan.work.echo().map_or(0, |(size, _)| size);
        Self {
            phase: Phase::Opening,
            next: plan.numbers.start,
            decided: 0,
            up: Vec::new(),
            alive: 0,
            in_flight: 0,
            excused: 0,
            owed: 0,
            pending: 0,
            begun: 0,
            cut: 0,
            cuts: 0,
            scratch: vec![0; size.min(SCRATCH_BYTES)],
            tally: Tally::new(open_loop),
            outside: Tally::new(open_loop),
            openings: Openings::new(),
            lateness: histogram(),
            first_error: None,
            deserted: false,
            cycle: Cycle::default(),
            slots: Slots::new(plan.numbers.clone()),
            attacks: Attacks::default(),
            window: Duration::ZERO,
        }
    }

    /// Something went wrong.
    fn count(&mut self, fault: Fault, text: impl FnOnce() -> String) {
        self.tally.errors.count(fault);
        self.first_error.get_or_insert_with(text);
    }
}

struct Swarm {
    plan: Plan,
    scripts: Scripts,
    clock: Clock,
    state: RefCell<State>,
    events: Sender<Event>,
    /// Connections that are up: for the progress line only.
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
    let state = RefCell::new(State::new(&plan));
    let scripts = Scripts::new(&plan.work);
    let swarm = Rc::new(Swarm { plan, scripts, clock: Clock::start(), state, events, progress });
    SWARM.with_borrow_mut(|this| *this = Some(Rc::clone(&swarm)));
    pace::sharpen_timers();
    if swarm.plan.work.opens_first() {
        for _ in 0..DIALS_AT_A_TIME {
            swarm.dial_next(local);
        }
    } else {
        swarm.ready(0);
    }
}

/// A letter: begins the work.
pub(crate) fn begin(local: &mut Local<'_>) {
    let Some(swarm) = SWARM.with_borrow(Clone::clone) else { return };
    {
        let state = &mut *swarm.state.borrow_mut();
        if state.phase != Phase::Ready {
            return;
        }
        state.phase = Phase::Running;
        state.begun = swarm.clock.nanos();
        state.cut = state.begun;
        // What was counted so far is the opening's.
        let open_loop = swarm.plan.per_second.is_some();
        state.outside.add(&std::mem::replace(&mut state.tally, Tally::new(open_loop)));
    }
    swarm.measure(local);
    match &swarm.plan.work {
        Work::Echo { .. } => swarm.begin_echo(local),
        Work::Abuse { .. } => {
            swarm.begin_echo(local);
            swarm.begin_abuse(local);
        }
        Work::Upload { .. } | Work::Download { .. } => swarm.begin_bulk(local),
        Work::Churn { .. } | Work::Script(_) => return swarm.begin_cycle(local),
        Work::Idle => {}
    }
    swarm.look_around(local);
}

/// A letter: begins nothing more, and waits for what is under way.
pub(crate) fn stop(local: &mut Local<'_>) {
    if let Some(swarm) = SWARM.with_borrow(Clone::clone) {
        swarm.stop(local);
    }
}

impl Swarm {
    fn is_running(&self) -> bool {
        self.state.borrow().phase == Phase::Running
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
        let role: &'static dyn Role = match self.plan.work {
            Work::Echo { .. } | Work::Abuse { .. } => &echo::Member,
            Work::Idle => &quiet::Member,
            Work::Upload { .. } | Work::Download { .. } => &bulk::Member,
            Work::Churn { .. } | Work::Script(_) => unreachable!("it opens nothing first"),
        };
        let now = self.clock.nanos();
        self.dial(local, role, Ticket { number, due: now, dialed: now });
    }

    fn dial(self: &Rc<Self>, local: &mut Local<'_>, role: &'static dyn Role, ticket: Ticket) {
        let endpoint = self.plan.endpoint(ticket.number);
        let opening = Opening::new(Rc::clone(self), role, ticket);
        if let Err(refused) = local.connect(endpoint.connect(ticket.number), opening) {
            if refused == Refused::Quitting {
                return; // All is over, and each that fails would dial the next.
            }
            let text = || format!("connection {}: {refused}", ticket.number);
            self.state.borrow_mut().count(Fault::Other, text);
            role.failed(self, local, &ticket);
        }
    }

    /// One more connection that is to stay is up.
    fn enter(self: &Rc<Self>, local: &mut Local<'_>, id: ConnId) {
        {
            let state = &mut *self.state.borrow_mut();
            state.up.push(id);
            state.alive += 1;
        }
        self.progress.fetch_add(1, Ordering::Relaxed);
        self.decided(local);
    }

    /// One more connection is up, or will not be.
    fn decided(self: &Rc<Self>, local: &mut Local<'_>) {
        let (decided, alive) = {
            let state = &mut *self.state.borrow_mut();
            state.decided += 1;
            if state.up.is_empty() && self.clock.elapsed() >= self.plan.timeout {
                // Nobody was reached for as long as one may take: the others are not tried.
                state.decided += self.plan.numbers.end - state.next;
                state.next = self.plan.numbers.end;
            }
            (state.decided, state.alive)
        };
        if decided < self.plan.connections() {
            return self.dial_next(local);
        }
        self.ready(alive);
    }

    fn ready(&self, up: u64) {
        let state = &mut *self.state.borrow_mut();
        state.phase = Phase::Ready;
        self.tell(Event::Ready { up, first_error: state.first_error.clone() });
    }

    fn stop(self: &Rc<Self>, local: &mut Local<'_>) {
        if !self.is_running() {
            return;
        }
        self.end_window();
        self.state.borrow_mut().phase = Phase::Draining;
        let swarm = Rc::clone(self);
        local.add_timer(GRACE, move |_, _| {
            swarm.finish();
            None
        });
        self.drained();
    }

    /// Something was done, or was given up: perhaps it was the last.
    fn drained(&self) {
        let idle = {
            let state = self.state.borrow();
            state.phase == Phase::Draining && state.in_flight == 0
        };
        if idle {
            self.finish();
        }
    }

    fn finish(&self) {
        let state = &mut *self.state.borrow_mut();
        if state.phase != Phase::Draining {
            return;
        }
        state.phase = Phase::Done;
        state.tally.errors.lost += std::mem::take(&mut state.in_flight) - state.excused;
        let open_loop = self.plan.per_second.is_some();
        let empty = || Tally::new(open_loop);
        let mut outside = std::mem::replace(&mut state.outside, empty());
        outside.add(&std::mem::replace(&mut state.tally, empty()));
        let rest = Rest {
            pieces: state.cuts,
            outside,
            openings: std::mem::replace(&mut state.openings, Openings::new()),
            lateness: std::mem::replace(&mut state.lateness, histogram()),
            unsent: state.owed + state.pending,
            window: state.window,
            deserted: state.deserted,
            per_second: self.plan.per_second,
            alive: state.alive,
            first_error: state.first_error.take(),
            attacks: std::mem::take(&mut state.attacks),
        };
        self.tell(Event::Quiet(Box::new(rest)));
    }

    /// A connection that was to stay has ended, with so many messages in flight.
    fn gone(
        self: &Rc<Self>,
        local: &mut Local<'_>,
        fault: Fault,
        in_flight: u64,
        text: impl FnOnce() -> String,
    ) {
        {
            let state = &mut *self.state.borrow_mut();
            if state.phase == Phase::Done {
                // We are ending them.
                return;
            }
            state.count(fault, text);
            state.in_flight -= in_flight;
            state.tally.errors.lost += in_flight;
            state.alive -= 1;
        }
        self.look_around(local);
        self.drained();
    }

    /// Ends the window when nobody is there any more.
    fn look_around(self: &Rc<Self>, local: &mut Local<'_>) {
        let deserted = {
            let state = &mut *self.state.borrow_mut();
            let deserted = state.phase == Phase::Running && state.alive == 0;
            state.deserted |= deserted;
            deserted
        };
        if deserted {
            self.stop(local);
        }
    }
}
