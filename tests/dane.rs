//! Servers held to TLSA records, and what is found out about them, printed: for
//! `scripts/peers-dane.sh` to compare with what OpenSSL makes of the same records.
//!
//! - `dane serve CHAIN KEY`: prints `listening ADDR`, and echoes. Ends with its standard input.
//! - `dane connect ADDR NAME ROOTS`: for each line of its standard input, which is one TLSA record
//!   in presentation format, connects once and prints a line: `ok` and the verdict, or `no` and
//!   the reason. ROOTS may be `-` for none.
//!
//! CHAIN, KEY and ROOTS are PEM files.

use rustls::pki_types::ServerName;
use shardpoll::tls::{ClientContext, DaneMode, Roots, ServerContext, Tlsa, rustls};
use shardpoll::{CloseReason, Conn, Connect, Engine, Handler, Listen};
use shardpoll_tests::program::{self, Outcome, engine};
use std::io::BufRead;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

const LOOPBACK: [u8; 4] = [127, 0, 0, 1];
const PATIENCE: Duration = Duration::from_secs(20);

fn main() -> ExitCode {
    program::run("dane", |args| match *args {
        ["serve", chain, key] => serve(chain, key),
        ["connect", addr, name, roots] => connect(addr, name, roots),
        _ => Err(format!("{args:?} is neither `serve` nor `connect`").into()),
    })
}

struct Echo;

impl Handler for Echo {
    fn on_incoming(&mut self, conn: &mut Conn<'_>, data: &[u8]) {
        conn.write(data);
    }
}

fn serve(chain: &str, key: &str) -> Outcome {
    let context = ServerContext::from_pem(&std::fs::read(chain)?, &std::fs::read(key)?)?;
    let engine = engine()?;
    let id = engine.listen(Listen::on((LOOPBACK, 0)).tls(context), |_| Echo)?;
    println!("listening {}", engine.addr(id).ok_or("not an internet address")?);
    std::io::copy(&mut std::io::stdin(), &mut std::io::sink())?;
    engine.quit(Duration::ZERO);
    engine.join()?;
    Ok(())
}

/// Closes when the handshake is done, and tells what came of it.
struct Caller {
    told: Sender<String>,
    verdict: Option<String>,
}

impl Handler for Caller {
    fn on_connect(&mut self, conn: &mut Conn<'_>) {
        self.verdict = conn.tls().and_then(|info| info.verdict().map(ToString::to_string));
        conn.close();
    }

    fn on_incoming(&mut self, _: &mut Conn<'_>, _: &[u8]) {}

    fn on_disconnect(&mut self, _: &mut Conn<'_>, reason: &CloseReason) {
        let line = match &self.verdict {
            Some(verdict) => format!("ok {verdict}"),
            None => format!("no {reason}"),
        };
        let _gone = self.told.send(line);
    }
}

fn connect(addr: &str, name: &str, roots: &str) -> Outcome {
    let addr: SocketAddr = addr.parse()?;
    let name = ServerName::try_from(name.to_owned())?;
    let roots = if roots == "-" { Roots::none() } else { Roots::from_pem(&std::fs::read(roots)?)? };
    let base = ClientContext::builder(roots).build()?;
    let engine = engine()?;
    for line in std::io::stdin().lock().lines() {
        println!("{}", visit(&engine, addr, &name, &base, &line?)?);
    }
    engine.quit(Duration::ZERO);
    engine.join()?;
    Ok(())
}

fn visit(
    engine: &Engine,
    addr: SocketAddr,
    name: &ServerName<'static>,
    base: &ClientContext,
    record: &str,
) -> Outcome<String> {
    let record = match Tlsa::parse(record) {
        Ok(record) => record,
        Err(error) => return Ok(format!("no {error}")),
    };
    let context = match base.with_dane([record], DaneMode::Require) {
        Ok(context) => context,
        Err(error) => return Ok(format!("no {error}")),
    };
    let to = Connect::to(addr).tls(context, name.clone());
    let (told, line) = channel();
    engine.remote().run(0, move |local| {
        let _connecting = local.connect(to, Caller { told, verdict: None });
    })?;
    Ok(line.recv_timeout(PATIENCE)?)
}
