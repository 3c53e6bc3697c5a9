//! When a connection is too old: computed from its state, never set.
//!
//! A connection has one entry in the timer heap: the alarm of its slot. Reading stores
//! `last_read`, sending stores `last_progress`, and nothing else happens: the alarm is moved at
//! once only when the true deadline became *earlier*; one that comes up too early is put back at
//! the true deadline. It stays when the connection goes, for the next one in the slot. So a busy
//! connection, or many short ones in its place, cost one heap operation per timeout period, and the
//! timeout is still exact.
//!
//! Never: reads a clock or touches the heap.
//!
//! Invariants:
//! 1. The alarm is at or before the true deadline whenever the loop waits (the loop's `settle`).

use super::stage::{LINGER, Stage};
use super::{Line, Reason};
use crate::api::Config;
use shardpoll_timers::Tick;
use std::time::Duration;

/// The configured timeouts in nanoseconds, ready to be added; `u64::MAX` means never.
pub(crate) struct Spans {
    read: u64,
    send: u64,
    connect: u64,
    handshake_step: u64,
    handshake: u64,
    linger: u64,
}

impl Spans {
    pub(crate) fn new(config: &Config) -> Self {
        let nanos = |d: Duration| u64::try_from(d.as_nanos()).unwrap_or(u64::MAX);
        let optional = |d: Option<Duration>| d.map_or(u64::MAX, nanos);
        Self {
            read: optional(config.read_timeout),
            send: optional(config.send_timeout),
            connect: nanos(config.connect_timeout),
            handshake_step: nanos(config.handshake_timeout),
            handshake: nanos(config.handshake_deadline),
            linger: nanos(LINGER),
        }
    }
}

/// When a turn of the loop began, and when it was over.
#[derive(Clone, Copy)]
pub(crate) struct Span {
    pub(crate) began: Tick,
    pub(crate) ended: Tick,
}

/// Which of its limits a connection has passed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Limit {
    Connect,
    /// The PROXY header is late.
    Preface,
    /// The next attempt of a race begins.
    Attempt,
    Handshake,
    /// The peer has been silent for the read timeout.
    Read,
    /// Nothing of what is queued could be sent for the send timeout.
    Write,
    Linger,
    /// A timed pause, or what a rate limit asks for, is over.
    Gate,
    /// A window in which the peer must not be too slow is over.
    Pace,
    /// It may not live longer.
    Lifetime,
}

#[inline]
fn after(start: Tick, span: u64) -> Tick {
    Tick::from_nanos(start.as_nanos().saturating_add(span))
}

impl Line {
    /// The earliest moment at which a limit is passed, and which; [`Tick::MAX`] means never.
    #[inline]
    pub(crate) fn deadline(&self, spans: &Spans) -> (Tick, Limit) {
        if !self.stage.is_open() {
            return self.or_own_end(self.other_deadline(spans), spans);
        }
        if self.tuning.is_some() {
            return self.tuned_deadline(spans);
        }
        let read = self.read_deadline(spans);
        let write = self.write_deadline(spans);
        if write < read { (write, Limit::Write) } else { (read, Limit::Read) }
    }

    /// When an open line has been silent for too long.
    #[inline]
    pub(crate) fn read_deadline(&self, spans: &Spans) -> Tick {
        if self.gate.is_open() { after(self.last_read, spans.read) } else { Tick::MAX }
    }

    /// The same, with a wait of its own counted.
    pub(crate) fn silence_due(&self, spans: &Spans) -> Tick {
        match &self.tuning {
            None => self.read_deadline(spans),
            Some(tuning) if self.gate.expects_input() => {
                tuning.read_due.unwrap_or_else(|| after(self.last_read, spans.read))
            }
            Some(_) => Tick::MAX,
        }
    }

    /// When what is queued on an open line has waited for too long.
    fn write_deadline(&self, spans: &Spans) -> Tick {
        if self.has_output() { after(self.last_progress, spans.send) } else { Tick::MAX }
    }

    fn tuned_deadline(&self, spans: &Spans) -> (Tick, Limit) {
        let Some(tuning) = &self.tuning else { return (Tick::MAX, Limit::Gate) };
        let mut first = (Tick::MAX, Limit::Gate);
        let mut earlier = |due: Tick, limit| {
            if due < first.0 {
                first = (due, limit);
            }
        };
        if self.gate.has(Reason::Timed) {
            earlier(tuning.pause_ends.unwrap_or(Tick::MAX), Limit::Gate);
        }
        if self.gate.has(Reason::Limited) {
            earlier(tuning.rate.map_or(Tick::ZERO, |rate| rate.paid), Limit::Gate);
        }
        earlier(self.silence_due(spans), Limit::Read);
        if self.has_output() {
            let due = tuning.write_due.unwrap_or_else(|| self.write_deadline(spans));
            earlier(due, Limit::Write);
        }
        self.or_own_end(first, spans)
    }

    /// The earliest of this deadline, the end of its lifetime, and that of a window of its pace.
    fn or_own_end(&self, mut first: (Tick, Limit), spans: &Spans) -> (Tick, Limit) {
        let Some(tuning) = &self.tuning else { return first };
        let mut life_ends = tuning.life_ends.unwrap_or(Tick::MAX);
        match self.stage {
            // However slowly what is queued may leave.
            Stage::Flushing { .. } => life_ends = after(life_ends, spans.send),
            Stage::Lingering { .. } | Stage::Closed(_) => return first,
            _ => {}
        }
        if life_ends < first.0 {
            first = (life_ends, Limit::Lifetime);
        }
        let pace = tuning.pace.as_ref().map_or(Tick::MAX, |pace| self.pace_due(pace));
        if pace < first.0 { (pace, Limit::Pace) } else { first }
    }

    /// What was noted in a long turn was noted at its beginning, and may have happened at its end:
    /// the peer is given the benefit.
    pub(crate) fn excuse(&mut self, turn: Span) {
        for noted in [&mut self.last_read, &mut self.last_progress] {
            if *noted == turn.began {
                *noted = turn.ended;
            }
        }
    }

    /// Opens what the gate was closed for, as far as its time is over; whether anything was.
    ///
    /// The read timeout begins anew then (S103).
    pub(crate) fn open_gate(&mut self, now: Tick) -> bool {
        let Some(tuning) = &mut self.tuning else { return false };
        let mut opened = false;
        if tuning.pause_ends.is_some_and(|ends| ends <= now) {
            tuning.pause_ends = None;
            opened |= self.gate.open(Reason::Timed);
        }
        if tuning.rate.is_none_or(|rate| rate.paid <= now) {
            opened |= self.gate.open(Reason::Limited);
        }
        if opened {
            self.begins_to_listen(now);
        }
        opened
    }

    fn other_deadline(&self, spans: &Spans) -> (Tick, Limit) {
        match &self.stage {
            Stage::Connecting(_) => {
                let whole = after(self.last_progress, spans.connect);
                match self.race.as_ref().and_then(|race| race.due()) {
                    Some(due) if due < whole => (due, Limit::Attempt),
                    _ => (whole, Limit::Connect),
                }
            }
            Stage::Preface(preface) => (preface.due, Limit::Preface),
            Stage::Handshaking(tls) => {
                let whole = after(tls.began, spans.handshake);
                let step = after(self.last_progress, spans.handshake_step);
                (whole.min(step), Limit::Handshake)
            }
            // A lock is the handler's own.
            Stage::Upgrading(_) if !self.is_unlocked() => (Tick::MAX, Limit::Write),
            Stage::Upgrading(_) => {
                let own = self.tuning.as_ref().and_then(|tuning| tuning.write_due);
                (own.unwrap_or_else(|| after(self.last_progress, spans.send)), Limit::Write)
            }
            Stage::Flushing { .. } => (after(self.last_progress, spans.send), Limit::Write),
            Stage::Lingering { .. } => (after(self.last_progress, spans.linger), Limit::Linger),
            Stage::Open(_) | Stage::Closed(_) => (Tick::MAX, Limit::Linger),
        }
    }
}
