//! The servers: one listener for the service, perhaps one that says how it is, one line when all is
//! ready, and an orderly end.
//!
//! | file | what is in it |
//! |---|---|
//! | `services` | echo, discard, chargen |
//! | `proxy` | connections are carried on to another server |
//! | `status` | how the server is, over HTTP |
//!
//! Never: prints anything else on standard output.

mod proxy;
mod services;
mod status;

pub(crate) use proxy::Behind;

use crate::cli::{Serve, Service};
use crate::failure::Failure;
use proxy::{Backend, Front};
use services::{Chargen, Discard, Echo};
use shardpoll::tls::ServerContext;
use shardpoll::{
    Addr, Config, Engine, Listen, ListenerId, Pinning, ProxyProtocol, Remote, Signals, StartError,
    raise_descriptor_limit,
};
use shardpoll_bench::tools;
use status::{Board, Status};
use std::fs;
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// What a self-signed certificate is made for.
const NAMES: [&str; 3] = ["localhost", "127.0.0.1", "::1"];

const NO_THREAD: &str = "cannot start a thread";

/// Serves until it is told to end by a signal, or over HTTP, and has done so.
pub(crate) fn serve(options: &Serve) -> Result<(), Failure> {
    let listen = place(options)?;
    let backend = backend(options)?;
    // Before any thread starts, so that all inherit it.
    let signals = Signals::block().map_err(Failure::io("signals"))?;
    raise_descriptor_limit().map_err(Failure::io("descriptor limit"))?;

    let engine = start(options)?;
    let listener = listen_for(&engine, options.what, backend.as_ref(), listen)?;
    let addr = engine.listener_addr(listener).expect("the listener was just made");
    if let Some(backend) = backend.filter(|backend| backend.is_at(&addr)) {
        return Err(Failure::Usage(format!("--to {backend}: the proxy itself listens there")));
    }
    let status = options.status.map(|at| show_status(&engine, listener, &addr, options, at));
    let status = status.transpose()?;

    if options.child {
        end_with_input(engine.remote(), options.drain)?;
    } else if options.tls {
        eprintln!("shardload: self-signed certificate: clients must not check it (--insecure)");
    }
    end_on_signals(signals, engine.remote(), options.drain)?;
    let (pid, shards) = (std::process::id(), engine.shards());
    let status = status.map_or_else(String::new, |addr| format!(" status http://{addr}/"));
    let line = format!("listening {addr} pid {pid} shards {shards}{status}\n");
    // Without anyone who reads it the server serves all the same.
    let mut stdout = io::stdout();
    let _unread = stdout.write_all(line.as_bytes()).and_then(|()| stdout.flush());
    engine.join()?;
    Ok(())
}

fn start(options: &Serve) -> Result<Engine, Failure> {
    let mut config = Config::default();
    config.read_timeout = options.read_timeout.0;
    let mut builder = Engine::builder().config(config);
    if let Some(shards) = options.shards {
        builder = builder.shards(shards);
    }
    if options.no_pin {
        builder = builder.pinning(Pinning::None);
    }
    if options.no_watchdog {
        builder = builder.watchdog(None);
    }
    Ok(builder.start()?)
}

/// Where the service listens, and what it asks of those who connect.
fn place(options: &Serve) -> Result<Listen, Failure> {
    let mut listen = match &options.unix {
        Some(path) => Listen::unix(path),
        None => Listen::on(options.addr),
    };
    if let Some(senders) = senders(options)? {
        listen = listen.proxy_protocol(senders);
    }
    Ok(match context(options)? {
        Some(tls) => listen.tls(tls),
        None => listen,
    })
}

/// Whose PROXY headers are expected; everybody else is refused.
fn senders(options: &Serve) -> Result<Option<ProxyProtocol>, Failure> {
    let named = &options.expect_proxy;
    let any = named.iter().any(|sender| sender == "any");
    if named.is_empty() {
        return Ok(None);
    }
    if options.unix.is_some() && !any {
        return Err(Failure::Usage(format!(
            "--expect-proxy {} with --unix: who connects there has no address; say any",
            named.join(",")
        )));
    }
    let everywhere = ["0.0.0.0/0".to_string(), "::/0".to_string()];
    let networks = if any { &everywhere[..] } else { &named[..] };
    let senders = ProxyProtocol::from_senders(networks);
    let wrong = |error| Failure::Usage(format!("--expect-proxy: {error}"));
    Ok(Some(senders.map_err(wrong)?.unix(any)))
}

/// The server behind a proxy; `None` for a service of our own.
fn backend(options: &Serve) -> Result<Option<Arc<Backend>>, Failure> {
    let Some(behind) = &options.to else { return Ok(None) };
    if options.what != Service::Proxy {
        return Err(Failure::Usage(format!(
            "--to {behind}: only proxy carries connections on, as in: shardload serve proxy --to \
             {behind}"
        )));
    }
    let backend = Backend::find(behind, options.send_proxy, options.read_timeout.0)?;
    Ok(Some(Arc::new(backend)))
}

fn listen_for(
    engine: &Engine,
    what: Service,
    backend: Option<&Arc<Backend>>,
    listen: Listen,
) -> Result<ListenerId, StartError> {
    match what {
        Service::Echo => engine.listen(listen, |_peer| Echo),
        Service::Discard => engine.listen(listen, |_peer| Discard),
        Service::Chargen => {
            let chunk = Chargen::chunk();
            engine.listen(listen, move |_peer| Chargen::new(&chunk))
        }
        Service::Proxy => {
            let backend = backend.expect("the command line asks for it").clone();
            engine.listen(listen, move |_peer| Front::new(&backend))
        }
    }
}

/// Listens for those who ask how the server is; says where.
fn show_status(
    engine: &Engine,
    listener: ListenerId,
    addr: &Addr,
    options: &Serve,
    at: SocketAddr,
) -> Result<Addr, Failure> {
    let title = match &options.to {
        Some(behind) => format!("proxy at {addr} to {behind}"),
        None => format!("{} at {addr}", options.what),
    };
    let board = Board::new(engine.remote(), listener, title, options.drain);
    let listener = engine.listen(Listen::on(at), move |_peer| Status::new(&board))?;
    Ok(engine.listener_addr(listener).expect("the listener was just made"))
}

fn context(options: &Serve) -> Result<Option<ServerContext>, Failure> {
    if let (Some(cert), Some(key)) = (&options.cert, &options.key) {
        let certs_pem = read("--cert", cert)?;
        let key_pem = read("--key", key)?;
        let files = format!("--cert {} --key {}", cert.display(), key.display());
        let context = ServerContext::from_pem(&certs_pem, &key_pem);
        return context.map(Some).map_err(|source| Failure::Pem { files, source });
    }
    if !options.tls {
        return Ok(None);
    }
    let made =
        rcgen::generate_simple_self_signed(NAMES.map(String::from)).map_err(Failure::SelfSigned)?;
    let (cert, key) = (made.cert.pem(), made.signing_key.serialize_pem());
    let context = ServerContext::from_pem(cert.as_bytes(), key.as_bytes());
    let files = || "self-signed certificate".into();
    context.map(Some).map_err(|source| Failure::Pem { files: files(), source })
}

/// Reads a file that an option names.
pub(crate) fn read(option: &'static str, path: &Path) -> Result<Vec<u8>, Failure> {
    fs::read(path).map_err(|source| Failure::File { option, path: path.into(), source })
}

/// The first signal lets connections empty their queues; the second ends them.
fn end_on_signals(mut signals: Signals, remote: Remote, drain: Duration) -> Result<(), Failure> {
    let wait = move || {
        for deadline in [drain, Duration::ZERO] {
            if let Err(error) = signals.wait() {
                eprintln!("shardload: signals can no longer be read, ending: {error}");
            }
            remote.quit(deadline);
        }
    };
    tools::thread("signals", wait).map_err(Failure::io(NO_THREAD))
}

/// The main job holds the other end of our standard input: when it is gone, by whatever cause, so
/// are we.
fn end_with_input(remote: Remote, drain: Duration) -> Result<(), Failure> {
    let wait = move || {
        let mut ignored = [0; 64];
        while io::stdin().read(&mut ignored).is_ok_and(|count| count > 0) {}
        remote.quit(drain);
    };
    tools::thread("input", wait).map_err(Failure::io(NO_THREAD))
}
