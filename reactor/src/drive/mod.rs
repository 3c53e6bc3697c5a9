//! Where state meets the kernel: the loop.
//!
//! ```text
//!   turn:  wait ─► dispatch ─► expire ─► outside ─► wishes ─► agenda
//!           ▲         │          │                              │
//!           │      accept      timers                         serve ◄── every line, whatever
//!           │      serve       serve                            │       the cause
//!           └───────────────────────────────────────────────────┘
//!   serve: callbacks owed ─► read ─► flush ─► end ─► deadline, agenda
//! ```
//!
//! What most events are has a short way, which comes to the same as the general one with fewer
//! questions: `simple` (a plain line that is simply open), `sealed` (the same under TLS), `pass` (a
//! small chunk through a link), `splice` (much through one).
//!
//! Never: lets user code run inside user code, or a panic of user code out of a service.
//!
//! Invariants:
//! 1. A line that stopped while the kernel has still announced something for it is on the agenda
//!    when the loop waits (`Line::has_work`), since no edge will come.
//! 2. A slot is freed here only, after its service, while no cursor exists.
//! 3. Timers run between any two batches of events (B1).

mod accept;
mod admission;
#[cfg(feature = "sim")]
mod check;
mod decrypt;
mod dial;
mod drain;
mod ends;
mod expire;
mod flush;
mod listen;
mod moving;
mod pass;
mod preface;
mod quit;
mod race;
mod read;
mod restart;
mod sealed;
mod serve;
mod signals;
mod simple;
#[cfg(feature = "sim")]
mod simulation;
mod splice;
mod upgrade;
mod watch;

pub use quit::Turn;
#[cfg(feature = "sim")]
pub use simulation::Simulation;

use admission::Hush;
use decrypt::Unread;
use serve::Cause;

use crate::api::{Config, ConfigError, Local};
use crate::census::{Census, Limits, Tally};
use crate::conn::Span;
use crate::core::{Callback, Core, Counters};
use crate::id::{ConnId, Place};
use crate::listener::Listener;
use crate::pulse::Pulse;
use crate::router::Router;
use crate::sys::{Events, Linux, Sys};
use shardpoll_timers::Tick;
use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

/// In one of so many turns each service is timed, which costs a look at the clock.
const TIMED_TURNS: u64 = 64;

/// One loop: single-threaded, neither `Send` nor `Sync`. Embedders drive it themselves.
pub struct Reactor<S: Sys = Linux> {
    sys: S,
    /// By slot. The pure half does not even know that there are descriptors.
    fds: Vec<Option<S::Fd>>,
    core: Core,
    /// `None` while they are served.
    events: Option<Box<Events>>,
    /// Input of whichever line is read, in chunks of the configured size; lent to its callback.
    rx: Box<[u8]>,
    /// Likewise, of lines whose own read size is larger.
    wide_rx: Box<[u8]>,
    /// What of it has yet to be decrypted, for the line that is served.
    unread: Unread,
    /// Plaintext that could not stay in `rx`.
    plain: Vec<u8>,
    /// How much of `plain` its handler has been given.
    delivered: usize,
    /// Records on their way to the kernel.
    wire: Vec<u8>,
    /// Listeners that ran out of descriptors or memory.
    resting: Vec<ConnId>,
    /// Listeners that have ended, and whose acceptors are still needed.
    ended_listeners: Vec<(ConnId, Box<Listener>)>,
    /// What is in `rx` and on its way through a link.
    passing: Option<pass::Passing>,
    /// What links are spliced through.
    pipe: splice::Pipe<S::Pipe>,
    /// A descriptor good for nothing, whose number can be had when there are no others (S127).
    reserve: Option<S::Fd>,
    /// A descriptor was closed in this turn, so resting listeners may go on.
    descriptor_freed: bool,
    census: Box<dyn Census>,
    /// Keep those who are turned away, listeners that rest, and headers that are none from filling
    /// the log.
    turned_away: Hush,
    rests: Hush,
    no_headers: Hush,
    /// A descriptor was closed, and whoever turns this loop has not been told.
    freed_for_others: bool,
    /// Whether a turn says that its wait was interrupted.
    interruptible: bool,
    /// Knows the other loops, if there are any.
    router: Option<Box<dyn Router<S::Fd>>>,
    #[cfg(feature = "sim")]
    transitions: crate::conn::journey::Transitions,
}

impl<S: Sys> fmt::Debug for Reactor<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reactor")
            .field("live", &self.core.table.live())
            .field("counters", &self.counters())
            .finish_non_exhaustive()
    }
}

impl<S: Sys> Reactor<S> {
    /// A loop with nothing on it; its connections' ids say its place.
    ///
    /// # Errors
    /// [`ConfigError`] when a setting makes no sense; it names the setting.
    pub fn new(sys: S, at: Place, config: Config) -> Result<Self, ConfigError> {
        Self::with_pulse(sys, at, config, Arc::default())
    }

    /// As [`new`](Self::new), with a pulse that others know already; its counters go on.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn with_pulse(
        mut sys: S,
        at: Place,
        config: Config,
        pulse: Arc<Pulse>,
    ) -> Result<Self, ConfigError> {
        config.check()?;
        let now = sys.now();
        let census = Box::new(Tally::new(Limits::of(&config)));
        let rx = vec![0; config.read_size_bytes].into_boxed_slice();
        Ok(Self {
            sys,
            fds: Vec::new(),
            core: Core::new(at, config, now, S::wall_time, pulse),
            events: None,
            rx,
            wide_rx: Box::default(),
            unread: Unread::default(),
            plain: Vec::new(),
            delivered: 0,
            wire: Vec::new(),
            resting: Vec::new(),
            passing: None,
            pipe: splice::Pipe::Unopened,
            ended_listeners: Vec::new(),
            reserve: None,
            descriptor_freed: false,
            census,
            turned_away: Hush::default(),
            rests: Hush::default(),
            no_headers: Hush::default(),
            freed_for_others: false,
            interruptible: false,
            router: None,
            #[cfg(feature = "sim")]
            transitions: crate::conn::journey::Transitions::default(),
        })
    }

    /// A handle that ends this loop's wait, on Linux from any thread.
    #[must_use]
    pub fn waker(&self) -> S::Waker {
        self.sys.waker()
    }

    /// One pass of the loop: waits at most this long (`None`: until something happens), then does
    /// all that is due.
    ///
    /// # Errors
    /// Only what makes another turn pointless: the kernel's poller has failed (S7).
    pub fn turn(&mut self, wait_at_most: Option<Duration>) -> io::Result<Turn> {
        self.turn_with(wait_at_most, |_| false)
    }

    /// Turns until the loop is told to quit and is empty ([`Turn::Drained`]), or until a signal
    /// interrupts it when that was [asked for](Self::interruptible) ([`Turn::Interrupted`]).
    ///
    /// # Errors
    /// As [`turn`](Self::turn).
    pub fn run(&mut self) -> io::Result<Turn> {
        loop {
            match self.turn(None)? {
                Turn::Live => {}
                over => return Ok(over),
            }
        }
    }

    /// Whether a turn whose wait a signal handler has interrupted says so by
    /// [`Turn::Interrupted`], so that the host can look at what the handler has noted. Default: no,
    /// an interruption is a turn without events (S7).
    ///
    /// The turn does all that is due first. A signal that comes outside the wait interrupts
    /// nothing; a handler that must be heard then calls [`Wake::wake`](crate::Wake::wake),
    /// which is a single write(2), and so safe in a handler (signal-safety(7)).
    pub fn interruptible(&mut self, interruptible: bool) {
        self.interruptible = interruptible;
    }

    /// A [`turn`](Self::turn) that calls `outside` between the events and the flush of what was
    /// written, again and again until it returns false: the place for work that other threads have
    /// sent, one piece a call, so that a panic (caught and counted) takes no other piece with it.
    ///
    /// # Errors
    /// As [`turn`](Self::turn).
    pub fn turn_with(
        &mut self,
        wait_at_most: Option<Duration>,
        outside: impl FnMut(&mut Local<'_>) -> bool,
    ) -> io::Result<Turn> {
        self.turn_while(wait_at_most, || true, outside)
    }

    /// As [`turn_with`](Self::turn_with), but `outside` is called only while `waits` says that
    /// there is work.
    ///
    /// # Errors
    /// As [`turn`](Self::turn).
    #[inline]
    pub fn turn_while(
        &mut self,
        wait_at_most: Option<Duration>,
        waits: impl Fn() -> bool,
        mut outside: impl FnMut(&mut Local<'_>) -> bool,
    ) -> io::Result<Turn> {
        let until = self.wait_until(wait_at_most);
        self.core.show_traffic();
        let began = self.core.pulse.rest();
        // Taken out, so that the loop over them needs no look at what services may change.
        let mut events = self.events.take().unwrap_or_default();
        self.sys.wait(&mut events, until)?;
        let now = self.sys.now();
        let ended = self.sys.wait_began().unwrap_or(now);
        self.core.last_turn = Span { began: std::mem::replace(&mut self.core.now, now), ended };
        // A caller of `with` may have caught the panic itself.
        self.core.panic_counted = false;
        // Before the events: what they arm is for the next turn (S16).
        self.core.timers.start_turn(now);
        if self.begin_work(began, ended, &events) {
            self.serve_batch_timed(&events);
        } else {
            self.serve_batch(&events);
        }
        self.events = Some(events);
        self.expire();
        // One that panics has had its call all the same.
        while waits() && self.core.run(Callback::Letter, &mut outside).unwrap_or(true) {}
        if self.core.is_asked() {
            self.carry_out_wishes();
            self.work_off_agenda();
            self.carry_out_wishes();
        }
        self.wake_resting_listeners();
        Ok(self.end_of_turn())
    }

    /// The wait is over, and the turn before it lasted from here to there; whether the services of
    /// this turn are timed.
    #[inline]
    fn begin_work(&self, began: Option<Tick>, ended: Tick, events: &Events) -> bool {
        let pulse = &self.core.pulse;
        if let Some(began) = began {
            pulse.turn_times.record(began, ended);
        }
        let turns = pulse.counters.turns.value();
        pulse.counters.turns.set(turns + 1);
        pulse.counters.events.add(events.len() as u64);
        pulse.work(self.core.now);
        turns % TIMED_TURNS == 0
    }

    /// Runs `f` on this loop from outside a turn; what it does takes effect in the next one.
    ///
    /// `None` if `f` panicked; the panic is counted and logged.
    pub fn local<R>(&mut self, f: impl FnOnce(&mut Local<'_>) -> R) -> Option<R> {
        self.core.now = self.sys.now();
        self.core.run(Callback::Letter, f)
    }

    /// What any thread may see of this loop at any time.
    #[must_use]
    pub fn pulse(&self) -> Arc<Pulse> {
        Arc::clone(&self.core.pulse)
    }

    /// What this loop has done so far.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.core.counters()
    }

    fn wait_until(&self, wait_at_most: Option<Duration>) -> Tick {
        let core = &self.core;
        if core.is_asked() {
            return Tick::ZERO;
        }
        let mut until = core.timers.next_due().unwrap_or(Tick::MAX);
        if !core.phase.serves() {
            if core.is_over() {
                return Tick::ZERO;
            }
            until = until.min(core.phase.due());
        }
        match wait_at_most {
            Some(Duration::ZERO) => Tick::ZERO,
            Some(wait) => until.min(self.core.now.saturating_add(wait)),
            None => until,
        }
    }

    /// When the next turn has something to do, whatever the kernel says: [`Tick::ZERO`] for at
    /// once, [`Tick::MAX`] for never.
    #[cfg(feature = "sim")]
    #[must_use]
    pub fn due(&self) -> Tick {
        self.wait_until(None)
    }

    /// Whether the next turn has something to do, whatever the kernel says.
    #[cfg(feature = "sim")]
    fn has_work(&self) -> bool {
        self.core.is_asked()
    }

    #[inline(always)]
    fn work_off_agenda(&mut self) {
        if !self.core.agenda.is_empty() {
            self.serve_agenda();
        }
    }

    #[inline(never)]
    fn serve_agenda(&mut self) {
        let mut agenda = std::mem::take(&mut self.core.agenda);
        for id in agenda.drain(..) {
            // It may have been freed since it was put there, or served by an event.
            if let Some(line) = self.core.table.line_mut(id) {
                line.on_agenda = false;
                if !self.sends_queued(id) {
                    self.serve(id, Cause::Asked);
                }
            }
        }
        // What has come meanwhile is for the next turn, so that no line is served for ever.
        agenda.append(&mut self.core.agenda);
        self.core.agenda = agenda;
    }

    #[inline(always)]
    fn set_fd(&mut self, id: ConnId, fd: S::Fd) {
        let slot = id.slot();
        match self.fds.get_mut(slot) {
            Some(place) => *place = Some(fd),
            None => {
                self.fds.resize_with(slot, || None);
                self.fds.push(Some(fd));
            }
        }
    }
}
