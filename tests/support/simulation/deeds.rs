//! What reaches beyond a handler's own connection: other connections, new ones, timers.
//!
//! Never: is a handler; actors, timers and the world call it.

use super::actor::{Actor, planned_panic};
use super::balancer;
use super::history::Shared;
use super::place::Place;
use super::record::Record;
use shardpoll_reactor::tls::rustls;
use shardpoll_reactor::{ConnId, Connect, ListenerId, Local, Tick, Written};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

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
    let record = |set: fn(&mut Record)| {
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

/// Lets a listener accept nobody for a while, or again.
pub fn pause_listener(shared: &Shared, local: &mut Local<'_>) {
    let mut history = shared.borrow_mut();
    let (doors, how) = (history.doors.len(), history.rng.u32(0..4));
    let number = history.rng.usize(0..doors);
    let millis = history.rng.u64(0..300);
    let id = ListenerId::new(u32::try_from(number).expect("few listeners"));
    let (known, until) = match how {
        0 => (local.resume_listener(id), None),
        1 => (local.pause_listener(id), Some(Tick::MAX)),
        _ => {
            let time = Duration::from_millis(millis);
            (local.pause_listener_for(id, time), Some(local.now().saturating_add(time)))
        }
    };
    if known {
        history.doors[number].paused_until = until;
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
        history.rng.u32(0..19)
    };
    let any = |addrs: [SocketAddr; 3]| Connect::to_any(addrs).expect("three");
    let to = match kind {
        0..3 if place.with_tls => client_hello(place, place.tls),
        3 if place.with_tls => client_hello(place, place.silent),
        0..6 => Connect::to(place.plain),
        6..9 => Connect::to(place.outside),
        9 => any([place.nowhere, place.outside, place.plain]),
        10 => any([place.outside, place.plain, place.nowhere]),
        11..14 if place.with_tls => Connect::to(place.upgraded),
        14 if place.with_tls => Connect::to(place.half_upgraded),
        16..18 if place.with_tls => {
            client_hello(place, place.proxied_tls).proxy_header(balancer::client(shared))
        }
        16..18 => Connect::to(place.proxied).proxy_header(balancer::client(shared)),
        _ => Connect::to(place.nowhere),
    };
    let actor = Actor::new(shared, place);
    let me = actor.me;
    shared.borrow_mut().records[me].tls = place.with_tls && (kind < 4 || (16..18).contains(&kind));
    let upgrades = place.with_tls && (11..15).contains(&kind);
    if upgrades {
        actor.plan_upgrade();
    }
    match local.connect(to, actor) {
        Ok(id) => {
            shared.borrow_mut().name(me, id);
            // Written before it stands: waits for it.
            let early = shared.borrow_mut().rng.u32(0..4) == 0 && !upgrades;
            if let Some(mut conn) = local.conn(id).filter(|_| early) {
                let data = shared.borrow().say(me, 20);
                if matches!(conn.write(&data), Written::Ok | Written::High) {
                    shared.borrow_mut().records[me].written += 20;
                }
            }
        }
        Err(_) => shared.borrow_mut().records[me].refused = true,
    }
}

fn client_hello(place: &Place, to: SocketAddr) -> Connect {
    let name = rustls::pki_types::ServerName::try_from("localhost").expect("a name");
    Connect::to(to).tls(place.client.clone(), name)
}

pub fn add_alarm(shared: &Shared, local: &mut Local<'_>) {
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
            planned_panic(&own);
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

pub fn move_alarm(shared: &Shared, local: &mut Local<'_>) {
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
