//! This shard, seen from inside a callback: timers, other connections, new connections.
//!
//! Never: calls the kernel; what must become a descriptor waits as a wish until the callback
//! returns.

use super::{
    Addr, CloseReason, Conn, Connect, EngineState, Handler, Options, Target, WatchInterest,
    Watcher, Written,
};
use crate::core::{Core, Counters, Dial, Due, Wish};
use crate::id::{ConnId, TimerId, WatchId};
use shardpoll_timers::Tick;
use std::any::Any;
use std::fmt;
use std::os::fd::OwnedFd;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::{Duration, SystemTime};

/// One shard, lent for one callback.
pub struct Local<'a> {
    pub(crate) core: &'a mut Core,
    /// See [`Conn`].
    pub(crate) lent: &'a [u8],
}

/// Why a connection or watch could not even be tried; no callback follows (O5).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Refused {
    /// The loop is quitting, or drains and opens nothing more (S150).
    Quitting,
    /// The shard holds as many connections as it can name (4,194,304).
    TableFull,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Quitting => "quitting",
            Self::TableFull => "too many connections on this shard",
        })
    }
}

impl std::error::Error for Refused {}

impl Local<'_> {
    /// The time of this turn: read once after the wait, nanoseconds of the monotonic clock.
    #[must_use]
    pub fn now(&self) -> Tick {
        self.core.now
    }

    /// What the calendar says at a time of the loop, such as [`now`](Self::now) or a deadline, if
    /// nobody sets it meanwhile (S23).
    ///
    /// Costs no system call. In a simulation the calendar is simulated too, and begins with the
    /// year 2000.
    #[must_use]
    pub fn wall_time(&self, at: Tick) -> SystemTime {
        (self.core.wall_time)(at)
    }

    /// What this loop has done so far.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.core.counters()
    }

    /// How far this shard is on its way out.
    ///
    /// What begins while it drains, such as a new conversation on a connection, can be kept short;
    /// connections themselves are told: [`Handler::on_drain_begin`].
    #[must_use]
    pub fn state(&self) -> EngineState {
        self.core.state()
    }

    /// How many connections, listeners and watches there are on this shard; each running attempt of
    /// one that connects to any of several addresses counts as well.
    #[must_use]
    pub fn live(&self) -> usize {
        self.core.table.live()
    }

    /// A cursor on a connection of this shard; `None` when it is gone or lives elsewhere.
    pub fn conn(&mut self, id: ConnId) -> Option<Conn<'_>> {
        let line = self.core.table.line(id).filter(|_| self.core.is_own(id))?;
        // One that has been told of its end is only waiting to be freed.
        (!line.told).then_some(Conn { core: self.core, id, lent: self.lent })
    }

    /// Calls `f` with the handler of a connection of this shard.
    ///
    /// `None`, and no call, when the connection is gone or lives elsewhere, when its handler is not
    /// an `H`, or when that handler is the one that is running.
    ///
    /// # Panics
    /// If `f` panics, the connection it was called for ends, and the panic goes on in whoever
    /// called this.
    pub fn with<H: Handler, R>(
        &mut self,
        id: ConnId,
        f: impl FnOnce(&mut H, &mut Conn<'_>) -> R,
    ) -> Option<R> {
        let own = self.core.is_own(id);
        let line = self.core.table.line_mut(id).filter(|line| own && !line.told)?;
        let mut handler = line.handler.take()?;
        let any: &mut dyn Any = &mut *handler;
        let result = any.downcast_mut::<H>().map(|own| {
            let conn = &mut Conn { core: self.core, id, lent: self.lent };
            catch_unwind(AssertUnwindSafe(|| f(own, conn)))
        });
        if let Some(Err(panic)) = result {
            // It goes on in that callback: what follows depends on which it was (S27).
            let calling = self.core.pulse.calling();
            self.core.count_panic(Some(id));
            // Here, and not while the panic goes on: a second one would end the process.
            self.core.drop_user_value(handler);
            self.core.line(id).told = true;
            self.core.fail(id, CloseReason::HandlerPanic);
            self.core.panic_counted = true;
            self.core.pulse.call(calling);
            resume_unwind(panic);
        }
        self.core.line(id).handler = Some(handler);
        result.and_then(Result::ok)
    }

    /// Opens a connection; its handler is told of success or failure later (S131 to S135).
    ///
    /// Written to at once through [`conn`](Self::conn), the bytes wait for it to be established.
    ///
    /// # Errors
    /// [`Refused`] when it cannot be tried; then there is no callback.
    pub fn connect(&mut self, to: Connect, handler: impl Handler) -> Result<ConnId, Refused> {
        let Connect {
            target,
            source,
            mut tls,
            options,
            fast_open,
            read_size,
            when_full,
            proxy_header,
        } = to;
        let (peer, options) = match &target {
            Target::One(to @ Addr::Ip(_)) => (to.clone(), options.of_fresh(&self.core.config)),
            Target::One(to @ Addr::Unix(_)) => (to.clone(), Options::default()),
            Target::Any(list) => {
                let first = list.front().expect("two or more");
                (Addr::Ip(*first), options.of_fresh(&self.core.config))
            }
            Target::Adopted(_) => (Addr::Unix(None), options),
        };
        let preface = proxy_header.map(|header| header.encode());
        let in_clear = match (&mut tls, preface) {
            (Some(plan), Some(preface)) => {
                plan.preface = preface;
                None
            }
            (_, preface) => preface,
        };
        let id = self.core.add_outgoing(peer, tls, handler)?;
        if let Some(bytes) = read_size {
            self.core.line(id).set_read_size(bytes);
        }
        if let Some(then) = when_full {
            self.core.line(id).when_full = then;
        }
        // It is the first that is written: without it the rest is not to be sent.
        let mut conn = Conn { core: self.core, id, lent: self.lent };
        if in_clear.is_some_and(|preface| conn.write_vec(preface) == Written::Full) {
            self.core.fail(id, CloseReason::BufferFull);
        }
        let dial = Dial { target, source, options, fast_open };
        self.core.wishes.push(Wish::Connect(id, dial));
        Ok(id)
    }

    /// Watches a descriptor of another owner, such as a pipe, an eventfd or a socket of a library
    /// (S139). It comes back, open, when the watch ends: [`Watcher::on_closed`].
    ///
    /// The loop changes nothing about the descriptor; one that blocks when it is read stays so.
    /// What the kernel refuses to watch, such as a regular file, is told to `on_closed`, at the end
    /// of this turn.
    ///
    /// # Errors
    /// [`Refused`]: no callback follows, the watcher is dropped and the descriptor closed.
    pub fn watch(
        &mut self,
        fd: impl Into<OwnedFd>,
        interest: WatchInterest,
        watcher: impl Watcher,
    ) -> Result<WatchId, Refused> {
        if self.core.phase.refuses() {
            return Err(Refused::Quitting);
        }
        self.core.add_watch(fd.into(), interest, Box::new(watcher))
    }

    /// Changes what a watch wants to hear of, as [`Watch::set`](crate::Watch::set) does; false when
    /// it is over, or on another shard.
    pub fn set_watch(
        &mut self,
        id: WatchId,
        readable: Option<bool>,
        writable: Option<bool>,
    ) -> bool {
        self.core.is_own(id.0) && self.core.set_watch(id.0, readable, writable)
    }

    /// Ends a watch, as [`Watch::close`](crate::Watch::close) does; false when it was over already,
    /// or is on another shard.
    pub fn stop_watch(&mut self, id: WatchId) -> bool {
        self.core.is_own(id.0) && self.core.close_watch(id.0)
    }

    /// Takes over a stream socket that is connected, or connecting, such as a
    /// [`TcpStream`](std::net::TcpStream) or the end of a pair (S136).
    ///
    /// It is non-blocking from then on, for all who share it, and closed with the connection. Its
    /// handler is told of the connection at the socket's first event, and is an outgoing one's for
    /// [`Conn::client_port`]; until then [`Conn::peer`] is a unix socket without a path. What is no
    /// stream socket ends with [`CloseReason::Connect`]. For TLS and options:
    /// [`Connect::adopted`].
    ///
    /// # Errors
    /// [`Refused`] when it cannot be tried; then the socket is closed, and there is no callback.
    pub fn adopt(
        &mut self,
        stream: impl Into<OwnedFd>,
        handler: impl Handler,
    ) -> Result<ConnId, Refused> {
        self.connect(Connect::adopted(stream), handler)
    }

    /// Calls `task` after this time, and again after each time it returns (S12 to S24).
    ///
    /// Counted from [`now`](Self::now), the time of this turn: a callback that works for long
    /// before it adds a timer has used up some of its time. Never earlier than that, never twice in
    /// a turn, and never in the turn in which it was added or re-armed. `None` from `task` ends the
    /// timer. A panic in it is caught and counted, and ends it (S21).
    pub fn add_timer(
        &mut self,
        after: Duration,
        task: impl FnMut(&mut Local<'_>, TimerId) -> Option<Duration> + 'static,
    ) -> TimerId {
        let due = self.core.now.saturating_add(after);
        let id = self.core.timers.insert(due, Due::Task(Box::new(task)));
        TimerId { place: self.core.place, id }
    }

    /// Moves a pending timer to this time from now; false for one that is running or gone (S20).
    pub fn reschedule(&mut self, id: TimerId, after: Duration) -> bool {
        let due = self.core.now.saturating_add(after);
        id.place == self.core.place && self.core.timers.reschedule(id.id, due)
    }

    /// Stops a timer, also from inside its own task (S17 to S19); false when it was gone already.
    pub fn stop(&mut self, id: TimerId) -> bool {
        if id.place != self.core.place || !self.core.timers.is_live(id.id) {
            return false;
        }
        if let Some(task) = self.core.timers.remove(id.id) {
            self.core.drop_user_value(task);
        }
        true
    }

    /// Closes every connection, listener and watch that is there now, as [`Conn::close`] does
    /// (S146); those who wait at the listeners are accepted, and closed likewise. The descriptors
    /// of watches go back to their watchers, open (S140).
    pub fn close_all(&mut self) {
        self.core.close_all(&|| CloseReason::Asked);
    }
}

impl fmt::Debug for Local<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Local")
            .field("now", &self.core.now)
            .field("live", &self.core.table.live())
            .finish_non_exhaustive()
    }
}
