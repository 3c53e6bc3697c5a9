//! What the load harness and the benches share: what machine this is, what time it is, and how much
//! processor time a process has had.
//!
//! | module | what is in it |
//! |---|---|
//! | [`machine`] | CPU, number of CPUs, kernel: the line that stands above every figure |
//! | [`clock`] | the monotonic clock that latencies are measured with |
//! | [`cpu`] | processor time of this or another process, in nanoseconds |
//!
//! Never: draws load, or knows the command line; `src/bin/shardload` does.

#![forbid(unsafe_code)]

pub mod clock;
pub mod cpu;
pub mod machine;
