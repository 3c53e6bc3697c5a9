//! with: another connection's handler, on the same shard, never one that is running.

use shardpoll::{Conn, ConnId, Handler, Local};
use shardpoll_tests::{Event, Peer, Recorder, Setup, World, both_worlds};
use std::sync::{Arc, Mutex};

both_worlds! {
    another_handler_is_reached_with_its_connection,
    a_handler_of_another_type_is_not_called,
    the_running_handler_is_not_called,
    a_handler_that_is_gone_is_not_called,
    a_panic_in_with_ends_both_and_nobody_else,
    a_caught_panic_in_with_leaves_the_caller_alive,
}

/// What a handler of these tests does when it is spoken to.
type Deed = Arc<dyn Fn(&mut Member, &mut Conn<'_>, ConnId) + Send + Sync>;

/// A handler of a type the tests can name: it knows the others, and acts on the last that came.
struct Member {
    others: Arc<Mutex<Vec<ConnId>>>,
    heard: usize,
    deed: Deed,
}

impl Handler for Member {
    fn on_connect(&mut self, conn: &mut Conn<'_>) {
        self.others.lock().expect("not poisoned").push(conn.id());
        conn.write(b"+");
    }

    fn on_incoming(&mut self, conn: &mut Conn<'_>, _: &[u8]) {
        let others = self.others.lock().expect("not poisoned").clone();
        let me = conn.id();
        let other = others.into_iter().find(|id| *id != me).unwrap_or(me);
        Arc::clone(&self.deed)(self, conn, other);
    }
}

/// Two members, greeted; the first is to be spoken to.
fn pair(
    world: &World,
    deed: impl Fn(&mut Member, &mut Conn<'_>, ConnId) + Send + Sync + 'static,
) -> (Peer, Peer) {
    let (others, deed): (_, Deed) = (Arc::new(Mutex::new(Vec::new())), Arc::new(deed));
    let accept =
        move |_: &_| Member { others: Arc::clone(&others), heard: 0, deed: Arc::clone(&deed) };
    let addr = world.listen_as(accept);
    let (mut first, mut second) = (Peer::connect(addr), Peer::connect(addr));
    first.expect(b"+");
    second.expect(b"+");
    (first, second)
}

fn another_handler_is_reached_with_its_connection() {
    let world = Setup::new().echo();
    let (mut first, mut second) = pair(&world, |_, conn, other| {
        let heard = conn.local().with::<Member, _>(other, |member, conn| {
            member.heard += 1;
            conn.write(b"hi from the other");
            member.heard
        });
        conn.write(format!("{heard:?}").as_bytes());
    });
    first.send(b"x");
    second.expect(b"hi from the other");
    first.expect(b"Some(1)");
    first.send(b"x");
    second.expect(b"hi from the other");
    first.expect(b"Some(2)");
    let _trace = world.finish();
}

fn a_handler_of_another_type_is_not_called() {
    let mut world = Setup::new().echo();
    let (_recorded, id) = world.connect_and_wait();
    let (mut first, _second) = pair(&world, move |_, conn, _| {
        let wrong = conn.local().with::<Member, _>(id, |_, _| ()).is_none();
        let right = conn.local().with::<Recorder, _>(id, |_, _| ()).is_some();
        conn.write(format!("{wrong} {right}").as_bytes());
    });
    first.send(b"x");
    first.expect(b"true true");
    let mut still = world.connect();
    still.echo(b"works");
    let _trace = world.finish();
}

fn the_running_handler_is_not_called() {
    // self-deadlock is impossible instead of a panic; so it is one level down
    let world = Setup::new().echo();
    let (mut first, _second) = pair(&world, |_, conn, other| {
        let me = conn.id();
        let own = conn.local().with::<Member, _>(me, |_, _| ()).is_none();
        let nested = conn.local().with::<Member, _>(other, |_, conn| {
            let local = &mut conn.local();
            (
                local.with::<Member, _>(me, |_, _| ()).is_none(),
                local.with::<Member, _>(other, |_, _| ()).is_none(),
            )
        });
        conn.write(format!("{own} {nested:?}").as_bytes());
    });
    first.send(b"x");
    first.expect(b"true Some((true, true))");
    let _trace = world.finish();
}

fn a_handler_that_is_gone_is_not_called() {
    let mut world = Setup::new().echo();
    let (peer, id) = world.connect_and_wait();
    drop(peer);
    world.wait_for_end();
    world.run(move |local| assert!(local.with::<Recorder, _>(id, |_, _| ()).is_none()));
    let _trace = world.finish();
}

fn a_panic_in_with_ends_both_and_nobody_else() {
    // O2: no disconnect for a handler that panicked; one panic is one panic
    let mut world = Setup::new().echo();
    let (mut first, mut second) = pair(&world, |_, conn, other| {
        conn.local().with::<Member, ()>(other, |_, _| panic!("a test's panic"));
    });
    let mut bystander = world.connect();
    first.send(b"x");
    let _both_end = (first.read_all(), second.read_all());
    bystander.echo(b"alive");
    world.expect_panics(1);
    let _trace = world.finish();
}

#[test]
fn a_panic_in_with_from_outside_ends_the_one_it_was_called_for() {
    // O2, S29
    let mut world = Setup::new().echo();
    let (mut victim, id) = world.connect_and_wait();
    let (mut bystander, _) = world.connect_and_wait();
    let panics = |_: &mut Recorder, _: &mut Conn<'_>| panic!("a test's panic");
    world.remote().with::<Recorder>(id, panics).expect("the shard is there");
    let _end = victim.read_all();
    bystander.echo(b"alive");
    world.wait_for(|seen| seen.conn == Some(id) && seen.event == Event::Dropped);
    world.expect_panics(1);
    assert_eq!(world.finish().of(id), [Event::Connect], "no disconnect");
}

fn a_caught_panic_in_with_leaves_the_caller_alive() {
    // the caller may catch it; the other has ended all the same
    let mut world = Setup::new().echo();
    let (mut first, mut second) = pair(&world, |_, conn, other| {
        let call = std::panic::AssertUnwindSafe(|| {
            let deed = |_: &mut Member, _: &mut Conn<'_>| panic!("a test's panic");
            conn.local().with::<Member, ()>(other, deed)
        });
        let caught = std::panic::catch_unwind(call).is_err();
        let gone = |local: &mut Local<'_>| local.conn(other).is_none();
        let gone = gone(&mut conn.local());
        conn.write(format!("{caught} {gone}").as_bytes());
    });
    first.send(b"x");
    first.expect(b"true true");
    let _end = second.read_all();
    let counted = world.panics();
    assert!(counted <= 1, "{counted}");
    world.expect_panics(counted);
    let _trace = world.finish();
}
