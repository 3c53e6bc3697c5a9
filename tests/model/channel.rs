//! A channel's double, over the atomics of whichever library is `super::lib`.
//!
//! Weaker than crossbeam's: what was pushed is seen by who reads it, and there is no more order
//! than that. A look at emptiness may give what was true a while ago.
//!
//! What is in it lies behind a lock of std, which no schedule sees: it is never held from one step
//! of the schedule to the next.

use super::lib::{AtomicUsize, Ordering, describe, note, thread};
use crate::planted::{Bug, is_planted};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

struct Inner<T> {
    waiting: Mutex<VecDeque<(usize, T)>>,
    capacity: usize,
    /// How many wait: the step of the schedule in each verb.
    len: AtomicUsize,
}

pub(crate) struct Sender<T>(Arc<Inner<T>>);

pub(crate) struct Receiver<T>(Arc<Inner<T>>);

pub(crate) enum TrySendError<T> {
    Full(T),
    /// Never, since a mailbox keeps a receiver of its own.
    #[allow(dead_code, reason = "crossbeam's has it")]
    Disconnected(T),
}

/// What was sent to nobody.
pub(crate) struct SendError<T>(pub(crate) T);

/// There is nothing.
pub(crate) struct Empty;

pub(crate) fn bounded<T>(capacity: usize) -> (Sender<T>, Receiver<T>) {
    let waiting = Mutex::new(VecDeque::new());
    let inner = Arc::new(Inner { waiting, capacity, len: AtomicUsize::new(0) });
    (Sender(Arc::clone(&inner)), Receiver(inner))
}

pub(crate) fn unbounded<T>() -> (Sender<T>, Receiver<T>) {
    bounded(usize::MAX)
}

impl<T> Inner<T> {
    fn with<R>(&self, f: impl FnOnce(&mut VecDeque<(usize, T)>) -> R) -> R {
        let mut waiting = self.waiting.lock().expect("nobody panics with it");
        let result = f(&mut waiting);
        let tags = waiting.iter().map(|waiting| waiting.0);
        describe(&self.len, tags.collect::<Vec<_>>());
        result
    }
}

impl<T> Sender<T> {
    pub(crate) fn try_send(&self, item: T) -> Result<(), TrySendError<T>> {
        let inner = &*self.0;
        // Counted and there in one step of the schedule.
        let full = inner.len.fetch_add(1, Ordering::Release) >= inner.capacity;
        if full {
            inner.len.fetch_sub(1, Ordering::Relaxed);
            return Err(TrySendError::Full(item));
        }
        inner.with(|waiting| waiting.push_back((thread(), item)));
        Ok(())
    }

    pub(crate) fn send(&self, item: T) -> Result<(), SendError<T>> {
        self.try_send(item).map_err(|refused| match refused {
            TrySendError::Full(item) | TrySendError::Disconnected(item) => SendError(item),
        })
    }
}

impl<T> Receiver<T> {
    pub(crate) fn is_empty(&self) -> bool {
        is_planted(Bug::NoSecondLook) || self.0.len.load(Ordering::Relaxed) == 0
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len.load(Ordering::Relaxed)
    }

    pub(crate) fn try_recv(&self) -> Result<T, Empty> {
        if super::sync::is_over() || self.0.len.load(Ordering::Acquire) == 0 {
            return Err(Empty);
        }
        // A sender that finds it full has counted its item for a moment.
        let item = self.0.with(VecDeque::pop_front);
        let (from, item) = item.ok_or(Empty)?;
        self.0.len.fetch_sub(1, Ordering::AcqRel);
        note(from);
        Ok(item)
    }
}

impl<T> Clone for Receiver<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}
