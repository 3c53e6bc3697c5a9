//! Listeners: those of the scenario, those of `listen`, and what can be done to them.
//!
//! Never: waits for a shard on a shard; errands do.

use crate::action::{Action, Verb};
use crate::certs;
use crate::fields::Outcome;
use crate::player::Player;
use crate::ports::loopback;
use crate::record::Arg;
use crate::run::Run;
use crate::scenario::{Listener, Server};
use shardpoll::{Engine, Listen, ListenerId, Peer, StartError};
use std::error::Error;
use std::io;
use std::sync::Arc;

/// Listens for a server of the scenario.
pub(crate) fn open(run: &Arc<Run>, engine: &Engine, server: &Server) -> Outcome<()> {
    if !server.sni.is_empty() {
        run.not_offered("sni");
    }
    let mut at = Listen::on(loopback(0));
    if let Some(cert) = &server.tls {
        at = at.tls(certs::server_context(cert)?);
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
    _read_size: Option<usize>,
) -> Result<(), StartError> {
    let at = at.backlog(run.scenario.settings.backlog);
    let acceptor = Arc::clone(run);
    let accept = move |peer: &Peer| {
        let label = acceptor.label_of(&peer.addr);
        Player::new(&acceptor, label, Arc::clone(&listener))
    };
    let id = engine.listen(at, accept)?;
    let known = &mut *run.known();
    known.servers.insert(label.into(), id);
    if let Some(addr) = engine.addr(id) {
        known.ports.insert(label.into(), addr.port());
    }
    Ok(())
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
    run.errand(move |engine| {
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
pub(crate) fn method(run: &Arc<Run>, id: ListenerId, action: &Action) -> Vec<Arg> {
    match &action.verb {
        Verb::Close | Verb::Destroy => run.errand(move |engine| engine.close_listener(id)),
        Verb::Pause | Verb::Resume | Verb::PauseFor(_) => {
            run.not_offered(&format!("{} of a listener", action.name));
        }
        other => run.record.fault(format!("{other:?} is for no listener")),
    }
    Vec::new()
}

pub(crate) fn set_quitting(run: &Arc<Run>, quit: bool) {
    if quit {
        run.remote.quit(run.scenario.settings.deadline);
    } else {
        run.not_offered("setquitting false");
    }
}
