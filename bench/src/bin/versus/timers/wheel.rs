//! tokio-util's `DelayQueue`, on a runtime whose clock is paused.
//!
//! Never: waits.

use super::{Timers, millis};
use crate::failure::Failure;
use std::task::{Context, Poll, Waker};
use tokio::runtime::{Builder, Runtime};
use tokio_util::time::DelayQueue;
use tokio_util::time::delay_queue::Key;

pub(super) struct Theirs {
    runtime: Runtime,
    queue: DelayQueue<usize>,
    keys: Vec<Key>,
    /// By number, which is the value: popped keys must not be used again.
    gone: Vec<bool>,
    numbers: Vec<usize>,
}

impl Theirs {
    pub(super) fn new() -> Result<Self, Failure> {
        let runtime = Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .map_err(Failure::io("cannot start a runtime"))?;
        let (keys, gone, numbers) = (Vec::new(), Vec::new(), Vec::new());
        Ok(Self { runtime, queue: DelayQueue::new(), keys, gone, numbers })
    }
}

impl Timers for Theirs {
    fn insert(&mut self, delays: &[u64]) {
        let _entered = self.runtime.enter();
        for &delay in delays {
            let number = self.gone.len();
            self.gone.push(false);
            self.numbers.push(number);
            self.keys.push(self.queue.insert(number, millis(delay)));
        }
    }

    fn reschedule(&mut self, moves: &[(usize, u64)]) {
        let _entered = self.runtime.enter();
        for &(place, delay) in moves {
            self.queue.reset(&self.keys[place], millis(delay));
        }
    }

    fn cancel(&mut self, places: &[usize]) {
        for &place in places {
            self.numbers.swap_remove(place);
            self.queue.remove(&self.keys.swap_remove(place));
        }
    }

    fn pass(&mut self, time: u64) {
        self.runtime.block_on(tokio::time::advance(millis(time)));
    }

    fn pop(&mut self) -> usize {
        let _entered = self.runtime.enter();
        let mut context = Context::from_waker(Waker::noop());
        let mut count = 0;
        while let Poll::Ready(Some(expired)) = self.queue.poll_expired(&mut context) {
            self.gone[expired.into_inner()] = true;
            count += 1;
        }
        count
    }

    fn len(&self) -> usize {
        self.keys.len()
    }

    fn settle(&mut self) {
        let Self { keys, gone, numbers, .. } = self;
        let mut all = numbers.iter();
        keys.retain(|_| all.next().is_some_and(|number| !gone[*number]));
        numbers.retain(|number| !gone[*number]);
    }
}
