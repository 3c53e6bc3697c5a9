//! Bad input by the seed: TLS connections whose bytes are changed on the way, and a judge of what
//! that leads to.
//!
//! ```text
//!   seed ──► session  two sessions back to back, what one sends is changed, sealed or not
//!        └─► upgrade  a loop that upgrades a connection, whose peer's bytes are changed
//!            change   what becomes of bytes
//!            crypto   cryptography that a seed repeats, and that seals changed records
//!            hunt     many seeds, over several threads, for some time
//! ```
//!
//! What is changed was live a moment before, so that it leads as far into a handshake as it can.
//!
//! Never: uses a socket, or randomness that the seed does not give.

#![allow(unreachable_pub, reason = "private modules of a harness")]

mod change;
mod crypto;
mod hunt;
mod session;
mod upgrade;

pub use hunt::{Found, Hunt, Until, hunt};

use fastrand::Rng;
use std::collections::BTreeMap;
use std::panic::catch_unwind;

/// Bytes that a session may keep for input to be completed: what `Session::buffered` promises.
const KEPT_MOST: usize = 164 * 1024;

/// One case of so many is an upgrade in a loop; the others are sessions alone.
const UPGRADE_ONE_IN: u64 = 4;

/// What has been seen.
#[derive(Clone, Default, Debug)]
pub struct Tally {
    /// Connections that were played.
    pub connections: u64,
    /// Handshakes that were finished, by at least one side.
    pub established: u64,
    /// Sessions that were resumed.
    pub resumed: u64,
    /// Upgrades that were asked for by a connection's handler.
    pub upgrades: u64,
    /// How sessions ended, in the words of their errors, without numbers.
    pub ends: BTreeMap<String, u64>,
    /// The most that a session kept.
    pub kept_most: usize,
}

impl Tally {
    /// Adds another.
    pub fn add(&mut self, other: &Self) {
        self.connections += other.connections;
        self.established += other.established;
        self.resumed += other.resumed;
        self.upgrades += other.upgrades;
        self.kept_most = self.kept_most.max(other.kept_most);
        for (end, count) in &other.ends {
            *self.ends.entry(end.clone()).or_default() += count;
        }
    }

    fn ended(&mut self, how: &impl ToString) {
        let text = how.to_string();
        let words = text.split(['(', '{', '[', '"']).next().unwrap_or_default().trim();
        *self.ends.entry(words.to_owned()).or_default() += 1;
    }
}

/// Plays the case of this seed.
///
/// # Errors
/// What was seen that may not be; a panic is told by its message.
pub fn play(seed: u64) -> Result<Tally, String> {
    let played = catch_unwind(|| {
        let mut rng = Rng::with_seed(seed);
        crypto::begin(rng.u64(..));
        if seed.is_multiple_of(UPGRADE_ONE_IN) {
            upgrade::play(&mut rng)
        } else {
            session::play(&mut rng)
        }
    });
    played.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
        Err(format!("panicked: {}", text.unwrap_or("without a text")))
    })
}
