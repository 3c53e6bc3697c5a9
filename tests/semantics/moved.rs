//! on_moved: a live connection goes to another shard, and nobody but its handler notices.
//!
//! What a simulated network and its faults make of it: `tests/sim/moves`.

use shardpoll::tls::rustls::pki_types::ServerName;
use shardpoll::{Conn, ConnId, Connect, Engine, Handler, LinkOptions, Listen, Pinning, Remote};
use shardpoll_tests::{
    Hopper, PATIENCE, Peer, SharedJournal, client_context, receive, server_context,
};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

const SHARDS: usize = 4;

fn engine() -> Engine {
    let builder = Engine::builder().shards(SHARDS).pinning(Pinning::None);
    builder.start().expect("an engine starts")
}

fn end(engine: Engine) {
    engine.quit(Duration::from_secs(5));
    engine.join().expect("no shard has failed");
}

/// A stream between two connections of one engine, both of which move again and again.
fn stream(tls: bool, rough: bool, total: usize) {
    let engine = engine();
    let (one, other) = (SharedJournal::default(), SharedJournal::default());
    let at = Listen::on(([127, 0, 0, 1], 0));
    let at = if tls { at.tls(server_context()) } else { at };
    let accepted = Arc::clone(&one);
    let seed = u64::from(std::process::id());
    let accept = move |_: &_| Hopper::new(0, total, rough, seed, Arc::clone(&accepted));
    let listener = engine.listen(at, accept).expect("a free port");
    let to = Connect::to(engine.addr(listener).expect("it listens"));
    let name = ServerName::try_from("localhost").expect("a name");
    let to = if tls { to.tls(client_context(), name) } else { to };
    let far = Hopper::new(1, total, rough, seed + 1, Arc::clone(&other));
    let dial = move |local: &mut shardpoll::Local<'_>| {
        let _gone = local.connect(to, far);
    };
    assert!(engine.remote().run(2, dial).is_ok());
    let is_over = |journal: &SharedJournal| {
        let journal = journal.lock().expect("whole");
        !journal.ends.is_empty() || !journal.faults.is_empty()
    };
    let began = Instant::now();
    while !(is_over(&one) && is_over(&other)) && began.elapsed() < 3 * PATIENCE {
        std::thread::yield_now();
    }
    end(engine);
    for journal in [one, other] {
        let journal = journal.lock().expect("whole");
        assert_eq!(journal.faults, Vec::<String>::new());
        assert_eq!((journal.received, journal.ends.len()), (total, 1), "{journal:?}");
        assert!(journal.moves > 100, "{}", journal.moves);
    }
}

#[test]
fn bytes_in_both_directions_survive_hundreds_of_moves() {
    stream(false, false, 2_000_000);
}

#[test]
fn bytes_in_both_directions_survive_hundreds_of_moves_under_tls() {
    stream(true, false, 1_000_000);
}

#[test]
fn what_is_paused_limited_or_locked_moves_as_it_is() {
    stream(false, true, 1_000_000);
    stream(true, true, 500_000);
}

/// Echoes, and tells where it is.
struct Echo(Sender<ConnId>);

impl Handler for Echo {
    fn on_connect(&mut self, conn: &mut Conn<'_>) {
        let _gone = self.0.send(conn.id());
    }

    fn on_incoming(&mut self, conn: &mut Conn<'_>, data: &[u8]) {
        conn.write(data);
    }

    fn on_moved(&mut self, conn: &mut Conn<'_>, _was: ConnId) {
        let _gone = self.0.send(conn.id());
    }
}

/// An engine that echoes, a connection to it, and where that is.
fn echo() -> (Engine, Peer, Receiver<ConnId>, ConnId) {
    let engine = engine();
    let (log, places) = channel();
    let at = Listen::on(([127, 0, 0, 1], 0));
    let listener = engine.listen(at, move |_: &_| Echo(log.clone())).expect("a free port");
    let peer = Peer::connect(engine.addr(listener).expect("it listens"));
    let id = receive(&places).expect("it connects");
    (engine, peer, places, id)
}

fn move_it(remote: &Remote, id: ConnId, to: usize, places: &Receiver<ConnId>) -> ConnId {
    assert!(remote.move_conn::<Echo>(id, to).is_ok());
    let now = receive(places).expect("it moves");
    assert_eq!(now.shard(), to);
    now
}

#[test]
fn a_letter_to_the_old_id_reaches_nobody() {
    let (engine, mut peer, places, id) = echo();
    let remote = engine.remote();
    let home = id.shard();
    let next = (home + 1) % SHARDS;
    let now = move_it(&remote, id, next, &places);
    remote.write(id, b"to the old".to_vec()).expect("the shard is there");
    remote.close(id).expect("the shard is there");
    remote.write(now, b"to the new".to_vec()).expect("the shard is there");
    peer.expect(b"to the new");
    // An id of another shard names nobody, although slots and generations are the same.
    let there = move_it(&remote, now, home, &places);
    let (reply, found) = channel();
    let look = move |local: &mut shardpoll::Local<'_>| {
        let found = [id, now, there].map(|id| local.conn(id).is_some());
        let _gone = reply.send(found);
    };
    assert!(remote.run(home, look).is_ok());
    assert_eq!(receive(&found), Ok([false, false, true]));
    peer.echo(b"still the same stream");
    end(engine);
}

#[test]
fn a_proxy_has_its_two_sides_on_any_shards() {
    // S142 to S145, across shards: the one side moves, and what is queued goes with it
    let (engine, mut one, places, first) = echo();
    let at = engine.addr(shardpoll::ListenerId::new(0)).expect("it listens");
    let mut two = Peer::connect(at);
    let second = receive(&places).expect("it connects");
    let remote = engine.remote();
    let apart = (second.shard() + 1) % SHARDS;
    let first =
        if first.shard() == apart { first } else { move_it(&remote, first, apart, &places) };
    assert!(remote.link_both::<Echo>(first, second).is_ok());
    assert_eq!(receive(&places).map(ConnId::shard), Ok(second.shard()));
    one.send(b"there");
    two.expect(b"there");
    two.send(b"and back");
    one.expect(b"and back");
    two.finish();
    one.expect_end();
    // Whoever is gone cannot be linked to: nothing happens, and it is logged.
    assert!(remote.link::<Echo>(second, first, LinkOptions::default()).is_ok());
    end(engine);
}
