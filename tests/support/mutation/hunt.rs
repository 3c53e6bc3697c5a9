//! Many seeds over several threads, until it is enough or one breaks a promise.
//!
//! Never: plays; it hands seeds out, and looks whether one does not come back.

use super::{Tally, play};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Condvar, Mutex};
use std::time::{Duration, Instant};

/// When a hunt is over.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Until {
    /// So many cases were played.
    Seeds(u64),
    /// So much time has passed.
    Time(Duration),
}

/// Which cases to play.
#[derive(Clone, Debug)]
pub struct Hunt {
    /// The first seed; the others follow it.
    pub first: u64,
    /// When to stop.
    pub until: Until,
    /// How many threads play, at least 1.
    pub threads: usize,
    /// What is called with the seed of a case that takes longer than this; it must not return
    /// before the case does, or not at all.
    pub hangs: (Duration, fn(u64)),
}

/// What a hunt has found.
#[derive(Clone, Default, Debug)]
pub struct Found {
    /// Cases that were played to their end.
    pub cases: u64,
    /// The sum over them.
    pub tally: Tally,
    /// The least seed that broke a promise, and how.
    pub failure: Option<(u64, String)>,
}

/// What the threads of a hunt share.
struct Shared<'a> {
    hunt: &'a Hunt,
    began: Instant,
    next: AtomicU64,
    over: AtomicBool,
    /// What each thread plays, and since when.
    playing: Vec<Mutex<Option<(u64, Instant)>>>,
    found: Mutex<Found>,
    /// How many threads are done.
    done: (Mutex<usize>, Condvar),
}

/// Plays until it is enough, or until a case breaks a promise.
///
/// # Panics
/// When a thread of the hunt itself panics.
#[must_use]
pub fn hunt(hunt: &Hunt) -> Found {
    let threads = hunt.threads.max(1);
    let shared = Shared {
        hunt,
        began: Instant::now(),
        next: AtomicU64::new(0),
        over: AtomicBool::new(false),
        playing: (0..threads).map(|_| Mutex::default()).collect(),
        found: Mutex::default(),
        done: (Mutex::new(0), Condvar::new()),
    };
    std::thread::scope(|scope| {
        for own in 0..threads {
            let shared = &shared;
            scope.spawn(move || shared.play(own));
        }
        shared.watch();
    });
    shared.found.into_inner().expect("no thread panics while it adds")
}

impl Shared<'_> {
    fn play(&self, own: usize) {
        let mut found = Found::default();
        while !self.over.load(Ordering::Relaxed) {
            let count = self.next.fetch_add(1, Ordering::Relaxed);
            let goes_on = match self.hunt.until {
                Until::Seeds(wanted) => count < wanted,
                Until::Time(wanted) => self.began.elapsed() < wanted,
            };
            if !goes_on {
                break;
            }
            let seed = self.hunt.first.wrapping_add(count);
            let playing = |now| *self.playing[own].lock().expect("nothing panics with it") = now;
            playing(Some((seed, Instant::now())));
            match play(seed) {
                Ok(tally) => {
                    found.cases += 1;
                    found.tally.add(&tally);
                }
                Err(how) => {
                    found.failure = Some((seed, how));
                    self.over.store(true, Ordering::Relaxed);
                }
            }
            playing(None);
        }
        self.found.lock().expect("no thread panics while it adds").add(found);
        *self.done.0.lock().expect("nothing panics with it") += 1;
        self.done.1.notify_all();
    }

    /// Looks after the others until all are done.
    fn watch(&self) {
        let (longest, hangs) = self.hunt.hangs;
        let mut done = self.done.0.lock().expect("nothing panics with it");
        while *done < self.playing.len() {
            let looked = self.done.1.wait_timeout(done, Duration::from_secs(1));
            done = looked.expect("nothing panics with it").0;
            for playing in &self.playing {
                let now = *playing.lock().expect("nothing panics with it");
                if let Some((seed, _)) = now.filter(|(_, since)| since.elapsed() > longest) {
                    hangs(seed);
                }
            }
        }
    }
}

impl Found {
    fn add(&mut self, other: Self) {
        self.cases += other.cases;
        self.tally.add(&other.tally);
        let least = |failure: &Option<(u64, String)>| failure.as_ref().map_or(u64::MAX, |f| f.0);
        if least(&other.failure) < least(&self.failure) {
            self.failure = other.failure;
        }
    }
}
