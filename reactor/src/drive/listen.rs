//! Listeners: their beginning, their pauses, their rests when descriptors have run out, their end.
//!
//! Never: decides what becomes of a connection.
//!
//! Invariants:
//! 1. A listener that rests or is paused is muted. One that rests stands in `Reactor::resting`, and
//!    has a timer that ends its rest.
//! 2. A listener stands in `Core::listeners` exactly while it is in the table.

use super::Reactor;
use super::accept::AcceptError;
use crate::core::{Callback, Due};
use crate::id::{ConnId, ListenerId};
use crate::listener::{Acceptor, Listener, ListenerOptions};
use crate::sys::{Interest, Sys};
use crate::table::Entry;
use shardpoll_timers::TimerId;
use std::io;

/// How many a listener that ends still accepts: no more can wait, as Linux caps a queue at 65,535,
/// and a stream of new ones shall not keep it.
const LAST_ACCEPTS: usize = 65_536;

impl<S: Sys> Reactor<S> {
    /// Accepts on a listening descriptor from now on.
    ///
    /// The descriptor must be non-blocking.
    ///
    /// # Errors
    /// The kernel's when it cannot be watched; `InvalidInput` with a
    /// [`ConfigError`](crate::ConfigError) when a limit makes no sense; also while quitting (S150),
    /// and when this shard's table is full. The acceptor is dropped then, and not called.
    pub fn add_listener(
        &mut self,
        id: ListenerId,
        fd: S::Fd,
        options: ListenerOptions,
        accept: Acceptor,
    ) -> io::Result<()> {
        if self.core.quitting.is_some() {
            return Err(io::Error::other("the loop is quitting"));
        }
        let local = self.sys.local_addr(&fd)?;
        let limits = options.limits;
        limits.check().map_err(|wrong| io::Error::new(io::ErrorKind::InvalidInput, wrong))?;
        let mut listener = Listener::new(id, local, options, accept);
        listener.counted = self.census.add_listener(id, limits);
        let entry = Entry::Listener(listener);
        let Some(key) = self.core.table.insert(entry) else {
            return Err(io::Error::other("too many connections on this shard"));
        };
        self.keep_reserve();
        let registered = self.sys.register(&fd, Interest::Accept, key.key());
        match registered {
            Ok(()) => {
                self.set_fd(key, fd);
                self.core.listeners.push((id, key));
                self.core.know_listener(id);
            }
            Err(_) => {
                let never_was = self.core.table.remove(key);
                self.core.drop_user_value(never_was);
            }
        }
        registered
    }

    /// Stops listening; connections that were accepted live on (S128). No-op for an unknown id.
    pub fn close_listener(&mut self, id: ListenerId) {
        self.core.now = self.sys.now();
        while let Some(key) = self.core.listener_key(id) {
            self.free_listener(key);
        }
    }

    /// Makes the kernel agree with the state of a listener.
    pub(super) fn settle_listener(&mut self, key: ConnId) {
        let Some(listener) = self.core.table.listener_mut(key) else { return };
        let interest = if listener.is_accepting() { Interest::Accept } else { Interest::Muted };
        let Some(Some(fd)) = self.fds.get(key.slot()) else { return };
        if let Err(error) = self.sys.reregister(fd, interest, key.key()) {
            log::error!("listener {key}: cannot be set to {interest:?}: {error}");
        }
    }

    /// Accepts those who wait, closes the socket, and tells and drops the acceptor.
    ///
    /// They were established before the listener's end; a socket of a group takes its queue with
    /// it.
    pub(super) fn free_listener(&mut self, key: ConnId) {
        if self.core.table.listener_mut(key).is_none() {
            return;
        }
        for _ in 0..LAST_ACCEPTS {
            let Some(Some(fd)) = self.fds.get(key.slot()) else { break };
            match self.sys.accept(fd) {
                Ok((fd, addr)) => self.admit(key, fd, addr),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if AcceptError::of(&error) == AcceptError::Passing => {}
                Err(error) => {
                    log::warn!("listener {key}: those who wait are reset: {error}");
                    break;
                }
            }
        }
        let Some(Entry::Listener(mut listener)) = self.core.table.remove(key) else { return };
        self.resting.retain(|&resting| resting != key);
        self.core.listeners.retain(|&(_, known)| known != key);
        if let Some(timer) = listener.pause_ends {
            self.core.timers.remove(timer);
        }
        // Whoever has duplicated the descriptor keeps the registration alive.
        if let Some(Some(fd)) = self.fds.get(key.slot()) {
            if let Err(error) = self.sys.reregister(fd, Interest::Muted, key.key()) {
                log::debug!("listener {key}: cannot be muted: {error}");
            }
        }
        self.close_fd(key);
        if let Some(accept) = &mut listener.accept {
            self.core.run(Callback::ListenerClosed, |local| accept.on_close(local));
        }
        self.core.drop_user_value(listener);
    }

    /// Descriptors or memory have run out: those who wait stay in the kernel's queue (S127).
    #[cold]
    pub(super) fn begin_rest(&mut self, key: ConnId, error: &io::Error) {
        let Some(listener) = self.core.table.listener_mut(key) else { return };
        listener.resting = true;
        if let Some(others) = self.rests.speak(self.core.now) {
            log::warn!("listener {key}: rests, accept failed: {error}; {others} others before it");
        }
        self.core.pulse.counters.accept_rests.add(1);
        self.resting.push(key);
        let due = self.core.now.saturating_add(self.core.config.accept_retry_interval);
        self.core.timers.insert(due, Due::Listener(key));
        self.settle_listener(key);
    }

    pub(super) fn end_rest(&mut self, key: ConnId) {
        let Some(at) = self.resting.iter().position(|&resting| resting == key) else {
            return;
        };
        self.resting.swap_remove(at);
        if let Some(listener) = self.core.table.listener_mut(key) {
            listener.resting = false;
            self.settle_listener(key);
        }
    }

    /// A pause's time is over, unless another has begun since.
    pub(super) fn end_pause(&mut self, timer: TimerId, key: ConnId) {
        let Some(listener) = self.core.table.listener_mut(key) else { return };
        if listener.pause_ends == Some(timer) {
            listener.pause_ends = None;
            listener.paused = false;
            self.settle_listener(key);
        }
    }

    /// A descriptor that this loop has closed is one that a resting listener can have.
    pub(super) fn wake_resting_listeners(&mut self) {
        if std::mem::take(&mut self.descriptor_freed) {
            self.keep_reserve();
            self.freed_for_others = true;
            self.end_rests();
        }
    }

    /// Whether a listener rests because descriptors or memory have run out (S127).
    #[inline]
    #[must_use]
    pub fn has_resting_listener(&self) -> bool {
        !self.resting.is_empty()
    }

    /// Whether this loop has closed a descriptor since it was last asked: one that a listener of
    /// another loop of the process may be waiting for.
    #[inline]
    pub fn take_freed_descriptor(&mut self) -> bool {
        std::mem::take(&mut self.freed_for_others)
    }

    /// Lets listeners that rest try again: somebody else has closed a descriptor.
    pub fn end_rests(&mut self) {
        while let Some(&key) = self.resting.last() {
            self.end_rest(key);
        }
    }
}
