//! What any thread may ask of any shard.
//!
//! Never: blocks; everything here is done later, by the shard; an answer is waited for elsewhere.

use crate::answer::{Answer, answer};
use crate::error::{Undelivered, Unreached};
use crate::hash;
use crate::latch::Latch;
use crate::letter::{LIST, ListenerVerb, Order, ShardMailbox, Task};
use crate::metrics::{Snapshot, Vitals};
use shardpoll_reactor::tls::ServerContext;
use shardpoll_reactor::{
    Conn, ConnId, DrainPlan, EngineState, Handler, Linux, ListenerId, Local, Sys,
};
use std::any::Any;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// A task for a shard.
pub type Job = Box<dyn FnOnce(&mut Local<'_>) + Send>;

/// Reaches any shard from any thread. Clone it freely.
///
/// Every verb is asynchronous, and never blocks. `Ok` says that the letter waits for its shard,
/// which reads it unless it ends first; then it is dropped unread.
///
/// # Order
/// What one thread posts to one shard is done in the order in which it was posted, whatever the
/// verbs. An order to all shards, such as [`close_all`](Self::close_all), [`quit`](Self::quit) and
/// the verbs for listeners, overtakes nothing that its thread posted before it, but may itself be
/// done before or after what is posted behind it. There is no order between threads, nor between
/// shards.
///
/// # Room
/// 4,096 letters may wait for one shard. A letter that finds no room is given back
/// ([`Undelivered::Full`]); two shards that waited for each other's mailbox would stop the world.
/// Orders are never refused. A shard does some 256 letters in a turn, so that connections have
/// theirs.
///
/// # Stale ids
/// A letter to a connection that is gone is read, and does nothing.
///
/// `S` is the world the shards run in: Linux, or a simulation.
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

    /// Queues a reference to bytes on a connection, as [`Conn::write_shared`] does.
    ///
    /// # Errors
    /// [`Undelivered`], with the bytes, when the shard's mailbox is full or the shard has ended.
    pub fn write_shared(&self, to: ConnId, data: Arc<[u8]>) -> Result<(), Undelivered<Arc<[u8]>>> {
        let back = |task| match task {
            Task::WriteShared(_, data) => data,
            _ => unreachable!("the letter that comes back is the one that was posted"),
        };
        self.post(to.shard(), Task::WriteShared(to, data)).map_err(|refused| refused.map(back))
    }

    /// Queues a reference to the same bytes on many connections, of any shards: the payload is
    /// never copied, and 256 connections of a shard are one letter.
    ///
    /// A connection that is named twice is written to twice. Each shard writes in the order of
    /// `to`, but does some 256 connections in a turn.
    ///
    /// # Errors
    /// [`Unreached`] names the connections whose shards had no room for their letter or have
    /// ended; all others are written to.
    ///
    /// ```
    /// # fn tell(remote: &shardpoll::Remote, room: &[shardpoll::ConnId]) {
    /// let line: std::sync::Arc<[u8]> = b"the server restarts in a minute\n"[..].into();
    /// if let Err(unreached) = remote.write_to_all(room.iter().copied(), &line) {
    ///     // Busy shards: `unreached.full` can be tried again.
    ///     eprintln!("{unreached}");
    /// }
    /// # }
    /// ```
    pub fn write_to_all(
        &self,
        to: impl IntoIterator<Item = ConnId>,
        data: &Arc<[u8]>,
    ) -> Result<(), Unreached<ConnId>> {
        let mut lists: Vec<Vec<ConnId>> = vec![Vec::new(); self.shards()];
        let mut unreached = Unreached { full: Vec::new(), ended: Vec::new() };
        for id in to {
            match lists.get_mut(id.shard()) {
                Some(list) => {
                    list.push(id);
                    if list.len() == LIST {
                        self.post_list(id.shard(), std::mem::take(list), data, &mut unreached);
                    }
                }
                None => unreached.ended.push(id),
            }
        }
        for (shard, list) in lists.into_iter().enumerate().filter(|(_, list)| !list.is_empty()) {
            self.post_list(shard, list, data, &mut unreached);
        }
        unreached.none()
    }

    fn post_list(
        &self,
        shard: usize,
        list: Vec<ConnId>,
        data: &Arc<[u8]>,
        unreached: &mut Unreached<ConnId>,
    ) {
        let back = |task| match task {
            Task::WriteToAll(list, _) => list.into_vec(),
            _ => unreachable!("the letter that comes back is the one that was posted"),
        };
        let letter = Task::WriteToAll(list.into(), Arc::clone(data));
        match self.post(shard, letter).map_err(|refused| refused.map(back)) {
            Ok(()) => {}
            Err(Undelivered::Full(list)) => unreached.full.extend(list),
            Err(Undelivered::Ended(list)) => unreached.ended.extend(list),
        }
    }

    /// Ends a connection once its queue is out, as [`Conn::close`] does.
    ///
    /// # Errors
    /// [`Undelivered`] when the shard's mailbox is full or the shard has ended.
    pub fn close(&self, conn: ConnId) -> Result<(), Undelivered<()>> {
        self.post(conn.shard(), Task::Close(conn)).map_err(|refused| refused.map(drop))
    }

    /// Ends a connection now; its queue is lost. Its handler is told, with
    /// [`CloseReason::Asked`](crate::CloseReason::Asked): unlike that of [`Conn::abort`], it has
    /// not asked for it itself (S79).
    ///
    /// # Errors
    /// [`Undelivered`] when the shard's mailbox is full or the shard has ended.
    pub fn abort(&self, conn: ConnId) -> Result<(), Undelivered<()>> {
        self.post(conn.shard(), Task::Abort(conn)).map_err(|refused| refused.map(drop))
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
    /// never was. The [`Job`] that comes back can be posted again as it is, however often.
    pub fn run(
        &self,
        shard: usize,
        f: impl FnOnce(&mut Local<'_>) + Send + 'static,
    ) -> Result<(), Undelivered<Job>> {
        let back = |task| match task {
            Task::Run(job) => job,
            _ => unreachable!("the letter that comes back is the one that was posted"),
        };
        self.post(shard, Task::Run(job(f))).map_err(|refused| refused.map(back))
    }

    /// Runs a task on every shard, once on each.
    ///
    /// # Errors
    /// [`Unreached`] names the shards that had no room or have ended; it runs on all others.
    pub fn broadcast(
        &self,
        f: impl Fn(&mut Local<'_>) + Send + Sync + 'static,
    ) -> Result<(), Unreached<usize>> {
        let f = Arc::new(f);
        let mut unreached = Unreached { full: Vec::new(), ended: Vec::new() };
        for shard in 0..self.shards() {
            let f = Arc::clone(&f);
            match self.run(shard, move |local| f(local)) {
                Ok(()) => {}
                Err(Undelivered::Full(_)) => unreached.full.push(shard),
                Err(Undelivered::Ended(_)) => unreached.ended.push(shard),
            }
        }
        unreached.none()
    }

    /// Runs a task on the shard of this number, and promises what it returns.
    ///
    /// # Errors
    /// As [`run`](Self::run). A refused task whose job is dropped has the answer
    /// [`NoAnswer::Ended`](crate::NoAnswer::Ended); posted again by `run`, it answers.
    ///
    /// ```
    /// # fn count(remote: &shardpoll::Remote) -> Option<usize> {
    /// let live = remote.ask(0, |local| local.live()).ok()?;
    /// live.wait().ok() // not on a shard's own thread
    /// # }
    /// ```
    pub fn ask<R: Send + 'static>(
        &self,
        shard: usize,
        f: impl FnOnce(&mut Local<'_>) -> R + Send + 'static,
    ) -> Result<Answer<R>, Undelivered<Job>> {
        let (reply, answer) = answer();
        self.run(shard, move |local| reply.give(f(local)))?;
        Ok(answer)
    }

    /// Which shard a key belongs to, for whoever shares work out among them: the same key and the
    /// same number of shards give the same answer in every process and every version.
    ///
    /// It is SipHash-2-4 of the key's bytes, under the key of its paper's test vectors (bytes 0 to
    /// 15), times the number of shards, divided by 2^64. A number is hashed as the bytes you make
    /// of it, such as `number.to_le_bytes()`. The key is no secret: who chooses keys can choose
    /// their shard.
    #[must_use]
    pub fn shard_of(&self, key: &(impl AsRef<[u8]> + ?Sized)) -> usize {
        hash::scale(hash::siphash(key.as_ref()), self.shards())
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

/// A task in its box; one that came back has it already.
fn job<F: FnOnce(&mut Local<'_>) + Send + 'static>(f: F) -> Job {
    let mut task = Some(f);
    let any: &mut dyn Any = &mut task;
    if let Some(again) = any.downcast_mut::<Option<Job>>() {
        return again.take().expect("it was put there above");
    }
    Box::new(task.expect("it was put there above"))
}
