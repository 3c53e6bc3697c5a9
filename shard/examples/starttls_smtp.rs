//! A mail server's front door with STARTTLS (RFC 3207): EHLO, STARTTLS, NOOP, RSET, QUIT.
//!
//! `cargo run -p shardpoll --example starttls_smtp [ADDR [CERT KEY]]`, and then
//! `openssl s_client -connect ADDR -starttls smtp`. Without files the certificate is self-signed.

use shardpoll::tls::ServerContext;
use shardpoll::{Conn, Engine, Handler, Listen, Signals, TlsPlan};
use std::error::Error;
use std::fs;
use std::time::Duration;

/// The longest line of a command, with its CR LF (RFC 5321, section 4.5.3.1.4).
const LONGEST: usize = 512;

pub(crate) struct Smtp {
    tls: ServerContext,
    /// The beginning of a line whose end is yet to come: at most [`LONGEST`] bytes.
    line: Vec<u8>,
    greeted: bool,
}

impl Smtp {
    pub(crate) fn new(tls: ServerContext) -> Self {
        Self { tls, line: Vec::new(), greeted: false }
    }

    /// Carries out one line; `rest` came in one segment with it, and is looked at next if this
    /// returns true.
    fn command(&mut self, conn: &mut Conn<'_>, line: &str, rest: &[u8]) -> bool {
        let (verb, argument) = line.split_once(' ').unwrap_or((line, ""));
        match verb.to_ascii_uppercase().as_str() {
            "EHLO" | "HELO" if argument.is_empty() => say(conn, "501 5.5.4 Who is there?"),
            "EHLO" => {
                self.greeted = true;
                say(conn, "250-localhost");
                // Once only (RFC 3207, section 4.2).
                if conn.start_tls_available() {
                    say(conn, "250-STARTTLS");
                }
                say(conn, "250 ENHANCEDSTATUSCODES");
            }
            "HELO" => {
                self.greeted = true;
                say(conn, "250 localhost");
            }
            "STARTTLS" if !argument.is_empty() => say(conn, "501 5.5.4 No parameters, please"),
            "STARTTLS" if !conn.start_tls_available() => say(conn, "503 5.5.1 TLS is there"),
            "STARTTLS" => {
                self.start_tls(conn, rest);
                return false;
            }
            "NOOP" => say(conn, "250 2.0.0 OK"),
            "RSET" if self.greeted => say(conn, "250 2.0.0 OK"),
            "RSET" => say(conn, "503 5.5.1 EHLO first"),
            "QUIT" => {
                say(conn, "221 2.0.0 Bye");
                conn.close();
                return false;
            }
            _ => say(conn, "502 5.5.1 Not here"),
        }
        true
    }

    fn start_tls(&self, conn: &mut Conn<'_>, rest: &[u8]) {
        // Written before the upgrade, so it leaves in clear.
        say(conn, "220 2.0.0 Go ahead");
        // Whoever sits between could have put `rest` there: handed over, it ends the connection.
        let plan = TlsPlan::server(self.tls.clone()).leftover(rest);
        if let Err(error) = conn.start_tls(plan) {
            eprintln!("{}: {error}", conn.peer());
            conn.close();
        }
    }
}

fn say(conn: &mut Conn<'_>, line: &str) {
    conn.write(line.as_bytes());
    conn.write(b"\r\n");
}

impl Handler for Smtp {
    fn on_connect(&mut self, conn: &mut Conn<'_>) {
        say(conn, "220 localhost ESMTP");
    }

    fn on_incoming(&mut self, conn: &mut Conn<'_>, mut data: &[u8]) {
        while !data.is_empty() {
            let end = data.iter().position(|byte| *byte == b'\n').map(|at| at + 1);
            let (piece, rest) = data.split_at(end.unwrap_or(data.len()));
            if self.line.len() + piece.len() > LONGEST {
                say(conn, "500 5.5.2 Line too long");
                conn.close();
                return;
            }
            self.line.extend_from_slice(piece);
            data = rest;
            if end.is_some() {
                let line = std::mem::take(&mut self.line);
                if !self.command(conn, String::from_utf8_lossy(&line).trim_end(), rest) {
                    return;
                }
            }
        }
    }

    fn on_starttls(&mut self, _: &mut Conn<'_>) {
        // What was said in clear counts no more (RFC 3207, section 4.2).
        self.greeted = false;
    }
}

pub(crate) fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let addr = args.next().unwrap_or_else(|| "127.0.0.1:0".into());
    let (cert, key) = match (args.next(), args.next()) {
        (Some(cert), Some(key)) => (fs::read(cert)?, fs::read(key)?),
        _ => {
            let made = rcgen::generate_simple_self_signed(["localhost".to_string()])?;
            (made.cert.pem().into(), made.signing_key.serialize_pem().into())
        }
    };
    let tls = ServerContext::from_pem(&cert, &key)?;
    // Before the engine's threads start, so that they inherit it.
    let signals = Signals::block()?;
    let engine = Engine::builder().start()?;
    let listener = engine.listen(Listen::parse(&addr)?, move |_peer| Smtp::new(tls.clone()))?;
    let remote = engine.remote();
    engine.on_signals(signals, move |_local, _signal| remote.quit(Duration::from_secs(5)))?;
    let (addr, shards) = (engine.addr(listener).ok_or("just added")?, engine.shards());
    println!("listening {addr} pid {} shards {shards}", std::process::id());
    engine.join()?;
    Ok(())
}
