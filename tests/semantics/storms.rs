//! close_all, quit and drain from many threads and from a callback, several times, while clients
//! and handlers connect as fast as they can (S146, S147, S150, O10).

use shardpoll::{Connect, DrainPlan, Local, Refused, Remote};
use shardpoll_tests::{Call, Event, Peer, Recorder, Setup, Trace, World};
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

const FAR: Duration = Duration::from_secs(3600);

/// One of the three.
type Verb = fn(&Remote);

fn quiet(_: &mut Call<'_, '_>) {}

/// Says goodbye when it is time.
fn polite(call: &mut Call<'_, '_>) {
    if *call.event == Event::DrainBegin {
        call.close();
    }
}

/// Clients that connect until nobody listens; the verb, from three threads and a callback.
fn storm(world: &mut World, verb: Verb) {
    let addr = world.addr();
    let remote = world.remote();
    let trigger = world.listen_too(move |call| {
        if matches!(call.event, Event::Incoming(_)) {
            verb(&remote);
        }
        polite(call);
    });
    let clients: Vec<_> = (0..3)
        .map(|_| {
            thread::spawn(move || {
                while let Ok(mut peer) = Peer::try_connect(addr) {
                    // Some that come between are reset with the queue of a closed socket, or when
                    // they send: of a handshake that it has forgotten the kernel says nothing.
                    peer.send_some(b"hello");
                    let _said = peer.read_all();
                }
            })
        })
        .collect();
    // The storm is on.
    world.wait_for_each(3, |seen| seen.event == Event::Connect);
    let speak = |_| {
        let remote = world.remote();
        thread::spawn(move || verb(&remote))
    };
    let speakers: Vec<_> = (0..3).map(speak).collect();
    for speaker in speakers {
        speaker.join().expect("it says it and ends");
    }
    // Nobody may listen there any more.
    if let Ok(mut peer) = Peer::try_connect(trigger) {
        peer.send_some(b"now");
        let _said = peer.read_all();
    }
    for client in clients {
        client.join().expect("it ends when nobody listens");
    }
}

/// Each connection was told of one end, whether it came to be or not: how many.
fn ends(trace: &Trace) -> u64 {
    let ends = trace.ends().len();
    assert!(trace.count(&Event::Connect) <= ends);
    assert_eq!(trace.connections().len(), ends);
    ends as u64
}

#[test]
fn a_storm_of_connections_is_drained_and_each_is_told_once() {
    let mut world = Setup::new().shards(2).start(polite);
    storm(&mut world, |remote| {
        let plan = DrainPlan::default().accept_for(Duration::from_millis(200));
        remote.drain(plan.deadline(FAR));
    });
    let shards = world.join();
    let trace = world.rest();
    let ends = ends(&trace);
    assert_eq!(shards.iter().map(|shard| shard.cut).sum::<u64>(), 0);
    assert_eq!(shards.iter().map(|shard| shard.finished).sum::<u64>(), ends);
    assert_eq!(trace.count(&Event::DrainBegin) as u64, ends);
}

#[test]
fn a_storm_of_connections_is_quit_and_each_has_one_end() {
    let mut world = Setup::new().shards(2).start(quiet);
    storm(&mut world, |remote| remote.quit(FAR));
    let cut: u64 = world.join().iter().map(|shard| shard.cut).sum();
    assert_eq!(cut, 0);
    assert!(ends(&world.rest()) >= 3);
}

#[test]
fn a_storm_of_connections_is_closed_and_the_engine_lives_on() {
    let mut world = Setup::new().shards(2).start(quiet);
    storm(&mut world, Remote::close_all);
    let again = world.listen_too(|call| {
        if let Event::Incoming(data) = call.event {
            call.say(data);
        }
    });
    Peer::connect(again).echo(b"alive");
    assert!(ends(&world.finish()) >= 3);
}

#[test]
fn what_handlers_open_while_the_engine_ends_is_refused_or_told_of_its_end() {
    // S150: each connect of a stream of them either is Err, or has one on_disconnect
    let mut world = Setup::new().shards(2).start(quiet);
    let (addr, log) = (world.addr(), world.log());
    let (told, opened) = channel();
    world.run(move |local| {
        let mut count = 0_usize;
        local.add_timer(Duration::ZERO, move |local: &mut Local<'_>, _| {
            for _ in 0..5 {
                match local.connect(Connect::to(addr), Recorder::new(log.clone(), quiet)) {
                    Ok(_) => count += 1,
                    Err(refused) => {
                        assert_eq!(refused, Refused::Quitting);
                        told.send(count).expect("the test waits");
                        return None;
                    }
                }
            }
            Some(Duration::ZERO)
        });
    });
    world.wait_for_each(20, |seen| seen.event == Event::Connect);
    world.quit(FAR);
    let opened = opened.recv().expect("it is refused in the end");
    let _report = world.join();
    let trace = world.rest();
    assert!(trace.ends().len() >= opened, "{opened} were opened");
    assert_eq!(trace.ends().len(), trace.connections().len());
}
