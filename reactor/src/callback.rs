//! The places from which user code is called, by name: what a panic is reported with.
//!
//! Never: calls any of it.

use std::fmt;

/// The places from which user code is called.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Callback {
    None,
    Accept,
    ListenerClosed,
    Connect,
    Incoming,
    Predrain,
    Drain,
    HighWater,
    LowWater,
    ReadTimeout,
    Status,
    Starttls,
    Attach,
    Detach,
    Moved,
    Panic,
    DrainBegin,
    Disconnect,
    Timer,
    Letter,
    Readable,
    Writable,
    WatchClosed,
    Signal,
    Drop,
}

impl fmt::Display for Callback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "no callback",
            Self::Accept => "the acceptor",
            Self::ListenerClosed => "the acceptor's on_close",
            Self::Connect => "on_connect",
            Self::Incoming => "on_incoming",
            Self::Predrain => "on_predrain",
            Self::Drain => "on_drain",
            Self::HighWater => "on_high_water",
            Self::LowWater => "on_low_water",
            Self::ReadTimeout => "on_read_timeout",
            Self::Status => "on_status",
            Self::Starttls => "on_starttls",
            Self::Attach => "on_attach",
            Self::Detach => "on_detach",
            Self::Moved => "on_moved",
            Self::Panic => "on_panic",
            Self::DrainBegin => "on_drain_begin",
            Self::Disconnect => "on_disconnect",
            Self::Timer => "a timer",
            Self::Letter => "a task from outside",
            Self::Readable => "on_readable",
            Self::Writable => "on_writable",
            Self::WatchClosed => "on_closed",
            Self::Signal => "the callback of a signal",
            Self::Drop => "the drop of a user's value",
        })
    }
}
