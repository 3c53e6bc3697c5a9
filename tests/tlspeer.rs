//! Both sides of TLS with everything that can be asked for, for `scripts/peers-tls.sh`: what was
//! agreed on is told in a line, and the other implementation says the rest.
//!
//! - `tlspeer serve OPTION...`: prints `listening ADDR pid PID`, greets each connection with what
//!   was agreed on, and echoes. Ends at SIGTERM. Options: `certificate=CHAIN,KEY` for all clients
//!   whose name is not listed, `HOST=CHAIN,KEY`, `clients=required|optional|record,ROOTS`,
//!   `alpn=PROTOCOL`.
//! - `tlspeer connect ADDR NAME ROOTS OPTION...`: connects, prints what was agreed on, says hello,
//!   prints a line of what is said, closes, and prints why it ended. Options: `times=N` one after
//!   the other, `version=1.2|1.3`, `certificate=CHAIN,KEY`, `alpn=PROTOCOL`, `record`, `starttls`
//!   after a greeting as in SMTP.
//!
//! CHAIN, KEY and ROOTS are PEM files.

use rustls::pki_types::ServerName;
use rustls::version::{TLS12, TLS13};
use shardpoll::tls::{
    Certificate, Certificates, ClientAuth, ClientContext, Info, Roots, ServerContext, rustls,
};
use shardpoll::{
    CloseReason, Conn, Connect, Engine, Handler, Listen, Pinning, Signals, Status, TlsPlan,
};
use shardpoll_tests::program::{self, Outcome, engine};
use std::fs;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

const LOOPBACK: [u8; 4] = [127, 0, 0, 1];
const PATIENCE: Duration = Duration::from_secs(20);

/// The longest line of a peer.
const LONGEST: usize = 512;

fn main() -> ExitCode {
    program::run("tlspeer", |args| match args {
        ["serve", options @ ..] => serve(options),
        ["connect", addr, name, roots, options @ ..] => connect(addr, name, roots, options),
        _ => Err(format!("{args:?} is neither `serve` nor `connect`").into()),
    })
}

fn roots(path: &str) -> Outcome<Roots> {
    Ok(Roots::from_pem(&fs::read(path)?)?)
}

fn certificate(files: &str) -> Outcome<Certificate> {
    let (chain, key) = files.split_once(',').ok_or_else(|| format!("{files}: CHAIN,KEY"))?;
    Ok(Certificate::from_pem(&fs::read(chain)?, &fs::read(key)?)?)
}

/// What was agreed on, in one line.
fn agreed(info: Option<Info<'_>>) -> String {
    let Some(info) = info else { return "plain".into() };
    let version = info.protocol_version().and_then(|version| version.as_str().map(str::to_owned));
    let alpn = info.alpn_protocol().map(|name| String::from_utf8_lossy(name).into_owned());
    let verdict = info.verdict().map(ToString::to_string);
    format!(
        "{} resumed={} name={} alpn={} certificates={} verdict={}",
        version.unwrap_or_default(),
        info.resumed() == Some(true),
        info.server_name().unwrap_or("none"),
        alpn.unwrap_or_else(|| "none".into()),
        info.peer_certificates().map_or(0, <[_]>::len),
        verdict.unwrap_or_else(|| "none".into()),
    )
}

struct Greeter;

impl Handler for Greeter {
    fn on_connect(&mut self, conn: &mut Conn<'_>) {
        let line = format!("agreed {}\n", agreed(conn.tls()));
        conn.write(line.as_bytes());
    }

    fn on_incoming(&mut self, conn: &mut Conn<'_>, data: &[u8]) {
        conn.write(data);
    }
}

fn server_context(options: &[&str]) -> Outcome<ServerContext> {
    let (mut certificates, mut alpn, mut auth) = (Certificates::new(), None, ClientAuth::None);
    for option in options {
        let (name, value) = option.split_once('=').ok_or_else(|| format!("{option}: A=B"))?;
        match (name, value.split_once(',')) {
            ("certificate", _) => {
                let shown = certificate(value)?;
                certificates = certificates.nameless(shown.clone()).fallback(shown);
            }
            ("clients", Some(("required", file))) => auth = ClientAuth::Required(roots(file)?),
            ("clients", Some(("optional", file))) => auth = ClientAuth::Optional(roots(file)?),
            ("clients", Some(("record", file))) => auth = ClientAuth::Record(roots(file)?),
            ("clients", _) => return Err(format!("{value}: HOW,ROOTS").into()),
            ("alpn", _) => alpn = Some(value),
            _ => certificates = certificates.name(name, certificate(value)?)?,
        }
    }
    Ok(ServerContext::builder(certificates).client_auth(auth).alpn(alpn).build()?)
}

fn serve(options: &[&str]) -> Outcome {
    let context = server_context(options)?;
    let signals = Signals::block()?;
    let engine = Engine::builder().shards(2).pinning(Pinning::None).start()?;
    let id = engine.listen(Listen::on((LOOPBACK, 0)).tls(context), |_| Greeter)?;
    let remote = engine.remote();
    engine.on_signals(signals, move |_, _| remote.quit(Duration::from_secs(1)))?;
    let addr = engine.addr(id).ok_or("not an internet address")?;
    println!("listening {addr} pid {}", std::process::id());
    engine.join()?;
    Ok(())
}

/// Says hello once TLS stands, and closes when it was answered.
struct Caller {
    /// The upgrade, until it was asked for.
    plan: Option<TlsPlan>,
    greeted: bool,
    line: Vec<u8>,
    ended: Sender<String>,
}

impl Caller {
    fn hears(&mut self, conn: &mut Conn<'_>, line: &str, rest: &[u8]) {
        if conn.tls().is_some() {
            println!("said {line}");
            // What our own server says first is not yet the answer.
            if !line.starts_with("agreed ") {
                conn.close();
            }
        } else if !std::mem::replace(&mut self.greeted, true) {
            conn.write(b"STARTTLS\r\n");
        } else if let Some(plan) = self.plan.take()
            && let Err(error) = conn.start_tls(plan.leftover(rest))
        {
            println!("not upgraded: {error}");
            conn.close();
        }
    }
}

impl Handler for Caller {
    fn on_status(&mut self, conn: &mut Conn<'_>, _: &Status) {
        println!("agreed {}", agreed(conn.tls()));
        conn.write(b"hello\n");
    }

    fn on_incoming(&mut self, conn: &mut Conn<'_>, mut data: &[u8]) {
        while let Some(end) = data.iter().position(|byte| *byte == b'\n') {
            let (piece, rest) = data.split_at(end + 1);
            self.line.extend_from_slice(piece);
            let line = std::mem::take(&mut self.line);
            let upgrading = self.plan.is_some() && self.greeted;
            self.hears(conn, String::from_utf8_lossy(&line).trim_end(), rest);
            // The plan was handed what lies behind.
            data = if upgrading { &[] } else { rest };
        }
        self.line.extend_from_slice(data);
        if self.line.len() > LONGEST {
            conn.close();
        }
    }

    fn on_disconnect(&mut self, _: &mut Conn<'_>, reason: &CloseReason) {
        let _gone = self.ended.send(reason.to_string());
    }
}

fn connect(addr: &str, name: &str, roots_file: &str, options: &[&str]) -> Outcome {
    let (addr, name): (SocketAddr, _) = (addr.parse()?, ServerName::try_from(name.to_owned())?);
    let (mut times, mut starttls) = (1, false);
    let mut context = ClientContext::builder(roots(roots_file)?);
    for option in options {
        context = match option.split_once('=').unwrap_or((option, "")) {
            ("times", count) => {
                times = count.parse()?;
                context
            }
            ("starttls", _) => {
                starttls = true;
                context
            }
            ("version", "1.2") => context.versions(&[&TLS12]),
            ("version", "1.3") => context.versions(&[&TLS13]),
            ("certificate", files) => context.client_certificate(certificate(files)?),
            ("alpn", protocol) => context.alpn([protocol]),
            ("record", _) => context.record(true),
            _ => return Err(format!("{option} is no option").into()),
        };
    }
    let context = context.build()?;
    let engine = engine()?;
    for _ in 0..times {
        let (ended, end) = channel();
        let plan = starttls.then(|| TlsPlan::client(context.clone(), name.clone()));
        let to = Connect::to(addr);
        let to = if starttls { to } else { to.tls(context.clone(), name.clone()) };
        engine.remote().run(0, move |local| {
            let caller = Caller { plan, greeted: false, line: Vec::new(), ended };
            let _told_in_the_end = local.connect(to, caller);
        })?;
        println!("ended {}", end.recv_timeout(PATIENCE)?);
    }
    engine.quit(Duration::ZERO);
    engine.join()?;
    Ok(())
}
