//! One connection as data: pure, deterministic, without a descriptor.
//!
//! ```text
//!   mod       Line: the record; what it wants is computed here
//!   stage     where it is in its life
//!   bits      what the kernel last said, and what makes a service more than usual
//!   quiet     whether there is nothing special about it, told by one look
//!   channel   plain or TLS
//!   outbox    what it has yet to send
//!   gate      why it is not read
//!   tuning    limits of its own, if it has any
//!   pace      whether its peer is too slow
//!   preface   a PROXY header that is to come first
//!   upgrade   the change from plain to TLS
//!   parcel    the line as it travels to another loop
//!   race      the attempts of one that connects to any of several addresses
//!   deadlines when it is too old
//!   journey   which stages it has gone through (feature `sim`)
//! ```
//!
//! Never: calls the kernel, reads a clock, or calls user code.
//!
//! Invariants:
//! 1. What a line wants and when it is due are functions of its state; no flag repeats them.
//! 2. `handler` is `None` while it is out on a call, and after it was dropped; nowhere else.

mod bits;
mod channel;
mod deadlines;
mod gate;
#[cfg(feature = "sim")]
pub(crate) mod journey;
mod outbox;
mod pace;
mod parcel;
mod preface;
mod quiet;
mod race;
mod stage;
mod tuning;
mod upgrade;

pub(crate) use bits::{Hears, Marks, Origin, Ready};
pub(crate) use channel::{Channel, TlsChannel};
pub(crate) use deadlines::{Limit, Span, Spans};
pub(crate) use gate::{Gate, Reason};
pub(crate) use outbox::{Chunk, Outbox, Spare};
pub(crate) use parcel::{Luggage, Moving, SendHandler, ThenLink, Travel};
pub(crate) use preface::Preface;
pub(crate) use race::{Attempt, Race};
pub(crate) use stage::{LINGER_BYTES, Stage, TlsDial};
pub(crate) use tuning::{Fin, Link, Pull, Rate, Tuning};
pub(crate) use upgrade::Upgrade;

use crate::api::{Addr, CloseReason, Credit, Handler, WhenFull};
use crate::id::ListenerId;
use shardpoll_timers::Tick;
use std::rc::Rc;

/// The record of one connection.
pub(crate) struct Line {
    pub(crate) handler: Option<Box<dyn Handler>>,
    pub(crate) stage: Stage,
    pub(crate) outbox: Outbox,
    /// When it was accepted, or asked for.
    pub(crate) opened: Tick,
    /// When input last came, or reading was last allowed again.
    pub(crate) last_read: Tick,
    /// When output last moved, or the stage began.
    pub(crate) last_progress: Tick,
    // These four are looked at together ([`Line::four`]).
    pub(crate) ready: Ready,
    pub(crate) gate: Gate,
    pub(crate) marks: Marks,
    pub(crate) hears: Hears,
    /// On the list of lines to serve before the turn ends, or about to be settled anyway.
    pub(crate) on_agenda: bool,
    /// `on_connect` was called; decides what a handshake's timeout is called (S93).
    pub(crate) connected: bool,
    /// `on_disconnect` was called, or shall not be (S79): as long as there is no handler, too.
    pub(crate) told: bool,
    /// The end of input was read: there is nothing more to read.
    pub(crate) input_ended: bool,
    /// Its own limits; `None` for most.
    pub(crate) tuning: Option<Box<Tuning>>,
    /// None for an outgoing connection.
    pub(crate) listener: Option<ListenerId>,
    pub(crate) origin: Origin,
    pub(crate) peer: Addr,
    /// Our own address, shared with the listener's others; `None` before it is established.
    pub(crate) local: Option<Rc<Addr>>,
    /// The attempts that run while it connects to any of several addresses.
    pub(crate) race: Option<Box<Race>>,
    /// How much of what it has queued the shard has counted, in bytes.
    pub(crate) counted: usize,
    pub(crate) when_full: WhenFull,
    /// What its TLS has agreed on, for the handler that is told of the end.
    pub(crate) ended_tls: Option<Box<TlsChannel>>,
    #[cfg(feature = "sim")]
    pub(crate) journey: journey::Journey,
}

impl Line {
    #[inline]
    pub(crate) fn new(
        stage: Stage,
        handler: Option<Box<dyn Handler>>,
        peer: Addr,
        listener: Option<ListenerId>,
        now: Tick,
    ) -> Self {
        Self {
            handler,
            #[cfg(feature = "sim")]
            journey: journey::Journey::begin(&stage),
            stage,
            outbox: Outbox::default(),
            opened: now,
            last_read: now,
            last_progress: now,
            ready: Ready::NOTHING,
            gate: Gate::default(),
            marks: Marks::NOTHING,
            hears: Hears::UNKNOWN,
            on_agenda: false,
            connected: false,
            told: false,
            input_ended: false,
            tuning: None,
            listener,
            origin: Origin::NOTHING,
            peer,
            local: None,
            race: None,
            counted: 0,
            when_full: WhenFull::Cut,
            ended_tls: None,
        }
    }

    #[inline]
    pub(crate) fn is_connecting(&self) -> bool {
        matches!(self.stage, Stage::Connecting(_))
    }

    /// Whether TLS is being set up.
    pub(crate) fn is_handshaking(&self) -> bool {
        matches!(self.stage, Stage::Handshaking(_))
    }

    /// Whether it is in the state of nearly every service: open, plain, and nothing stands between
    /// the kernel's input and its handler.
    #[inline]
    pub(crate) fn is_simple(&self) -> bool {
        matches!(self.stage, Stage::Open(Channel::Plain))
            && self.gate.is_open()
            && self.marks == Marks::NOTHING
    }

    /// Whether nothing keeps a simple line whose peer has finished.
    #[inline]
    pub(crate) fn owes_nothing(&self) -> bool {
        self.outbox.is_empty() && self.tuning.is_none()
    }

    /// Whether an open line has no input and no callback waiting: true after nearly every service.
    #[inline]
    pub(crate) fn is_idle(&self) -> bool {
        self.marks == Marks::NOTHING && !self.ready.has(Ready::READABLE)
    }

    /// Whether what its callbacks write may be staged: sent as soon as they have returned.
    #[inline]
    pub(crate) fn may_stage(&self) -> bool {
        self.stage.is_open() && self.outbox.is_empty() && self.is_unlocked() && self.may_write()
    }

    /// Whether what the application writes can still be sent.
    pub(crate) fn takes_writes(&self) -> bool {
        self.stage.takes_writes() && self.may_write()
    }

    /// Whether our side of an open line has not ended before the line.
    fn may_write(&self) -> bool {
        self.tuning.as_ref().is_none_or(|tuning| tuning.fin == Fin::Open)
    }

    /// Whether all that was written to it has gone to the kernel.
    pub(crate) fn is_drained(&self) -> bool {
        matches!(&self.stage, Stage::Open(channel) if self.outbox.is_empty() && !channel.owes())
    }

    /// Whether the lock does not hold its queue back; closing flushes all the same (S75).
    pub(crate) fn is_unlocked(&self) -> bool {
        let holds = matches!(self.stage, Stage::Open(_) | Stage::Upgrading(_));
        !self.marks.has(Marks::WRITE_LOCK) || !holds
    }

    /// Whether what the application has written can be sent.
    #[inline]
    pub(crate) fn may_flush(&self) -> bool {
        matches!(self.stage, Stage::Open(_) | Stage::Flushing { .. })
    }

    /// Whether the loop has to carry its end on.
    #[inline]
    pub(crate) fn is_ending(&self) -> bool {
        matches!(self.stage, Stage::Flushing { .. } | Stage::Closed(_))
    }

    /// The largest chunk its handler is given, if it is not the configured one.
    pub(crate) fn read_size(&self) -> Option<usize> {
        self.tuning.as_ref().and_then(|tuning| tuning.read_size)
    }

    /// How many bytes it has yet to send: what was written, and what TLS has made of it.
    pub(crate) fn queued(&self) -> usize {
        let elsewhere = match &self.stage {
            Stage::Upgrading(upgrade) => upgrade.clear.len(),
            stage => stage.tls().map_or(0, |tls| tls.owed.as_slice().len()),
        };
        self.outbox.len() + elsewhere
    }

    /// Whether the handler may be given input now.
    #[inline]
    pub(crate) fn may_deliver(&self) -> bool {
        self.stage.is_open() && self.gate.lets_deliver()
    }

    /// Whether the handler is owed something that was received before: plaintext, or the news that
    /// the peer's TLS has ended.
    #[inline]
    pub(crate) fn has_held_back_input(&self) -> bool {
        matches!(&self.stage, Stage::Open(channel) if channel.has_held_back_input())
    }

    /// Whether input is wanted, be it to deliver or to discard.
    #[inline]
    pub(crate) fn wants_read(&self) -> bool {
        match &self.stage {
            Stage::Open(_) => self.gate.is_open(),
            Stage::Handshaking(_) | Stage::Preface(_) => true,
            Stage::Flushing { .. } | Stage::Lingering { .. } => !self.input_ended,
            // What comes before the last byte has left in clear is looked for then.
            Stage::Upgrading(_) | Stage::Connecting(_) | Stage::Closed(_) => false,
        }
    }

    /// Whether input is known to be there: in the kernel, or decrypted and waiting.
    #[inline]
    pub(crate) fn has_input(&self) -> bool {
        self.ready.has(Ready::READABLE) || self.has_held_back_input()
    }

    /// Whether something waits to be sent that may be sent now.
    #[inline]
    pub(crate) fn has_output(&self) -> bool {
        match &self.stage {
            // A lock holds the application's bytes back, not what TLS itself has to say.
            Stage::Open(channel) => {
                !self.outbox.is_empty() && !self.marks.has(Marks::WRITE_LOCK) || channel.owes()
            }
            Stage::Flushing { channel, .. } => !self.outbox.is_empty() || channel.owes(),
            Stage::Handshaking(tls) => !tls.owed.is_empty(),
            Stage::Upgrading(upgrade) => !upgrade.clear.is_empty() && self.is_unlocked(),
            _ => false,
        }
    }

    /// Whether the loop must come back to this line by itself: it stopped early, and no edge will
    /// come for what the kernel has already announced.
    #[inline]
    pub(crate) fn has_work(&self) -> bool {
        self.has_input() && self.wants_read()
            || self.ready.has(Ready::WRITABLE)
                && (self.has_output() || self.marks.has(Marks::DRAIN) && self.may_flush())
            || self.marks.has(Marks::CALLS)
            || match &self.stage {
                Stage::Upgrading(upgrade) => upgrade.clear.is_empty(),
                stage => matches!(stage, Stage::Closed(_)),
            }
    }

    /// Its own limits, from now on.
    pub(crate) fn tune(&mut self) -> &mut Tuning {
        self.marks.add(Marks::TUNED);
        self.tuning.get_or_insert_default()
    }

    /// What its input is written to, instead of given to its handler.
    pub(crate) fn link(&self) -> Option<Link> {
        self.tuning.as_ref().and_then(|tuning| tuning.link)
    }

    /// Whether others' input is written to it.
    pub(crate) fn is_fed(&self) -> bool {
        self.tuning.as_ref().is_some_and(|tuning| !tuning.sources.is_empty())
    }

    /// The largest piece of input that may be delivered now, given the read size.
    pub(crate) fn piece(&self, read_size: usize) -> usize {
        match self.tuning.as_ref().and_then(|tuning| tuning.credit) {
            Some(Credit::Bytes(left)) => read_size.min(left),
            _ => read_size,
        }
    }

    /// A piece of input is about to be delivered: takes it off what was granted.
    pub(crate) fn spend(&mut self, bytes: usize) {
        let Some(credit) = self.tuning.as_mut().and_then(|tuning| tuning.credit.as_mut()) else {
            return;
        };
        let left = match credit {
            Credit::Bytes(left) => {
                *left = left.saturating_sub(bytes);
                left
            }
            Credit::Chunks(left) => {
                *left = left.saturating_sub(1);
                left
            }
        };
        if *left == 0 {
            self.gate.close(Reason::Credit);
        }
    }

    /// Queues a copy of `data`. The first byte starts the send timeout, later ones do not move it
    /// (S92).
    pub(crate) fn keep(&mut self, data: &[u8], now: Tick) {
        if self.stage.is_open() && !self.has_output() {
            self.begins_to_wait(now);
        }
        if !data.is_empty() {
            self.outbox.push(data);
        }
    }

    /// Whether its handler is told that the loop drains: it knows of the connection, which is not
    /// ending yet.
    pub(crate) fn hears_of_drain(&self) -> bool {
        let ending = self.is_ending() || matches!(self.stage, Stage::Lingering { .. });
        self.connected && !self.told && !ending
    }

    /// Ends the connection after what is queued has been sent (S74, S75); no-op when it is ending.
    pub(crate) fn close(&mut self, reason: CloseReason, now: Tick) {
        match self.stage.take() {
            Stage::Open(channel) => {
                self.last_progress = now;
                self.enter(Stage::Flushing { channel, reason });
            }
            // Nothing can be delivered before the handshake is done; the peer is told and that is
            // all.
            Stage::Handshaking(mut tls) => {
                let mut wire = Vec::new();
                tls.session.close(&mut wire);
                tls.owed.extend(&wire);
                self.outbox.clear();
                self.last_progress = now;
                self.enter(Stage::Flushing { channel: Channel::Tls(tls), reason });
            }
            // The answer to the command still goes out; what was to be sealed is dropped.
            Stage::Upgrading(upgrade) => {
                self.outbox = upgrade.clear;
                self.last_progress = now;
                self.enter(Stage::Flushing { channel: Channel::Plain, reason });
            }
            // Of the latter nobody knows.
            Stage::Connecting(_) | Stage::Preface(_) => self.enter(Stage::Closed(reason)),
            ending => self.enter(ending),
        }
        self.marks.take(Marks::BEFORE_END);
    }

    /// Ends the connection now; what is queued is lost. The first reason stands.
    pub(crate) fn fail(&mut self, reason: CloseReason) {
        if !matches!(self.stage, Stage::Closed(_)) {
            let ended = self.stage.take();
            self.ended_tls = ended.into_tls();
            self.enter(Stage::Closed(reason));
        }
    }

    #[cfg(test)]
    pub(crate) fn for_test() -> Self {
        let peer = Addr::Ip(([127, 0, 0, 1], 1).into());
        Self::new(Stage::Open(Channel::Plain), None, peer, None, Tick::ZERO)
    }
}
