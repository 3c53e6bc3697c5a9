//! One run: an engine, the peers' scripts, the time that passes, and the end.
//!
//! ```text
//!   shard 0 ─ gate ─ start actions ─┐
//!   shard 1 ─ gate ─────────────────┴─ turns … until the duration is over, or the loops return
//!   clients, upstreams: from time 0, a thread each
//!   errands: what would wait for a shard, such as `listen`
//! ```
//!
//! Never: lets a shard turn before the start actions have been done.

use crate::certs;
use crate::client::Script;
use crate::fields::Outcome;
use crate::headroom::Headroom;
use crate::perform::{Here, Scope, perform};
use crate::ports::{Ports, loopback};
use crate::record::{Arg, Event, Record};
use crate::run::{Errand, Run};
use crate::scenario::{Kind, Scenario};
use crate::servers;
use crate::wire::Wire;
use shardpoll::{Engine, Local, Pinning};
use socket2::Socket;
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Barrier, Mutex};
use std::thread::{self, Scope as Threads, ScopedJoinHandle};
use std::time::{Duration, Instant};

/// Longer than any run.
const FAR: Duration = Duration::from_secs(24 * 3600);

type Played<'scope> = ScopedJoinHandle<'scope, Outcome<Option<Wire>>>;

/// Plays a scenario on so many shards; gives all that was recorded.
pub(crate) fn play(scenario: &Arc<Scenario>, shards: usize) -> Outcome<Vec<Event>> {
    certs::prepare();
    let headroom = scenario.fd_headroom.map(Headroom::begin).transpose()?;
    let mut ports = Ports::bind(scenario)?;
    let clients = std::mem::take(&mut ports.clients);
    let headroom = headroom.map(Headroom::make_room);
    let engine = Engine::builder()
        .shards(shards)
        .pinning(Pinning::None)
        .config(scenario.settings.config.clone())
        .start()
        .map_err(|error| error.to_string())?;
    let (errands, inbox) = channel();
    let run = Arc::new(Run {
        scenario: Arc::clone(scenario),
        record: Record::new(scenario.view.silent.clone()),
        remote: engine.remote(),
        errands,
        known: Mutex::default(),
    });
    run.known().ports.clone_from(&ports.by_label);
    let errand_engine = &engine;
    let kept = thread::scope(|threads| {
        threads.spawn(move || do_errands(errand_engine, &inbox));
        let begun = open(&run, &engine).and_then(|()| headroom.map(Headroom::limit).transpose());
        // Whatever could fail has been tried: from here on the shards wait for us.
        let scripts = begun.map(|_limited| {
            let gate = hold(&run);
            gate.entered.wait();
            let zero = run.record.begin();
            let scripts = begin_scripts(&run, &ports, clients, threads);
            gate.begun.wait();
            let end = zero + scenario.duration;
            run.record.wait_over(end.saturating_duration_since(Instant::now()));
            scripts
        });
        run.record.finish("end", Vec::new());
        abandon(&run);
        engine.quit(Duration::ZERO);
        let _ended = run.errands.send(None);
        scripts.and_then(join)
    });
    engine.join().map_err(|error| error.to_string())?;
    // What a script keeps open it keeps until the engine is gone.
    drop(kept?);
    let (events, faults) = run.record.take();
    if faults.is_empty() { Ok(events) } else { Err(faults.join("; ")) }
}

fn do_errands(engine: &Engine, inbox: &Receiver<Option<Errand>>) {
    while let Ok(Some(errand)) = inbox.recv() {
        errand(engine);
    }
}

fn open(run: &Arc<Run>, engine: &Engine) -> Outcome<()> {
    run.scenario.servers.iter().try_for_each(|server| servers::open(run, engine, server))?;
    if run.scenario.links { servers::place(run) } else { Ok(()) }
}

fn join(scripts: Vec<Played<'_>>) -> Outcome<Vec<Wire>> {
    let mut kept = Vec::new();
    for script in scripts {
        kept.extend(script.join().map_err(|_| "a script panicked")??);
    }
    Ok(kept)
}

/// Where shards wait for time 0, and for the start actions.
struct Gate {
    entered: Barrier,
    begun: Barrier,
    started: Barrier,
}

/// Ends with its shard; the last one tells that the loops have returned.
struct Watchman {
    run: Arc<Run>,
    _all: Arc<()>,
}

impl Drop for Watchman {
    fn drop(&mut self) {
        if Arc::strong_count(&self._all) == 1 {
            self.run.record.finish("loop-exit", vec![Arg::text("quitting")]);
        }
    }
}

/// Every shard waits for time 0; then shard 0 does the start actions while the others wait.
fn hold(run: &Arc<Run>) -> Arc<Gate> {
    let shards = run.remote.shards();
    let gate = Arc::new(Gate {
        entered: Barrier::new(shards + 1),
        begun: Barrier::new(2),
        started: Barrier::new(shards),
    });
    let all = Arc::new(());
    for shard in 0..shards {
        let (gate, all) = (Arc::clone(&gate), Arc::clone(&all));
        run.send(shard, move |run, local| {
            run.arrive(shard);
            let watchman = Watchman { run: Arc::clone(run), _all: all };
            local.add_timer(FAR, move |_, _| {
                let _kept = &watchman;
                None
            });
            gate.entered.wait();
            if shard == 0 {
                gate.begun.wait();
                start(run, local);
            }
            gate.started.wait();
        });
    }
    gate
}

fn start(run: &Arc<Run>, local: &mut Local<'_>) {
    let scope = Scope { own: None, origin: "main".into(), arg: None, n: 1 };
    perform(run, &mut Here::Shard(local), &scope, &run.scenario.start);
}

fn begin_scripts<'scope, 'env: 'scope>(
    run: &'env Run,
    ports: &'env Ports,
    clients: Vec<Socket>,
    threads: &'scope Threads<'scope, 'env>,
) -> Vec<Played<'scope>> {
    let mut scripts = Vec::new();
    for (client, socket) in run.scenario.clients.iter().zip(clients) {
        let script = Script::new(&client.label, &run.record);
        // Looked up when it connects: the action `listen` may bring it.
        let to = || {
            let port = run.known().ports.get(&client.to).copied().map(loopback);
            port.ok_or_else(|| format!("{}: there is no server {:?}", client.label, client.to))
        };
        scripts.push(threads.spawn(move || {
            let left = script.play_client(socket, to, &client.script)?;
            Ok(left.filter(|_| client.keep_open))
        }));
    }
    let upstreams = run.scenario.upstreams.iter().zip(&ports.upstreams);
    for (upstream, listener) in upstreams.filter(|(upstream, _)| upstream.kind == Kind::Accept) {
        let script = Script::new(&upstream.label, &run.record);
        scripts.push(threads.spawn(move || {
            let left = script.play_upstream(listener, &upstream.script)?;
            Ok(left.filter(|_| upstream.keep_open))
        }));
    }
    scripts
}

/// Ends all connections without a word: the reference drops its engine.
fn abandon(run: &Arc<Run>) {
    run.known().kept.clear();
    for shard in 0..run.remote.shards() {
        run.send(shard, move |run, local| {
            let ids: Vec<_> = run.known().conns.values().copied().collect();
            for id in ids {
                if let Some(mut conn) = local.conn(id) {
                    conn.abort();
                }
            }
        });
    }
}
