//! The loop itself, on a simulated network with faults.

mod faults;
mod one_shard;
mod regressions;
