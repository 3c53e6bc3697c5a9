//! What has happened in a world, and whether it may.
//!
//! Never: plays; it is told and judges.

use super::place::stream;
use super::record::Record;
use fastrand::Rng;
use shardpoll_reactor::{ConnId, Tick, TimerId};
use std::cell::RefCell;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

/// A history that handlers, timers and the world write together.
pub type Shared = Rc<RefCell<History>>;

/// The callbacks of a handler.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Callback {
    Incoming,
    Connect,
    Predrain,
    Drain,
    HighWater,
    LowWater,
    ReadTimeout,
    Status,
    Starttls,
    Attach,
    Detach,
    Panic,
    Disconnect,
}

impl Callback {
    /// Whether it is also called on a connection that is ending.
    pub fn may_come_late(self) -> bool {
        use Callback::{Attach, Detach, Disconnect, Panic, Predrain};
        matches!(self, Predrain | Disconnect | Attach | Detach | Panic)
    }
}

/// One handler: a connection has one after the other.
#[derive(Clone, Copy, Debug)]
pub struct Seat {
    /// The record of its connection.
    pub me: usize,
    pub state: SeatState,
    pub dropped: bool,
}

/// Where a handler is in its life.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SeatState {
    /// Named by `set_handler`, and not called yet.
    Waiting,
    Serving,
    /// It was told `on_detach`.
    Left,
}

/// A listener of the loop.
#[derive(Clone, Copy, Default, Debug)]
pub struct Door {
    /// Until when it accepts nobody; [`Tick::MAX`]: for ever.
    pub paused_until: Option<Tick>,
    /// Those who wait are accepted all the same.
    pub closing: bool,
    pub closed: bool,
}

/// With so many bytes a sender names itself.
pub const HEADER: u64 = 8;

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
    pub seats: Vec<Seat>,
    pub doors: Vec<Door>,
    /// Relays: the records of their two sides.
    pub pairs: Vec<(usize, usize)>,
    /// The side of a relay that this peer has come to.
    pub fronts: HashMap<SocketAddr, usize>,
    /// Addresses that PROXY headers have said, or that their senders have.
    pub claims: Vec<SocketAddr>,
    /// Peers that speak no TLS to who wants it.
    pub strangers: Vec<SocketAddr>,
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
    /// A handler that panics goes on.
    pub goes_on: bool,
    /// How long a peer may be silent.
    pub read_timeout: Duration,
    /// Who has much queued is not read.
    pub pauses_peers: bool,
    pub low_water: usize,
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
            seats: Vec::new(),
            doors: Vec::new(),
            pairs: Vec::new(),
            fronts: HashMap::new(),
            claims: Vec::new(),
            strangers: Vec::new(),
            by_id: HashMap::new(),
            ids: Vec::new(),
            alarms: Vec::new(),
            violations: Vec::new(),
            running: None,
            dials: 6,
            calm: false,
            goes_on: false,
            read_timeout: Duration::ZERO,
            pauses_peers: false,
            low_water: 0,
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

    /// A handler for this connection: the first, or one that waits to take over.
    pub fn add_seat(&mut self, me: usize, state: SeatState) -> usize {
        self.seats.push(Seat { me, state, dropped: false });
        let number = self.seats.len() - 1;
        if state == SeatState::Serving {
            self.records[me].handler = Some(number);
        }
        number
    }

    /// A handler is dropped.
    pub fn drop_seat(&mut self, number: usize) {
        if std::mem::replace(&mut self.seats[number].dropped, true) {
            self.violation(format!("handler {number} was dropped twice"));
        }
    }

    /// A callback of a handler begins: may it?
    pub fn enter(&mut self, number: usize, callback: Callback, id: ConnId, now: Tick) {
        let Seat { me, state, dropped } = self.seats[number];
        self.callbacks += 1;
        self.note((number as u64) << 8 | callback as u64);
        self.note(now.as_nanos());
        if let Some(other) = self.running.replace(me) {
            self.violation(format!("{callback:?} of {me} inside a callback of {other}"));
        }
        self.name(me, id);
        let attaches = callback == Callback::Attach;
        let wanted = if attaches { SeatState::Waiting } else { SeatState::Serving };
        let mut wrong = self.records[me].wrong(callback, now);
        let full = self.pauses_peers && self.records[me].flow.high;
        if full && callback == Callback::Incoming {
            wrong.push("while its own queue is high");
        }
        // One whose on_detach has panicked is told so.
        let told = callback == Callback::Panic && state == SeatState::Left;
        if state != wanted && !told || dropped {
            wrong.push("of a handler that does not serve");
        }
        let record = &mut self.records[me];
        match callback {
            Callback::Connect => {
                record.connects += 1;
                // A wait that was asked for earlier counts on.
                if record.flow.silence_due == Tick::ZERO {
                    record.flow.silence_due = now.saturating_add(self.read_timeout);
                }
            }
            Callback::Disconnect => record.disconnects += 1,
            Callback::HighWater => record.flow.high = true,
            Callback::LowWater => record.flow.high = false,
            Callback::Panic => {
                record.panic_due = false;
                record.told_of_panic_in = self.turn;
            }
            Callback::Attach => {
                record.handler = Some(number);
                self.seats[number].state = SeatState::Serving;
            }
            Callback::Detach => self.seats[number].state = SeatState::Left,
            _ => {}
        }
        for wrong in wrong {
            self.violation(format!("{callback:?} of {me} ({id}) {wrong}"));
        }
    }

    /// A callback panics on purpose: what becomes of its connection?
    pub fn panic(&mut self, me: usize) {
        let record = &mut self.records[me];
        // Nothing more is called for one that was aborted or is told of its end.
        let is_over = record.aborted || record.disconnects > 0;
        if self.goes_on && !is_over {
            record.panic_due = true;
            // Two in one service end it.
            record.may_end_silently = record.told_of_panic_in == self.turn;
        } else {
            record.panicked = true;
        }
    }

    /// A listener accepts; may it?
    pub fn accept(&mut self, door: usize, now: Tick) {
        let Door { paused_until, closing, closed } = self.doors[door];
        if closed {
            self.violation(format!("listener {door} accepts after its end"));
        }
        if paused_until.is_some_and(|until| until > now) && !closing {
            self.violation(format!("listener {door} accepts while paused"));
        }
    }

    /// A listener has ended.
    pub fn close_door(&mut self, door: usize) {
        if std::mem::replace(&mut self.doors[door].closed, true) {
            self.violation(format!("listener {door} has ended twice"));
        }
    }

    pub fn leave(&mut self) {
        self.running = None;
    }

    /// Bytes have come; are they the next ones?
    pub fn take(&mut self, me: usize, data: &[u8], now: Tick) {
        self.note(data.len() as u64);
        let record = &mut self.records[me];
        if !record.flow.charge(data.len(), now) {
            let text = format!("record {me}: {} bytes came, beyond its credit", data.len());
            self.violations.push(text);
        }
        record.flow.silence_due = now.saturating_add(self.read_timeout);
        let mut rest = data;
        while !rest.is_empty() {
            let at = record.got;
            let count = if at < HEADER {
                let from = usize::try_from(at).expect("below 8");
                let count = rest.len().min(record.header.len() - from);
                record.header[from..from + count].copy_from_slice(&rest[..count]);
                count
            } else {
                let want = stream(u64::from_le_bytes(record.header), at);
                let count = rest.len().min(want.len());
                if rest[..count] != want[..count] {
                    let text = format!("record {me}: after byte {at} comes what was not sent");
                    return self.violation(text);
                }
                count
            };
            record.got += count as u64;
            rest = &rest[count..];
        }
    }

    /// The next bytes that this side has to say.
    pub fn say(&self, me: usize, len: usize) -> Vec<u8> {
        let from = self.records[me].written;
        let header = (me as u64).to_le_bytes();
        let mut bytes = Vec::with_capacity(len);
        if from < HEADER {
            bytes.extend(header.iter().skip(usize::try_from(from).expect("below 8")).take(len));
        }
        while bytes.len() < len {
            let next = stream(me as u64, from + bytes.len() as u64);
            bytes.extend_from_slice(&next[..next.len().min(len - bytes.len())]);
        }
        bytes
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
        for door in &mut self.doors {
            door.closing = true;
        }
    }
}
