//! One run, seen from the main thread: a client engine, its phases, and what came of it.
//!
//! The processor time of both sides is read when the shards are ready and nothing has been done,
//! and again when the last answer is back: at both moments no thread of theirs has anything to do,
//! so that the readings are whole, and all work between them belongs to what is counted.
//!
//! Never: touches a connection; letters do.

use crate::failure::Failure;
use crate::gather::Gather;
use crate::live::Live;
use crate::load::Load;
use crate::outcome::Run;
use crate::report::hdr::{HdrLog, Header};
use crate::swarm::{self, Event, GRACE};
use shardpoll::{Config, Engine, Local, Pinning};
use shardpoll_bench::clock::{self, Clock};
use shardpoll_bench::{cpu, memory};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::Duration;

/// How long connections may take to close in order, with what TLS has to say.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// How often the live view moves and an interrupt is looked for.
const TICK: Duration = Duration::from_millis(100);

/// What a shard may take, beyond what it was told to, before it is given up.
const PATIENCE: Duration = Duration::from_secs(5);

/// Where a run's figures go while it goes on.
pub(crate) struct Watchers<'a> {
    /// Set by a signal: end early.
    pub(crate) interrupted: &'a AtomicBool,
    pub(crate) live: &'a Live,
    pub(crate) log: Option<Logged<'a>>,
}

/// A log that is to be written.
#[derive(Clone, Copy)]
pub(crate) struct Logged<'a> {
    pub(crate) path: &'a Path,
    pub(crate) command: &'a [String],
    pub(crate) instance: Option<crate::outcome::Instance>,
}

/// What was read of both processes at one moment.
#[derive(Clone, Copy, Default)]
pub(crate) struct Reading {
    pub(crate) client: Option<Duration>,
    pub(crate) server: Option<Duration>,
}

/// What is known beside what shards have counted.
pub(crate) struct Circumstances {
    /// From the beginning of the work until all was quiet.
    pub(crate) took: Duration,
    /// From the first connect until all were decided, where that came first.
    pub(crate) opening: Option<Duration>,
    pub(crate) before: Reading,
    pub(crate) after: Reading,
    /// The server's resident memory without connections, and with them.
    pub(crate) memory_before: Option<u64>,
    pub(crate) memory: Option<u64>,
    pub(crate) interrupted: bool,
}

/// Connects, works, waits, and says what came of it.
pub(crate) fn drive(load: &Load, watchers: &Watchers<'_>) -> Result<Run, Failure> {
    load.check()?;
    let mut config = Config::default();
    config.read_timeout = Some(load.timeout);
    config.send_timeout = Some(load.timeout);
    config.connect_timeout = load.timeout;
    config.handshake_timeout = load.timeout;
    config.handshake_deadline = load.timeout;
    // They are as many as were asked for.
    config.max_handshakes = usize::MAX;
    // What a stall of ours costs is in the latencies; its warning would be among the errors.
    let builder = Engine::builder().shards(load.threads).pinning(Pinning::None).watchdog(None);
    let engine = builder.config(config).start()?;
    let outcome = Drive::new(load, &engine, watchers).and_then(Drive::run);
    watchers.live.clear();
    // After a failure there may be connections that are still being established.
    engine.quit(if outcome.is_ok() { CLOSE_TIMEOUT } else { Duration::ZERO });
    engine.join()?;
    outcome
}

struct Drive<'a> {
    load: &'a Load,
    engine: &'a Engine,
    watchers: &'a Watchers<'a>,
    events: Receiver<Event>,
    progress: Vec<Arc<AtomicU64>>,
    launched: Clock,
    memory_before: Option<u64>,
}

impl<'a> Drive<'a> {
    fn new(
        load: &'a Load,
        engine: &'a Engine,
        watchers: &'a Watchers<'a>,
    ) -> Result<Self, Failure> {
        let (sender, events) = mpsc::channel();
        let progress: Vec<_> = (0..load.threads).map(|_| Arc::default()).collect();
        let launched = Clock::start();
        let memory_before = server_memory(load);
        let drive = Self { load, engine, watchers, events, progress, launched, memory_before };
        for (thread, progress) in drive.progress.iter().enumerate() {
            let (plan, sender, progress) = (load.plan(thread), sender.clone(), progress.clone());
            drive.post(thread, |local| swarm::launch(local, plan, sender, progress))?;
        }
        Ok(drive)
    }

    fn run(self) -> Result<Run, Failure> {
        self.wait_until_ready()?;
        let opens_first = self.load.work.opens_first();
        let opening = opens_first.then(|| self.launched.elapsed());
        let mut memory = server_memory(self.load);
        let before = self.read();
        let log = self.log()?;
        let clock = Clock::start();
        self.post_all(swarm::begin)?;
        let gather = Gather::new(self.load, self.watchers.live, log);
        let (gather, interrupted) = self.wait_until_quiet(&clock, gather)?;
        let took = clock.elapsed();
        let after = self.read();
        if !opens_first {
            memory = server_memory(self.load);
        }
        let memory_before = self.memory_before;
        let circumstances =
            Circumstances { took, opening, before, after, memory_before, memory, interrupted };
        gather.finish(&circumstances)
    }

    fn log(&self) -> Result<Option<HdrLog>, Failure> {
        let Some(Logged { path, command, instance }) = self.watchers.log else { return Ok(None) };
        let began = clock::calendar() + self.load.warmup;
        let log = HdrLog::create(path, &Header { command, began, instance });
        log.map(Some).map_err(|source| Failure::File {
            option: "--hdr-out",
            path: path.into(),
            source,
        })
    }

    fn wait_until_ready(&self) -> Result<(), Failure> {
        let (mut ready, mut reached, mut fault) = (0, 0, None);
        while ready < self.load.threads {
            match self.events.recv_timeout(TICK) {
                Ok(Event::Ready { up, first_error }) => {
                    ready += 1;
                    reached += up;
                    fault = fault.or(first_error);
                }
                Ok(Event::Interval(_) | Event::Quiet(_)) | Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(Failure::Stuck { waiting_for: "connections" });
                }
            }
            // Each connection has its own time limit, so this ends.
            if self.watchers.interrupted.load(Ordering::Relaxed) {
                return Err(Failure::Interrupted);
            }
            let up = self.progress.iter().map(|count| count.load(Ordering::Relaxed)).sum();
            self.watchers.live.connecting(&self.load.name, up, self.load.connections.count);
        }
        if reached == 0 && self.load.work.opens_first() {
            let why = fault.unwrap_or_else(|| "no connection came to be".into());
            return Err(self.load.unreachable(why));
        }
        Ok(())
    }

    /// All that the shards have counted, and whether they were interrupted.
    fn wait_until_quiet(
        &self,
        clock: &Clock,
        mut gather: Gather<'a>,
    ) -> Result<(Gather<'a>, bool), Failure> {
        let whole = self.load.warmup.saturating_add(self.load.duration);
        let limit = whole.saturating_add(GRACE + PATIENCE);
        let mut stopped = false;
        while !gather.is_complete() {
            match self.events.recv_timeout(TICK) {
                Ok(Event::Interval(cut)) => gather.take(*cut)?,
                Ok(Event::Quiet(rest)) => gather.end(*rest)?,
                Ok(Event::Ready { .. }) | Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(Failure::Stuck { waiting_for: "the end of the run" });
                }
            }
            if !stopped && self.watchers.interrupted.load(Ordering::Relaxed) {
                stopped = true;
                self.post_all(swarm::stop)?;
            }
            if clock.elapsed() > limit {
                return Err(Failure::Stuck { waiting_for: "the end of the run" });
            }
            self.watchers.live.running(clock.elapsed(), whole);
        }
        Ok((gather, stopped))
    }

    fn read(&self) -> Reading {
        let server = self.load.server_pid.and_then(|pid| cpu::process_time(pid).ok());
        Reading { client: cpu::own_time().ok(), server }
    }

    fn post(
        &self,
        thread: usize,
        letter: impl FnOnce(&mut Local<'_>) + Send + 'static,
    ) -> Result<(), Failure> {
        // A mailbox takes thousands of letters, and gets three: it has ended.
        let posted = self.engine.remote().run(thread, letter);
        posted.map_err(|_| Failure::Stuck { waiting_for: "a shard that has ended" })
    }

    fn post_all(&self, letter: fn(&mut Local<'_>)) -> Result<(), Failure> {
        (0..self.load.threads).try_for_each(|thread| self.post(thread, letter))
    }
}

fn server_memory(load: &Load) -> Option<u64> {
    memory::resident(load.server_pid?).ok().map(|resident| resident.all)
}
