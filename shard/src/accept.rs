//! What decides on connections, as every shard has it: a clone of its own.
//!
//! Never: calls an acceptor on another thread than its shard's.
//!
//! Invariants:
//! 1. Of the clones of one acceptor, one is told of the listener's end: that of the shard whose
//!    socket was the last to be closed (O9). The file of a unix socket is gone by then.

use crate::letter::SendAcceptor;
use shardpoll_reactor::{Accept, Handler, Local, Peer, SocketFile};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A closure as an acceptor.
#[derive(Clone)]
pub(crate) struct Closure<F>(pub(crate) F);

impl<H: Handler, F: FnMut(&Peer) -> H + 'static> Accept for Closure<F> {
    fn accept(&mut self, peer: &Peer) -> Box<dyn Handler> {
        Box::new((self.0)(peer))
    }
}

/// One shard's clone.
struct Share<A> {
    own: A,
    /// Sockets of the listener that are open.
    open: Arc<AtomicUsize>,
    /// The file of a unix socket, removed when the last one lets go.
    file: Option<Arc<SocketFile>>,
}

impl<A: Accept> Accept for Share<A> {
    fn accept(&mut self, peer: &Peer) -> Box<dyn Handler> {
        self.own.accept(peer)
    }

    fn on_close(&mut self, local: &mut Local<'_>) {
        // Before the count, so that it is gone when the end is told.
        self.file = None;
        if self.open.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.own.on_close(local);
        }
    }
}

/// An acceptor for each of so many shards.
pub(crate) fn shares<A: Accept + Clone + Send>(
    accept: &A,
    shards: usize,
    file: Option<Arc<SocketFile>>,
) -> impl Iterator<Item = SendAcceptor> {
    let open = Arc::new(AtomicUsize::new(shards));
    let share = move |_| -> SendAcceptor {
        Box::new(Share { own: accept.clone(), open: Arc::clone(&open), file: file.clone() })
    };
    (0..shards).map(share)
}
