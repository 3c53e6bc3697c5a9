//! Both sides of the PROXY protocol, for `scripts/peers-haproxy.sh`: what a header has said is told
//! in a line, and HAProxy says the rest.
//!
//! - `proxied serve OPTION...`: prints `listening ADDR pid PID`, greets each connection with what
//!   its header has said, and echoes. Believes 127.0.0.1 only. Ends at SIGTERM. Options:
//!   `tls=CHAIN,KEY` behind the header; `checked`: greets nobody before a health check was there.
//! - `proxied front BACKEND OPTION...`: prints the same, and carries each connection on to BACKEND
//!   with a header that says for whom. Options: `v1`, `checksum`, `tls=NAME,ROOTS` behind it.
//!
//! CHAIN, KEY and ROOTS are PEM files.

use shardpoll::tls::rustls::pki_types::ServerName;
use shardpoll::tls::{ClientContext, ServerContext};
use shardpoll::{
    Conn, ConnId, Connect, Handler, Listen, ProxyHeader, ProxyProtocol, ProxyVersion, Signals,
    incoming,
};
use shardpoll_tests::program::{self, Outcome, engine};
use std::cell::RefCell;
use std::fs;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

const LOOPBACK: [u8; 4] = [127, 0, 0, 1];

fn main() -> ExitCode {
    program::run("proxied", |args| match args {
        ["serve", options @ ..] => serve(options),
        ["front", backend, options @ ..] => front(backend, options),
        _ => Err(format!("{args:?} is neither `serve` nor `front`").into()),
    })
}

/// What a header has said, in one line.
fn said(conn: &Conn<'_>) -> String {
    let Some(header) = conn.proxy() else { return "no header\n".into() };
    let to = header.destination().map_or_else(|| "nowhere".into(), ToString::to_string);
    let (version, id) = (header.version(), header.unique_id().map(String::from_utf8_lossy));
    let mut line =
        format!("{version:?} peer {} to {to} id {}", conn.peer(), id.unwrap_or_default());
    if header.is_checked() {
        line += " checked";
    }
    if let Some(name) = header.authority() {
        line += &format!(" authority {name}");
    }
    if let Some(name) = header.alpn() {
        line += &format!(" alpn {}", String::from_utf8_lossy(name));
    }
    if let Some(ssl) = header.ssl().filter(shardpoll::ProxySsl::is_tls) {
        let (version, cipher) = (ssl.version(), ssl.cipher());
        line += &format!(" over {} {}", version.unwrap_or("?"), cipher.unwrap_or("?"));
        let name = ssl.common_name().unwrap_or("nobody");
        line += &format!(" client {name} verified {}", ssl.is_verified());
    }
    line + "\n"
}

/// Health checks of this shard, and who waits for the first.
#[derive(Default)]
struct Checks {
    seen: bool,
    waiting: Vec<ConnId>,
}

thread_local! {
    static CHECKS: RefCell<Checks> = RefCell::default();
}

struct Greeter {
    waits_for_check: bool,
}

impl Handler for Greeter {
    fn on_connect(&mut self, conn: &mut Conn<'_>) {
        if conn.proxy().is_some_and(ProxyHeader::is_local) {
            let waiting = CHECKS.with_borrow_mut(|checks| {
                checks.seen = true;
                std::mem::take(&mut checks.waiting)
            });
            for id in waiting {
                if let Some(mut conn) = conn.local().conn(id) {
                    let line = said(&conn);
                    conn.write(line.as_bytes());
                }
            }
        } else if self.waits_for_check && !CHECKS.with_borrow(|checks| checks.seen) {
            CHECKS.with_borrow_mut(|checks| checks.waiting.push(conn.id()));
        } else {
            let line = said(conn);
            conn.write(line.as_bytes());
        }
    }

    fn on_incoming(&mut self, conn: &mut Conn<'_>, data: &[u8]) {
        conn.write(data);
    }
}

fn pair<'a>(option: &str, value: &'a str) -> Outcome<(&'a str, &'a str)> {
    value.split_once(',').ok_or_else(|| format!("{option}=A,B").into())
}

fn serve(options: &[&str]) -> Outcome {
    let mut listen =
        Listen::on((LOOPBACK, 0)).proxy_protocol(ProxyProtocol::from_senders(["127.0.0.1"])?);
    let mut waits_for_check = false;
    for option in options {
        listen = match option.split_once('=').unwrap_or((option, "")) {
            ("tls", files) => {
                let (chain, key) = pair("tls", files)?;
                listen.tls(ServerContext::from_pem(&fs::read(chain)?, &fs::read(key)?)?)
            }
            ("checked", _) => {
                waits_for_check = true;
                listen
            }
            _ => return Err(format!("{option} is no option").into()),
        };
    }
    run(listen, move || Greeter { waits_for_check })
}

/// Carries what comes on.
#[derive(Clone)]
struct Front {
    backend: SocketAddr,
    version: ProxyVersion,
    checksum: bool,
    tls: Option<(ClientContext, ServerName<'static>)>,
}

impl Handler for Front {
    fn on_connect(&mut self, conn: &mut Conn<'_>) {
        let header = ProxyHeader::of(conn).with_version(self.version);
        let to = Connect::to(self.backend).proxy_header(header.with_checksum(self.checksum));
        let to = match self.tls.clone() {
            Some((context, name)) => to.tls(context, name),
            None => to,
        };
        let id = conn.id();
        let mut local = conn.local();
        let back = local.connect(to, incoming(|_, _| {})).map_err(|error| error.to_string());
        let linked =
            back.and_then(|back| local.link_both(id, back).map_err(|error| error.to_string()));
        if let Err(error) = linked {
            eprintln!("not carried on: {error}");
            conn.close();
        }
    }

    fn on_incoming(&mut self, _: &mut Conn<'_>, _: &[u8]) {}
}

fn front(backend: &str, options: &[&str]) -> Outcome {
    let (backend, version) = (backend.parse()?, ProxyVersion::default());
    let mut front = Front { backend, version, checksum: false, tls: None };
    for option in options {
        match option.split_once('=').unwrap_or((option, "")) {
            ("v1", _) => front.version = ProxyVersion::V1,
            ("checksum", _) => front.checksum = true,
            ("tls", value) => {
                let (name, roots) = pair("tls", value)?;
                let context = ClientContext::from_roots_pem(&fs::read(roots)?)?;
                front.tls = Some((context, ServerName::try_from(name.to_owned())?));
            }
            _ => return Err(format!("{option} is no option").into()),
        }
    }
    run(Listen::on((LOOPBACK, 0)), move || front.clone())
}

/// Serves until SIGTERM.
fn run<H: Handler>(listen: Listen, handler: impl Fn() -> H + Clone + Send + 'static) -> Outcome {
    let signals = Signals::block()?;
    let engine = engine()?;
    let id = engine.listen(listen, move |_| handler())?;
    let remote = engine.remote();
    engine.on_signals(signals, move |_, _| remote.quit(Duration::from_secs(1)))?;
    let addr = engine.addr(id).ok_or("not an internet address")?;
    println!("listening {addr} pid {}", std::process::id());
    engine.join()?;
    Ok(())
}
