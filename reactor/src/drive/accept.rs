//! Listeners: one connection per wake-up, and a rest when descriptors have run out.
//!
//! Never: accepts until nothing is left: an accept that finds nothing costs more than one that
//! succeeds, and a level-triggered listener is reported again by itself.
//!
//! Invariants:
//! 1. A resting listener is muted, stands in `Reactor::resting`, and has a timer that ends its
//!    rest.

use super::Reactor;
use super::serve::Cause;
use crate::api::{AcceptOptions, Addr, CloseReason, Peer};
use crate::conn::{Channel, Line, Marks, Ready, Stage, TlsChannel};
use crate::core::{Callback, Due};
use crate::id::{ConnId, ListenerId};
use crate::listener::{Acceptor, Listener};
use crate::sys::{Interest, Sys};
use crate::table::Entry;
use shardpoll_tls::Session;
use std::io;
use std::rc::Rc;

/// How many a listener that ends still accepts: no more can wait, as Linux caps a queue at 65,535,
/// and a stream of new ones shall not keep it.
const LAST_ACCEPTS: usize = 65_536;

/// What an error of accept means for the listener.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum AcceptError {
    /// It concerns one connection, or none: the listener goes on.
    Passing,
    /// Descriptors or memory have run out: trying again at once would spin.
    Exhausted,
}

impl AcceptError {
    fn of(error: &io::Error) -> Self {
        // accept(2) passes pending network errors of the new socket on; they are that peer's. Only
        // what says that *we* can accept nothing is worth a rest (S127); an error nobody foresaw is
        // treated likewise, since level-triggered it would spin.
        match error.raw_os_error() {
            Some(
                libc::EAGAIN
                | libc::EINTR
                | libc::ECONNABORTED
                | libc::EPROTO
                | libc::ENETDOWN
                | libc::ENOPROTOOPT
                | libc::EHOSTDOWN
                | libc::ENONET
                | libc::EHOSTUNREACH
                | libc::EOPNOTSUPP
                | libc::ENETUNREACH
                | libc::EPERM
                | libc::ETIMEDOUT,
            ) => Self::Passing,
            _ => Self::Exhausted,
        }
    }
}

impl<S: Sys> Reactor<S> {
    /// Accepts on a listening descriptor from now on; the options are a `ServerContext` for TLS,
    /// `None`, or [`AcceptOptions`].
    ///
    /// The descriptor must be non-blocking.
    ///
    /// # Errors
    /// The kernel's when it cannot be watched; also while quitting (S150), and when this shard's
    /// table is full.
    pub fn add_listener(
        &mut self,
        id: ListenerId,
        fd: S::Fd,
        options: impl Into<AcceptOptions>,
        accept: Acceptor,
    ) -> io::Result<()> {
        if self.core.quitting.is_some() {
            return Err(io::Error::other("the loop is quitting"));
        }
        let local = self.sys.local_addr(&fd)?;
        let listener = Box::new(Listener {
            id,
            options: options.into(),
            is_wildcard: local.is_wildcard(),
            local: Rc::new(local),
            accept: Some(accept),
        });
        let entry = Entry::Listener(listener);
        let Some(key) = self.core.table.insert(entry) else {
            return Err(io::Error::other("too many connections on this shard"));
        };
        let registered = self.sys.register(&fd, Interest::Accept, key.key());
        self.set_fd(key, fd);
        if registered.is_err() {
            self.free_listener(key);
        }
        registered
    }

    /// Stops listening; connections that were accepted live on (S128). No-op for an unknown id.
    pub fn close_listener(&mut self, id: ListenerId) {
        self.core.now = self.sys.now();
        for key in self.core.table.snapshot() {
            if self.core.table.listener_mut(key).is_some_and(|listener| listener.id == id) {
                self.free_listener(key);
            }
        }
    }

    pub(super) fn accept(&mut self, key: ConnId) {
        let Some(Some(fd)) = self.fds.get(key.slot()) else {
            return;
        };
        match self.sys.accept(fd) {
            Ok((fd, addr)) => self.admit(key, fd, addr),
            Err(error) if AcceptError::of(&error) == AcceptError::Passing => {
                log::trace!("accept: {error}");
            }
            Err(error) => self.begin_rest(key, &error),
        }
    }

    fn admit(&mut self, key: ConnId, fd: S::Fd, addr: Addr) {
        let now = self.core.now;
        if self.core.table.is_full() {
            self.core.counters.accept_failures += 1;
            log::warn!("listener {key}: no room for {addr}: too many connections on this shard");
            return;
        }
        let Some(listener) = self.core.table.listener_mut(key) else {
            return;
        };
        let peer = Peer { addr, listener: listener.id };
        let read_size = listener.options.read_size;
        let local = listener_addr(&mut self.sys, listener, &fd);
        let session = listener.options.tls.as_ref().map(Session::server).transpose();
        let Some(mut accept) = listener.accept.take() else {
            return;
        };
        let (stage, owed) = match session {
            Ok(None) => (Stage::Open(Channel::Plain), Marks::CONNECT),
            Ok(Some(session)) => {
                (Stage::Handshaking(TlsChannel::new(session, now)), Marks::STARTTLS)
            }
            Err(error) => (Stage::Closed(CloseReason::from_tls(error)), Marks::NOTHING),
        };
        let handler = self.core.run(Callback::Accept, |_| accept(&peer));
        if let Some(listener) = self.core.table.listener_mut(key) {
            listener.accept = Some(accept);
        }
        let panicked = handler.is_none();
        let mut line = Line::new(stage, handler, peer.addr, Some(peer.listener), now);
        line.marks = owed;
        line.local = local;
        if let Some(bytes) = read_size {
            line.set_read_size(bytes);
        }
        // A fresh socket can be written to, though the first event is yet to come.
        line.ready.add(Ready::WRITABLE);
        if panicked {
            line.told = true;
            line.fail(CloseReason::HandlerPanic);
        }
        let entry = Entry::Line(line);
        let Some(id) = self.core.table.insert(entry) else { return };
        let registered = self.sys.register(&fd, Interest::Stream, id.key());
        self.set_fd(id, fd);
        self.core.counters.accepted += 1;
        if let Err(error) = registered {
            log::warn!("connection {id}: cannot be watched: {error}");
            self.core.counters.accept_failures += 1;
            self.core.line(id).fail(CloseReason::Io(error));
        }
        if self.core.quitting.is_some() {
            self.core.close(id, CloseReason::Asked);
        }
        self.serve(id, Cause::Asked);
    }

    /// Accepts those who wait, closes the socket, and drops the acceptor.
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
        if let Some(Entry::Listener(listener)) = self.core.table.remove(key) {
            self.resting.retain(|&resting| resting != key);
            // Whoever has duplicated the descriptor keeps the registration alive.
            if let Some(Some(fd)) = self.fds.get(key.slot()) {
                if let Err(error) = self.sys.reregister(fd, Interest::Muted, key.key()) {
                    log::debug!("listener {key}: cannot be muted: {error}");
                }
            }
            self.close_fd(key);
            self.core.drop_user_value(listener);
        }
    }

    /// Descriptors or memory have run out: those who wait stay in the kernel's queue (S127).
    #[cold]
    fn begin_rest(&mut self, key: ConnId, error: &io::Error) {
        let Some(Some(fd)) = self.fds.get(key.slot()) else {
            return;
        };
        if let Err(muting) = self.sys.reregister(fd, Interest::Muted, key.key()) {
            log::error!("listener {key}: cannot be muted: {muting}");
        }
        log::warn!("listener {key}: rests, accept failed: {error}");
        self.core.counters.accept_rests += 1;
        self.resting.push(key);
        let due = self.core.now.saturating_add(self.core.config.accept_retry_interval);
        self.core.timers.insert(due, Due::Listener(key));
    }

    pub(super) fn end_rest(&mut self, key: ConnId) {
        let Some(at) = self.resting.iter().position(|&resting| resting == key) else {
            return;
        };
        self.resting.swap_remove(at);
        let Some(Some(fd)) = self.fds.get(key.slot()) else {
            return;
        };
        if let Err(error) = self.sys.reregister(fd, Interest::Accept, key.key()) {
            log::error!("listener {key}: cannot be watched again: {error}");
        }
    }

    /// A descriptor that this loop has closed is one that a resting listener can have.
    pub(super) fn wake_resting_listeners(&mut self) {
        if std::mem::take(&mut self.descriptor_freed) {
            while let Some(&key) = self.resting.last() {
                self.end_rest(key);
            }
        }
    }
}

/// Our address on a connection: the listener's, and only one that listens on every address has to
/// ask.
fn listener_addr<S: Sys>(sys: &mut S, listener: &mut Listener, fd: &S::Fd) -> Option<Rc<Addr>> {
    if listener.is_wildcard {
        let addr = sys.local_addr(fd).ok()?;
        if addr != *listener.local {
            listener.local = Rc::new(addr);
        }
    }
    Some(Rc::clone(&listener.local))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_exhaustion_makes_a_listener_rest() {
        let of = |errno| AcceptError::of(&io::Error::from_raw_os_error(errno));
        for errno in [libc::EAGAIN, libc::EINTR, libc::ECONNABORTED, libc::ENETDOWN, libc::EPERM] {
            assert_eq!(of(errno), AcceptError::Passing, "{errno}");
        }
        for errno in [libc::EMFILE, libc::ENFILE, libc::ENOBUFS, libc::ENOMEM] {
            assert_eq!(of(errno), AcceptError::Exhausted, "{errno}");
        }
    }
}
