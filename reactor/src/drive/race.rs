//! Several attempts to connect one line, each with a slot and a descriptor of its own until one is
//! established and the line has its descriptor (RFC 8305 section 5).
//!
//! Never: decides when the next attempt begins; `conn/race` says when it is due.
//!
//! Invariants:
//! 1. An attempt belongs to one line, which names it and is connecting; it goes when the line does.

use super::Reactor;
use super::dial::{connect, set_options};
use super::serve::Cause;
use crate::api::{Addr, CloseReason, Options, Refused};
use crate::conn::{Attempt, Race, Ready};
use crate::id::ConnId;
use crate::sys::{Interest, Sys};
use crate::table::Entry;
use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, SocketAddr};

impl<S: Sys> Reactor<S> {
    pub(super) fn begin_race(
        &mut self,
        id: ConnId,
        to: VecDeque<SocketAddr>,
        source: Option<IpAddr>,
        options: Options,
    ) {
        let now = self.core.now;
        self.core.line(id).race = Some(Box::new(Race::new(to, source, options, now)));
        self.next_attempt(id);
    }

    /// The race of a line, as long as nobody has won.
    fn race(&mut self, id: ConnId) -> Option<&mut Race> {
        let line = self.core.table.line_mut(id).filter(|line| line.is_connecting())?;
        line.race.as_deref_mut()
    }

    /// Begins the next attempt; one that fails at once is followed by the one after it.
    pub(super) fn next_attempt(&mut self, id: ConnId) {
        let now = self.core.now;
        while let Some(race) = self.race(id) {
            let Some(to) = race.next(now) else { return self.judge_race(id) };
            let (source, options) = (race.source, race.options);
            let begun = self.begin_attempt(Attempt { line: id, to }, source, options);
            let Some(race) = self.race(id) else { return };
            match begun {
                Ok(attempt) => return race.running.push(attempt),
                Err(error) => race.error = Some(error),
            }
        }
    }

    fn begin_attempt(
        &mut self,
        attempt: Attempt,
        source: Option<IpAddr>,
        options: Options,
    ) -> io::Result<ConnId> {
        let (fd, _) = connect(&mut self.sys, &Addr::Ip(attempt.to), source, None)?;
        let key = self.core.table.insert(Entry::Attempt(attempt));
        let key = key.ok_or_else(|| io::Error::other(Refused::TableFull))?;
        if let Err(error) = self.sys.register(&fd, Interest::Stream, key.key()) {
            self.core.table.remove(key);
            return Err(error);
        }
        set_options(&mut self.sys, &self.core.pulse.counters, attempt.line, &fd, options);
        self.set_fd(key, fd);
        Ok(key)
    }

    /// Nothing is left to try: when nothing runs either, the last error is the line's.
    fn judge_race(&mut self, id: ConnId) {
        let Some(race) = self.race(id) else { return };
        if race.running.is_empty() {
            let error = race.error.take();
            let error = error.unwrap_or_else(|| io::ErrorKind::ConnectionRefused.into());
            self.core.line(id).fail(CloseReason::Connect(error));
        }
    }

    /// An event for an attempt: looks what has become of it.
    pub(super) fn attempt_event(&mut self, key: ConnId, attempt: Attempt) {
        let Attempt { line: id, to } = attempt;
        // One whose line is over goes when that is served.
        let (Some(Some(fd)), true) = (self.fds.get(key.slot()), self.is_racing(id)) else {
            return;
        };
        let outcome = self.sys.connected(fd);
        let outcome = outcome.and_then(|()| self.sys.reregister(fd, Interest::Stream, id.key()));
        match outcome {
            Ok(()) => self.win(id, key, to),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
            Err(error) => {
                log::debug!("connection {id}: the attempt at {to} failed: {error}");
                self.drop_attempt(key);
                if let Some(race) = self.race(id) {
                    race.failed(key, error);
                }
                self.next_attempt(id);
            }
        }
        self.serve(id, Cause::Asked);
    }

    fn is_racing(&self, id: ConnId) -> bool {
        self.core.table.line(id).is_some_and(|line| line.is_connecting() && line.race.is_some())
    }

    /// The first to be established: its descriptor becomes the line's, the others are closed.
    fn win(&mut self, id: ConnId, key: ConnId, to: SocketAddr) {
        let fd = self.fds.get_mut(key.slot()).and_then(Option::take);
        let line = self.core.line(id);
        line.peer = Addr::Ip(to);
        line.ready.add(Ready::WRITABLE);
        let race = line.race.take();
        for attempt in race.into_iter().flat_map(|race| race.running) {
            self.drop_attempt(attempt);
        }
        if let Some(fd) = fd {
            self.set_fd(id, fd);
        }
    }

    pub(super) fn drop_attempt(&mut self, key: ConnId) {
        if let Some(Entry::Attempt(_)) = self.core.table.remove(key) {
            self.close_fd(key);
        }
    }
}
