//! A machine with store buffers, as x86 has them, for shuttle's threads: a plain store waits in its
//! thread's buffer, which the thread itself reads from, until the buffer is emptied: by a fence, by
//! a read-modify-write, or by the machine at any time, which is a thread of its own here.
//!
//! It also knows by which steps each thread has come to where it is, and so when two schedules have
//! led to the same state. So whatever lets another thread run is noted first: a thread that has come
//! further without a note would seem to be where it was.

use super::lib::Ordering;
use shuttle::current::me;
use shuttle::scheduler::TaskId;
use shuttle::thread::{self, Thread};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hash, Hasher};

#[derive(Default)]
struct Machine {
    cells: Vec<usize>,
    /// What lies behind a cell and is not in it.
    behind: Vec<u64>,
    /// By thread: cells, and what they will hold.
    buffers: Vec<VecDeque<(usize, usize)>>,
    /// By thread: what it has done and what came of it.
    histories: Vec<u64>,
    /// Empties buffers.
    drain: Option<Thread>,
    drain_at: Option<TaskId>,
    over: bool,
    /// Whether states will be compared.
    noting: bool,
}

thread_local! {
    static MACHINE: RefCell<Machine> = RefCell::default();
}

impl Machine {
    fn note(&mut self, what: impl Hash) {
        if !self.noting {
            return;
        }
        let thread = usize::from(me());
        self.of(thread);
        let mut hasher = DefaultHasher::new();
        (self.histories[thread], what).hash(&mut hasher);
        self.histories[thread] = hasher.finish();
    }

    fn of(&mut self, thread: usize) -> &mut VecDeque<(usize, usize)> {
        if self.buffers.len() <= thread {
            self.buffers.resize_with(thread + 1, VecDeque::new);
            self.histories.resize(thread + 1, 0);
        }
        &mut self.buffers[thread]
    }

    fn empty_one(&mut self, thread: usize) -> bool {
        let first = self.of(thread).pop_front();
        if let Some((cell, value)) = first {
            self.cells[cell] = value;
        }
        first.is_some()
    }

    fn empty(&mut self) {
        while self.empty_one(usize::from(me())) {}
    }

    fn load(&mut self, cell: usize) -> usize {
        let value = self.cells[cell];
        let own = self.of(usize::from(me())).iter().rev().find(|store| store.0 == cell);
        let value = own.map_or(value, |store| store.1);
        self.note(value);
        value
    }
}

/// Whether this thread is the one that empties buffers, and would find nothing to do.
pub(crate) fn rests(thread: TaskId) -> bool {
    with(|machine| {
        machine.drain_at == Some(thread)
            && !machine.over
            && machine.buffers.iter().all(VecDeque::is_empty)
    })
}

fn with<R>(f: impl FnOnce(&mut Machine) -> R) -> R {
    MACHINE.with_borrow_mut(f)
}

/// Says what the running thread is about to do, and lets any other go first.
fn step(what: &str, cell: usize) {
    with(|machine| machine.note((what, cell)));
    thread::yield_now();
}

/// Two schedules that give the same have led to the same state, if the same threads can run.
pub(crate) fn state(runnable: impl Iterator<Item = TaskId>) -> u64 {
    with(|machine| {
        let mut hasher = DefaultHasher::new();
        let Machine { cells, behind, buffers, histories, over, .. } = machine;
        (cells, behind, buffers, histories, over).hash(&mut hasher);
        for thread in runnable {
            usize::from(thread).hash(&mut hasher);
        }
        hasher.finish()
    })
}

/// What the running thread has learnt otherwise than from a cell.
pub(crate) fn note(what: impl Hash) {
    with(|machine| machine.note(what));
}

/// The running thread is where it is and knows no more than this, by whatever steps it has come.
pub(crate) fn arrive(at: impl Hash) {
    with(|machine| {
        let thread = usize::from(me());
        machine.of(thread);
        machine.histories[thread] = 0;
        machine.note(at);
    });
}

/// Who runs.
pub(crate) fn thread() -> usize {
    usize::from(me())
}

/// A machine as it is switched on, for as long as `world` runs. `noting`: states will be compared.
pub(crate) fn run(noting: bool, world: impl FnOnce()) {
    with(|machine| *machine = Machine { noting, ..Machine::default() });
    let drain = thread::spawn(|| {
        with(|machine| machine.drain_at = Some(me()));
        arrive("begun");
        while !with(|machine| machine.over) {
            let threads = with(|machine| machine.buffers.len());
            let one = (0..threads).any(|thread| with(|machine| machine.empty_one(thread)));
            arrive(one);
            if one {
                thread::yield_now();
            } else {
                thread::park();
            }
            arrive("again");
        }
    });
    with(|machine| machine.drain = Some(drain.thread().clone()));
    world();
    with(|machine| machine.over = true);
    drain.thread().unpark();
    drain.join().expect("it only moves words");
}

struct Word(usize);

impl Word {
    fn new(value: usize) -> Self {
        with(|machine| {
            machine.cells.push(value);
            machine.behind.push(0);
            Self(machine.cells.len() - 1)
        })
    }

    fn load(&self) -> usize {
        step("load", self.0);
        with(|machine| machine.load(self.0))
    }

    fn store(&self, value: usize) {
        step("store", self.0);
        let drain = with(|machine| {
            machine.of(usize::from(me())).push_back((self.0, value));
            machine.drain.clone()
        });
        if let Some(drain) = drain {
            note("stored");
            drain.unpark();
        }
    }

    fn modify(&self, f: impl FnOnce(usize) -> usize) -> usize {
        step("modify", self.0);
        with(|machine| {
            machine.empty();
            let old = machine.load(self.0);
            machine.cells[self.0] = f(old);
            old
        })
    }
}

pub(crate) struct AtomicUsize(Word);

impl AtomicUsize {
    pub(crate) fn new(value: usize) -> Self {
        Self(Word::new(value))
    }

    pub(crate) fn load(&self, _: Ordering) -> usize {
        self.0.load()
    }

    pub(crate) fn fetch_add(&self, more: usize, _: Ordering) -> usize {
        self.0.modify(|value| value + more)
    }

    pub(crate) fn compare_exchange(
        &self,
        expected: usize,
        new: usize,
        _: Ordering,
        _: Ordering,
    ) -> Result<usize, usize> {
        let old = self.0.modify(|value| if value == expected { new } else { value });
        if old == expected { Ok(old) } else { Err(old) }
    }

    pub(crate) fn fetch_sub(&self, less: usize, _: Ordering) -> usize {
        self.0.modify(|value| value - less)
    }
}

/// What lies behind this counter now.
pub(crate) fn describe(counter: &AtomicUsize, what: impl Hash) {
    with(|machine| {
        if machine.noting {
            let mut hasher = DefaultHasher::new();
            what.hash(&mut hasher);
            machine.behind[counter.0.0] = hasher.finish();
        }
    });
}

pub(crate) struct AtomicBool(Word);

impl AtomicBool {
    pub(crate) fn new(value: bool) -> Self {
        Self(Word::new(usize::from(value)))
    }

    pub(crate) fn load(&self, _: Ordering) -> bool {
        self.0.load() == 1
    }

    pub(crate) fn store(&self, value: bool, _: Ordering) {
        self.0.store(usize::from(value));
    }

    pub(crate) fn swap(&self, value: bool, _: Ordering) -> bool {
        self.0.modify(|_| usize::from(value)) == 1
    }
}

pub(crate) fn fence(_: Ordering) {
    step("fence", 0);
    with(Machine::empty);
    note("fenced");
}
