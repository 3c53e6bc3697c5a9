//! A conversation: a connection that is opened, follows the script, and is closed.
//!
//! Its latency is from when it was due to when its script was at its end, without what its `think`
//! took. One that is under way at the end of the run is lost only if the server owes it an answer
//! and has said nothing of use since.
//!
//! Where the script says that the rounds of a `repeat` are measured, each round is an operation of
//! its own, and the conversation as a whole is none; it ends with a round when the run does.
//!
//! Never: knows what is said.

use super::opening::{Role, Ticket};
use super::speech::{Speaks, Speech, Turn};
use super::{Phase, Swarm};
use crate::script;
use crate::tally::Fault;
use shardpoll::{CloseReason, Conn, Handler, Local, Silence, Status, TlsPlan};
use std::ops::Range;
use std::rc::Rc;

/// Makes [`Conversation`]s.
pub(super) struct Speaker;

impl Role for Speaker {
    fn usable(&self, swarm: &Rc<Swarm>, conn: &mut Conn<'_>, ticket: &Ticket) {
        // What it says may be wrong, but it is there.
        swarm.reached(swarm.clock.nanos());
        let slot = swarm.state.borrow_mut().slots.take();
        let speech = Speech::conversation(swarm, slot, ticket.number);
        conn.set_handler(Conversation {
            swarm: Rc::clone(swarm),
            ticket: *ticket,
            slot,
            speech,
            round: None,
            securing_since: 0,
            is_done: false,
            is_excused: false,
        });
    }

    fn failed(&self, swarm: &Rc<Swarm>, local: &mut Local<'_>, _ticket: &Ticket) {
        swarm.cycle_failed(local);
    }
}

/// Numbers for what is held at a time: no two have the same.
pub(super) struct Slots {
    /// From here on none was ever taken.
    fresh: Range<u64>,
    free: Vec<u64>,
}

impl Slots {
    pub(super) fn new(numbers: Range<u64>) -> Self {
        Self { fresh: numbers, free: Vec::new() }
    }

    fn take(&mut self) -> u64 {
        let free = self.free.pop().or_else(|| self.fresh.next());
        free.expect("no more are held than there are numbers")
    }
}

struct Conversation {
    swarm: Rc<Swarm>,
    ticket: Ticket,
    slot: u64,
    speech: Speech,
    /// When the round under way began, if rounds are what is measured.
    round: Option<u64>,
    /// When its own handshake began.
    securing_since: u64,
    /// Its script is at its end: what follows is only the farewell.
    is_done: bool,
    /// It is no loss if it is not over at the end of the run.
    is_excused: bool,
}

impl Conversation {
    fn excuse(&mut self, is_excused: bool) {
        let state = &mut *self.swarm.state.borrow_mut();
        match (self.is_excused, is_excused) {
            (false, true) => state.excused += 1,
            (true, false) => state.excused -= 1,
            _ => {}
        }
        self.is_excused = is_excused;
    }

    /// What it holds beside the connection is given back.
    fn release(&mut self, local: &mut Local<'_>) {
        self.excuse(false);
        self.speech.hush(local);
        self.swarm.state.borrow_mut().slots.free.push(self.slot);
    }

    fn fail(&mut self, conn: &mut Conn<'_>, fault: Fault, text: &str) {
        self.release(&mut conn.local());
        let number = self.ticket.number;
        let text = || format!("conversation {number}: {text}");
        self.swarm.state.borrow_mut().count(fault, text);
        self.swarm.cycle_failed(&mut conn.local());
    }

    fn over(&mut self, conn: &mut Conn<'_>) {
        self.release(&mut conn.local());
        self.swarm.over(&mut conn.local());
    }

    fn give_up(&mut self, conn: &mut Conn<'_>, fault: Fault, text: &str) {
        conn.abort();
        self.fail(conn, fault, text);
    }

    /// The script is at its end: the conversation has gone well, whatever becomes of the rest.
    fn succeed(&mut self) {
        self.is_done = true;
        self.excuse(true);
        if self.round.is_none() {
            let (Ticket { due, dialed, .. }, uncounted) = (self.ticket, self.speech.uncounted);
            self.swarm.succeeded(due + uncounted, dialed + uncounted);
        }
    }

    /// A measured round begins, perhaps where another has ended; says whether it is the last.
    fn next_round(&mut self, done: bool) -> bool {
        let uncounted = std::mem::take(&mut self.speech.uncounted);
        if let (true, Some(since)) = (done, self.round) {
            self.swarm.succeeded(since + uncounted, since + uncounted);
        }
        self.round = Some(self.swarm.clock.nanos());
        done && !self.swarm.is_running()
    }

    /// Under TLS the server's end is waited for, since the tickets that others resume with come
    /// late.
    fn leave(&mut self, conn: &mut Conn<'_>) {
        self.speech.hush(&mut conn.local());
        if conn.tls().is_some() { conn.half_close() } else { conn.close() }
    }

    fn secure(&mut self, conn: &mut Conn<'_>) {
        self.securing_since = self.swarm.clock.nanos();
        let endpoint = self.swarm.plan.endpoint(self.ticket.number);
        let tls = endpoint.tls().expect("a script with starttls has its endpoints made for it");
        let (context, name) = tls;
        if let Err(error) = conn.start_tls(TlsPlan::client(context, name)) {
            self.give_up(conn, Fault::Tls, &error.to_string());
        }
    }
}

impl Speaks for Conversation {
    fn speak(&mut self, conn: &mut Conn<'_>) {
        let mut sent = 0;
        let turn = loop {
            match self.speech.go_on::<Self>(conn, &self.swarm, &mut sent) {
                Turn::Round { done } if self.next_round(done) => break Turn::Done,
                Turn::Round { .. } => {}
                turn => break turn,
            }
        };
        self.swarm.state.borrow_mut().tally.sent_bytes += sent;
        let is_ending = self.swarm.state.borrow().phase != Phase::Running;
        self.excuse(is_ending || self.speech.is_resting());
        match turn {
            Turn::Wait | Turn::Round { .. } => {}
            Turn::StartTls => self.secure(conn),
            Turn::Done => {
                self.succeed();
                self.leave(conn);
            }
            Turn::Failed(script::Fault(text)) => self.give_up(conn, Fault::Wrong, &text),
        }
    }

    fn expired(&mut self, conn: &mut Conn<'_>, fault: script::Fault) {
        self.give_up(conn, Fault::Timeout, &fault.0);
    }

    fn speech(&mut self) -> Option<(&mut Speech, &Swarm)> {
        Some((&mut self.speech, &self.swarm))
    }
}

impl Handler for Conversation {
    fn on_attach(&mut self, conn: &mut Conn<'_>) {
        self.speak(conn);
    }

    fn on_incoming(&mut self, conn: &mut Conn<'_>, data: &[u8]) {
        self.swarm.state.borrow_mut().tally.received_bytes += data.len() as u64;
        if !self.is_done && self.speech.receive(data) {
            self.speak(conn);
        }
    }

    fn on_low_water(&mut self, conn: &mut Conn<'_>) {
        self.on_drain(conn);
    }

    fn on_drain(&mut self, conn: &mut Conn<'_>) {
        if self.speech.has_room() {
            self.speak(conn);
        }
    }

    fn on_status(&mut self, conn: &mut Conn<'_>, status: &Status) {
        if *status == Status::HandshakeComplete {
            let took = self.swarm.clock.nanos() - self.securing_since;
            self.swarm.secured(conn, took);
            match self.swarm.is_as_asked(conn, self.ticket.number) {
                Ok(()) => self.speak(conn),
                Err(why) => self.give_up(conn, Fault::Tls, why),
            }
        }
    }

    /// The speech keeps the time.
    fn on_read_timeout(&mut self, _conn: &mut Conn<'_>) -> Silence {
        if self.is_done { Silence::Close } else { Silence::Keep }
    }

    fn on_disconnect(&mut self, conn: &mut Conn<'_>, reason: &CloseReason) {
        // How the server goes after the end of the script is its own affair.
        if self.is_done {
            return self.over(conn);
        }
        match (Fault::of(reason), self.speech.ended()) {
            (Fault::Closed, Ok(())) => {
                self.succeed();
                self.over(conn);
            }
            (Fault::Closed, Err(script::Fault(text))) => self.fail(conn, Fault::Closed, &text),
            (fault, _) => self.fail(conn, fault, &reason.to_string()),
        }
    }
}
