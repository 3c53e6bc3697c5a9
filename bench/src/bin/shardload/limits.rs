//! What the system allows one load: descriptors, and ports to connect from; looked at before it
//! begins, so that it does not fail in the middle.
//!
//! Never: changes a limit but the soft one of descriptors.

mod taken;

use crate::failure::Failure;
use crate::reach::Endpoint;
use shardpoll::{CloseReason, raise_descriptor_limit};
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;
use taken::Taken;

/// What a load will take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Need {
    /// Of this instance, at a time.
    pub(crate) connections: u64,
    /// Beside them.
    pub(crate) abusers: u64,
    pub(crate) threads: u64,
    /// Connections a second that we close first, where that is known.
    pub(crate) visits_per_second: Option<f64>,
    /// How long it goes on.
    pub(crate) lasts: Duration,
}

/// Descriptors beside those of connections: standard ones, signals, files being read.
const DESCRIPTORS: u64 = 16;

/// And for each shard: epoll, its waker, one in reserve.
const DESCRIPTORS_PER_SHARD: u64 = 4;

/// How long a port belongs to a connection that we have closed first (`TCP_TIMEWAIT_LEN` of the
/// kernel).
const TIME_WAIT: Duration = Duration::from_secs(60);

/// What the widest range that is advised has.
const PORTS_AT_MOST: u64 = 65_535 - 1_024 + 1;

/// As many sources are named in a remedy.
const NAMED: u64 = 250;

/// Says whether a load can be done here, and else what would help.
pub(crate) fn check(need: &Need, endpoints: &[Endpoint]) -> Result<(), Failure> {
    let limit = raise_descriptor_limit().map_err(Failure::io("descriptor limit"))?;
    let most = fs::read_to_string("/proc/sys/fs/nr_open").ok();
    let most = most.and_then(|text| text.trim().parse().ok());
    descriptors(need, limit, most.unwrap_or(u64::MAX)).map_err(Failure::Usage)?;
    // Without these files nothing is known; then the load shows it.
    let Some(kernel) = Kernel::read() else { return Ok(()) };
    let mut taken = taken::all();
    taken.retain(|taken| kernel.lacks(taken));
    let routes = routes(endpoints, &taken);
    let crowd = endpoints.len() as u64;
    routes.iter().try_for_each(|route| ports(need, crowd, route, &kernel)).map_err(Failure::Usage)
}

/// Why a connection has ended; where that was a limit that nobody could foresee, with what helps.
pub(crate) fn in_words(reason: &CloseReason) -> String {
    match reason {
        CloseReason::Connect(error) if error.kind() == io::ErrorKind::AddrNotAvailable => format!(
            "{error}: no port is left; connect from more addresses (--source \
             127.0.0.2-127.0.0.9), or let the kernel use ports again after a second (sysctl -w \
             net.ipv4.tcp_tw_reuse=1)"
        ),
        _ => reason.to_string(),
    }
}

fn descriptors(need: &Need, limit: u64, most: u64) -> Result<(), String> {
    let Need { connections, abusers, threads, .. } = *need;
    let needed = connections + abusers + DESCRIPTORS + DESCRIPTORS_PER_SHARD * threads;
    if needed <= limit {
        return Ok(());
    }
    let first = match needed > most {
        true => format!("sysctl -w fs.nr_open={needed}, and then "),
        false => String::new(),
    };
    Err(format!(
        "{}: needs {needed} descriptors, and this process may have {limit}; raise the hard limit \
         ({first}ulimit -Hn {needed}), or ask for fewer",
        asked(need)
    ))
}

fn asked(need: &Need) -> String {
    match need.abusers {
        0 => format!("--connections {}", need.connections),
        abusers => format!("--connections {} and {abusers} abusers", need.connections),
    }
}

/// All endpoints at one address: they share its ports.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Route {
    /// What it is called: the first that is there.
    target: String,
    to: SocketAddr,
    endpoints: u64,
    /// How many addresses it is reached from.
    sources: u64,
    /// The most ports that one of them has in use for this address already.
    taken: u64,
}

fn routes(endpoints: &[Endpoint], taken: &[Taken]) -> Vec<Route> {
    let mut routes: BTreeMap<SocketAddr, Route> = BTreeMap::new();
    for endpoint in endpoints {
        let Some(to) = endpoint.addr() else { continue };
        let new = || Route {
            target: endpoint.target.to_string(),
            to,
            endpoints: 0,
            sources: endpoint.sources().len().max(1) as u64,
            taken: taken::most(taken, to, endpoint.sources()),
        };
        routes.entry(to).or_insert_with(new).endpoints += 1;
    }
    routes.into_values().collect()
}

/// Whose ports in TIME_WAIT a new connection may have (`tcp_tw_reuse`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Reuse {
    Nobodys,
    OfLoopback,
    All,
}

/// What the kernel says of ports.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Kernel {
    first: u16,
    last: u16,
    /// Of these, how many are kept for others.
    reserved: u64,
    reuse: Reuse,
    /// How old a connection in TIME_WAIT must be for that.
    reuse_after: Duration,
}

impl Kernel {
    fn read() -> Option<Self> {
        let file = |name: &str| fs::read_to_string(format!("/proc/sys/net/ipv4/{name}")).ok();
        let timestamps = file("tcp_timestamps").unwrap_or_default();
        let delay = file("tcp_tw_reuse_delay").unwrap_or_default();
        let reserved = file("ip_local_reserved_ports").unwrap_or_default();
        let [range, reuse] = ["ip_local_port_range", "tcp_tw_reuse"].map(file);
        Self::parse(&range?, &reserved, &reuse?, &timestamps, &delay)
    }

    fn parse(
        range: &str,
        reserved: &str,
        reuse: &str,
        timestamps: &str,
        delay: &str,
    ) -> Option<Self> {
        let mut ends = range.split_ascii_whitespace().map(str::parse);
        let (first, last) = (ends.next()?.ok()?, ends.next()?.ok()?);
        let reserved = reserved.trim().split(',').filter(|part| !part.is_empty());
        let reserved = reserved.map(|part| {
            let (from, to) = part.split_once('-').unwrap_or((part, part));
            let (from, to): (u16, u16) = (from.parse().ok()?, to.parse().ok()?);
            let (from, to) = (from.max(first), to.min(last));
            Some((u64::from(to) + 1).saturating_sub(u64::from(from)))
        });
        let reserved = reserved.sum::<Option<u64>>()?;
        let reuse = match (timestamps.trim(), reuse.trim()) {
            // Without time stamps the kernel cannot tell old from new (RFC 6191).
            ("0", _) | (_, "0") => Reuse::Nobodys,
            (_, "2") => Reuse::OfLoopback,
            _ => Reuse::All,
        };
        // Before Linux 6.14 it was fixed.
        let reuse_after = Duration::from_millis(delay.trim().parse().unwrap_or(1000));
        Some(Self { first, last, reserved, reuse, reuse_after })
    }

    /// How many ports one address has for connections to one other.
    fn ports(&self) -> u64 {
        (u64::from(self.last) + 1).saturating_sub(u64::from(self.first) + self.reserved).max(1)
    }

    fn reuses(&self, to: IpAddr) -> bool {
        match self.reuse {
            Reuse::Nobodys => false,
            Reuse::OfLoopback => to.to_canonical().is_loopback(),
            Reuse::All => true,
        }
    }

    /// Whether a port that it might choose is gone for now.
    fn lacks(&self, taken: &Taken) -> bool {
        let is_ours = (self.first..=self.last).contains(&taken.from.port());
        is_ours && !(taken.is_resting && self.reuses(taken.to.ip()))
    }

    /// How long a port is gone behind a visit.
    fn rests(&self, to: IpAddr) -> Duration {
        if self.reuses(to) { self.reuse_after } else { TIME_WAIT }
    }
}

fn ports(need: &Need, crowd: u64, route: &Route, kernel: &Kernel) -> Result<(), String> {
    let share = |all: u64| (all * route.endpoints).div_ceil(crowd);
    let each = |all: u64| all.div_ceil(route.sources);
    let held = share(need.connections) + share(need.abusers);
    let Route { target, sources, taken, .. } = route;
    let there = kernel.ports().saturating_sub(*taken);
    let from = match sources {
        1 => "one address".to_string(),
        sources => format!("{sources} addresses"),
    };
    let others = match taken {
        0 => String::new(),
        taken => format!(", {taken} taken or resting in TIME_WAIT"),
    };
    let reuse = match kernel.reuse {
        _ if kernel.reuses(route.to.ip()) => "",
        _ => ", or let the kernel use them again after a second: sysctl -w net.ipv4.tcp_tw_reuse=1",
    };
    let Kernel { first, last, .. } = kernel;
    if each(held) > there {
        return Err(format!(
            "{}: {target} can have {} from {from} (net.ipv4.ip_local_port_range is {first} to \
             {last}{others}); {}{}",
            asked(need),
            there * sources,
            remedy(held, route, kernel),
            if *taken > 0 { reuse } else { "" }
        ));
    }
    let Some(rate) = need.visits_per_second else { return Ok(()) };
    let rests = kernel.rests(route.to.ip());
    let resting = share(visits(rate, rests.min(need.lasts)));
    if each(held + resting) <= there {
        return Ok(());
    }
    Err(format!(
        "--rate {rate}: a port rests for {} s behind each visit (TIME_WAIT), and {target} has {} \
         from {from}{others}; {}{reuse}",
        rests.as_secs_f64(),
        there * sources,
        remedy(held + resting, route, kernel)
    ))
}

/// How many are begun in so long.
#[expect(clippy::cast_possible_truncation, reason = "what is more is too much all the same")]
fn visits(rate: f64, time: Duration) -> u64 {
    // A rate is at most one each nanosecond, and a port rests for a minute at most.
    (rate * time.as_secs_f64()).ceil() as u64
}

/// What gives so many ports.
fn remedy(wanted: u64, route: &Route, kernel: &Kernel) -> String {
    let there = kernel.ports().saturating_sub(route.taken).max(1);
    let sources = wanted.div_ceil(there);
    let more = match route.to.ip().to_canonical() {
        IpAddr::V4(ip) if ip.is_loopback() && sources <= NAMED => {
            format!("connect from more: --source 127.0.0.2-127.0.0.{}", sources + 1)
        }
        _ => format!("connect from {sources} addresses of this machine: --source IP,IP"),
    };
    if wanted.div_ceil(route.sources) + route.taken > PORTS_AT_MOST {
        return more;
    }
    format!("{more}, or widen the range: sysctl -w net.ipv4.ip_local_port_range='1024 65535'")
}

#[cfg(test)]
mod tests;
