//! A listening socket's side of the loop, as data.
//!
//! Never: holds the descriptor, or calls the acceptor.

use crate::api::{AcceptOptions, Addr, Handler, Peer};
use crate::id::ListenerId;
use std::rc::Rc;

/// Makes the handler of each connection that a listener accepts.
pub type Acceptor = Box<dyn FnMut(&Peer) -> Box<dyn Handler>>;

pub(crate) struct Listener {
    pub(crate) id: ListenerId,
    /// How what it accepts begins.
    pub(crate) options: AcceptOptions,
    /// The address it listens on, lent to what it accepts. One that listens on every address lends
    /// the one that the last connection came to.
    pub(crate) local: Rc<Addr>,
    pub(crate) is_wildcard: bool,
    /// `None` while it is called.
    pub(crate) accept: Option<Acceptor>,
}
