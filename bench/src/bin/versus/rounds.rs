//! Going round and round: all servers of a scenario stand at once, and each has a short window in
//! every round, so that whatever else this machine does, it does to all of them.
//!
//! Every other round goes the other way round. The first is for warming up, and is not counted.
//!
//! Never: compares windows of different rounds.

use crate::candidate::Candidate;
use crate::cli::Cli;
use crate::clients::{Clients, Handshake, Order};
use crate::compare::{self, Measured, Part};
use crate::failure::Failure;
use crate::report::Row;
use crate::scenario::{Kind, Lines, Scenario};
use crate::spread::{Spread, go_round};
use crate::window::{self, Place, Window};
use shardpoll_bench::child::Child;

/// One server and its clients.
#[derive(Debug)]
pub(crate) struct Stand {
    pub(crate) candidate: Candidate,
    server: Child,
    clients: Clients,
    /// Processes that work for the clients, and are no strangers.
    helpers: Vec<u32>,
}

impl Stand {
    /// With these lasting connections, if any.
    pub(crate) fn start(
        candidate: Candidate,
        handshake: Handshake,
        lines: Option<Lines>,
        place: Place,
        more: &[String],
    ) -> Result<Self, Failure> {
        let options = ["--cpu".into(), place.server_cpu.to_string()];
        let server = candidate.start(&[], &[&options, more].concat())?;
        let tls = candidate.provider.map(|_| handshake);
        let mut clients = Clients::start(server.addr, tls, Some(place.client_cpu))?;
        if let Some(lines) = lines {
            clients.order(Order::GrowTo(lines))?;
        }
        Ok(Self { candidate, server, clients, helpers: Vec::new() })
    }

    /// Has the clients do something that is not measured.
    pub(crate) fn order(&mut self, order: Order) -> Result<u64, Failure> {
        self.clients.order(order)
    }

    /// What carrying out this order takes of the server.
    pub(crate) fn window(&mut self, order: Order) -> Result<Window, Failure> {
        let clients = [&[self.clients.pid()], &self.helpers[..]].concat();
        let server = self.server.pid;
        window::measure(self.candidate, server, &clients, || self.clients.order(order))
    }

    /// The clients end first: a server that ends would be bad news to them.
    pub(crate) fn end(self) -> Result<(), Failure> {
        self.clients.end()?;
        self.server.end().map_err(|error| self.candidate.failed(error.to_string()))
    }
}

pub(crate) fn measure(
    scenario: Scenario,
    candidates: &[Candidate],
    place: Place,
    asked: &Cli,
) -> Result<Vec<Row>, Failure> {
    let kind = scenario.spec().kind;
    let (lines, handshake, order) = match kind {
        Kind::Lines(lines) => (Some(lines), Handshake::Full, Order::LinesFor(asked.window)),
        Kind::Visits { at_a_time, resumed } => {
            let handshake = if resumed { Handshake::Resumed } else { Handshake::Full };
            (None, handshake, Order::VisitsFor { millis: asked.window, at_a_time })
        }
        _ => unreachable!("{kind:?} has no clients"),
    };
    // On the clients' CPU, so that the proxies have theirs for themselves.
    let behind = scenario.spec().behind.map(|peer| {
        let pinned = ["--cpu".into(), place.client_cpu.to_string()];
        Candidate::plain(peer).start(&[], &pinned)
    });
    let behind = behind.transpose()?;
    let more = behind.iter().flat_map(|server| ["--behind".into(), server.addr.to_string()]);
    let more: Vec<String> = more.collect();
    let start = |&candidate| Stand::start(candidate, handshake, lines, place, &more);
    let mut stands = candidates.iter().map(start).collect::<Result<Vec<_>, _>>()?;
    for stand in &mut stands {
        stand.helpers.extend(behind.iter().map(|server| server.pid));
    }
    let windows = go_round(&mut stands, asked.rounds, |stand| stand.window(order))?;
    stands.into_iter().try_for_each(Stand::end)?;
    if let Some(server) = behind {
        server.end().map_err(|error| Failure::Server {
            server: "the server behind".into(),
            why: error.to_string(),
        })?;
    }
    Ok(timed(Part::whole(scenario), candidates, windows))
}

/// The rows of what has been timed, each with its windows.
pub(crate) fn timed(part: Part, candidates: &[Candidate], windows: Vec<Vec<Window>>) -> Vec<Row> {
    let scale = part.scenario.messages_per_unit();
    let by_windows = |(&candidate, windows): (&Candidate, &Vec<Window>)| {
        Measured::of_windows(candidate, windows, scale)
    };
    let measured: Vec<_> = candidates.iter().zip(&windows).map(by_windows).collect();
    let mut rows = compare::rows(part, &measured);
    for (row, windows) in rows.iter_mut().zip(windows) {
        row.told_by(windows, scale);
    }
    rows
}

impl Row {
    /// Adds what windows tell besides: how fast it went, and how busy the clients were.
    pub(crate) fn told_by(&mut self, windows: Vec<Window>, scale: f64) {
        let all =
            |value: &dyn Fn(&Window) -> f64| Spread::of(windows.iter().map(value).collect()).median;
        self.per_second = Some(all(&|own| own.messages as f64 / own.seconds / scale));
        self.client = Some(all(&|own| own.client / own.seconds));
        self.windows = windows;
    }
}
