//! Servers whose listeners, shards and processes go away while clients connect.
//!
//! Never: looks at a client; each goes on until the clients are done.

use crate::clients::Clients;
use shardpoll::{
    Conn, DrainPlan, Engine, Handler, Listen, ListenerId, Pinning, Signals, StartError,
};
use shardpoll_reactor::{BindOptions, bind_group};
use shardpoll_tests::program::Outcome;
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

pub(crate) const SHARDS: usize = 4;

const ANY: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);

/// Between two changes, and before the first.
const INTERVAL: Duration = Duration::from_millis(15);

/// How long shards do something else just before a change, so that many wait to be accepted.
const BUSY: Duration = Duration::from_millis(5);

const PATIENCE: Duration = Duration::from_secs(30);

struct Echo;

impl Handler for Echo {
    fn on_incoming(&mut self, conn: &mut Conn<'_>, data: &[u8]) {
        conn.write(data);
    }
}

fn start(shards: usize) -> Result<Engine, StartError> {
    Engine::builder().shards(shards).pinning(Pinning::None).start()
}

fn listen(engine: &Engine, at: Listen) -> Outcome<(ListenerId, SocketAddr)> {
    let id = engine.listen(at, |_| Echo)?;
    Ok((id, engine.addr(id).ok_or("an internet address")?))
}

/// Lets all shards of an engine do something else for a while.
fn keep_busy(engine: &Engine, live: impl Iterator<Item = usize>) -> Outcome {
    let remote = engine.remote();
    for shard in live {
        remote.run(shard, |_| std::thread::sleep(BUSY))?;
    }
    Ok(())
}

fn drain(engine: Engine) -> Outcome {
    engine.drain(DrainPlan::default().accept_for(Duration::ZERO));
    Ok(engine.join().map(drop)?)
}

/// A listener begins, clients go there, and the one before is removed.
pub(crate) fn remove_listeners(clients: &Clients, plain: bool) -> Outcome<usize> {
    let engine = start(SHARDS)?;
    let (mut last, addr) = listen(&engine, Listen::on(ANY))?;
    clients.go_to(addr);
    let mut removed = 0;
    while !clients.are_done() {
        std::thread::sleep(INTERVAL);
        let (id, addr) = listen(&engine, Listen::on(ANY))?;
        keep_busy(&engine, 0..SHARDS)?;
        clients.go_to(addr);
        if plain {
            engine.release_listener(last)?;
        } else {
            engine.close_listener(last);
        }
        (last, removed) = (id, removed + 1);
    }
    drain(engine)?;
    Ok(removed)
}

/// The shards of an engine are retired but for one; then another engine begins.
pub(crate) fn retire_shards(clients: &Clients) -> Outcome<usize> {
    let mut retired = 0;
    let mut before: Option<Engine> = None;
    while !clients.are_done() {
        let engine = start(2 * SHARDS)?;
        let (_, addr) = listen(&engine, Listen::on(ANY))?;
        clients.go_to(addr);
        if let Some(before) = before.take() {
            drain(before)?;
        }
        // In no order of theirs.
        let mut live: Vec<usize> = (0..2 * SHARDS).collect();
        fastrand::shuffle(&mut live);
        while live.len() > 1 && !clients.are_done() {
            std::thread::sleep(INTERVAL);
            keep_busy(&engine, live.iter().copied())?;
            engine.retire(live.pop().unwrap_or_default(), DrainPlan::default())?;
            retired += 1;
        }
        before = Some(engine);
    }
    before.map_or(Ok(()), drain)?;
    Ok(retired)
}

/// As shards without what this library does about it: each has one socket of a group of four, and
/// one after the other closes it.
pub(crate) fn end_engines(clients: &Clients) -> Outcome<usize> {
    let mut ended = 0;
    let mut before: Option<Engine> = None;
    while !clients.are_done() {
        let (sockets, addr) = bind_group(ANY, SHARDS, &BindOptions::default())?;
        let mut shards = Vec::new();
        for socket in sockets {
            let engine = start(1)?;
            let (id, _) = listen(&engine, Listen::inherited(socket))?;
            shards.push((engine, id));
        }
        clients.go_to(addr);
        before.take().map_or(Ok(()), drain)?;
        while shards.len() > 1 && !clients.are_done() {
            std::thread::sleep(INTERVAL);
            let at = fastrand::usize(..shards.len());
            let (engine, id) = shards.remove(at);
            keep_busy(&engine, 0..1)?;
            std::thread::sleep(BUSY / 2);
            engine.release_listener(id)?;
            drain(engine)?;
            ended += 1;
        }
        before = shards.pop().map(|(engine, _)| engine);
        shards.into_iter().try_for_each(|(engine, _)| drain(engine))?;
    }
    before.map_or(Ok(()), drain)?;
    Ok(ended)
}

/// A server that is told by a signal to make room for the next, and closes its sockets plainly.
pub(crate) fn serve_plainly(addr: SocketAddr) -> Outcome {
    let mut signals = Signals::block()?;
    let engine = start(SHARDS)?;
    let (id, addr) = listen(&engine, Listen::on(addr).share(true))?;
    println!("{} listens on {addr}", std::process::id());
    signals.wait()?;
    keep_busy(&engine, 0..SHARDS)?;
    engine.release_listener(id)?;
    drain(engine)
}

/// A process, and the lines of its standard output, to which its successors write too.
struct Server {
    child: Child,
    lines: Receiver<String>,
}

impl Server {
    fn start(verb: &str, addr: SocketAddr) -> Outcome<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args([verb, &addr.to_string()]).stdout(Stdio::piped()).stdin(Stdio::null());
        let mut child = command.spawn()?;
        let output = BufReader::new(child.stdout.take().ok_or("piped")?);
        let (line, lines) = channel();
        std::thread::spawn(move || {
            output.lines().map_while(Result::ok).try_for_each(|text| line.send(text))
        });
        Ok(Self { child, lines })
    }

    /// The next process that listens, and where.
    fn next(&self) -> Outcome<(String, SocketAddr)> {
        loop {
            let line = self.lines.recv_timeout(PATIENCE)?;
            if let Some((pid, addr)) = line.split_once(" listens on ") {
                return Ok((pid.into(), addr.parse()?));
            }
        }
    }
}

fn kill(signal: &str, pid: &str) -> Outcome {
    // The shell's own: the program of that name may be missing.
    let status = Command::new("sh").args(["-c", &format!("kill -{signal} {pid}")]).status()?;
    if status.success() { Ok(()) } else { Err(format!("{pid}: no such process").into()) }
}

/// A process hands its sockets to the next one, again and again.
pub(crate) fn replace_processes(clients: &Clients, plain: bool) -> Outcome<usize> {
    let mut replaced = 0;
    let mut server = Server::start(if plain { "serve-plainly" } else { "serve" }, ANY)?;
    let (mut pid, addr) = server.next()?;
    clients.go_to(addr);
    while !clients.are_done() {
        std::thread::sleep(INTERVAL);
        if plain {
            let next = Server::start("serve-plainly", addr)?;
            let next_pid = next.next()?.0;
            kill("TERM", &pid)?;
            server.child.wait()?;
            (server, pid) = (next, next_pid);
        } else {
            kill("HUP", &pid)?;
            pid = server.next()?.0;
        }
        replaced += 1;
    }
    kill("TERM", &pid)?;
    server.child.wait()?;
    std::io::stdout().flush()?;
    // Those that still serve what they had end by themselves: until then the pipe is open.
    while server.lines.recv_timeout(PATIENCE).is_ok() {}
    Ok(replaced)
}
