//! How any thread reaches a shard: two channels, a flag and a waker.
//!
//! Tasks go through a bounded channel and are given back when it is full; orders (listen, close
//! all, quit) through an unbounded one, since a shutdown must never be refused. Nobody ever blocks.
//!
//! A shard that is about to wait sets `parked` and then looks at the channels once more; a sender
//! pushes its letter and then looks at `parked`. Each does its store before its load, with a
//! sequentially consistent fence between, so at least one of them sees the other: no letter is left
//! behind a sleeping shard. The sender that clears the flag writes the eventfd, so a sleep costs at
//! most one write however many letters come.
//!
//! Never: calls user code while posting.
//!
//! Invariants:
//! 1. A shard waits only if, after `parked` was set, both channels were empty.
//! 2. Whoever turns `parked` from true to false from outside wakes the shard.

use crate::error::Undelivered;
use crossbeam_channel::{Receiver, Sender, TrySendError};
use shardpoll_reactor::tls::ServerContext;
use shardpoll_reactor::{
    Accept, Acceptor, ConnId, ListenerId, ListenerOptions, Local, Signal, Signals, Waker,
};
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering, fence};
use std::time::Duration;

/// Tasks that may wait for one shard.
const TASKS: usize = 4096;

/// Tasks a shard does in one turn, so that connections have theirs.
pub(crate) const TASKS_PER_TURN: usize = 256;

/// Something to do with one connection or the whole shard.
pub(crate) enum Task {
    Write(ConnId, Vec<u8>),
    Close(ConnId),
    Run(Box<dyn FnOnce(&mut Local<'_>) + Send>),
}

const _: () = assert!(size_of::<Task>() <= 64);

/// What concerns the shard as a whole.
pub(crate) enum Order {
    Listen(Box<ListenOrder>),
    Listener(ListenerId, ListenerVerb),
    Signals(Box<SignalOrder>),
    CloseAll,
    Quit(Duration),
    CancelQuit,
}

/// What a listener is told on each shard.
pub(crate) enum ListenerVerb {
    Pause,
    PauseFor(Duration),
    Resume,
    Tls(Option<ServerContext>),
    Close,
}

/// An acceptor on its way to its shard.
pub(crate) type SendAcceptor = Box<dyn Accept + Send>;

pub(crate) struct ListenOrder {
    pub(crate) id: ListenerId,
    pub(crate) socket: OwnedFd,
    pub(crate) options: ListenerOptions,
    pub(crate) accept: SendAcceptor,
    pub(crate) reply: Sender<io::Result<()>>,
}

impl ListenOrder {
    pub(crate) fn carry_out(
        self,
        add: impl FnOnce(ListenerId, OwnedFd, ListenerOptions, Acceptor) -> io::Result<()>,
    ) {
        let result = add(self.id, self.socket, self.options, self.accept);
        // Whoever asked may have gone; the listener stands all the same.
        let _gone = self.reply.send(result);
    }
}

/// What is called for a signal.
pub(crate) type SignalCallback = Box<dyn FnMut(&mut Local<'_>, Signal) + Send>;

/// Signals on their way to their shard.
pub(crate) struct SignalOrder {
    pub(crate) signals: Signals,
    pub(crate) callback: SignalCallback,
    pub(crate) reply: Sender<io::Result<()>>,
}

/// The senders' side.
pub(crate) struct Mailbox {
    tasks: Sender<Task>,
    orders: Sender<Order>,
    parked: Arc<AtomicBool>,
    waker: Waker,
}

/// The shard's side.
pub(crate) struct Inbox {
    tasks: Receiver<Task>,
    orders: Receiver<Order>,
    parked: Arc<AtomicBool>,
}

pub(crate) fn mailbox(waker: Waker) -> (Mailbox, Inbox) {
    let (task_sender, tasks) = crossbeam_channel::bounded(TASKS);
    let (order_sender, orders) = crossbeam_channel::unbounded();
    let parked = Arc::new(AtomicBool::new(false));
    let mailbox =
        Mailbox { tasks: task_sender, orders: order_sender, parked: Arc::clone(&parked), waker };
    (mailbox, Inbox { tasks, orders, parked })
}

impl Mailbox {
    pub(crate) fn post(&self, task: Task) -> Result<(), Undelivered<Task>> {
        self.tasks.try_send(task).map_err(|refused| match refused {
            TrySendError::Full(task) => Undelivered::Full(task),
            TrySendError::Disconnected(task) => Undelivered::Ended(task),
        })?;
        self.wake();
        Ok(())
    }

    /// False when the shard has ended.
    pub(crate) fn order(&self, order: Order) -> bool {
        let posted = self.orders.send(order).is_ok();
        self.wake();
        posted
    }

    fn wake(&self) {
        // Orders the letter's push before the look at the flag; pairs with the fence in `park`.
        fence(Ordering::SeqCst);
        if self.parked.load(Ordering::Relaxed) && self.parked.swap(false, Ordering::AcqRel) {
            self.waker.wake();
        }
    }
}

impl Inbox {
    /// Announces a wait; false when there is something to read, and so nothing to wait for.
    pub(crate) fn park(&self) -> bool {
        self.parked.store(true, Ordering::Relaxed);
        // Orders the flag before the look at the channels; pairs with the fence in `wake`.
        fence(Ordering::SeqCst);
        let empty = self.tasks.is_empty() && self.orders.is_empty();
        if !empty {
            self.unpark();
        }
        empty
    }

    /// The wait is over: senders need not wake any more.
    pub(crate) fn unpark(&self) {
        self.parked.store(false, Ordering::Relaxed);
    }

    /// How many tasks wait now.
    pub(crate) fn waiting(&self) -> usize {
        self.tasks.len()
    }

    /// Does the next task; false when there is none.
    pub(crate) fn do_task(&self, local: &mut Local<'_>) -> bool {
        let Ok(task) = self.tasks.try_recv() else { return false };
        match task {
            Task::Write(to, data) => {
                if let Some(mut conn) = local.conn(to) {
                    conn.write_vec(data);
                }
            }
            Task::Close(id) => {
                if let Some(mut conn) = local.conn(id) {
                    conn.close();
                }
            }
            Task::Run(job) => job(local),
        }
        true
    }

    pub(crate) fn next_order(&self) -> Option<Order> {
        self.orders.try_recv().ok()
    }
}
