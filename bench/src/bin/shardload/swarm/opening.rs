//! A connection until it is usable: TCP, then what the protocol wants before TLS, then TLS.
//!
//! Each step has a time of its own, so TLS is always begun by [`Conn::start_tls`], also where it
//! comes first.
//!
//! Never: knows what the connection is for; its [`Role`] does.

use super::Swarm;
use super::speech::{Speaks, Speech, Turn};
use crate::limits;
use crate::script;
use crate::tally::Fault;
use shardpoll::{CloseReason, Conn, Handler, Local, Status, TlsPlan};
use std::rc::Rc;

/// Which connection it is, and when it was begun; times are those of the swarm's clock.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ticket {
    pub(super) number: u64,
    /// When it was to be begun; in a closed loop, when it was.
    pub(super) due: u64,
    pub(super) dialed: u64,
}

/// What a connection is for.
pub(super) trait Role {
    /// It speaks to the server as it is, whatever the target asks for before.
    fn is_raw(&self) -> bool {
        false
    }

    /// What goes wrong is no error of the run; [`turned_away`](Self::turned_away) hears of it.
    fn is_abuse(&self) -> bool {
        false
    }

    /// It is usable: the moment to set the handler that uses it.
    fn usable(&self, swarm: &Rc<Swarm>, conn: &mut Conn<'_>, ticket: &Ticket);

    /// It will never be usable; what was wrong has been counted.
    fn failed(&self, swarm: &Rc<Swarm>, local: &mut Local<'_>, ticket: &Ticket);

    /// An abuser's connection ended before it was usable; [`failed`](Self::failed) comes next.
    fn turned_away(&self, _swarm: &Rc<Swarm>, _reason: &CloseReason) {}
}

pub(super) struct Opening {
    swarm: Rc<Swarm>,
    role: &'static dyn Role,
    ticket: Ticket,
    /// When the step that is under way began.
    since: u64,
    /// What the protocol wants before TLS, while it is under way.
    preamble: Option<Box<Speech>>,
}

impl Opening {
    pub(super) fn new(swarm: Rc<Swarm>, role: &'static dyn Role, ticket: Ticket) -> Self {
        Self { swarm, role, ticket, since: ticket.dialed, preamble: None }
    }

    /// The time of this step, which is over; the next one begins.
    fn lap(&mut self) -> u64 {
        let now = self.swarm.clock.nanos();
        let took = now - self.since;
        self.since = now;
        took
    }

    fn secure(&mut self, conn: &mut Conn<'_>) {
        self.lap();
        let endpoint = self.swarm.plan.endpoint(self.ticket.number);
        let (context, name) = endpoint.tls().expect("its target says that it has TLS");
        if let Err(error) = conn.start_tls(TlsPlan::client(context, name)) {
            self.give_up(conn, Fault::Tls, &error.to_string());
        }
    }

    fn give_up(&self, conn: &mut Conn<'_>, fault: Fault, text: &str) {
        conn.abort();
        self.count(fault, text);
        self.role.failed(&self.swarm, &mut conn.local(), &self.ticket);
    }

    fn count(&self, fault: Fault, text: &str) {
        if !self.role.is_abuse() {
            let text = || format!("connection {}: {text}", self.ticket.number);
            self.swarm.state.borrow_mut().count(fault, text);
        }
    }

    fn usable(&self, conn: &mut Conn<'_>) {
        if !self.role.is_abuse() {
            self.swarm.state.borrow_mut().tally.connects += 1;
        }
        self.role.usable(&self.swarm, conn, &self.ticket);
    }
}

impl Speaks for Opening {
    fn speak(&mut self, conn: &mut Conn<'_>) {
        let Some(mut speech) = self.preamble.take() else { return };
        // What comes before TLS is no part of the work.
        let mut sent = 0;
        match speech.go_on::<Self>(conn, &self.swarm, &mut sent) {
            Turn::Wait => self.preamble = Some(speech),
            turn => {
                speech.hush(&mut conn.local());
                match turn {
                    Turn::Failed(script::Fault(text)) => self.give_up(conn, Fault::Wrong, &text),
                    _ => self.secure(conn),
                }
            }
        }
    }

    fn expired(&mut self, conn: &mut Conn<'_>, fault: script::Fault) {
        self.give_up(conn, Fault::Timeout, &fault.0);
    }

    fn speech(&mut self) -> Option<(&mut Speech, &Swarm)> {
        self.preamble.as_deref_mut().map(|speech| (speech, &*self.swarm))
    }
}

impl Swarm {
    /// TLS stands, after so long.
    pub(super) fn secured(&self, conn: &Conn<'_>, took: u64) {
        let resumed = conn.tls().and_then(|tls| tls.resumed()) == Some(true);
        let openings = &mut self.state.borrow_mut().openings;
        openings.handshake.saturating_record(took);
        openings.resumed += u64::from(resumed);
    }

    /// Whether TLS is as it was asked for: a server may disregard ALPN (RFC 7301 section 3.2).
    pub(super) fn is_as_asked(&self, conn: &Conn<'_>, number: u64) -> Result<(), &'static str> {
        let is_chosen = conn.tls().is_some_and(|tls| tls.alpn_protocol().is_some());
        if is_chosen || !self.plan.endpoint(number).offers_alpn() {
            return Ok(());
        }
        Err("the server has chosen no protocol of --alpn")
    }
}

impl Handler for Opening {
    fn on_connect(&mut self, conn: &mut Conn<'_>) {
        let took = self.lap();
        if self.role.is_raw() {
            return self.usable(conn);
        }
        if !self.role.is_abuse() {
            self.swarm.state.borrow_mut().openings.connect.saturating_record(took);
        }
        let endpoint = self.swarm.plan.endpoint(self.ticket.number);
        if endpoint.begins_with_tls() {
            self.secure(conn);
        } else if let Some(preamble) = endpoint.preamble() {
            let speech = Speech::preamble(&self.swarm, preamble, self.ticket.number);
            self.preamble = Some(Box::new(speech));
            self.speak(conn);
        } else {
            self.usable(conn);
        }
    }

    fn on_status(&mut self, conn: &mut Conn<'_>, status: &Status) {
        if *status != Status::HandshakeComplete {
            return;
        }
        let took = self.lap();
        if !self.role.is_abuse() {
            self.swarm.secured(conn, took);
        }
        match self.swarm.is_as_asked(conn, self.ticket.number) {
            Ok(()) => self.usable(conn),
            Err(why) => self.give_up(conn, Fault::Tls, why),
        }
    }

    fn on_incoming(&mut self, conn: &mut Conn<'_>, data: &[u8]) {
        if self.preamble.as_mut().is_some_and(|speech| speech.receive(data)) {
            self.speak(conn);
        }
    }

    fn on_disconnect(&mut self, conn: &mut Conn<'_>, reason: &CloseReason) {
        if self.role.is_abuse() {
            self.role.turned_away(&self.swarm, reason);
        }
        let ended = self.preamble.take().map_or(Ok(()), |mut speech| {
            speech.hush(&mut conn.local());
            speech.ended()
        });
        match (Fault::of(reason), ended) {
            (Fault::Closed, Err(script::Fault(text))) => self.count(Fault::Closed, &text),
            (fault, _) => self.count(fault, &limits::in_words(reason)),
        }
        self.role.failed(&self.swarm, &mut conn.local(), &self.ticket);
    }
}
