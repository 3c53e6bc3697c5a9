//! Listeners as a callback sees them: what decides on their connections, and how they are stopped.
//!
//! Never: calls the kernel.

use super::{Handler, Local, Peer};
use crate::core::{Due, Wish};
use crate::id::{ConnId, ListenerId};
use crate::listener::Listener;
use crate::table::Entry;
use shardpoll_tls::ServerContext;
use std::time::Duration;

/// Decides on the connections of one listener, on one shard.
///
/// A closure `|peer: &Peer| -> Box<dyn Handler>` is one. Like a handler, it is never called by
/// another thread, and never inside another callback.
pub trait Accept: 'static {
    /// Makes the handler of a connection that has just been accepted (S126). A panic in it is
    /// caught, and costs that peer only.
    fn accept(&mut self, peer: &Peer) -> Box<dyn Handler>;

    /// The listener has ended: its socket is closed (S128, O9). Called once and last; a listener
    /// is no connection, so no handler is told.
    fn on_close(&mut self, _local: &mut Local<'_>) {}
}

impl<F: FnMut(&Peer) -> Box<dyn Handler> + 'static> Accept for F {
    fn accept(&mut self, peer: &Peer) -> Box<dyn Handler> {
        self(peer)
    }
}

impl Local<'_> {
    /// Accepts no more until [`resume_listener`](Self::resume_listener); those who connect wait in
    /// the kernel's queue (S128). On this shard; false when it has no such listener.
    pub fn pause_listener(&mut self, id: ListenerId) -> bool {
        self.set_listener(id, |listener| listener.paused = true)
    }

    /// Accepts no more for this long, counted from this turn; a running pause is replaced (S98).
    /// On this shard; false when it has no such listener.
    pub fn pause_listener_for(&mut self, id: ListenerId, time: Duration) -> bool {
        let paused = self.pause_listener(id);
        for key in self.core.listener_keys(id) {
            let due = self.core.now.saturating_add(time);
            let timer = self.core.timers.insert(due, Due::ListenerPause(key));
            if let Some(listener) = self.core.table.listener_mut(key) {
                listener.pause_ends = Some(timer);
            }
        }
        paused
    }

    /// Accepts again. On this shard; false when it has no such listener.
    pub fn resume_listener(&mut self, id: ListenerId) -> bool {
        self.set_listener(id, |listener| listener.paused = false)
    }

    /// What a listener's later connections speak from their first byte on: TLS of this context, or
    /// plain text for `None` (S120). Those accepted before keep what they have. A pause goes on. On
    /// this shard; false when it has no such listener.
    ///
    /// To replace certificates only, [`ServerContext::replace_certificates`] is simpler: it holds
    /// for all shards at once, and tickets stay valid.
    ///
    /// ```no_run
    /// # use shardpoll_reactor::{ListenerId, Local, tls::ServerContext};
    /// # fn example(local: &mut Local<'_>, listener: ListenerId, context: ServerContext) {
    /// local.set_listener_tls(listener, context);
    /// local.set_listener_tls(listener, None);
    /// # }
    /// ```
    pub fn set_listener_tls(
        &mut self,
        id: ListenerId,
        tls: impl Into<Option<ServerContext>>,
    ) -> bool {
        let tls = tls.into();
        let keys = self.core.listener_keys(id);
        for &key in &keys {
            if let Some(listener) = self.core.table.listener_mut(key) {
                listener.options.tls.clone_from(&tls);
            }
        }
        !keys.is_empty()
    }

    /// Stops listening on this shard; connections that were accepted live on (S128). Those who wait
    /// are accepted first, and [`Accept::on_close`] is called after the running callback. False
    /// when this shard has no such listener.
    pub fn close_listener(&mut self, id: ListenerId) -> bool {
        let keys = self.core.listener_keys(id);
        let known = !keys.is_empty();
        self.core.wishes.extend(keys.into_iter().map(Wish::CloseListener));
        known
    }

    /// Changes a listener, of whose sockets this shard may have several; a timed pause is over with
    /// that.
    fn set_listener(&mut self, id: ListenerId, change: impl Fn(&mut Listener)) -> bool {
        let keys = self.core.listener_keys(id);
        for &key in &keys {
            let Some(listener) = self.core.table.listener_mut(key) else { continue };
            change(listener);
            if let Some(timer) = listener.pause_ends.take() {
                self.core.timers.remove(timer);
            }
            self.core.wishes.push(Wish::SettleListener(key));
        }
        !keys.is_empty()
    }
}

impl crate::core::Core {
    /// The entries of a listener on this shard, one for each socket, but for those that are ending.
    pub(crate) fn listener_keys(&self, id: ListenerId) -> Vec<ConnId> {
        let keys = self.listeners.iter().filter(|(known, _)| *known == id).map(|&(_, key)| key);
        let goes_on = |key: &ConnId| match self.table.entry(*key) {
            Some(Entry::Listener(listener)) => listener.ending.is_none() && !listener.deaf,
            _ => false,
        };
        keys.filter(goes_on).collect()
    }

    /// The entries of a listener on this shard, in whatever state.
    pub(crate) fn all_listener_keys(&self, id: ListenerId) -> Vec<ConnId> {
        let keys = self.listeners.iter().filter(|(known, _)| *known == id);
        keys.map(|&(_, key)| key).collect()
    }
}
