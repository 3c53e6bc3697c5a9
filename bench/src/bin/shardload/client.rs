//! One connection of the load: keeps its messages in flight, and checks what comes back.
//!
//! Latency is from queueing a message to the callback that brings its last byte back. Both times
//! are read from the harness' own clock at the start of the callback, not from `Local::now`, which
//! stands still for a whole turn. So the time a message waits in the client, for its turn to be
//! sent and to be read, is in it: it errs upwards when the client is busy, never downwards. It is a
//! closed loop: while an echo is late its successor is not sent, and nothing is counted for it.
//!
//! Never: allocates for a message.

use crate::swarm::{Phase, Swarm};
use shardpoll::{CloseReason, Conn, Handler};
use shardpoll_bench::course::Course;
use std::rc::Rc;

pub(crate) struct Client {
    swarm: Rc<Swarm>,
    number: u64,
    course: Course,
}

impl Client {
    pub(crate) fn new(swarm: Rc<Swarm>, number: u64) -> Self {
        let course = Course::new(number, swarm.plan.size, swarm.plan.depth);
        Self { swarm, number, course }
    }

    /// Puts the first messages in flight.
    pub(crate) fn begin(&mut self, conn: &mut Conn<'_>) {
        self.send(conn, self.swarm.plan.depth as u64, self.swarm.clock.nanos());
    }

    fn send(&mut self, conn: &mut Conn<'_>, messages: u64, now: u64) {
        let state = &mut *self.swarm.state.borrow_mut();
        for _ in 0..messages {
            self.course.send(now, &mut state.scratch, |piece| {
                // A refusal is told by `on_disconnect`, and the message counts as lost.
                conn.write(piece);
            });
        }
        state.in_flight += messages;
    }

    /// Records what came back whole; gives how many messages that was.
    fn receive(&mut self, data: &[u8], now: u64) -> Result<u64, String> {
        let state = &mut *self.swarm.state.borrow_mut();
        let before = self.course.in_flight();
        let latencies = &mut state.tally.latencies;
        let checked = self.course.receive(data, |queued| {
            latencies.saturating_record(now - queued);
        });
        let echoed = before - self.course.in_flight();
        state.in_flight -= echoed;
        state.tally.messages += echoed;
        self.swarm.publish(state.tally.messages);
        checked.map(|()| echoed).map_err(|wrong| wrong.to_string())
    }
}

impl Handler for Client {
    fn on_connect(&mut self, conn: &mut Conn<'_>) {
        self.swarm.connected(&mut conn.local());
    }

    fn on_incoming(&mut self, conn: &mut Conn<'_>, data: &[u8]) {
        let now = self.swarm.clock.nanos();
        match self.receive(data, now) {
            Ok(echoed) if self.swarm.phase() == Phase::Running => self.send(conn, echoed, now),
            Ok(_) => self.swarm.drained(),
            Err(wrong) => {
                // Silent for this handler, so that it is not counted as broken as well.
                conn.abort();
                let fault = format!("connection {}: {wrong}", self.number);
                self.swarm.wrong(&mut conn.local(), self.course.in_flight(), fault);
            }
        }
    }

    fn on_disconnect(&mut self, conn: &mut Conn<'_>, reason: &CloseReason) {
        let fault = format!("connection {}: {reason}", self.number);
        self.swarm.broken(&mut conn.local(), self.course.in_flight(), fault);
    }
}
