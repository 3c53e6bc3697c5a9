//! A connection until it is usable: TCP, then what the protocol wants before TLS, then TLS.
//!
//! Each step has a time of its own, so TLS is always begun by [`Conn::start_tls`], also where it
//! comes first.
//!
//! Never: knows what the connection is for; its [`Role`] does.

use super::Swarm;
use crate::tally::Fault;
use shardpoll::tls::{ClientContext, rustls::pki_types::ServerName};
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
}

impl Opening {
    pub(super) fn new(swarm: Rc<Swarm>, role: &'static dyn Role, ticket: Ticket) -> Self {
        Self { swarm, role, ticket, since: ticket.dialed }
    }

    /// The time of this step, which is over; the next one begins.
    fn lap(&mut self) -> u64 {
        let now = self.swarm.clock.nanos();
        let took = now - self.since;
        self.since = now;
        took
    }

    fn secure(&mut self, conn: &mut Conn<'_>, context: ClientContext, name: ServerName<'static>) {
        if let Err(error) = conn.start_tls(TlsPlan::client(context, name)) {
            let number = self.ticket.number;
            let text = || format!("connection {number}: {error}");
            self.swarm.state.borrow_mut().count(Fault::Tls, text);
            conn.abort();
            self.role.failed(&self.swarm, &mut conn.local(), &self.ticket);
        }
    }

    fn usable(&mut self, conn: &mut Conn<'_>) {
        if !self.role.is_abuse() {
            self.swarm.state.borrow_mut().tally.connects += 1;
        }
        self.role.usable(&self.swarm, conn, &self.ticket);
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
        match endpoint.tls() {
            Some((context, name)) => self.secure(conn, context, name),
            None => self.usable(conn),
        }
    }

    fn on_status(&mut self, conn: &mut Conn<'_>, status: &Status) {
        if *status != Status::HandshakeComplete {
            return;
        }
        let took = self.lap();
        let resumed = conn.tls().and_then(|tls| tls.resumed()) == Some(true);
        if !self.role.is_abuse() {
            let openings = &mut self.swarm.state.borrow_mut().openings;
            openings.handshake.saturating_record(took);
            openings.resumed += u64::from(resumed);
        }
        self.usable(conn);
    }

    fn on_incoming(&mut self, _conn: &mut Conn<'_>, _data: &[u8]) {}

    fn on_disconnect(&mut self, conn: &mut Conn<'_>, reason: &CloseReason) {
        if self.role.is_abuse() {
            self.role.turned_away(&self.swarm, reason);
        } else {
            let number = self.ticket.number;
            let text = || format!("connection {number}: {reason}");
            self.swarm.state.borrow_mut().count(Fault::of(reason), text);
        }
        self.role.failed(&self.swarm, &mut conn.local(), &self.ticket);
    }
}
