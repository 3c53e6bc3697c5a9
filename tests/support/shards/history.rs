//! What has happened in a world of many shards, and whether it may.
//!
//! Never: plays; it is told and judges.

use super::ledger::Ledger;
use fastrand::Rng;
use shardpoll::{CloseReason, ConnId, EngineState, ShardReport, Tick};
use std::cell::RefCell;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::rc::Rc;

pub type Shared = Rc<RefCell<History>>;

/// One handler and its connection.
#[derive(Clone, Default, Debug)]
pub struct Line {
    pub id: Option<ConnId>,
    pub connected: bool,
    /// The drain of its shard that it was told of last, counted from 1.
    told_of: u64,
    /// It has had its end, or shall have none.
    pub over: bool,
    pub dropped: bool,
    /// What it has written itself, in frames.
    pub frames: u64,
    /// It ended after its output.
    pub flushed: bool,
}

/// One shard on its way out.
#[derive(Clone, Copy, Default, Debug)]
pub struct Shard {
    pub state: EngineState,
    /// Drains that its lines were told of.
    drains: u64,
    /// Since it was told to end: those that ended, and of them those that were cut.
    ended: u64,
    cut: u64,
}

#[derive(Debug)]
pub struct History {
    pub rng: Rng,
    pub now: Tick,
    pub digest: u64,
    pub lines: Vec<Line>,
    pub shards: Vec<Shard>,
    pub ledger: Ledger,
    pub violations: Vec<String>,
    pub callbacks: u64,
    /// Whose callback runs.
    running: Option<usize>,
    /// Handlers give no orders while one is withdrawn: it shall be known which was the last.
    pub may_order: bool,
    /// When each shard that was told to end is to have ended.
    pub bounds: Vec<Option<Tick>>,
    /// Whom a peer has come to.
    pub by_peer: HashMap<SocketAddr, usize>,
    /// What each sender has written to each connection by letters, in frames.
    pub sent: HashMap<(u16, ConnId), u32>,
    /// How many connections handlers may still open.
    pub dials: usize,
    /// The end has come: nobody begins anything.
    pub calm: bool,
}

impl History {
    pub fn new(seed: u64, shards: usize) -> Self {
        Self {
            rng: Rng::with_seed(seed),
            now: Tick::ZERO,
            digest: seed,
            lines: Vec::new(),
            shards: vec![Shard::default(); shards],
            ledger: Ledger::default(),
            violations: Vec::new(),
            callbacks: 0,
            running: None,
            may_order: true,
            bounds: vec![None; shards],
            by_peer: HashMap::new(),
            sent: HashMap::new(),
            dials: 6,
            calm: false,
        }
    }

    pub fn violation(&mut self, text: String) {
        self.violations.push(text);
    }

    pub fn note(&mut self, word: u64) {
        self.digest = (self.digest.rotate_left(5) ^ word).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    }

    pub fn add_line(&mut self) -> usize {
        self.lines.push(Line::default());
        self.lines.len() - 1
    }

    /// A callback of a handler begins: may it?
    pub fn enter(&mut self, me: usize, what: &str, id: ConnId, state: EngineState) {
        self.callbacks += 1;
        self.see(id.shard(), state);
        self.note((me as u64) << 8 | what.len() as u64);
        if let Some(other) = self.running.replace(me) {
            self.violation(format!("{what} of {me} inside a callback of {other}"));
        }
        let line = &mut self.lines[me];
        if line.id.replace(id).is_some_and(|known| known != id) {
            self.violation(format!("line {me} has changed its connection to {id}"));
        }
        let line = &self.lines[me];
        if line.over || line.dropped {
            self.violation(format!("{what} of {me} after its end"));
        }
    }

    pub fn leave(&mut self) {
        self.running = None;
    }

    pub fn connect(&mut self, me: usize) {
        if std::mem::replace(&mut self.lines[me].connected, true) {
            self.violation(format!("line {me} is connected twice"));
        }
    }

    /// Input comes: in a shard that drains only to those who know.
    pub fn input(&mut self, me: usize, shard: usize) {
        let Shard { state, drains, .. } = self.shards[shard];
        let drains_now = state != EngineState::Serving && drains > 0;
        if drains_now && self.lines[me].told_of != drains {
            self.violation(format!("line {me} has input, and was not told of drain {drains}"));
        }
    }

    /// A line is told of a drain.
    pub fn drain_begin(&mut self, me: usize, shard: usize) {
        let drains = self.shards[shard].drains;
        let line = &mut self.lines[me];
        let before = std::mem::replace(&mut line.told_of, drains);
        if before == drains || !line.connected {
            self.violation(format!("line {me} is told of drain {drains} after {before}"));
        }
    }

    /// A line ends, with a reason, or without a word because its handler wanted that.
    pub fn end(&mut self, me: usize, shard: usize, reason: Option<&CloseReason>) {
        self.lines[me].over = true;
        self.lines[me].flushed = matches!(reason, Some(CloseReason::Asked));
        let of = &mut self.shards[shard];
        if of.state != EngineState::Serving {
            of.ended += 1;
            of.cut += u64::from(matches!(reason, Some(CloseReason::Quitting)));
        } else if matches!(reason, Some(CloseReason::Quitting)) {
            self.violation(format!("line {me} is cut on a shard that serves"));
        }
    }

    pub fn drop_handler(&mut self, me: usize) {
        let line = &mut self.lines[me];
        if std::mem::replace(&mut line.dropped, true) || line.connected && !line.over {
            self.violation(format!("handler {me} is dropped twice, or before its end"));
        }
    }

    /// A shard is this far: what ends from its first step out on is reported.
    pub fn see(&mut self, shard: usize, state: EngineState) {
        let of = &mut self.shards[shard];
        let drains = of.drains + u64::from(state == EngineState::DrainingAccepting);
        match (of.state, state) {
            (EngineState::Serving, EngineState::Serving) => {}
            (EngineState::Serving, _) => *of = Shard { state, drains, ..Shard::default() },
            (_, EngineState::Serving) => *of = Shard { drains: of.drains, ..Shard::default() },
            (before, after) if after < before => {
                self.violation(format!("shard {shard} went from {before} back to {after}"));
            }
            _ => of.state = state,
        }
    }

    /// Every shard, or this one, was told to end by then.
    pub fn bound(&mut self, of: Option<usize>, by: Tick) {
        for (shard, bound) in self.bounds.iter_mut().enumerate() {
            if of.is_none_or(|of| of == shard) {
                *bound = Some(bound.map_or(by, |known| known.min(by)));
            }
        }
    }

    /// A shard has ended: its report is what was seen.
    pub fn compare(&mut self, shard: usize, report: ShardReport) {
        let Shard { ended, cut, .. } = self.shards[shard];
        if (report.finished + report.cut, report.cut) != (ended, cut) {
            let text = format!("shard {shard} reports {report}; seen: {ended} ended, {cut} cut");
            self.violation(text);
        }
    }
}
