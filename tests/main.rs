//! What the engine promises, one file per promise, on real loopback sockets.

#![forbid(unsafe_code)]
#![allow(clippy::disallowed_methods, reason = "the outside of an engine has threads and clocks")]

/// Rules of behaviour (S1 to S160, O1 to O9).
mod semantics {
    mod abort;
    mod callbacks;
    mod close;
    mod close_all;
    mod connect;
    mod disconnect;
    mod drain;
    mod incoming;
    mod panic;
    mod pause;
    mod predrain;
    mod quit;
    mod read_timeout;
    mod remote;
    mod starttls;
    mod timers;
    mod tls;
    mod with;
    mod write;
    mod write_timeout;
}

/// What only a real kernel can show.
mod kernel {
    mod addresses;
    mod errors;
    mod exhaustion;
    mod garbage;
    mod leaks;
    mod resets;
    mod reuseport;
}

mod sim;
mod tidy;
