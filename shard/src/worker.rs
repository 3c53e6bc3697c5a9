//! What runs on one shard: a reactor and its mailbox.
//!
//! Never: starts a thread, so that it can be stepped from anywhere.
//!
//! Invariants:
//! 1. A worker that is dropped before its shard has ended counts as failed, and so ends the engine.

use crate::builder::next_generation;
use crate::census::Shared;
use crate::latch::Ended;
use crate::letter::{ShardInbox, TASKS_PER_TURN};
use crate::metrics::ShardVitals;
use crate::pin;
use crate::shortage::Share;
use crate::supervise::{Failure, Supervisor};
use crate::way::{Way, Ways};
use core_affinity::CoreId;
use shardpoll_reactor::{Config, EngineState, Linux, Local, Place, Reactor, Sys, Turn};
use std::cell::Cell;
use std::fmt;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

thread_local! {
    /// Workers of this thread: one that waited for shards would wait for itself.
    static WORKERS: Cell<usize> = const { Cell::new(0) };
}

/// Whether this thread runs a shard.
pub(crate) fn is_shard() -> bool {
    WORKERS.get() > 0
}

/// This thread runs a shard for as long as this lives.
struct OnShard;

impl OnShard {
    fn begin() -> Self {
        WORKERS.set(WORKERS.get() + 1);
        Self
    }
}

impl Drop for OnShard {
    fn drop(&mut self) {
        WORKERS.set(WORKERS.get() - 1);
    }
}

/// A shard that has yet to begin, on its way to its thread.
///
/// Dropped, it counts as a shard that has failed: the engine ends.
pub struct WorkerStart<S: Sys = Linux> {
    pub(crate) shard: usize,
    pub(crate) at: Place,
    pub(crate) core: Option<CoreId>,
    pub(crate) sys: S,
    pub(crate) config: Config,
    pub(crate) inbox: ShardInbox<S>,
    pub(crate) share: Share<S>,
    pub(crate) way: Way<S>,
    pub(crate) census: Shared,
    pub(crate) vitals: Arc<ShardVitals>,
    pub(crate) supervisor: Supervisor,
    pub(crate) ended: Ended,
}

impl<S: Sys + 'static> WorkerStart<S> {
    /// The number of the shard, counted from 0.
    #[must_use]
    pub fn shard(&self) -> usize {
        self.shard
    }

    /// Begins the shard on this thread, which it stays on; binds the thread to a CPU if the builder
    /// was told so.
    #[must_use]
    pub fn start(self) -> Worker<S> {
        if let Some(core) = self.core {
            pin::pin(self.shard, core);
        }
        self.vitals.begin(self.core.map(|core| core.id));
        let on_shard = OnShard::begin();
        let pulse = Arc::clone(&self.vitals.pulse);
        let mut reactor = Reactor::with_pulse(self.sys, self.at, self.config, pulse)
            .expect("the builder has checked the configuration");
        reactor.set_census(Box::new(self.census));
        let Self { shard, inbox, share, vitals, supervisor, way, ended, .. } = self;
        let ways = way.ways();
        reactor.route(Box::new(way));
        Worker {
            shard,
            reactor,
            inbox,
            share,
            ways,
            vitals,
            supervisor,
            _on_shard: on_shard,
            ended,
        }
    }
}

impl<S: Sys> fmt::Debug for WorkerStart<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WorkerStart").field("shard", &self.shard).finish_non_exhaustive()
    }
}

/// One shard at work, on the thread that turns it.
pub struct Worker<S: Sys = Linux> {
    shard: usize,
    pub(crate) reactor: Reactor<S>,
    pub(crate) inbox: ShardInbox<S>,
    share: Share<S>,
    vitals: Arc<ShardVitals>,
    supervisor: Supervisor,
    ways: Arc<Ways<S>>,
    // Behind the reactor: what users have left on it is dropped on a shard too.
    _on_shard: OnShard,
    ended: Ended,
}

impl<S: Sys> Worker<S> {
    /// Turns until the engine has quit and nothing is left on this shard; what becomes of one whose
    /// loop fails, the builder has been told
    /// ([`shard_failure`](crate::EngineBuilder::shard_failure)).
    ///
    /// # Errors
    /// The kernel's poller has failed: nothing can be done on this shard any more (S7).
    ///
    /// # Panics
    /// When the loop has panicked and does not begin anew: a bug of this library, or of a logger.
    pub fn run(mut self) -> io::Result<()> {
        loop {
            let failure = match catch_unwind(AssertUnwindSafe(|| self.turn_to_the_end())) {
                Ok(Ok(())) => return Ok(()),
                Ok(Err(error)) => Failure::Poller(error),
                Err(panic) => Failure::Panic(panic),
            };
            if !self.supervisor.judge(self.shard, &failure) {
                return failure.end();
            }
            self.restart()?;
        }
    }

    fn turn_to_the_end(&mut self) -> io::Result<()> {
        while self.turn(None)? != Turn::Drained {}
        Ok(())
    }

    /// The loop begins anew; what was sent to it is still there.
    fn restart(&mut self) -> io::Result<()> {
        self.vitals.count_restart();
        let shard = u16::try_from(self.shard).expect("checked against MAX_SHARDS by the builder");
        self.reactor.restart(Place::new(shard, next_generation()))
    }

    /// One turn of the loop with the letters that have come: waits at most this long (`None`: until
    /// something happens), then does all that is due.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub fn turn(&mut self, wait_at_most: Option<Duration>) -> io::Result<Turn> {
        let Self { reactor, inbox, vitals, .. } = self;
        let wait = if inbox.park() { wait_at_most } else { Some(Duration::ZERO) };
        let mut tasks = TASKS_PER_TURN;
        let turn = reactor.turn_while(
            wait,
            || !inbox.is_undisturbed(),
            |local| {
                inbox.unpark();
                let Some(task) = inbox.next_task() else { return false };
                // Before it is done: one that panics counts too.
                tasks = tasks.saturating_sub(task.weight());
                vitals.count_letter();
                task.carry_out(local);
                tasks > 0
            },
        )?;
        self.carry_out_orders();
        self.share.after_turn(&mut self.reactor);
        let turn = if turn == Turn::Drained { self.end() } else { turn };
        let state = self.reactor.state();
        if self.ended.note(state) {
            self.ways.loads.set_takes(self.shard, state <= EngineState::DrainingAccepting);
        }
        Ok(turn)
    }

    #[inline]
    fn carry_out_orders(&mut self) {
        if !self.inbox.is_undisturbed() {
            self.carry_out_waiting_orders();
        }
    }

    #[inline(never)]
    fn carry_out_waiting_orders(&mut self) {
        while let Some(order) = self.inbox.next_order() {
            // What its sender posted before it is waiting by now; an order overtakes nothing.
            self.do_waiting_tasks();
            order.carry_out(&mut self.reactor);
        }
    }

    fn do_waiting_tasks(&mut self) {
        let Self { reactor, inbox, vitals, .. } = self;
        for _ in 0..inbox.waiting() {
            if let Some(task) = inbox.next_task() {
                vitals.count_letter();
                reactor.local(|local| task.carry_out(local));
            }
        }
    }

    /// Nothing is left; the last orders may change that: they are carried out, or given back to
    /// their senders.
    #[cold]
    fn end(&mut self) -> Turn {
        loop {
            self.carry_out_orders();
            if !self.reactor.is_drained() {
                return Turn::Live;
            }
            if self.inbox.close() {
                break;
            }
        }
        // Whoever was told that they would be read shall not have been told wrong.
        self.do_waiting_tasks();
        self.ended.in_order(self.reactor.drain_report());
        Turn::Drained
    }

    /// Whether a turn whose wait a signal handler has interrupted says so by
    /// [`Turn::Interrupted`], so that the host can look at what the handler has noted. Default: no
    /// (S7). [`run`](Self::run) goes on all the same.
    pub fn interruptible(&mut self, interruptible: bool) {
        self.reactor.interruptible(interruptible);
    }

    /// Runs `f` on this shard between two turns; what it does takes effect in the next one. `None`
    /// if `f` panicked; the panic is counted and logged.
    pub fn local<R>(&mut self, f: impl FnOnce(&mut Local<'_>) -> R) -> Option<R> {
        self.reactor.local(f)
    }
}

impl<S: Sys> fmt::Debug for Worker<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Worker").field("reactor", &self.reactor).finish_non_exhaustive()
    }
}
#[cfg(all(test, feature = "sim"))]
mod tests {
    use super::*;
    use crate::engine::Engine;
    use crate::pin::Pinning;
    use crate::supervise::ShardFailure;
    use shardpoll_reactor::{Faults, Sim};

    /// A shard in a world in which nothing will ever happen: its poller fails.
    fn run_at_rest(policy: ShardFailure) -> (u64, io::Result<()>) {
        let builder = Engine::builder().shards(1).pinning(Pinning::None).shard_failure(policy);
        let parts = builder.parts_over(|_| Ok(Sim::new(1, Faults::none())));
        let mut parts = parts.expect("one shard");
        let worker = parts.workers.pop().expect("one shard").start();
        let outcome = worker.run();
        (parts.remote.metrics().shards[0].restarts, outcome)
    }

    #[test]
    fn a_shard_whose_poller_fails_begins_anew_until_that_is_hopeless() {
        let (restarts, outcome) = run_at_rest(ShardFailure::Restart);
        assert_eq!(restarts, 5);
        assert!(outcome.expect_err("the sixth failure is told").to_string().contains("at rest"));
        let (restarts, outcome) = run_at_rest(ShardFailure::End);
        assert_eq!((restarts, outcome.is_err()), (0, true));
    }
}
