//! The line as it travels to another loop: all of it that can cross threads, by its types.
//!
//! Never: knows how it travels.
//!
//! Invariants:
//! 1. Only an open line travels, between two services, with its handler; what it has queued, sealed
//!    and held back goes with it.
//! 2. A field of a line is either in its luggage or left behind by name; there is no third way.

#[cfg(feature = "sim")]
use super::journey::Journey;
use super::{Channel, Gate, Line, Marks, Origin, Outbox, Ready, Stage, Tuning};
use crate::api::{Addr, Handler, LinkOptions, MoveError, Status, WhenFull};
use crate::id::{ConnId, ListenerId};
use shardpoll_timers::Tick;
use std::rc::Rc;

/// A handler that may be sent to another thread.
pub(crate) type SendHandler = Box<dyn Handler + Send>;

/// Finds out that a handler may be sent; else gives it back.
pub(crate) type AsSend = fn(Box<dyn Handler>) -> Result<SendHandler, Box<dyn Handler>>;

/// Where a line is with a move that was asked for.
pub(crate) enum Travel {
    Wished(Moving),
    /// It has arrived, and its handler has not been told; `heard` of a drain it has.
    Arrived {
        was: ConnId,
        link: Option<ThenLink>,
        heard: bool,
    },
    /// It has arrived, and is to be linked.
    Linking(ThenLink),
    /// It stays, and its handler has not been told why.
    Failed(Status),
}

/// A move that was asked for.
pub(crate) struct Moving {
    pub(crate) to: usize,
    pub(crate) as_send: AsSend,
    pub(crate) link: Option<ThenLink>,
    /// The loop knows that it is at rest.
    pub(crate) wished: bool,
}

/// What a line is linked to once it has arrived.
#[derive(Clone, Copy)]
pub(crate) struct ThenLink {
    pub(crate) to: ConnId,
    pub(crate) options: LinkOptions,
    /// The other one is linked to it, too.
    pub(crate) both: bool,
}

/// A line without what belongs to its loop.
pub(crate) struct Luggage {
    handler: SendHandler,
    channel: Channel,
    outbox: Outbox,
    opened: Tick,
    last_read: Tick,
    last_progress: Tick,
    ready: Ready,
    gate: Gate,
    marks: Marks,
    connected: bool,
    input_ended: bool,
    tuning: Option<Box<Tuning>>,
    listener: Option<ListenerId>,
    origin: Origin,
    peer: Addr,
    local: Option<Addr>,
    when_full: WhenFull,
    #[cfg(feature = "sim")]
    journey: Journey,
}

// What crosses threads may do so by its types, not by a promise.
const _: fn() = || {
    fn is_send<T: Send>() {}
    is_send::<Luggage>();
};

impl Line {
    /// Whether it could leave for another loop now; an error says that it never can.
    pub(crate) fn may_leave(&self) -> Result<bool, MoveError> {
        if self.told || self.is_ending() || matches!(self.stage, Stage::Lingering { .. }) {
            return Err(MoveError::Ending);
        }
        let linked = |tuning: &Tuning| tuning.link.is_some() || !tuning.sources.is_empty();
        if self.tuning.as_deref().is_some_and(linked) {
            return Err(MoveError::Linked);
        }
        Ok(self.stage.is_open() && !self.marks.has(Marks::CALLS) && self.race.is_none())
    }
}

impl Luggage {
    /// Packs a line that [may leave](Line::may_leave); gives how much of what it has queued its
    /// shard has counted, too.
    pub(crate) fn pack(line: Line, handler: SendHandler) -> (Self, usize) {
        let Line {
            handler: _,
            stage,
            outbox,
            opened,
            last_read,
            last_progress,
            ready,
            gate,
            on_agenda: _,
            marks,
            hears: _,
            connected,
            told: _,
            input_ended,
            tuning,
            listener,
            origin,
            peer,
            local,
            race: _,
            counted,
            when_full,
            ended_tls: _,
            #[cfg(feature = "sim")]
            journey,
        } = line;
        let Stage::Open(channel) = stage else { unreachable!("only an open line may leave") };
        let local = local.map(Rc::unwrap_or_clone);
        let luggage = Self {
            handler,
            channel,
            outbox,
            opened,
            last_read,
            last_progress,
            ready,
            gate,
            marks,
            connected,
            input_ended,
            tuning,
            listener,
            origin,
            peer,
            local,
            when_full,
            #[cfg(feature = "sim")]
            journey,
        };
        (luggage, counted)
    }

    /// The line as it was, for another loop, and our address on it.
    pub(crate) fn unpack(self, now: Tick) -> (Line, Option<Addr>) {
        let stage = Stage::Open(self.channel);
        let mut line = Line::new(stage, Some(self.handler), self.peer, None, now);
        line.outbox = self.outbox;
        (line.listener, line.origin) = (self.listener, self.origin);
        line.opened = self.opened;
        line.last_read = self.last_read;
        line.last_progress = self.last_progress;
        line.ready = self.ready;
        line.gate = self.gate;
        line.marks = self.marks;
        line.connected = self.connected;
        line.input_ended = self.input_ended;
        line.tuning = self.tuning;
        line.when_full = self.when_full;
        #[cfg(feature = "sim")]
        {
            line.journey = self.journey;
        }
        (line, self.local)
    }

    /// The listener that has accepted it.
    pub(crate) fn listener(&self) -> Option<ListenerId> {
        self.listener
    }
}
