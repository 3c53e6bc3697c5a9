//! Signals as callbacks of the loop: a watch on their descriptor.
//!
//! Never: installs a signal handler; stops listening because a callback has panicked.

use super::Reactor;
use crate::api::{Local, Watch, WatchInterest, Watcher};
use crate::core::Callback;
use crate::sys::{Signal, Signals, Sys, take_signal};
use std::io;
use std::os::fd::OwnedFd;

impl<S: Sys> Reactor<S> {
    /// Calls `f` for each of these signals, on this loop, until it quits (L30).
    ///
    /// A watch like any other, and counted as one; but it goes on after [`Local::close_all`], and
    /// after a panic in `f`, which is caught, counted and logged. What comes while the loop quits
    /// stays blocked, also when the quit is withdrawn (S149).
    ///
    /// # Errors
    /// While quitting (S150), when this shard's table is full, and the kernel's.
    pub fn on_signals(
        &mut self,
        signals: Signals,
        f: impl FnMut(&mut Local<'_>, Signal) + 'static,
    ) -> io::Result<()> {
        let fd = signals.into_fd()?;
        let watcher = SignalWatcher(f);
        // One that is refused is dropped, and that is the user's.
        let watched = self.local(|local| local.watch(fd, WatchInterest::READABLE, watcher));
        match watched {
            Some(Ok(_)) => Ok(()),
            Some(Err(refused)) => Err(io::Error::other(refused)),
            None => Err(io::Error::other("refused, and its drop has panicked")),
        }
    }
}

struct SignalWatcher<F>(F);

impl<F: FnMut(&mut Local<'_>, Signal) + 'static> Watcher for SignalWatcher<F> {
    /// One for each report: the next is reported again.
    fn on_readable(&mut self, watch: &mut Watch<'_>) {
        match take_signal(watch.fd()) {
            Ok(signal) => {
                watch.core.run(Callback::Signal, |local| (self.0)(local, signal));
            }
            // Somebody else has taken it: another descriptor for the same signal.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => log::error!("a signal cannot be read: {error}"),
        }
    }

    fn on_closed(self: Box<Self>, local: &mut Local<'_>, fd: OwnedFd, error: Option<io::Error>) {
        if let Some(error) = error {
            return log::error!("signals cannot be watched: {error}");
        }
        // Also while a drain refuses: a second signal may be what shortens it.
        let core = &mut *local.core;
        if core.phase.quits() {
            return log::debug!("signals are not listened to any more");
        }
        if let Err(refused) = core.add_watch(fd, WatchInterest::READABLE, self) {
            log::error!("signals are not listened to any more: {refused}");
        }
    }
}
