//! What a loop knows of the others: nothing, but whom to ask.
//!
//! Never: is asked on the path of a byte; only when a connection begins, ends or moves.

use crate::api::Addr;
use crate::conn::{Luggage, ThenLink};
use crate::id::{ConnId, ListenerId};
use std::fmt;
use std::time::Duration;

/// The way from a loop to the others of its engine.
///
/// Whoever has several loops gives each a router of its own ([`Reactor::route`]), which hands what
/// it is given to the loop it is meant for: [`Reactor::admit_passed`] and [`Reactor::arrive`].
///
/// [`Reactor::route`]: crate::Reactor::route
/// [`Reactor::admit_passed`]: crate::Reactor::admit_passed
/// [`Reactor::arrive`]: crate::Reactor::arrive
pub trait Router<F> {
    /// How many loops there are, this one included.
    fn shards(&self) -> usize;

    /// A connection has just been accepted, and nobody knows of it yet: given back, it is served
    /// here; else another loop has it, or will.
    fn pass(&mut self, fresh: Fresh<F>) -> Option<Fresh<F>>;

    /// A live connection is to go to the loop that [`Parcel::to`] says.
    ///
    /// # Errors
    /// The parcel, when that loop takes no connections any more.
    fn send(&mut self, parcel: Parcel<F>) -> Result<(), Parcel<F>>;

    /// A connection that another loop has passed here is about to be admitted.
    fn taken(&mut self);

    /// A connection that was accepted lives here from now on.
    fn entered(&mut self);

    /// What [`pass`](Self::pass) has given back, or was [`taken`](Self::taken), has been admitted,
    /// if it was not turned away.
    fn settled(&mut self);

    /// Such a connection has ended, this long after it was accepted, or, without a time, has moved.
    fn left(&mut self, lived: Option<Duration>);

    /// This listener's socket is closed. False while some of what it has accepted is with others
    /// who may give it back: its acceptor is kept then until [`Reactor::all_passed_on`] is called.
    ///
    /// [`Reactor::all_passed_on`]: crate::Reactor::all_passed_on
    fn closed(&mut self, listener: ListenerId) -> bool;
}

/// A connection that was accepted on one loop, to be served by another: nothing was read of it, and
/// no callback has run.
pub struct Fresh<F> {
    pub(crate) listener: ListenerId,
    pub(crate) fd: F,
    pub(crate) addr: Addr,
    /// The loop it was sent to has no use for it.
    pub(crate) refused: bool,
}

impl<F> Fresh<F> {
    /// The listener that has accepted it.
    #[must_use]
    pub fn listener(&self) -> ListenerId {
        self.listener
    }
}

impl<F> fmt::Debug for Fresh<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fresh")
            .field("listener", &self.listener)
            .field("addr", &self.addr)
            .finish_non_exhaustive()
    }
}

/// A live connection on its way from one loop to another: its descriptor, its handler, and all that
/// is known of it. `Send` where its descriptor is.
pub struct Parcel<F> {
    pub(crate) fd: F,
    pub(crate) was: ConnId,
    pub(crate) to: usize,
    pub(crate) link: Option<ThenLink>,
    /// Its handler was told of a drain on the loop it has left.
    pub(crate) heard: bool,
    pub(crate) luggage: Box<Luggage>,
}

// By its types, not by a promise.
const _: fn() = || {
    fn is_send<T: Send>() {}
    is_send::<Parcel<std::os::fd::OwnedFd>>();
    is_send::<Fresh<std::os::fd::OwnedFd>>();
};

impl<F> Parcel<F> {
    /// The number of the loop that it is meant for.
    #[must_use]
    pub fn to(&self) -> usize {
        self.to
    }

    /// The id it had on the loop it has left.
    #[must_use]
    pub fn was(&self) -> ConnId {
        self.was
    }

    /// Sends it elsewhere.
    #[must_use]
    pub fn redirect(mut self, to: usize) -> Self {
        self.to = to;
        self
    }

    /// Whether a listener has accepted it: one that counts among [`Router::entered`].
    #[must_use]
    pub fn is_accepted(&self) -> bool {
        self.luggage.listener().is_some()
    }
}

impl<F> fmt::Debug for Parcel<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Parcel")
            .field("was", &self.was)
            .field("to", &self.to)
            .finish_non_exhaustive()
    }
}
