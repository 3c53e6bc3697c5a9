//! What callbacks may touch: all state of one loop but the kernel's.
//!
//! Never: names the kernel, so the same core runs on Linux and in a simulation. A descriptor that a
//! callback hands over waits in a wish, one that is watched for somebody else in its entry; there
//! are no others.
//!
//! Invariants:
//! 1. A line that user code has changed from outside its own service is on the agenda.
//! 2. User code runs only inside a `catch_unwind` of the loop, which counts and logs the panic.

use crate::api::{
    Addr, CloseReason, Config, Conn, Handler, Local, Options, Refused, SocketOption, Target,
};
use crate::conn::{Line, Span, Spans, Spare, Stage, TlsDial};
use crate::handshakes::Handshakes;
use crate::id::{ConnId, ListenerId, Place, TimerId};
use crate::ledger::Ledger;
use crate::left_out::LeftOut;
use crate::phase::{Phase, Shutdown};
use crate::pressure::SEALED_EXTRA;
use crate::pulse::Pulse;
use crate::staging::{FIRST_ROOM, STAGED_BYTES};
use crate::table::{Entry, Table};
use shardpoll_timers::{Heap, Tick};
use std::any::Any;
use std::net::IpAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

pub(crate) use crate::callback::Callback;
pub(crate) use crate::counters::{Counters, Traffic};
pub(crate) use crate::staging::{Door, Staging};

/// A user's timer.
pub(crate) type Task = Box<dyn FnMut(&mut Local<'_>, TimerId) -> Option<Duration>>;

/// What is due when an entry of the timer heap comes up.
pub(crate) enum Due {
    /// A limit of the connection in this slot, or nothing: its true deadline is computed then.
    Slot(u32),
    /// This listener has rested long enough.
    Listener(ConnId),
    /// This watch has been paused long enough.
    Watch(ConnId),
    /// The pause of this listener is over.
    ListenerPause(ConnId),
    /// This listener ends: whether somebody is left.
    ListenerEnd(ConnId),
    Task(Task),
}

/// What a callback asked for that needs a descriptor; carried out when it has returned.
pub(crate) enum Wish {
    Connect(ConnId, Dial),
    Option(ConnId, SocketOption),
    /// Without loss, which may take its time.
    CloseListener(ConnId),
    /// At once.
    FreeListener(ConnId),
    /// This watch has changed, or ended.
    Watch(ConnId),
    /// Its state has changed, and the kernel does not know.
    SettleListener(ConnId),
    /// This line is to leave for another loop.
    Move(ConnId),
}

/// How a connection is to be made.
pub(crate) struct Dial {
    pub(crate) target: Target,
    pub(crate) source: Option<IpAddr>,
    pub(crate) options: Options,
    pub(crate) fast_open: bool,
}

pub(crate) struct Core {
    pub(crate) place: Place,
    /// How many loops there are for connections to live on, this one included.
    pub(crate) shards: usize,
    pub(crate) table: Table,
    pub(crate) timers: Heap<Due>,
    /// Lines to serve before the turn ends; each at most once (`Line::on_agenda`).
    pub(crate) agenda: Vec<ConnId>,
    pub(crate) wishes: Vec<Wish>,
    /// The listeners in the table, by name.
    pub(crate) listeners: Vec<(ListenerId, ConnId)>,
    /// The watches in the table.
    pub(crate) watches: usize,
    /// Handlers that take over when the callback of their line has returned, in order.
    pub(crate) next_handlers: Vec<(ConnId, Box<dyn Handler>)>,
    pub(crate) staging: Staging,
    pub(crate) left_out: LeftOut,
    pub(crate) config: Config,
    pub(crate) spans: Spans,
    /// What a connection may have queued, and of that staged, in bytes.
    pub(crate) queue_cap: usize,
    pub(crate) staged_cap: usize,
    /// Of that what a service may stage at first.
    pub(crate) first_room: usize,
    /// Where queues have been.
    pub(crate) spare: Spare,
    /// What all connections have queued, and what they may, in bytes.
    pub(crate) queued: usize,
    pub(crate) shard_queue_cap: usize,
    /// The most that was queued when a line arrived, if it was beyond the cap.
    #[cfg(feature = "sim")]
    pub(crate) carried: usize,
    /// With this much queued, what one callback stages could be more than that.
    pub(crate) nearly_full: usize,
    /// The time of this turn.
    pub(crate) now: Tick,
    /// What the calendar says at a time of the loop's clock.
    pub(crate) wall_time: fn(Tick) -> SystemTime,
    pub(crate) last_turn: Span,
    pub(crate) phase: Phase,
    pub(crate) shutdown: Shutdown,
    pub(crate) handshakes: Handshakes,
    /// What others may see: what the loop is at, and what it has counted.
    pub(crate) pulse: Arc<Pulse>,
    pub(crate) traffic: Traffic,
    pub(crate) ledger: Ledger,
    /// The panic that is under way was counted where it began, in `Local::with`.
    pub(crate) panic_counted: bool,
}

/// A handler taken out of its line while the loop serves it; `None` when it is gone.
pub(crate) type Held = Option<Box<dyn Handler>>;

impl Core {
    pub(crate) fn new(
        at: Place,
        config: Config,
        now: Tick,
        wall_time: fn(Tick) -> SystemTime,
        pulse: Arc<Pulse>,
    ) -> Self {
        let staged_cap = config.queue_cap().min(config.high_water_bytes).min(STAGED_BYTES) + 1;
        Self {
            place: at,
            shards: at.shard as usize + 1,
            table: Table::new(at.shard, at.generation),
            timers: Heap::new(),
            agenda: Vec::new(),
            wishes: Vec::new(),
            listeners: Vec::new(),
            watches: 0,
            next_handlers: Vec::new(),
            staging: Staging::default(),
            left_out: LeftOut::default(),
            spans: Spans::new(&config),
            queue_cap: config.queue_cap(),
            staged_cap,
            first_room: staged_cap.min(FIRST_ROOM),
            spare: Spare::default(),
            queued: 0,
            shard_queue_cap: config.shard_queue_cap(),
            #[cfg(feature = "sim")]
            carried: 0,
            nearly_full: config.shard_queue_cap().saturating_sub(staged_cap + SEALED_EXTRA),
            config,
            now,
            wall_time,
            last_turn: Span { began: now, ended: now },
            phase: Phase::Serving,
            shutdown: Shutdown::default(),
            handshakes: Handshakes::default(),
            traffic: Traffic::resumed(&pulse.counters),
            ledger: Ledger::new(&pulse),
            pulse,
            panic_counted: false,
        }
    }

    /// Whether user code, or a service, has asked for something that is yet to be done.
    #[inline]
    pub(crate) fn is_asked(&self) -> bool {
        self.agenda.len() | self.wishes.len() > 0
    }

    /// The line of an id that is known to be alive: one that is being served.
    #[inline]
    pub(crate) fn line(&mut self, id: ConnId) -> &mut Line {
        self.table.served_mut(id)
    }

    /// Puts a line on the agenda, unless it is there or is being served, which ends with a look at
    /// what is left to do.
    pub(crate) fn revisit(&mut self, id: ConnId) {
        let Some(line) = self.table.line_mut(id) else { return };
        if !line.on_agenda && !self.staging.holds_for(id) {
            line.on_agenda = true;
            self.agenda.push(id);
        }
    }

    /// Moves the alarm of a line if its deadline has become earlier; a later one is found when the
    /// alarm comes up.
    #[inline]
    pub(crate) fn arm(&mut self, id: ConnId) {
        let Self { table, timers, spans, .. } = self;
        let (line, alarm) = table.served_with_alarm(id);
        let (due, _) = line.deadline(spans);
        if due < alarm.due {
            alarm.due = due;
            match alarm.entry {
                Some(entry) => {
                    timers.reschedule(entry, due);
                }
                None => alarm.entry = Some(timers.insert(due, Due::Slot(id.slot_number()))),
            }
        }
    }

    /// Whether all that was written to a line that is being served has gone to the kernel.
    pub(crate) fn is_drained(&mut self, id: ConnId) -> bool {
        self.staging.is_empty() && self.line(id).is_drained()
    }

    /// The largest chunk the handler of a line is given.
    pub(crate) fn read_size(&mut self, id: ConnId) -> usize {
        self.line(id).read_size().unwrap_or(self.config.read_size_bytes)
    }

    /// Whether a line that is being served has something to send.
    #[inline]
    pub(crate) fn has_output(&mut self, id: ConnId) -> bool {
        !self.staging.is_empty() || self.line(id).has_output()
    }

    /// A line for an outgoing connection, without a descriptor yet.
    pub(crate) fn add_outgoing(
        &mut self,
        peer: Addr,
        tls: Option<Box<TlsDial>>,
        handler: impl Handler,
    ) -> Result<ConnId, Refused> {
        if self.phase.refuses() {
            return Err(Refused::Quitting);
        }
        let handler: Box<dyn Handler> = Box::new(handler);
        let mut line = Line::new(Stage::Connecting(tls), Some(handler), peer, None, self.now);
        line.when_full = self.config.when_full;
        let id = self.table.insert(Entry::Line(line)).ok_or(Refused::TableFull)?;
        self.pulse.counters.dialed.add(1);
        self.count_open(None);
        Ok(id)
    }

    /// Asks for the orderly end of a connection, listener or watch.
    pub(crate) fn close(&mut self, id: ConnId, reason: CloseReason) {
        match self.table.entry_mut(id) {
            Some(Entry::Line(line)) => {
                if self.staging.holds_for(id) {
                    self.staging.close();
                }
                line.close(reason, self.now);
                // A handshake that is closed gives up what waited for its end.
                self.recount(id);
                self.revisit(id);
            }
            Some(Entry::Listener(_)) => self.wishes.push(Wish::FreeListener(id)),
            Some(Entry::Watch(_)) => {
                self.close_watch(id);
            }
            // The line of an attempt ends it.
            Some(Entry::Vacant(_) | Entry::Attempt(_)) | None => {}
        }
    }

    /// Ends a connection now, from wherever; what TLS has sealed for it is lost at once.
    pub(crate) fn fail(&mut self, id: ConnId, reason: CloseReason) {
        self.line(id).fail(reason);
        self.recount(id);
        self.revisit(id);
    }

    /// Over a snapshot: what is opened meanwhile stays (S146), but for those who have waited at a
    /// listener that ends with this.
    pub(crate) fn close_all(&mut self, reason: &dyn Fn() -> CloseReason) {
        for id in self.table.snapshot() {
            if let Some(listener) = self.table.listener_mut(id) {
                listener.ends_all = true;
            }
            self.close(id, reason());
        }
    }

    /// Calls a handler that is held. The loop's `catch_unwind` is around the whole service.
    #[inline(always)]
    pub(crate) fn call<R>(
        &mut self,
        id: ConnId,
        held: &mut Held,
        callback: Callback,
        f: impl FnOnce(&mut dyn Handler, &mut Conn<'_>) -> R,
    ) -> Option<R> {
        let handler = held.as_deref_mut()?;
        self.pulse.call(callback);
        Some(f(handler, &mut Conn { core: self, id, lent: &[] }))
    }

    /// Calls a handler, and lets the one take over that it may have named.
    pub(crate) fn call_out<R>(
        &mut self,
        id: ConnId,
        held: &mut Held,
        callback: Callback,
        f: impl FnOnce(&mut dyn Handler, &mut Conn<'_>) -> R,
    ) -> Option<R> {
        let result = self.call(id, held, callback, f);
        self.exchange_handlers(id, held);
        result
    }

    /// Runs user code that belongs to no connection; `None` when it panicked.
    pub(crate) fn run<R>(
        &mut self,
        callback: Callback,
        f: impl FnOnce(&mut Local<'_>) -> R,
    ) -> Option<R> {
        self.pulse.call(callback);
        self.panic_counted = false;
        let result = catch_unwind(AssertUnwindSafe(|| f(&mut Local { core: self, lent: &[] })));
        let result = match result {
            Ok(result) => Some(result),
            Err(panic) => {
                self.count_panic(None);
                drop_panic(panic);
                None
            }
        };
        self.pulse.call(Callback::None);
        result
    }

    /// Drops a value whose `Drop` is the user's.
    pub(crate) fn drop_user_value<T>(&mut self, value: T) {
        let calling = self.pulse.calling();
        self.run(Callback::Drop, |_| drop(value));
        self.pulse.call(calling);
    }

    /// Notes a panic of the callback that was running.
    pub(crate) fn count_panic(&mut self, id: Option<ConnId>) {
        if !std::mem::take(&mut self.panic_counted) {
            self.pulse.counters.panics.add(1);
        }
        match id {
            Some(id) => log::error!("connection {id}: {} panicked", self.pulse.calling()),
            None => log::error!("{} panicked", self.pulse.calling()),
        }
        self.pulse.call(Callback::None);
    }
}

/// Drops what a panic carried. That is the user's, so it may panic again; what *that* panic carries
/// is leaked, since there is no end to it.
pub(crate) fn drop_panic(panic: Box<dyn Any + Send>) {
    if let Err(again) = catch_unwind(AssertUnwindSafe(|| drop(panic))) {
        std::mem::forget(again);
    }
}
