//! A listening socket's side of the loop, as data.
//!
//! Never: holds the descriptor, or calls the acceptor.
//!
//! Invariants:
//! 1. The kernel reports those who wait exactly while the listener neither rests nor is paused.

use crate::api::{Accept, Addr, WhenFull};
use crate::census::Limits;
use crate::id::ListenerId;
use shardpoll_timers::TimerId;
use shardpoll_tls::ServerContext;
use std::rc::Rc;

/// What decides on the connections of a listener.
pub type Acceptor = Box<dyn Accept>;

/// What the connections of a listener begin with.
#[derive(Clone, Default, Debug)]
#[non_exhaustive]
pub struct ListenerOptions {
    /// TLS from the first byte on. Default: none.
    pub tls: Option<ServerContext>,
    /// What becomes of one that writes more than it may queue. Default: as the configuration says.
    pub when_full: Option<WhenFull>,
    /// The largest chunk a handler is given, in bytes, as
    /// [`Conn::read_size`](crate::Conn::read_size) sets it. Default: as the configuration says.
    pub read_size: Option<usize>,
    /// How many of them there may be, over all loops that share a census. Default: no limit.
    pub limits: Limits,
}

pub(crate) struct Listener {
    pub(crate) id: ListenerId,
    pub(crate) options: ListenerOptions,
    /// The address it listens on, lent to what it accepts. One that listens on every address lends
    /// the one that the last connection came to.
    pub(crate) local: Rc<Addr>,
    pub(crate) is_wildcard: bool,
    /// Whether its connections are counted against limits.
    pub(crate) counted: bool,
    /// `None` while it is called.
    pub(crate) accept: Option<Acceptor>,
    /// Descriptors or memory have run out (S127).
    pub(crate) resting: bool,
    /// User code has stopped it (S128).
    pub(crate) paused: bool,
    /// What ends the pause, if it was given a time.
    pub(crate) pause_ends: Option<TimerId>,
}

impl Listener {
    pub(crate) fn new(
        id: ListenerId,
        local: Addr,
        options: ListenerOptions,
        accept: Acceptor,
    ) -> Box<Self> {
        Box::new(Self {
            id,
            options,
            is_wildcard: local.is_wildcard(),
            local: Rc::new(local),
            counted: false,
            accept: Some(accept),
            resting: false,
            paused: false,
            pause_ends: None,
        })
    }

    /// Whether it takes connections now.
    pub(crate) fn is_accepting(&self) -> bool {
        !self.resting && !self.paused
    }
}
