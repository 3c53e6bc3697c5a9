//! A visit: a connection that is opened, perhaps carries one message there and back, and is closed.
//!
//! Under TLS our side is ended first and the peer's waited for: a TLS 1.3 server sends the tickets
//! that the next visit resumes with behind the handshake, and they must be read.
//!
//! Never: keeps a connection; the next visit has another.

use super::Swarm;
use super::opening::{Role, Ticket};
use crate::tally::Fault;
use shardpoll::{CloseReason, Conn, Handler, Local};
use shardpoll_bench::course::Course;
use std::rc::Rc;

/// Makes [`Visit`]s.
pub(super) struct Visitor;

impl Role for Visitor {
    fn usable(&self, swarm: &Rc<Swarm>, conn: &mut Conn<'_>, ticket: &Ticket) {
        let course = swarm.plan.work.echo().map(|(size, _)| Course::new(ticket.number, size, 1));
        let swarm = Rc::clone(swarm);
        conn.set_handler(Visit { swarm, ticket: *ticket, course, is_leaving: false });
    }

    fn failed(&self, swarm: &Rc<Swarm>, local: &mut Local<'_>, _ticket: &Ticket) {
        swarm.cycle_failed(local);
    }
}

struct Visit {
    swarm: Rc<Swarm>,
    ticket: Ticket,
    course: Option<Course>,
    /// All was done, and our side is ended.
    is_leaving: bool,
}

impl Visit {
    fn leave(&mut self, conn: &mut Conn<'_>) {
        self.is_leaving = true;
        if conn.tls().is_some() { conn.half_close() } else { conn.close() }
    }

    fn fail(&self, conn: &mut Conn<'_>, fault: Fault, text: &str) {
        let number = self.ticket.number;
        {
            let state = &mut *self.swarm.state.borrow_mut();
            state.count(fault, || format!("connection {number}: {text}"));
            if self.course.as_ref().is_some_and(|course| course.in_flight() > 0) {
                state.tally.errors.lost += 1;
            }
        }
        self.swarm.cycle_failed(&mut conn.local());
    }
}

impl Handler for Visit {
    fn on_attach(&mut self, conn: &mut Conn<'_>) {
        let Some(course) = &mut self.course else { return self.leave(conn) };
        let now = self.swarm.clock.nanos();
        let state = &mut *self.swarm.state.borrow_mut();
        course.send(now, &mut state.scratch, |piece| {
            // A refusal is told by `on_disconnect`.
            conn.write(piece);
        });
        state.tally.sent_bytes += course.size() as u64;
    }

    fn on_incoming(&mut self, conn: &mut Conn<'_>, data: &[u8]) {
        self.swarm.state.borrow_mut().tally.received_bytes += data.len() as u64;
        // A server that greets, and a visit that does not listen.
        let Some(course) = &mut self.course else { return };
        match course.receive(data, |_, _| {}) {
            Ok(()) if course.in_flight() == 0 && !self.is_leaving => self.leave(conn),
            Ok(()) => {}
            Err(wrong) => {
                conn.abort();
                self.fail(conn, Fault::Wrong, &wrong.to_string());
            }
        }
    }

    fn on_disconnect(&mut self, conn: &mut Conn<'_>, reason: &CloseReason) {
        match Fault::of(reason) {
            // We have heard all that we came for; how the peer goes is its own affair.
            Fault::Closed | Fault::Reset | Fault::Other if self.is_leaving => {
                self.swarm.succeeded(self.ticket.due, self.ticket.dialed);
                self.swarm.over(&mut conn.local());
            }
            fault => self.fail(conn, fault, &reason.to_string()),
        }
    }
}
