//! The echo server alone: one listener, one line when it is ready, and an orderly end.
//!
//! Never: prints anything else on standard output.

use crate::cli::Serve;
use crate::failure::Failure;
use shardpoll::tls::ServerContext;
use shardpoll::{
    Config, Conn, Engine, Handler, Listen, Pinning, Remote, Signals, raise_descriptor_limit,
};
use std::fs;
use std::io::{self, Read, Write};
use std::path::Path;
use std::thread;
use std::time::Duration;

/// What a self-signed certificate is made for.
const NAMES: [&str; 3] = ["localhost", "127.0.0.1", "::1"];

struct Echo;

impl Handler for Echo {
    fn on_incoming(&mut self, conn: &mut Conn<'_>, data: &[u8]) {
        conn.write(data);
    }
}

/// Serves until it is told to end by a signal, and has done so.
pub(crate) fn serve(options: &Serve) -> Result<(), Failure> {
    let tls = context(options)?;
    // Before any thread starts, so that all inherit it.
    let signals = Signals::block().map_err(Failure::io("signals"))?;
    raise_descriptor_limit().map_err(Failure::io("descriptor limit"))?;

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
    let engine = builder.start()?;
    let mut listen = Listen::on(options.addr);
    if let Some(tls) = tls {
        listen = listen.tls(tls);
    }
    let listener = engine.listen(listen, |_peer| Echo)?;
    let addr = engine.addr(listener).expect("the listener was just made");

    if options.child {
        end_with_input(engine.remote(), options.drain)?;
    } else if options.tls {
        eprintln!("shardload: self-signed certificate: clients must not check it (--insecure)");
    }
    end_on_signals(signals, engine.remote(), options.drain)?;
    let line = format!("listening {addr} pid {} shards {}\n", std::process::id(), engine.shards());
    // Without anyone who reads it the server serves all the same.
    let mut stdout = io::stdout();
    let _unread = stdout.write_all(line.as_bytes()).and_then(|()| stdout.flush());
    engine.join()?;
    Ok(())
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
    helper("signals", wait)
}

/// The main job holds the other end of our standard input: when it is gone, by whatever cause, so
/// are we.
fn end_with_input(remote: Remote, drain: Duration) -> Result<(), Failure> {
    let wait = move || {
        let mut ignored = [0; 64];
        while io::stdin().read(&mut ignored).is_ok_and(|count| count > 0) {}
        remote.quit(drain);
    };
    helper("input", wait)
}

/// A thread that ends with the process.
pub(crate) fn helper(
    name: &'static str,
    body: impl FnOnce() + Send + 'static,
) -> Result<(), Failure> {
    let started = thread::Builder::new().name(name.into()).spawn(body);
    started.map(drop).map_err(Failure::io("cannot start a thread"))
}
