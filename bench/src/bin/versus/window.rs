//! One look at one server: what it did in a window, what it cost, and who else was running.
//!
//! Never: looks while the server is at work; the scheduler's account is exact only when it rests.

use crate::candidate::Candidate;
use crate::failure::Failure;
use serde::Serialize;
use shardpoll_bench::clock::Clock;
use shardpoll_bench::cpu::{self, MachineTime};
use std::io;
use std::sync::mpsc;
use std::time::Duration;

/// Processors that others may use during a window that counts, on average.
const STRANGERS_MAX: f64 = 0.25;

/// Processors that the host may take away during a window that counts, on average.
const STOLEN_MAX: f64 = 0.1;

/// How long a server must have had no processor time to be at rest.
const REST: Duration = Duration::from_millis(3);

/// How often it is looked at for that: one that never rests is measured all the same.
const LOOKS_MAX: u32 = 30;

/// Where servers and clients run.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Place {
    pub(crate) server_cpu: usize,
    pub(crate) client_cpu: usize,
}

impl Place {
    /// The first and the second CPU of this process; the same when it has only one.
    pub(crate) fn choose() -> Self {
        let ids = core_affinity::get_core_ids().unwrap_or_default();
        let at = |place: usize| ids.get(place).map(|core| core.id);
        let server_cpu = at(0).unwrap_or(0);
        Self { server_cpu, client_cpu: at(1).unwrap_or(server_cpu) }
    }
}

/// What happened in one window.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Window {
    /// Messages or visits.
    pub(crate) messages: u64,
    pub(crate) seconds: f64,
    /// Processor seconds of the server.
    pub(crate) server: f64,
    /// Processor seconds of the clients.
    pub(crate) client: f64,
    /// Processors used by others, on average.
    pub(crate) strangers: f64,
    /// Processors the host took away, on average.
    pub(crate) stolen: f64,
}

impl Window {
    pub(crate) fn is_disturbed(&self) -> bool {
        self.strangers > STRANGERS_MAX || self.stolen > STOLEN_MAX
    }

    /// Processor microseconds of the server for each message.
    pub(crate) fn micros(&self) -> f64 {
        self.server * 1e6 / self.messages as f64
    }
}

/// All clocks at one moment.
struct Look {
    server: Duration,
    client: Duration,
    machine: MachineTime,
}

fn look(server: u32, clients: &[u32]) -> Result<Look, Failure> {
    let clocks = || {
        let of_clients = clients.iter().map(|&pid| cpu::process_time(pid));
        Ok(Look {
            server: at_rest(server)?,
            client: of_clients.sum::<io::Result<_>>()?,
            machine: cpu::machine_time()?,
        })
    };
    clocks().map_err(Failure::io("processor time"))
}

/// The server's processor time, as soon as it stands still.
fn at_rest(pid: u32) -> io::Result<Duration> {
    let mut before = cpu::process_time(pid)?;
    for _ in 0..LOOKS_MAX {
        pause(REST);
        let now = cpu::process_time(pid)?;
        if now == before {
            break;
        }
        before = now;
    }
    Ok(before)
}

/// Nothing tells that another process, or thread, has come to rest.
pub(crate) fn pause(time: Duration) {
    let (_open, never) = mpsc::channel::<()>();
    let _timeout = never.recv_timeout(time);
}

/// Runs `load` against the server, a process, and looks before and after; `load` gives the
/// messages, and `clients` are all processes that work for it.
pub(crate) fn measure(
    candidate: Candidate,
    server: u32,
    clients: &[u32],
    load: impl FnOnce() -> Result<u64, Failure>,
) -> Result<Window, Failure> {
    let before = look(server, clients)?;
    let clock = Clock::start();
    let messages = load()?;
    let busy = clock.elapsed();
    let after = look(server, clients)?;
    let passed = clock.elapsed().as_secs_f64();
    if messages == 0 {
        return Err(candidate.failed("did nothing in a window".into()));
    }
    let spent = |after: Duration, before: Duration| (after.saturating_sub(before)).as_secs_f64();
    let server = spent(after.server, before.server);
    let client = spent(after.client, before.client);
    let all = spent(after.machine.busy, before.machine.busy);
    Ok(Window {
        messages,
        seconds: busy.as_secs_f64(),
        server,
        client,
        strangers: ((all - server - client) / passed).max(0.0),
        stolen: spent(after.machine.stolen, before.machine.stolen) / passed,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_is_disturbed_by_strangers_or_by_the_host() {
        let quiet = Window {
            messages: 1000,
            seconds: 0.3,
            server: 0.01,
            client: 0.2,
            strangers: 0.2,
            stolen: 0.0,
        };
        assert!(!quiet.is_disturbed());
        assert!(Window { strangers: 0.3, ..quiet }.is_disturbed());
        assert!(Window { stolen: 0.2, ..quiet }.is_disturbed());
        assert!((quiet.micros() - 10.0).abs() < 1e-9);
    }
}
