//! The descriptors of a simulated process, and what is watched of them: its table of files and the
//! epoll of each of its loops.
//!
//! Never: looks into a connection; what is ready of one is asked when the batch is made.
//!
//! Invariants:
//! 1. The lowest free number is given out first, so numbers are used again at once.
//! 2. A watched descriptor stands at most once on the ready list of its epoll, however often it was
//!    woken.
//! 3. A registration ends with its descriptor, if it was not ended before.

use super::net::EndId;
use crate::sys::Interest;
use std::collections::{BTreeSet, VecDeque};
use std::io;
use std::net::SocketAddr;

/// 0 to 2 are taken in every process.
const FIRST: usize = 3;

/// How many keys of ended registrations are remembered, for stale events.
const REMEMBERED: usize = 8;

pub(super) struct Listener {
    pub(super) addr: SocketAddr,
    pub(super) backlog: usize,
    pub(super) queue: VecDeque<EndId>,
    /// Others may listen at the address that are shared, too (`SO_REUSEPORT`).
    pub(super) shared: bool,
}

pub(super) enum What {
    Stream(EndId),
    Listener(Listener),
    /// A descriptor that is kept for its number.
    Nothing,
}

pub(super) struct Watch {
    /// The epoll it is registered with.
    poller: usize,
    pub(super) key: u64,
    pub(super) interest: Interest,
    /// On the ready list.
    queued: bool,
    /// Edges that faults have promised.
    owed: usize,
    /// The peer's end was reported.
    pub(super) end_told: bool,
}

pub(super) struct File {
    serial: u64,
    pub(super) what: What,
    pub(super) watch: Option<Watch>,
}

pub(super) struct Files {
    files: Vec<Option<File>>,
    free: BTreeSet<usize>,
    open: usize,
    pub(super) limit: usize,
    pollers: Vec<Poller>,
    next_serial: u64,
}

/// An epoll.
#[derive(Default)]
struct Poller {
    /// By number and serial.
    ready: VecDeque<(usize, u64)>,
    /// Keys of registrations that have ended.
    gone: VecDeque<u64>,
    /// Its waker was used since the last batch.
    woken: bool,
}

impl Default for Files {
    fn default() -> Self {
        Self {
            files: Vec::new(),
            free: BTreeSet::new(),
            open: 0,
            limit: usize::MAX,
            pollers: vec![Poller::default()],
            next_serial: 0,
        }
    }
}

impl Files {
    pub(super) fn open(&self) -> usize {
        self.open
    }

    /// Whether another descriptor may be opened.
    ///
    /// # Errors
    /// EMFILE at the limit.
    pub(super) fn check_limit(&self) -> io::Result<()> {
        if self.open < self.limit {
            Ok(())
        } else {
            Err(io::Error::from_raw_os_error(libc::EMFILE))
        }
    }

    /// The number that the next descriptor will have.
    pub(super) fn next_number(&self) -> usize {
        self.free.first().copied().unwrap_or(FIRST + self.files.len())
    }

    pub(super) fn insert(&mut self, what: What) -> usize {
        let number = self.next_number();
        let file = File { serial: self.next_serial, what, watch: None };
        self.next_serial += 1;
        self.open += 1;
        if self.free.remove(&number) {
            self.files[number - FIRST] = Some(file);
        } else {
            self.files.push(Some(file));
        }
        number
    }

    pub(super) fn remove(&mut self, number: usize) -> Option<File> {
        let file = self.files.get_mut(number - FIRST)?.take()?;
        self.open -= 1;
        self.free.insert(number);
        if let Some(watch) = &file.watch {
            self.remember(watch.poller, watch.key);
        }
        Some(file)
    }

    /// A registration has ended; its last event may still be on its way.
    pub(super) fn remember(&mut self, poller: usize, key: u64) {
        let gone = &mut self.pollers[poller].gone;
        if gone.len() == REMEMBERED {
            gone.pop_front();
        }
        gone.push_back(key);
    }

    pub(super) fn get(&self, number: usize) -> Option<&File> {
        self.files.get(number.checked_sub(FIRST)?)?.as_ref()
    }

    pub(super) fn get_mut(&mut self, number: usize) -> Option<&mut File> {
        self.files.get_mut(number.checked_sub(FIRST)?)?.as_mut()
    }

    /// The listeners at an address, by number.
    pub(super) fn listeners_at(&self, addr: SocketAddr) -> Vec<(usize, &Listener)> {
        let listeners = self.files.iter().enumerate().filter_map(|(index, file)| match file {
            Some(File { what: What::Listener(listener), .. }) if listener.addr == addr => {
                Some((index + FIRST, listener))
            }
            _ => None,
        });
        listeners.collect()
    }

    pub(super) fn enqueue(&mut self, number: usize, end: EndId) {
        if let Some(File { what: What::Listener(listener), .. }) = self.get_mut(number) {
            listener.queue.push_back(end);
        }
        self.wake(number);
    }

    pub(super) fn register(
        &mut self,
        poller: usize,
        number: usize,
        interest: Interest,
        key: u64,
    ) -> io::Result<()> {
        let Some(file) = self.get_mut(number) else {
            return Err(io::Error::from_raw_os_error(libc::EBADF));
        };
        if file.watch.is_some() {
            return Err(io::Error::from_raw_os_error(libc::EEXIST));
        }
        let watch = Watch { poller, key, interest, queued: false, owed: 0, end_told: false };
        file.watch = Some(watch);
        // What is ready already is reported, as by epoll_ctl(2).
        self.wake(number);
        Ok(())
    }

    /// What was promised to the old registration is not owed to the next.
    pub(super) fn deregister(&mut self, number: usize) -> io::Result<()> {
        let serial = self.next_serial;
        let file = self.get_mut(number);
        let Some((file, watch)) = file.and_then(|file| file.watch.take().map(|it| (file, it)))
        else {
            return Err(io::Error::from_raw_os_error(libc::ENOENT));
        };
        file.serial = serial;
        self.next_serial += 1;
        self.remember(watch.poller, watch.key);
        Ok(())
    }

    pub(super) fn reregister(
        &mut self,
        number: usize,
        interest: Interest,
        key: u64,
    ) -> io::Result<()> {
        let Some(watch) = self.get_mut(number).and_then(|file| file.watch.as_mut()) else {
            return Err(io::Error::from_raw_os_error(libc::ENOENT));
        };
        (watch.interest, watch.key) = (interest, key);
        self.wake(number);
        Ok(())
    }

    /// Something has changed: the next batch looks what.
    pub(super) fn wake(&mut self, number: usize) {
        let Some(file) = self.get_mut(number) else { return };
        let serial = file.serial;
        let Some(watch) = &mut file.watch else { return };
        if watch.interest != Interest::Muted && !std::mem::replace(&mut watch.queued, true) {
            let poller = watch.poller;
            self.pollers[poller].ready.push_back((number, serial));
        }
    }

    /// How many descriptors stand on the ready list; some may be gone or not ready any more.
    pub(super) fn ready_len(&self, poller: usize) -> usize {
        self.pollers[poller].ready.len()
    }

    /// Whether an epoll has something to report, or may have.
    pub(super) fn has_news(&self, poller: usize) -> bool {
        self.ready_len(poller) > 0 || self.pollers[poller].woken
    }

    /// Takes the next descriptor off the ready list; `Some(None)` for one that is gone.
    pub(super) fn next_ready(&mut self, poller: usize) -> Option<Option<usize>> {
        let (number, serial) = self.pollers[poller].ready.pop_front()?;
        let file = self.get_mut(number).filter(|file| file.serial == serial);
        let Some(watch) = file.and_then(|file| file.watch.as_mut()) else {
            return Some(None);
        };
        watch.queued = false;
        Some((watch.interest != Interest::Muted).then_some(number))
    }

    /// A fault promises an edge; gives what the edge has to name.
    pub(super) fn owe(&mut self, number: usize) -> Option<u64> {
        let file = self.get_mut(number)?;
        file.watch.as_mut()?.owed += 1;
        Some(file.serial)
    }

    /// The edge that was promised comes.
    pub(super) fn pay(&mut self, number: usize, serial: u64) {
        let Some(file) = self.get_mut(number).filter(|file| file.serial == serial) else {
            return;
        };
        if let Some(watch) = &mut file.watch {
            watch.owed -= 1;
            self.wake(number);
        }
    }

    /// Whether an event of this descriptor is sure to come.
    pub(super) fn is_event_pending(&self, number: usize) -> bool {
        let watch = self.get(number).and_then(|file| file.watch.as_ref());
        watch.is_some_and(|watch| watch.queued || watch.owed > 0)
    }

    /// Opens one more epoll; gives its number.
    pub(super) fn add_poller(&mut self) -> usize {
        self.pollers.push(Poller::default());
        self.pollers.len() - 1
    }

    /// An epoll gives up all it has been told to watch; what its waker has said stays.
    pub(super) fn renew_poller(&mut self, poller: usize) {
        for file in self.files.iter_mut().flatten() {
            file.watch.take_if(|watch| watch.poller == poller);
        }
        self.pollers[poller].ready.clear();
    }

    /// The waker of an epoll is used: as an eventfd, once however often.
    pub(super) fn wake_poller(&mut self, poller: usize) {
        self.pollers[poller].woken = true;
    }

    /// Whether the waker of an epoll was used since this was last asked.
    pub(super) fn take_woken(&mut self, poller: usize) -> bool {
        std::mem::take(&mut self.pollers[poller].woken)
    }

    /// The keys of registrations that have ended.
    pub(super) fn gone(&self, poller: usize) -> &VecDeque<u64> {
        &self.pollers[poller].gone
    }

    /// The keys of all streams that this epoll watches.
    pub(super) fn stream_keys(&self, poller: usize) -> Vec<u64> {
        let key = |file: &File| match (&file.what, &file.watch) {
            (What::Stream(_), Some(watch)) if watch.poller == poller => Some(watch.key),
            _ => None,
        };
        self.files.iter().flatten().filter_map(key).collect()
    }
}
