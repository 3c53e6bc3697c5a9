//! A listening socket's side of the loop, as data.
//!
//! Never: holds the descriptor, or calls the acceptor.

use crate::api::{Handler, Peer};
use crate::id::ListenerId;
use shardpoll_tls::ServerContext;

/// Makes the handler of each connection that a listener accepts.
pub type Acceptor = Box<dyn FnMut(&Peer) -> Box<dyn Handler>>;

pub(crate) struct Listener {
    pub(crate) id: ListenerId,
    /// TLS from the first byte on.
    pub(crate) tls: Option<ServerContext>,
    /// `None` while it is called.
    pub(crate) accept: Option<Acceptor>,
}
