//! A seeded world around one loop: handlers, peers and faults, and a judge after every turn.
//!
//! ```text
//!   Plan (seed, TLS, faults) ──► play ──► Report, or the first thing that may not be
//!     world    the loop, its turns, and what must hold after each
//!     place    addresses, listeners, certificates, the bytes of each sender
//!     actor    the handlers: what they do with their connections
//!     regulate what they ask of the flow of bytes
//!     balancer PROXY headers: those of clients, and bad ones
//!     upgrade  from plain to TLS in the middle
//!     relay    pairs of connections that are linked
//!     deeds    what they do to others: connections, timers
//!     script   the peers: what they do with theirs
//!     history  what has happened, and whether it may; record: of one side of a connection;
//!              judge: what must have happened in the end
//!     search   many worlds, over several threads
//! ```
//!
//! Never: uses a socket, a clock, or a number that the seed does not give.

#![allow(unreachable_pub, reason = "private modules of a harness")]

mod actor;
mod balancer;
mod deeds;
mod history;
mod judge;
mod place;
mod record;
mod regulate;
mod relay;
mod script;
mod search;
#[cfg(test)]
mod tests;
mod upgrade;
mod world;

pub use search::{Enough, Failure, Outcome, Search, all_cores, fresh_seed, search};

use fastrand::Rng;
use shardpoll_reactor::{Counts, Fault, Faults, Step, Transitions};
use std::any::Any;
use std::panic::{UnwindSafe, catch_unwind};

/// What to play.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Decides everything that `faults` leaves open.
    pub seed: u64,
    /// Whether some connections are TLS, whose bytes are not the seed's.
    pub with_tls: bool,
    /// What goes wrong, and how often.
    pub faults: Faults,
}

/// One world of so many has TLS: a handshake costs as much as ten worlds without.
const TLS_ONE_IN: u32 = 8;

impl Plan {
    /// The plan in which the seed chooses everything.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let mut rng = Rng::with_seed(seed ^ 0xFA_017);
        let with_tls = rng.u32(0..TLS_ONE_IN) == 0;
        let mut faults = match rng.u32(0..10) {
            0 => Faults::none(),
            1..5 => Faults::uniform(0.01),
            5..7 => Faults::uniform(0.05),
            _ => Faults::none(),
        };
        for _ in 0..rng.u32(0..4) {
            faults = faults.with(Fault::ALL[rng.usize(0..Fault::ALL.len())], 0.3);
        }
        Self { seed, with_tls, faults }
    }
}

/// What a world was like.
#[derive(Clone, Copy, Default, Debug)]
pub struct Report {
    /// Equal for equal histories.
    pub digest: u64,
    /// Turns of the loops.
    pub turns: u64,
    /// Connections whose both ends, or whose one end, were the loop's: each end counted.
    pub connections: u64,
    /// Calls of handlers.
    pub callbacks: u64,
    /// Bytes that the loops took from the kernel.
    pub bytes_in: u64,
    /// Bytes that the loops gave to the kernel.
    pub bytes_out: u64,
    /// Directions that were checked to be whole, up to an orderly end.
    pub complete: u64,
    /// Of these, over a relay made of links.
    pub relayed: u64,
    /// Panics of handlers, all planned.
    pub panics: u64,
    /// Letters that were read, in worlds of many shards.
    pub letters: u64,
    /// Connections that a deadline has cut there.
    pub cut: u64,
    /// Faults of each kind.
    pub faults: Counts,
    /// Changes of stage, of each kind.
    pub transitions: Transitions,
}

impl Report {
    /// Adds another world to a sum.
    pub fn add(&mut self, other: &Self) {
        self.turns += other.turns;
        self.connections += other.connections;
        self.callbacks += other.callbacks;
        self.bytes_in += other.bytes_in;
        self.bytes_out += other.bytes_out;
        self.complete += other.complete;
        self.relayed += other.relayed;
        self.panics += other.panics;
        self.letters += other.letters;
        self.cut += other.cut;
        self.faults.add(&other.faults);
        self.transitions.add(&other.transitions);
    }
}

/// The changes of stage that there are (the drawing at the head of `conn/stage`); no others.
pub const DRAWN: [(Step, Step); 23] = [
    (Step::Begun, Step::Preface),
    (Step::Preface, Step::Open),
    (Step::Preface, Step::Handshaking),
    (Step::Preface, Step::Closed),
    (Step::Begun, Step::Connecting),
    (Step::Begun, Step::Handshaking),
    (Step::Begun, Step::Open),
    (Step::Connecting, Step::Handshaking),
    (Step::Connecting, Step::Open),
    (Step::Connecting, Step::Closed),
    (Step::Open, Step::Upgrading),
    (Step::Upgrading, Step::Handshaking),
    (Step::Upgrading, Step::Flushing),
    (Step::Upgrading, Step::Closed),
    (Step::Handshaking, Step::Open),
    (Step::Handshaking, Step::Flushing),
    (Step::Handshaking, Step::Closed),
    (Step::Open, Step::Flushing),
    (Step::Open, Step::Closed),
    (Step::Flushing, Step::Lingering),
    (Step::Flushing, Step::Closed),
    (Step::Lingering, Step::Closed),
    (Step::Closed, Step::Freed),
];

/// Plays one world to its end.
///
/// # Errors
/// The first thing that may not be.
pub fn play(plan: &Plan) -> Result<Report, String> {
    caught(|| world::play_out(plan))
}

/// A loop that panics has broken a promise.
pub(crate) fn caught(
    play: impl FnOnce() -> Result<Report, String> + UnwindSafe,
) -> Result<Report, String> {
    let panicked = |panic: Box<dyn Any + Send>| {
        let text = panic.downcast_ref::<&str>().map(|text| (*text).to_string());
        let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
        Err(format!("the loop has panicked: {}", text.unwrap_or_default()))
    };
    catch_unwind(play).unwrap_or_else(panicked)
}
