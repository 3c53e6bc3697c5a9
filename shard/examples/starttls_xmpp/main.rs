//! A server that begins like XMPP (RFC 6120): a stream, `<starttls/>`, a new stream, `<iq/>`.
//!
//! `cargo run -p shardpoll --example starttls_xmpp [ADDR [CERT KEY]]`, and then
//! `openssl s_client -connect ADDR -starttls xmpp`. Without files the certificate is self-signed.

mod xml;

use shardpoll::tls::ServerContext;
use shardpoll::{Conn, Engine, Handler, Listen, Signals, TlsPlan};
use std::error::Error;
use std::fs;
use std::time::Duration;
use xml::{Whole, Xml};

const HEADER: &[u8] = b"<?xml version='1.0'?><stream:stream xmlns='jabber:client' \
    xmlns:stream='http://etherx.jabber.org/streams' from='localhost' id='1' version='1.0'>";
const OFFER: &[u8] = b"<stream:features><starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'>\
    <required/></starttls></stream:features>";

pub(crate) struct Xmpp {
    tls: ServerContext,
    xml: Xml,
}

impl Xmpp {
    pub(crate) fn new(tls: ServerContext) -> Self {
        Self { tls, xml: Xml::default() }
    }

    /// Answers what is whole now; `rest` came in one segment with it, and is looked at next if this
    /// returns true.
    fn answer(&self, conn: &mut Conn<'_>, whole: Whole, rest: &[u8]) -> bool {
        let in_clear = conn.tls().is_none();
        match whole {
            Whole::StreamHeader => {
                conn.write(HEADER);
                conn.write(if in_clear { OFFER } else { b"<stream:features/>" });
                return true;
            }
            Whole::Stanza(tag) => match xml::name(&tag) {
                "starttls" if in_clear => self.start_tls(conn, rest),
                _ if in_clear => fail(conn, "policy-violation"),
                "iq" => {
                    let id = xml::attribute(&tag, "id").unwrap_or_default();
                    conn.write(format!("<iq type='result' id='{id}'/>").as_bytes());
                    return true;
                }
                "message" | "presence" => return true,
                _ => fail(conn, "unsupported-stanza-type"),
            },
            Whole::StreamEnd => {
                conn.write(b"</stream:stream>");
                conn.close();
            }
            Whole::Bad(condition) => fail(conn, condition),
        }
        false
    }

    fn start_tls(&self, conn: &mut Conn<'_>, rest: &[u8]) {
        // Written before the upgrade, so it leaves in clear.
        conn.write(b"<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>");
        // Whoever sits between could have put `rest` there: handed over, it ends the connection.
        let plan = TlsPlan::server(self.tls.clone()).leftover(rest);
        if let Err(error) = conn.start_tls(plan) {
            eprintln!("{}: {error}", conn.peer());
            conn.close();
        }
    }
}

fn fail(conn: &mut Conn<'_>, condition: &str) {
    let name = format!("<{condition} xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>");
    conn.write(format!("<stream:error>{name}</stream:error></stream:stream>").as_bytes());
    conn.close();
}

impl Handler for Xmpp {
    fn on_incoming(&mut self, conn: &mut Conn<'_>, data: &[u8]) {
        for (at, byte) in data.iter().enumerate() {
            let Some(whole) = self.xml.push(*byte) else { continue };
            if !self.answer(conn, whole, &data[at + 1..]) {
                return;
            }
        }
    }

    fn on_starttls(&mut self, _: &mut Conn<'_>) {
        // The stream begins anew (RFC 6120, section 5.4.3.3).
        self.xml = Xml::default();
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
    let listener = engine.listen(Listen::parse(&addr)?, move |_peer| Xmpp::new(tls.clone()))?;
    let remote = engine.remote();
    engine.on_signals(signals, move |_local, _signal| remote.quit(Duration::from_secs(5)))?;
    let (addr, shards) = (engine.addr(listener).ok_or("just added")?, engine.shards());
    println!("listening {addr} pid {} shards {shards}", std::process::id());
    engine.join()?;
    Ok(())
}
