//! One buffer for ten thousand connections on many shards.

use shardpoll::sim::SimEngine;
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
