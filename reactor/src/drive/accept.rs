//! New connections: one per wake-up of a listener, from the kernel to its first service.
//!
//! Never: accepts until nothing is left: an accept that finds nothing costs more than one that
//! succeeds, and a level-triggered listener is reported again by itself.

use super::Reactor;
use super::serve::Cause;
use crate::api::{Addr, CloseReason, Peer, Welcome, WhenExhausted};
use crate::conn::{Channel, Line, Marks, Preface, Ready, Stage, TlsChannel};
use crate::core::{Callback, Core, Held, drop_panic};
use crate::id::ConnId;
use crate::listener::{Acceptor, Listener, ListenerOptions};
use crate::sys::{Interest, Sys};
use crate::table::Entry;
use shardpoll_tls::{ServerContext, Session};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

/// What an error of accept means for the listener.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum AcceptError {
    /// It concerns one connection, or none: the listener goes on.
    Passing,
    /// Descriptors or memory have run out: trying again at once would spin.
    Exhausted,
}

impl AcceptError {
    pub(super) fn of(error: &io::Error) -> Self {
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
    pub(super) fn accept(&mut self, key: ConnId, held: &mut Held) {
        let Self { sys, fds, core, .. } = self;
        let Some(listener) = core.table.listener_mut(key) else { return };
        // It may have been paused since the kernel was last told, or earlier in this batch.
        let (id, true) = (listener.id, listener.is_accepting()) else { return };
        let Some(Some(fd)) = fds.get(key.slot()) else {
            return;
        };
        match sys.accept(fd) {
            Ok((fd, addr)) => self.pass_or_admit(key, id, fd, addr, held),
            Err(error) if AcceptError::of(&error) == AcceptError::Passing => {
                log::trace!("accept: {error}");
            }
            Err(error) => {
                if !self.refuse(key) {
                    self.begin_rest(key, &error);
                }
            }
        }
    }

    /// Takes the one who waits with the descriptor kept in reserve, and closes it; false when that
    /// is not wanted, or not possible.
    #[cold]
    fn refuse(&mut self, key: ConnId) -> bool {
        // Dropped here: its number is free for the next line.
        if self.reserve.take().is_none() {
            return false;
        }
        let Some(Some(fd)) = self.fds.get(key.slot()) else { return false };
        let refused = self.sys.accept(fd).map(drop).is_ok();
        self.core.pulse.counters.refused_peers.add(u64::from(refused));
        self.keep_reserve();
        refused
    }

    /// Keeps a descriptor in reserve, if that is wanted and one can be had.
    pub(super) fn keep_reserve(&mut self) {
        if self.reserve.is_none() && self.core.config.when_exhausted == WhenExhausted::Refuse {
            match self.sys.reserve() {
                Ok(fd) => self.reserve = Some(fd),
                Err(error) => log::debug!("no descriptor to keep in reserve: {error}"),
            }
        }
    }

    /// Admits a connection by the short way, if it may take it.
    ///
    /// Only while a batch of events is served, which looks after `held` when user code panics.
    #[inline(always)]
    pub(super) fn admit_any(&mut self, key: ConnId, fd: S::Fd, addr: Addr, held: &mut Held) {
        let Core { table, phase, .. } = &mut self.core;
        let room = !table.is_full();
        match table.listener_mut(key) {
            Some(listener) if room && phase.serves() && listener.asks_nothing() => {
                self.admit_plain(key, fd, addr, held);
            }
            _ => self.admit(key, fd, addr),
        }
    }

    /// As [`admit`](Self::admit), at a listener that asks nothing, of a loop that serves.
    #[inline(always)]
    fn admit_plain(&mut self, key: ConnId, fd: S::Fd, addr: Addr, held: &mut Held) {
        let Self { sys, core, .. } = self;
        let Core { table, pulse, config, now, panic_counted, .. } = core;
        let Some(listener) = table.listener_mut(key) else { return };
        let (from, now) = (listener.id, *now);
        let local = listener_addr(sys, listener, &fd);
        let when_full = listener.options.when_full.unwrap_or(config.when_full);
        let Some(accept) = &mut listener.accept else { return };
        let peer = Peer { addr, listener: from, proxy: None };
        pulse.call(Callback::Accept);
        *panic_counted = false;
        // An acceptor is lent nothing of the loop, so it can be called where it is.
        match catch_unwind(AssertUnwindSafe(|| accept.accept(&peer))) {
            Ok(handler) => *held = Some(handler),
            Err(panic) => {
                self.core.count_panic(None);
                drop_panic(panic);
            }
        }
        let stage = Stage::Open(Channel::Plain);
        let mut line = Line::new(stage, None, peer.addr, Some(from), now);
        line.local = local;
        line.when_full = when_full;
        // A fresh socket can be written to, though the first event is yet to come.
        line.ready.add(Ready::WRITABLE);
        let Some(id) = self.core.table.insert(Entry::Line(line)) else {
            return self.core.drop_user_value(held.take());
        };
        let registered = self.sys.register(&fd, Interest::Stream, id.key());
        self.set_fd(id, fd);
        self.core.count_accepted(from);
        if let Some(router) = self.balancer() {
            router.entered();
        }
        match registered {
            Ok(()) if held.is_some() => self.begin(id, held),
            registered => self.end_at_once(id, held.take(), registered.err()),
        }
    }

    /// A connection whose acceptor has panicked, or that cannot be watched, ends as it begins.
    #[cold]
    fn end_at_once(&mut self, id: ConnId, handler: Held, unwatched: Option<io::Error>) {
        let line = self.core.line(id);
        line.handler = handler;
        if line.handler.is_none() {
            line.told = true;
            line.fail(CloseReason::HandlerPanic);
        }
        if let Some(error) = unwatched {
            self.not_watched(id, error);
        }
        self.serve(id, Cause::Asked);
    }

    #[cold]
    fn not_watched(&mut self, id: ConnId, error: io::Error) {
        log::warn!("connection {id}: cannot be watched: {error}");
        self.core.pulse.counters.accept_failures.add(1);
        self.core.line(id).fail(CloseReason::Io(error));
    }

    pub(super) fn admit(&mut self, key: ConnId, fd: S::Fd, addr: Addr) {
        let now = self.core.now;
        if self.core.table.is_full() {
            self.core.pulse.counters.accept_failures.add(1);
            if let Some(others) = self.turned_away.speak(now) {
                log::warn!("listener {key}: no room on this shard for {addr}, nor {others} others");
            }
            return;
        }
        let Some(listener) = self.core.table.listener_mut(key) else { return };
        let (from, proxy) = (listener.id, listener.options.proxy.as_ref());
        let welcome = proxy.map_or(Welcome::Direct, |proxy| proxy.welcome(&addr));
        if welcome == Welcome::Refused {
            return self.refuse_sender(&addr);
        }
        let Some(mut origin) = self.enter(key, &addr) else { return };
        // Behind a balancer the peer is yet to be known.
        if welcome == Welcome::Direct && !self.enter_peer(from, &addr, &mut origin) {
            return self.leave(Some(from), &addr, origin);
        }
        let Some(listener) = self.core.table.listener_mut(key) else { return };
        let ListenerOptions { read_size, min_rate, max_lifetime, .. } = listener.options;
        let local = listener_addr(&mut self.sys, listener, &fd);
        let when_full = listener.options.when_full.unwrap_or(self.core.config.when_full);
        let tls = listener.options.tls.clone();
        let mut line = if let (Welcome::Header, Some(proxy)) = (welcome, &listener.options.proxy) {
            let due = now.saturating_add(proxy.time());
            let preface = Preface::new(key, due, tls, proxy.most(), Rc::clone(&listener.prefaces));
            let mut line = Line::new(Stage::Preface(preface), None, addr, Some(from), now);
            line.told = true;
            line
        } else {
            let peer = Peer { addr, listener: from, proxy: None };
            let Some((stage, owed, handler)) = self.greet(key, tls.as_ref(), &peer) else {
                return self.leave(Some(from), &peer.addr, origin);
            };
            let panicked = handler.is_none();
            let mut line = Line::new(stage, handler, peer.addr, Some(from), now);
            line.marks = owed;
            if panicked {
                line.told = true;
                line.fail(CloseReason::HandlerPanic);
            }
            line
        };
        line.origin = origin;
        line.local = local;
        if let Some(bytes) = read_size {
            line.set_read_size(bytes);
        }
        line.when_full = when_full;
        line.set_min_rate(min_rate);
        // A fresh socket can be written to, though the first event is yet to come.
        line.ready.add(Ready::WRITABLE);
        let entry = Entry::Line(line);
        let Some(id) = self.core.table.insert(entry) else { return };
        let registered = self.sys.register(&fd, Interest::Stream, id.key());
        self.set_fd(id, fd);
        self.core.line(id).set_lifetime(id, max_lifetime);
        self.core.count_accepted(from);
        if let Some(router) = self.balancer() {
            router.entered();
        }
        if let Err(error) = registered {
            self.not_watched(id, error);
        }
        let with_all = self.core.table.listener_mut(key).is_some_and(|listener| listener.ends_all);
        if with_all || self.core.phase.quits() {
            self.core.close(id, CloseReason::Asked);
        }
        self.serve(id, Cause::Asked);
    }

    /// What a connection begins with: its stage, what it owes there, and the handler that the
    /// acceptor makes, unless that panics. `None` for a listener that is gone.
    pub(super) fn greet(
        &mut self,
        key: ConnId,
        tls: Option<&ServerContext>,
        peer: &Peer,
    ) -> Option<(Stage, Marks, Held)> {
        let now = self.core.now;
        let (stage, owed) = match tls.map(Session::server).transpose() {
            Ok(None) => (Stage::Open(Channel::Plain), Marks::CONNECT),
            Ok(Some(session)) => {
                (Stage::Handshaking(TlsChannel::new(session, now)), Marks::STARTTLS)
            }
            Err(error) => (Stage::Closed(CloseReason::from_tls(error)), Marks::NOTHING),
        };
        let mut accept = self.acceptor(key)?.take()?;
        let handler = self.core.run(Callback::Accept, |_| accept.accept(peer));
        if let Some(place) = self.acceptor(key) {
            *place = Some(accept);
        }
        if matches!(stage, Stage::Handshaking(_)) {
            self.core.count_handshake_begun(Some(peer.listener));
        }
        Some((stage, owed, handler))
    }

    /// Where the acceptor of a listener is, which may have ended.
    fn acceptor(&mut self, key: ConnId) -> Option<&mut Option<Acceptor>> {
        let Self { core, ended_listeners, .. } = self;
        match core.table.listener_mut(key) {
            Some(listener) => Some(&mut listener.accept),
            None => {
                let (_, ended) = ended_listeners.iter_mut().find(|(known, _)| *known == key)?;
                Some(&mut ended.accept)
            }
        }
    }
}

/// Our address on a connection: the listener's, and only one that listens on every address has to
/// ask.
#[inline(always)]
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
