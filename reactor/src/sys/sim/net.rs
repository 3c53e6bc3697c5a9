//! The simulated network: both ends of every connection, and what is on its way between them.
//!
//! Never: knows a descriptor's number but to wake whoever watches it; draws faults of system calls.
//!
//! Invariants:
//! 1. What one end sends arrives at the other in order, and before the end's FIN or reset.
//! 2. The credit of an end is at most the window of the other: its unread bytes, those on their way
//!    and the credit are together never more.
//! 3. An end that was closed is gone; what still arrives for it is answered with a reset.

use super::faults::{Dice, Fault};
use super::files::Files;
use super::flight::{Cargo, Flight, Target};
use super::tokens::Tokens;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

const NANOS_PER_MILLI: u64 = 1_000_000;

/// Where connections come from, unless they say otherwise; any address is one of this world.
pub(super) const HOST: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));

/// After which a SYN that found a full queue is sent again.
pub(super) const RETRY_NANOS: u64 = 1_000 * NANOS_PER_MILLI;

/// The most by which a late connection is late.
const LATE_NANOS: u64 = 2_000 * NANOS_PER_MILLI;

pub(super) type EndId = u64;

/// Where one end of a connection is in its life.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Stage {
    Connecting,
    Open,
    /// Reset, or refused.
    Dead,
}

/// One end of a connection.
pub(super) struct End {
    pub(super) other: EndId,
    pub(super) local: SocketAddr,
    pub(super) remote: SocketAddr,
    /// The descriptor it is reached by; none for a `SimPeer`, and until it is accepted.
    pub(super) number: Option<usize>,
    pub(super) stage: Stage,
    /// What has arrived and was not read.
    pub(super) inbox: VecDeque<u8>,
    /// How much may wait here.
    pub(super) window: usize,
    pub(super) fin_in: bool,
    pub(super) fin_out: bool,
    /// Told once, by whichever call comes first (SO_ERROR in socket(7)).
    pub(super) error: Option<i32>,
    /// How much may be sent, and how much that is at the most.
    pub(super) credit: usize,
    pub(super) capacity: usize,
    /// Found without room: an edge comes when there is some (SOCK_NOSPACE in the kernel).
    pub(super) full: bool,
    /// Bytes sent so far.
    pub(super) sent: u64,
    last_arrival: u64,
}

impl End {
    /// Whether there is room enough to be called writable: a third, as in the kernel.
    pub(super) fn has_room(&self) -> bool {
        self.credit > 0 && self.credit.saturating_mul(3) >= self.capacity
    }

    /// Whether a `recv` would not block.
    pub(super) fn has_input(&self) -> bool {
        !self.inbox.is_empty() || self.fin_in || self.stage == Stage::Dead
    }
}

pub(super) struct Net {
    pub(super) now: u64,
    pub(super) dice: Dice,
    pub(super) files: Files,
    pub(super) tokens: Tokens,
    /// When the last wait began.
    pub(super) wait_began: u64,
    /// The last wait was interrupted.
    pub(super) interrupted: bool,
    pub(super) window: usize,
    /// The least and the most that something is on its way, in nanoseconds.
    pub(super) latency: (u64, u64),
    ends: BTreeMap<EndId, End>,
    flights: BinaryHeap<Reverse<Flight>>,
    next_end: EndId,
    next_seq: u64,
    next_port: u16,
}

impl Net {
    pub(super) fn new(dice: Dice) -> Self {
        Self {
            // Not 0, which means "do not wait".
            now: NANOS_PER_MILLI,
            dice,
            files: Files::default(),
            tokens: Tokens::default(),
            wait_began: 0,
            interrupted: false,
            window: 64 * 1024,
            latency: (NANOS_PER_MILLI / 10, NANOS_PER_MILLI),
            ends: BTreeMap::new(),
            flights: BinaryHeap::new(),
            next_end: 1,
            next_seq: 0,
            next_port: 32_768,
        }
    }

    pub(super) fn end(&self, id: EndId) -> Option<&End> {
        self.ends.get(&id)
    }

    pub(super) fn end_mut(&mut self, id: EndId) -> Option<&mut End> {
        self.ends.get_mut(&id)
    }

    pub(super) fn lag(&mut self) -> u64 {
        let (least, most) = self.latency;
        least + self.dice.below(most.saturating_sub(least).saturating_add(1))
    }

    pub(super) fn launch(&mut self, at: u64, target: Target) {
        let seq = self.next_seq;
        self.next_seq += 1;
        self.flights.push(Reverse(Flight { at, seq, target }));
    }

    /// Sends from one end to the other, behind whatever it has sent before.
    pub(super) fn fly(&mut self, from: EndId, cargo: Cargo) {
        let lag = self.lag();
        let Some(end) = self.ends.get_mut(&from) else { return };
        end.last_arrival = end.last_arrival.max(self.now + lag);
        let (at, to) = (end.last_arrival, end.other);
        self.launch(at, Target::End(to, cargo));
    }

    /// An edge that a fault owes comes soon.
    pub(super) fn owe_edge(&mut self, number: usize) {
        let at = self.now + self.lag();
        if let Some(serial) = self.files.owe(number) {
            self.launch(at, Target::Edge { number, serial });
        }
    }

    /// Begins to connect an end.
    pub(super) fn open(
        &mut self,
        to: SocketAddr,
        from: IpAddr,
        number: Option<usize>,
        window: Option<usize>,
    ) -> EndId {
        let port = self.next_port;
        self.next_port = self.next_port.checked_add(1).unwrap_or(32_768);
        let local = SocketAddr::new(from, port);
        let id = self.add_end(0, local, to, window.unwrap_or(self.window));
        if let Some(end) = self.ends.get_mut(&id) {
            end.number = number;
        }
        if self.dice.strikes(Fault::ConnectHangs) {
            return id;
        }
        let refused = self.dice.strikes(Fault::ConnectRefused);
        let mut at = self.now + self.lag();
        if self.dice.strikes(Fault::ConnectLate) {
            at += self.dice.below(LATE_NANOS);
        }
        let cargo = if refused { Cargo::Refusal } else { Cargo::Syn };
        self.launch(at, Target::End(id, cargo));
        id
    }

    pub(super) fn add_end(
        &mut self,
        other: EndId,
        local: SocketAddr,
        remote: SocketAddr,
        window: usize,
    ) -> EndId {
        let id = self.next_end;
        self.next_end += 1;
        let end = End {
            other,
            local,
            remote,
            number: None,
            stage: Stage::Connecting,
            inbox: VecDeque::new(),
            window,
            fin_in: false,
            fin_out: false,
            error: None,
            credit: 0,
            capacity: 0,
            full: false,
            sent: 0,
            last_arrival: 0,
        };
        self.ends.insert(id, end);
        id
    }

    /// Takes input out of an end, and tells the other that there is room.
    pub(super) fn read(&mut self, id: EndId, buffer: &mut [u8]) -> usize {
        let Some(end) = self.ends.get_mut(&id) else { return 0 };
        let count = buffer.len().min(end.inbox.len());
        let (front, back) = end.inbox.as_slices();
        let (front, back) =
            (&front[..count.min(front.len())], &back[..count - count.min(front.len())]);
        buffer[..front.len()].copy_from_slice(front);
        buffer[front.len()..count].copy_from_slice(back);
        end.inbox.drain(..count);
        let other = end.other;
        if count > 0 {
            // Apart from the order of what is sent: it only opens a window.
            let at = self.now + self.lag();
            self.launch(at, Target::End(other, Cargo::Window(count)));
        }
        count
    }

    /// Sends at most what there is credit for.
    pub(super) fn write(&mut self, id: EndId, bytes: &[u8]) -> usize {
        let Some(end) = self.ends.get_mut(&id) else { return 0 };
        let count = bytes.len().min(end.credit);
        end.full |= count < bytes.len();
        end.credit -= count;
        end.sent += count as u64;
        if count > 0 {
            let bytes = bytes[..count].to_vec();
            self.fly(id, Cargo::Data { from: id, bytes });
        }
        count
    }

    /// Ends the output of an end.
    pub(super) fn shutdown(&mut self, id: EndId) -> io::Result<()> {
        match self.ends.get_mut(&id) {
            Some(end) if end.stage == Stage::Open => {
                if !std::mem::replace(&mut end.fin_out, true) {
                    self.fly(id, Cargo::Fin);
                    // The kernel wakes whoever polls the socket, too (inet_shutdown).
                    self.wake(id);
                }
                Ok(())
            }
            _ => Err(io::Error::from_raw_os_error(libc::ENOTCONN)),
        }
    }

    /// Gives an end up: a reset when input is unread, else a FIN.
    pub(super) fn close(&mut self, id: EndId) {
        let Some(end) = self.ends.get(&id) else { return };
        if end.stage == Stage::Open && !end.inbox.is_empty() {
            self.fly(id, Cargo::Reset);
        } else if end.stage == Stage::Open && !end.fin_out {
            self.fly(id, Cargo::Fin);
        }
        self.ends.remove(&id);
    }

    /// Resets the connection from this end.
    pub(super) fn reset(&mut self, id: EndId) {
        if self.ends.get(&id).is_some_and(|end| end.stage == Stage::Open) {
            self.fly(id, Cargo::Reset);
        }
        if let Some(end) = self.ends.get_mut(&id) {
            end.stage = Stage::Dead;
            end.inbox.clear();
        }
    }

    /// Gives an end up with a reset.
    pub(super) fn abort(&mut self, id: EndId) {
        self.reset(id);
        self.ends.remove(&id);
    }

    /// Resets both ends now; what is on its way is lost, what has arrived can still be read.
    pub(super) fn kill(&mut self, id: EndId) {
        let other = self.ends.get(&id).map(|end| end.other);
        for id in [Some(id), other].into_iter().flatten() {
            self.die_of_reset(id);
        }
    }

    fn die_of_reset(&mut self, id: EndId) {
        // As tcp_reset does: after a FIN it is a broken pipe.
        let after_fin = self.ends.get(&id).is_some_and(|end| end.fin_in);
        self.die(id, if after_fin { libc::EPIPE } else { libc::ECONNRESET });
    }

    fn die(&mut self, id: EndId, error: i32) {
        if let Some(end) = self.ends.get_mut(&id).filter(|end| end.stage != Stage::Dead) {
            end.stage = Stage::Dead;
            end.error = Some(error);
            self.wake(id);
        }
    }

    fn wake(&mut self, id: EndId) {
        if let Some(number) = self.ends.get(&id).and_then(|end| end.number) {
            self.files.wake(number);
        }
    }

    /// When the next thing happens.
    pub(super) fn next_arrival(&self) -> Option<u64> {
        self.flights.peek().map(|Reverse(flight)| flight.at)
    }

    /// Lets everything arrive that is due.
    pub(super) fn deliver(&mut self) {
        while self.next_arrival().is_some_and(|at| at <= self.now) {
            let Some(Reverse(flight)) = self.flights.pop() else { return };
            match flight.target {
                Target::End(id, cargo) => self.arrive(id, cargo),
                Target::Edge { number, serial } => self.files.pay(number, serial),
            }
        }
    }

    fn arrive(&mut self, id: EndId, cargo: Cargo) {
        if let Cargo::Data { from, .. } | Cargo::SynAck { from } = &cargo {
            if !self.ends.contains_key(&id) {
                return self.answer_with_reset(*from);
            }
        }
        let Some(end) = self.ends.get_mut(&id).filter(|end| end.stage != Stage::Dead) else {
            return;
        };
        match cargo {
            Cargo::Syn => return self.meet(id),
            Cargo::SynAck { .. } => end.stage = Stage::Open,
            Cargo::Refusal => return self.die(id, libc::ECONNREFUSED),
            Cargo::Data { bytes, .. } => {
                if self.dice.strikes(Fault::Reset) {
                    return self.kill(id);
                }
                end.inbox.extend(bytes);
                debug_assert!(end.inbox.len() <= end.window, "more than there was credit for");
            }
            Cargo::Fin => end.fin_in = true,
            Cargo::Reset => return self.die_of_reset(id),
            Cargo::Window(count) => {
                end.credit += count;
                if !end.full || !end.has_room() {
                    return;
                }
                end.full = false;
            }
        }
        self.wake(id);
    }

    fn answer_with_reset(&mut self, to: EndId) {
        let at = self.now + self.lag();
        self.launch(at, Target::End(to, Cargo::Reset));
    }
}
