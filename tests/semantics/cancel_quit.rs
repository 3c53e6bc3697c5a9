//! A quit or a drain that is withdrawn: what was closed stays closed, all else goes on (S149).

use shardpoll::{Connect, DrainPlan, EngineState};
use shardpoll_tests::{Call, Event, Peer, Setup, World, both_worlds, pass};
use std::time::Duration;

both_worlds! {
    a_drain_that_is_withdrawn_can_be_begun_again,
    listeners_that_were_closed_stay_closed_and_connections_go_on,
    a_quit_that_is_withdrawn_opens_again_and_cuts_nobody,
}

const FAR: Duration = Duration::from_secs(3600);
const SOON: Duration = Duration::from_millis(300);

fn plan(accept_for: Duration, deadline: Duration) -> DrainPlan {
    DrainPlan::default().accept_for(accept_for).deadline(deadline)
}

/// Echoes, and stays.
fn stubborn(call: &mut Call<'_, '_>) {
    if let Event::Incoming(data) = call.event {
        call.say(data);
    }
}

fn wait_for_state(world: &World, state: EngineState) {
    while world.state() != state {
        world.run(|_| ());
    }
}

fn a_drain_that_is_withdrawn_can_be_begun_again() {
    // S149: back to serving; the next drain tells everybody once more
    let mut world = Setup::new().start(stubborn);
    let (mut peer, id) = world.connect_and_wait();
    world.drain(plan(FAR, FAR));
    world.wait_for_event(&Event::DrainBegin);
    world.cancel_quit();
    wait_for_state(&world, EngineState::Serving);
    peer.echo(b"still");
    let (mut other, new) = world.connect_and_wait();
    other.echo(b"served");
    world.drain(plan(Duration::ZERO, Duration::ZERO));
    let report = world.join()[0];
    assert_eq!((report.finished, report.cut), (0, 2));
    let trace = world.rest();
    let told = |id| trace.of(id).iter().filter(|event| **event == Event::DrainBegin).count();
    assert_eq!((told(id), told(new)), (2, 1));
}

fn listeners_that_were_closed_stay_closed_and_connections_go_on() {
    // S149
    let mut world = Setup::new().start(stubborn);
    let (mut peer, _) = world.connect_and_wait();
    world.drain(plan(Duration::ZERO, SOON));
    wait_for_state(&world, EngineState::DrainingRefusing);
    world.cancel_quit();
    wait_for_state(&world, EngineState::Serving);
    assert!(Peer::try_connect(world.addr()).is_err(), "the listener is closed");
    pass(SOON * 2);
    peer.echo(b"no deadline any more");
    let again = world.listen_too(stubborn);
    Peer::connect(again).echo(b"open");
    let trace = world.finish();
    assert!(trace.ends().iter().all(|(_, cause)| cause != "Quitting"), "{:?}", trace.ends());
}

fn a_quit_that_is_withdrawn_opens_again_and_cuts_nobody() {
    // the one that is still flushing goes on flushing
    let mut world = Setup::new().start(|call| {
        if *call.event == Event::Connect {
            call.say_vec(vec![0; 24 * 1024 * 1024]);
        }
    });
    let mut slow = Peer::connect_with_buffer(world.addr(), 4096);
    world.wait_for_event(&Event::Connect);
    world.quit(SOON);
    wait_for_state(&world, EngineState::DrainingRefusing);
    world.cancel_quit();
    wait_for_state(&world, EngineState::Serving);
    pass(SOON * 2);
    let again = world.listen_too(stubborn);
    let dial = world.dial(Connect::to(again), |_| {});
    world.wait_for(|seen| seen.conn == Some(dial) && seen.event == Event::Connect);
    assert_eq!(slow.read_to_end().len(), 24 * 1024 * 1024);
    drop(slow);
    let trace = world.finish();
    assert!(trace.ends().iter().all(|(_, cause)| cause == "Asked"), "{:?}", trace.ends());
}
