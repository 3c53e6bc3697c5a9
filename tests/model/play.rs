//! Senders, a shard that reads as `Worker::turn` does, and what must be true of them in every
//! schedule.

use super::lib::{Rung, Sender, arrive, channel, note, spawn, thread};
use super::mailbox::{Inbox, Mailbox, mailbox};
use crate::shape::Shape;
use shardpoll::Undelivered;
use shardpoll_reactor::Wake;
use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::SeqCst;

/// An eventfd's double: a ring before the wait ends the wait.
struct Bell {
    rung: Sender<()>,
    /// Rung, and not heard yet. Where memory is weak it is an atomic of the world, since whoever
    /// hears the bell sees what was done before it was rung: a write to an eventfd and the wait
    /// that reports it take the same lock.
    pending: Arc<Rung>,
    /// How often it was rung, and how often the shard has announced a wait.
    rings: Arc<AtomicUsize>,
    waits: Arc<AtomicUsize>,
}

impl Bell {
    fn new(rung: Sender<()>) -> Self {
        let pending = Arc::new(Rung::new(false));
        Self { rung, pending, rings: Arc::default(), waits: Arc::default() }
    }
}

impl Clone for Bell {
    fn clone(&self) -> Self {
        Self {
            rung: self.rung.clone(),
            pending: self.pending.clone(),
            rings: self.rings.clone(),
            waits: self.waits.clone(),
        }
    }
}

impl Wake for Bell {
    fn wake(&self) {
        let rings = self.rings.fetch_add(1, SeqCst) + 1;
        assert!(rings <= self.waits.load(SeqCst), "woken twice out of one sleep");
        if !self.pending.swap(true, SeqCst) {
            note("rings");
            let _gone = self.rung.send(());
        }
    }
}

thread_local! {
    /// Which of the world's threads is the shard.
    static SHARD: Cell<Option<usize>> = const { Cell::new(None) };
}

/// Whether the running thread of the world is its shard.
pub(crate) fn is_shard() -> bool {
    SHARD.get() == Some(thread())
}

/// Who sent it, and the how-manieth of that sender it is.
type Letter = (usize, usize);

/// What the last order of a sender says: how many of its tasks were taken.
type Last = (usize, usize);

/// What one sender does.
fn send(mailbox: &Mailbox<Letter, Last, Bell>, sender: usize, shape: Shape) {
    let mut taken = 0;
    for number in 0..shape.letters {
        arrive((number, taken));
        match mailbox.post((sender, number)) {
            Ok(()) => taken += 1,
            Err(Undelivered::Full(back)) => {
                assert!(shape.capacity < shape.senders * shape.letters, "there was room");
                assert_eq!(back, (sender, number), "another letter came back");
            }
            Err(_) => panic!("the shard lives"),
        }
    }
    if shape.orders {
        assert_eq!(mailbox.order((sender, taken)), Ok(()), "an order is never refused");
    }
}

/// What the shard has read.
struct Read {
    tasks: Vec<Letter>,
    /// By sender: how many of its tasks were read, and how many it says there were.
    of: Vec<(usize, Option<usize>)>,
}

impl Read {
    fn task(&mut self, inbox: &Inbox<Letter, Last>) -> bool {
        let task = inbox.next_task();
        if let Some((sender, number)) = task {
            let before = self.tasks.iter().rev().find(|task| task.0 == sender);
            assert!(before.is_none_or(|before| before.1 < number), "out of order");
            self.tasks.push((sender, number));
            self.of[sender].0 += 1;
        }
        task.is_some()
    }

    fn is_all(&self, shape: Shape) -> bool {
        if shape.orders {
            self.of.iter().all(|of| of.1.is_some())
        } else {
            self.tasks.len() == shape.senders * shape.letters
        }
    }
}

/// One world, from its beginning to its end.
///
/// # Panics
/// When a promise is broken. A letter that is left behind is a deadlock, which the library finds.
pub(crate) fn play(shape: Shape) {
    SHARD.set(Some(thread()));
    let (rung, ear) = channel();
    let bell = Bell::new(rung);
    let (mailbox, inbox) = mailbox(shape.capacity, bell.clone());
    let mailbox = Arc::new(mailbox);
    let senders: Vec<_> = (0..shape.senders)
        .map(|sender| {
            let mailbox = Arc::clone(&mailbox);
            note(sender);
            spawn(move || send(&mailbox, sender, shape))
        })
        .collect();
    let mut read = Read { tasks: Vec::new(), of: vec![(0, None); shape.senders] };
    // An event ends the first waits.
    let mut events = shape.events;
    while !read.is_all(shape) {
        arrive((&read.tasks, &read.of, events));
        bell.waits.fetch_add(1, SeqCst);
        if inbox.park() {
            if events > 0 {
                events -= 1;
            } else {
                note("sleeps");
                ear.recv().expect("the bell lives");
                bell.pending.swap(false, SeqCst);
                note("awake");
            }
        }
        // Only an event leaves it so; to ask makes many more schedules.
        if shape.events > 0 && inbox.is_undisturbed() {
            continue;
        }
        inbox.unpark();
        while read.task(&inbox) {
            arrive((&read.tasks, &read.of));
        }
        while let Some((sender, taken)) = inbox.next_order() {
            for _ in 0..inbox.waiting() {
                read.task(&inbox);
            }
            let of = &mut read.of[sender];
            assert_eq!(of.0, taken, "the order has overtaken a task, or one is lost");
            assert_eq!(of.1.replace(taken), None, "the order came twice");
        }
    }
    for sender in senders {
        note("waits for their end");
        sender.join().expect("its own panic is reported by it");
    }
    if bell.pending.load(SeqCst) {
        note("hears the last ring");
        ear.recv().expect("the bell lives");
    }
}

/// A task that counts itself when it is dropped.
struct Counted(Arc<AtomicUsize>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_add(1, SeqCst);
    }
}

/// A shard that ends while senders send a task and an order each: every order is received or given
/// back, and no task is left in the mailbox.
///
/// # Panics
/// When that is not so.
pub(crate) fn end(senders: usize) {
    let (rung, _ear) = channel();
    let bell = Bell::new(rung);
    let (mailbox, inbox) = mailbox::<Counted, Last, _>(senders, bell);
    let (mailbox, given_back) = (Arc::new(mailbox), Arc::new(AtomicUsize::new(0)));
    let dropped = Arc::new(AtomicUsize::new(0));
    let senders: Vec<_> = (0..senders)
        .map(|sender| {
            let (mailbox, given_back) = (Arc::clone(&mailbox), Arc::clone(&given_back));
            let task = Counted(Arc::clone(&dropped));
            note(sender);
            spawn(move || {
                let _given_back = mailbox.post(task);
                arrive("posted");
                if mailbox.order((sender, 0)).is_err() {
                    given_back.fetch_add(1, SeqCst);
                }
            })
        })
        .collect();
    let mut received = 0;
    loop {
        arrive(received);
        while inbox.next_order().is_some() {
            received += 1;
        }
        if inbox.close() {
            break;
        }
    }
    drop(inbox);
    let all = senders.len();
    for sender in senders {
        note("waits for their end");
        sender.join().expect("its own panic is reported by it");
    }
    assert_eq!(received + given_back.load(SeqCst), all, "an order is lost");
    assert_eq!(dropped.load(SeqCst), all, "a task lies in a mailbox that nobody reads");
}
