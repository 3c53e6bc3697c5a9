//! A connection that moves from shard to shard while bytes go both ways, and what it has seen.
//!
//! Never: asserts inside a callback, where a panic would only end the connection.

use shardpoll::{CloseReason, Conn, ConnId, Handler, MoveError, Status};
use std::num::NonZeroU64;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What may wait in its queue before it writes no more for now, in bytes.
const ENOUGH: usize = 64 * 1024;

/// What it is given at once, so that it has many callbacks to move in, in bytes.
const PIECE: usize = 900;

/// What it writes at once at last, in bytes.
const TAIL: usize = 128 * 1024;

/// What one side of the stream has seen.
#[derive(Default, Debug)]
pub struct Journal {
    /// How often it has moved.
    pub moves: u64,
    /// How many bytes have come, all of them right.
    pub received: usize,
    /// How its connection has ended.
    pub ends: Vec<String>,
    /// What must not have been.
    pub faults: Vec<String>,
}

/// A journal that is written on whichever shard the handler is.
pub type SharedJournal = Arc<Mutex<Journal>>;

/// One side of a stream: sends its bytes, checks those of the other, and moves again and again;
/// the first ends its side when all is sent.
#[derive(Debug)]
pub struct Hopper {
    side: u8,
    total: usize,
    sent: usize,
    received: usize,
    /// Where it is, and whether it was told of a connection.
    at: Option<ConnId>,
    /// Whether it also pauses, limits and locks.
    rough: bool,
    dice: u64,
    journal: SharedJournal,
}

fn byte(side: u8, at: usize) -> u8 {
    let mixed = (at as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15).wrapping_add(u64::from(side));
    mixed.to_le_bytes()[4] ^ side
}

impl Hopper {
    /// One of two sides, with so many bytes to send; `seed` decides when it moves and where to.
    #[must_use]
    pub fn new(side: u8, total: usize, rough: bool, seed: u64, journal: SharedJournal) -> Self {
        let dice = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ u64::from(side) | 1;
        Self { side, total, sent: 0, received: 0, at: None, rough, dice, journal }
    }

    fn roll(&mut self, sides: usize) -> usize {
        self.dice ^= self.dice << 13;
        self.dice ^= self.dice >> 7;
        self.dice ^= self.dice << 17;
        usize::try_from((self.dice >> 16) % sides as u64).expect("less than `sides`")
    }

    fn note(&self, write: impl FnOnce(&mut Journal)) {
        write(&mut self.journal.lock().expect("nobody panics with it"));
    }

    fn fault(&self, text: String) {
        self.note(|journal| journal.faults.push(text));
    }

    /// Each callback: is it told where it is, and will it move?
    fn step(&mut self, conn: &mut Conn<'_>) {
        if self.at != Some(conn.id()) {
            self.fault(format!("called as {}, was {:?}", conn.id(), self.at));
        }
        let shards = conn.local().shards();
        if shards < 2 || self.roll(2) > 0 {
            return;
        }
        let here = conn.id().shard();
        let to = (here + 1 + self.roll(shards - 1)) % shards;
        match conn.move_to::<Self>(to) {
            Ok(()) if self.rough => self.hold(conn),
            Ok(()) | Err(MoveError::Asked | MoveError::Ending) => {}
            Err(error) => self.fault(format!("{}: {error}", conn.id())),
        }
    }

    /// Moves with something special; what does not end by itself ends on the other shard.
    fn hold(&mut self, conn: &mut Conn<'_>) {
        match self.roll(6) {
            0 => conn.pause(),
            1 => conn.pause_for(Some(Duration::from_micros(300))),
            2 => conn.pause_writes(),
            3 => conn.limit(NonZeroU64::new(20_000_000)),
            4 => conn.read_size(70),
            _ => {}
        }
    }

    fn let_go(&mut self, conn: &mut Conn<'_>) {
        if self.rough {
            conn.resume();
            conn.resume_writes();
            if self.roll(2) == 0 {
                conn.limit(None);
                conn.read_size(PIECE);
            }
        }
    }

    fn produce(&mut self, conn: &mut Conn<'_>) {
        while self.sent < self.total && (conn.backlog() < ENOUGH || self.total - self.sent <= TAIL)
        {
            let most = 1 + self.roll(9000);
            let end = self.total.min(self.sent + most);
            let data: Vec<u8> = (self.sent..end).map(|at| byte(self.side, at)).collect();
            self.sent = end;
            conn.write_vec(data);
        }
        self.end_own_side(conn);
    }

    /// Behind its last byte, and when the other side has written its own, which the news of the end
    /// would stop: what it has queued still comes.
    fn end_own_side(&self, conn: &mut Conn<'_>) {
        if self.side == 0 && self.sent == self.total && self.received + TAIL > self.total {
            conn.half_close();
        }
    }
}

impl Handler for Hopper {
    fn on_connect(&mut self, conn: &mut Conn<'_>) {
        self.at = Some(conn.id());
        conn.read_size(PIECE);
        self.step(conn);
        self.produce(conn);
    }

    fn on_incoming(&mut self, conn: &mut Conn<'_>, data: &[u8]) {
        for got in data {
            let want = byte(1 - self.side, self.received);
            if *got != want {
                self.fault(format!("byte {} is {got}, not {want}", self.received));
                return conn.abort();
            }
            self.received += 1;
        }
        let received = self.received;
        self.note(|journal| journal.received = received);
        self.end_own_side(conn);
        self.step(conn);
    }

    fn on_drain(&mut self, conn: &mut Conn<'_>) {
        self.step(conn);
        self.produce(conn);
    }

    fn on_moved(&mut self, conn: &mut Conn<'_>, was: ConnId) {
        if self.at != Some(was) || conn.id() == was {
            self.fault(format!("moved from {was} to {}, was {:?}", conn.id(), self.at));
        }
        self.at = Some(conn.id());
        self.note(|journal| journal.moves += 1);
        self.let_go(conn);
        self.step(conn);
        self.produce(conn);
    }

    fn on_status(&mut self, _conn: &mut Conn<'_>, status: &Status) {
        if let Status::NotMoved(error) = status {
            self.fault(format!("not moved: {error}"));
        }
    }

    fn on_disconnect(&mut self, conn: &mut Conn<'_>, reason: &CloseReason) {
        if self.at != Some(conn.id()) {
            self.fault(format!("ended as {}, was {:?}", conn.id(), self.at));
        }
        self.note(|journal| journal.ends.push(format!("{reason:?}")));
    }
}
