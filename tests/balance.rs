//! `balance [--trials N] [--check]`: how evenly connections are spread over shards, policy by
//! policy, and how many of those that come and go are passed on for it.
//!
//! Long-lived connections, one after the other and from eight threads at once: the largest number
//! on a shard by the mean, and how far the largest and the smallest are apart, median and worst of
//! the trials. With `--check` the policy `LeastConnections` must keep its goal in each trial: at
//! most 1 apart, or at most 1.05 times the mean; and pass on at most one short connection in
//! twenty.
//!
//! Exit 0 when the goals are met or not asked for, 1 when one is missed, or for a bad command line.

#![allow(clippy::disallowed_methods, reason = "the outside of an engine has threads and clocks")]

use shardpoll::{Balance, Conn, Engine, Handler, Listen, Pinning};
use shardpoll_tests::program::{self, Outcome};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

const POLICIES: [(&str, Balance); 2] =
    [("kernel", Balance::Kernel), ("least connections", Balance::LeastConnections { slack: 0 })];

/// Shards and connections.
const SETS: [(usize, usize); 2] = [(4, 16), (8, 100)];

/// Clients that connect at the same time.
const THREADS: usize = 8;

const CHURN: Duration = Duration::from_secs(2);

/// At most this much above the mean, or [`APART`].
const MOST_BY_MEAN: f64 = 1.05;
const APART: usize = 1;
/// At most so much of what comes and goes is passed on.
const PASSED: f64 = 0.05;

fn main() -> ExitCode {
    program::run("balance", play)
}

fn play(args: &[&str]) -> Outcome {
    let checks = args.contains(&"--check");
    let rest: Vec<String> =
        args.iter().filter(|arg| **arg != "--check").map(|arg| (*arg).to_owned()).collect();
    let mut trials = None;
    program::numbers(&rest, &mut [("--trials", &mut trials)])?;
    let trials = trials.unwrap_or(20).max(1);
    let mut missed = Vec::new();
    println!(
        "long-lived           shards conns  come      max/mean median worst  apart median worst"
    );
    for (name, balance) in POLICIES {
        for (shards, connections) in SETS {
            for threads in [1, THREADS] {
                let come = if threads == 1 { "in turn" } else { "at once" };
                let mut seen = Vec::new();
                for _ in 0..trials {
                    seen.push(Spread::of(&trial(balance, shards, connections, threads)?));
                }
                let spread = Summary::of(&seen);
                println!("{name:<20} {shards:>6} {connections:>5}  {come:<8} {spread}");
                if name != "kernel" && !seen.iter().all(Spread::is_even) {
                    missed.push(format!("{name}, {shards} x {connections}, {come}"));
                }
            }
        }
    }
    println!("come and go          shards  clients  a second  passed on");
    for (name, balance) in POLICIES {
        for (shards, _) in SETS {
            let (count, passed) = churn(balance, shards)?;
            let rate = count as f64 / CHURN.as_secs_f64();
            let part = passed as f64 / count.max(1) as f64;
            println!("{name:<20} {shards:>6} {THREADS:>8} {rate:>9.0} {:>8.2} %", 100.0 * part);
            if part > PASSED {
                missed.push(format!("{name}, {shards} shards: {:.1} % passed on", 100.0 * part));
            }
        }
    }
    if checks && !missed.is_empty() {
        return Err(format!("goals missed: {}", missed.join("; ")).into());
    }
    Ok(())
}

struct Spread {
    by_mean: f64,
    apart: usize,
}

impl Spread {
    fn of(counts: &[usize]) -> Self {
        let (most, least) = (counts.iter().max(), counts.iter().min());
        let (most, least) = (most.copied().unwrap_or(0), least.copied().unwrap_or(0));
        let mean = counts.iter().sum::<usize>() as f64 / counts.len() as f64;
        Self { by_mean: most as f64 / mean, apart: most - least }
    }

    fn is_even(&self) -> bool {
        self.apart <= APART || self.by_mean <= MOST_BY_MEAN
    }
}

/// Median and worst of some trials.
struct Summary {
    by_mean: (f64, f64),
    apart: (usize, usize),
}

impl Summary {
    fn of(seen: &[Spread]) -> Self {
        let mut by_mean: Vec<_> = seen.iter().map(|spread| spread.by_mean).collect();
        by_mean.sort_by(f64::total_cmp);
        let mut apart: Vec<_> = seen.iter().map(|spread| spread.apart).collect();
        apart.sort_unstable();
        let (middle, last) = (seen.len() / 2, seen.len() - 1);
        Self { by_mean: (by_mean[middle], by_mean[last]), apart: (apart[middle], apart[last]) }
    }
}

impl std::fmt::Display for Summary {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { by_mean: (mean, worst), apart: (apart, furthest) } = self;
        write!(f, "{mean:>15.2} {worst:>5.2} {apart:>13} {furthest:>5}")
    }
}

/// Counts itself on its shard, and answers.
struct Guest(Arc<[AtomicUsize]>);

impl Handler for Guest {
    fn on_connect(&mut self, conn: &mut Conn<'_>) {
        self.0[conn.id().shard()].fetch_add(1, Ordering::Relaxed);
        conn.write(b"!");
    }

    fn on_incoming(&mut self, conn: &mut Conn<'_>, data: &[u8]) {
        conn.write(data);
    }
}

/// An engine that counts its guests.
fn start(balance: Balance, shards: usize) -> Outcome<(Engine, SocketAddr, Arc<[AtomicUsize]>)> {
    let builder = Engine::builder().shards(shards).pinning(Pinning::None).balance(balance);
    let engine = builder.start()?;
    let counts: Arc<[AtomicUsize]> = (0..shards).map(|_| AtomicUsize::new(0)).collect();
    let own = Arc::clone(&counts);
    let at = Listen::on(([127, 0, 0, 1], 0));
    let listener = engine.listen(at, move |_: &_| Guest(Arc::clone(&own)))?;
    let addr = engine.addr(listener).ok_or("it has an address")?;
    Ok((engine, addr, counts))
}

fn end(engine: Engine) -> Outcome {
    engine.quit(Duration::from_secs(10));
    Ok(engine.join().map(drop)?)
}

fn connect(addr: SocketAddr) -> std::io::Result<TcpStream> {
    let mut stream = TcpStream::connect(addr)?;
    stream.read_exact(&mut [0])?;
    Ok(stream)
}

/// How many of so many connections each shard of a new engine has.
fn trial(
    balance: Balance,
    shards: usize,
    connections: usize,
    threads: usize,
) -> Outcome<Vec<usize>> {
    let (engine, addr, counts) = start(balance, shards)?;
    let mut clients = Vec::new();
    for thread in 0..threads {
        let share = connections / threads + usize::from(thread < connections % threads);
        let client = move || (0..share).map(|_| connect(addr)).collect::<Result<Vec<_>, _>>();
        clients.push(std::thread::spawn(client));
    }
    let mut held = Vec::new();
    for client in clients {
        held.push(client.join().map_err(|_| "a client has panicked")??);
    }
    let counts = counts.iter().map(|count| count.load(Ordering::Relaxed)).collect();
    drop(held);
    end(engine)?;
    Ok(counts)
}

/// Clients that connect, say a word, hear it, and go; how many came, and how many were passed on.
fn churn(balance: Balance, shards: usize) -> Outcome<(u64, u64)> {
    let (engine, addr, _counts) = start(balance, shards)?;
    let until = Instant::now() + CHURN;
    let client = move || -> std::io::Result<()> {
        while Instant::now() < until {
            let mut stream = connect(addr)?;
            stream.write_all(b"hello")?;
            stream.read_exact(&mut [0; 5])?;
        }
        Ok(())
    };
    let clients: Vec<_> = (0..THREADS).map(|_| std::thread::spawn(client)).collect();
    for client in clients {
        client.join().map_err(|_| "a client has panicked")??;
    }
    let (mut accepted, mut passed) = (0, 0);
    for shard in 0..shards {
        let (reply, counters) = channel();
        let ask = move |local: &mut shardpoll::Local<'_>| {
            let _gone = reply.send(local.counters());
        };
        engine.remote().run(shard, ask).map_err(|_| "the shard has ended")?;
        let counters = counters.recv()?;
        accepted += counters.accepted;
        passed += counters.passed_on;
    }
    end(engine)?;
    Ok((accepted, passed))
}
