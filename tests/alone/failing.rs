//! Engines whose shards fail, or are stuck.
//!
//! Never: ends in order when it was told not to.

use crate::{LOOPBACK, PATIENCE, counters, end, outcome};
use shardpoll::{Engine, Listen, Pinning, ShardFailure, Watchdog, incoming};
use shardpoll_tests::program::Outcome;
use std::io::BufRead;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::time::Duration;

/// Panics once for each time it was told to, at the next word of a panic.
struct FragileLogger(AtomicUsize);

static LOGGER: FragileLogger = FragileLogger(AtomicUsize::new(0));

impl log::Log for FragileLogger {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        let armed = self.0.load(Ordering::SeqCst) > 0;
        if armed && record.args().to_string().contains("on_incoming panicked") {
            self.0.fetch_sub(1, Ordering::SeqCst);
            panic!("a test's logger");
        }
    }

    fn flush(&self) {}
}

pub(crate) fn failing(policy: &str) -> Outcome {
    log::set_logger(&LOGGER).map_err(|error| error.to_string())?;
    log::set_max_level(log::LevelFilter::Error);
    let policy = match policy {
        "end" => ShardFailure::End,
        "abort" => ShardFailure::Abort,
        _ => ShardFailure::Restart,
    };
    let builder = Engine::builder().shards(2).pinning(Pinning::None).shard_failure(policy);
    let engine = builder.start()?;
    let echo = |_: &_| {
        incoming(|conn, data| {
            if data == b"fail" {
                LOGGER.0.fetch_add(1, Ordering::SeqCst);
                panic!("a test's panic");
            }
            let shard = conn.id().shard().to_string();
            conn.write(if data == b"?" { shard.as_bytes() } else { data });
        })
    };
    let id = engine.listen(Listen::on((LOOPBACK, 0)), echo)?;
    println!("{}", engine.addr(id).ok_or("just added")?);
    for command in std::io::stdin().lock().lines() {
        match command?.as_str() {
            "restarts" => {
                let shards = engine.metrics().shards;
                println!("{} {}", shards[0].restarts, shards[1].restarts);
            }
            "letter" => {
                counters(&engine.remote())?;
                println!("read");
            }
            "join" => {
                println!("{}", outcome(engine.join()));
                return Ok(());
            }
            other => return Err(format!("{other:?} is no command").into()),
        }
    }
    end(engine)
}

pub(crate) fn stuck(most: Duration) -> Outcome {
    let mut watchdog = Watchdog::default();
    watchdog.abort_after = Some(most);
    let builder = Engine::builder().shards(1).pinning(Pinning::None).watchdog(watchdog);
    let engine = builder.start()?;
    let remote = engine.remote();
    for command in std::io::stdin().lock().lines() {
        match command?.as_str() {
            "stick" => {
                let (begun, begins) = channel();
                remote.run(0, move |_| {
                    let _gone = begun.send(());
                    std::thread::park();
                })?;
                begins.recv_timeout(PATIENCE)?;
                println!("stuck");
            }
            "busy" => {
                remote.run(0, |local| {
                    local.add_timer(Duration::ZERO, |_, _| {
                        std::hint::black_box((0..10_000).sum::<u64>());
                        Some(Duration::ZERO)
                    });
                })?;
                println!("busy");
            }
            "stalls" => println!("{}", engine.metrics().shards[0].stalls),
            other => return Err(format!("{other:?} is no command").into()),
        }
    }
    end(engine)
}
