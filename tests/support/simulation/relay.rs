//! A pair of connections of which each writes what the other reads: a proxy made of links.
//!
//! Never: changes a byte, or writes one of its own.

use super::actor::{Inside, enter};
use super::history::{Callback, SeatState, Shared};
use super::place::Place;
use shardpoll_reactor::{
    Addr, CloseReason, Conn, ConnId, Connect, Handler, LinkOptions, Local, Written,
};
use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

/// What both sides of a pair know.
#[derive(Default, Debug)]
struct Pair {
    front: Cell<Option<ConnId>>,
    back: Cell<Option<ConnId>>,
    linked: Cell<bool>,
}

#[derive(Debug)]
pub struct Relay {
    shared: Shared,
    place: Rc<Place>,
    pair: Rc<Pair>,
    pub me: usize,
    number: usize,
    is_front: bool,
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.shared.borrow_mut().drop_seat(self.number);
    }
}

impl Relay {
    /// The side that a peer has come to.
    pub fn front(shared: &Shared, place: &Rc<Place>) -> Self {
        Self::new(shared, place, Rc::default(), true)
    }

    fn new(shared: &Shared, place: &Rc<Place>, pair: Rc<Pair>, is_front: bool) -> Self {
        let (shared, place) = (Rc::clone(shared), Rc::clone(place));
        let (me, number) = {
            let mut history = shared.borrow_mut();
            let me = history.add_record(true);
            history.records[me].is_relay = true;
            (me, history.add_seat(me, SeatState::Serving))
        };
        Self { shared, place, pair, me, number, is_front }
    }

    fn enter(&self, callback: Callback, conn: &mut Conn<'_>) -> Inside {
        enter(&self.shared, self.me, self.number, callback, conn)
    }

    fn other(&self) -> Option<ConnId> {
        if self.is_front { self.pair.back.get() } else { self.pair.front.get() }
    }

    /// Dials the other side, which links the two when it stands.
    fn dial_back(&self, conn: &mut Conn<'_>) {
        let back = Self::new(&self.shared, &self.place, Rc::clone(&self.pair), false);
        let me = back.me;
        self.shared.borrow_mut().pairs.push((self.me, me));
        match conn.local().connect(Connect::to(self.place.outside), back) {
            Ok(id) => {
                self.shared.borrow_mut().name(me, id);
                self.pair.back.set(Some(id));
            }
            Err(_) => {
                self.shared.borrow_mut().records[me].refused = true;
                close(&self.shared, self.me, conn);
            }
        }
    }
}

fn close(shared: &Shared, me: usize, conn: &mut Conn<'_>) {
    shared.borrow_mut().records[me].closing = true;
    conn.close();
}

fn options(shared: &Shared) -> LinkOptions {
    let rng = &mut shared.borrow_mut().rng;
    let high = rng.usize(0..20_000);
    let low = rng.usize(0..=high);
    let options = LinkOptions::default().water_marks(low, high).propagate(true);
    if rng.bool() { options.read_size(rng.usize(1..3000)) } else { options }
}

/// Links both ways; what is wrong with one ends the other.
fn link(shared: &Shared, pair: &Pair, local: &mut Local<'_>) {
    let (Some(front), Some(back)) = (pair.front.get(), pair.back.get()) else { return };
    let there = local.link_with(front, back, options(shared));
    let back_again = there.and_then(|()| local.link_with(back, front, options(shared)));
    pair.linked.set(back_again.is_ok());
    if back_again.is_ok() {
        return;
    }
    for id in [front, back] {
        local.unlink(id);
        let me = shared.borrow().by_id.get(&id).copied();
        if let (Some(mut conn), Some(me)) = (local.conn(id), me) {
            conn.resume();
            close(shared, me, &mut conn);
        }
    }
}

/// For a while the handlers carry the bytes, if both can be told.
fn carry_by_hand(shared: &Shared, pair: &Rc<Pair>, local: &mut Local<'_>) {
    let (Some(front), Some(back)) = (pair.front.get(), pair.back.get()) else { return };
    if local.conn(front).is_none() || local.conn(back).is_none() {
        return;
    }
    if !(local.unlink(front) && local.unlink(back)) {
        return;
    }
    pair.linked.set(false);
    let after = Duration::from_micros(shared.borrow_mut().rng.u64(0..5000));
    let (shared, pair) = (Rc::clone(shared), Rc::clone(pair));
    local.add_timer(after, move |local, _| {
        link(&shared, &pair, local);
        None
    });
}

impl Handler for Relay {
    fn on_incoming(&mut self, conn: &mut Conn<'_>, data: &[u8]) {
        let _inside = self.enter(Callback::Incoming, conn);
        if self.pair.linked.get() {
            let text = format!("{}: linked, and its handler was given input", self.me);
            self.shared.borrow_mut().violation(text);
        }
        let other = self.other();
        let written = other.and_then(|other| Some(conn.local().conn(other)?.write(data)));
        if !matches!(written, Some(Written::Ok | Written::High)) {
            close(&self.shared, self.me, conn);
        }
    }

    fn on_connect(&mut self, conn: &mut Conn<'_>) {
        let _inside = self.enter(Callback::Connect, conn);
        if self.is_front {
            self.pair.front.set(Some(conn.id()));
            if let Addr::Ip(peer) = conn.peer() {
                self.shared.borrow_mut().fronts.insert(*peer, self.me);
            }
            // The link reads, when there is one.
            conn.pause();
            return self.dial_back(conn);
        }
        link(&self.shared, &self.pair, &mut conn.local());
        let (shared, pair) = (Rc::clone(&self.shared), Rc::clone(&self.pair));
        let after = Duration::from_micros(shared.borrow_mut().rng.u64(0..100_000));
        conn.local().add_timer(after, move |local, _| {
            carry_by_hand(&shared, &pair, local);
            None
        });
    }

    fn on_disconnect(&mut self, conn: &mut Conn<'_>, reason: &CloseReason) {
        let _inside = self.enter(Callback::Disconnect, conn);
        self.shared.borrow_mut().records[self.me].clean_end =
            matches!(reason, CloseReason::PeerClosed);
        // One that never was linked, or is carried by hand, tells the other itself.
        let other = self.other().filter(|_| !self.pair.linked.get());
        let me = other.and_then(|other| self.shared.borrow().by_id.get(&other).copied());
        let Some((other, me)) = other.zip(me) else { return };
        if let Some(mut other) = conn.local().conn(other) {
            other.resume();
            close(&self.shared, me, &mut other);
        }
    }
}
