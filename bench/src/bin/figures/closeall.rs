//! 15,000 connections over two shards, closed at once: how long it takes until each was told, and
//! what the engine reports. The clients are in a process of their own.
//!
//! Never: rests a verdict on the time; that nobody is forgotten is one.

use crate::crowd::Crowd;
use crate::failure::Failure;
use crate::report::{Figure, Section};
use shardpoll::tls::ServerContext;
use shardpoll::{
    CloseReason, Conn, DrainReport, Engine, Handler, Listen, Pinning, raise_descriptor_limit,
};
use shardpoll_bench::clock::Clock;
use shardpoll_bench::tools;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver};
use std::time::Duration;

/// Connections, and the shards they are spread over.
const CONNECTIONS: usize = 15_000;
const SHARDS: usize = 2;

/// Descriptors that a process has beside its connections.
const SPARE: u64 = 100;

/// After which whoever is left is cut: far longer than it takes.
const DEADLINE: Duration = Duration::from_secs(60);

/// Makes sure that this process, and thus the clients', may have all the connections.
pub(crate) fn prepare() -> Result<(), Failure> {
    let needed = CONNECTIONS as u64 + SPARE;
    let limit = raise_descriptor_limit().map_err(Failure::io("descriptor limit"))?;
    if limit < needed {
        return Err(Failure::Descriptors { connections: CONNECTIONS, needed, limit });
    }
    Ok(())
}

pub(crate) fn measure() -> Result<Section, Failure> {
    let figures = vec![figure("plain", false)?, figure("TLS 1.3", true)?];
    let how = format!(
        "an engine with {SHARDS} shards in this process, {CONNECTIONS} idle connections from \
         another one, each of which has had one 64-byte echo; then close_all() and, right behind \
         it, quit(): the time is that of the engine's own threads, on CPUs that the clients use as \
         well, until join() returned. Counted are calls of on_connect without one of \
         on_disconnect; one that is missing ends this program with exit code 1."
    );
    Ok(Section { title: "close_all: connections that were not told of their end", figures, how })
}

fn figure(name: &'static str, tls: bool) -> Result<Figure, Failure> {
    let Closed { told_after, over_after, connected, told, report } = close_all(tls)?;
    let missing = connected.saturating_sub(told);
    let detail = format!(
        "{connected} connections, the last was told after {:.3} s, join() returned after {:.3} s: \
         {report}",
        told_after.as_secs_f64(),
        over_after.as_secs_f64()
    );
    if missing > 0 || connected != CONNECTIONS || told != connected {
        return Err(Failure::Missed(vec![format!("{name}: {told} were told; {detail}")]));
    }
    Ok(Figure { name, value: missing as f64, goal: Some(0.0), digits: 0, detail, held: None })
}

/// How it went.
struct Closed {
    told_after: Duration,
    over_after: Duration,
    connected: usize,
    told: usize,
    report: DrainReport,
}

fn close_all(tls: bool) -> Result<Closed, Failure> {
    let engine = Engine::builder().shards(SHARDS).pinning(Pinning::None).start()?;
    let seen = Arc::new(Seen {
        clock: Clock::start(),
        connected: AtomicUsize::new(0),
        told: AtomicUsize::new(0),
        last: AtomicU64::new(0),
    });
    let mut listen = Listen::on((Ipv4Addr::LOCALHOST, 0));
    if tls {
        listen = listen.tls(certificate()?);
    }
    let own = Arc::clone(&seen);
    let listener = engine.listen(listen, move |_peer| Told(Arc::clone(&own)))?;
    let addr = engine.addr(listener).expect("the listener was just made");
    let clients = Clients::start(addr, tls)?;
    let began = seen.clock.elapsed();
    engine.close_all();
    engine.quit(DEADLINE);
    let report = engine.join()?;
    let over_after = seen.clock.elapsed() - began;
    clients.end()?;
    let last = Duration::from_nanos(seen.last.load(Ordering::Relaxed));
    Ok(Closed {
        told_after: last.saturating_sub(began),
        over_after,
        connected: seen.connected.load(Ordering::Relaxed),
        told: seen.told.load(Ordering::Relaxed),
        report,
    })
}

fn certificate() -> Result<ServerContext, Failure> {
    let no = |error: &dyn std::fmt::Display| Failure::Server {
        why: format!("has no certificate: {error}"),
    };
    let made = rcgen::generate_simple_self_signed(["localhost".into()]).map_err(|e| no(&e))?;
    let (cert, key) = (made.cert.pem(), made.signing_key.serialize_pem());
    ServerContext::from_pem(cert.as_bytes(), key.as_bytes()).map_err(|e| no(&e))
}

/// What the handlers of both shards have seen.
struct Seen {
    clock: Clock,
    connected: AtomicUsize,
    told: AtomicUsize,
    /// When one was told last, in nanoseconds of the clock.
    last: AtomicU64,
}

/// Echoes, and counts.
struct Told(Arc<Seen>);

impl Handler for Told {
    fn on_connect(&mut self, _conn: &mut Conn<'_>) {
        self.0.connected.fetch_add(1, Ordering::Relaxed);
    }

    fn on_incoming(&mut self, conn: &mut Conn<'_>, data: &[u8]) {
        conn.write(data);
    }

    fn on_disconnect(&mut self, _conn: &mut Conn<'_>, _reason: &CloseReason) {
        self.0.told.fetch_add(1, Ordering::Relaxed);
        self.0.last.fetch_max(self.0.clock.nanos(), Ordering::Relaxed);
    }
}

/// How long the clients may take to connect, and to end.
const PATIENCE: Duration = Duration::from_secs(300);

/// What the clients' process says when all are connected.
const CONNECTED: &str = "connected";

/// The process of the clients: this program, under a word of its own. Dropping it ends it.
struct Clients {
    child: Child,
    /// What it says; closed when it has ended.
    lines: Receiver<String>,
}

impl Clients {
    /// Starts it, and waits until all are connected.
    fn start(addr: SocketAddr, tls: bool) -> Result<Self, Failure> {
        let own = std::env::current_exe().map_err(Failure::io("this program's own path"))?;
        let mut command = Command::new(own);
        command.args(["closeall", "--clients-of", &addr.to_string()]);
        command.args(tls.then_some("--tls"));
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().map_err(Failure::io("the clients' process"))?;
        let stdout = child.stdout.take().expect("it was asked to be a pipe");
        let (sender, lines) = mpsc::channel();
        let clients = Self { child, lines };
        tools::thread("clients' output", move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                let _gone = sender.send(line);
            }
        })
        .map_err(Failure::io("a thread"))?;
        match clients.lines.recv_timeout(PATIENCE) {
            Ok(line) if line == CONNECTED => Ok(clients),
            other => Err(Failure::Echo { why: format!("the clients said {other:?}") }),
        }
    }

    /// Ends it, and looks how it ended.
    fn end(mut self) -> Result<(), Failure> {
        drop(self.child.stdin.take());
        let said = self.lines.recv_timeout(PATIENCE);
        let status = self.child.wait().map_err(Failure::io("the clients' process"))?;
        if status.success() && said.is_err() {
            return Ok(());
        }
        Err(Failure::Echo { why: format!("the clients ended with {status}, {said:?}") })
    }
}

impl Drop for Clients {
    fn drop(&mut self) {
        // Both do nothing when it has ended and was waited for.
        let _ended = self.child.kill();
        let _waited = self.child.wait();
    }
}

/// The clients' process: connects, says so, and stays until its standard input ends.
pub(crate) fn clients(addr: SocketAddr, tls: bool) -> Result<(), Failure> {
    prepare()?;
    let mut crowd = Crowd::start(addr, tls)?;
    crowd.grow_to(CONNECTIONS)?;
    let mut stdout = io::stdout();
    let said = writeln!(stdout, "{CONNECTED}").and_then(|()| stdout.flush());
    said.map_err(Failure::io("standard output"))?;
    let mut ignored = [0; 64];
    while io::stdin().read(&mut ignored).is_ok_and(|count| count > 0) {}
    crowd.leave()
}
