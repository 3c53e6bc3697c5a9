//! System calls per echo, counted by strace.
//!
//! Never: counts a call of the client; only the server runs under strace.

use crate::driver::Driver;
use crate::failure::Failure;
use crate::report::{Figure, Held, Section};
use crate::server;
use shardpoll_bench::counted::{self, Calls, HOLD_MICROS, Trace};
use shardpoll_bench::tools::{self, STRACE, Scratch};
use std::collections::BTreeMap;
use std::path::Path;

/// Connections, rounds of the shorter and the longer run, and whether the server is held.
#[derive(Clone, Copy, Debug)]
struct Shape {
    connections: usize,
    rounds: [u64; 2],
    hold: bool,
}

const READY: Shape = Shape { connections: 50, rounds: [20, 220], hold: true };
const ALONE: Shape = Shape { connections: 1, rounds: [100, 2100], hold: false };

pub(crate) fn measure(program: &Path) -> Result<Section, Failure> {
    let scratch = Scratch::new().map_err(Failure::io("a folder for the tools' output"))?;
    let ready = difference(program, &scratch, READY)?;
    let alone = difference(program, &scratch, ALONE)?;
    let per_echo = |row, name, shape: Shape, goal, calls: &Calls| {
        let echoes = shape.echoes();
        let value = calls.total() as f64 / echoes;
        let detail = format!("{}; over {echoes} echoes", calls.per(echoes));
        let held = Some(held(row, calls));
        Figure { name, value, goal: Some(goal), digits: 3, detail, held }
    };
    let control = ready.of("epoll_ctl").abs() + alone.of("epoll_ctl").abs();
    let figures = vec![
        per_echo("syscalls.echo50", "50 connections, all ready at once", READY, 2.03, &ready),
        per_echo("syscalls.echo1", "1 connection", ALONE, 3.02, &alone),
        Figure {
            name: "epoll_ctl in both, in all",
            value: control as f64,
            goal: Some(0.0),
            digits: 0,
            detail: "calls, not calls per echo".into(),
            held: Some(held("syscalls.epoll_ctl", &alone)),
        },
    ];
    let how = format!(
        "the server runs under strace, which counts the calls of all its threads. The figure is \
         the difference of two runs with {} and {} rounds ({} and {} with 1 connection), divided \
         by the echoes between them: starting, accepting and ending are in both. A round is one \
         64-byte message on each connection, then all echoes. For 50 ready at once strace holds \
         the server for {} ms before each wait, while the client sends all 50.",
        READY.rounds[0],
        READY.rounds[1],
        ALONE.rounds[0],
        ALONE.rounds[1],
        HOLD_MICROS / 1000,
    );
    Ok(Section { title: "System calls per 64-byte echo", figures, how })
}

/// Held to a budget on the path that these calls show.
fn held(row: &'static str, calls: &Calls) -> Held {
    let wait = calls.most_frequent_wait().unwrap_or("no wait").into();
    Held { row, path: wait, compiler: None, functions: BTreeMap::new() }
}

impl Shape {
    /// Between the shorter and the longer run.
    fn echoes(self) -> f64 {
        self.connections as f64 * (self.rounds[1] - self.rounds[0]) as f64
    }
}

fn difference(program: &Path, scratch: &Scratch, shape: Shape) -> Result<Calls, Failure> {
    let [few, many] = shape.rounds;
    let fewer = run(program, scratch, shape, few)?;
    Ok(run(program, scratch, shape, many)?.since(&fewer))
}

fn run(program: &Path, scratch: &Scratch, shape: Shape, rounds: u64) -> Result<Calls, Failure> {
    let out = scratch.file("strace");
    let under = counted::strace(&out, Trace { only_waits: false, hold: shape.hold });
    let server = server::start(program, &under, &[])?;
    let mut driver = Driver::new(server.addr);
    driver.grow_to(shape.connections)?;
    driver.rounds(rounds)?;
    server.end()?;
    Ok(Calls::parse(&tools::read(STRACE, &out)?)?)
}
