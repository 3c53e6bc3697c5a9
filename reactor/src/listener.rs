//! A listening socket's side of the loop, as data.
//!
//! Never: holds the descriptor, or calls the acceptor.
//!
//! Invariants:
//! 1. The kernel reports those who wait exactly while the listener neither rests nor is paused.

use crate::api::{Accept, WhenFull};
use crate::id::ListenerId;
use shardpoll_timers::TimerId;
use shardpoll_tls::ServerContext;

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
}

pub(crate) struct Listener {
    pub(crate) id: ListenerId,
    pub(crate) options: ListenerOptions,
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
    pub(crate) fn new(id: ListenerId, options: ListenerOptions, accept: Acceptor) -> Box<Self> {
        let accept = Some(accept);
        Box::new(Self { id, options, accept, resting: false, paused: false, pause_ends: None })
    }

    /// Whether it takes connections now.
    pub(crate) fn is_accepting(&self) -> bool {
        !self.resting && !self.paused
    }
}
