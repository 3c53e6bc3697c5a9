//! An echo server with a second listener that says how it is, over HTTP/1.0:
//! `cargo run -p shardpoll --example status [ADDR [STATUS-ADDR]]`.
//!
//! `GET /metrics` for Prometheus, `GET /ready` for a load balancer, `POST /drain` for whoever
//! deploys.

use shardpoll::{
    Conn, DrainPlan, Engine, EngineState, Handler, Listen, Remote, incoming, prometheus,
};
use std::error::Error;

/// The longest head of a request.
const MOST: usize = 4096;

/// One request of one connection.
#[derive(Debug)]
pub(crate) struct Status {
    remote: Remote,
    head: Vec<u8>,
}

impl Status {
    /// Of the engine of this handle.
    #[must_use]
    pub(crate) fn new(remote: Remote) -> Self {
        Self { remote, head: Vec::new() }
    }

    /// A status line's code and words, the type of the answer, and the answer.
    fn answer(&self) -> (&'static str, &'static str, String) {
        const TEXT: &str = "text/plain; charset=utf-8";
        let line = self.head.split(|byte| *byte == b'\n').next().unwrap_or_default();
        let words: Vec<_> = line.trim_ascii_end().split(|byte| *byte == b' ').collect();
        let [method, path, version] = words[..] else {
            return ("400 Bad Request", TEXT, "no request line\n".into());
        };
        if !version.starts_with(b"HTTP/1.") {
            return ("400 Bad Request", TEXT, "no HTTP/1\n".into());
        }
        match (method, path) {
            (b"GET", b"/metrics") => {
                let mut text = String::new();
                let written = self.remote.metrics().prometheus(&mut text);
                written.expect("a string takes all");
                ("200 OK", prometheus::CONTENT_TYPE, text)
            }
            (b"GET", b"/ready") if self.remote.state() == EngineState::Serving => {
                ("200 OK", TEXT, "ready\n".into())
            }
            (b"GET", b"/ready") => ("503 Service Unavailable", TEXT, "draining\n".into()),
            (b"POST", b"/drain") => {
                self.remote.drain(DrainPlan::default());
                ("202 Accepted", TEXT, "draining\n".into())
            }
            (_, b"/metrics" | b"/ready" | b"/drain") => {
                ("405 Method Not Allowed", TEXT, "another method\n".into())
            }
            _ => ("404 Not Found", TEXT, "/metrics, /ready or /drain\n".into()),
        }
    }
}

impl Handler for Status {
    fn on_incoming(&mut self, conn: &mut Conn<'_>, data: &[u8]) {
        self.head.extend_from_slice(data);
        let ends = |end: &[u8]| self.head.windows(end.len()).any(|piece| piece == end);
        let (code, kind, text) = if ends(b"\r\n\r\n") || ends(b"\n\n") {
            self.answer()
        } else if self.head.len() > MOST {
            ("400 Bad Request", "text/plain; charset=utf-8", "too long\n".into())
        } else {
            return;
        };
        let length = text.len();
        let head = format!(
            "HTTP/1.0 {code}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n\
             Connection: close\r\n\r\n"
        );
        conn.write(head.as_bytes());
        conn.write(text.as_bytes());
        conn.close();
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let mut addr = |default: &str| args.next().unwrap_or_else(|| default.into());
    let (serving, status) = (addr("127.0.0.1:7000"), addr("127.0.0.1:7001"));
    let engine = Engine::builder().start()?;
    let echo = |_: &_| {
        incoming(|conn, data| {
            conn.write(data);
        })
    };
    engine.listen(Listen::parse(&serving)?, echo)?;
    let remote = engine.remote();
    engine.listen(Listen::parse(&status)?, move |_| Status::new(remote.clone()))?;
    println!("serving on {serving}, status on {status}");
    println!("{}", engine.join()?);
    Ok(())
}
