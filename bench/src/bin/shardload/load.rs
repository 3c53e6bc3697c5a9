//! What is asked of one run: the workload, its measure, and whether it can be done here.
//!
//! Never: connects.

use crate::cli::{Abuse, Bulk, Churn, Direction, Echo, Idle, Measure, Reach, Script};
use crate::failure::Failure;
use crate::limits::{self, Need};
use crate::outcome::Workload;
use crate::reach::Endpoint;
use crate::script;
use crate::share::{Share, share};
use crate::swarm::{BULK_DEPTH, Plan, Work};
use crate::target::Security;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// What is asked of one run.
#[derive(Clone, Debug)]
pub(crate) struct Load {
    /// What the report calls it.
    pub(crate) name: String,
    pub(crate) workload: Workload,
    pub(crate) work: Work,
    pub(crate) endpoints: Arc<[Endpoint]>,
    pub(crate) connections: Share,
    /// Operations a second; absent in a closed loop.
    pub(crate) per_second: Option<f64>,
    pub(crate) warmup: Duration,
    pub(crate) duration: Duration,
    pub(crate) threads: usize,
    /// How long a connect, a handshake or an answer may take.
    pub(crate) timeout: Duration,
    /// The server's process, if it is on this machine and known.
    pub(crate) server_pid: Option<u32>,
}

/// In flight on one connection at most: half of what an engine queues by default, since the server
/// may have to queue all of it, and TLS makes it a little more.
const MAX_IN_FLIGHT_BYTES: usize = 16 * 1024 * 1024;

/// In flight on all connections at most; the kernel, the client and the server may each hold it.
const MAX_ALL_IN_FLIGHT_BYTES: usize = 1024 * 1024 * 1024;

/// What all loads are made from.
struct Base<'a> {
    reach: &'a Reach,
    measure: &'a Measure,
    rate: Option<f64>,
}

impl Base<'_> {
    fn load(&self, workload: Workload, work: Work) -> Result<Load, Failure> {
        let Self { reach, measure, rate } = *self;
        let endpoints = match &work {
            Work::Script(script) => conversing(reach, script)?,
            _ => Endpoint::resolve(reach, false)?,
        };
        let name = measure.name.clone().unwrap_or_else(|| match &work {
            Work::Script(script) => stem(&script.name).into(),
            _ => default_name(&endpoints).into(),
        });
        let (connections, per_second) = share(measure.connections, rate, measure.instance)?;
        Ok(Load {
            name,
            workload,
            work,
            endpoints: endpoints.into(),
            connections,
            per_second,
            warmup: measure.warmup,
            duration: measure.duration,
            threads: measure.threads,
            timeout: reach.timeout,
            server_pid: measure.server_pid,
        })
    }
}

/// Endpoints of conversations: these name a domain, `--sni`, also where there is no TLS.
fn conversing(reach: &Reach, script: &script::Script) -> Result<Vec<Endpoint>, Failure> {
    let upgrades = script.starts_tls();
    let is_clear = reach.targets.iter().all(|target| target.security() == Security::Never);
    if !is_clear || upgrades {
        return Endpoint::resolve(reach, upgrades);
    }
    let mut endpoints = Endpoint::resolve(&Reach { sni: None, ..reach.clone() }, false)?;
    if let Some(domain) = &reach.sni {
        endpoints.iter_mut().for_each(|endpoint| endpoint.call(domain));
    }
    Ok(endpoints)
}

/// What a file is called, without the folder and what tells its kind.
fn stem(path: &str) -> &str {
    Path::new(path).file_stem().and_then(|stem| stem.to_str()).unwrap_or(path)
}

fn default_name(endpoints: &[Endpoint]) -> &'static str {
    if endpoints.iter().all(|endpoint| endpoint.tls().is_some()) { "TLS" } else { "plain" }
}

impl Load {
    pub(crate) fn echo(options: &Echo) -> Result<Self, Failure> {
        let base = Base { reach: &options.reach, measure: &options.measure, rate: options.rate };
        base.load(Workload::Echo, Work::Echo { size: options.size, depth: options.depth })
    }

    pub(crate) fn churn(options: &Churn) -> Result<Self, Failure> {
        let base = Base { reach: &options.reach, measure: &options.measure, rate: options.rate };
        base.load(Workload::Churn, Work::Churn { size: options.size })
    }

    pub(crate) fn script(options: &Script) -> Result<Self, Failure> {
        let script = script::load(&options.script)?;
        let mut targets = options.reach.targets.iter();
        let is_tls = targets.find(|target| target.security() != Security::Never);
        if let (true, Some(target)) = (script.starts_tls(), is_tls) {
            let name = &script.name;
            let text = format!("{name} has a step starttls, but {target} is TLS when it begins");
            return Err(Failure::Usage(text));
        }
        let base = Base { reach: &options.reach, measure: &options.measure, rate: options.rate };
        if script.measures_rounds() && options.rate.is_some() {
            let name = &script.name;
            let text = "measures rounds, which follow each other: --rate has no meaning for them";
            return Err(Failure::Usage(format!("{name} {text}")));
        }
        let workload = if script.measures_rounds() { Workload::Rounds } else { Workload::Script };
        base.load(workload, Work::Script(Arc::new(script)))
    }

    pub(crate) fn idle(options: &Idle) -> Result<Self, Failure> {
        let base = Base { reach: &options.reach, measure: &options.measure, rate: None };
        base.load(Workload::Idle, Work::Idle)
    }

    pub(crate) fn bulk(options: &Bulk) -> Result<Self, Failure> {
        let size = options.size;
        let work = match options.direction {
            Direction::Both => Work::Echo { size, depth: BULK_DEPTH },
            Direction::Up => Work::Upload { size },
            Direction::Down => Work::Download { size },
        };
        let base = Base { reach: &options.reach, measure: &options.measure, rate: None };
        base.load(Workload::Bulk, work)
    }

    pub(crate) fn abuse(options: &Abuse) -> Result<Self, Failure> {
        let kinds = options.kind.clone();
        let twice = kinds.iter().enumerate().find(|(at, kind)| kinds[..*at].contains(kind));
        if let Some((_, kind)) = twice {
            let name = crate::swarm::attack_name(*kind);
            return Err(Failure::Usage(format!("--kind: {name} is named twice")));
        }
        let abusers = options.abusers as u64;
        let work = Work::Abuse { size: options.size, kinds: kinds.into(), abusers };
        let base = Base { reach: &options.reach, measure: &options.measure, rate: options.rate };
        base.load(Workload::Abuse, work)
    }

    /// Says whether it can be done here.
    pub(crate) fn check(&self) -> Result<(), Failure> {
        let (connections, threads) = (self.connections.count, self.threads);
        if let Some((size, depth)) = self.work.in_flight() {
            let in_flight = depth.saturating_mul(size);
            if in_flight > MAX_IN_FLIGHT_BYTES {
                return Err(Failure::InFlight { depth, size, limit: MAX_IN_FLIGHT_BYTES });
            }
            if connections.saturating_mul(in_flight) > MAX_ALL_IN_FLIGHT_BYTES {
                let limit = MAX_ALL_IN_FLIGHT_BYTES;
                return Err(Failure::AllInFlight { connections, depth, size, limit });
            }
        }
        if threads > connections {
            return Err(Failure::IdleThreads { threads, connections });
        }
        let abusers = match &self.work {
            Work::Abuse { kinds, abusers, .. } => kinds.len() as u64 * abusers,
            _ => 0,
        };
        let need = Need {
            connections: connections as u64,
            abusers,
            threads: threads as u64,
            visits_per_second: match self.work {
                Work::Churn { .. } | Work::Script(_) => self.per_second,
                _ => None,
            },
            lasts: self.warmup.saturating_add(self.duration),
        };
        limits::check(&need, &self.endpoints)
    }

    /// None of its targets could be reached.
    pub(crate) fn unreachable(&self, why: String) -> Failure {
        let targets = self.endpoints.iter().map(|endpoint| endpoint.target.to_string());
        Failure::Unreachable { target: targets.collect::<Vec<_>>().join(", "), why }
    }

    /// What this thread is to do: all have the same share of the connections, give or take one, and
    /// each connection the same of the rate.
    pub(crate) fn plan(&self, thread: usize) -> Plan {
        let Share { first, count, all } = self.connections;
        let from = |thread: usize| first + (count * thread / self.threads) as u64;
        let numbers = from(thread)..from(thread + 1);
        let share = (numbers.end - numbers.start) as f64 / count as f64;
        let mut work = self.work.clone();
        if let Work::Abuse { abusers, .. } = &mut work {
            let from = |thread: u64| *abusers * thread / self.threads as u64;
            *abusers = from(thread as u64 + 1) - from(thread as u64);
        }
        Plan {
            endpoints: Arc::clone(&self.endpoints),
            numbers,
            stride: all as u64,
            work,
            per_second: self.per_second.map(|rate| rate * share),
            warmup: self.warmup,
            duration: self.duration,
            timeout: self.timeout,
        }
    }
}
