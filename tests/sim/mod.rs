//! The loop itself, on a simulated network with faults.

mod faults;
mod happy_eyeballs;
mod links;
mod one_shard;
mod tangle;
pub(crate) mod world;
