//! on_detach: the old handler goes for good; and where a connection ends, no new one comes (S31,
//! S27, S79, O2).

use shardpoll::{Conn, ConnId, Handler, PanicPolicy};
use shardpoll_tests::{Call, Event, Recorder, Setup, World, both_worlds, receive};
use std::sync::mpsc::{Sender, channel};

both_worlds! {
    on_a_closing_connection_the_new_one_is_dropped_and_never_called,
    one_that_was_named_before_the_close_is_told_of_the_end,
    in_on_disconnect_the_new_one_is_dropped_and_never_called,
    an_abort_behind_it_keeps_both_from_being_called,
    those_named_by_a_callback_that_panics_take_over,
    a_panic_in_on_detach_does_not_keep_the_new_one_out,
    a_panic_in_on_attach_does_not_keep_the_next_one_out,
    on_panic_may_hand_the_connection_to_another_handler,
}

fn quiet(_: &mut Call<'_, '_>) {}

fn echo(call: &mut Call<'_, '_>) {
    if let Event::Incoming(data) = call.event {
        call.say(data);
    }
}

fn is_input(event: &Event) -> bool {
    matches!(event, Event::Incoming(_))
}

/// An engine whose connections go on behind a panic.
fn going_on() -> Setup {
    Setup::new().config(|c| c.panic_policy = PanicPolicy::Continue)
}

/// A handler of another type.
struct Upper {
    dropped: Sender<()>,
}

impl Handler for Upper {
    fn on_incoming(&mut self, conn: &mut Conn<'_>, data: &[u8]) {
        conn.write(&data.to_ascii_uppercase());
    }
}

impl Drop for Upper {
    fn drop(&mut self) {
        self.dropped.send(()).expect("the test listens");
    }
}

#[test]
fn the_new_handler_is_found_by_its_type_and_the_old_one_no_longer() {
    // S31: and when it is replaced in turn, it is dropped at once
    let mut world = Setup::new().echo();
    let (mut peer, id) = world.connect_and_wait();
    let (dropped, drops) = channel();
    world.conn(id, move |conn| conn.set_handler(Upper { dropped }));
    world.wait_for_event(&Event::Dropped);
    let found = world.run(move |local| {
        let old = local.with::<Recorder, _>(id, |_, _| ()).is_some();
        let new = local.with::<Upper, _>(id, |_, conn| {
            conn.write(b"found, ");
        });
        (old, new.is_some())
    });
    assert_eq!(found, (false, true));
    peer.send(b"in capitals");
    peer.expect(b"found, IN CAPITALS");
    assert!(drops.try_recv().is_err(), "in use");
    world.hand_to(id, "b", echo);
    receive(&drops).expect("replaced, so dropped");
    peer.echo(b"small again");
    assert!(drops.try_recv().is_err(), "dropped once");
    drop(peer);
    world.wait_for_end();
    let trace = world.finish();
    assert_eq!(trace.ends().len(), 1);
}

/// The handler named "b" was dropped and never called, and the first one told of the end, if any.
fn assert_never_called(world: World, id: ConnId) {
    let trace = world.finish();
    let by_b: Vec<_> = trace.seen.iter().filter(|seen| seen.by == "b").collect();
    assert!(by_b.len() == 1 && by_b[0].conn.is_none(), "{by_b:?}");
    assert_eq!(trace.count(&Event::Detach), 0, "{:?}", trace.by(id));
}

fn on_a_closing_connection_the_new_one_is_dropped_and_never_called() {
    // S31, S74: the one that has closed it is told of the end
    let mut world = Setup::new().start(|call| {
        if is_input(call.event) {
            call.close();
            call.hand_to("b", quiet);
        }
    });
    let (mut peer, id) = world.connect_and_wait();
    peer.send(b"x");
    peer.expect_end();
    drop(peer);
    let end = world.wait_for_end();
    assert_eq!((end.by, end.event), ("", Event::ended("closed on request")));
    assert_never_called(world, id);
}

fn one_that_was_named_before_the_close_is_told_of_the_end() {
    // S31, S74: what was asked for happens in order
    let mut world = Setup::new().start(|call| {
        if is_input(call.event) {
            call.hand_to("b", quiet);
            call.close();
        }
    });
    let (mut peer, id) = world.connect_and_wait();
    peer.send(b"x");
    peer.expect_end();
    drop(peer);
    world.wait_for_end();
    let want = [
        ("", Event::Connect),
        ("", Event::incoming(b"x")),
        ("", Event::Detach),
        ("", Event::Dropped),
        ("b", Event::Attach),
        ("b", Event::ended("closed on request")),
        ("b", Event::Dropped),
    ];
    assert_eq!(world.finish().by(id), want);
}

#[test]
fn while_the_rest_is_flushed_the_new_one_is_dropped_and_never_called() {
    // S31, S75
    let mut world = Setup::new().start(|call| {
        if is_input(call.event) {
            call.say_vec(vec![0; 16 * 1024 * 1024]);
            call.close();
            call.note("closing");
        }
    });
    let (mut peer, id) = world.connect_and_wait();
    peer.send(b"x");
    world.wait_for_event(&Event::note("closing"));
    world.hand_to(id, "b", quiet);
    let _flushed = peer.read_all();
    drop(peer);
    assert_eq!(world.wait_for_end().by, "");
    assert_never_called(world, id);
}

fn in_on_disconnect_the_new_one_is_dropped_and_never_called() {
    // S31, O2: nothing comes after the end
    let mut world = Setup::new().start(|call| {
        if call.event.is_end() {
            call.hand_to("b", quiet);
        }
    });
    let (mut peer, id) = world.connect_and_wait();
    peer.finish();
    world.wait_for_end();
    assert_never_called(world, id);
}

fn an_abort_behind_it_keeps_both_from_being_called() {
    // S79: nothing more is called, whatever was asked for before
    let mut world = Setup::new().start(|call| {
        if is_input(call.event) {
            call.hand_to("b", quiet);
            call.abort();
        }
    });
    let (mut peer, id) = world.connect_and_wait();
    peer.send(b"x");
    let _end = peer.read_all();
    assert_never_called(world, id);
}

fn attached(world: &mut World) {
    let seen = world.wait_for(|seen| seen.event == Event::Attach && seen.by == "c");
    let id = seen.conn.expect("a connection");
    world.conn(id, |conn| conn.write(b"c is here"));
}

/// Two are to take over, and a callback on the way panics once.
fn taken_over_behind_a_panic(at: &'static str) {
    let b = move |call: &mut Call<'_, '_>| {
        assert!(at != "attach" || *call.event != Event::Attach, "a test's panic");
    };
    let mut world = going_on().start(move |call| match call.event {
        Event::Incoming(_) => {
            call.hand_to("b", b);
            call.hand_to("c", echo);
            assert!(at != "incoming", "a test's panic");
        }
        Event::Detach => assert!(at != "detach", "a test's panic"),
        _ => {}
    });
    let (mut peer, id) = world.connect_and_wait();
    peer.send(b"x");
    attached(&mut world);
    peer.expect(b"c is here");
    peer.echo(b"and serves");
    world.expect_panics(1);
    let trace = world.finish();
    let names = trace.by(id).into_iter().filter(|(_, e)| *e == Event::Attach);
    assert_eq!(names.map(|(by, _)| by).collect::<Vec<_>>(), ["b", "c"]);
    assert_eq!(trace.count(&Event::panicked("a test's panic")), 1);
}

fn those_named_by_a_callback_that_panics_take_over() {
    // S27, S31: the callback counts as returned
    taken_over_behind_a_panic("incoming");
}

fn a_panic_in_on_detach_does_not_keep_the_new_one_out() {
    // S27, S31
    taken_over_behind_a_panic("detach");
}

fn a_panic_in_on_attach_does_not_keep_the_next_one_out() {
    // S27, S31
    taken_over_behind_a_panic("attach");
}

fn on_panic_may_hand_the_connection_to_another_handler() {
    // S28, S31: the natural answer to a broken state
    let mut world = going_on().start(|call| match call.event {
        Event::Incoming(_) => panic!("a test's panic"),
        Event::Panic(_) => call.hand_to("c", echo),
        _ => {}
    });
    let mut peer = world.connect();
    peer.send(b"x");
    attached(&mut world);
    peer.expect(b"c is here");
    peer.echo(b"and serves");
    world.expect_panics(1);
    let _trace = world.finish();
}
