//! User-space instructions of the server per echo and per connection, counted by callgrind.
//!
//! Callgrind runs the server some 50 times slower than the machine does, so a message that is sent
//! finds it waiting, and a turn of its loop would serve a handful of 50: how many depends on the
//! speed of the client. To count the same thing every time, strace holds the server before each
//! wait, as it does for the system calls, and counts the waits, so that the report can say how many
//! events a turn really had.
//!
//! Never: counts what the kernel does, or a cache miss.

use crate::counting::{Cost, Count, Counting};
use crate::crowd::Crowd;
use crate::driver::{self, Driver};
use crate::failure::Failure;
use crate::report::{Figure, Held, Section};
use crate::server;
use shardpoll_bench::counted::HOLD_MICROS;
use std::path::Path;

/// What the server is given to do, so many times.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Load {
    /// Lockstep rounds on 50 connections, all 50 messages ready at once.
    Ready,
    /// The same under TLS.
    Tls,
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
            Self::Tls => [20, 220],
            Self::Alone => [500, 5500],
            Self::Visits => [100, 1100],
        }
    }

    /// How many echoes or connections are one time.
    fn units(self) -> u64 {
        match self {
            Self::Ready | Self::Tls => READY_CONNECTIONS as u64,
            Self::Alone | Self::Visits => 1,
        }
    }
}

const READY_CONNECTIONS: usize = 50;

pub(crate) fn measure(program: &Path) -> Result<Section, Failure> {
    let cost = |load, read_timeout| cost(program, load, read_timeout);
    let on = cost(Load::Ready, "60s")?;
    let off = cost(Load::Ready, "off")?;
    let alone = cost(Load::Alone, "60s")?;
    let visit = cost(Load::Visits, "60s")?;
    let tls = cost(Load::Tls, "60s")?;
    let told = |name, goal, cost: &Cost, detail, held: Option<Held>| Figure {
        name,
        value: cost.instructions,
        goal,
        digits: 1,
        detail,
        held,
    };
    let events =
        |cost: &Cost| format!("{:.1} events a turn; over {} echoes", 1.0 / cost.turns, cost.units);
    let visits = format!("{:.1} turns each; over {} connections", visit.turns, visit.units);
    let sealed = format!("{}; ring, without VAES and AVX-512", events(&tls));
    let held = |cost: &Cost, row| Some(cost.held(row));
    let figures = vec![
        told(
            "echo, 50 ready at once, read timeout 60s",
            Some(250.0),
            &on,
            events(&on),
            held(&on, "echo50"),
        ),
        told("echo, 50 ready at once, read timeout off", None, &off, events(&off), None),
        Figure {
            name: "what the read timeout costs of it",
            value: on.instructions - off.instructions,
            goal: Some(30.0),
            digits: 1,
            detail: "the difference of the two above".into(),
            held: None,
        },
        told(
            "echo, 1 connection, read timeout 60s",
            None,
            &alone,
            events(&alone),
            held(&alone, "echo1"),
        ),
        told(
            "connection: connect, one echo, close",
            None,
            &visit,
            visits,
            held(&visit, "connection"),
        ),
        told("TLS echo, 50 ready at once", None, &tls, sealed, held(&tls, "tlsecho50")),
    ];
    Ok(Section { title: "User-space instructions", figures, how: how() })
}

fn how() -> String {
    let [few, many] = Load::Ready.times();
    format!(
        "the server runs under callgrind, which counts the instructions of all its threads outside \
         the kernel. The figure is the difference of two runs with {few} and {many} rounds of 50 \
         64-byte messages, divided by the echoes between them. strace, around callgrind, holds the \
         server for {} ms before each wait, while the client sends all 50, and counts the waits: \
         that is where the events a turn come from. The rows with 1 connection are not held. \
         Where valgrind has no epoll_pwait2 (3.19), the server falls back on epoll_pwait; and it \
         knows neither VAES nor AVX-512, so the ciphers of the TLS row take slower ways than in \
         truth.",
        HOLD_MICROS / 1000
    )
}

fn cost(program: &Path, load: Load, read_timeout: &str) -> Result<Cost, Failure> {
    let counting = Counting::new()?;
    let [few, many] = load.times();
    let fewer = run(program, &counting, load, few, read_timeout)?;
    let more = run(program, &counting, load, many, read_timeout)?;
    Ok(Cost::between(&fewer, &more, (many - few) * load.units()))
}

fn run(
    program: &Path,
    counting: &Counting,
    load: Load,
    times: u64,
    read_timeout: &str,
) -> Result<Count, Failure> {
    let under = counting.tools(matches!(load, Load::Ready | Load::Tls));
    let mut options = vec!["--read-timeout", read_timeout];
    options.extend((load == Load::Tls).then_some("--tls"));
    let server = server::start(program, &under, &options)?;
    let mut driver = Driver::new(server.addr);
    match load {
        Load::Ready => {
            driver.grow_to(READY_CONNECTIONS)?;
            driver.rounds(times)?;
        }
        Load::Tls => {
            let mut crowd = Crowd::start(server.addr, true)?;
            crowd.grow_to(READY_CONNECTIONS)?;
            crowd.rounds(times)?;
            crowd.end()?;
        }
        Load::Alone => {
            driver.grow_to(1)?;
            driver.rounds(times)?;
        }
        Load::Visits => driver::visits(server.addr, times)?,
    }
    server.end()?;
    counting.read(true)
}
