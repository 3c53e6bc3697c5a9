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
use crate::listener::{Acceptor, Ending, Listener, ListenerOptions};
use crate::sys::{Interest, Sys};
use crate::table::Entry;
use shardpoll_timers::TimerId;
use std::io;
use std::time::Duration;

/// How many a listener that ends still accepts: no more can wait, as Linux caps a queue at 65,535,
/// and a stream of new ones shall not keep it.
const LAST_ACCEPTS: usize = 65_536;

/// Of these so many at a time, while it waits for others.
const ACCEPTS_A_LOOK: usize = 256;

/// When a listener that ends is looked at first: another CPU may be in the midst of a segment that
/// came before it was told.
const FIRST_LOOK: Duration = Duration::from_millis(2);

/// And how often at least, from then on ever less.
const RAREST_LOOK: Duration = Duration::from_millis(50);

/// Who waits at a listener.
enum Waiting {
    None,
    More,
    /// They cannot be accepted now.
    Unknown,
}

impl<S: Sys> Reactor<S> {
    /// Accepts on a listening descriptor from now on.
    ///
    /// The descriptor must be non-blocking.
    ///
    /// # Errors
    /// The kernel's when it cannot be watched; `InvalidInput` with a
    /// [`ConfigError`](crate::ConfigError) when a limit makes no sense; also while quitting, or
    /// refusing in a drain (S150), and when this shard's table is full. The acceptor is dropped
    /// then, and not called.
    pub fn add_listener(
        &mut self,
        id: ListenerId,
        fd: S::Fd,
        options: ListenerOptions,
        accept: Acceptor,
    ) -> io::Result<()> {
        if self.core.phase.refuses() {
            return Err(io::Error::other("the loop is quitting"));
        }
        let local = self.sys.local_addr(&fd)?;
        let limits = options.limits;
        options.check().map_err(|wrong| io::Error::new(io::ErrorKind::InvalidInput, wrong))?;
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
    ///
    /// Those who wait are accepted first, and with a
    /// [grace](ListenerOptions::handshake_grace) those who are about to be connected.
    pub fn close_listener(&mut self, id: ListenerId) {
        self.core.now = self.sys.now();
        for key in self.core.listener_keys(id) {
            self.end_listener(key);
        }
    }

    /// [Closes](Self::close_listener) one socket of a listener that has several on this loop: the
    /// one that was added first, of those that are not ending.
    pub fn close_oldest_socket(&mut self, id: ListenerId) {
        self.core.now = self.sys.now();
        if let Some(&key) = self.core.listener_keys(id).first() {
            self.end_listener(key);
        }
    }

    /// As [`close_oldest_socket`](Self::close_oldest_socket), the one that was added last.
    pub fn close_newest_socket(&mut self, id: ListenerId) {
        self.core.now = self.sys.now();
        if let Some(&key) = self.core.listener_keys(id).last() {
            self.end_listener(key);
        }
    }

    /// Listens at these sockets no more and gives them back, with all who wait at them: for
    /// somebody else who goes on. Those of a listener that is ending already stay here.
    pub fn release_listener(&mut self, id: ListenerId) -> Vec<S::Fd> {
        self.core.now = self.sys.now();
        let mut sockets = Vec::new();
        for key in self.core.listener_keys(id) {
            self.silence(key);
            sockets.extend(self.fds.get_mut(key.slot()).and_then(Option::take));
            self.settle_end(key);
        }
        sockets
    }

    /// What the connections of a listener begin with now, on this loop.
    pub fn listener_options(&self, id: ListenerId) -> Option<ListenerOptions> {
        let key = *self.core.listener_keys(id).first()?;
        match self.core.table.entry(key)? {
            Entry::Listener(listener) => Some(listener.options.clone()),
            _ => None,
        }
    }

    /// Sets [`ListenerOptions::handshake_grace`] of a listener that is not ending, and gives what
    /// it was.
    pub fn set_handshake_grace(
        &mut self,
        id: ListenerId,
        grace: Option<Duration>,
    ) -> Option<Duration> {
        let mut old = None;
        for key in self.core.listener_keys(id) {
            if let Some(listener) = self.core.table.listener_mut(key) {
                old = std::mem::replace(&mut listener.options.handshake_grace, grace);
            }
        }
        old
    }

    /// The sockets of a listener, but for one that is ending.
    pub fn listener_sockets(&self, id: ListenerId) -> impl Iterator<Item = &S::Fd> {
        let keys = self.core.listener_keys(id).into_iter();
        keys.filter_map(|key| self.fds.get(key.slot()).and_then(Option::as_ref))
    }

    /// Begins the end of a listener that others cannot go on with: nothing new begins there, and
    /// from now on it is looked at until nobody is left.
    pub(super) fn end_listener(&mut self, key: ConnId) {
        let Some(listener) = self.core.table.listener_mut(key) else { return };
        if listener.ending.is_some() {
            return;
        }
        let Some(grace) = listener.options.handshake_grace else {
            return self.free_listener(key);
        };
        let until = self.core.now.saturating_add(grace);
        listener.ending = Some(Ending { until, look_after: FIRST_LOOK });
        if let Some(Some(fd)) = self.fds.get(key.slot()) {
            if let Err(error) = self.sys.refuse_handshakes(fd) {
                log::info!("listener {key}: who begins a handshake now may be reset: {error}");
            }
        }
        self.settle_listener(key);
        self.look_again(key, FIRST_LOOK);
    }

    fn look_again(&mut self, key: ConnId, after: Duration) {
        let due = self.core.now.saturating_add(after);
        self.core.timers.insert(due, Due::ListenerEnd(key));
    }

    /// Accepts those who wait at a listener that ends, and closes it when nobody is left or its
    /// time is over.
    pub(super) fn look_at_end(&mut self, key: ConnId) {
        let now = self.core.now;
        let Some(listener) = self.core.table.listener_mut(key) else { return };
        let Some(Ending { until, look_after }) = &mut listener.ending else { return };
        let time_left = until.as_nanos().saturating_sub(now.as_nanos());
        let after = (*look_after).min(Duration::from_nanos(time_left));
        *look_after = (*look_after * 2).min(RAREST_LOOK);
        let Some(Some(fd)) = self.fds.get(key.slot()) else { return };
        // Before the queue is: who is about to come is in one or the other. A kernel that does not
        // tell is given the whole time.
        let pending = self.sys.handshakes_pending(fd).unwrap_or(true);
        match self.accept_waiting(key, ACCEPTS_A_LOOK) {
            Waiting::More if time_left > 0 => self.look_again(key, Duration::ZERO),
            Waiting::None if !pending => self.free_listener(key),
            _ if time_left == 0 => self.free_listener(key),
            _ => self.look_again(key, after),
        }
    }

    /// Accepts at most so many of those who wait.
    fn accept_waiting(&mut self, key: ConnId, most: usize) -> Waiting {
        for _ in 0..most {
            let Some(Some(fd)) = self.fds.get(key.slot()) else { return Waiting::None };
            match self.sys.accept(fd) {
                Ok((fd, addr)) => {
                    if let Err(error) = self.sys.allow_handshakes(&fd) {
                        log::debug!("{addr}: keeps what its listener refused: {error}");
                    }
                    self.admit(key, fd, addr);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Waiting::None,
                Err(error) if AcceptError::of(&error) == AcceptError::Passing => {}
                Err(error) => {
                    log::debug!("listener {key}: ends, and cannot accept who waits: {error}");
                    return Waiting::Unknown;
                }
            }
        }
        Waiting::More
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

    /// Accepts those who wait, closes the socket, and tells and drops the acceptor, at once unless
    /// something that was accepted may come back from another loop.
    ///
    /// They were established before the listener's end; a socket of a group takes its queue with
    /// it.
    pub(super) fn free_listener(&mut self, key: ConnId) {
        if self.core.table.listener_mut(key).is_none() {
            return;
        }
        if let Waiting::Unknown = self.accept_waiting(key, LAST_ACCEPTS) {
            log::warn!("listener {key}: those who wait are reset, as they cannot be accepted");
        }
        self.silence(key);
        self.close_fd(key);
        self.settle_end(key);
    }

    /// Ends the kernel's reports of a listener, which waits for what may come back, if at all.
    fn silence(&mut self, key: ConnId) {
        self.resting.retain(|&resting| resting != key);
        // Whoever has duplicated the descriptor keeps the registration alive.
        if let Some(Some(fd)) = self.fds.get(key.slot()) {
            if let Err(error) = self.sys.deregister(fd) {
                log::debug!("listener {key}: cannot be forgotten: {error}");
            }
        }
        if let Some(listener) = self.core.table.listener_mut(key) {
            listener.deaf = true;
        }
    }

    /// The socket of a listener is gone: its end is told, at once unless something that it has
    /// accepted may come back from another loop.
    fn settle_end(&mut self, key: ConnId) {
        let Some(listener) = self.core.table.listener_mut(key) else { return };
        let id = listener.id;
        if self.router.as_mut().is_none_or(|router| router.closed(id)) {
            self.forget_listener(key);
        }
    }

    /// Tells and drops the acceptor of a listener whose socket is gone.
    pub(super) fn forget_listener(&mut self, key: ConnId) {
        let Some(Entry::Listener(listener)) = self.core.table.remove(key) else { return };
        self.core.listeners.retain(|&(_, known)| known != key);
        if let Some(timer) = listener.pause_ends {
            self.core.timers.remove(timer);
        }
        self.tell_end(key, listener);
    }

    /// Tells and drops the acceptor of a listener that has ended, as soon as no line that came to
    /// it waits for its PROXY header.
    pub(super) fn tell_end(&mut self, key: ConnId, mut listener: Box<Listener>) {
        if listener.is_needed() {
            return self.ended_listeners.push((key, listener));
        }
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
