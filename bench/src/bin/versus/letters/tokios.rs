//! tokio: a bounded channel from one current-thread runtime to another.
//!
//! The sender does not wait in its runtime when the channel is full, but tries again, as it does
//! with the others.
//!
//! Never: does more for a letter than receive and call it.

use super::{Job, Letter, Line, ROOM, on_cpu};
use crate::failure::Failure;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::mpsc::{Sender, channel};

struct Tokio {
    jobs: Sender<Job>,
    /// The sender's own.
    runtime: Runtime,
}

fn runtime() -> Result<Runtime, Failure> {
    Builder::new_current_thread().enable_all().build().map_err(Failure::io("tokio's runtime"))
}

pub(super) fn start(cpu: usize) -> Result<Box<dyn Line>, Failure> {
    let (jobs, mut received) = channel::<Job>(ROOM);
    let reader = runtime()?;
    on_cpu("tokio", cpu, move || {
        reader.block_on(async move {
            while let Some(job) = received.recv().await {
                job();
            }
        });
    })?;
    Ok(Box::new(Tokio { jobs, runtime: runtime()? }))
}

impl Line for Tokio {
    fn post(&self, letter: Letter) {
        let _inside = self.runtime.enter();
        let mut refused = self.jobs.try_send(Box::new(move || letter.arrive())).err();
        while let Some(TrySendError::Full(job) | TrySendError::Closed(job)) = refused {
            std::hint::spin_loop();
            refused = self.jobs.try_send(job).err();
        }
    }

    fn end(self: Box<Self>) -> Result<(), Failure> {
        Ok(())
    }
}
