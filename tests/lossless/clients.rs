//! Clients that connect at full rate, and count what became of each connection.
//!
//! Never: counts one as lost that was refused, or whose client did not believe it established.

use socket2::SockRef;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

const THREADS: usize = 8;

/// Connections that a thread opens before it wants the first answer.
const BATCH: usize = 50;

const PATIENCE: Duration = Duration::from_secs(30);

/// What became of them.
#[derive(Default)]
pub(crate) struct Tally {
    pub(crate) served: u64,
    pub(crate) refused: u64,
    pub(crate) lost: u64,
    /// Why the first was lost.
    pub(crate) error: Option<String>,
}

#[derive(Default)]
struct Shared {
    /// Where somebody listens now.
    addr: Mutex<Option<SocketAddr>>,
    /// Not begun yet, and not over yet.
    left: AtomicU64,
    unfinished: AtomicU64,
    over: AtomicBool,
    tally: Mutex<Tally>,
}

/// Threads of clients, and what they have seen.
pub(crate) struct Clients {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

impl Clients {
    /// They wait until they are told where to connect.
    pub(crate) fn start(connections: u64) -> Self {
        let shared = Arc::new(Shared {
            left: connections.into(),
            unfinished: connections.into(),
            ..Shared::default()
        });
        let thread = |_| {
            let shared = Arc::clone(&shared);
            std::thread::spawn(move || shared.work())
        };
        let threads = (0..THREADS).map(thread).collect();
        Self { shared, threads }
    }

    /// Who connects from now on connects here.
    pub(crate) fn go_to(&self, addr: SocketAddr) {
        *self.shared.addr.lock().expect("no client panics") = Some(addr);
    }

    /// Whether so many connections are over as were asked for.
    pub(crate) fn are_done(&self) -> bool {
        self.shared.unfinished.load(Ordering::Relaxed) == 0
    }

    /// Waits for them, which are done or stop.
    pub(crate) fn finish(self) -> Tally {
        self.shared.over.store(true, Ordering::Relaxed);
        for thread in self.threads {
            thread.join().expect("no client panics");
        }
        std::mem::take(&mut *self.shared.tally.lock().expect("no client panics"))
    }
}

impl Shared {
    fn work(&self) {
        loop {
            let take = |left: u64| Some(left.saturating_sub(BATCH as u64));
            let left = self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take);
            let count = left.map_or(0, |left| left.min(BATCH as u64));
            if count == 0 || self.over.load(Ordering::Relaxed) {
                return;
            }
            self.batch(count);
        }
    }

    fn batch(&self, count: u64) {
        let mut streams: Vec<_> = (0..count).filter_map(|_| self.connect()).collect();
        let mut outcomes: Vec<io::Result<()>> = streams.iter_mut().map(ask).collect();
        for (stream, outcome) in streams.iter_mut().zip(&mut outcomes) {
            if outcome.is_ok() {
                *outcome = hear(stream);
            }
        }
        self.unfinished.fetch_sub(count, Ordering::Relaxed);
        let mut tally = self.tally.lock().expect("no client panics");
        for outcome in outcomes {
            match outcome {
                Ok(()) => tally.served += 1,
                Err(error) => {
                    tally.lost += 1;
                    tally.error.get_or_insert_with(|| error.to_string());
                }
            }
        }
    }

    /// Connects to whoever listens; `None` when all is over before.
    fn connect(&self) -> Option<TcpStream> {
        while !self.over.load(Ordering::Relaxed) {
            let addr = *self.addr.lock().expect("no client panics");
            let Some(addr) = addr else {
                std::thread::yield_now();
                continue;
            };
            match TcpStream::connect(addr) {
                Ok(stream) => return Some(stream),
                Err(error) => {
                    let refused = error.kind() == io::ErrorKind::ConnectionRefused;
                    self.tally.lock().expect("no client panics").refused += u64::from(refused);
                }
            }
        }
        None
    }
}

fn ask(stream: &mut TcpStream) -> io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(b"?\n")
}

fn hear(stream: &mut TcpStream) -> io::Result<()> {
    let mut answer = [0; 2];
    stream.read_exact(&mut answer)?;
    // By a reset, which leaves no port in TIME_WAIT: there are fewer than connections to be made.
    SockRef::from(&*stream).set_linger(Some(Duration::ZERO))?;
    if answer == *b"?\n" { Ok(()) } else { Err(io::Error::other("another answer")) }
}
