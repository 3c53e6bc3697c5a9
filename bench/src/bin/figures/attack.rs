//! What an attack costs: descriptors used up, connections beyond a limit, peers that never read.
//!
//! The server is `victim`, in a process of its own with limits of its own; the attackers are
//! blocking sockets of this process.
//!
//! Never: makes the server's machine swap: what the kernel keeps for the sockets stays below 1 GiB.

use crate::failure::Failure;
use crate::report::{Figure, Section};
use crate::server;
use shardpoll::raise_descriptor_limit;
use shardpoll_bench::child::Child;
use shardpoll_bench::clock::Clock;
use shardpoll_bench::cpu::process_time;
use shardpoll_bench::memory::{descriptors, peak};
use shardpoll_bench::tools::Scratch;
use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::sleep;
use std::time::Duration;

/// Descriptors of a server that is to run out of them.
const DESCRIPTORS: &str = "128";

/// Who wait when the storm begins, and who come in it.
const WAITING: usize = 500;
const COMING: u32 = 400;
const STORM: Duration = Duration::from_secs(2);

/// How often an accept, and how often a refusal, is timed.
const ACCEPTS: usize = 20;
const REFUSALS: usize = 100;

/// Connections that are turned away.
const TURNED_AWAY: u32 = 5000;

/// Peers that never read, what may be queued for them, and what the process may have in memory.
const DEAF: usize = 10_000;
const QUEUE_CAP: &str = "max_shard_queued_bytes=192m";
const MEMORY_CAP_MIB: f64 = 256.0;

/// After this much silence a peer is not served.
const SILENCE: Duration = Duration::from_millis(500);
const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) fn measure(shardload: &Path) -> Result<Section, Failure> {
    let needed = DEAF as u64 + 100;
    let limit = raise_descriptor_limit().map_err(Failure::io("descriptor limit"))?;
    if limit < needed {
        return Err(Failure::Descriptors { connections: DEAF, needed, limit });
    }
    let program = shardload.with_file_name("victim");
    if !program.is_file() {
        return Err(Failure::NoServer { path: program });
    }
    if let Some(newer) = server::source_newer_than(&program) {
        return Err(Failure::Stale { server: program, newer });
    }
    let [cpu, accept] = starved(&program)?;
    let figures = vec![cpu, accept, refused(&program)?, turned_away(&program)?, deaf(&program)?];
    let how = format!(
        "`victim`, one shard, in a process of its own: with {DESCRIPTORS} descriptors for the \
         first three, with `max_connections=1` and with `{QUEUE_CAP}` for the others. CPU time is \
         that of its threads (schedstat), memory its peak resident set (VmHWM). The attackers are \
         sockets of this process, so that times hold its own delays too: medians are judged. \
         Those who never read are unix sockets, of which the kernel takes 208 KiB each, and each \
         is written up to 384 KiB: what the kernel keeps is not in the figure."
    );
    Ok(Section { title: "Under attack", figures, how })
}

/// Starts it, with so many descriptors if that is asked for.
fn victim(program: &Path, descriptors: Option<&str>, arguments: &[&str]) -> Result<Child, Failure> {
    let mut command = match descriptors {
        None => Command::new(program),
        Some(limit) => {
            let mut shell = Command::new("sh");
            let script = format!("ulimit -n {limit} && exec \"$0\" \"$@\"");
            shell.args(["-c", &script]).arg(program);
            shell
        }
    };
    command.args(arguments);
    Ok(Child::start(command)?)
}

/// One that has connected and said something.
fn caller(to: SocketAddr) -> io::Result<TcpStream> {
    let mut stream = TcpStream::connect_timeout(&to, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(b"!")?;
    Ok(stream)
}

/// Whether it is answered, within this time.
fn is_answered(stream: &mut TcpStream, within: Duration) -> io::Result<bool> {
    stream.set_read_timeout(Some(within))?;
    match stream.read(&mut [0; 1]) {
        Ok(count) => Ok(count == 1),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
        Err(error) => Err(error),
    }
}

/// Connects until the server has no descriptor left: those it serves, and the first who waits.
fn fill(to: SocketAddr) -> io::Result<(Vec<TcpStream>, TcpStream)> {
    let mut served = Vec::new();
    loop {
        let mut stream = caller(to)?;
        if !is_answered(&mut stream, SILENCE)? {
            return Ok((served, stream));
        }
        served.push(stream);
    }
}

/// Out of descriptors: what waiting costs, and how soon one that is free is used.
fn starved(program: &Path) -> Result<[Figure; 2], Failure> {
    let went_wrong = Failure::io("a peer of a server without descriptors");
    let server = victim(program, Some(DESCRIPTORS), &[])?;
    let (mut served, first) = fill(server.addr).map_err(&went_wrong)?;
    let mut waiting = VecDeque::from([first]);
    let cpu_time = || process_time(server.pid).map_err(Failure::io("the server's CPU time"));
    while waiting.len() < WAITING {
        waiting.push_back(caller(server.addr).map_err(&went_wrong)?);
    }
    let (before, clock) = (cpu_time()?, Clock::start());
    for _ in 0..COMING {
        waiting.push_back(caller(server.addr).map_err(&went_wrong)?);
        #[expect(clippy::disallowed_methods, reason = "a storm of this length has this pace")]
        sleep(STORM / COMING);
    }
    let (spent, took) = (cpu_time()? - before, clock.elapsed());
    let percent = 100.0 * spent.as_secs_f64() / took.as_secs_f64();
    let detail = format!(
        "{spent:?} of {took:?}; {} served, {WAITING} waited at first, {COMING} came meanwhile",
        served.len()
    );
    let name = "% of a CPU while descriptors are used up";
    let cpu = Figure { name, value: percent, goal: Some(1.0), digits: 2, detail, held: None };
    let mut times = Vec::new();
    for _ in 0..ACCEPTS {
        let clock = Clock::start();
        drop(served.pop());
        // The kernel's queue is in the order of coming.
        let mut next = waiting.pop_front().expect("more wait than are accepted here");
        if !is_answered(&mut next, PATIENCE).map_err(&went_wrong)? {
            return Err(Failure::Echo { why: "a descriptor was free, nobody was served".into() });
        }
        times.push(clock.elapsed());
        served.push(next);
    }
    let accept = timed("ms from a free descriptor to an answer", times);
    drop((served, waiting));
    server.end()?;
    Ok([cpu, accept])
}

/// With a descriptor in reserve, those who come learn at once that they are not served.
fn refused(program: &Path) -> Result<Figure, Failure> {
    let went_wrong = Failure::io("a peer that is refused");
    let server = victim(program, Some(DESCRIPTORS), &["when_exhausted=refuse"])?;
    let mut served = Vec::new();
    loop {
        let mut stream = caller(server.addr).map_err(&went_wrong)?;
        // One that has said something and is refused sees a reset.
        match is_answered(&mut stream, PATIENCE) {
            Ok(true) => served.push(stream),
            _ => break,
        }
    }
    let mut times = Vec::new();
    for _ in 0..REFUSALS {
        let mut stream = TcpStream::connect_timeout(&server.addr, PATIENCE).map_err(&went_wrong)?;
        let clock = Clock::start();
        let answered = is_answered(&mut stream, PATIENCE).map_err(&went_wrong)?;
        times.push(clock.elapsed());
        if answered {
            return Err(Failure::Echo { why: "one was answered who had not asked".into() });
        }
    }
    let figure = timed("ms until a peer is refused", times);
    drop(served);
    server.end()?;
    Ok(figure)
}

/// The median of some times, in milliseconds.
fn timed(name: &'static str, mut times: Vec<Duration>) -> Figure {
    times.sort_unstable();
    let millis = |time: Duration| time.as_secs_f64() * 1000.0;
    let [median, slowest] = [times[times.len() / 2], times[times.len() - 1]].map(millis);
    let detail = format!("the median of {}; the slowest {slowest:.2} ms", times.len());
    Figure { name, value: median, goal: Some(100.0), digits: 2, detail, held: None }
}

/// Beyond a limit of connections: what each costs that is turned away.
fn turned_away(program: &Path) -> Result<Figure, Failure> {
    let went_wrong = Failure::io("a peer that is turned away");
    let server = victim(program, None, &["max_connections=1"])?;
    let mut only = caller(server.addr).map_err(&went_wrong)?;
    let cpu_time = || process_time(server.pid).map_err(Failure::io("the server's CPU time"));
    let mut answered = is_answered(&mut only, PATIENCE).map_err(&went_wrong)?;
    let before = cpu_time()?;
    for _ in 0..TURNED_AWAY {
        let mut stream = TcpStream::connect_timeout(&server.addr, PATIENCE).map_err(&went_wrong)?;
        answered &= !is_answered(&mut stream, PATIENCE).map_err(&went_wrong)?;
    }
    let spent = cpu_time()? - before;
    only.write_all(b"!").map_err(&went_wrong)?;
    answered &= is_answered(&mut only, PATIENCE).map_err(&went_wrong)?;
    if !answered {
        return Err(Failure::Echo {
            why: "one was served who should not, or not who should".into(),
        });
    }
    server.end()?;
    let value = spent.as_secs_f64() * 1e6 / f64::from(TURNED_AWAY);
    let detail = format!("{TURNED_AWAY} of them, the kernel's part included; the one was served");
    let name = "CPU us per connection turned away";
    Ok(Figure { name, value, goal: None, digits: 1, detail, held: None })
}

/// Peers that never read: the peak of the server's memory.
fn deaf(program: &Path) -> Result<Figure, Failure> {
    let went_wrong = Failure::io("a peer that never reads");
    let scratch = Scratch::new().map_err(Failure::io("a folder for a unix socket"))?;
    let path: PathBuf = scratch.file("flood");
    let no_text = || Failure::Server { why: "has a path that is no text".into() };
    let text = path.to_str().ok_or_else(no_text)?;
    let server = victim(program, None, &["--flood", text, QUEUE_CAP])?;
    let mut deaf = Vec::new();
    while deaf.len() < DEAF {
        deaf.push(UnixStream::connect(&path).map_err(&went_wrong)?);
    }
    // All of them have been accepted when their number stands still.
    let mut honest = caller(server.addr).map_err(&went_wrong)?;
    let mut open = [0, 1, 2];
    while open.iter().any(|count| *count != open[0]) {
        if !is_answered(&mut honest, PATIENCE).map_err(&went_wrong)? {
            return Err(Failure::Echo { why: "nobody else is served meanwhile".into() });
        }
        honest.write_all(b"!").map_err(&went_wrong)?;
        #[expect(clippy::disallowed_methods, reason = "nothing tells what another process opens")]
        sleep(Duration::from_millis(100));
        let now = descriptors(server.pid).map_err(Failure::io("the server's descriptors"))?;
        open = [open[1], open[2], now];
    }
    let bytes = peak(server.pid).map_err(Failure::io("the server's memory"))?;
    server.end()?;
    let value = bytes as f64 / f64::from(1 << 20);
    let detail = format!("{} descriptors open at the end; {QUEUE_CAP}", open[0]);
    let name = "MiB of memory with 10,000 who never read";
    Ok(Figure { name, value, goal: Some(MEMORY_CAP_MIB), digits: 1, detail, held: None })
}
