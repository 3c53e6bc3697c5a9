//! Watches: descriptors that are not the loop's own, looked after by the same loop.
//!
//! Never: reads or writes the descriptor; its watcher does.

use super::Local;
use crate::core::{Core, Due};
use crate::id::WatchId;
use std::any::Any;
use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

/// What a watch wants to hear of.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct WatchInterest {
    /// Input, the peer's end, a hang-up or an error (S3).
    pub readable: bool,
    /// Room for output; a hang-up or an error as well, since output would not block then.
    pub writable: bool,
}

impl WatchInterest {
    /// Nothing for now: the kernel is not asked, and the watch stays (S44).
    pub const NOTHING: Self = Self { readable: false, writable: false };
    /// Input only.
    pub const READABLE: Self = Self { readable: true, writable: false };
    /// Room for output only.
    pub const WRITABLE: Self = Self { readable: false, writable: true };
    /// Both.
    pub const BOTH: Self = Self { readable: true, writable: true };

    pub(crate) fn overlaps(self, other: Self) -> bool {
        self.readable && other.readable || self.writable && other.writable
    }
}

/// Decides what happens when a watched descriptor is ready: one object per watch.
///
/// Called by the loop, never nested, never from another thread. Watches are level-triggered: what
/// is not taken from the descriptor is reported again in the next turn, and its end as well, until
/// the watch is closed or loses interest. When both halves are ready,
/// [`on_readable`](Self::on_readable) is called first (S4). What a callback asks for through
/// [`Watch`] takes effect when it has returned; several changes cost one system call (S42).
///
/// # Panics
/// A panic in a callback is caught, counted and logged. Under
/// [`PanicPolicy::Close`](crate::PanicPolicy) the watch ends, its watcher is dropped and its
/// descriptor closed; under [`PanicPolicy::Continue`](crate::PanicPolicy) the callback counts as
/// returned.
pub trait Watcher: Any {
    /// There is something to read, or the other side has ended, or an error waits (S3).
    ///
    /// Default: loses interest, since nobody would take what is there.
    fn on_readable(&mut self, watch: &mut Watch<'_>) {
        watch.set(Some(false), None);
    }

    /// There is room to write, or writing would fail at once (S3). Default: loses interest.
    fn on_writable(&mut self, watch: &mut Watch<'_>) {
        watch.set(None, Some(false));
    }

    /// The watch is over, and the descriptor comes back, open (S140). Called once and last.
    ///
    /// `error` says that the kernel refuses to watch the descriptor, such as `EPERM` for a regular
    /// file (epoll_ctl(2)). Default: closes the descriptor, and logs the error if there is one.
    fn on_closed(self: Box<Self>, _local: &mut Local<'_>, fd: OwnedFd, error: Option<io::Error>) {
        if let Some(error) = error {
            log::warn!("{fd:?} cannot be watched: {error}");
        }
    }
}

/// One watch, lent for one callback.
pub struct Watch<'a> {
    pub(crate) core: &'a mut Core,
    pub(crate) id: WatchId,
}

impl Watch<'_> {
    /// The name of this watch.
    #[must_use]
    pub fn id(&self) -> WatchId {
        self.id
    }

    /// The watched descriptor, to read from or write to.
    ///
    /// ```
    /// # use shardpoll_reactor::Watch;
    /// use std::fs::File;
    /// use std::io::{self, Read};
    ///
    /// fn read(watch: &Watch<'_>, buffer: &mut [u8]) -> io::Result<usize> {
    ///     File::from(watch.fd().try_clone_to_owned()?).read(buffer)
    /// }
    /// ```
    #[must_use]
    pub fn fd(&self) -> BorrowedFd<'_> {
        let watch = self.core.table.watch(self.id.0);
        watch.expect("a watch is freed by its wish only, never under a cursor").fd.as_fd()
    }

    /// Sets what the watch wants to hear of; `None` leaves that half as it is (S42, S44).
    ///
    /// Without any interest the watch stays, and counts for the end of the loop (S9). A pause
    /// ([`pause_for`](Self::pause_for)) stays too.
    pub fn set(&mut self, readable: Option<bool>, writable: Option<bool>) {
        self.core.set_watch(self.id.0, readable, writable);
    }

    /// Hears of no input for this long; a running pause is replaced (S96, S139). Room for output is
    /// reported all the same.
    pub fn pause_for(&mut self, time: Duration) {
        let Core { table, timers, now, .. } = &mut *self.core;
        let Some(watch) = table.watch_mut(self.id.0) else { return };
        let due = now.saturating_add(time);
        match watch.pause {
            Some(pause) => {
                timers.reschedule(pause, due);
            }
            None => watch.pause = Some(timers.insert(due, Due::Watch(self.id.0))),
        }
        self.core.revisit_watch(self.id.0);
    }

    /// Ends the watch: nothing is called any more but [`Watcher::on_closed`] (S140).
    pub fn close(&mut self) {
        self.core.close_watch(self.id.0);
    }

    /// The shard it lives on.
    pub fn local(&mut self) -> Local<'_> {
        Local { core: self.core, lent: &[] }
    }
}

impl fmt::Debug for Watch<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch").field("id", &self.id).finish_non_exhaustive()
    }
}
