//! Operations on the timer heap over many echoes, by the engine's own counter.
//!
//! Never: needs a tool; the engine runs in this process, and the counter is part of it.

use crate::driver::Driver;
use crate::failure::Failure;
use crate::report::{Figure, Section};
use shardpoll::{Config, Engine, Listen, Pinning, incoming};
use std::net::Ipv4Addr;
use std::sync::mpsc;
use std::time::Duration;

const CONNECTIONS: usize = 50;
const ROUNDS: u64 = 2000;

const READ_TIMEOUT: Duration = Duration::from_secs(60);

/// How long the shard may take to answer.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) fn measure() -> Result<Section, Failure> {
    let mut config = Config::default();
    config.read_timeout = Some(READ_TIMEOUT);
    let engine = Engine::builder().shards(1).pinning(Pinning::None).config(config).start()?;
    let echo = |conn: &mut shardpoll::Conn<'_>, data: &[u8]| {
        conn.write(data);
    };
    let listener =
        engine.listen(Listen::on((Ipv4Addr::LOCALHOST, 0)), move |_peer| incoming(echo))?;
    let mut driver = Driver::new(engine.addr(listener).expect("the listener was just made"));

    let start = operations(&engine)?;
    driver.grow_to(CONNECTIONS)?;
    let before = operations(&engine)?;
    driver.rounds(ROUNDS)?;
    let after = operations(&engine)?;
    engine.quit(Duration::ZERO);
    engine.join()?;

    let echoes = ROUNDS * CONNECTIONS as u64;
    let figure = Figure {
        name: "100,000 echoes",
        value: (after - before) as f64,
        goal: Some(0.0),
        digits: 0,
        detail: format!(
            "the counter stood at {start}, at {before} with {CONNECTIONS} connections open, and at \
             {after} after {echoes} echoes"
        ),
        held: None,
    };
    let how = format!(
        "an engine with one shard in this process, read timeout {} s, {CONNECTIONS} connections in \
         lockstep rounds; Counters::timer_operations before and after, read on the shard. That \
         connections move it when they open shows that it counts.",
        READ_TIMEOUT.as_secs()
    );
    Ok(Section { title: "Operations on the timer heap", figures: vec![figure], how })
}

fn operations(engine: &Engine) -> Result<u64, Failure> {
    let (reply, answer) = mpsc::channel();
    let ask = move |local: &mut shardpoll::Local<'_>| {
        let _gone = reply.send(local.counters().timer_operations);
    };
    let went_wrong = |why: String| Failure::Echo { why };
    engine.remote().run(0, ask).map_err(|undelivered| went_wrong(undelivered.to_string()))?;
    answer.recv_timeout(PATIENCE).map_err(|error| went_wrong(error.to_string()))
}
