//! A watched descriptor's side of the loop, as data, and what may be asked of it.
//!
//! Never: calls the watcher, or tells the kernel anything.
//!
//! Invariants:
//! 1. The descriptor is here from the call of `Local::watch` until the slot is freed, so a cursor
//!    can always lend it.
//! 2. `registered` is what the kernel was told last, and differs from [`wanted`](Watched::wanted)
//!    only while `wished` is set.

use crate::api::{Refused, WatchInterest, Watcher};
use crate::core::{Core, Wish};
use crate::id::{ConnId, WatchId};
use crate::table::Entry;
use shardpoll_timers::TimerId;
use std::os::fd::OwnedFd;

pub(crate) struct Watched {
    pub(crate) fd: OwnedFd,
    /// `None` while it is called, and for good when it has panicked.
    pub(crate) watcher: Option<Box<dyn Watcher>>,
    /// What its owner wants to hear of.
    pub(crate) interest: WatchInterest,
    /// Stands while the watch is paused: input waits until it is due.
    pub(crate) pause: Option<TimerId>,
    /// What the kernel reports of it.
    pub(crate) registered: WatchInterest,
    /// The loop will look at it: a wish stands.
    pub(crate) wished: bool,
    /// It is over as soon as the loop looks at it.
    pub(crate) closing: bool,
}

impl Watched {
    pub(crate) fn new(fd: OwnedFd, interest: WatchInterest, watcher: Box<dyn Watcher>) -> Self {
        let registered = WatchInterest::NOTHING;
        let watcher = Some(watcher);
        Self { fd, watcher, interest, pause: None, registered, wished: false, closing: false }
    }

    /// What the kernel has to report: the interest, but for input while it is paused.
    pub(crate) fn wanted(&self) -> WatchInterest {
        let WatchInterest { readable, writable } = self.interest;
        WatchInterest { readable: readable && self.pause.is_none(), writable }
    }

    /// Whether the watcher is to be called for this now.
    pub(crate) fn wants(&self, half: WatchInterest) -> bool {
        !self.closing && self.wanted().overlaps(half)
    }
}

impl Core {
    pub(crate) fn add_watch(
        &mut self,
        fd: OwnedFd,
        interest: WatchInterest,
        watcher: Box<dyn Watcher>,
    ) -> Result<WatchId, Refused> {
        let entry = Entry::Watch(Box::new(Watched::new(fd, interest, watcher)));
        let id = self.table.insert(entry).ok_or(Refused::TableFull)?;
        self.watches += 1;
        self.revisit_watch(id);
        Ok(WatchId(id))
    }

    /// Has the loop look at a watch when the callback has returned: once, however much was changed.
    pub(crate) fn revisit_watch(&mut self, id: ConnId) {
        if let Some(watch) = self.table.watch_mut(id) {
            if !std::mem::replace(&mut watch.wished, true) {
                self.wishes.push(Wish::Watch(id));
            }
        }
    }

    /// Changes what a watch wants to hear of; false when it is gone or over.
    pub(crate) fn set_watch(
        &mut self,
        id: ConnId,
        readable: Option<bool>,
        writable: Option<bool>,
    ) -> bool {
        let Some(watch) = self.table.watch_mut(id).filter(|watch| !watch.closing) else {
            return false;
        };
        let WatchInterest { readable: reads, writable: writes } = watch.interest;
        watch.interest.readable = readable.unwrap_or(reads);
        watch.interest.writable = writable.unwrap_or(writes);
        if watch.wanted() != watch.registered {
            self.revisit_watch(id);
        }
        true
    }

    /// Asks for the end of a watch; false when it is gone or over.
    pub(crate) fn close_watch(&mut self, id: ConnId) -> bool {
        let Some(watch) = self.table.watch_mut(id).filter(|watch| !watch.closing) else {
            return false;
        };
        watch.closing = true;
        self.revisit_watch(id);
        true
    }
}
