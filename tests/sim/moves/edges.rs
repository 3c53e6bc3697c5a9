//! Moves that are refused, wait, come back, or meet an end.

use super::{LISTENER, World, at};
use shardpoll_reactor::{
    CloseReason, Conn, ConnId, DrainPlan, Fault, Faults, Handler, LinkAcrossError, LinkError,
    LinkOptions, MoveError, SimPeer, Status,
};
use std::sync::{Arc, Mutex};
use std::time::Duration;

pub(super) type Log = Arc<Mutex<Vec<String>>>;

/// Echoes, and notes what it is told; input that begins with `!` is a command.
pub(super) struct Note(pub(super) Log);

impl Note {
    fn note(&self, conn: &Conn<'_>, what: &str) {
        let line = format!("{} {what}", conn.id().shard());
        self.0.lock().expect("whole").push(line);
    }
}

/// A handler of another type.
struct Other;

impl Handler for Other {
    fn on_incoming(&mut self, _conn: &mut Conn<'_>, _data: &[u8]) {}
}

impl Handler for Note {
    fn on_incoming(&mut self, conn: &mut Conn<'_>, data: &[u8]) {
        let text = String::from_utf8_lossy(data).into_owned();
        self.note(conn, &text);
        let answer = match text.as_str() {
            "!1" => conn.move_to::<Self>(1),
            "!2" => conn.move_to::<Self>(2),
            "!other" => conn.move_to::<Other>(1),
            "!both" => conn.move_to::<Self>(1).map(|()| conn.close()),
            _ => {
                conn.write(data);
                Ok(())
            }
        };
        if let Err(error) = answer {
            self.note(conn, &error.to_string());
        }
    }

    fn on_connect(&mut self, conn: &mut Conn<'_>) {
        self.note(conn, "connect");
    }

    fn on_starttls(&mut self, conn: &mut Conn<'_>) {
        let asked = conn.move_to::<Self>(1);
        self.note(conn, &format!("starttls {asked:?}"));
    }

    fn on_moved(&mut self, conn: &mut Conn<'_>, was: ConnId) {
        self.note(conn, &format!("moved from {}", was.shard()));
    }

    fn on_drain_begin(&mut self, conn: &mut Conn<'_>) {
        self.note(conn, "drain");
    }

    fn on_status(&mut self, conn: &mut Conn<'_>, status: &Status) {
        self.note(conn, &status.to_string());
    }

    fn on_disconnect(&mut self, conn: &mut Conn<'_>, reason: &CloseReason) {
        self.note(conn, &format!("end {reason:?}"));
    }
}

/// Three loops that echo, and what their handlers note.
pub(super) fn world(tls: bool) -> (World, Log) {
    let log = Log::default();
    let own = Arc::clone(&log);
    (World::new(3, 1, tls, move || Box::new(Note(Arc::clone(&own)))), log)
}

pub(super) fn seen(log: &Log) -> Vec<String> {
    log.lock().expect("whole").clone()
}

/// A peer of shard 0, and the id of its connection.
fn peer(world: &mut World) -> (SimPeer, ConnId) {
    peer_of(world, 0)
}

fn peer_of(world: &mut World, shard: usize) -> (SimPeer, ConnId) {
    let peer = world.sim.peer(at(shard));
    world.run(20);
    let id = world.only(shard);
    (peer, id)
}

impl World {
    /// The connection of a shard that has but one.
    fn only(&self, shard: usize) -> ConnId {
        let ids = self.loops[shard].connections();
        assert_eq!(ids.len(), 1, "shard {shard}");
        ids[0]
    }

    fn say(&mut self, peer: &SimPeer, text: &str) {
        peer.send(text.as_bytes());
        self.run(20);
    }

    fn echo(&mut self, peer: &SimPeer, text: &str) {
        self.say(peer, text);
        assert_eq!(peer.recv_all(), text.as_bytes());
    }
}

#[test]
fn a_connection_moves_and_its_old_id_is_dead() {
    let (mut world, log) = world(false);
    let (peer, was) = peer(&mut world);
    world.say(&peer, "!1");
    world.echo(&peer, "hi");
    assert_eq!(seen(&log), ["0 connect", "0 !1", "1 moved from 0", "1 hi"]);
    let now = world.only(1);
    assert_ne!(was, now);
    for shard in 0..3 {
        let reached = world.loops[shard].local(|local| local.conn(was).is_some());
        assert_eq!(reached, Some(false), "what is sent to the old id reaches nobody");
    }
    assert_eq!(world.post.borrow().open, [0, 1, 0]);
    let counters = world.loops[0].counters();
    assert_eq!((counters.moved_out, counters.closed, counters.accepted), (1, 0, 1));
    let counters = world.loops[1].counters();
    assert_eq!((counters.moved_in, counters.closed, counters.accepted), (1, 0, 0));
    drop(peer);
    world.run(40);
    assert_eq!(world.post.borrow().open, [0, 0, 0]);
    assert_eq!(world.loops[1].counters().closed, 1);
}

#[test]
fn it_comes_back_when_the_other_shard_takes_none() {
    let (mut world, log) = world(false);
    let (peer, was) = peer(&mut world);
    world.post.borrow_mut().closed.push(1);
    world.say(&peer, "!1");
    world.echo(&peer, "hi");
    assert_eq!(seen(&log), ["0 connect", "0 !1", "0 moved from 0", "0 hi"]);
    assert_ne!(world.only(0), was);
    assert_eq!(world.post.borrow().open, [1, 0, 0]);
}

#[test]
fn what_makes_no_sense_is_refused_and_the_connection_goes_on() {
    let (mut world, log) = world(false);
    let (peer, id) = peer(&mut world);
    let ask = |world: &mut World, f: fn(&mut Conn<'_>) -> Result<(), MoveError>| {
        let asked = world.loops[0].local(|local| f(&mut local.conn(id).expect("it is there")));
        asked.expect("no panic")
    };
    assert_eq!(ask(&mut world, |it| it.move_to::<Note>(3)), Err(MoveError::NoShard(3)));
    assert_eq!(ask(&mut world, |it| it.move_to::<Note>(0)), Err(MoveError::Here(0)));
    assert_eq!(ask(&mut world, |it| it.move_to::<Other>(1)), Err(MoveError::OtherHandler));
    // In its own callback the handler is out on a call, and is looked at later.
    world.say(&peer, "!other");
    world.echo(&peer, "still here");
    let status = format!("0 not moved: {}", MoveError::OtherHandler);
    assert_eq!(seen(&log), ["0 connect", "0 !other", status.as_str(), "0 still here"]);
    assert_eq!(ask(&mut world, |it| it.move_to::<Note>(1)), Ok(()));
    assert_eq!(ask(&mut world, |it| it.move_to::<Note>(2)), Err(MoveError::Asked));
    assert_eq!(world.loops[0].counters().failed_moves, 1);
}

#[test]
fn a_linked_connection_stays() {
    let (mut world, log) = world(false);
    let (one, first) = peer(&mut world);
    let two = world.sim.peer(at(0));
    world.run(20);
    let other = world.loops[0].connections().into_iter().find(|id| *id != first);
    let other = other.expect("the second");
    let linked = world.loops[0].local(|local| {
        // Asked before it was linked: found out when it is to leave.
        let asked = local.conn(other).map(|mut conn| conn.move_to::<Note>(1));
        assert_eq!(asked, Some(Ok(())));
        local.link(first, other)
    });
    assert_eq!(linked, Some(Ok(())));
    for id in [first, other] {
        let asked =
            world.loops[0].local(|local| local.conn(id).map(|mut conn| conn.move_to::<Note>(2)));
        assert_eq!(asked, Some(Some(Err(MoveError::Linked))));
    }
    world.say(&one, "through");
    assert_eq!(two.recv_all(), b"through");
    assert!(seen(&log).contains(&format!("0 not moved: {}", MoveError::Linked)));
}

#[test]
fn whoever_closes_and_moves_ends_where_it_is() {
    let (mut world, log) = world(false);
    let (peer, _) = peer(&mut world);
    world.say(&peer, "!both");
    world.run(40);
    assert_eq!(seen(&log), ["0 connect", "0 !both", "0 end Asked"]);
    assert!(peer.is_at_end());
}

#[test]
fn a_move_waits_for_the_end_of_the_handshake() {
    let (mut world, log) = world(true);
    let client = shardpoll_tests::client_context();
    let name = shardpoll_reactor::tls::rustls::pki_types::ServerName::try_from("localhost");
    let to = shardpoll_reactor::Connect::to(at(0)).tls(client, name.expect("a name"));
    let far = Log::default();
    let handler = Note(Arc::clone(&far));
    world.loops[2].local(|local| local.connect(to, handler)).expect("whole").expect("opened");
    world.run(80);
    for (log, from) in [(log, 0), (far, 2)] {
        let want = [
            format!("{from} starttls Ok(())"),
            format!("{from} ssl-handshake-complete"),
            format!("{from} connect"),
            format!("1 moved from {from}"),
        ];
        assert_eq!(seen(&log), want);
    }
    assert_eq!(world.loops[1].connections().len(), 2);
}

#[test]
fn a_shard_that_quits_while_it_is_on_its_way_closes_it_in_order() {
    let (mut world, log) = world(false);
    let (peer, _) = peer(&mut world);
    peer.send(b"!1");
    while world.post.borrow().parcels.is_empty() {
        world.loops[0].turn(Some(super::MILLI)).expect("the poller works");
    }
    world.loops[1].quit(Duration::from_secs(5));
    world.run(40);
    assert_eq!(seen(&log), ["0 connect", "0 !1", "1 moved from 0", "1 end Asked"]);
    assert!(peer.is_at_end());
}

#[test]
fn whoever_arrives_where_a_drain_has_begun_is_told_of_it_once() {
    for told_before in [false, true] {
        let (mut world, log) = world(false);
        let (peer, _) = peer(&mut world);
        world.loops[1].drain(DrainPlan::default());
        if told_before {
            world.loops[0].drain(DrainPlan::default());
        }
        world.say(&peer, "!1");
        world.echo(&peer, "goes on");
        let want = if told_before {
            ["0 connect", "0 drain", "0 !1", "1 moved from 0", "1 goes on"]
        } else {
            ["0 connect", "0 !1", "1 moved from 0", "1 drain", "1 goes on"]
        };
        assert_eq!(seen(&log), want);
    }
}

#[test]
fn one_that_the_other_kernel_side_refuses_is_told_of_its_end() {
    let (mut world, log) = world(false);
    let (peer, _) = peer(&mut world);
    peer.send(b"!1");
    while world.post.borrow().parcels.is_empty() {
        world.loops[0].turn(Some(super::MILLI)).expect("the poller works");
    }
    world.sim.set_faults(Faults::none().with(Fault::RegisterRefused, 1.0));
    world.deliver();
    world.run(4);
    let seen = seen(&log);
    assert_eq!(seen[..3], ["0 connect", "0 !1", "1 moved from 0"]);
    assert!(seen.len() == 4 && seen[3].starts_with("1 end Io"), "{seen:?}");
}

#[test]
fn silence_is_counted_on() {
    // the time limits of a connection do not begin anew with a move (S85)
    let (mut world, log) = world(false);
    let (peer, _) = peer(&mut world);
    let limit = shardpoll_reactor::Config::default().read_timeout.expect("Prosody's");
    world.sim.advance(limit / 2);
    let id = world.only(0);
    let asked =
        world.loops[0].local(|local| local.conn(id).map(|mut conn| conn.move_to::<Note>(1)));
    assert_eq!(asked, Some(Some(Ok(()))));
    world.run(4);
    world.sim.advance(limit / 2 - Duration::from_secs(1));
    world.run(4);
    assert!(!peer.is_at_end());
    world.sim.advance(Duration::from_secs(1));
    world.run(40);
    assert_eq!(seen(&log), ["0 connect", "1 moved from 0", "1 end Silent"]);
}

#[test]
fn connections_of_two_shards_are_linked_where_the_target_is() {
    let (mut world, log) = world(false);
    let (one, first) = peer_of(&mut world, 0);
    let (two, second) = peer_of(&mut world, 2);
    let linked = world.loops[0].local(|local| local.link_both_across::<Note>(first, second));
    assert_eq!(linked, Some(Ok(())));
    world.run(20);
    world.say(&one, "to the other");
    assert_eq!(two.recv_all(), b"to the other");
    world.say(&two, "and back");
    assert_eq!(one.recv_all(), b"and back");
    assert_eq!(seen(&log), ["0 connect", "2 connect", "2 moved from 0"]);
    assert_eq!(world.loops[2].connections().len(), 2);
}

#[test]
fn a_link_whose_target_ends_meanwhile_is_told() {
    let (mut world, log) = world(false);
    let (one, first) = peer_of(&mut world, 0);
    let (two, second) = peer_of(&mut world, 2);
    let options = LinkOptions::default();
    let link = |world: &mut World| {
        world.loops[0].local(|it| it.link_across::<Note>(first, second, options))
    };
    assert_eq!(link(&mut world), Some(Ok(())));
    assert_eq!(link(&mut world), Some(Err(LinkAcrossError::Move(MoveError::Asked))));
    while world.post.borrow().parcels.is_empty() {
        world.loops[0].turn(Some(super::MILLI)).expect("the poller works");
    }
    assert_eq!(link(&mut world), Some(Err(LinkAcrossError::Link(LinkError::Gone(first)))));
    world.loops[2].local(|local| local.conn(second).map(|mut conn| conn.abort()));
    world.loops[2].turn(Some(Duration::ZERO)).expect("the poller works");
    world.run(20);
    world.echo(&one, "alone");
    let gone = format!("2 not linked: {}", LinkError::Gone(second));
    assert_eq!(seen(&log), ["0 connect", "2 connect", "2 moved from 0", gone.as_str(), "2 alone"]);
    drop(two);
    world.loops[0].close_listener(LISTENER);
}
