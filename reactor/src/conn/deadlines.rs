//! When a connection is too old: computed from its state, never set.
//!
//! A connection has one entry in the timer heap. Reading stores `last_read`, sending stores
//! `last_progress`, and nothing else happens: the entry is moved at once only when the true
//! deadline became *earlier*; an entry that comes up too early is put back at the true deadline. So
//! a busy connection costs one heap operation per timeout period, and the timeout is still exact.
//!
//! Never: reads a clock or touches the heap.
//!
//! Invariants:
//! 1. `entry_due` is at or before the true deadline whenever the loop waits (the loop's `settle`).

use super::Line;
use super::stage::{LINGER, Stage};
use crate::api::Config;
use shardpoll_timers::Tick;
use std::time::Duration;

/// A whole handshake may take this many times the timeout of one of its steps (S93).
const HANDSHAKE_STEPS: u64 = 4;

/// The configured timeouts in nanoseconds, ready to be added; `u64::MAX` means never.
pub(crate) struct Spans {
    read: u64,
    send: u64,
    connect: u64,
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
            handshake: nanos(config.handshake_timeout),
            linger: nanos(LINGER),
        }
    }
}

/// Which of its limits a connection has passed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Limit {
    Connect,
    Handshake,
    /// The peer has been silent for the read timeout.
    Read,
    /// Nothing of what is queued could be sent for the send timeout.
    Write,
    Linger,
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
            return self.other_deadline(spans);
        }
        let read = self.read_deadline(spans);
        if self.has_output() {
            let write = after(self.last_progress, spans.send);
            if write < read {
                return (write, Limit::Write);
            }
        }
        (read, Limit::Read)
    }

    /// When an open line has been silent for too long.
    #[inline]
    pub(crate) fn read_deadline(&self, spans: &Spans) -> Tick {
        if self.gate.is_open() { after(self.last_read, spans.read) } else { Tick::MAX }
    }

    fn other_deadline(&self, spans: &Spans) -> (Tick, Limit) {
        match &self.stage {
            Stage::Connecting(_) => (after(self.last_progress, spans.connect), Limit::Connect),
            Stage::Handshaking(tls) => {
                let whole = after(tls.began, spans.handshake.saturating_mul(HANDSHAKE_STEPS));
                (whole.min(after(self.last_progress, spans.handshake)), Limit::Handshake)
            }
            Stage::Flushing { .. } => (after(self.last_progress, spans.send), Limit::Write),
            Stage::Lingering { .. } => (after(self.last_progress, spans.linger), Limit::Linger),
            Stage::Open(_) | Stage::Closed(_) => (Tick::MAX, Limit::Linger),
        }
    }
}
