//! What any thread may ask of any shard.
//!
//! Never: blocks, or waits for an answer; everything here is done later, by the shard.

use crate::error::Undelivered;
use crate::latch::Latch;
use crate::letter::{ListenerVerb, Order, ShardMailbox, Task};
use crate::metrics::{Snapshot, Vitals};
use shardpoll_reactor::tls::ServerContext;
use shardpoll_reactor::{
    Conn, ConnId, DrainPlan, EngineState, Handler, Linux, ListenerId, Local, Sys,
};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// A task for a shard.
pub type Job = Box<dyn FnOnce(&mut Local<'_>) + Send>;

/// Reaches any shard from any thread. Clone it freely.
///
/// Every verb is asynchronous: `Ok` says that the shard will read the letter unless it ends first,
/// not that it has. What one thread posts to one shard is done in order, except that
/// [`close_all`](Self::close_all) and [`quit`](Self::quit) may come after what was posted behind
/// them. A stale id is harmless: nothing happens. `S` is the world the shards run in: Linux, or a
/// simulation.
pub struct Remote<S: Sys = Linux> {
    pub(crate) mailboxes: Arc<[ShardMailbox<S>]>,
    pub(crate) latch: Arc<Latch>,
    pub(crate) vitals: Arc<Vitals>,
}

// By hand: a world need not be `Clone` for its handles to be.
impl<S: Sys> Clone for Remote<S> {
    fn clone(&self) -> Self {
        Self {
            mailboxes: Arc::clone(&self.mailboxes),
            latch: Arc::clone(&self.latch),
            vitals: Arc::clone(&self.vitals),
        }
    }
}

impl<S: Sys> Remote<S> {
    /// How many shards there are; their numbers are 0 to one less.
    #[must_use]
    pub fn shards(&self) -> usize {
        self.mailboxes.len()
    }

    /// What the engine has done so far, on each shard and for each listener.
    ///
    /// Waits for nobody: a shard that is stuck, or has ended, shows what it had done by then.
    #[must_use]
    pub fn metrics(&self) -> Snapshot {
        self.vitals.snapshot()
    }

    /// Queues bytes on a connection, as [`Conn::write_vec`] does.
    ///
    /// # Errors
    /// [`Undelivered`], with the bytes, when the shard's mailbox is full or the shard has ended.
    pub fn write(&self, to: ConnId, data: Vec<u8>) -> Result<(), Undelivered<Vec<u8>>> {
        let back = |task| match task {
            Task::Write(_, data) => data,
            _ => unreachable!("the letter that comes back is the one that was posted"),
        };
        self.post(to.shard(), Task::Write(to, data)).map_err(|refused| refused.map(back))
    }

    /// Ends a connection once its queue is out, as [`Conn::close`] does.
    ///
    /// # Errors
    /// [`Undelivered`] when the shard's mailbox is full or the shard has ended.
    pub fn close(&self, conn: ConnId) -> Result<(), Undelivered<()>> {
        self.post(conn.shard(), Task::Close(conn)).map_err(|refused| refused.map(drop))
    }

    /// Calls `f` with a connection's handler, on its shard; nothing happens when the connection is
    /// gone or its handler is not an `H`.
    ///
    /// # Errors
    /// [`Undelivered`], with a job that does the same, when the shard's mailbox is full or the
    /// shard has ended.
    pub fn with<H: Handler>(
        &self,
        conn: ConnId,
        f: impl FnOnce(&mut H, &mut Conn<'_>) + Send + 'static,
    ) -> Result<(), Undelivered<Job>> {
        self.run(conn.shard(), move |local| {
            local.with(conn, f);
        })
    }

    /// Runs a task on the shard of this number.
    ///
    /// # Errors
    /// [`Undelivered`], with the task, when the shard's mailbox is full, or the shard has ended or
    /// never was.
    pub fn run(
        &self,
        shard: usize,
        f: impl FnOnce(&mut Local<'_>) + Send + 'static,
    ) -> Result<(), Undelivered<Job>> {
        let back = |task| match task {
            Task::Run(job) => job,
            _ => unreachable!("the letter that comes back is the one that was posted"),
        };
        self.post(shard, Task::Run(Box::new(f))).map_err(|refused| refused.map(back))
    }

    /// Closes every connection and listener of all shards after its output (S146).
    pub fn close_all(&self) {
        self.order_all(|| Order::CloseAll);
    }

    /// Tells every connection that the engine will end
    /// ([`Handler::on_drain_begin`]), accepts for a while longer, then refuses, and ends when no
    /// connection is left; those that are left at the plan's deadline are cut.
    ///
    /// Nothing is closed before: that is for the handlers, who know how their protocol says
    /// goodbye. While the shards accept, connections are opened as before, and told right after
    /// [`on_connect`](Handler::on_connect). Then those who wait are accepted, the listeners close,
    /// and `connect`, `adopt`, `watch` and `listen` are refused (S150). When no connection is left
    /// watches are closed as well, and the engine has ended; timers do not keep it.
    ///
    /// A second call can only bring the two ends forward. [`quit`](Self::quit) goes further at any
    /// time, [`cancel_quit`](Self::cancel_quit) goes back.
    pub fn drain(&self, plan: DrainPlan) {
        self.order_all(|| Order::Drain(plan));
    }

    /// How far the engine is on its way out: as far as the shard that is least far.
    ///
    /// What was asked for a moment ago may not have reached the shards yet. A shard that has ended,
    /// in order or not, is closed.
    #[must_use]
    pub fn state(&self) -> EngineState {
        self.latch.state()
    }

    /// How far one shard is; one that never was is closed.
    #[must_use]
    pub fn state_of(&self, shard: usize) -> EngineState {
        self.latch.state_of(shard)
    }

    /// Closes everything and ends the engine; what is left after `deadline` is cut (S147 to S151).
    ///
    /// A second call can only bring the deadline forward: `Duration::ZERO` ends at once.
    pub fn quit(&self, deadline: Duration) {
        self.order_all(|| Order::Quit(deadline));
    }

    /// Withdraws a [`quit`](Self::quit) or a [`drain`](Self::drain): shards that have not ended go
    /// on, and open connections and listeners again; what was closed stays closed, listeners too
    /// (S149). Connections that were told of a drain are not told that it was withdrawn.
    pub fn cancel_quit(&self) {
        self.order_all(|| Order::CancelQuit);
    }

    /// Accepts no more on any shard until [`resume_listener`](Self::resume_listener); those who
    /// connect wait in the kernel's queues (S128).
    pub fn pause_listener(&self, listener: ListenerId) {
        self.order_all(|| Order::Listener(listener, ListenerVerb::Pause));
    }

    /// Accepts no more on any shard for this long; a running pause is replaced (S98).
    pub fn pause_listener_for(&self, listener: ListenerId, time: Duration) {
        self.order_all(|| Order::Listener(listener, ListenerVerb::PauseFor(time)));
    }

    /// Accepts again on every shard.
    pub fn resume_listener(&self, listener: ListenerId) {
        self.order_all(|| Order::Listener(listener, ListenerVerb::Resume));
    }

    /// What a listener's later connections speak from their first byte on, on every shard: TLS of
    /// this context, or plain text for `None` (S120). Those accepted before keep what they have.
    ///
    /// To replace certificates only, [`ServerContext::replace_certificates`] is simpler: it holds
    /// for all shards at once, and tickets stay valid.
    pub fn set_listener_tls(&self, listener: ListenerId, tls: impl Into<Option<ServerContext>>) {
        let tls = tls.into();
        self.order_all(|| Order::Listener(listener, ListenerVerb::Tls(tls.clone())));
    }

    /// Stops listening on every shard; connections that were accepted live on (S128). Those who
    /// wait to be accepted are accepted first.
    pub fn close_listener(&self, listener: ListenerId) {
        self.order_all(|| Order::Listener(listener, ListenerVerb::Close));
    }

    fn order_all(&self, order: impl Fn() -> Order<S>) {
        for mailbox in &*self.mailboxes {
            // A shard that has ended has nothing left to do.
            let _ended = mailbox.order(order());
        }
    }

    fn post(&self, shard: usize, task: Task) -> Result<(), Undelivered<Task>> {
        match self.mailboxes.get(shard) {
            Some(mailbox) => mailbox.post(task),
            None => Err(Undelivered::Ended(task)),
        }
    }
}

impl<S: Sys> fmt::Debug for Remote<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Remote").field("shards", &self.shards()).finish()
    }
}
