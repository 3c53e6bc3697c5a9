//! What the engine promises, one file per promise, on real loopback sockets.

#![forbid(unsafe_code)]
#![allow(clippy::disallowed_methods, reason = "the outside of an engine has threads and clocks")]

/// Rules of behaviour (S1 to S160, O1 to O10).
mod semantics {
    mod abort;
    mod admission;
    mod attach;
    mod binding;
    mod callbacks;
    mod cancel_quit;
    mod close;
    mod close_all;
    mod connect;
    mod credit;
    mod dane;
    mod detach;
    mod disconnect;
    mod drain;
    mod drain_begin;
    mod emulation;
    mod half_close;
    mod handshakes;
    mod high_water;
    mod incoming;
    mod letters;
    mod lifetime;
    mod limit;
    mod link;
    mod listener;
    mod low_water;
    mod matrix;
    mod metrics;
    mod min_rate;
    mod moved;
    mod own_timeouts;
    mod panic;
    mod panic_policy;
    mod pause;
    mod pause_for;
    mod predrain;
    mod proxy;
    mod proxy_oracle;
    mod proxy_out;
    mod proxy_refused;
    mod quit;
    mod read_timeout;
    mod regressions;
    mod remote;
    mod restart;
    mod signals;
    mod sni;
    mod source;
    mod starttls;
    mod starttls_examples;
    mod starttls_order;
    mod status_example;
    mod storms;
    mod timers;
    mod tls;
    mod tls_end;
    mod tls_old;
    mod turn;
    mod upgrade;
    mod verdict;
    mod watch;
    mod watch_end;
    mod watchdog;
    mod with;
    mod workers;
    mod write;
    mod write_lock;
    mod write_timeout;
}

/// What only a real kernel can show.
mod kernel {
    mod addresses;
    mod adopt;
    mod backlog;
    mod balance;
    mod errors;
    mod exhaustion;
    mod failing;
    mod garbage;
    mod handover;
    mod happy_eyeballs;
    mod inherited;
    mod leaks;
    mod leaving;
    mod names;
    mod options;
    mod proxy;
    mod resets;
    mod reuseport;
    mod service;
    mod source;
    mod unix;
}

mod mutation;
mod oracle;
mod sim;
mod tidy;
