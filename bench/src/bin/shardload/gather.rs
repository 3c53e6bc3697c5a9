//! Puts together what the shards have counted: intervals while it goes on, the whole at the end.
//!
//! Never: asks a shard; it is told.
//!
//! Invariants:
//! 1. An interval is shown and logged when all shards that have one of it have told theirs, and in
//!    order.

use crate::counts::{Counts, histogram};
use crate::drive::Circumstances;
use crate::failure::Failure;
use crate::live::Live;
use crate::load::Load;
use crate::outcome::{Attack, Client, Interval, Run, Server, Workload};
use crate::report::hdr::{HdrLog, latency};
use crate::swarm::{self, Cut, Rest, Work};
use crate::tally::{Openings, Tally, add};
use hdrhistogram::Histogram;
use std::collections::VecDeque;
use std::time::Duration;

/// A generator that used more of its time than this may have been the limit.
const BUSY_PERCENT: f64 = 90.0;

/// And one that was later than this with one message in a hundred, by itself.
const LATE_US: f64 = 1_000.0;

pub(crate) struct Gather<'a> {
    load: &'a Load,
    live: &'a Live,
    log: Option<HdrLog>,
    /// Of each shard that is done, how many pieces it has told.
    ended: Vec<usize>,
    /// Pieces of intervals that are not complete, by index from `shown` on.
    pending: VecDeque<Pending>,
    shown: usize,
    intervals: Vec<Interval>,
    whole: Tally,
    window: Duration,
    /// What was told at the end, of all shards together.
    outside: Tally,
    openings: Openings,
    lateness: Histogram<u64>,
    unsent: u64,
    alive: u64,
    deserted: bool,
    first_error: Option<String>,
    attacks: swarm::Attacks,
}

struct Pending {
    at: Duration,
    length: Duration,
    shards: usize,
    tally: Tally,
}

impl<'a> Gather<'a> {
    pub(crate) fn new(load: &'a Load, live: &'a Live, log: Option<HdrLog>) -> Self {
        let open_loop = load.per_second.is_some();
        Self {
            load,
            live,
            log,
            ended: Vec::new(),
            pending: VecDeque::new(),
            shown: 0,
            intervals: Vec::new(),
            whole: Tally::new(open_loop),
            window: Duration::ZERO,
            outside: Tally::new(open_loop),
            openings: Openings::new(),
            lateness: histogram(),
            unsent: 0,
            alive: 0,
            deserted: true,
            first_error: None,
            attacks: swarm::Attacks::default(),
        }
    }

    pub(crate) fn is_complete(&self) -> bool {
        self.ended.len() == self.load.threads
    }

    /// A shard has ended an interval.
    pub(crate) fn take(&mut self, cut: Cut) -> Result<(), Failure> {
        let place = cut.index - self.shown;
        if place == self.pending.len() {
            let Cut { at, length, tally, .. } = cut;
            self.pending.push_back(Pending { at, length, shards: 1, tally });
        } else {
            let pending = &mut self.pending[place];
            pending.shards += 1;
            pending.length = pending.length.max(cut.length);
            pending.tally.add(&cut.tally);
        }
        self.show()
    }

    /// How many shards have a piece of this index, or will: those that ended before it have none.
    fn expected(&self, index: usize) -> usize {
        self.load.threads - self.ended.iter().filter(|pieces| **pieces <= index).count()
    }

    /// Shows those that nobody has anything to add to.
    fn show(&mut self) -> Result<(), Failure> {
        while let Some(pending) = self.pending.front()
            && pending.shards == self.expected(self.shown)
        {
            let Some(Pending { at, length, tally, .. }) = self.pending.pop_front() else { break };
            self.shown += 1;
            let interval = interval(at, length, &tally);
            let unit = self.load.workload.unit();
            let elapsed = at + length;
            self.live.interval(&self.load.name, elapsed, self.load.duration, &interval, unit);
            self.log(at, length, &tally)?;
            self.intervals.push(interval);
            self.whole.add(&tally);
        }
        Ok(())
    }

    fn log(&mut self, at: Duration, length: Duration, tally: &Tally) -> Result<(), Failure> {
        let Some(log) = &mut self.log else { return Ok(()) };
        let uncorrected = tally.uncorrected.as_ref().map(Counts::histogram);
        let written = log.write(at, length, &tally.latency.histogram(), uncorrected.as_ref());
        written.map_err(Failure::io("--hdr-out"))
    }

    /// A shard is done.
    pub(crate) fn end(&mut self, rest: Rest) -> Result<(), Failure> {
        self.ended.push(rest.pieces);
        self.outside.add(&rest.outside);
        self.openings.add(&rest.openings);
        add(&mut self.lateness, &rest.lateness);
        self.unsent += rest.unsent;
        self.alive += rest.alive;
        self.window = self.window.max(rest.window);
        self.deserted &= rest.deserted;
        self.attacks.add(&rest.attacks);
        if let Some(fault) = rest.first_error {
            self.first_error.get_or_insert(fault);
        }
        self.show()
    }

    /// The whole of it.
    pub(crate) fn finish(mut self, circumstances: &Circumstances) -> Result<Run, Failure> {
        let outside = std::mem::replace(&mut self.outside, Tally::new(false));
        let after = circumstances.took.saturating_sub(self.window);
        self.log(self.window, after, &outside)?;
        if let Some(log) = self.log.take() {
            log.finish().map_err(Failure::io("--hdr-out"))?;
        }
        let mut all = outside;
        all.add(&self.whole);
        if all.connects == 0 && all.errors.total + all.errors.lost > 0 {
            let why = self.first_error.unwrap_or_else(|| "no connection came to be".into());
            return Err(self.load.unreachable(why));
        }
        Ok(self.run(&all, circumstances))
    }

    fn run(self, all: &Tally, circumstances: &Circumstances) -> Run {
        let load = self.load;
        let seconds = self.window.as_secs_f64();
        let a_second = |count: u64| if seconds > 0.0 { count as f64 / seconds } else { 0.0 };
        let opening = circumstances.opening.map(|time| time.as_secs_f64());
        let connects_per_second = match opening {
            Some(opening) => (opening > 0.0).then(|| all.connects as f64 / opening),
            None => Some(a_second(self.whole.connects)),
        };
        let (operations, operations_per_second) = match load.workload {
            Workload::Idle => (self.alive, connects_per_second.unwrap_or_default()),
            // Each took longer than the whole was to last: what came, came afterwards.
            _ if self.whole.operations == 0 => {
                let took = circumstances.took.as_secs_f64().max(f64::MIN_POSITIVE);
                (all.operations, all.operations as f64 / took)
            }
            _ => (all.operations, a_second(self.whole.operations)),
        };
        let (size, depth) = match load.work {
            Work::Upload { size } | Work::Download { size } => (Some(size), None),
            _ => load.work.echo().unzip(),
        };
        let lateness = load.per_second.and_then(|_| latency(&self.lateness));
        let late = lateness.as_ref().is_some_and(|late| late.p99_us > LATE_US);
        Run {
            name: load.name.clone(),
            workload: load.workload,
            targets: load.endpoints.iter().map(|one| one.target.to_string()).collect(),
            connections: load.connections.count,
            client_threads: load.threads,
            message_size_bytes: size,
            depth_messages: depth,
            asked_per_second: load.per_second,
            seconds,
            interrupted: circumstances.interrupted,
            deserted: self.deserted,
            operations,
            operations_per_second,
            sent_megabytes_per_second: a_second(self.whole.sent_bytes) / 1e6,
            received_megabytes_per_second: a_second(self.whole.received_bytes) / 1e6,
            connects: all.connects,
            connects_per_second,
            latency: latency(&all.latency.histogram()),
            uncorrected: all.uncorrected.as_ref().and_then(|counts| latency(&counts.histogram())),
            lateness,
            connect: latency(&self.openings.connect),
            handshake: latency(&self.openings.handshake),
            handshakes: self.openings.handshake.len(),
            resumed_handshakes: self.openings.resumed,
            unsent: self.unsent,
            errors: all.errors,
            first_error: self.first_error,
            server: server(load, circumstances, operations),
            client: client(load, circumstances, operations, late),
            attacks: attacks(load, &self.attacks),
            intervals: self.intervals,
        }
    }
}

fn interval(at: Duration, length: Duration, tally: &Tally) -> Interval {
    let micros = |histogram: &Histogram<u64>, quantile| {
        let any = !histogram.is_empty();
        any.then(|| histogram.value_at_quantile(quantile) as f64 / 1e3)
    };
    let latency = tally.latency.histogram();
    let uncorrected = tally.uncorrected.as_ref().map(Counts::histogram);
    Interval {
        at_seconds: at.as_secs_f64(),
        seconds: length.as_secs_f64(),
        operations: tally.operations,
        sent_bytes: tally.sent_bytes,
        received_bytes: tally.received_bytes,
        connects: tally.connects,
        errors: tally.errors.total,
        p50_us: micros(&latency, 0.5),
        p99_us: micros(&latency, 0.99),
        max_us: micros(&latency, 1.0),
        uncorrected_p99_us: uncorrected.and_then(|histogram| micros(&histogram, 0.99)),
    }
}

fn spent(before: Option<Duration>, after: Option<Duration>) -> Option<Duration> {
    after?.checked_sub(before?)
}

fn micros_each(spent: Option<Duration>, operations: u64) -> Option<f64> {
    (operations > 0).then_some(spent?.as_secs_f64() * 1e6 / operations as f64)
}

fn server(load: &Load, circumstances: &Circumstances, operations: u64) -> Option<Server> {
    let Circumstances { before, after, took, memory, memory_before, .. } = circumstances;
    let spent = spent(before.server, after.server);
    let connections = load.connections.count as f64;
    let grown = memory.zip(*memory_before).map(|(with, without)| with as f64 - without as f64);
    Some(Server {
        pid: load.server_pid?,
        cpu_us_per_operation: micros_each(spent, operations),
        cpu_percent: spent.map(|spent| spent.as_secs_f64() / took.as_secs_f64() * 100.0),
        memory_before_bytes: *memory_before,
        memory_bytes: *memory,
        memory_per_connection_bytes: circumstances
            .opening
            .and(grown)
            .map(|grown| grown / connections),
    })
}

fn client(load: &Load, circumstances: &Circumstances, operations: u64, late: bool) -> Client {
    let Circumstances { before, after, took, .. } = circumstances;
    let spent = spent(before.client, after.client);
    let available = took.as_secs_f64() * load.threads as f64;
    let cpu_percent = spent.map(|spent| spent.as_secs_f64() / available * 100.0);
    let busy = cpu_percent.is_some_and(|percent| percent > BUSY_PERCENT);
    Client {
        cpu_us_per_operation: micros_each(spent, operations),
        cpu_percent,
        was_the_limit: busy || late,
    }
}

fn attacks(load: &Load, answers: &swarm::Attacks) -> Vec<Attack> {
    let Work::Abuse { kinds, .. } = &load.work else { return Vec::new() };
    let both = kinds.iter().zip(&answers.0);
    let attack = |(kind, answers): (&_, &swarm::Answers)| {
        let ended = !answers.lived.is_empty();
        Attack {
            kind: swarm::attack_name(*kind),
            connections: answers.connections,
            ended_by_server: answers.ended_by_server,
            ended_after_seconds: ended.then(|| answers.lived.value_at_quantile(0.5) as f64 / 1e9),
            refused: answers.refused,
        }
    };
    both.map(attack).collect()
}
