//! The harness of the behaviour tests: an engine whose callbacks are recorded, and its peers.
//!
//! ```text
//!   test ──► World: an engine on loopback ──► Recorder: every callback becomes a `Seen`
//!     │         ▲                                  │
//!     └─► Peer, TlsPeer: blocking clients          └──► World::wait_for, World::finish
//! ```
//!
//! A test awaits what it expects by `wait_for`, which gives up after [`PATIENCE`], and ends with
//! [`World::finish`], which quits the engine and gives the whole record, so that "nothing else
//! came" can be asserted without waiting for it.
//!
//! Never: sleeps, or uses a fixed port.

#![forbid(unsafe_code)]
#![allow(clippy::disallowed_methods, reason = "the outside of an engine has threads and clocks")]

mod ending;
mod family;
pub mod headers;
mod hopper;
mod lab;
pub mod leak;
pub mod mutation;
mod peer;
mod process;
pub mod program;
mod recorder;
mod rig;
mod setup;
pub mod shards;
mod side;
pub mod simulation;
mod socket_path;
mod stream;
mod tls;
mod trace;
mod world;

pub use family::Family;
pub use hopper::{Hopper, Journal, SharedJournal};
pub use lab::{in_sim, is_on as is_simulated};
pub use peer::{Held, Peer, blackhole, refused_addr};
pub use process::Alone;
pub use recorder::{Call, Event, React, Recorder, Seen};
pub use rig::{Back, Heard, Pair, Probe, Rig, read_text};
pub use setup::Setup;
pub use side::{pass, receive, wait_for_reply};
pub use socket_path::SocketPath;
pub(crate) use stream::Stream;
pub use tls::{TlsPeer, Version, certificate, client_context, pem, server_context};
pub use trace::Trace;
pub use world::World;

/// Makes two tests of each of these functions: one on Linux with real sockets, and one in the
/// simulation, where a test's patience costs nothing.
#[macro_export]
macro_rules! both_worlds {
    ($($name:ident),+ $(,)?) => {
        mod linux {
            $(
                #[test]
                fn $name() {
                    super::$name();
                }
            )+
        }
        mod sim {
            $(
                #[test]
                fn $name() {
                    $crate::in_sim(super::$name);
                }
            )+
        }
    };
}

/// The README, so that its example is compiled.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
#[derive(Debug)]
pub struct Readme;

/// How long anything that must happen may take: long enough for a loaded machine.
pub const PATIENCE: std::time::Duration = std::time::Duration::from_secs(10);

/// Bytes that repeat only after 251, so that a lost or doubled piece shows.
#[must_use]
pub fn pattern(len: usize) -> Vec<u8> {
    let period: Vec<u8> = (0..=250).collect();
    let mut bytes = period.repeat(len / period.len() + 1);
    bytes.truncate(len);
    bytes
}
