//! How a world is told to end, and how far it is.
//!
//! Never: waits, but in [`World::join`].

use crate::World;
use shardpoll::{DrainPlan, EngineState, ShardReport};
use std::time::Duration;

impl World {
    /// Closes everything from outside.
    pub fn close_all(&self) {
        self.side.close_all();
    }

    /// Tells it to end, at the latest after this time.
    pub fn quit(&self, forced_after: Duration) {
        self.side.quit(forced_after);
    }

    /// Tells it to drain.
    pub fn drain(&self, plan: DrainPlan) {
        self.side.drain(plan);
    }

    /// Withdraws a quit or a drain.
    pub fn cancel_quit(&self) {
        self.side.cancel_quit();
    }

    /// How far it is on its way out.
    #[must_use]
    pub fn state(&self) -> EngineState {
        self.side.state()
    }

    /// Waits until it has ended by itself, and gives what it reports, by shard.
    #[must_use]
    pub fn join(&mut self) -> Vec<ShardReport> {
        self.side.join()
    }
}
