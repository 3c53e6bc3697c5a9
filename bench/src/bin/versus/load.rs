//! The clients' own process: one shard of this engine, the same for every server, that does what
//! `clients` orders.
//!
//! Every byte that comes back is compared with what was sent.
//!
//! Never: leaves a message in flight when a window ends.
//!
//! Invariants:
//! 1. `in_flight` is changed by the shard alone, and is 0 between windows.
//! 2. [`News::Quiet`] comes once for each time something was begun.

use crate::cli;
use crate::clients::{Answer, Handshake, Order};
use crate::credentials;
use crate::failure::Failure;
use crate::hearer::Hearer;
use crate::line::Line;
use crate::scenario::Lines;
use crate::serve::ready;
use crate::visit::Visit;
use shardpoll::tls::ClientContext;
use shardpoll::tls::rustls::pki_types::ServerName;
use shardpoll::{
    Config, ConnId, Connect, Engine, Handler, Local, Pinning, Refused, raise_descriptor_limit,
};
use shardpoll_bench::clock::Clock;
use std::io::{self, BufRead, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{self, Receiver, Sender};
use std::time::Duration;

/// Connections established at a time: well below what listeners queue.
const DIALS_AT_A_TIME: usize = 50;

/// How long anything may take that is not a window.
const PATIENCE: Duration = Duration::from_secs(60);

/// What the shard tells the main thread.
#[derive(Debug)]
pub(crate) enum News {
    /// A lasting connection is up.
    Up(ConnId),
    /// Nothing is in flight any more.
    Quiet,
    /// Something was not as it should be; the first such is the end of the run.
    Wrong(String),
}

/// What the connections to one server have in common.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) addr: SocketAddr,
    pub(crate) tls: Option<ClientContext>,
    /// How many more may be begun; the main thread sets it to 0 to end a window.
    left: AtomicU64,
    in_flight: AtomicU64,
    done: AtomicU64,
    tell: Sender<News>,
}

impl Shared {
    pub(crate) fn connect(&self) -> Connect {
        let connect = Connect::to(self.addr);
        match &self.tls {
            None => connect,
            Some(context) => {
                let name = ServerName::try_from(credentials::NAME).expect("it is a name");
                connect.tls(context.clone(), name)
            }
        }
    }

    pub(crate) fn tell(&self, news: News) {
        // A main thread that no longer listens has given up already.
        let _gone = self.tell.send(news);
    }

    pub(crate) fn refused(&self, refused: Refused) {
        self.tell(News::Wrong(refused.to_string()));
    }

    /// These are in flight now.
    pub(crate) fn begun(&self, count: u64) {
        self.in_flight.fetch_add(count, Relaxed);
    }

    /// One is done; true when another is to be begun in its place.
    pub(crate) fn another(&self) -> bool {
        self.done.fetch_add(1, Relaxed);
        if self.left.fetch_update(Relaxed, Relaxed, |left| left.checked_sub(1)).is_ok() {
            return true;
        }
        if self.in_flight.fetch_sub(1, Relaxed) == 1 {
            self.tell(News::Quiet);
        }
        false
    }
}

/// Until standard input ends.
pub(crate) fn obey(asked: &cli::Load) -> Result<(), Failure> {
    raise_descriptor_limit().map_err(Failure::io("descriptor limit"))?;
    let load = Load::start(asked.cpu)?;
    let resumed = |handshake| handshake == Handshake::Resumed;
    let tls = asked.tls.map(|handshake| credentials::client(resumed(handshake)));
    let mut group = load.group(asked.addr, tls);
    ready(asked.addr);
    for line in io::stdin().lock().lines().map_while(Result::ok) {
        let order: Order = serde_json::from_str(&line)
            .map_err(|error| Failure::Usage(format!("{line:?} is no order: {error}")))?;
        let before = group.done();
        let answer = match group.carry_out(order) {
            Ok(()) => Answer::Done(group.done() - before),
            Err(failure) => Answer::Failed(failure.to_string()),
        };
        let answer = serde_json::to_string(&answer).expect("text and numbers");
        // Whoever asked and has gone takes standard input along.
        let _unread = writeln!(io::stdout(), "{answer}");
    }
    drop(group);
    load.end()
}

/// The shard that all clients run on.
#[derive(Debug)]
struct Load {
    engine: Engine,
}

/// The connections to one server, as the main thread sees them.
#[derive(Debug)]
struct Group<'a> {
    load: &'a Load,
    shared: Arc<Shared>,
    news: Receiver<News>,
    ids: Vec<ConnId>,
}

impl Load {
    /// On this CPU, or wherever the scheduler puts it.
    fn start(cpu: Option<usize>) -> Result<Self, Failure> {
        let mut config = Config::default();
        config.read_timeout = None;
        let pinning = cpu.map_or(Pinning::None, |cpu| Pinning::List(vec![cpu]));
        let engine = Engine::builder().shards(1).pinning(pinning).config(config).start()?;
        Ok(Self { engine })
    }

    fn group(&self, addr: SocketAddr, tls: Option<ClientContext>) -> Group<'_> {
        let (tell, news) = mpsc::channel();
        let count = || AtomicU64::new(0);
        let shared = Shared { addr, tls, left: count(), in_flight: count(), done: count(), tell };
        Group { load: self, shared: Arc::new(shared), news, ids: Vec::new() }
    }

    /// Ends them all.
    fn end(self) -> Result<(), Failure> {
        self.engine.quit(Duration::ZERO);
        self.engine.join()?;
        Ok(())
    }

    fn run(&self, letter: impl FnOnce(&mut Local<'_>) + Send + 'static) -> Result<(), Failure> {
        let sent = self.engine.remote().run(0, letter);
        sent.map_err(|undelivered| Failure::Echo { why: undelivered.to_string() })
    }
}

impl Group<'_> {
    fn carry_out(&mut self, order: Order) -> Result<(), Failure> {
        match order {
            Order::GrowTo(lines) => self.grow_to(lines),
            Order::LinesFor(millis) => {
                self.begin_lines(u64::MAX, &self.ids)?;
                self.stop_after(millis)
            }
            Order::VisitsFor { millis, at_a_time } => {
                self.begin_visits(u64::MAX, at_a_time)?;
                self.stop_after(millis)
            }
            Order::Rounds(count) => (0..count).try_for_each(|_| self.echo(&self.ids)),
            Order::EchoFrom(first) => self.echo(self.ids.get(first..).unwrap_or_default()),
            Order::Visits(count) => {
                self.begin_visits(count.saturating_sub(1), 1)?;
                self.quiet()
            }
            Order::Gather(count) => self.open(count, |shared, _| Hearer::new(Arc::clone(shared))),
            Order::Say(count) => (0..count).try_for_each(|_| self.say()),
            Order::SayFor(millis) => {
                let clock = Clock::start();
                while clock.elapsed() < Duration::from_millis(millis) {
                    self.say()?;
                }
                Ok(())
            }
        }
    }

    fn next(&self, patience: Duration) -> Result<Option<News>, Failure> {
        match self.news.recv_timeout(patience) {
            Ok(News::Wrong(why)) => Err(Failure::Echo { why }),
            Ok(news) => Ok(Some(news)),
            Err(_) => Ok(None),
        }
    }

    fn expect(&self, waiting_for: &str) -> Result<News, Failure> {
        let late = || Failure::Echo { why: format!("{waiting_for}: not within {PATIENCE:?}") };
        self.next(PATIENCE)?.ok_or_else(late)
    }

    fn grow_to(&mut self, shape: Lines) -> Result<(), Failure> {
        self.open(shape.connections, move |shared, number| {
            Line::new(Arc::clone(shared), number, shape)
        })
    }

    /// Opens lasting connections until there are this many.
    fn open<H: Handler>(
        &mut self,
        connections: usize,
        handler: impl Fn(&Arc<Shared>, u64) -> H + Copy + Send + 'static,
    ) -> Result<(), Failure> {
        while self.ids.len() < connections {
            let first = self.ids.len();
            let numbers = first..(first + DIALS_AT_A_TIME).min(connections);
            let (count, shared) = (numbers.len(), Arc::clone(&self.shared));
            self.load.run(move |local| {
                for number in numbers {
                    let handler = handler(&shared, number as u64);
                    if let Err(refused) = local.connect(shared.connect(), handler) {
                        shared.refused(refused);
                    }
                }
            })?;
            for _ in 0..count {
                if let News::Up(id) = self.expect("a connection")? {
                    self.ids.push(id);
                }
            }
        }
        Ok(())
    }

    /// Lets every connection send its messages; `left` more follow as they come back.
    fn begin_lines(&self, left: u64, ids: &[ConnId]) -> Result<(), Failure> {
        self.shared.left.store(left, Relaxed);
        let ids = ids.to_vec();
        self.load.run(move |local| {
            for id in ids {
                // One that is gone has told it.
                local.with::<Line, _>(id, Line::begin);
            }
        })
    }

    /// One speaks, and all hear it.
    fn say(&self) -> Result<(), Failure> {
        let Some(&speaker) = self.ids.first() else { return Ok(()) };
        self.shared.left.store(0, Relaxed);
        self.shared.begun(self.ids.len() as u64);
        self.load.run(move |local| {
            local.with::<Hearer, _>(speaker, Hearer::speak);
        })?;
        self.quiet()
    }

    fn begin_visits(&self, left: u64, at_a_time: u64) -> Result<(), Failure> {
        self.shared.left.store(left, Relaxed);
        let shared = Arc::clone(&self.shared);
        self.load.run(move |local| {
            shared.begun(at_a_time);
            for _ in 0..at_a_time {
                Visit::pay(&shared, local);
            }
        })
    }

    fn quiet(&self) -> Result<(), Failure> {
        self.expect("the last echo").map(drop)
    }

    /// Messages that have come back so far, or visits that are over.
    fn done(&self) -> u64 {
        self.shared.done.load(Relaxed)
    }

    /// Only bad news comes before the end.
    fn stop_after(&self, millis: u64) -> Result<(), Failure> {
        self.next(Duration::from_millis(millis))?;
        self.shared.left.store(0, Relaxed);
        self.quiet()
    }

    /// The messages of its depth on each of these, then all echoes.
    fn echo(&self, ids: &[ConnId]) -> Result<(), Failure> {
        self.begin_lines(0, ids)?;
        self.quiet()
    }
}
