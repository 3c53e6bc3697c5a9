//! One load, seen from the main thread: a client engine, its phases, and what came of it.
//!
//! The processor time of both sides is read when all connections are up and nothing has been sent,
//! and again when the last echo is back: at both moments no thread of theirs has anything to do, so
//! that the readings are whole, and all work between them belongs to the messages that are counted.
//!
//! Never: touches a connection; letters do.

use crate::failure::Failure;
use crate::limits::{self, Need};
use crate::live::Live;
use crate::reach::Endpoint;
use crate::report::{Measured, Report};
use crate::swarm::{self, Event, GRACE, Plan, Tally};
use shardpoll::{Config, Engine, Local, Pinning};
use shardpoll_bench::clock::Clock;
use shardpoll_bench::cpu;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::Duration;

/// What is asked of one load.
#[derive(Clone, Debug)]
pub(crate) struct Load {
    /// What the report calls it.
    pub(crate) name: String,
    pub(crate) endpoint: Endpoint,
    pub(crate) connections: usize,
    pub(crate) size: usize,
    pub(crate) depth: usize,
    pub(crate) duration: Duration,
    pub(crate) threads: usize,
    /// The server's process, if it is on this machine and known.
    pub(crate) server_pid: Option<u32>,
}

/// In flight on one connection at most: half of what an engine queues by default, since the server
/// may have to queue all of it, and TLS makes it a little more.
const MAX_IN_FLIGHT_BYTES: usize = 16 * 1024 * 1024;

/// In flight on all connections at most; the kernel, the client and the server may each hold it.
const MAX_ALL_IN_FLIGHT_BYTES: usize = 1024 * 1024 * 1024;

/// How long one connection may take to be established, and one step of its TLS handshake.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How long connections may take to close in order, with what TLS has to say.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// How often the progress line moves and an interrupt is looked for.
const TICK: Duration = Duration::from_millis(100);

/// What a shard may take, beyond what it was told to, before it is given up.
const PATIENCE: Duration = Duration::from_secs(5);

impl Load {
    /// Says whether it can be done here.
    pub(crate) fn check(&self) -> Result<(), Failure> {
        let Self { connections, size, depth, threads, .. } = *self;
        let in_flight = depth.saturating_mul(size);
        if in_flight > MAX_IN_FLIGHT_BYTES {
            return Err(Failure::InFlight { depth, size, limit: MAX_IN_FLIGHT_BYTES });
        }
        if connections.saturating_mul(in_flight) > MAX_ALL_IN_FLIGHT_BYTES {
            let limit = MAX_ALL_IN_FLIGHT_BYTES;
            return Err(Failure::AllInFlight { connections, depth, size, limit });
        }
        if threads > connections {
            return Err(Failure::IdleThreads { threads, connections });
        }
        let need = Need {
            connections,
            abusers: 0,
            threads,
            visits_per_second: None,
            lasts: self.duration,
        };
        limits::check(&need, std::slice::from_ref(&self.endpoint))
    }

    /// Connects, sends, waits, and reports.
    pub(crate) fn drive(&self, interrupted: &AtomicBool, live: &Live) -> Result<Report, Failure> {
        self.check()?;
        let mut config = Config::default();
        config.read_timeout = None;
        config.send_timeout = None;
        config.connect_timeout = CONNECT_TIMEOUT;
        config.handshake_timeout = CONNECT_TIMEOUT;
        // What a stall of ours costs is in the latencies; its warning would be among the errors.
        let builder = Engine::builder().shards(self.threads).pinning(Pinning::None).watchdog(None);
        let engine = builder.config(config).start()?;
        let outcome = Drive::new(self, &engine, interrupted, live).and_then(Drive::run);
        live.clear();
        // After a failure there may be connections that are still being established.
        engine.quit(if outcome.is_ok() { CLOSE_TIMEOUT } else { Duration::ZERO });
        engine.join()?;
        outcome
    }

    /// The numbers of the connections of this thread: all have the same share, give or take one.
    fn plan(&self, thread: usize) -> Plan {
        let from = |thread: usize| (self.connections * thread / self.threads) as u64;
        Plan {
            endpoint: self.endpoint.clone(),
            numbers: from(thread)..from(thread + 1),
            size: self.size,
            depth: self.depth,
            duration: self.duration,
        }
    }
}

struct Drive<'a> {
    load: &'a Load,
    engine: &'a Engine,
    interrupted: &'a AtomicBool,
    live: &'a Live,
    events: Receiver<Event>,
    progress: Vec<Arc<AtomicU64>>,
}

impl<'a> Drive<'a> {
    fn new(
        load: &'a Load,
        engine: &'a Engine,
        interrupted: &'a AtomicBool,
        live: &'a Live,
    ) -> Result<Self, Failure> {
        let (sender, events) = mpsc::channel();
        let progress: Vec<_> = (0..load.threads).map(|_| Arc::default()).collect();
        let drive = Self { load, engine, interrupted, live, events, progress };
        for (thread, progress) in drive.progress.iter().enumerate() {
            let (plan, sender, progress) = (load.plan(thread), sender.clone(), progress.clone());
            drive.post(thread, |local| swarm::launch(local, plan, sender, progress))?;
        }
        Ok(drive)
    }

    fn run(self) -> Result<Report, Failure> {
        self.wait_until_ready()?;
        let server_before = self.server_time();
        let client_before = cpu::own_time().ok();
        let clock = Clock::start();
        self.post_all(swarm::begin)?;
        let (tallies, interrupted) = self.wait_until_quiet(&clock)?;
        let took = clock.elapsed();
        let spent = |before: Option<Duration>, after: Option<Duration>| after?.checked_sub(before?);
        let measured = Measured {
            tallies,
            interrupted,
            took,
            client_cpu: spent(client_before, cpu::own_time().ok()),
            server_cpu: spent(server_before, self.server_time()),
        };
        Ok(Report::new(self.load, measured))
    }

    fn wait_until_ready(&self) -> Result<(), Failure> {
        let mut ready = 0;
        while ready < self.load.threads {
            match self.events.recv_timeout(TICK) {
                Ok(Event::Ready) => ready += 1,
                Ok(Event::Failed(why)) => return Err(self.unreachable(why)),
                Ok(Event::Quiet(_)) | Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(Failure::Stuck { waiting_for: "connections" });
                }
            }
            // Each connection has its own time limit, so this ends.
            if self.interrupted.load(Ordering::Relaxed) {
                return Err(Failure::Interrupted);
            }
            self.live.connecting(&self.load.name, self.count(), self.load.connections);
        }
        Ok(())
    }

    /// What each shard has counted, and whether it was interrupted.
    fn wait_until_quiet(&self, clock: &Clock) -> Result<(Vec<Tally>, bool), Failure> {
        let limit = self.load.duration.saturating_add(GRACE + PATIENCE);
        let mut tallies = Vec::new();
        let mut stopped = false;
        while tallies.len() < self.load.threads {
            match self.events.recv_timeout(TICK) {
                Ok(Event::Quiet(tally)) => tallies.push(*tally),
                Ok(Event::Failed(why)) => return Err(self.unreachable(why)),
                Ok(Event::Ready) | Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(Failure::Stuck { waiting_for: "the end of the load" });
                }
            }
            if !stopped && self.interrupted.load(Ordering::Relaxed) {
                stopped = true;
                self.post_all(swarm::stop)?;
            }
            if clock.elapsed() > limit {
                return Err(Failure::Stuck { waiting_for: "the end of the load" });
            }
            self.live.running(&self.load.name, clock.elapsed(), self.load.duration, self.count());
        }
        Ok((tallies, stopped))
    }

    fn unreachable(&self, why: String) -> Failure {
        Failure::Unreachable { target: self.load.endpoint.target.to_string(), why }
    }

    fn server_time(&self) -> Option<Duration> {
        cpu::process_time(self.load.server_pid?).ok()
    }

    fn count(&self) -> u64 {
        self.progress.iter().map(|count| count.load(Ordering::Relaxed)).sum()
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
