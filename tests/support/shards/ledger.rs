//! Letters: who posted what to whom, and what has become of it.
//!
//! Never: posts.

use std::cell::Cell;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

thread_local! {
    /// The shard that turns: a letter, which is `Send`, can reach nothing else of its world.
    pub static TURNS: Cell<usize> = const { Cell::new(OUTSIDE) };
}

/// Whoever posts letters: a shard, by its number, or the world outside.
pub const OUTSIDE: usize = usize::MAX;

/// What is known of the letters of one sender to one shard.
#[derive(Default, Debug)]
struct Route {
    posted: u64,
    /// The number of the last that was read, counted from 1.
    read: u64,
    done: u64,
}

/// All letters of a world. Shared with the letters themselves, which must be `Send`.
#[derive(Clone, Default, Debug)]
pub struct Ledger(Arc<Mutex<Book>>);

#[derive(Default, Debug)]
struct Book {
    routes: HashMap<(usize, usize), Route>,
    violations: Vec<String>,
}

/// One letter: it is read, or given back; dropped, it was lost.
#[derive(Debug)]
pub struct Letter {
    ledger: Ledger,
    route: (usize, usize),
    number: u64,
    over: bool,
    back: Receipt,
}

/// What the sender of a letter keeps of it.
#[derive(Clone, Default, Debug)]
pub struct Receipt(Arc<AtomicBool>);

impl Receipt {
    /// The letter has come back.
    pub fn given_back(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Ledger {
    fn with<R>(&self, f: impl FnOnce(&mut Book) -> R) -> R {
        f(&mut self.0.lock().expect("nobody panics while it writes"))
    }

    /// A letter of this sender to this shard.
    pub fn letter(&self, from: usize, to: usize) -> (Letter, Receipt) {
        let number = self.with(|book| {
            let route = book.routes.entry((from, to)).or_default();
            route.posted += 1;
            route.posted
        });
        let back = Receipt::default();
        let receipt = back.clone();
        (Letter { ledger: self.clone(), route: (from, to), number, over: false, back }, receipt)
    }

    /// What was broken, in order.
    pub fn violations(&self) -> Vec<String> {
        self.with(|book| std::mem::take(&mut book.violations))
    }

    /// How many letters were read.
    pub fn read(&self) -> u64 {
        self.with(|book| book.routes.values().map(|route| route.done).sum())
    }
}

impl Letter {
    /// It is read, by the shard that turns.
    pub fn read(mut self) {
        self.over = true;
        let by = TURNS.get();
        let ((from, to), number) = (self.route, self.number);
        self.ledger.with(|book| {
            let route = book.routes.entry((from, to)).or_default();
            if by != to || number <= route.read {
                let last = route.read;
                let text =
                    format!("letter {number} of {from} to {to} is read by {by} after {last}");
                book.violations.push(text);
            }
            route.read = number;
            route.done += 1;
        });
    }
}

impl Drop for Letter {
    fn drop(&mut self) {
        let ((from, to), number, over) = (self.route, self.number, self.over);
        if !over && !self.back.0.load(Ordering::Relaxed) {
            let text = format!("letter {number} of {from} to {to} was lost");
            self.ledger.with(|book| book.violations.push(text));
        }
    }
}
