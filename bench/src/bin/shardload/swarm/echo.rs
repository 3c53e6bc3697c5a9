//! Messages there and back on a connection that stays: keeps them in flight, and checks every byte.
//!
//! A closed loop sends the next message when one is back. In an open loop messages are due by the
//! shard's [`Schedule`]: message `j` of the connection at place `i` of
//! `n` is number `j * n + i`.
//!
//! Latency is from when a message was due (in a closed loop: queued) to the callback that brings
//! its last byte back. All times are read from the harness' own clock at the start of the callback,
//! not from `Local::now`, which stands still for a whole turn. So the time a message waits in the
//! client, for its turn to be sent and to be read, is in it: it errs upwards when the client is
//! busy, never downwards.
//!
//! Never: allocates for a message.

use super::opening::{Role, Ticket};
use super::{Phase, State, Swarm};
use crate::schedule::Schedule;
use crate::tally::Fault;
use shardpoll::{CloseReason, Conn, Handler, Local, Silence, Wait};
use shardpoll_bench::course::{Course, Wrong};
use std::rc::Rc;
use std::time::Duration;

/// Makes [`Client`]s.
pub(super) struct Member;

impl Role for Member {
    fn usable(&self, swarm: &Rc<Swarm>, conn: &mut Conn<'_>, ticket: &Ticket) {
        conn.set_handler(Client::new(Rc::clone(swarm), ticket.number));
    }

    fn failed(&self, swarm: &Rc<Swarm>, local: &mut Local<'_>, _ticket: &Ticket) {
        swarm.decided(local);
    }
}

pub(super) struct Client {
    swarm: Rc<Swarm>,
    number: u64,
    depth: u64,
    course: Course,
    open: Option<OpenLoop>,
}

/// Where in the shard's schedule its messages stand.
#[derive(Clone, Copy)]
struct OpenLoop {
    schedule: Schedule,
    place: u64,
    places: u64,
    /// So many of its messages have been due.
    due: u64,
}

impl OpenLoop {
    fn due_at(&self, message: u64) -> u64 {
        self.schedule.due(message * self.places + self.place)
    }
}

impl Client {
    fn new(swarm: Rc<Swarm>, number: u64) -> Self {
        let (size, depth) = swarm.plan.work.echo().expect("a client is of work with messages");
        let course = Course::new(number, size, depth);
        Self { swarm, number, depth: depth as u64, course, open: None }
    }

    /// Puts the first messages in flight.
    fn begin(&mut self, conn: &mut Conn<'_>) {
        let now = self.swarm.clock.nanos();
        let state = &mut *self.swarm.state.borrow_mut();
        Self::send(&mut self.course, conn, state, self.depth, now);
    }

    /// As [`begin`](Self::begin), for an open loop: nothing is due yet.
    pub(super) fn join(&mut self, schedule: Schedule, place: usize, places: usize) {
        let (place, places) = (place as u64, places as u64);
        self.open = Some(OpenLoop { schedule, place, places, due: 0 });
    }

    /// Another message of its is due now.
    pub(super) fn owe(&mut self, conn: &mut Conn<'_>, due: u64) {
        let open = self.open.as_mut().expect("it has joined");
        open.due += 1;
        let state = &mut *self.swarm.state.borrow_mut();
        state.owed += 1;
        if self.course.in_flight() < self.depth {
            let now = self.swarm.clock.nanos();
            state.lateness.saturating_record(now.saturating_sub(due));
            state.owed -= 1;
            Self::send(&mut self.course, conn, state, 1, now);
        }
    }

    #[inline(always)]
    fn send(course: &mut Course, conn: &mut Conn<'_>, state: &mut State, messages: u64, now: u64) {
        let mut one = || {
            course.send(now, &mut state.scratch, |piece| {
                // A refusal is told by `on_disconnect`, and the message counts as lost.
                conn.write(piece);
            });
        };
        // Nearly always it is one, and what a loop keeps ready for more is not needed.
        if messages == 1 {
            one();
        } else {
            (0..messages).for_each(|_| one());
        }
        state.tally.sent_bytes += messages * course.size() as u64;
        state.in_flight += messages;
    }

    /// Records what came back whole, and sends what may go in its place.
    fn receive(&mut self, conn: &mut Conn<'_>, data: &[u8]) -> Result<Phase, Wrong> {
        let now = self.swarm.clock.nanos();
        let state = &mut *self.swarm.state.borrow_mut();
        let before = self.course.in_flight();
        let (tally, open) = (&mut state.tally, &self.open);
        let checked = self.course.receive(data, |message, queued| match open {
            None => tally.done(queued, queued, now),
            Some(open) => tally.done(open.due_at(message), queued, now),
        });
        state.tally.received_bytes += data.len() as u64;
        let echoed = before - self.course.in_flight();
        // What comes after the grace counts as lost already.
        state.in_flight = state.in_flight.saturating_sub(echoed);
        checked?;
        if state.phase == Phase::Running {
            let messages = match open {
                None => echoed,
                Some(open) => {
                    let due = open.due - self.course.sent();
                    let begun = due.min(self.depth - self.course.in_flight());
                    state.owed -= begun;
                    begun
                }
            };
            Self::send(&mut self.course, conn, state, messages, now);
        }
        Ok(state.phase)
    }

    /// What was due on it and was not begun never will be.
    fn leave(&self, conn: &mut Conn<'_>, fault: Fault, text: &str) {
        let number = self.number;
        let text = || format!("connection {number}: {text}");
        self.swarm.gone(&mut conn.local(), fault, self.course.in_flight(), text);
    }
}

impl Handler for Client {
    fn on_attach(&mut self, conn: &mut Conn<'_>) {
        let id = conn.id();
        self.swarm.enter(&mut conn.local(), id);
    }

    fn on_incoming(&mut self, conn: &mut Conn<'_>, data: &[u8]) {
        match self.receive(conn, data) {
            Ok(Phase::Running) => {}
            Ok(_) => self.swarm.drained(),
            Err(wrong) => {
                // Silent for this handler, so that it is not counted as closed as well.
                conn.abort();
                self.leave(conn, Fault::Wrong, &wrong.to_string());
            }
        }
    }

    fn on_read_timeout(&mut self, conn: &mut Conn<'_>) -> Silence {
        let Some(queued) = self.course.oldest() else { return Silence::Keep };
        // In an open loop the silence may be older than the message.
        let waited = Duration::from_nanos(self.swarm.clock.nanos().saturating_sub(queued));
        match self.swarm.plan.timeout.checked_sub(waited) {
            Some(left) if !left.is_zero() => {
                conn.set_read_timeout(Wait::After(left));
                Silence::Keep
            }
            _ => Silence::Close,
        }
    }

    fn on_disconnect(&mut self, conn: &mut Conn<'_>, reason: &CloseReason) {
        self.leave(conn, Fault::of(reason), &reason.to_string());
    }
}

impl Swarm {
    pub(super) fn begin_echo(self: &Rc<Self>, local: &mut Local<'_>) {
        if let Some(per_second) = self.plan.per_second {
            return self.begin_pace(local, per_second);
        }
        let up = self.state.borrow().up.clone();
        for id in up {
            local.with::<Client, _>(id, Client::begin);
        }
    }
}
