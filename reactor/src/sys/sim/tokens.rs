//! Watched descriptors: real ones, taken as mere tokens, of which epoll says what the test says.
//!
//! Never: looks at the descriptor behind a number.

use super::Sim;
use super::calls::errno;
use super::faults::Fault;
use super::net::Net;
use crate::api::WatchInterest;
use crate::sys::MAX_EVENTS;
use libc::{EPOLLIN, EPOLLOUT, c_int};
use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};

#[derive(Default)]
struct Token {
    ready: WatchInterest,
    /// The epoll that reports it, the key it is reported with, and what for.
    watch: Option<(usize, u64, WatchInterest)>,
}

#[derive(Default)]
pub(super) struct Tokens {
    by_number: BTreeMap<RawFd, Token>,
}

impl Tokens {
    /// Whether anything that this epoll watches is ready.
    pub(super) fn has_news(&self, poller: usize) -> bool {
        let ready = |token: &Token| match token.watch {
            Some((of, _, interest)) => of == poller && interest.overlaps(token.ready),
            None => false,
        };
        self.by_number.values().any(ready)
    }

    /// Adds what is ready to a batch, level-triggered.
    pub(super) fn collect(&self, poller: usize, batch: &mut Vec<(u64, c_int)>) {
        for token in self.by_number.values() {
            let Some((of, key, interest)) = token.watch else { continue };
            if of != poller {
                continue;
            }
            let input = if interest.readable && token.ready.readable { EPOLLIN } else { 0 };
            let output = if interest.writable && token.ready.writable { EPOLLOUT } else { 0 };
            if input | output != 0 && batch.len() < MAX_EVENTS {
                batch.push((key, input | output));
            }
        }
    }
}

impl Net {
    pub(super) fn watch(
        &mut self,
        poller: usize,
        fd: BorrowedFd<'_>,
        interest: WatchInterest,
        key: u64,
    ) -> io::Result<()> {
        if self.dice.strikes(Fault::RegisterRefused) {
            return errno(libc::ENOSPC);
        }
        let token = self.tokens.by_number.entry(fd.as_raw_fd()).or_default();
        if token.watch.is_some() {
            return errno(libc::EEXIST);
        }
        token.watch = Some((poller, key, interest));
        Ok(())
    }

    pub(super) fn rewatch(
        &mut self,
        fd: BorrowedFd<'_>,
        interest: WatchInterest,
        key: u64,
    ) -> io::Result<()> {
        match self.tokens.by_number.get_mut(&fd.as_raw_fd()).map(|token| &mut token.watch) {
            Some(Some((_, old_key, old))) => (*old_key, *old) = (key, interest),
            _ => return errno(libc::ENOENT),
        }
        Ok(())
    }

    pub(super) fn unwatch(&mut self, fd: BorrowedFd<'_>) -> io::Result<()> {
        let token = self.tokens.by_number.get_mut(&fd.as_raw_fd());
        match token.and_then(|token| token.watch.take()) {
            Some((poller, key, _)) => self.files.remember(poller, key),
            None => return errno(libc::ENOENT),
        }
        Ok(())
    }
}

impl Sim {
    /// From now on a watched descriptor of this number is ready for these, until told otherwise.
    ///
    /// [`Local::watch`](crate::Local::watch) takes real descriptors, also in a simulation; there
    /// they are tokens, of which the loop hears only what is said here.
    ///
    /// ```
    /// use shardpoll_reactor::{
    ///     Config, EventAnswer, EventMode, Faults, Place, Reactor, Sim, WatchInterest, events,
    /// };
    /// use std::fs::File;
    /// use std::os::fd::AsRawFd;
    ///
    /// let sim = Sim::new(7, Faults::none());
    /// let mut reactor = Reactor::new(sim.clone(), Place::FIRST, Config::default())?;
    /// let file = File::open("/dev/null")?;
    /// let number = file.as_raw_fd();
    /// let (called, calls) = std::sync::mpsc::channel();
    /// let watcher = events(EventMode::Read, move |_watch| {
    ///     called.send(()).expect("somebody listens");
    ///     EventAnswer::Leave
    /// });
    /// reactor.local(|local| local.watch(file, WatchInterest::READABLE, watcher));
    /// sim.make_ready(number, true, false);
    /// for _ in 0..3 {
    ///     reactor.turn(Some(std::time::Duration::from_millis(1)))?;
    /// }
    /// assert_eq!(calls.try_iter().count(), 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn make_ready(&self, number: RawFd, readable: bool, writable: bool) {
        let net = &mut *self.net.borrow_mut();
        let token = net.tokens.by_number.entry(number).or_default();
        token.ready = WatchInterest { readable, writable };
    }
}
