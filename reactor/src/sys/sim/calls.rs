//! The system calls of the simulated kernel, with the faults of each.
//!
//! Never: is called but by `Sim`; moves time but in `wait`.
//!
//! Invariants:
//! 1. Only an open connection is interrupted or reset: one that is over is told so.

use super::faults::Fault;
use super::files::{self, What};
use super::net::{EndId, Net, Stage};
use crate::sys::{Events, Interest, MAX_EVENTS, WAKE_KEY};
use libc::{EPOLLERR, EPOLLHUP, EPOLLIN, EPOLLOUT, EPOLLRDHUP, c_int};
use std::io;
use std::net::{IpAddr, SocketAddr};

/// The most that the clock steps forward at once.
const STEP_NANOS: u64 = 5_000_000_000;

/// What arrives within so long is one batch, as for a loop that is busy.
const GRID_NANOS: u64 = 250_000;

/// The most that one event of epoll can say of a stream.
const STREAM: c_int = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLHUP | EPOLLERR;

pub(super) fn errno<T>(number: i32) -> io::Result<T> {
    Err(io::Error::from_raw_os_error(number))
}

pub(super) fn queued(file: &mut files::File) -> Option<EndId> {
    match &mut file.what {
        What::Listener(listener) => listener.queue.pop_front(),
        What::Stream(_) | What::Nothing => None,
    }
}

impl Net {
    pub(super) fn stream(&self, number: usize) -> io::Result<EndId> {
        match self.files.get(number).map(|file| &file.what) {
            Some(What::Stream(end)) => Ok(*end),
            Some(What::Listener(_) | What::Nothing) => errno(libc::ENOTCONN),
            None => errno(libc::EBADF),
        }
    }

    pub(super) fn local_addr(&self, number: usize) -> io::Result<SocketAddr> {
        if let Some(What::Listener(listener)) = self.files.get(number).map(|file| &file.what) {
            return Ok(listener.addr);
        }
        let end = self.end(self.stream(number)?);
        end.map_or_else(|| errno(libc::EBADF), |end| Ok(end.local))
    }

    /// What epoll would say of a descriptor now (tcp_poll in the kernel).
    fn poll(&mut self, number: usize) -> c_int {
        let end = match self.files.get(number).map(|file| &file.what) {
            Some(What::Stream(end)) => *end,
            Some(What::Listener(listener)) if !listener.queue.is_empty() => return EPOLLIN,
            _ => return 0,
        };
        let Some(end) = self.end_mut(end) else { return 0 };
        let dead = end.stage == Stage::Dead;
        let mut mask = 0;
        if end.stage == Stage::Connecting {
            return mask;
        }
        if end.has_input() {
            mask |= EPOLLIN;
        }
        if end.fin_in || dead {
            mask |= EPOLLRDHUP;
        }
        if end.fin_in && end.fin_out || dead {
            mask |= EPOLLHUP;
        }
        if end.error.is_some() {
            mask |= EPOLLERR;
        }
        if end.has_room() || end.fin_out || dead {
            mask |= EPOLLOUT;
        } else {
            end.full = true;
        }
        mask
    }

    /// Fills a batch with what is ready.
    fn collect(&mut self, poller: usize, events: &mut Events) {
        let woken = self.files.take_woken(poller);
        let mut most = MAX_EVENTS;
        let ready = self.files.ready_len(poller);
        if ready > 1 && self.dice.strikes(Fault::BatchCut) {
            most = 1 + self.dice.index(ready - 1);
        }
        let mut batch = Vec::new();
        let mut still_ready = Vec::new();
        while batch.len() < most {
            let Some(next) = self.files.next_ready(poller) else { break };
            let Some(number) = next else { continue };
            let mask = self.poll(number);
            let Some(watch) = self.files.get_mut(number).and_then(|file| file.watch.as_mut())
            else {
                continue;
            };
            if mask == 0 {
                continue;
            }
            watch.end_told |= mask & (EPOLLRDHUP | EPOLLHUP) != 0;
            batch.push((watch.key, mask));
            if watch.interest == Interest::Accept {
                still_ready.push(number);
            }
        }
        // Level-triggered: looked at again by the next wait.
        for number in still_ready {
            self.files.wake(number);
        }
        self.tokens.collect(poller, &mut batch);
        self.disturb(poller, &mut batch);
        for (key, mask) in batch {
            events.push(key, mask);
        }
        // A full batch ends the wait as well.
        if woken && events.len() < MAX_EVENTS {
            events.push(WAKE_KEY, EPOLLIN);
        }
    }

    /// The faults of a batch.
    fn disturb(&mut self, poller: usize, batch: &mut Vec<(u64, c_int)>) {
        let streams = self.files.stream_keys(poller);
        if !streams.is_empty() && self.dice.strikes(Fault::SpuriousEvent) {
            let key = streams[self.dice.index(streams.len())];
            batch.push((key, EPOLLIN | EPOLLOUT));
        }
        let gone = self.files.gone(poller);
        if !gone.is_empty() && self.dice.strikes(Fault::StaleEvent) {
            let key = gone[self.dice.index(gone.len())];
            batch.push((key, STREAM));
        }
        if batch.len() > 1 && self.dice.strikes(Fault::Reordered) {
            self.dice.shuffle(batch);
        }
        batch.truncate(MAX_EVENTS);
    }

    pub(super) fn reserve(&mut self) -> io::Result<usize> {
        self.files.check_limit()?;
        Ok(self.files.insert(What::Nothing))
    }

    pub(super) fn at_end(&self, number: usize) -> io::Result<bool> {
        let id = self.stream(number)?;
        let Some(end) = self.end(id) else { return errno(libc::EBADF) };
        let is_over = end.stage != Stage::Connecting && end.has_input() && end.inbox.is_empty();
        match end.error {
            Some(error) if is_over && !end.fin_in => errno(error),
            _ => Ok(is_over),
        }
    }

    pub(super) fn recv(&mut self, number: usize, buffer: &mut [u8]) -> io::Result<usize> {
        let id = self.stream(number)?;
        let faulty = self.end(id).is_some_and(|end| end.stage == Stage::Open);
        if faulty && self.dice.strikes(Fault::RecvInterrupted) {
            return errno(libc::EINTR);
        }
        if faulty && self.dice.strikes(Fault::Reset) {
            self.kill(id);
        }
        let Some(end) = self.end_mut(id) else { return errno(libc::EBADF) };
        if end.stage == Stage::Connecting || !end.has_input() {
            return errno(libc::EAGAIN);
        }
        if end.inbox.is_empty() {
            return match end.error.take() {
                // After a FIN the end is what is told (SOCK_DONE in the kernel).
                Some(error) if !end.fin_in => errno(error),
                _ => Ok(0),
            };
        }
        let there = end.inbox.len().min(buffer.len());
        if self.dice.strikes(Fault::ReadBlocked) {
            self.owe_edge(number);
            return errno(libc::EAGAIN);
        }
        let mut count = there;
        if there > 1 && self.dice.strikes(Fault::ShortRead) {
            count = self.piece(there);
            let watch = self.files.get(number).and_then(|file| file.watch.as_ref());
            if watch.is_some_and(|watch| !watch.end_told) {
                self.files.wake(number);
            }
        }
        Ok(self.read(id, &mut buffer[..count]))
    }

    /// Less than this, at least 1; half of the time just that.
    pub(super) fn piece(&mut self, whole: usize) -> usize {
        if self.dice.below(2) == 0 { 1 } else { 1 + self.dice.index(whole - 1) }
    }

    pub(super) fn send(&mut self, number: usize, bytes: &[u8]) -> io::Result<usize> {
        let id = self.stream(number)?;
        let faulty = self.end(id).is_some_and(|end| end.stage == Stage::Open);
        if faulty && self.dice.strikes(Fault::SendInterrupted) {
            return errno(libc::EINTR);
        }
        if faulty && self.dice.strikes(Fault::SendMemory) {
            return errno(libc::ENOMEM);
        }
        if faulty && self.dice.strikes(Fault::Reset) {
            self.kill(id);
        }
        let Some(end) = self.end_mut(id) else { return errno(libc::EBADF) };
        if end.stage == Stage::Connecting {
            return errno(libc::EAGAIN);
        }
        if end.stage == Stage::Dead || end.fin_out {
            return errno(end.error.take().unwrap_or(libc::EPIPE));
        }
        let room = bytes.len().min(end.credit);
        if room == 0 && !bytes.is_empty() {
            end.full = true;
            return errno(libc::EAGAIN);
        }
        if self.dice.strikes(Fault::WriteBlocked) {
            self.owe_edge(number);
            return errno(libc::EAGAIN);
        }
        if room > 1 && self.dice.strikes(Fault::ShortWrite) {
            let count = self.piece(room);
            self.owe_edge(number);
            return Ok(self.write(id, &bytes[..count]));
        }
        Ok(self.write(id, bytes))
    }

    pub(super) fn accept(&mut self, number: usize) -> io::Result<(usize, SocketAddr)> {
        // A number is looked for before a connection is (accept4 in the kernel).
        self.files.check_limit()?;
        let waits = |file: &files::File| match &file.what {
            What::Listener(listener) => listener.queue.front().copied(),
            What::Stream(_) | What::Nothing => None,
        };
        let Some(end) = self.files.get(number).and_then(waits) else {
            return errno(libc::EAGAIN);
        };
        let faults = [
            (Fault::AcceptInterrupted, libc::EINTR),
            (Fault::AcceptDescriptors, libc::EMFILE),
            (Fault::AcceptBuffers, libc::ENOBUFS),
            (Fault::AcceptMemory, libc::ENOMEM),
        ];
        for (fault, error) in faults {
            if self.dice.strikes(fault) {
                return errno(error);
            }
        }
        self.files.get_mut(number).and_then(queued);
        if self.dice.strikes(Fault::AcceptAborted) {
            self.kill(end);
            self.abort(end);
            return errno(libc::ECONNABORTED);
        }
        let number = self.files.insert(What::Stream(end));
        let Some(end) = self.end_mut(end) else { return errno(libc::ECONNABORTED) };
        end.number = Some(number);
        Ok((number, end.remote))
    }

    pub(super) fn connect(&mut self, to: SocketAddr, from: IpAddr) -> io::Result<usize> {
        self.files.check_limit()?;
        if self.dice.strikes(Fault::ConnectFails) {
            let errors = [libc::EMFILE, libc::EADDRNOTAVAIL];
            return errno(errors[self.dice.index(errors.len())]);
        }
        let number = self.files.next_number();
        let end = self.open(to, from, Some(number), None);
        Ok(self.files.insert(What::Stream(end)))
    }

    /// Lets time pass until there is something to report, or until then.
    pub(super) fn wait(
        &mut self,
        poller: usize,
        events: &mut Events,
        until: u64,
    ) -> io::Result<()> {
        self.wait_began = self.now;
        self.interrupted = self.dice.strikes(Fault::WaitInterrupted);
        if self.interrupted {
            return Ok(());
        }
        if self.dice.strikes(Fault::ClockStep) {
            self.now = self.now.saturating_add(self.dice.below(STEP_NANOS));
        }
        loop {
            self.deliver();
            self.collect(poller, events);
            if events.len() > 0 || until <= self.now {
                return Ok(());
            }
            match self.next_arrival() {
                Some(at) if at <= until => self.now = at.next_multiple_of(GRID_NANOS).min(until),
                _ if until == u64::MAX => {
                    let text = "the simulated world is at rest: nothing will ever happen in it";
                    return Err(io::Error::other(text));
                }
                _ => self.now = until,
            }
        }
    }
}
