//! A connection that is opened and held.
//!
//! Never: writes.

use super::Swarm;
use super::opening::{Role, Ticket};
use crate::tally::Fault;
use shardpoll::{CloseReason, Conn, Handler, Local, Silence};
use std::rc::Rc;

/// Makes [`Quiet`] connections.
pub(super) struct Member;

impl Role for Member {
    fn usable(&self, swarm: &Rc<Swarm>, conn: &mut Conn<'_>, ticket: &Ticket) {
        conn.set_handler(Quiet { swarm: Rc::clone(swarm), number: ticket.number });
    }

    fn failed(&self, swarm: &Rc<Swarm>, local: &mut Local<'_>, _ticket: &Ticket) {
        swarm.decided(local);
    }
}

struct Quiet {
    swarm: Rc<Swarm>,
    number: u64,
}

impl Handler for Quiet {
    fn on_attach(&mut self, conn: &mut Conn<'_>) {
        let id = conn.id();
        self.swarm.enter(&mut conn.local(), id);
    }

    /// Servers may greet.
    fn on_incoming(&mut self, _conn: &mut Conn<'_>, data: &[u8]) {
        self.swarm.state.borrow_mut().tally.received_bytes += data.len() as u64;
    }

    fn on_read_timeout(&mut self, _conn: &mut Conn<'_>) -> Silence {
        Silence::Keep
    }

    fn on_disconnect(&mut self, conn: &mut Conn<'_>, reason: &CloseReason) {
        let text = || format!("connection {}: {reason}", self.number);
        self.swarm.gone(&mut conn.local(), Fault::of(reason), 0, text);
    }
}
