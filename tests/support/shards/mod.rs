//! A seeded world of many shards: letters between them, and every way for them to end.
//!
//! ```text
//!   play ──► world: the shards, the peers, the orders, and what must hold after each turn
//!     actor    the handlers: what they do with their connections, and with those of others
//!     peer     the far sides: frames of many senders, each in its order
//!     history  what has happened, and whether it may
//!     ledger   letters: who posted what to whom, and what has become of it
//! ```
//!
//! Never: uses a socket, a clock, or a number that the seed does not give.

#![allow(unreachable_pub, reason = "private modules of a harness")]

mod actor;
mod history;
mod ledger;
mod peer;
mod world;

use crate::simulation::Report;

/// Plays one world of two to so many shards to its end.
///
/// # Errors
/// The first thing that may not be.
pub fn play(seed: u64, most_shards: usize) -> Result<Report, String> {
    crate::simulation::caught(|| world::play_out(seed, most_shards))
}
