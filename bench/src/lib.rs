//! What the programs of this package share: what machine this is, what time it is, how much
//! processor time a process has had; servers in child processes, and the tools that count what they
//! do.
//!
//! | module | what is in it |
//! |---|---|
//! | [`machine`] | CPU, number of CPUs, kernel: the line that stands above every figure |
//! | [`clock`] | the monotonic clock that latencies are measured with |
//! | [`cpu`] | processor time of this or another process, in nanoseconds |
//! | [`memory`] | what a process has in memory, and how many descriptors |
//! | [`child`] | a server in a child process |
//! | [`hdr`] | distributions as a text |
//! | [`course`] | one connection's messages as data: what was sent, what must come back |
//! | [`command_line`] | how a command line is read, and what is said of a mistake in it |
//! | [`spread`] | rounds of short windows, and what their figures are worth |
//! | [`tools`], [`counted`] | strace and callgrind: are they there, and what have they counted |
//! | [`profile`] | the functions that callgrind has counted in |
//!
//! Never: draws load, or knows what may be asked for; the programs in `src/bin` do.

#![forbid(unsafe_code)]

pub mod child;
pub mod clock;
pub mod command_line;
pub mod counted;
pub mod course;
pub mod cpu;
pub mod hdr;
pub mod machine;
pub mod memory;
mod pattern;
pub mod profile;
pub mod spread;
pub mod tools;
