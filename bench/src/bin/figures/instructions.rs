//! User-space instructions per echo and per connection, counted by callgrind.
//!
//! Callgrind runs the server some 50 times slower than the machine does, so a message that is sent
//! finds it waiting, and a turn of its loop would serve a handful of 50: how many depends on the
//! speed of the client. To count the same thing every time, strace holds the server before each
//! wait, as it does for the system calls, and counts the waits, so that the report can say how many
//! events a turn really had.
//!
//! Never: counts what the kernel does, or a cache miss.

use crate::driver::{self, Driver};
use crate::failure::Failure;
use crate::report::{Figure, Section};
use crate::server;
use shardpoll_bench::counted::{self, Calls, HOLD_MICROS, Trace};
use shardpoll_bench::tools::{self, STRACE, Scratch, VALGRIND};
use std::path::Path;

const ON: [&str; 2] = ["--read-timeout", "60s"];
const OFF: [&str; 2] = ["--read-timeout", "off"];

/// What the server is given to do, so many times.
#[derive(Clone, Copy, Debug)]
enum Load {
    /// Lockstep rounds on 50 connections, all 50 messages ready at once.
    Ready,
    /// One message after the other on one connection.
    Alone,
    /// Connect, one echo, close, one after the other.
    Visits,
}

impl Load {
    /// How many times in the shorter and the longer run.
    fn times(self) -> [u64; 2] {
        match self {
            Self::Ready => [40, 440],
            Self::Alone => [500, 5500],
            Self::Visits => [100, 1100],
        }
    }

    /// How many echoes or connections are one time.
    fn units(self) -> u64 {
        match self {
            Self::Ready => READY_CONNECTIONS as u64,
            Self::Alone | Self::Visits => 1,
        }
    }
}

const READY_CONNECTIONS: usize = 50;

/// What one unit costs: an echo, or a connection.
#[derive(Clone, Copy, Debug)]
struct Cost {
    instructions: f64,
    /// Turns of the loop.
    turns: f64,
    /// How many units it is the average of.
    units: f64,
}

pub(crate) fn measure(program: &Path) -> Result<Section, Failure> {
    let scratch = Scratch::new().map_err(Failure::io("a folder for the tools' output"))?;
    let cost = |load, options| cost(program, &scratch, load, options);
    let on = cost(Load::Ready, ON)?;
    let off = cost(Load::Ready, OFF)?;
    let alone = cost(Load::Alone, ON)?;
    let visit = cost(Load::Visits, ON)?;
    let told = |name, goal, cost: Cost, detail| Figure {
        name,
        value: cost.instructions,
        goal,
        digits: 1,
        detail,
    };
    let events =
        |cost: Cost| format!("{:.1} events a turn; over {} echoes", 1.0 / cost.turns, cost.units);
    let visits = format!("{:.1} turns each; over {} connections", visit.turns, visit.units);
    let figures = vec![
        told("echo, 50 ready at once, read timeout 60s", Some(300.0), on, events(on)),
        told("echo, 50 ready at once, read timeout off", None, off, events(off)),
        Figure {
            name: "what the read timeout costs of it",
            value: on.instructions - off.instructions,
            goal: Some(30.0),
            digits: 1,
            detail: "the difference of the two above".into(),
        },
        told("echo, 1 connection, read timeout 60s", None, alone, events(alone)),
        told("connection: connect, one echo, close", None, visit, visits),
    ];
    let [few, many] = Load::Ready.times();
    let how = format!(
        "the server runs under callgrind, which counts the instructions of all its threads outside \
         the kernel. The figure is the difference of two runs with {few} and {many} rounds of 50 \
         64-byte messages, divided by the echoes between them. strace, around callgrind, holds the \
         server for {} ms before each wait, while the client sends all 50, and counts the waits: \
         that is where the events a turn come from. The rows with 1 connection are not held. \
         Where valgrind has no epoll_pwait2 (3.19), the server falls back on epoll_wait.",
        HOLD_MICROS / 1000
    );
    Ok(Section { title: "User-space instructions", figures, how })
}

fn cost(
    program: &Path,
    scratch: &Scratch,
    load: Load,
    options: [&str; 2],
) -> Result<Cost, Failure> {
    let [few, many] = load.times();
    let (less, fewer) = run(program, scratch, load, few, options)?;
    let (more, waits) = run(program, scratch, load, many, options)?;
    let units = ((many - few) * load.units()) as f64;
    let turns = waits.since(&fewer).total() as f64 / units;
    Ok(Cost { instructions: (more - less) as f64 / units, turns, units })
}

fn run(
    program: &Path,
    scratch: &Scratch,
    load: Load,
    times: u64,
    options: [&str; 2],
) -> Result<(i64, Calls), Failure> {
    let (counts, waits) = (scratch.file("callgrind"), scratch.file("waits"));
    let hold = matches!(load, Load::Ready);
    let mut under = counted::strace(&waits, Trace { only_waits: true, hold });
    under.extend(counted::callgrind(&counts, &scratch.file("valgrind.log")));
    let server = server::start(program, &under, &options)?;
    let mut driver = Driver::new(server.addr);
    match load {
        Load::Ready => {
            driver.grow_to(READY_CONNECTIONS)?;
            driver.rounds(times)?;
        }
        Load::Alone => {
            driver.grow_to(1)?;
            driver.rounds(times)?;
        }
        Load::Visits => driver::visits(server.addr, times)?,
    }
    server.end()?;
    let counted = counted::instructions(&tools::read(VALGRIND, &counts)?)?;
    Ok((counted, Calls::parse(&tools::read(STRACE, &waits)?)?))
}
