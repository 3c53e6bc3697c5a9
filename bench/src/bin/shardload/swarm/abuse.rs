//! What no client should do, beside legitimate users who measure what they get.
//!
//! Abusers come back 10 ms after they were done or thrown out, each for himself. Those who speak no
//! TLS where the target does, speak to its port all the same.
//!
//! Never: counts an abuser's fate among the errors of the run; it is what the run is about.

use super::opening::{Role, Ticket};
use super::{Phase, Swarm, Work};
use crate::cli::AttackKind;
use crate::counts::histogram;
use crate::tally::{Fault, add};
use clap::ValueEnum;
use hdrhistogram::Histogram;
use shardpoll::{CloseReason, Conn, Handler, Local, Silence, SocketOption};
use std::rc::Rc;
use std::time::Duration;

/// How long an abuser rests before he comes again.
const REST: Duration = Duration::from_millis(10);

/// How often a slow sender sends a byte, and a big ClientHello grows.
const DRIP: Duration = Duration::from_secs(1);

/// What a slow reader asks for at a time, and has queued at most.
const GREED: usize = 64 * 1024;

/// A handshake message may be this long at most for rustls, and others are near: RFC 8446 section
/// 4 would allow 16 MiB.
const HELLO_BYTES: usize = 64 * 1024;

/// A TLS record may carry this much (RFC 8446 section 5.1).
const RECORD_BYTES: usize = 16 * 1024;

/// What the abusers of a shard were answered, by the order of the plan's kinds.
#[derive(Debug, Default)]
pub(crate) struct Attacks(pub(crate) Vec<Answers>);

/// What one kind was answered.
#[derive(Debug)]
pub(crate) struct Answers {
    pub(crate) connections: u64,
    pub(crate) ended_by_server: u64,
    pub(crate) refused: u64,
    /// How long those lived that the server ended, in nanoseconds.
    pub(crate) lived: Histogram<u64>,
}

impl Default for Answers {
    fn default() -> Self {
        Self { connections: 0, ended_by_server: 0, refused: 0, lived: histogram() }
    }
}

impl Attacks {
    pub(crate) fn add(&mut self, other: &Self) {
        self.0.resize_with(self.0.len().max(other.0.len()), Answers::default);
        for (sum, more) in self.0.iter_mut().zip(&other.0) {
            sum.connections += more.connections;
            sum.ended_by_server += more.ended_by_server;
            sum.refused += more.refused;
            add(&mut sum.lived, &more.lived);
        }
    }
}

/// As the command line has it.
pub(crate) fn name(kind: AttackKind) -> String {
    let value = kind.to_possible_value().expect("none of them is hidden");
    value.get_name().to_string()
}

/// Makes [`Abuser`]s of one kind.
struct Intruder(AttackKind);

static INTRUDERS: [Intruder; 8] = [
    Intruder(AttackKind::SlowReader),
    Intruder(AttackKind::SlowSender),
    Intruder(AttackKind::Silent),
    Intruder(AttackKind::HalfHandshake),
    Intruder(AttackKind::Rst),
    Intruder(AttackKind::HalfClose),
    Intruder(AttackKind::Garbage),
    Intruder(AttackKind::BigHello),
];

impl Intruder {
    fn of(kind: AttackKind) -> &'static Self {
        INTRUDERS.iter().find(|one| one.0 == kind).expect("all are there")
    }

    fn answers(&self, swarm: &Swarm, change: impl FnOnce(&mut Answers)) {
        let Work::Abuse { kinds, .. } = &swarm.plan.work else {
            unreachable!("only abuse has abusers")
        };
        let place = kinds.iter().position(|kind| *kind == self.0).expect("it was asked for");
        // Once all has been told there is nothing to count in.
        if let Some(answers) = swarm.state.borrow_mut().attacks.0.get_mut(place) {
            change(answers);
        }
    }
}

impl Role for Intruder {
    fn is_raw(&self) -> bool {
        use AttackKind as Kind;
        !matches!(self.0, Kind::SlowReader | Kind::SlowSender | Kind::HalfClose)
    }

    fn is_abuse(&self) -> bool {
        true
    }

    fn usable(&self, swarm: &Rc<Swarm>, conn: &mut Conn<'_>, ticket: &Ticket) {
        self.answers(swarm, |answers| answers.connections += 1);
        let (swarm, intruder) = (Rc::clone(swarm), Self::of(self.0));
        conn.set_handler(Abuser { swarm, intruder, ticket: *ticket, sent: 0 });
    }

    fn failed(&self, swarm: &Rc<Swarm>, local: &mut Local<'_>, ticket: &Ticket) {
        self.again(swarm, local, ticket.number);
    }

    fn turned_away(&self, swarm: &Rc<Swarm>, reason: &CloseReason) {
        self.answers(swarm, |answers| match Fault::of(reason) {
            Fault::Refused => answers.refused += 1,
            // It got as far as TLS, and was shown out there.
            _ => {
                answers.connections += 1;
                answers.ended_by_server += 1;
            }
        });
    }
}

impl Intruder {
    fn again(&self, swarm: &Rc<Swarm>, local: &mut Local<'_>, number: u64) {
        let kind = self.0;
        let swarm = Rc::clone(swarm);
        local.add_timer(REST, move |local, _| {
            if swarm.is_running() {
                swarm.intrude(local, kind, number);
            }
            None
        });
    }
}

impl Swarm {
    pub(super) fn begin_abuse(self: &Rc<Self>, local: &mut Local<'_>) {
        let Work::Abuse { kinds, abusers, .. } = &self.plan.work else { return };
        let answers = kinds.iter().map(|_| Answers::default()).collect();
        self.state.borrow_mut().attacks = Attacks(answers);
        for kind in kinds.iter() {
            for number in 0..*abusers {
                self.intrude(local, *kind, number);
            }
        }
    }

    fn intrude(self: &Rc<Self>, local: &mut Local<'_>, kind: AttackKind, number: u64) {
        let now = self.clock.nanos();
        self.dial(local, Intruder::of(kind), Ticket { number, due: now, dialed: now });
    }
}

struct Abuser {
    swarm: Rc<Swarm>,
    intruder: &'static Intruder,
    ticket: Ticket,
    /// Bytes of a hello that grows.
    sent: usize,
}

impl Abuser {
    /// Does what its kind does first.
    fn begin(&mut self, conn: &mut Conn<'_>) {
        match self.intruder.0 {
            AttackKind::Silent => {}
            AttackKind::SlowReader => {
                conn.pause();
                conn.write_vec(vec![b'a'; GREED]);
            }
            AttackKind::SlowSender | AttackKind::BigHello => self.drip(conn),
            AttackKind::HalfHandshake => {
                conn.write_vec(hello(0, 200)[..100].to_vec());
            }
            AttackKind::Rst => {
                conn.set_option(SocketOption::ResetOnClose(true));
                // It is set when this callback has returned.
                let id = conn.id();
                conn.local().add_timer(Duration::ZERO, move |local, _| {
                    local.with::<Self, _>(id, |_, conn| conn.cut());
                    None
                });
            }
            AttackKind::HalfClose => {
                conn.write(&[b'a'; 64]);
                conn.half_close();
            }
            AttackKind::Garbage => {
                // What begins like no record that there is.
                conn.write(&[0xFF; 512]);
            }
        }
    }

    /// A little now, and more after a while.
    fn drip(&mut self, conn: &mut Conn<'_>) {
        if self.intruder.0 == AttackKind::BigHello {
            if self.sent < HELLO_BYTES {
                conn.write_vec(hello(self.sent, RECORD_BYTES));
                self.sent += RECORD_BYTES;
            }
        } else {
            conn.write(b"a");
        }
        let id = conn.id();
        conn.local().add_timer(DRIP, move |local, _| {
            local.with::<Self, _>(id, Self::drip);
            None
        });
    }
}

/// A record with a part of a ClientHello that goes on for `HELLO_BYTES`: right as far as it goes.
fn hello(from: usize, bytes: usize) -> Vec<u8> {
    let length = u16::try_from(bytes).expect("a record is no longer");
    let mut record = vec![22, 3, 1];
    record.extend_from_slice(&length.to_be_bytes());
    let end = record.len() + bytes;
    if from == 0 {
        let whole = u32::try_from(HELLO_BYTES - 4).expect("it is a constant that fits");
        record.push(1);
        record.extend_from_slice(&whole.to_be_bytes()[1..]);
        // TLS 1.2, as all say; a random and a session; one cipher suite; no compression; and the
        // rest of it, and of all that follows, is one extension: padding (RFC 7685).
        record.extend_from_slice(&[3, 3]);
        record.extend_from_slice(&[7; 32]);
        record.extend_from_slice(&[0, 0, 2, 0x13, 0x01, 1, 0]);
        let extensions = HELLO_BYTES - 4 - 2 - 32 - 7 - 2;
        let extensions = u16::try_from(extensions).expect("it is a constant that fits");
        record.extend_from_slice(&extensions.to_be_bytes());
        record.extend_from_slice(&[0, 21]);
        record.extend_from_slice(&(extensions - 4).to_be_bytes());
    }
    record.resize(end, 0);
    record
}

impl Handler for Abuser {
    fn on_attach(&mut self, conn: &mut Conn<'_>) {
        self.begin(conn);
    }

    fn on_incoming(&mut self, _conn: &mut Conn<'_>, _data: &[u8]) {}

    fn on_drain(&mut self, conn: &mut Conn<'_>) {
        if self.intruder.0 == AttackKind::SlowReader && self.swarm.is_running() {
            conn.write_vec(vec![b'a'; GREED]);
        }
    }

    fn on_read_timeout(&mut self, _conn: &mut Conn<'_>) -> Silence {
        Silence::Keep
    }

    fn on_disconnect(&mut self, conn: &mut Conn<'_>, reason: &CloseReason) {
        let now = self.swarm.clock.nanos();
        if self.swarm.state.borrow().phase == Phase::Done {
            return;
        }
        if !matches!(reason, CloseReason::Asked) {
            self.intruder.answers(&self.swarm, |answers| {
                answers.ended_by_server += 1;
                answers.lived.saturating_record(now - self.ticket.dialed);
            });
        }
        self.intruder.again(&self.swarm, &mut conn.local(), self.ticket.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_big_hello_is_whole_records_that_add_up_to_one_message() {
        let mut message = Vec::new();
        for from in (0..HELLO_BYTES).step_by(RECORD_BYTES) {
            let record = hello(from, RECORD_BYTES);
            assert_eq!(record[..3], [22, 3, 1]);
            assert_eq!(usize::from(u16::from_be_bytes([record[3], record[4]])), RECORD_BYTES);
            message.extend_from_slice(&record[5..]);
        }
        assert_eq!(message.len(), HELLO_BYTES);
        let length = u32::from_be_bytes([0, message[1], message[2], message[3]]);
        assert_eq!(length as usize + 4, HELLO_BYTES);
        // From its own length to the end: the extensions.
        let extensions = usize::from(u16::from_be_bytes([message[45], message[46]]));
        assert_eq!(47 + extensions, HELLO_BYTES);
    }

    #[test]
    fn kinds_are_called_as_the_command_line_calls_them() {
        assert_eq!(name(AttackKind::SlowReader), "slow-reader");
        assert_eq!(name(AttackKind::Rst), "rst");
    }
}
