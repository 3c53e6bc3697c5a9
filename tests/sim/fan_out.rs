//! One buffer for ten thousand connections on many shards; what is told to all, and who hears of
//! it.

use shardpoll::sim::{Fault, Faults, SimEngine, SimPeer};
use shardpoll::{Config, Conn, ConnId, Handler};
use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

const SHARDS: usize = 4;
const MEMBERS: usize = 10_000;

/// What of it a member's kernel takes before the member reads.
const WINDOW: usize = 64;

type Room = Rc<RefCell<Vec<ConnId>>>;

struct Member(Room);

impl Handler for Member {
    fn on_connect(&mut self, conn: &mut Conn<'_>) {
        self.0.borrow_mut().push(conn.id());
    }

    fn on_incoming(&mut self, _conn: &mut Conn<'_>, _data: &[u8]) {}
}

#[test]
fn one_buffer_goes_to_ten_thousand_connections_and_is_never_copied() {
    let at = SocketAddr::from(([10, 0, 0, 1], 7000));
    let mut world = SimEngine::new(SHARDS, 1, Config::default()).expect("good settings");
    let room = Room::default();
    let members = Rc::clone(&room);
    world.listen(at, move |_| Member(Rc::clone(&members))).expect("nobody is there");
    world.sim().set_window(WINDOW);
    let mut peers = Vec::new();
    while peers.len() < MEMBERS {
        // No more than wait at a socket at a time.
        peers.extend((0..1000).map(|_| world.sim().peer(at)));
        world.settle();
    }
    let ids = room.borrow().clone();
    assert_eq!(ids.len(), MEMBERS);
    let data: Arc<[u8]> = (0..100).collect();
    world.remote().write_to_all(ids, &data).expect("there is room");
    world.settle();
    // Each waits with a part of it, and with the same one.
    assert_eq!(Arc::strong_count(&data), 1 + MEMBERS);
    let mut got: Vec<_> = peers.iter().map(|peer| peer.recv_all()).collect();
    world.settle();
    for (got, peer) in got.iter_mut().zip(&peers) {
        got.extend(peer.recv_all());
        assert_eq!(got[..], data[..]);
    }
    assert_eq!(Arc::strong_count(&data), 1);
}

/// A world of one room with so many in it.
fn room(faults: Faults, members: usize) -> (SimEngine, Vec<SimPeer>, Vec<ConnId>) {
    let at = SocketAddr::from(([10, 0, 0, 1], 7000));
    let mut world = SimEngine::with_faults(2, 1, faults, Config::default()).expect("good settings");
    let room = Room::default();
    let all = Rc::clone(&room);
    world.listen(at, move |_| Member(Rc::clone(&all))).expect("nobody is there");
    let peers = (0..members).map(|_| world.sim().peer(at)).collect();
    for _ in 0..100 {
        world.settle();
    }
    let ids = room.borrow().clone();
    assert_eq!(ids.len(), members);
    (world, peers, ids)
}

#[test]
fn what_is_told_to_all_arrives_in_order_whatever_the_kernel_does() {
    // S58: also with something behind it that is for each alone
    let kinds = [Fault::ShortWrite, Fault::WriteBlocked, Fault::SendInterrupted];
    let faults = kinds.map(|kind| Faults::none().with(kind, 0.3));
    for faults in faults.into_iter().chain([Faults::none()]) {
        let (mut world, peers, ids) = room(faults, 50);
        let mut told = Vec::new();
        let mut got = vec![Vec::new(); peers.len()];
        for number in 0..30 {
            let data: Arc<[u8]> = [number; 100].into();
            world.remote().write_to_all(ids.iter().copied(), &data).expect("there is room");
            told.extend_from_slice(&data);
            if number % 3 == 0 {
                for &id in &ids {
                    world.remote().write(id, vec![number; 7]).expect("there is room");
                }
                told.extend([number; 7]);
            }
            world.settle();
            for (got, peer) in got.iter_mut().zip(&peers) {
                got.extend(peer.recv_all());
            }
        }
        for _ in 0..100 {
            world.settle();
            for (got, peer) in got.iter_mut().zip(&peers) {
                got.extend(peer.recv_all());
            }
        }
        assert!(got.iter().all(|got| *got == told));
        assert_eq!((world.check(0), world.check(1)), (Ok(()), Ok(())));
    }
}

/// Counts its flushes.
struct Attentive(Rc<RefCell<[usize; 2]>>);

impl Handler for Attentive {
    fn on_incoming(&mut self, _conn: &mut Conn<'_>, _data: &[u8]) {}

    fn on_predrain(&mut self, _conn: &mut Conn<'_>) {
        self.0.borrow_mut()[0] += 1;
    }

    fn on_drain(&mut self, _conn: &mut Conn<'_>) {
        self.0.borrow_mut()[1] += 1;
    }
}

#[test]
fn who_hears_of_flushes_hears_of_those_that_are_for_all() {
    // S58, S59: also when it takes over from one who did not
    let (mut world, peers, ids) = room(Faults::none(), 3);
    let heard = Rc::<RefCell<[usize; 2]>>::default();
    let tell = |world: &mut SimEngine| {
        let data: Arc<[u8]> = [1; 10].into();
        world.remote().write_to_all(ids.iter().copied(), &data).expect("there is room");
        world.settle();
    };
    tell(&mut world);
    tell(&mut world);
    let next = Attentive(Rc::clone(&heard));
    world.local(ids[1].shard(), |local| local.conn(ids[1]).expect("open").set_handler(next));
    world.settle();
    assert_eq!(*heard.borrow(), [0, 0], "nothing is owed to it");
    for times in 1..=3 {
        tell(&mut world);
        assert_eq!(*heard.borrow(), [times, times]);
    }
    assert!(peers.iter().all(|peer| peer.recv_all() == [1; 50]));
}
