//! A peer of a simulated world: how it sends, reads and ends.
//!
//! Never: acts but when its world lets it step.

use super::balancer::preface;
use super::history::Shared;
use super::upgrade::{ANSWER, REQUEST};
use shardpoll_reactor::{SimPeer, Tick};

/// The most that a record of TLS carries (RFC 5246, section 6.2.3).
const RECORD_BYTES: usize = 16_384 + 2048;

/// How a peer ends when it has sent everything.
#[derive(Clone, Copy, Debug)]
enum Ending {
    /// A FIN; then it reads to the other's end.
    Finish,
    /// It says nothing more and waits for the other.
    Wait,
    /// A reset.
    Reset,
    /// It closes, whatever is unread.
    Leave,
}

/// What a peer is there for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Role {
    /// Speaks, and checks every byte of the answers.
    Speaker,
    /// As that, behind a PROXY header.
    Balancer,
    /// Sends what is no TLS to who wants TLS.
    Stranger,
    /// A server that never answers a TLS client, and looks at what that says.
    Listener,
    /// Asks for an upgrade in clear, and then only looks at what comes.
    Client,
    /// Grants an upgrade in clear, and then only looks at what comes.
    Server,
}

/// A peer and what it is about to do.
#[derive(Debug)]
pub struct Script {
    peer: SimPeer,
    me: usize,
    to_send: usize,
    /// Bytes a step, and one step of so many.
    sends: (usize, u32),
    reads: (usize, u32),
    ending: Ending,
    role: Role,
    /// What is left of its header.
    preface: Vec<u8>,
    /// What came over TLS and is no whole record yet.
    records: Vec<u8>,
}

impl Script {
    pub fn new(shared: &Shared, peer: SimPeer, role: Role) -> Self {
        let me = shared.borrow_mut().add_record(false);
        shared.borrow_mut().records[me].addr = Some(peer.addr());
        if role == Role::Stranger {
            shared.borrow_mut().strangers.push(peer.addr());
        }
        let is_balancer = role == Role::Balancer;
        let preface = if is_balancer { preface(shared, peer.addr()) } else { Vec::new() };
        let rng = &mut shared.borrow_mut().rng;
        let ending = match rng.u32(0..10) {
            0..5 => Ending::Finish,
            5..7 => Ending::Wait,
            7 => Ending::Reset,
            _ => Ending::Leave,
        };
        let pace = |rng: &mut fastrand::Rng| {
            let bytes = [1, 100, 3000, 60_000][rng.usize(0..4)];
            (bytes, [1, 2, 30][rng.usize(0..3)])
        };
        let most = [100, 2000, 30_000][rng.usize(0..3)];
        let to_send = match role {
            Role::Listener => 0,
            Role::Client => bytes(REQUEST),
            Role::Server => bytes(ANSWER),
            _ => rng.usize(0..most),
        };
        let records = Vec::new();
        Self {
            me,
            to_send,
            sends: pace(rng),
            reads: pace(rng),
            ending,
            role,
            preface,
            records,
            peer,
        }
    }

    /// Does a little; false when the peer has gone.
    pub fn step(&mut self, shared: &Shared, now: Tick) -> bool {
        if self.peer.is_reset() {
            return false;
        }
        if !self.peer.is_connected() {
            return true;
        }
        let calm = shared.borrow().calm;
        self.read(shared, calm, now);
        if self.peer.is_at_end() {
            shared.borrow_mut().records[self.me].clean_end = true;
            return false;
        }
        if !self.preface.is_empty() {
            return self.send_preface(shared);
        }
        if self.to_send > 0 {
            self.send(shared);
            return true;
        }
        match self.ending {
            Ending::Finish => self.peer.shutdown(),
            Ending::Wait if calm => self.peer.shutdown(),
            Ending::Wait => {}
            // Not at once: what it has sent may be read before.
            Ending::Reset | Ending::Leave => {
                let goes = shared.borrow_mut().rng.u32(0..20) == 0;
                if goes && matches!(self.ending, Ending::Reset) {
                    self.peer.reset();
                }
                return !goes;
            }
        }
        true
    }

    fn read(&mut self, shared: &Shared, calm: bool, now: Tick) {
        let (most, seldom) = self.reads;
        let reads = calm || shared.borrow_mut().rng.u32(0..seldom) == 0;
        if reads {
            let data = self.peer.recv(if calm { usize::MAX } else { most });
            match self.role {
                Role::Speaker | Role::Balancer => shared.borrow_mut().take(self.me, &data, now),
                Role::Stranger | Role::Listener => self.overhear(shared, &data),
                Role::Client => self.read_clear(shared, &data, ANSWER, now),
                Role::Server => self.read_clear(shared, &data, REQUEST, now),
            }
        }
    }

    fn send(&mut self, shared: &Shared) {
        let mut history = shared.borrow_mut();
        if history.rng.u32(0..self.sends.1) != 0 {
            return;
        }
        let len = self.sends.0.min(self.to_send);
        let data = match self.role {
            Role::Speaker | Role::Balancer | Role::Listener | Role::Client | Role::Server => {
                history.say(self.me, len)
            }
            Role::Stranger => vec![b'x'; len],
        };
        let sent = self.peer.send(&data);
        history.records[self.me].written += sent as u64;
        self.to_send -= sent;
        if self.peer.has_ended() {
            self.to_send = 0;
        }
    }

    /// A piece of the header, maybe the last that it ever sends; false when it has gone.
    fn send_preface(&mut self, shared: &Shared) -> bool {
        let rng = &mut shared.borrow_mut().rng;
        if rng.u32(0..self.sends.1) != 0 {
            return true;
        }
        let len = rng.usize(1..=self.preface.len());
        let sent = self.peer.send(&self.preface[..len]);
        self.preface.drain(..sent);
        rng.u32(0..40) != 0
    }

    /// So much comes in clear, and nothing behind it.
    fn read_clear(&mut self, shared: &Shared, data: &[u8], in_clear: u64, now: Tick) {
        let got = shared.borrow().records[self.me].got;
        let (clear, sealed) = data.split_at(data.len().min(bytes(in_clear - got)));
        shared.borrow_mut().take(self.me, clear, now);
        self.overhear(shared, sealed);
    }

    /// On a line with TLS nothing but records is sent (RFC 8446, section 5.1).
    fn overhear(&mut self, shared: &Shared, data: &[u8]) {
        self.records.extend_from_slice(data);
        while let [kind, major, _, high, low, rest @ ..] = &self.records[..] {
            let len = usize::from(u16::from_be_bytes([*high, *low]));
            if !(20..=23).contains(kind) || *major != 3 || len > RECORD_BYTES {
                let text = format!("{}: what is no TLS record was sent in clear", self.me);
                return shared.borrow_mut().violation(text);
            }
            if rest.len() < len {
                return;
            }
            self.records.drain(..len + 5);
        }
    }
}

fn bytes(count: u64) -> usize {
    usize::try_from(count).expect("a few")
}
