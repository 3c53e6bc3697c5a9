//! What a shard tells the main thread.
//!
//! Never: asks for an answer.

use super::{Attacks, Cut};
use crate::tally::{Openings, Tally};
use hdrhistogram::Histogram;
use std::time::Duration;

/// What a shard tells the main thread.
#[derive(Debug)]
pub(crate) enum Event {
    /// So many of its connections are up, and the others will not be; or there is nothing to open
    /// first.
    Ready { up: u64, first_error: Option<String> },
    /// Another piece of the window is over.
    Interval(Box<Cut>),
    /// The load is over.
    Quiet(Box<Rest>),
}

/// What is told at the end.
#[derive(Debug)]
pub(crate) struct Rest {
    /// Pieces of the window that were told before.
    pub(crate) pieces: usize,
    /// What happened outside of the window: before it only errors, after it everything.
    pub(crate) outside: Tally,
    pub(crate) openings: Openings,
    /// How late messages of an open loop were begun whose connection was free, in nanoseconds.
    pub(crate) lateness: Histogram<u64>,
    /// Operations that were due and not begun.
    pub(crate) unsent: u64,
    /// How long the window was.
    pub(crate) window: Duration,
    /// Nobody was there any more.
    pub(crate) deserted: bool,
    /// Connections that are up at the end.
    pub(crate) alive: u64,
    pub(crate) first_error: Option<String>,
    pub(crate) attacks: Attacks,
}
