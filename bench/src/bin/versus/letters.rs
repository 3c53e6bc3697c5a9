//! One thread to another: what a letter costs while both are busy, and how long one takes to a
//! thread that sleeps. Ours beside tokio's bounded channel between two current-thread runtimes, and
//! beside the least there can be: a crossbeam channel, an eventfd and epoll (mio's), with a flag
//! that spares the eventfd while the reader is awake.
//!
//! A letter is the same for all: a boxed task. Each mailbox has room for 4,096.
//!
//! Never: compares figures of different rounds.

use crate::candidate::Candidate;
use crate::cli::Cli;
use crate::failure::Failure;
use crate::peer::Peer;
use crate::report::{Ratio, Row};
use crate::scenario::Scenario;
use crate::spread::{Spread, go_round};
use crate::window::{Place, pause};
use core_affinity::CoreId;
use shardpoll_bench::clock::Clock;
use shardpoll_bench::{cpu, tools};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

mod bare;
mod ours;
mod tokios;

/// A letter in its box, as a channel takes it; ours makes its own.
type Job = Box<dyn FnOnce() + Send>;

/// Letters that may wait.
const ROOM: usize = 4096;

/// Letters of a busy window.
const BUSY: u64 = 400_000;

/// Letters to a sleeper in one window, and how long it is left alone before each.
const SLEEPS: usize = 100;
const SLEEP: Duration = Duration::from_micros(300);

/// One letter: what it does when it is read.
enum Letter {
    Count(Arc<AtomicU64>),
    /// Says when it arrived.
    Time(Arc<AtomicU64>, Clock),
}

impl Letter {
    fn arrive(self) {
        match self {
            Self::Count(done) => drop(done.fetch_add(1, Ordering::Relaxed)),
            Self::Time(arrived, clock) => arrived.store(clock.nanos(), Ordering::Release),
        }
    }
}

/// A thread that reads letters, and how it is reached.
trait Line {
    /// Tries again while there is no room.
    fn post(&self, letter: Letter);
    fn end(self: Box<Self>) -> Result<(), Failure>;
}

/// What one window gave: nanoseconds.
#[derive(Clone, Copy, Debug)]
struct Window {
    /// Of time, for each letter of a busy loop.
    busy: f64,
    /// Of processor time, of both threads, for each letter of a busy loop.
    cpu: f64,
    /// Until a sleeper has begun with the letter: the median.
    wake: f64,
}

/// One of them.
type Value = fn(&Window) -> f64;

pub(crate) fn measure(place: Place, asked: &Cli) -> Result<Vec<Row>, Failure> {
    let cpu = place.server_cpu;
    let mut lines: [(Peer, Box<dyn Line>); 3] = [
        (Peer::Shardpoll, ours::start(cpu)?),
        (Peer::Tokio, tokios::start(cpu)?),
        (Peer::Bare, bare::start(cpu)?),
    ];
    core_affinity::set_for_current(CoreId { id: place.client_cpu });
    let windows = go_round(&mut lines, asked.rounds, |(_, line)| window(&**line))?;
    let windows = <[_; 3]>::try_from(windows).expect("as many as lines");
    for (_, line) in lines {
        line.end()?;
    }
    let peers = [Peer::Shardpoll, Peer::Tokio, Peer::Bare];
    let kinds: [(&'static str, Value); 3] = [
        ("busy loop, each letter", |window| window.busy),
        ("the same, processors", |window| window.cpu),
        ("wake from sleep", |window| window.wake),
    ];
    let mut rows = Vec::new();
    for (what, value) in kinds {
        for (peer, own) in peers.into_iter().zip(&windows) {
            rows.push(row(what, peer, own, &windows, value));
        }
    }
    Ok(rows)
}

fn row(
    what: &'static str,
    peer: Peer,
    own: &[Window],
    [_, tokio, bare]: &[Vec<Window>; 3],
    value: Value,
) -> Row {
    let over = |base: &[Window]| {
        let ratios = own.iter().zip(base).map(|(own, base)| value(own) / value(base));
        Spread::of(ratios.collect())
    };
    let (to_tokio, to_bare) = (over(tokio), over(bare));
    // Processor time is told beside; the goals are for what a letter takes.
    let judged = peer == Peer::Shardpoll && what != "the same, processors";
    let met = to_tokio.median <= 1.0 && to_bare.median <= 1.25;
    Row {
        what,
        value: Spread::of(own.iter().map(value).collect()),
        ratio: Some(Ratio { of: "tokio", spread: to_tokio }),
        goal: judged.then_some(("ratio (1.25 to the bare channel)", 1.0, met)),
        detail: format!("{:.3} x the bare channel", to_bare.median),
        rounds: own.len(),
        ..Row::new(Scenario::Letters, Candidate::plain(peer))
    }
}

fn window(line: &dyn Line) -> Result<Window, Failure> {
    let clock = Clock::start();
    let spent = || cpu::own_time().map_err(Failure::io("processor time"));
    let done = Arc::new(AtomicU64::new(0));
    pause(SLEEP);
    let (before, began) = (spent()?, clock.nanos());
    for _ in 0..BUSY {
        line.post(Letter::Count(Arc::clone(&done)));
    }
    while done.load(Ordering::Relaxed) < BUSY {
        std::hint::spin_loop();
    }
    let busy = (clock.nanos() - began) as f64 / BUSY as f64;
    pause(SLEEP);
    let cpu = (spent()? - before).as_nanos() as f64 / BUSY as f64;
    let mut wakes = Vec::with_capacity(SLEEPS);
    for _ in 0..SLEEPS {
        pause(SLEEP);
        let arrived = Arc::new(AtomicU64::new(0));
        let letter = Letter::Time(Arc::clone(&arrived), clock);
        let began = clock.nanos();
        line.post(letter);
        while arrived.load(Ordering::Acquire) == 0 {
            std::hint::spin_loop();
        }
        wakes.push((arrived.load(Ordering::Acquire) - began) as f64);
    }
    Ok(Window { busy, cpu, wake: Spread::of(wakes).median })
}

/// Runs `body` on a thread of its own on this CPU; it says when it is ready.
fn on_cpu(name: &str, cpu: usize, body: impl FnOnce() + Send + 'static) -> Result<(), Failure> {
    let body = move || {
        core_affinity::set_for_current(CoreId { id: cpu });
        body();
    };
    tools::thread(name, body).map_err(Failure::io("cannot start a thread"))
}
