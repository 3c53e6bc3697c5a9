//! Outgoing connections: those the engine connects, and those that are handed to it connected.
//!
//! Never: looks a name up.

use crate::action::{Action, Dial};
use crate::certs;
use crate::perform::{Here, Scope, perform};
use crate::player::Player;
use crate::record::Arg;
use crate::run::Run;
use crate::wire::PATIENCE;
use shardpoll::{ConnId, Connect};
use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::sync::Arc;

pub(crate) fn add_client(run: &Arc<Run>, here: &mut Here<'_, '_>, action: &Action, plan: &Dial) {
    let result = connect(run, here, plan);
    begun(run, here, action, plan, result);
}

/// Records how it went, and lets the new connection do what it shall do at once.
fn begun(
    run: &Arc<Run>,
    here: &mut Here<'_, '_>,
    action: &Action,
    plan: &Dial,
    result: Result<ConnId, String>,
) {
    let verb = Arg::text(&action.name);
    let record = |args| run.record.server(&plan.label, "ret", args);
    let id = match result {
        Ok(id) => id,
        Err(error) => return record(vec![verb, Arg::null(), Arg::text(error)]),
    };
    run.known().conns.insert(plan.label.clone(), id);
    if action.record {
        record(vec![verb, Arg::from(true)]);
    }
    let (own, origin) = (Some(plan.label.clone()), plan.label.clone());
    let scope = Scope { own, origin, arg: None, n: 1 };
    // On the new connection, whosever callback this is.
    here.local(|local| perform(run, &mut Here::Shard(local), &scope, &plan.then));
}

fn connect(run: &Arc<Run>, here: &mut Here<'_, '_>, plan: &Dial) -> Result<ConnId, String> {
    let addr = address(run, plan)?;
    let to = Connect::to(addr).fast_open(run.scenario.settings.fast_open_out);
    begin(run, here, plan, to)
}

/// The same for all kinds of connections.
fn begin(
    run: &Arc<Run>,
    here: &mut Here<'_, '_>,
    plan: &Dial,
    mut to: Connect,
) -> Result<ConnId, String> {
    if let Some(cert) = &plan.tls {
        let name = certs::server_name(plan.servername.as_deref())?;
        to = to.tls(certs::client_context(cert)?, name);
    }
    if let Some(bytes) = plan.read_size {
        to = to.read_size(bytes);
    }
    let player = Player::new(run, plan.label.clone(), run.listener(&plan.listener)?);
    let player = player.read_size(plan.read_size);
    here.local(|local| local.connect(to, player)).map_err(|refused| refused.to_string())
}

/// Where a plan leads: to the port of a label, or to an address, which is no name.
fn address(run: &Run, plan: &Dial) -> Result<SocketAddr, String> {
    if run.known().quitting {
        return Err("quitting".into());
    }
    if !matches!(plan.typ.as_deref(), None | Some("tcp" | "tcp4" | "tcp6")) {
        return Err("invalid socket type".into());
    }
    match plan.port {
        Some(port) => {
            let ip: IpAddr = plan.to.parse().map_err(|_| "invalid-ip")?;
            Ok((ip, port).into())
        }
        None => port_of(run, &plan.to),
    }
}

/// The address of a label's port.
pub(crate) fn port_of(run: &Run, label: &str) -> Result<SocketAddr, String> {
    let port = run.known().ports.get(label).copied();
    let Some(port) = port else {
        run.record.fault(format!("there is no port of {label:?}"));
        return Err(format!("no port of {label}"));
    };
    Ok(crate::ports::loopback(port))
}

/// Connects a socket, and waits for it.
pub(crate) fn blocking(addr: SocketAddr) -> Result<TcpStream, String> {
    TcpStream::connect_timeout(&addr, PATIENCE).map_err(|error| in_words(&error))
}

/// An error as the reference words it.
fn in_words(error: &io::Error) -> String {
    match error.kind() {
        ErrorKind::ConnectionRefused => "connection refused".into(),
        ErrorKind::TimedOut => "timeout".into(),
        _ => error.to_string(),
    }
}

pub(crate) fn wrap_client(run: &Arc<Run>, here: &mut Here<'_, '_>, action: &Action, plan: &Dial) {
    let result = wrap(run, here, plan);
    begun(run, here, action, plan, result);
}

fn wrap(run: &Arc<Run>, here: &mut Here<'_, '_>, plan: &Dial) -> Result<ConnId, String> {
    let socket = blocking(address(run, plan)?)?;
    begin(run, here, plan, Connect::adopted(socket))
}
