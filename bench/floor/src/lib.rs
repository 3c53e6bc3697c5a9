//! The least an echo server can be: one thread, bare epoll, one `recv` and one `send` an echo; and
//! the least that its clients can be.
//!
//! It is what every figure of `versus` is compared with: what the kernel takes, and next to nothing
//! besides. It has no handlers, no timers, no letters, no limits and no errors to report; so nobody
//! could use it, and nothing can be much cheaper.
//!
//! | module | what is in it |
//! |---|---|
//! | [`level`] | level-triggered: interest changes with what is pending; no timeout |
//! | [`edge`] | edge-triggered, registered once; a read timeout as one stored time a read |
//! | [`rustls`] | the same under TLS |
//! | [`client`] | connections with one message in flight each; what comes back is counted |
//! | `sys` | the system calls; the only unsafe code |
//!
//! Never: is fair. A client that sends without end has the loop to itself.

pub mod client;
mod conns;
pub mod edge;
pub mod level;
mod rest;
pub mod rustls;
mod sys;

/// As much as the peers of `versus` read at once.
pub const READ_BYTES: usize = 16 * 1024;

/// What events of the listener and of the stop carry, where others carry a descriptor.
const LISTENER: u64 = u64::MAX;
const STOP: u64 = u64::MAX - 1;
