//! The handler of a simulated world: answers what comes, and now and then does something odd.
//!
//! Never: trusts the loop; every callback is judged by the history.

use super::Place;
use super::history::{Callback, Shared};
use shardpoll_reactor::tls::{ClientContext, rustls};
use shardpoll_reactor::{
    CloseReason, Conn, ConnId, Connect, Handler, Local, Silence, Status, Written,
};
use std::net::SocketAddr;
use std::panic::resume_unwind;
use std::rc::Rc;
use std::time::Duration;

/// The most a handler writes, so that a world comes to an end.
const BUDGET: u64 = 60_000;

pub struct Actor {
    shared: Shared,
    place: Rc<Place>,
    pub me: usize,
}

/// Ends a callback, also when it panics.
struct Inside(Shared);

impl Drop for Inside {
    fn drop(&mut self) {
        self.0.borrow_mut().leave();
    }
}

impl Drop for Actor {
    fn drop(&mut self) {
        let mut history = self.shared.borrow_mut();
        let record = &mut history.records[self.me];
        let again = std::mem::replace(&mut record.dropped, true);
        if again {
            history.violation(format!("handler {} was dropped twice", self.me));
        }
    }
}

/// A panic that is wanted, without the message of the panic hook.
fn planned_panic(shared: &Shared, ends: &[usize]) -> ! {
    {
        let mut history = shared.borrow_mut();
        history.panics += 1;
        for &me in ends {
            history.records[me].panicked = true;
        }
    }
    resume_unwind(Box::new("planned"))
}

impl Actor {
    pub fn new(shared: &Shared, place: &Rc<Place>) -> Self {
        let me = shared.borrow_mut().add_record(true);
        Self { shared: Rc::clone(shared), place: Rc::clone(place), me }
    }

    fn enter(&self, callback: Callback, conn: &mut Conn<'_>) -> Inside {
        let (id, now) = (conn.id(), conn.local().now());
        self.shared.borrow_mut().enter(self.me, callback, id, now);
        Inside(Rc::clone(&self.shared))
    }

    fn roll(&self, end: u32) -> u32 {
        self.shared.borrow_mut().rng.u32(0..end)
    }

    fn span(&self, most_millis: u64) -> Duration {
        Duration::from_micros(self.shared.borrow_mut().rng.u64(0..most_millis * 1000))
    }

    fn write(&self, conn: &mut Conn<'_>, len: usize) {
        let data = {
            let history = self.shared.borrow();
            if history.records[self.me].written > BUDGET || history.calm {
                return;
            }
            history.say(self.me, len)
        };
        let written = match self.roll(6) {
            0 => conn.write_vec(data),
            1 => conn.write_shared(data.into()),
            _ => conn.write(&data),
        };
        if written == Written::Ok {
            self.shared.borrow_mut().records[self.me].written += len as u64;
        }
    }

    /// Something odd, most often nothing.
    fn act(&self, conn: &mut Conn<'_>) {
        if self.shared.borrow().calm {
            return;
        }
        match self.roll(200) {
            0..30 => {
                let len = self.roll(300) as usize;
                self.write(conn, len);
            }
            30..36 => {
                let len = self.roll(40_000) as usize;
                self.write(conn, len);
            }
            36..46 => self.pause(conn),
            46..50 => {
                self.shared.borrow_mut().records[self.me].closing = true;
                conn.close();
            }
            50 => {
                self.shared.borrow_mut().records[self.me].aborted = true;
                conn.abort();
            }
            51 => planned_panic(&self.shared, &[self.me]),
            52..64 => self.meddle(conn),
            64..72 => dial(&self.shared, &self.place, &mut conn.local()),
            72..84 => add_alarm(&self.shared, &mut conn.local()),
            84..90 => move_alarm(&self.shared, &mut conn.local()),
            _ => {}
        }
    }

    fn pause(&self, conn: &mut Conn<'_>) {
        conn.pause();
        let id = conn.id();
        if std::mem::replace(&mut self.shared.borrow_mut().records[self.me].paused, true) {
            return;
        }
        let (shared, me, after) = (Rc::clone(&self.shared), self.me, self.span(300));
        conn.local().add_timer(after, move |local, _| {
            shared.borrow_mut().records[me].paused = false;
            if let Some(mut conn) = local.conn(id) {
                conn.resume();
            }
            None
        });
    }

    /// Reaches for another connection, or for one that is long gone.
    fn meddle(&self, conn: &mut Conn<'_>) {
        let Some(id) = any_id(&self.shared) else { return };
        let (shared, running) = (&self.shared, self.me);
        let deed = self.roll(40);
        let reached = conn.local().with::<Self, _>(id, |other, conn| {
            let known = shared.borrow().by_id.get(&id).copied();
            if known != Some(other.me) || other.me == running {
                let text = format!("{id} led to handler {}, not {known:?}", other.me);
                shared.borrow_mut().violation(text);
            }
            match deed {
                0..10 => other.write(conn, 50),
                10..14 => other.pause(conn),
                14 => planned_panic(shared, &[other.me, running]),
                _ => {}
            }
        });
        if reached.is_none() || deed >= 30 {
            poke(&self.shared, &mut conn.local(), id, deed);
        }
    }
}

pub fn any_id(shared: &Shared) -> Option<ConnId> {
    let history = &mut *shared.borrow_mut();
    history.rng.choice(&history.ids).copied()
}

/// Reaches for a connection by its id alone.
pub fn poke(shared: &Shared, local: &mut Local<'_>, id: ConnId, deed: u32) {
    let Some(mut conn) = local.conn(id) else { return };
    let me = {
        let mut history = shared.borrow_mut();
        let Some(&me) = history.by_id.get(&id) else { return };
        let record = &history.records[me];
        let gone = record.disconnects > 0 || record.aborted || record.panicked;
        if gone || conn.id() != id {
            history.violation(format!("{id} is dead and was found"));
        }
        me
    };
    let record = |set: fn(&mut super::history::Record)| {
        set(&mut shared.borrow_mut().records[me]);
    };
    match deed {
        30..33 => {
            record(|r| r.closing = true);
            conn.close();
        }
        33 => {
            record(|r| r.aborted = true);
            conn.abort();
        }
        _ => {}
    }
}

/// Opens a connection to one of the places there are.
pub fn dial(shared: &Shared, place: &Rc<Place>, local: &mut Local<'_>) {
    let kind = {
        let history = &mut *shared.borrow_mut();
        if history.dials == 0 || history.calm {
            return;
        }
        history.dials -= 1;
        history.rng.u32(0..12)
    };
    let any = |addrs: [SocketAddr; 3]| Connect::to_any(addrs).expect("three");
    let to = match kind {
        0..4 if place.with_tls => client_hello(place),
        0..6 => Connect::to(place.plain),
        6..9 => Connect::to(place.outside),
        9 => any([place.nowhere, place.outside, place.plain]),
        10 => any([place.outside, place.plain, place.nowhere]),
        _ => Connect::to(place.nowhere),
    };
    let actor = Actor::new(shared, place);
    let me = actor.me;
    match local.connect(to, actor) {
        Ok(id) => {
            shared.borrow_mut().name(me, id);
            // Written before it stands: waits for it.
            let early = shared.borrow_mut().rng.u32(0..4) == 0;
            if let Some(mut conn) = local.conn(id).filter(|_| early) {
                let data = shared.borrow().say(me, 20);
                if conn.write(&data) == Written::Ok {
                    shared.borrow_mut().records[me].written += 20;
                }
            }
        }
        Err(_) => shared.borrow_mut().records[me].refused = true,
    }
}

fn client_hello(place: &Place) -> Connect {
    let context: ClientContext = super::certificate().1.clone();
    let name = rustls::pki_types::ServerName::try_from("localhost").expect("a name");
    Connect::to(place.tls).tls(context, name)
}

fn add_alarm(shared: &Shared, local: &mut Local<'_>) {
    let after = Duration::from_micros(shared.borrow_mut().rng.u64(0..200_000));
    let due = local.now().saturating_add(after);
    let index = shared.borrow_mut().add_alarm(due);
    let own = Rc::clone(shared);
    let id = local.add_timer(after, move |local, id| {
        let deed = {
            let mut history = own.borrow_mut();
            history.ring(index, local.now());
            history.rng.u32(0..100)
        };
        if let Some(other) = any_id(&own).filter(|_| deed < 10) {
            poke(&own, local, other, 30 + deed);
        }
        if deed == 10 {
            own.borrow_mut().disarm(index);
            planned_panic(&own, &[]);
        }
        if deed < 15 && local.stop(id) {
            own.borrow_mut().disarm(index);
        }
        let again = deed % 2 == 0 && !own.borrow().calm;
        let after = Duration::from_millis(u64::from(deed) / 10 * 3);
        let stopped = deed < 15;
        match again {
            // One that was stopped meanwhile must not come back, whatever is returned.
            true if stopped => Some(after),
            true => {
                own.borrow_mut().arm(index, local.now().saturating_add(after));
                Some(after)
            }
            false => {
                own.borrow_mut().disarm(index);
                None
            }
        }
    });
    shared.borrow_mut().alarms[index].id = Some(id);
}

fn move_alarm(shared: &Shared, local: &mut Local<'_>) {
    let picked = {
        let history = &mut *shared.borrow_mut();
        let len = history.alarms.len();
        let index = if len == 0 { 0 } else { history.rng.usize(0..len) };
        let id = history.alarms.get(index).and_then(|alarm| alarm.id);
        id.map(|id| (index, id, history.rng.u64(0..50)))
    };
    let Some((index, id, millis)) = picked else { return };
    let after = Duration::from_millis(millis);
    if millis % 2 == 0 {
        if local.stop(id) {
            shared.borrow_mut().disarm(index);
        }
    } else if local.reschedule(id, after) {
        shared.borrow_mut().arm(index, local.now().saturating_add(after));
    }
}

impl Handler for Actor {
    fn on_incoming(&mut self, conn: &mut Conn<'_>, data: &[u8]) {
        let _inside = self.enter(Callback::Incoming, conn);
        self.shared.borrow_mut().take(self.me, data);
        if self.roll(10) < 7 {
            self.write(conn, data.len());
        }
        self.act(conn);
    }

    fn on_connect(&mut self, conn: &mut Conn<'_>) {
        let _inside = self.enter(Callback::Connect, conn);
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

    fn on_read_timeout(&mut self, conn: &mut Conn<'_>) -> Silence {
        let _inside = self.enter(Callback::ReadTimeout, conn);
        self.act(conn);
        if self.roll(2) == 0 { Silence::Keep } else { Silence::Close }
    }

    fn on_status(&mut self, conn: &mut Conn<'_>, _: &Status) {
        let _inside = self.enter(Callback::Status, conn);
        self.act(conn);
    }

    fn on_starttls(&mut self, conn: &mut Conn<'_>) {
        let _inside = self.enter(Callback::Starttls, conn);
        self.act(conn);
    }

    fn on_disconnect(&mut self, conn: &mut Conn<'_>, reason: &CloseReason) {
        let _inside = self.enter(Callback::Disconnect, conn);
        let orderly = matches!(reason, CloseReason::Asked | CloseReason::PeerClosed);
        {
            let mut history = self.shared.borrow_mut();
            let record = &mut history.records[self.me];
            record.graceful = orderly && record.connects == 1;
            record.clean_end = matches!(reason, CloseReason::PeerClosed);
            if matches!(reason, CloseReason::Internal) {
                history.violation(format!("handler {}: a forgotten transition", self.me));
            }
        }
        if conn.write(b"x") != Written::Closed {
            let text = format!("handler {}: a write at its end was taken", self.me);
            self.shared.borrow_mut().violation(text);
        }
        if self.roll(100) == 0 {
            planned_panic(&self.shared, &[self.me]);
        }
    }
}
