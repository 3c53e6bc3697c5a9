//! Listeners: those of the scenario, those of `listen`, and what can be done to them.
//!
//! Never: waits for a shard on a shard; errands do.

use crate::action::{Action, Verb};
use crate::certs;
use crate::fields::Outcome;
use crate::methods::record_results;
use crate::perform::{Here, Scope, on_shard, perform};
use crate::player::Player;
use crate::ports::loopback;
use crate::record::Arg;
use crate::run::Run;
use crate::scenario::{Listener, Server};
use crate::wire::PATIENCE;
use shardpoll::{Accept, Engine, Handler, Listen, ListenerId, Local, Peer, StartError};
use std::error::Error;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::channel;

/// Listens for a server of the scenario.
pub(crate) fn open(run: &Arc<Run>, engine: &Engine, server: &Server) -> Outcome<()> {
    let mut at = Listen::on(loopback(0));
    if let Some(cert) = &server.tls {
        at = at.tls(certs::server_context(cert, &server.sni)?);
    }
    let listener = run.listener(&server.listener)?;
    let opened = listen(run, engine, at, &server.label, listener, server.read_size);
    opened.map_err(|error| format!("{}: {error}", server.label))
}

fn listen(
    run: &Arc<Run>,
    engine: &Engine,
    at: Listen,
    label: &str,
    listener: Arc<Listener>,
    read_size: Option<usize>,
) -> Result<(), StartError> {
    let settings = &run.scenario.settings;
    let mut at = at.backlog(settings.backlog);
    if let Some(queue) = settings.fast_open {
        at = at.fast_open(queue);
    }
    if let Some(time) = settings.defer_accept {
        at = at.defer_accept(time);
    }
    if let Some(bytes) = read_size {
        at = at.read_size(bytes);
    }
    let label = Arc::from(label);
    let door = Door { run: Arc::clone(run), label: Arc::clone(&label), listener, read_size };
    let id = engine.listen_with(at, door)?;
    let known = &mut *run.known();
    known.servers.insert(label.to_string(), id);
    if let Some(addr) = engine.addr(id) {
        known.ports.insert(label.to_string(), addr.port());
    }
    Ok(())
}

/// Linked connections must be on one shard: the others stop listening, so that all come to it.
pub(crate) fn place(run: &Arc<Run>) -> Outcome<()> {
    let ids: Vec<ListenerId> = run.known().servers.values().copied().collect();
    for shard in 1..run.remote.shards() {
        loop {
            let (reply, live) = channel();
            let ids = ids.clone();
            run.send(shard, move |_, local| {
                for id in ids {
                    local.close_listener(id);
                }
                let _gone = reply.send(local.live());
            });
            // The sockets are closed at the end of that turn.
            if live.recv().map_err(|_| "a shard has ended")? == 0 {
                break;
            }
        }
    }
    Ok(())
}

/// What a listener does with whom it accepts, and with its own end.
#[derive(Clone)]
struct Door {
    run: Arc<Run>,
    label: Arc<str>,
    listener: Arc<Listener>,
    read_size: Option<usize>,
}

impl Accept for Door {
    fn accept(&mut self, peer: &Peer) -> Box<dyn Handler> {
        let label = self.run.label_of(&peer.addr);
        let player = Player::new(&self.run, label, Arc::clone(&self.listener));
        Box::new(player.read_size(self.read_size))
    }

    fn on_close(&mut self, local: &mut Local<'_>) {
        self.run.record.closed(&self.label);
        let Some(actions) = self.listener.callback("disconnect").map(Arc::clone) else { return };
        let known = self.run.known();
        let id = known.servers.get(&*self.label);
        let is_silent = id.is_some_and(|id| known.destroyed.contains(id));
        drop(known);
        if is_silent || self.run.record.is_over() {
            return;
        }
        let n = self.run.count_call(&self.label, "disconnect");
        self.run.record.server(&self.label, "disconnect", Vec::new());
        let own = self.label.to_string();
        let scope = Scope { own: Some(own.clone()), origin: own, arg: None, n };
        perform(&self.run, &mut Here::Shard(local), &scope, &actions);
    }
}

/// The action `listen`: its result is recorded as soon as it is known.
pub(crate) fn listen_later(run: &Arc<Run>, label: &str, listener: &str, port_of: Option<&str>) {
    let port = run.known().ports.get(port_of.unwrap_or(label)).copied();
    let at = Listen::on(loopback(port.unwrap_or(0)));
    let listener = match run.listener(listener) {
        Ok(listener) => listener,
        Err(fault) => return run.record.fault(fault),
    };
    let (run_later, label) = (Arc::clone(run), label.to_owned());
    if run.known().quitting {
        let args = vec![Arg::text("listen"), Arg::null(), Arg::text("quitting")];
        return run.record.server(&label, "ret", args);
    }
    run.known().coming.insert(label.clone());
    let before = port_of.filter(|before| {
        let known = run.known();
        known.servers.get(*before).is_some_and(|id| known.closing.contains(id))
    });
    let before = before.map(str::to_owned);
    run.errand(move |engine| {
        if let Some(before) = before {
            // Its port is free once it has ended on all shards.
            run_later.record.wait_closed(&before, PATIENCE);
        }
        let mut args = vec![Arg::text("listen")];
        match listen(&run_later, engine, at, &label, listener, None) {
            Ok(()) => args.push(Arg::from(true)),
            Err(error) => args.extend([Arg::null(), Arg::text(in_words(&error))]),
        }
        run_later.record.server(&label, "ret", args);
    });
}

/// The reason, as the reference words it.
fn in_words(error: &StartError) -> String {
    let source = error.source().and_then(|source| source.downcast_ref::<io::Error>());
    match source.map(io::Error::kind) {
        Some(io::ErrorKind::AddrInUse) => "address already in use".into(),
        Some(io::ErrorKind::PermissionDenied) => "permission denied".into(),
        _ if error.to_string().contains("quitting") => "quitting".into(),
        _ => source.map_or_else(|| error.to_string(), io::Error::to_string),
    }
}

/// What can be done to a listener, on all its shards; gives what the method returns.
pub(crate) fn method(
    run: &Arc<Run>,
    here: &mut Here<'_, '_>,
    id: ListenerId,
    action: &Action,
) -> Vec<Arg> {
    let results = match &action.verb {
        Verb::Close | Verb::Destroy | Verb::PauseFor(_) => Vec::new(),
        Verb::Pause | Verb::Resume => vec![Arg::from(true)],
        other => {
            run.record.fault(format!("{other:?} is for no listener"));
            return Vec::new();
        }
    };
    if matches!(action.verb, Verb::Destroy) {
        run.known().destroyed.insert(id);
    }
    if matches!(action.verb, Verb::Destroy | Verb::Close) {
        run.known().closing.insert(id);
    }
    for shard in 0..run.remote.shards() {
        let verb = action.verb.clone();
        on_shard(run, here, shard, move |_, here| {
            here.local(|local| match verb {
                Verb::Close | Verb::Destroy => local.close_listener(id),
                Verb::Resume => local.resume_listener(id),
                Verb::PauseFor(Some(time)) => local.pause_listener_for(id, time),
                // Without a time the clock is stopped, and nothing resumed (S97).
                _ => local.pause_listener(id),
            });
        });
    }
    results
}

/// The same for a listener that `listen` has yet to bring; false when there is no such label.
pub(crate) fn method_later(run: &Arc<Run>, label: &str, action: &Action) -> bool {
    if !run.known().coming.contains(label) {
        return false;
    }
    let (run_later, label, action) = (Arc::clone(run), label.to_owned(), action.clone());
    // Behind the errand that listens.
    run.errand(move |_| {
        run_later.send(0, move |run, local| {
            let id = run.known().servers.get(&label).copied();
            let here = &mut Here::Shard(local);
            let results = id.map(|id| method(run, here, id, &action)).unwrap_or_default();
            record_results(run, &label, &action, results);
        });
    });
    true
}
