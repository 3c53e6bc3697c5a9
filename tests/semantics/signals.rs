//! Signals as callbacks of shard 0 (L30).

use shardpoll::{Engine, Pinning, Signal, Signals, StartError};
use shardpoll_tests::{Alone, Setup};
use std::process::Command;
use std::sync::mpsc::channel;
use std::time::Duration;

#[test]
fn signals_are_told_on_shard_0_and_go_on_after_a_panic_and_after_close_all() {
    // L30, O3, S146
    let mut alone = Alone::start(Command::new(env!("CARGO_BIN_EXE_alone")).arg("signals"));
    assert_eq!(alone.line(), "ready");
    alone.signal("HUP");
    assert_eq!(alone.line(), "SIGHUP on shardpoll-0");
    alone.signal("USR1");
    assert_eq!(alone.line(), "SIGUSR1 on shardpoll-0");
    assert_eq!(alone.ask("panics"), "1");
    alone.signal("HUP");
    assert_eq!(alone.line(), "SIGHUP on shardpoll-0");
    assert_eq!(alone.ask("close all"), "closed");
    alone.signal("HUP");
    assert_eq!(alone.line(), "SIGHUP on shardpoll-0");
    alone.signal("TERM");
    assert_eq!(alone.line(), "SIGTERM on shardpoll-0");
    assert_eq!(alone.end(), Some(0));
}

/// Signals of which none ever comes, so that this process' own stay as they are.
fn none() -> Signals {
    Signals::block_these(&[]).expect("a descriptor")
}

#[test]
fn an_engine_that_has_ended_listens_to_no_signal() {
    let engine = Engine::builder().shards(1).pinning(Pinning::None).start().expect("it starts");
    engine.on_signals(none(), |_, _| {}).expect("it runs");
    let watched = {
        let (reply, live) = channel();
        let count =
            move |local: &mut shardpoll::Local<'_>| reply.send(local.live()).expect("asked");
        engine.remote().run(0, count).expect("it runs");
        live.recv().expect("it runs")
    };
    assert_eq!(watched, 1, "a watch like any other");
    engine.quit(Duration::ZERO);
    // Its order comes behind the other.
    let error = engine.on_signals(none(), |_, _| {}).expect_err("quitting, or ended");
    let text = error.to_string();
    assert!(text.contains("quitting") || text.contains("ended"), "{text}");
    engine.join().expect("no shard has failed");
}

#[test]
fn on_signals_from_a_callback_is_an_error_not_a_deadlock() {
    let world = Setup::new().echo();
    let engine = Engine::builder().shards(1).pinning(Pinning::None).start().expect("it starts");
    let (engine, outcome) = world.run(move |_| {
        let outcome = engine.on_signals(none(), |_, _| {});
        (engine, outcome)
    });
    assert!(matches!(outcome, Err(StartError::OnShard)), "{outcome:?}");
    engine.quit(Duration::ZERO);
    engine.join().expect("no shard has failed");
    let _trace = world.finish();
}

#[test]
fn signals_say_their_names_and_numbers() {
    assert_eq!(Signal::Terminate.to_string(), "SIGTERM");
    assert_eq!((Signal::Hangup.number(), Signal::Interrupt.number()), (1, 2));
    assert_eq!((Signal::Quit.number(), Signal::Terminate.number()), (3, 15));
}
