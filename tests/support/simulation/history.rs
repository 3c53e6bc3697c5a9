//! What has happened in a world, and whether it may.
//!
//! Never: plays; it is told and judges.

use super::pattern;
use fastrand::Rng;
use shardpoll_reactor::{ConnId, Tick, TimerId};
use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

/// A history that handlers, timers and the world write together.
pub type Shared = Rc<RefCell<History>>;

/// The callbacks of a handler.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Callback {
    Incoming,
    Connect,
    Predrain,
    Drain,
    ReadTimeout,
    Status,
    Starttls,
    Disconnect,
}

/// One side of a connection: a handler's or a peer's.
#[derive(Default, Debug)]
pub struct Record {
    pub id: Option<ConnId>,
    /// A handler's; else a simulated peer's.
    pub is_handler: bool,
    pub connects: u32,
    pub disconnects: u32,
    pub aborted: bool,
    pub panicked: bool,
    /// `connect` was refused at once: no callbacks.
    pub refused: bool,
    /// The handler was dropped.
    pub dropped: bool,
    pub closing: bool,
    pub paused: bool,
    /// Bytes given to the connection, and whether all of them must arrive at an orderly end.
    pub written: u64,
    pub graceful: bool,
    /// Bytes that came, the side that sent them (their first eight), and whether it has ended.
    pub got: u64,
    pub header: [u8; 8],
    pub clean_end: bool,
}

/// A user's timer.
#[derive(Debug)]
pub struct Alarm {
    pub id: Option<TimerId>,
    pub due: Tick,
    armed_in: u64,
    over: bool,
}

#[derive(Debug)]
pub struct History {
    pub rng: Rng,
    /// The number of the turn that runs, or ran last.
    pub turn: u64,
    pub digest: u64,
    pub records: Vec<Record>,
    pub by_id: HashMap<ConnId, usize>,
    pub ids: Vec<ConnId>,
    pub alarms: Vec<Alarm>,
    /// What was broken, in order.
    pub violations: Vec<String>,
    /// Whose callback runs.
    running: Option<usize>,
    /// How many connections handlers may still open.
    pub dials: usize,
    /// The end has come: nobody begins anything.
    pub calm: bool,
    pub panics: u64,
    pub callbacks: u64,
}

impl History {
    pub fn new(seed: u64) -> Self {
        Self {
            rng: Rng::with_seed(seed),
            turn: 0,
            digest: seed,
            records: Vec::new(),
            by_id: HashMap::new(),
            ids: Vec::new(),
            alarms: Vec::new(),
            violations: Vec::new(),
            running: None,
            dials: 6,
            calm: false,
            panics: 0,
            callbacks: 0,
        }
    }

    pub fn violation(&mut self, text: String) {
        self.violations.push(text);
    }

    /// Folds a number into the digest of the history.
    pub fn note(&mut self, word: u64) {
        self.digest = (self.digest.rotate_left(5) ^ word).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    }

    pub fn add_record(&mut self, is_handler: bool) -> usize {
        self.records.push(Record { is_handler, graceful: !is_handler, ..Record::default() });
        self.records.len() - 1
    }

    pub fn name(&mut self, me: usize, id: ConnId) {
        if self.records[me].id.replace(id).is_some_and(|known| known != id) {
            self.violation(format!("record {me} has changed its connection to {id}"));
        }
        if self.by_id.insert(id, me).is_none() {
            self.ids.push(id);
        }
    }

    /// A callback begins: may it?
    pub fn enter(&mut self, me: usize, callback: Callback, id: ConnId, now: Tick) {
        self.callbacks += 1;
        self.note((me as u64) << 8 | callback as u64);
        self.note(now.as_nanos());
        if let Some(other) = self.running.replace(me) {
            self.violation(format!("{callback:?} of {me} inside a callback of {other}"));
        }
        self.name(me, id);
        let record = &mut self.records[me];
        let mut wrong = Vec::new();
        if record.disconnects > 0 {
            wrong.push("after on_disconnect");
        }
        if record.aborted {
            wrong.push("after abort");
        }
        if record.panicked {
            wrong.push("after a panic");
        }
        let early = matches!(callback, Callback::Incoming | Callback::Drain);
        if record.connects == 0 && (early || callback == Callback::ReadTimeout) {
            wrong.push("before on_connect");
        }
        let ending = matches!(callback, Callback::Predrain | Callback::Disconnect);
        if record.closing && !ending {
            wrong.push("after close");
        }
        if record.paused && matches!(callback, Callback::Incoming | Callback::ReadTimeout) {
            wrong.push("while paused");
        }
        match callback {
            Callback::Connect => record.connects += 1,
            Callback::Disconnect => record.disconnects += 1,
            _ => {}
        }
        if record.connects > 1 {
            wrong.push("twice");
        }
        for wrong in wrong {
            self.violation(format!("{callback:?} of {me} ({id}) {wrong}"));
        }
    }

    pub fn leave(&mut self) {
        self.running = None;
    }

    /// Bytes have come; are they the next ones?
    pub fn take(&mut self, me: usize, data: &[u8]) {
        self.note(data.len() as u64);
        let record = &mut self.records[me];
        for &byte in data {
            let at = record.got;
            record.got += 1;
            let in_header = usize::try_from(at).ok().and_then(|at| record.header.get_mut(at));
            if let Some(slot) = in_header {
                *slot = byte;
            } else if byte != pattern(u64::from_le_bytes(record.header), at) {
                let text = format!("record {me}: byte {at} is not what was sent there");
                return self.violation(text);
            }
        }
    }

    /// The next bytes that this side has to say.
    pub fn say(&self, me: usize, len: usize) -> Vec<u8> {
        let from = self.records[me].written;
        let header = (me as u64).to_le_bytes();
        let byte = |at| match header.get(usize::try_from(at).unwrap_or(usize::MAX)) {
            Some(&byte) => byte,
            None => pattern(me as u64, at),
        };
        (from..from + len as u64).map(byte).collect()
    }

    pub fn add_alarm(&mut self, due: Tick) -> usize {
        self.alarms.push(Alarm { id: None, due, armed_in: self.turn, over: false });
        self.alarms.len() - 1
    }

    /// A timer is moved or armed again.
    pub fn arm(&mut self, index: usize, due: Tick) {
        (self.alarms[index].due, self.alarms[index].armed_in) = (due, self.turn);
    }

    /// A timer was stopped, or has rung for the last time.
    pub fn disarm(&mut self, index: usize) {
        self.alarms[index].over = true;
    }

    /// A timer rings; may it?
    pub fn ring(&mut self, index: usize, now: Tick) {
        self.note(index as u64);
        let alarm = &self.alarms[index];
        let wrong = if alarm.over {
            "rings after its end"
        } else if now < alarm.due {
            "rings early"
        } else if alarm.armed_in == self.turn {
            "rings in the turn in which it was armed"
        } else {
            return;
        };
        self.violation(format!("timer {index} {wrong}"));
    }

    /// Every handler's connection is asked to close.
    pub fn close_all(&mut self) {
        for record in self.records.iter_mut().filter(|record| record.id.is_some()) {
            record.closing = true;
        }
    }

    /// Everything is over: what must have been, has it?
    pub fn judge(&mut self) {
        let mut wrong = Vec::new();
        for (me, record) in self.records.iter().enumerate().filter(|(_, r)| r.is_handler) {
            if !record.dropped {
                wrong.push(format!("handler {me} was never dropped"));
            }
            let silent = record.aborted || record.panicked || record.refused;
            if record.disconnects == 0 && !silent {
                wrong.push(format!("handler {me} was not told of its end"));
            }
        }
        for (me, record) in self.records.iter().enumerate() {
            let sender = u64::from_le_bytes(record.header);
            if record.got < 8 {
                continue;
            }
            let Some(other) = self.records.get(usize::try_from(sender).unwrap_or(usize::MAX))
            else {
                wrong.push(format!("{me} got bytes of nobody: {sender}"));
                continue;
            };
            if record.got > other.written {
                wrong.push(format!("{me} got {}, {sender} sent {}", record.got, other.written));
            }
            if record.clean_end && other.graceful && record.got < other.written {
                let (got, written) = (record.got, other.written);
                wrong.push(format!("{me} got {got} and an orderly end, {sender} sent {written}"));
            }
        }
        self.violations.extend(wrong);
    }

    /// Sides that got all of what the other had written, up to an orderly end.
    pub fn complete(&self) -> u64 {
        let whole = self.records.iter().filter(|record| {
            let sender = usize::try_from(u64::from_le_bytes(record.header)).unwrap_or(usize::MAX);
            let sent = self.records.get(sender).map(|other| other.written);
            record.clean_end && record.got >= 8 && sent == Some(record.got)
        });
        whole.count() as u64
    }
}
