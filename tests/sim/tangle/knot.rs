//! The handler of a tangled world: in any callback it may do anything to anybody.
//!
//! Never: expects more than that its end comes once, last, and not inside another callback.

use super::{PLAIN, TLS, at};
use fastrand::Rng;
use shardpoll_reactor::tls::rustls::pki_types::ServerName;
use shardpoll_reactor::{
    CloseReason, Conn, ConnId, Connect, Credit, Handler, LinkOptions, Local, Silence, Status, Wait,
    WhenFull, Written,
};
use shardpoll_tests::client_context;
use std::cell::RefCell;
use std::num::NonZeroU64;
use std::panic::resume_unwind;
use std::rc::Rc;
use std::time::Duration;

/// What handlers and the judge share.
pub(super) struct Shared {
    pub(super) rng: Rng,
    pub(super) ids: Vec<ConnId>,
    /// What is running now.
    pub(super) inside: Option<&'static str>,
    /// Nothing new any more.
    pub(super) calm: bool,
    pub(super) dials: u32,
    pub(super) callbacks: u64,
    pub(super) wrong: Option<String>,
}

pub(super) type World = Rc<RefCell<Shared>>;

/// One connection; its end comes once and last.
pub(super) struct Knot {
    world: World,
    over: bool,
}

impl Knot {
    pub(super) fn new(world: &World) -> Self {
        Self { world: Rc::clone(world), over: false }
    }

    fn roll(&self, end: u32) -> u32 {
        self.world.borrow_mut().rng.u32(0..end)
    }

    /// One callback, and perhaps a deed in it.
    fn call(&self, name: &'static str, conn: &mut Conn<'_>, odds: u32) {
        {
            let mut world = self.world.borrow_mut();
            world.callbacks += 1;
            if let Some(other) = world.inside {
                world.wrong = Some(format!("{name} inside {other}"));
            }
            if self.over {
                world.wrong = Some(format!("{name} after the end"));
            }
            world.inside = Some(name);
        }
        if !self.world.borrow().calm && self.roll(odds) == 0 {
            let world = Rc::clone(&self.world);
            let deed = self.roll(40);
            if deed == 39 {
                world.borrow_mut().inside = None;
                resume_unwind(Box::new("planned"));
            }
            let id = conn.id();
            act(&world, &mut conn.local(), id, deed);
        }
        self.world.borrow_mut().inside = None;
    }
}

pub(super) fn any(world: &World) -> Option<ConnId> {
    let world = &mut *world.borrow_mut();
    let recent = world.ids.len().saturating_sub(12);
    world.rng.choice(&world.ids[recent..]).copied()
}

fn options(world: &World) -> LinkOptions {
    let rng = &mut world.borrow_mut().rng;
    let (low, high) = [(0, 0), (0, 700), (2000, 4000), (64 << 10, 256 << 10)][rng.usize(0..4)];
    let options = LinkOptions::default().water_marks(low, high).propagate(rng.bool());
    if rng.bool() { options.read_size([1, 300, 5000][rng.usize(0..3)]) } else { options }
}

/// Something to a connection, most often to the one whose callback runs.
pub(super) fn act(world: &World, local: &mut Local<'_>, own: ConnId, deed: u32) {
    let other = any(world).unwrap_or(own);
    let target = if world.borrow_mut().rng.u32(0..3) == 0 { other } else { own };
    let number = world.borrow_mut().rng.u32(0..4000);
    match deed {
        0..5 => drop(local.link_with(target, other, options(world))),
        5..8 => drop(local.link_with(other, own, options(world))),
        8..12 => drop(local.link_both(own, other)),
        12 => drop(local.unlink(target)),
        13 => drop(dial(world, local)),
        14 if number < 40 => local.close_all(),
        _ => {
            if let Some(mut conn) = local.conn(target) {
                deal(world, &mut conn, deed, number);
            }
        }
    }
}

fn deal(world: &World, conn: &mut Conn<'_>, deed: u32, number: u32) {
    let millis = |millis: u32| Duration::from_millis(u64::from(millis));
    match deed {
        15 if number < 1000 => conn.close(),
        16 if number < 1000 => conn.abort(),
        17 => conn.half_close(),
        18 => conn.pause(),
        19 => conn.resume(),
        20 => conn.pause_for(Some(millis(number / 10))),
        21 => conn.pause_for(None),
        22 => conn.limit(NonZeroU64::new(u64::from(number) * 10)),
        23 => conn.set_credit(Some(Credit::Bytes(number as usize))),
        24 => conn.set_credit(Some(Credit::Chunks(number as usize % 3))),
        25 => conn.grant(Credit::Bytes(100)),
        26 => conn.set_credit(None),
        27 => conn.pause_writes(),
        28 | 29 => conn.resume_writes(),
        30 => conn.set_read_timeout(Wait::After(millis(number))),
        31 => conn.set_write_timeout(Wait::After(millis(number))),
        32 => conn.read_size(number as usize),
        33 => conn.set_handler(Knot::new(world)),
        _ => {
            conn.write(&vec![7; number as usize]);
        }
    }
}

pub(super) fn dial(world: &World, local: &mut Local<'_>) -> Option<ConnId> {
    let kind = {
        let world = &mut *world.borrow_mut();
        if world.dials == 0 || world.calm {
            return None;
        }
        world.dials -= 1;
        world.rng.u32(0..6)
    };
    let to = match kind {
        0..2 => Connect::to(at(PLAIN)),
        2..4 => {
            let name = ServerName::try_from("localhost").expect("a name");
            Connect::to(at(TLS)).tls(client_context(), name)
        }
        4 => Connect::to_any([at(9), at(PLAIN)]).expect("two"),
        _ => Connect::to(at(9)),
    };
    let to = if kind % 2 == 0 { to.when_full(WhenFull::PausePeer) } else { to };
    let id = local.connect(to, Knot::new(world)).ok()?;
    world.borrow_mut().ids.push(id);
    Some(id)
}

impl Handler for Knot {
    fn on_incoming(&mut self, conn: &mut Conn<'_>, data: &[u8]) {
        if self.roll(3) == 0 && !self.world.borrow().calm {
            conn.write(data);
        }
        self.call("on_incoming", conn, 6);
    }
    fn on_connect(&mut self, conn: &mut Conn<'_>) {
        self.world.borrow_mut().ids.push(conn.id());
        self.call("on_connect", conn, 2);
    }
    fn on_predrain(&mut self, conn: &mut Conn<'_>) {
        self.call("on_predrain", conn, 12);
    }
    fn on_drain(&mut self, conn: &mut Conn<'_>) {
        self.call("on_drain", conn, 12);
    }
    fn on_high_water(&mut self, conn: &mut Conn<'_>) {
        self.call("on_high_water", conn, 3);
    }
    fn on_low_water(&mut self, conn: &mut Conn<'_>) {
        self.call("on_low_water", conn, 3);
    }
    fn on_read_timeout(&mut self, conn: &mut Conn<'_>) -> Silence {
        self.call("on_read_timeout", conn, 3);
        if self.roll(2) == 0 { Silence::Keep } else { Silence::Close }
    }
    fn on_status(&mut self, conn: &mut Conn<'_>, _: &Status) {
        self.call("on_status", conn, 4);
    }
    fn on_starttls(&mut self, conn: &mut Conn<'_>) {
        self.call("on_starttls", conn, 4);
    }
    fn on_attach(&mut self, conn: &mut Conn<'_>) {
        self.call("on_attach", conn, 6);
    }
    fn on_detach(&mut self, conn: &mut Conn<'_>) {
        self.call("on_detach", conn, 6);
    }
    fn on_panic(&mut self, conn: &mut Conn<'_>, _: &str) {
        self.call("on_panic", conn, 6);
    }
    fn on_disconnect(&mut self, conn: &mut Conn<'_>, reason: &CloseReason) {
        self.call("on_disconnect", conn, 4);
        self.over = true;
        if conn.write(b"x") != Written::Closed || matches!(reason, CloseReason::Internal) {
            self.world.borrow_mut().wrong = Some(format!("an end that is none: {reason}"));
        }
    }
}
