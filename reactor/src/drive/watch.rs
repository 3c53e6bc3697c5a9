//! Watches: the kernel is told what they want, and they are told what is ready.
//!
//! Never: reads or writes a watched descriptor; keeps one that is not watched any more.
//!
//! Invariants:
//! 1. Nothing is told to the kernel that it knows already (S42).
//! 2. A watch is freed here only, by its wish, so never while one of its callbacks runs.

use super::Reactor;
use crate::api::{PanicPolicy, Watch, WatchInterest};
use crate::conn::Ready;
use crate::core::Callback;
use crate::id::{ConnId, WatchId};
use crate::sys::Sys;
use crate::table::Entry;
use std::io;
use std::os::fd::AsFd;

impl<S: Sys> Reactor<S> {
    /// An event of a watched descriptor: the readable half first (S4).
    pub(super) fn serve_watch(&mut self, id: ConnId, ready: Ready) {
        if ready.has(Ready::READABLE) {
            self.call_watcher(id, WatchInterest::READABLE, Callback::Readable);
        }
        if ready.has(Ready::WRITABLE) {
            self.call_watcher(id, WatchInterest::WRITABLE, Callback::Writable);
        }
    }

    /// Calls one half, unless it is not wanted any more.
    fn call_watcher(&mut self, id: ConnId, half: WatchInterest, callback: Callback) {
        let core = &mut self.core;
        let wanted = core.table.watch_mut(id).filter(|watch| watch.wants(half));
        let Some(mut watcher) = wanted.and_then(|watch| watch.watcher.take()) else { return };
        let returned = core.run(callback, |local| {
            let watch = &mut Watch { core: local.core, id: WatchId(id) };
            if half.readable { watcher.on_readable(watch) } else { watcher.on_writable(watch) }
        });
        if returned.is_none() && core.config.panic_policy == PanicPolicy::Close {
            core.drop_user_value(watcher);
            core.close_watch(id);
        } else if let Some(watch) = core.table.watch_mut(id) {
            watch.watcher = Some(watcher);
        }
    }

    /// The time of a pause is over.
    pub(super) fn end_watch_pause(&mut self, id: ConnId) {
        if let Some(watch) = self.core.table.watch_mut(id) {
            watch.pause = None;
            self.core.revisit_watch(id);
        }
    }

    /// Makes the kernel agree with what a watch wants by now.
    pub(super) fn settle_watch(&mut self, id: ConnId) {
        let Some(watch) = self.core.table.watch_mut(id) else { return };
        watch.wished = false;
        if watch.closing {
            return self.free_watch(id, None);
        }
        let (wanted, registered) = (watch.wanted(), watch.registered);
        if wanted == registered {
            return;
        }
        let (fd, nothing) = (watch.fd.as_fd(), WatchInterest::NOTHING);
        self.core.pulse.counters.watch_changes.add(1);
        let told = if wanted == nothing {
            // One that the kernel no longer knows counts as removed (S43).
            self.sys
                .unwatch(fd)
                .or_else(|error| if is_unknown(&error) { Ok(()) } else { Err(error) })
        } else if registered == nothing {
            self.sys.watch(fd, wanted, id.key())
        } else {
            self.sys.rewatch(fd, wanted, id.key())
        };
        match told {
            Ok(()) => watch.registered = wanted,
            Err(error) => self.free_watch(id, Some(error)),
        }
    }

    /// The watch is over: its descriptor goes back to its watcher, open (S140). One whose watcher
    /// has panicked is closed.
    pub(super) fn free_watch(&mut self, id: ConnId, error: Option<io::Error>) {
        let Some(Entry::Watch(watch)) = self.core.table.remove(id) else { return };
        self.core.watches -= 1;
        if let Some(pause) = watch.pause {
            self.core.timers.remove(pause);
        }
        if watch.registered != WatchInterest::NOTHING {
            self.core.pulse.counters.watch_changes.add(1);
            if let Err(error) = self.sys.unwatch(watch.fd.as_fd()) {
                log::debug!("watch {id}: {error}");
            }
        }
        self.descriptor_freed = true;
        let fd = watch.fd;
        if let Some(watcher) = watch.watcher {
            self.core.run(Callback::WatchClosed, |local| watcher.on_closed(local, fd, error));
        }
    }
}

/// Whether the kernel does not know the descriptor (any more): somebody has put another in its
/// place (dup2 in dup(2)), which ends the registration.
fn is_unknown(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENOENT | libc::EBADF))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::{Config, Watcher};
    use crate::id::Place;
    use crate::sys::Linux;
    use std::os::unix::net::UnixStream;
    use std::time::Duration;

    struct Silent;

    impl Watcher for Silent {}

    #[test]
    fn a_descriptor_that_the_kernel_does_not_know_any_more_counts_as_removed() {
        // S43
        let linux = Linux::new().expect("descriptors");
        let mut reactor = Reactor::new(linux, Place::FIRST, Config::default()).expect("good");
        let (ours, _theirs) = UnixStream::pair().expect("two descriptors");
        let watched = reactor.local(|local| local.watch(ours, WatchInterest::READABLE, Silent));
        let id = watched.expect("no panic").expect("room");
        reactor.turn(Some(Duration::ZERO)).expect("no error");
        let watch = reactor.core.table.watch(id.0).expect("it stays");
        reactor.sys.unwatch(watch.fd.as_fd()).expect("behind the loop's back");
        reactor.local(|local| local.set_watch(id, Some(false), None));
        reactor.turn(Some(Duration::ZERO)).expect("no error");
        let watch = reactor.core.table.watch(id.0).expect("no reason to end");
        assert_eq!(watch.registered, WatchInterest::NOTHING);
    }
    #[test]
    fn a_watch_of_another_shard_is_left_alone() {
        let watch_on = |place| {
            let linux = Linux::new().expect("descriptors");
            let mut reactor = Reactor::new(linux, place, Config::default()).expect("good");
            let (ours, _theirs) = UnixStream::pair().expect("two descriptors");
            let watched = reactor.local(|local| local.watch(ours, WatchInterest::READABLE, Silent));
            (reactor, watched.expect("no panic").expect("room"))
        };
        let (mut first, own) = watch_on(Place::FIRST);
        let (_second, foreign) = watch_on(Place::new(1, 0));
        let answers = first.local(|local| {
            let changed = local.set_watch(foreign, Some(false), None);
            (changed, local.stop_watch(foreign), local.stop_watch(own))
        });
        assert_eq!(answers, Some((false, false, true)));
    }
}
