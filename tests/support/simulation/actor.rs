//! The handler of a simulated world: answers what comes, and now and then does something odd.
//!
//! Never: trusts the loop; every callback is judged by the history.

use super::deeds;
use super::history::{Callback, SeatState, Shared};
use super::place::Place;
use super::upgrade::Upgrade;
use shardpoll_reactor::tls::{Error, rustls};
use shardpoll_reactor::{
    Addr, CloseReason, Conn, Handler, Lifetime, MinRate, Silence, Status, Written,
};
use std::panic::resume_unwind;
use std::rc::Rc;
use std::time::Duration;

/// The most a handler writes, so that a world comes to an end.
const BUDGET: u64 = 60_000;

#[derive(Debug)]
pub struct Actor {
    pub shared: Shared,
    pub place: Rc<Place>,
    /// The record of its connection.
    pub me: usize,
    /// Its own number: a connection may have many handlers, one after the other.
    pub number: usize,
}

/// Ends a callback, also when it panics.
pub struct Inside(Shared);

impl Drop for Inside {
    fn drop(&mut self) {
        self.0.borrow_mut().leave();
    }
}

impl Drop for Actor {
    fn drop(&mut self) {
        self.shared.borrow_mut().drop_seat(self.number);
    }
}

/// A panic that is wanted, without the message of the panic hook.
pub fn planned_panic(shared: &Shared) -> ! {
    shared.borrow_mut().panics += 1;
    resume_unwind(Box::new("planned"))
}

/// A callback begins: the history judges it.
pub fn enter(
    shared: &Shared,
    me: usize,
    number: usize,
    callback: Callback,
    conn: &mut Conn<'_>,
) -> Inside {
    let (id, now, backlog) = (conn.id(), conn.local().now(), conn.backlog());
    let mut history = shared.borrow_mut();
    let low_water = history.low_water;
    let record = &mut history.records[me];
    record.tls |= conn.tls().is_some();
    // The peer may have ended it, which sends what is queued all the same (S75).
    let ending = callback.may_come_late();
    let kept = ending || record.closing || record.flow.look_at_queue(backlog);
    // Under TLS what is sealed counts with what TLS has added.
    let low = callback != Callback::LowWater || record.tls || backlog <= low_water;
    history.enter(number, callback, id, now);
    if !kept {
        history.violation(format!("{id}: something was sent while writes were paused"));
    }
    if !low {
        history.violation(format!("{id}: {backlog} bytes are queued: that is not low water"));
    }
    Inside(Rc::clone(shared))
}

impl Actor {
    /// The first handler of a connection.
    pub fn new(shared: &Shared, place: &Rc<Place>) -> Self {
        let me = shared.borrow_mut().add_record(true);
        Self::of(shared, place, me, SeatState::Serving)
    }

    /// One that is to take over from this one.
    pub fn successor(&self) -> Self {
        Self::of(&self.shared, &self.place, self.me, SeatState::Waiting)
    }

    fn of(shared: &Shared, place: &Rc<Place>, me: usize, state: SeatState) -> Self {
        let number = shared.borrow_mut().add_seat(me, state);
        Self { shared: Rc::clone(shared), place: Rc::clone(place), me, number }
    }

    fn enter(&self, callback: Callback, conn: &mut Conn<'_>) -> Inside {
        enter(&self.shared, self.me, self.number, callback, conn)
    }

    pub fn roll(&self, end: u32) -> u32 {
        self.shared.borrow_mut().rng.u32(0..end)
    }

    pub fn span(&self, most_millis: u64) -> Duration {
        Duration::from_micros(self.shared.borrow_mut().rng.u64(0..most_millis * 1000))
    }

    pub fn write(&self, conn: &mut Conn<'_>, len: usize) {
        let data = {
            let history = self.shared.borrow();
            let record = &history.records[self.me];
            if record.written > BUDGET || history.calm || record.upgrade == Upgrade::Due {
                return;
            }
            history.say(self.me, len)
        };
        let written = match self.roll(6) {
            0 => conn.write_vec(data),
            1 => conn.write_shared(data.into()),
            _ => conn.write(&data),
        };
        let mut history = self.shared.borrow_mut();
        let record = &mut history.records[self.me];
        if matches!(written, Written::Ok | Written::High) {
            record.written += len as u64;
            record.flow.look_at_queue(conn.backlog());
            if record.half_closed {
                let text = format!("{}: a write after half_close was taken", self.me);
                history.violation(text);
            }
        }
    }

    /// Something odd, most often nothing.
    fn act(&self, conn: &mut Conn<'_>) {
        if self.shared.borrow().calm {
            return;
        }
        match self.roll(240) {
            0..30 => {
                let len = self.roll(300) as usize;
                self.write(conn, len);
            }
            30..36 => {
                let len = self.roll(40_000) as usize;
                self.write(conn, len);
            }
            36..79 => self.regulate(conn),
            79 => self.half_close(conn),
            80..84 => {
                self.shared.borrow_mut().records[self.me].closing = true;
                conn.close();
            }
            84 => {
                self.shared.borrow_mut().records[self.me].aborted = true;
                conn.abort();
            }
            85..87 => self.panic(),
            87..93 => conn.set_handler(self.successor()),
            93..105 => self.meddle(conn),
            105..113 => deeds::dial(&self.shared, &self.place, &mut conn.local()),
            113..125 => deeds::add_alarm(&self.shared, &mut conn.local()),
            125..131 => deeds::move_alarm(&self.shared, &mut conn.local()),
            131..135 => self.bound(conn),
            _ => {}
        }
    }

    /// Sets, or lifts, how slow the peer may be, and how long the connection may live.
    fn bound(&self, conn: &mut Conn<'_>) {
        let window = self.span(500);
        let rate = || MinRate::output(u64::from(self.roll(20_000))).and_input(1000).window(window);
        match self.roll(4) {
            0 => conn.set_min_rate(Some(rate())),
            1 => conn.set_min_rate(None),
            2 => conn.set_max_lifetime(Some(Lifetime::at_most(window * 6).jitter_percent(50))),
            _ => conn.set_max_lifetime(None),
        }
    }

    /// Its own side ends; the other may go on.
    fn half_close(&self, conn: &mut Conn<'_>) {
        conn.half_close();
        let record = &mut self.shared.borrow_mut().records[self.me];
        // No-op before it is established.
        record.half_closed = record.connects > 0;
    }

    fn panic(&self) -> ! {
        self.shared.borrow_mut().panic(self.me);
        planned_panic(&self.shared)
    }

    /// Reaches for another connection, or for one that is long gone.
    fn meddle(&self, conn: &mut Conn<'_>) {
        let Some(id) = deeds::any_id(&self.shared) else { return };
        let (shared, running) = (&self.shared, self.me);
        let deed = self.roll(40);
        let reached = conn.local().with::<Self, _>(id, |other, conn| {
            let known = shared.borrow().by_id.get(&id).copied();
            let serves = shared.borrow().records[other.me].handler == Some(other.number);
            if known != Some(other.me) || other.me == running || !serves {
                let text = format!("{id} led to handler {} of {}", other.number, other.me);
                shared.borrow_mut().violation(text);
            }
            match deed {
                0..10 => other.write(conn, 50),
                10..18 => other.regulate(conn),
                18 => conn.set_handler(other.successor()),
                19 => {
                    // The one it was called for ends; what of the caller, its policy says.
                    shared.borrow_mut().records[other.me].panicked = true;
                    self.panic();
                }
                _ => {}
            }
        });
        if reached.is_none() || deed >= 30 {
            deeds::poke(&self.shared, &mut conn.local(), id, deed);
        }
    }
}

impl Handler for Actor {
    fn on_incoming(&mut self, conn: &mut Conn<'_>, data: &[u8]) {
        let _inside = self.enter(Callback::Incoming, conn);
        let now = conn.local().now();
        self.shared.borrow_mut().take(self.me, data, now);
        self.carry_upgrade(conn, Callback::Incoming);
        if self.roll(10) < 7 {
            self.write(conn, data.len());
        }
        self.act(conn);
    }

    fn on_connect(&mut self, conn: &mut Conn<'_>) {
        let _inside = self.enter(Callback::Connect, conn);
        self.carry_upgrade(conn, Callback::Connect);
        if self.roll(2) == 0 {
            self.write(conn, 100);
        }
        self.act(conn);
    }

    fn on_predrain(&mut self, conn: &mut Conn<'_>) {
        let _inside = self.enter(Callback::Predrain, conn);
        if self.roll(10) == 0 {
            self.write(conn, 30);
        }
        if self.roll(10) == 0 {
            self.act(conn);
        }
    }

    fn on_drain(&mut self, conn: &mut Conn<'_>) {
        let _inside = self.enter(Callback::Drain, conn);
        if self.roll(10) == 0 {
            let len = self.roll(3000) as usize;
            self.write(conn, len);
        }
        if self.roll(10) == 0 {
            self.act(conn);
        }
    }

    fn on_high_water(&mut self, conn: &mut Conn<'_>) {
        let _inside = self.enter(Callback::HighWater, conn);
        self.act(conn);
    }

    fn on_low_water(&mut self, conn: &mut Conn<'_>) {
        let _inside = self.enter(Callback::LowWater, conn);
        self.act(conn);
    }

    fn on_read_timeout(&mut self, conn: &mut Conn<'_>) -> Silence {
        let _inside = self.enter(Callback::ReadTimeout, conn);
        self.expect_silence(conn);
        self.act(conn);
        if self.roll(2) == 0 { Silence::Keep } else { Silence::Close }
    }

    fn on_status(&mut self, conn: &mut Conn<'_>, _: &Status) {
        let _inside = self.enter(Callback::Status, conn);
        if self.upgrade() == Upgrade::Begun {
            self.shared.borrow_mut().records[self.me].upgrade = Upgrade::Done;
        }
        self.act(conn);
    }

    fn on_starttls(&mut self, conn: &mut Conn<'_>) {
        let _inside = self.enter(Callback::Starttls, conn);
        self.act(conn);
    }

    fn on_attach(&mut self, conn: &mut Conn<'_>) {
        let _inside = self.enter(Callback::Attach, conn);
        self.act(conn);
    }

    fn on_detach(&mut self, conn: &mut Conn<'_>) {
        let _inside = self.enter(Callback::Detach, conn);
        self.act(conn);
    }

    fn on_panic(&mut self, conn: &mut Conn<'_>, _: &str) {
        let _inside = self.enter(Callback::Panic, conn);
        if self.roll(10) == 0 {
            self.shared.borrow_mut().records[self.me].panicked = true;
            planned_panic(&self.shared);
        }
        if self.roll(3) == 0 {
            self.regulate(conn);
        }
    }

    fn on_disconnect(&mut self, conn: &mut Conn<'_>, reason: &CloseReason) {
        let _inside = self.enter(Callback::Disconnect, conn);
        let peer = conn.peer().clone();
        let orderly = matches!(reason, CloseReason::Asked | CloseReason::PeerClosed);
        {
            let mut history = self.shared.borrow_mut();
            let is_stranger = history.strangers.iter().any(|addr| Addr::Ip(*addr) == peer);
            let record = &mut history.records[self.me];
            // What waits for a handshake is lost with it.
            let waits = record.upgrade == Upgrade::Begun;
            record.graceful = orderly && record.connects == 1 && !waits;
            record.clean_end = matches!(reason, CloseReason::PeerClosed);
            match reason {
                CloseReason::Internal => {
                    let text = format!("{}: a forgotten transition", self.me);
                    history.violation(text);
                }
                CloseReason::Injected => {
                    let text = format!("{}: an injection by one of our own", self.me);
                    history.violation(text);
                }
                CloseReason::Tls(error) if !is_stranger && is_broken_tls(error) => {
                    let text = format!("{}: broken TLS from one of our own: {error}", self.me);
                    history.violation(text);
                }
                _ => {}
            }
        }
        if conn.write(b"x") != Written::Closed {
            let text = format!("{}: a write at its end was taken", self.me);
            self.shared.borrow_mut().violation(text);
        }
        if self.roll(100) == 0 {
            self.panic();
        }
    }
}

/// Whether a peer has broken the protocol. Nobody in this world does but strangers; one that closes
/// in the middle of a handshake says so.
fn is_broken_tls(error: &Error) -> bool {
    let told = rustls::Error::AlertReceived(rustls::AlertDescription::CloseNotify);
    matches!(error, Error::Peer { source } if **source != told)
}
