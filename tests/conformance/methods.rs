//! What a scenario can do to a connection: each verb is one call of the engine's own API.
//!
//! Never: makes up what the engine does not offer; such a run fails and says so.

use crate::action::{Action, Verb};
use crate::certs;
use crate::perform::Scope;
use crate::player::Player;
use crate::record::Arg;
use crate::run::Run;
use serde_json::Value;
use shardpoll::{Addr, Conn, StartTlsError, TlsPlan, Written};
use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::Duration;

/// Linux' own choice (tcp(7), `tcp_keepalive_time`).
pub(crate) const KEEP_ALIVE: Duration = Duration::from_secs(7200);

/// From this size on data is queued without a copy.
const LARGE: usize = 64 * 1024;

/// Does it; gives what the method returns.
pub(crate) fn of_conn(
    run: &Arc<Run>,
    conn: &mut Conn<'_>,
    scope: &Scope,
    action: &Action,
    label: &str,
) -> Vec<Arg> {
    match &action.verb {
        Verb::Write(data) if data.len() >= LARGE => {
            return written(data.len(), conn.write_shared(Arc::clone(data)));
        }
        Verb::Write(data) => return written(data.len(), conn.write(data)),
        Verb::Echo => match scope.arg.as_ref().and_then(Arg::bytes) {
            Some(data) => return written(data.len(), conn.write(data)),
            None => run.record.fault(format!("{label}: echo without data")),
        },
        Verb::Close => conn.close(),
        Verb::Destroy => conn.abort(),
        Verb::Pause => {
            conn.pause();
            return vec![Arg::from(true)];
        }
        Verb::Resume => {
            conn.resume();
            return vec![Arg::from(true)];
        }
        Verb::PauseWrites => conn.pause_writes(),
        Verb::ResumeWrites => conn.resume_writes(),
        Verb::PauseFor(time) => conn.pause_for(*time),
        Verb::SetLimit(rate) => conn.limit(whole_rate(*rate)),
        Verb::SetMode(size) => set_read_size(run, conn, *size),
        Verb::SetReadTimeout(wait) => conn.set_read_timeout(*wait),
        Verb::SetWriteTimeout(wait) => conn.set_write_timeout(*wait),
        Verb::SetListener { listener, data } => match run.listener(listener) {
            Ok(listener) => {
                let next = Player::new(run, label.into(), listener);
                conn.set_handler(next.attached(data.clone()));
            }
            Err(fault) => run.record.fault(fault),
        },
        Verb::Starttls { cert, server } => start_tls(run, conn, label, cert, *server),
        _ => inform(run, conn, action, label),
    }
    Vec::new()
}

/// One that is gone returns nothing, which is recorded where an answer always is.
pub(crate) fn of_nobody(run: &Run, action: &Action, label: &str) -> Option<Vec<Arg>> {
    let record = |name, args| run.record.server(label, name, args);
    match &action.verb {
        Verb::Ssl => record("mark", vec![Arg::text("plain")]),
        Verb::HasStarttls => record("mark", vec![Arg::text("starttls unavailable")]),
        Verb::Names => record("names", Vec::new()),
        Verb::Starttls { .. } => starttls_unavailable(run, label),
        Verb::SetOption { .. } => record("ret", vec![Arg::text("setoption"), Arg::from(false)]),
        _ => {}
    }
    None
}

fn starttls_unavailable(run: &Run, label: &str) {
    run.record.server(label, "ret", vec![Arg::text("starttls"), Arg::text("unavailable")]);
}

/// What is asked of a connection is recorded in words of its own.
fn inform(run: &Arc<Run>, conn: &mut Conn<'_>, action: &Action, label: &str) {
    let mark = |text: &str| run.record.server(label, "mark", vec![Arg::text(text)]);
    match &action.verb {
        Verb::Ssl => mark(if conn.tls().is_some() { "tls" } else { "plain" }),
        Verb::HasStarttls if conn.start_tls_available() => mark("starttls available"),
        Verb::HasStarttls => mark("starttls unavailable"),
        Verb::Server => match conn.listener() {
            None => mark("server is self"),
            Some(id) => {
                let known = run.known();
                let found = known.servers.iter().find(|(_, known)| **known == id);
                let server = found.map_or("unknown", |(label, _)| label.as_str());
                let text = format!("server is {server}");
                drop(known);
                mark(&text);
            }
        },
        Verb::Names => names(run, conn, label),
        Verb::SetOption { name, value } => {
            let done = set_option(conn, name, value);
            run.record.server(label, "ret", vec![Arg::text("setoption"), Arg::from(done)]);
        }
        other => run.record.fault(format!("{label}: {other:?} is for no connection")),
    }
}

/// Records what a method returned, if that is asked for.
pub(crate) fn record_results(run: &Run, label: &str, action: &Action, results: Vec<Arg>) {
    if action.record && !matches!(action.verb, Verb::SetOption { .. }) {
        let mut args = vec![Arg::text(&action.name)];
        args.extend(results);
        run.record.server(label, "ret", args);
    }
}

/// Sets a connection's read size, which is remembered: a chunk of that size was a full read.
fn set_read_size(run: &Run, conn: &mut Conn<'_>, bytes: usize) {
    conn.read_size(bytes);
    run.known().read_sizes.insert(conn.id(), bytes);
}

fn written(len: usize, outcome: Written) -> Vec<Arg> {
    match outcome {
        Written::Full => vec![Arg::from(false)],
        Written::Closed => Vec::new(),
        _ => vec![Arg::from(len)],
    }
}

/// At or below zero there is no limit.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a float saturates")]
fn whole_rate(rate: f64) -> Option<NonZeroU64> {
    (rate > 0.0).then(|| NonZeroU64::new(rate.round() as u64).unwrap_or(NonZeroU64::MIN))
}

/// Nobody is told whether there was anything to upgrade, but by what is recorded (S107, S116).
fn start_tls(run: &Run, conn: &mut Conn<'_>, label: &str, cert: &str, server: bool) {
    let plan = if server {
        certs::server_context(cert, &[]).map(TlsPlan::server)
    } else {
        let name = certs::server_name(None);
        certs::client_context(cert).and_then(|cx| Ok(TlsPlan::client(cx, name?)))
    };
    match plan.map(|plan| conn.start_tls(plan)) {
        // The end it brings is recorded by itself.
        Ok(Ok(()) | Err(StartTlsError::Injected { .. })) => {}
        Ok(Err(StartTlsError::Already | StartTlsError::Closing)) => {
            starttls_unavailable(run, label);
        }
        Ok(Err(error)) => run.record.fault(format!("{label}: starttls: {error}")),
        Err(fault) => run.record.fault(fault),
    }
}

/// The peer's address and port, and the ports by the direction of the connection (S152).
fn names(run: &Run, conn: &Conn<'_>, label: &str) {
    let peer = conn.peer();
    let ip = match peer {
        Addr::Ip(addr) => Arg::text(addr.ip().to_string()),
        other => Arg::text(other.to_string()),
    };
    let ports = [peer.port(), conn.client_port(), conn.server_port()];
    let mut args = vec![ip];
    args.extend(ports.map(|port| run.name_of_port(port)));
    run.record.server(label, "names", args);
}

/// An option by the reference's name; under TLS its library has none (S156).
fn set_option(conn: &mut Conn<'_>, name: &str, value: &Value) -> bool {
    let is_on = !matches!(value, Value::Null | Value::Bool(false));
    if conn.tls().is_some() {
        return false;
    }
    match name {
        "tcp-nodelay" => conn.no_delay(is_on),
        "keepalive" => conn.keep_alive(is_on.then_some(KEEP_ALIVE)),
        // Settings of the reference's sockets that ours do not need: an orderly close never waits,
        // and an address is always shared with what is left of its last connections.
        "linger" | "reuseaddr" => {}
        _ => return false,
    }
    true
}
