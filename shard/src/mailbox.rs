//! How any thread reaches a shard: two channels, a flag and a waker.
//!
//! Tasks go through a bounded channel and are given back when it is full; orders (listen, close
//! all, quit) through an unbounded one, since a shutdown must never be refused. Nobody ever blocks.
//!
//! A shard that is about to wait sets `parked` and then looks at the channels once more; a sender
//! pushes its letter and then looks at `parked`. Each does its store before its load, with a
//! sequentially consistent fence between, so at least one of them sees the other: no letter is left
//! behind a sleeping shard. The sender that clears the flag wakes the shard, which is a write to an
//! eventfd, so a sleep costs at most one write however many letters come.
//!
//! The flag stays set for as long as nobody clears it. A shard that was woken by something else,
//! and finds it set, knows that nobody has posted: it looks at no channel, neither after its wait
//! nor before the next one.
//!
//! An order is never lost: it may carry a connection. Whoever sends one first takes a ticket; a
//! shard that ends gives no more tickets if, and only if, it has received as many orders as there
//! were tickets, in one step. So each is carried out, or given back to its sender.
//!
//! No task lies in a mailbox that nobody reads: somebody may wait for its answer. A shard that ends
//! sets `parked` for good, with `ended` beside it, and drops what has come; a sender that comes too
//! late for that finds the flag, and drops what is left.
//!
//! What is asked of the channels is little: a push and a look at emptiness need order nothing; the
//! fences do. `tests/model` plays this very file through every schedule of a few threads and
//! letters, on channels that promise no more than that.
//!
//! Never: knows what is in a letter, or calls user code while posting; names an atomic or a channel
//! but through `sync`.
//!
//! Invariants:
//! 1. A shard waits only if, after `parked` was set, both channels were empty, and `parked` has not
//!    been cleared since.
//! 2. Whoever turns `parked` from true to false from outside wakes the shard.
//! 3. Of a mailbox that is closed every order has been received.
//! 4. Once the shard has ended and its senders have returned, the mailbox is empty.

// By `super`: the model check compiles this file again, between shims of these two modules.
use super::error::Undelivered;
use super::sync::{
    Arc, AtomicBool, AtomicUsize, Ordering, Receiver, Sender, TrySendError, bounded, fence,
    unbounded,
};
use shardpoll_reactor::Wake;
use std::cell::Cell;

/// Among the tickets: there are no more.
const CLOSED: usize = 1 << (usize::BITS - 1);

/// The senders' side: tasks of type `T`, orders of type `O`, a shard that is woken by `W`.
pub(crate) struct Mailbox<T, O, W> {
    tasks: Sender<T>,
    orders: Sender<O>,
    parked: Arc<AtomicBool>,
    ended: Arc<AtomicBool>,
    /// For what was posted while the shard ended.
    left: Receiver<T>,
    /// How many senders of orders have begun, and whether the shard takes any.
    tickets: Arc<AtomicUsize>,
    waker: W,
}

/// The shard's side.
pub(crate) struct Inbox<T, O> {
    tasks: Receiver<T>,
    orders: Receiver<O>,
    parked: Arc<AtomicBool>,
    ended: Arc<AtomicBool>,
    /// Whether `parked` may be set: known here without a look at it.
    announced: Cell<bool>,
    tickets: Arc<AtomicUsize>,
    /// How many orders it has received.
    received: Cell<usize>,
}

/// A mailbox in which at most so many tasks may wait.
pub(crate) fn mailbox<T, O, W: Wake>(capacity: usize, waker: W) -> (Mailbox<T, O, W>, Inbox<T, O>) {
    let (task_sender, tasks) = bounded(capacity);
    let (order_sender, orders) = unbounded();
    let parked = Arc::new(AtomicBool::new(false));
    let ended = Arc::new(AtomicBool::new(false));
    let (received, announced) = (Cell::new(0), Cell::new(false));
    let tickets = Arc::new(AtomicUsize::new(0));
    let mailbox = Mailbox {
        tasks: task_sender,
        orders: order_sender,
        parked: Arc::clone(&parked),
        ended: Arc::clone(&ended),
        left: tasks.clone(),
        tickets: Arc::clone(&tickets),
        waker,
    };
    (mailbox, Inbox { tasks, orders, parked, ended, tickets, received, announced })
}

impl<T, O, W: Wake> Mailbox<T, O, W> {
    pub(crate) fn post(&self, task: T) -> Result<(), Undelivered<T>> {
        if self.ended.load(Ordering::Relaxed) {
            return Err(Undelivered::Ended(task));
        }
        self.tasks.try_send(task).map_err(|refused| match refused {
            TrySendError::Full(task) => Undelivered::Full(task),
            TrySendError::Disconnected(task) => Undelivered::Ended(task),
        })?;
        self.wake();
        Ok(())
    }

    /// Gives the order back when the shard has ended.
    pub(crate) fn order(&self, order: O) -> Result<(), O> {
        if self.tickets.fetch_add(1, Ordering::AcqRel) & CLOSED != 0 {
            return Err(order);
        }
        self.orders.send(order).map_err(|refused| refused.0)?;
        self.wake();
        Ok(())
    }

    fn wake(&self) {
        // Orders the letter's push before the look at the flag; pairs with the fence in `park`.
        fence(Ordering::SeqCst);
        if self.parked.load(Ordering::Relaxed) && self.parked.swap(false, Ordering::AcqRel) {
            if self.ended.load(Ordering::Relaxed) {
                self.sweep();
            } else {
                self.waker.wake();
            }
        }
    }

    /// Drops what the shard has not seen any more.
    #[cold]
    fn sweep(&self) {
        // Set again for whoever posts behind this; it has ended for good.
        self.parked.swap(true, Ordering::AcqRel);
        fence(Ordering::SeqCst);
        while self.left.try_recv().is_ok() {}
    }
}

/// What was posted and not read is dropped: here, or by its sender if it came too late for that.
impl<T, O> Drop for Inbox<T, O> {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        self.parked.store(true, Ordering::Release);
        // As in `park`: a sender that this look misses sees the flag.
        fence(Ordering::SeqCst);
        while self.tasks.try_recv().is_ok() {}
    }
}

impl<T, O> Inbox<T, O> {
    /// Whether an announcement stands, which nobody has answered by a letter: there is nothing to
    /// read.
    #[inline]
    pub(crate) fn is_undisturbed(&self) -> bool {
        self.announced.get() && self.parked.load(Ordering::Relaxed)
    }

    /// Announces a wait; false when there is something to read, and so nothing to wait for.
    #[inline]
    pub(crate) fn park(&self) -> bool {
        // Whoever posts now sees the flag that was set before.
        self.is_undisturbed() || self.announce()
    }

    fn announce(&self) -> bool {
        // A shard that is busy leaves the flag alone, which its senders look at for each letter.
        if !self.is_empty() {
            return false;
        }
        self.announced.set(true);
        self.parked.store(true, Ordering::Relaxed);
        // Orders the flag before the look at the channels; pairs with the fence in `wake`.
        fence(Ordering::SeqCst);
        let empty = self.is_empty();
        if !empty {
            self.unpark();
        }
        empty
    }

    /// The wait is over, if there was one: senders need not wake any more.
    pub(crate) fn unpark(&self) {
        if self.announced.take() {
            self.parked.store(false, Ordering::Relaxed);
        }
    }

    /// Whether neither task nor order waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.tasks.is_empty() && self.orders.is_empty()
    }

    /// How many tasks wait now.
    pub(crate) fn waiting(&self) -> usize {
        self.tasks.len()
    }

    pub(crate) fn next_task(&self) -> Option<T> {
        self.tasks.try_recv().ok()
    }

    pub(crate) fn next_order(&self) -> Option<O> {
        let order = self.orders.try_recv().ok()?;
        self.received.set(self.received.get() + 1);
        Some(order)
    }

    /// Takes no more orders, unless one is waiting or on its way: then false, and all is as before.
    pub(crate) fn close(&self) -> bool {
        let received = self.received.get();
        let closed = received | CLOSED;
        let (done, seen) = (Ordering::AcqRel, Ordering::Relaxed);
        self.tickets.compare_exchange(received, closed, done, seen).is_ok()
    }
}
