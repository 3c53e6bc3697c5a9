//! What needs a process of its own. `tests/kernel` starts it, tells it what to do by lines on its
//! standard input, and reads its answers.
//!
//! - `alone privileged`: listens on a port it may not have.
//! - `alone starved RETRY SHARDS`: an echo server whose descriptors can be used up; RETRY is the
//!   listener's rest in seconds, or `default`. Asked `?`, a connection tells its shard.
//! - `alone fragile`: a panic while a panic unwinds.
//! - `alone signals`: an engine that tells of its signals, and ends at SIGTERM.
//! - `alone failing POLICY`: an echo server whose loop fails when a client says `fail`; POLICY is
//!   `end`, `abort` or `restart`. Asked `?`, a connection tells its shard.
//! - `alone stuck MILLIS`: an engine that ends the process when it is stalled for so long.
//! - `alone drains`: an engine with a connection to itself that drains at SIGTERM and SIGINT, and
//!   prints its report.
//! - `alone service`: an echo server on what is passed to it as `web`, which tells its manager.
//! - `alone interrupted ASKED`: a loop whose wait a signal interrupts; ASKED is `asked` when it
//!   shall say so.

use shardpoll::{
    ActivationError, CloseReason, Config, Conn, Connect, Counters, DrainPlan, Engine, EngineState,
    Handler, Listen, Pinning, Remote, Signal, Signals, StartError, WhenExhausted, incoming, notify,
};
use shardpoll_reactor::{Linux, Place, Reactor};
use shardpoll_tests::program::{self, Outcome};
use std::error::Error;
use std::fs::File;
use std::io::BufRead;
use std::process::ExitCode;
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

#[path = "alone/failing.rs"]
mod failing;

const LOOPBACK: [u8; 4] = [127, 0, 0, 1];
const PATIENCE: Duration = Duration::from_secs(10);

fn main() -> ExitCode {
    program::run("alone", |args| match *args {
        ["privileged"] => privileged(),
        ["starved", retry, shards] => starved(retry, shards.parse().unwrap_or(1)),
        ["fragile"] => fragile(),
        ["signals"] => signals(),
        ["failing", policy] => failing::failing(policy),
        ["stuck", millis] => failing::stuck(Duration::from_millis(millis.parse()?)),
        ["service"] => service(),
        ["drains"] => drains(),
        ["interrupted", asked] => interrupted(asked == "asked"),
        _ => Err(format!("{args:?} is no scenario").into()),
    })
}

fn engine(config: Config) -> Result<Engine, StartError> {
    engine_of(1, config)
}

fn engine_of(shards: usize, config: Config) -> Result<Engine, StartError> {
    Engine::builder().shards(shards).pinning(Pinning::None).config(config).start()
}

fn end(engine: Engine) -> Outcome {
    engine.quit(Duration::ZERO);
    engine.join()?;
    Ok(())
}

fn counters(remote: &Remote) -> Result<Counters, Box<dyn Error>> {
    let (reply, counters) = channel();
    remote.run(0, move |local| {
        let _gone = reply.send(local.counters());
    })?;
    Ok(counters.recv_timeout(PATIENCE)?)
}

/// How often a listener had to rest, on all shards.
fn rests(remote: &Remote) -> Result<u64, Box<dyn Error>> {
    let (reply, counts) = channel();
    for shard in 0..remote.shards() {
        let reply = reply.clone();
        remote.run(shard, move |local| {
            let _gone = reply.send(local.counters().accept_rests);
        })?;
    }
    let mut sum = 0;
    for _ in 0..remote.shards() {
        sum += counts.recv_timeout(PATIENCE)?;
    }
    Ok(sum)
}

fn outcome<T>(result: Result<T, StartError>) -> String {
    result.err().map_or_else(|| "it may".into(), |error| error.to_string())
}

fn privileged() -> Outcome {
    let engine = engine(Config::default())?;
    match engine.listen(Listen::on((LOOPBACK, 1)), |_| incoming(|_, _| {})) {
        Err(error) => {
            let source = error.source().and_then(|source| source.downcast_ref::<std::io::Error>());
            let kind = source.map(std::io::Error::kind);
            println!(
                "{} {error}",
                kind.map_or_else(|| "no kind".into(), |kind| format!("{kind:?}"))
            );
        }
        Ok(_) => println!("it may"),
    }
    end(engine)
}

/// Tells why an outgoing connection ended.
struct Dialled(Sender<String>);

impl Handler for Dialled {
    fn on_incoming(&mut self, _: &mut Conn<'_>, _: &[u8]) {}

    fn on_disconnect(&mut self, _: &mut Conn<'_>, reason: &CloseReason) {
        let _gone = self.0.send(reason.to_string());
    }
}

fn starved(retry: &str, shards: usize) -> Outcome {
    let mut config = Config::default();
    match retry {
        "default" => {}
        "refuse" => config.when_exhausted = WhenExhausted::Refuse,
        seconds => config.accept_retry_interval = Duration::from_secs(seconds.parse()?),
    }
    let engine = engine_of(shards, config)?;
    let remote = engine.remote();
    let echo = |_: &_| {
        incoming(|conn, data| {
            let shard = conn.id().shard().to_string();
            conn.write(if data == b"?" { shard.as_bytes() } else { data });
        })
    };
    let id = engine.listen(Listen::on((LOOPBACK, 0)), echo)?;
    println!("{}", engine.addr(id).ok_or("just added")?);
    let mut hoard = Vec::new();
    for command in std::io::stdin().lock().lines() {
        match command?.as_str() {
            "fill" => {
                while let Ok(file) = File::open("/dev/null") {
                    hoard.push(file);
                }
                println!("full");
            }
            "free" => {
                drop(hoard.pop().ok_or("nothing to free")?);
                println!("freed");
            }
            "free all" => {
                hoard.clear();
                println!("freed");
            }
            "rests" => {
                println!("{}", rests(&remote)?);
            }
            "refused" => {
                println!("{}", counters(&remote)?.refused_peers);
            }
            "dial" => {
                let (log, reason) = channel();
                let to = Connect::to((LOOPBACK, 9));
                remote.run(0, move |local| {
                    let _told_in_the_end = local.connect(to, Dialled(log));
                })?;
                println!("{}", reason.recv_timeout(PATIENCE)?);
            }
            "listen" => {
                let again = engine.listen(Listen::on((LOOPBACK, 0)), echo);
                println!("{}", outcome(again));
            }
            "start" => {
                let second = Engine::builder().shards(1).start();
                println!("{}", outcome(second));
            }
            other => return Err(format!("{other:?} is no command").into()),
        }
    }
    end(engine)
}

/// A handler whose callbacks and whose drop panic.
struct Fragile(Sender<()>);

impl Handler for Fragile {
    fn on_incoming(&mut self, _: &mut Conn<'_>, _: &[u8]) {}
}

impl Drop for Fragile {
    fn drop(&mut self) {
        let _gone = self.0.send(());
        panic!("a test's panic in drop");
    }
}

fn fragile() -> Outcome {
    let engine = engine(Config::default())?;
    let (log, dropped) = channel();
    let id = engine.listen(Listen::on((LOOPBACK, 0)), |_| incoming(|_, _| {}))?;
    let addr = engine.addr(id).ok_or("just added")?;
    let remote = engine.remote();
    remote.run(0, move |local| {
        let id = local.connect(Connect::to(addr), Fragile(log)).expect("not quitting");
        local.with::<Fragile, ()>(id, |_, _| panic!("a test's panic"));
    })?;
    dropped.recv_timeout(PATIENCE)?;
    println!("{}", counters(&remote)?.panics);
    end(engine)
}

fn signals() -> Outcome {
    let these = [Signal::Hangup, Signal::User1, Signal::Terminate];
    let signals = Signals::block_these(&these)?;
    let engine = Engine::builder().shards(2).pinning(Pinning::None).start()?;
    let remote = engine.remote();
    let own = engine.remote();
    engine.on_signals(signals, move |_, signal| {
        let thread = std::thread::current();
        println!("{signal} on {}", thread.name().unwrap_or("a thread without a name"));
        match signal {
            Signal::User1 => panic!("a test's panic"),
            Signal::Terminate => own.quit(Duration::ZERO),
            _ => {}
        }
    })?;
    println!("ready");
    for command in std::io::stdin().lock().lines() {
        match command?.as_str() {
            "panics" => println!("{}", counters(&remote)?.panics),
            "close all" => {
                remote.run(0, |local| local.close_all())?;
                // When it has answered, all that was to be closed is.
                counters(&remote)?;
                println!("closed");
            }
            other => return Err(format!("{other:?} is no command").into()),
        }
    }
    engine.join()?;
    Ok(())
}

/// Says when it is told of anything, and stays.
struct Stays;

impl Handler for Stays {
    fn on_incoming(&mut self, _: &mut Conn<'_>, _: &[u8]) {}

    fn on_connect(&mut self, _: &mut Conn<'_>) {
        println!("ready");
    }

    fn on_drain_begin(&mut self, _: &mut Conn<'_>) {
        println!("told");
    }
}

fn drains() -> Outcome {
    let signals = Signals::block_these(&[Signal::Interrupt, Signal::Terminate])?;
    let engine = engine(Config::default())?;
    let id = engine.listen(Listen::on((LOOPBACK, 0)), |_| incoming(|_, _| {}))?;
    let addr = engine.addr(id).ok_or("just added")?;
    let remote = engine.remote();
    let hour = Duration::from_secs(3600);
    let plan = DrainPlan::default().accept_for(Duration::ZERO).deadline(hour);
    engine.drain_on(signals, plan)?;
    remote.run(0, move |local| {
        local.connect(Connect::to(addr), Stays).expect("not quitting");
    })?;
    let wait = |state| {
        while remote.state() != state {
            std::thread::yield_now();
        }
        println!("{state}");
    };
    for command in std::io::stdin().lock().lines() {
        match command?.as_str() {
            "state" => wait(EngineState::DrainingRefusing),
            "cancel" => {
                remote.cancel_quit();
                wait(EngineState::Serving);
            }
            "join" => break,
            other => return Err(format!("{other:?} is no command").into()),
        }
    }
    println!("{}", engine.join()?);
    Ok(())
}

fn interrupted(asked: bool) -> Outcome {
    let mut reactor = Reactor::new(Linux::new()?, Place::FIRST, Config::default())?;
    reactor.interruptible(asked);
    println!("waits");
    // Without a word about it, an interrupted wait is a turn without events.
    let turn = if asked { reactor.run()? } else { reactor.turn(None)? };
    println!("{turn:?} {}", reactor.counters().events);
    Ok(())
}

/// A service as systemd starts one, until it is told to end.
fn service() -> Outcome {
    if let Some(interval) = notify::watchdog_interval() {
        println!("watchdog {interval:?}");
    }
    match Listen::activated("other") {
        Err(ActivationError::NoSocket { name, left }) => println!("no {name:?}: {left:?}"),
        Err(error) => {
            println!("{error}");
            return Ok(());
        }
        Ok(_) => println!("an \"other\""),
    }
    let engine = engine_of(2, Config::default())?;
    let id = engine.listen(Listen::activated("web")?, |_| {
        incoming(|conn, data| {
            conn.write(data);
        })
    })?;
    println!("web on {}", engine.addr(id).ok_or("an internet address")?);
    notify::ready()?;
    notify::status("one line,\nand no more")?;
    notify::watchdog()?;
    let mut line = String::new();
    std::io::stdin().read_line(&mut line)?;
    notify::stopping()?;
    end(engine)?;
    println!("ended");
    Ok(())
}
