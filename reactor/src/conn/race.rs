//! Several attempts to connect, of which the first to be established wins (RFC 8305).
//!
//! Never: connects; the loop does, and reports what came of it.
//!
//! Invariants:
//! 1. Between two turns at least one attempt runs, or the race is over.

use crate::api::Options;
use crate::id::ConnId;
use shardpoll_timers::Tick;
use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// How long an attempt may stay without an answer before the next one begins beside it (RFC 8305
/// section 5: the Connection Attempt Delay).
const ATTEMPT_DELAY: Duration = Duration::from_millis(250);

/// The attempts of one connection.
pub(crate) struct Race {
    /// What is yet to be tried, in order.
    waiting: VecDeque<SocketAddr>,
    /// The attempts that run.
    pub(crate) running: Vec<ConnId>,
    /// When the last attempt began.
    began: Tick,
    /// Why the last one that failed did so.
    pub(crate) error: Option<io::Error>,
    /// The address that all of them come from, if one was named.
    pub(crate) source: Option<IpAddr>,
    /// What each of their sockets is told.
    pub(crate) options: Options,
}

impl Race {
    pub(crate) fn new(
        waiting: VecDeque<SocketAddr>,
        source: Option<IpAddr>,
        options: Options,
        now: Tick,
    ) -> Self {
        Self { waiting, running: Vec::new(), began: now, error: None, source, options }
    }

    /// The next address to try; its attempt begins now.
    pub(crate) fn next(&mut self, now: Tick) -> Option<SocketAddr> {
        self.began = now;
        self.waiting.pop_front()
    }

    /// When the next attempt begins, unless one fails or is established before.
    pub(crate) fn due(&self) -> Option<Tick> {
        (!self.waiting.is_empty()).then(|| self.began.saturating_add(ATTEMPT_DELAY))
    }

    /// An attempt has failed.
    pub(crate) fn failed(&mut self, attempt: ConnId, error: io::Error) {
        self.running.retain(|&running| running != attempt);
        self.error = Some(error);
    }
}

/// One attempt: a descriptor of its own, on its way to become its line's.
#[derive(Clone, Copy)]
pub(crate) struct Attempt {
    pub(crate) line: ConnId,
    pub(crate) to: SocketAddr,
}
