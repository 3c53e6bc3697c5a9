//! A listening socket's side of the loop, as data.
//!
//! Never: holds the descriptor, or calls the acceptor.
//!
//! Invariants:
//! 1. The kernel reports those who wait exactly while the listener neither rests nor is paused.

use crate::api::Accept;
use crate::id::ListenerId;
use shardpoll_timers::TimerId;
use shardpoll_tls::ServerContext;

/// What decides on the connections of a listener.
pub type Acceptor = Box<dyn Accept>;

pub(crate) struct Listener {
    pub(crate) id: ListenerId,
    /// TLS from the first byte on.
    pub(crate) tls: Option<ServerContext>,
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
    pub(crate) fn new(id: ListenerId, tls: Option<ServerContext>, accept: Acceptor) -> Box<Self> {
        let accept = Some(accept);
        Box::new(Self { id, tls, accept, resting: false, paused: false, pause_ends: None })
    }

    /// Whether it takes connections now.
    pub(crate) fn is_accepting(&self) -> bool {
        !self.resting && !self.paused
    }
}
