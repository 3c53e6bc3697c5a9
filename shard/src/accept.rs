//! What decides on connections, as every shard has it: a clone of its own.
//!
//! Never: calls an acceptor on another thread than its shard's.
//!
//! Invariants:
//! 1. Of the clones of one acceptor, one is told of the listener's end: that of the shard whose
//!    socket was the last to be closed (O9). The file of a unix socket is gone by then.
//! 2. [`Common::shards`] has a number for each socket, in the order of their group, which is the
//!    kernel's: a socket that leaves is replaced by the last one.

use crate::letter::SendAcceptor;
use parking_lot::Mutex;
use shardpoll_reactor::{Accept, Handler, Local, Peer, SocketFile};
use std::sync::{Arc, Weak};

/// A closure as an acceptor.
#[derive(Clone)]
pub(crate) struct Closure<F>(pub(crate) F);

impl<H: Handler, F: FnMut(&Peer) -> H + 'static> Accept for Closure<F> {
    fn accept(&mut self, peer: &Peer) -> Box<dyn Handler> {
        Box::new((self.0)(peer))
    }
}

/// What the clones of one acceptor have in common.
pub(crate) struct Common<A> {
    accept: Mutex<A>,
    /// The shard of each socket that is open.
    shards: Mutex<Vec<usize>>,
    /// The file of a unix socket, held by the clones.
    file: Weak<SocketFile>,
}

/// A listener that has sockets still, whatever its acceptor is.
pub(crate) trait Alive: Send + Sync {
    /// The shard of each of its sockets, in the order of their group.
    fn shards(&self) -> Vec<usize>;

    /// An acceptor for a socket that takes the place of one on another shard.
    fn instead_of(self: Arc<Self>, other: usize, shard: usize) -> SendAcceptor;

    /// The file of a unix socket.
    fn file(&self) -> Option<Arc<SocketFile>>;
}

impl<A: Accept + Clone + Send> Alive for Common<A> {
    fn shards(&self) -> Vec<usize> {
        self.shards.lock().clone()
    }

    fn instead_of(self: Arc<Self>, other: usize, shard: usize) -> SendAcceptor {
        let (own, file) = (self.accept.lock().clone(), self.file.upgrade());
        {
            let mut shards = self.shards.lock();
            // The other one still has to say that it is gone: it is counted at the end till then.
            match shards.iter().position(|known| *known == other) {
                Some(at) => {
                    shards[at] = shard;
                    shards.push(other);
                }
                None => shards.push(shard),
            }
        }
        Box::new(Share { own, shard, common: self, file })
    }

    fn file(&self) -> Option<Arc<SocketFile>> {
        self.file.upgrade()
    }
}

/// One shard's clone.
struct Share<A> {
    own: A,
    shard: usize,
    common: Arc<Common<A>>,
    /// Removed when the last one lets go.
    file: Option<Arc<SocketFile>>,
}

impl<A: Accept> Accept for Share<A> {
    fn accept(&mut self, peer: &Peer) -> Box<dyn Handler> {
        self.own.accept(peer)
    }

    fn on_close(&mut self, local: &mut Local<'_>) {
        // Before the count, so that it is gone when the end is told.
        self.file = None;
        let is_last = {
            let mut shards = self.common.shards.lock();
            if let Some(at) = shards.iter().rposition(|shard| *shard == self.shard) {
                shards.swap_remove(at);
            }
            shards.is_empty()
        };
        if is_last {
            self.own.on_close(local);
        }
    }
}

/// An acceptor for each socket, which are on these shards.
pub(crate) fn shares<A: Accept + Clone + Send>(
    accept: &A,
    shards: Vec<usize>,
    file: Option<Arc<SocketFile>>,
) -> (Weak<dyn Alive>, Vec<SendAcceptor>) {
    let common = Arc::new(Common {
        accept: Mutex::new(accept.clone()),
        shards: Mutex::new(shards.clone()),
        file: file.as_ref().map(Arc::downgrade).unwrap_or_default(),
    });
    let share = |shard| -> SendAcceptor {
        let (common, file) = (Arc::clone(&common), file.clone());
        Box::new(Share { own: accept.clone(), shard, common, file })
    };
    let shares = shards.into_iter().map(share).collect();
    let alive: Arc<dyn Alive> = common;
    (Arc::downgrade(&alive), shares)
}
