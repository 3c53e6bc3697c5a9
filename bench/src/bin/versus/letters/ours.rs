//! This engine: `Remote::run` to its one shard.
//!
//! Never: differs from what a user writes.

use super::{Letter, Line};
use crate::failure::Failure;
use shardpoll::{Engine, Pinning, Remote};
use std::time::Duration;

struct Ours {
    engine: Engine,
    remote: Remote,
}

pub(super) fn start(cpu: usize) -> Result<Box<dyn Line>, Failure> {
    let engine = Engine::builder().shards(1).pinning(Pinning::List(vec![cpu])).start()?;
    let remote = engine.remote();
    Ok(Box::new(Ours { engine, remote }))
}

impl Line for Ours {
    fn post(&self, letter: Letter) {
        let mut refused = self.remote.run(0, move |_| letter.arrive()).err();
        while let Some(job) = refused {
            std::hint::spin_loop();
            refused = self.remote.run(0, job.into_inner()).err();
        }
    }

    fn end(self: Box<Self>) -> Result<(), Failure> {
        self.engine.quit(Duration::ZERO);
        let _report = self.engine.join()?;
        Ok(())
    }
}
