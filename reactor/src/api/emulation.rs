//! The events of libevent, as Prosody offered them before watches: the thinnest adapter over them.
//!
//! Never: for new code: a [`Watcher`] says the same with more order.

use super::{Watch, WatchInterest, Watcher};

/// What an event is waited for (`EV_READ`, `EV_WRITE`, `EV_READWRITE` of Prosody).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum EventMode {
    /// Input.
    Read,
    /// Room for output.
    Write,
    /// Both.
    ReadWrite,
}

impl From<EventMode> for WatchInterest {
    fn from(mode: EventMode) -> Self {
        match mode {
            EventMode::Read => Self::READABLE,
            EventMode::Write => Self::WRITABLE,
            EventMode::ReadWrite => Self::BOTH,
        }
    }
}

/// What becomes of an event whose callback has returned.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum EventAnswer {
    /// Goes on as before; Prosody's `nil`.
    Unchanged,
    /// Waits for what its mode says, whatever it waited for before; Prosody's `true`.
    Again,
    /// Waits for nothing, and stays (`EV_LEAVE`): it still counts for the end of the loop (S9).
    Leave,
}

/// Makes a watcher of one closure that is called for both halves (S141; deprecated in Prosody).
///
/// ```
/// use shardpoll_reactor::{
///     Config, EventAnswer, EventMode, Linux, Place, Reactor, events,
/// };
/// use std::cell::Cell;
/// use std::os::unix::net::UnixStream;
/// use std::rc::Rc;
///
/// let mut reactor = Reactor::new(Linux::new()?, Place::FIRST, Config::default())?;
/// let (ours, theirs) = UnixStream::pair()?;
/// let calls = Rc::new(Cell::new(0));
/// let (mode, counted) = (EventMode::Read, Rc::clone(&calls));
/// let watcher = events(mode, move |_watch| {
///     counted.set(counted.get() + 1);
///     EventAnswer::Leave
/// });
/// reactor.local(|local| local.watch(ours, mode.into(), watcher));
/// drop(theirs); // which is something to read
/// while calls.get() == 0 {
///     reactor.turn(None)?;
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn events(
    mode: EventMode,
    callback: impl FnMut(&mut Watch<'_>) -> EventAnswer + 'static,
) -> impl Watcher {
    Emulated { mode, callback }
}

struct Emulated<F> {
    mode: EventMode,
    callback: F,
}

impl<F: FnMut(&mut Watch<'_>) -> EventAnswer + 'static> Emulated<F> {
    fn call(&mut self, watch: &mut Watch<'_>) {
        let interest = match (self.callback)(watch) {
            EventAnswer::Unchanged => return,
            EventAnswer::Again => self.mode.into(),
            EventAnswer::Leave => WatchInterest::NOTHING,
        };
        watch.set(Some(interest.readable), Some(interest.writable));
    }
}

impl<F: FnMut(&mut Watch<'_>) -> EventAnswer + 'static> Watcher for Emulated<F> {
    fn on_readable(&mut self, watch: &mut Watch<'_>) {
        self.call(watch);
    }

    fn on_writable(&mut self, watch: &mut Watch<'_>) {
        self.call(watch);
    }
}
