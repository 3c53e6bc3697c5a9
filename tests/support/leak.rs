//! Clients that send and close in one go, and what they leave behind (the bit *ended*).
//!
//! Never: judges; it counts.

use crate::PATIENCE;
use shardpoll::{Conn, Engine, Handler, Listen, Pinning};
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

const THREADS: usize = 4;
const SHARDS: usize = 2;

/// What was counted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Report {
    /// Clients that sent and closed.
    pub clients: usize,
    /// Connections whose handler was told of the end and dropped.
    pub ended: usize,
    /// Bytes the handlers were given.
    pub bytes: usize,
    /// Open descriptors of the process when the engine listened.
    pub descriptors_before: usize,
    /// Open descriptors of the process afterwards.
    pub descriptors_after: usize,
    /// Lines that are left, listeners not counted.
    pub lines_left: usize,
}

impl Report {
    /// Whether nothing was left behind, and nothing was lost.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.lines_left == 0
            && self.descriptors_after == self.descriptors_before
            && self.ended == self.clients
            && self.bytes == self.clients * HELLO.len()
    }
}

const HELLO: &[u8] = b"hello and good bye";

struct Counter {
    ended: Arc<AtomicUsize>,
    bytes: Arc<AtomicUsize>,
}

impl Handler for Counter {
    fn on_incoming(&mut self, _: &mut Conn<'_>, data: &[u8]) {
        self.bytes.fetch_add(data.len(), Ordering::Relaxed);
    }
}

impl Drop for Counter {
    fn drop(&mut self) {
        self.ended.fetch_add(1, Ordering::Relaxed);
    }
}

fn descriptors() -> usize {
    let entries = std::fs::read_dir("/proc/self/fd").expect("proc is mounted");
    // One of them is the directory's own.
    entries.count() - 1
}

fn live(engine: &Engine) -> usize {
    let remote = engine.remote();
    let on = |shard| {
        let (reply, count) = channel();
        let task = move |local: &mut shardpoll::Local<'_>| {
            let _gone = reply.send(local.live());
        };
        remote.run(shard, task).expect("the shard is there");
        count.recv_timeout(PATIENCE).expect("an answer in time")
    };
    // One listener each.
    (0..SHARDS).map(on).sum::<usize>() - SHARDS
}

fn swarm(port: u16, first: usize, clients: usize) {
    for client in (first..clients).step_by(THREADS) {
        // Many addresses of the loopback net, so that ports in TIME_WAIT do not run out.
        let host = u8::try_from(client % 64 + 1).expect("below 65");
        let to = SocketAddr::from((Ipv4Addr::new(127, 0, 1, host), port));
        let mut stream = TcpStream::connect_timeout(&to, PATIENCE).expect("the engine listens");
        stream.write_all(HELLO).expect("room in an empty socket buffer");
    }
}

/// Lets so many clients connect, send, and close.
///
/// # Panics
/// When the engine does not start or a client cannot connect.
#[must_use]
pub fn run(clients: usize) -> Report {
    let engine = Engine::builder().shards(SHARDS).pinning(Pinning::None).start();
    let engine = engine.expect("an engine starts");
    let ended = Arc::new(AtomicUsize::new(0));
    let bytes = Arc::new(AtomicUsize::new(0));
    let (told, got) = (Arc::clone(&ended), Arc::clone(&bytes));
    let accept = move |_: &_| Counter { ended: Arc::clone(&told), bytes: Arc::clone(&got) };
    let id = engine.listen(Listen::on(([0, 0, 0, 0], 0)), accept).expect("a free port");
    let port = engine.addr(id).expect("added a moment ago").port();
    let descriptors_before = descriptors();
    let threads: Vec<_> =
        (0..THREADS).map(|first| std::thread::spawn(move || swarm(port, first, clients))).collect();
    for thread in threads {
        thread.join().expect("a client's own panic is reported by it");
    }
    // As long as something still ends, more may.
    let (mut lines_left, mut since) = (usize::MAX, Instant::now());
    while lines_left > 0 || ended.load(Ordering::Relaxed) < clients {
        let now_left = live(&engine);
        if now_left < lines_left {
            (lines_left, since) = (now_left, Instant::now());
        } else if since.elapsed() > PATIENCE {
            break;
        }
    }
    let report = Report {
        clients,
        ended: ended.load(Ordering::Relaxed),
        bytes: bytes.load(Ordering::Relaxed),
        descriptors_before,
        descriptors_after: descriptors(),
        lines_left,
    };
    engine.quit(Duration::ZERO);
    engine.join().expect("no shard has failed");
    report
}
