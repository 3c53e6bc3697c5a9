//! The least there can be: a crossbeam channel, and an eventfd that epoll waits for, through mio,
//! which adds nothing to them. A flag spares the eventfd while the reader is awake.
//!
//! Never: has connections, timers or orders to look after.

use super::{Job, Letter, Line, ROOM, on_cpu};
use crate::failure::Failure;
use crossbeam_channel::{Sender, TrySendError, bounded};
use mio::{Events, Poll, Token, Waker};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering, fence};

struct Bare {
    jobs: Sender<Job>,
    asleep: Arc<AtomicBool>,
    waker: Arc<Waker>,
}

pub(super) fn start(cpu: usize) -> Result<Box<dyn Line>, Failure> {
    let (jobs, received) = bounded::<Job>(ROOM);
    let mut poll = Poll::new().map_err(Failure::io("epoll"))?;
    let waker = Waker::new(poll.registry(), Token(0)).map_err(Failure::io("eventfd"))?;
    let asleep = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&asleep);
    on_cpu("bare", cpu, move || {
        let mut events = Events::with_capacity(8);
        loop {
            while let Ok(job) = received.try_recv() {
                job();
            }
            flag.store(true, Ordering::Relaxed);
            fence(Ordering::SeqCst);
            if received.is_empty() && poll.poll(&mut events, None).is_err() {
                return;
            }
            flag.store(false, Ordering::Relaxed);
        }
    })?;
    Ok(Box::new(Bare { jobs, asleep, waker: Arc::new(waker) }))
}

impl Line for Bare {
    fn post(&self, letter: Letter) {
        let mut refused = self.jobs.try_send(Box::new(move || letter.arrive())).err();
        while let Some(TrySendError::Full(job) | TrySendError::Disconnected(job)) = refused {
            std::hint::spin_loop();
            refused = self.jobs.try_send(job).err();
        }
        fence(Ordering::SeqCst);
        if self.asleep.load(Ordering::Relaxed) && self.asleep.swap(false, Ordering::AcqRel) {
            self.waker.wake().expect("an eventfd takes a one");
        }
    }

    fn end(self: Box<Self>) -> Result<(), Failure> {
        Ok(())
    }
}
