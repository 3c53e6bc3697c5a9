//! What a TLS connection can be bound to, printed, for `scripts/peers-binding.sh` to compare with
//! what other implementations print.
//!
//! - `binding serve CERT KEY`: prints `listening ADDR`, then a block for each connection, which it
//!   greets and echoes. Ends with its standard input.
//! - `binding connect ADDR NAME ROOTS TIMES`: connects so often, one after the other, and prints a
//!   block for each; each is closed by the first byte it receives.
//!
//! A block has a line for each value, `name value`, and `end` as its last line. CERT, KEY and ROOTS
//! are PEM files.

use shardpoll::tls::{BindingError, ClientContext, Info, ServerContext};
use shardpoll::{CloseReason, Conn, Connect, Handler, Listen};
use shardpoll_tests::program::{self, Outcome, engine};
use std::error::Error;
use std::fmt::Write;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

const LABEL: &[u8] = b"EXPERIMENTAL-shardpoll";
const LOOPBACK: [u8; 4] = [127, 0, 0, 1];
const PATIENCE: Duration = Duration::from_secs(20);

fn main() -> ExitCode {
    program::run("binding", |args| match *args {
        ["serve", cert, key] => serve(cert, key),
        ["connect", addr, name, roots, times] => connect(addr, name, roots, times),
        _ => Err(format!("{args:?} is neither `serve` nor `connect`").into()),
    })
}

fn hex(value: Result<impl AsRef<[u8]>, BindingError>) -> String {
    match value {
        Ok(bytes) => bytes.as_ref().iter().fold(String::new(), |mut text, byte| {
            let _infallible = write!(text, "{byte:02x}");
            text
        }),
        Err(error) => format!("none: {error}"),
    }
}

fn print(info: Option<Info<'_>>) {
    let Some(info) = info else { return println!("plain\nend") };
    let export = |context| {
        let mut value = [0; 32];
        info.export(&mut value, LABEL, context).map(|()| value)
    };
    println!("resumed {}", info.resumed() == Some(true));
    println!("group {:?}", info.key_exchange_group());
    println!("keying-material {}", hex(export(None)));
    println!("tls-exporter {}", hex(info.tls_exporter()));
    println!("tls-server-end-point {}", hex(info.tls_server_end_point()));
    println!("end");
}

struct Greeter;

impl Handler for Greeter {
    fn on_connect(&mut self, conn: &mut Conn<'_>) {
        print(conn.tls());
        conn.write(b"greetings\n");
    }

    fn on_incoming(&mut self, conn: &mut Conn<'_>, data: &[u8]) {
        conn.write(data);
    }
}

fn serve(cert: &str, key: &str) -> Outcome {
    let (cert, key) = (std::fs::read(cert)?, std::fs::read(key)?);
    let context = ServerContext::from_pem(&cert, &key)?.with_exporter();
    let engine = engine()?;
    let id = engine.listen(Listen::on((LOOPBACK, 0)).tls(context), |_| Greeter)?;
    println!("listening {}", engine.addr(id).ok_or("not an internet address")?);
    std::io::copy(&mut std::io::stdin(), &mut std::io::sink())?;
    engine.quit(Duration::ZERO);
    engine.join()?;
    Ok(())
}

struct Caller(Sender<String>);

impl Handler for Caller {
    fn on_connect(&mut self, conn: &mut Conn<'_>) {
        print(conn.tls());
        conn.write(b"hello\n");
    }

    fn on_incoming(&mut self, conn: &mut Conn<'_>, _: &[u8]) {
        conn.close();
    }

    fn on_disconnect(&mut self, _: &mut Conn<'_>, reason: &CloseReason) {
        let _gone = self.0.send(reason.to_string());
    }
}

fn connect(addr: &str, name: &str, roots: &str, times: &str) -> Outcome {
    let addr: SocketAddr = addr.parse()?;
    let name = rustls_name(name)?;
    let context = ClientContext::from_roots_pem(&std::fs::read(roots)?)?.with_exporter();
    let engine = engine()?;
    for _ in 0..times.parse::<u32>()? {
        let to = Connect::to(addr).tls(context.clone(), name.clone());
        let (ended, end) = channel();
        engine.remote().run(0, move |local| {
            let _connecting = local.connect(to, Caller(ended));
        })?;
        let end = end.recv_timeout(PATIENCE)?;
        eprintln!("binding: {end}");
    }
    engine.quit(Duration::ZERO);
    engine.join()?;
    Ok(())
}

type Name = shardpoll::tls::rustls::pki_types::ServerName<'static>;

fn rustls_name(name: &str) -> Result<Name, Box<dyn Error>> {
    Ok(Name::try_from(name.to_owned())?)
}
