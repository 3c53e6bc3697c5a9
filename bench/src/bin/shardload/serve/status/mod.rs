//! How the server is, over HTTP/1: a page for people, `/metrics` for Prometheus, `/ready` for a
//! load balancer, `POST /drain` for whoever deploys.
//!
//! | file | what is in it |
//! |---|---|
//! | `history` | the last two minutes, a sample a second |
//! | `page` | the page |
//!
//! Never: asks a shard; what is told was left where any thread may read it.

mod history;
mod page;

use history::History;
use shardpoll::{Conn, DrainPlan, EngineState, Handler, ListenerId, Local, Remote, prometheus};
use shardpoll_bench::clock::Clock;
use std::sync::Arc;
use std::time::Duration;

/// The longest head of a request.
const MAX_HEAD_BYTES: usize = 8 * 1024;

const TEXT: &str = "text/plain; charset=utf-8";

/// How often a sample is taken.
const SAMPLE_INTERVAL: Duration = Duration::from_secs(1);

/// What all connections of the status listener share.
pub(super) struct Board {
    remote: Remote,
    /// The listener that serves; the other one is this page's.
    listener: ListenerId,
    /// "echo at 127.0.0.1:7000"
    title: String,
    /// Since the server began.
    clock: Clock,
    /// How long connections may take to end in a drain.
    patience: Duration,
    history: History,
}

impl Board {
    /// Of an engine with this listener; samples are taken by a timer of its first shard.
    pub(super) fn new(
        remote: Remote,
        listener: ListenerId,
        title: String,
        patience: Duration,
    ) -> Arc<Self> {
        let (clock, history) = (Clock::start(), History::default());
        let board = Arc::new(Self { remote, listener, title, clock, patience, history });
        let sampled = board.clone();
        let begin = move |local: &mut Local<'_>| {
            local.add_timer(Duration::ZERO, move |_, _| {
                sampled.sample();
                Some(SAMPLE_INTERVAL)
            });
        };
        board.remote.run(0, begin).expect("the engine has just begun: its mailboxes are empty");
        board
    }

    fn sample(&self) {
        self.history.add(self.clock.elapsed(), &self.remote.metrics(), self.listener);
    }

    fn answer(&self, head: &[u8]) -> Answer {
        let line = head.split(|byte| *byte == b'\n').next().unwrap_or_default();
        let mut words = line.trim_ascii_end().split(|byte| *byte == b' ');
        let (Some(method), Some(path), Some(version), None) =
            (words.next(), words.next(), words.next(), words.next())
        else {
            return Answer::text("400 Bad Request", "no request line");
        };
        if !version.starts_with(b"HTTP/1.") {
            return Answer::text("400 Bad Request", "no HTTP/1");
        }
        match (method, path) {
            (b"GET" | b"HEAD", _) => {
                let mut answer = self.show(path);
                answer.is_head = method == b"HEAD";
                answer
            }
            // A page of somebody else's may make its reader's browser ask, but not without this.
            (b"POST", b"/drain") if has_field(head, b"origin") => {
                Answer::text("403 Forbidden", "not from a browser")
            }
            (b"POST", b"/drain") => {
                self.remote.drain(DrainPlan::default().deadline(self.patience));
                Answer::text("202 Accepted", "draining")
            }
            _ => Answer::text("405 Method Not Allowed", "GET, HEAD, or POST /drain"),
        }
    }

    fn show(&self, path: &[u8]) -> Answer {
        match path {
            b"/" => Answer::ok("text/html; charset=utf-8", page::page(self)),
            b"/metrics" => {
                let mut text = String::new();
                let written = self.remote.metrics().prometheus(&mut text);
                written.expect("a string takes all");
                Answer::ok(prometheus::CONTENT_TYPE, text)
            }
            b"/ready" if self.remote.state() == EngineState::Serving => {
                Answer::text("200 OK", "ready")
            }
            b"/ready" => Answer::text("503 Service Unavailable", "draining"),
            b"/drain" => Answer::text("405 Method Not Allowed", "POST /drain"),
            _ => Answer::text("404 Not Found", "there are /, /metrics, /ready and /drain"),
        }
    }
}

/// Whether a field of this name stands in the head.
fn has_field(head: &[u8], name: &[u8]) -> bool {
    head.split(|byte| *byte == b'\n').skip(1).any(|line| {
        let named = line.split(|byte| *byte == b':').next().unwrap_or_default();
        named.eq_ignore_ascii_case(name)
    })
}

/// What a request is answered.
struct Answer {
    code: &'static str,
    kind: &'static str,
    body: String,
    /// Its body is not sent.
    is_head: bool,
}

impl Answer {
    fn ok(kind: &'static str, body: String) -> Self {
        Self { code: "200 OK", kind, body, is_head: false }
    }

    fn text(code: &'static str, line: &str) -> Self {
        Self { code, kind: TEXT, body: format!("{line}\n"), is_head: false }
    }

    fn send(&self, conn: &mut Conn<'_>) {
        let Self { code, kind, body, is_head } = self;
        let head = format!(
            "HTTP/1.0 {code}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\
             Cache-Control: no-store\r\nConnection: close\r\n\
             Content-Security-Policy: default-src 'none'; style-src 'unsafe-inline'\r\n\r\n",
            body.len()
        );
        conn.write(head.as_bytes());
        if !is_head {
            conn.write(body.as_bytes());
        }
        conn.close();
    }
}

/// One request of one connection.
pub(super) struct Status {
    board: Arc<Board>,
    head: Vec<u8>,
}

impl Status {
    pub(super) fn new(board: &Arc<Board>) -> Self {
        Self { board: board.clone(), head: Vec::new() }
    }
}

impl Handler for Status {
    fn on_incoming(&mut self, conn: &mut Conn<'_>, data: &[u8]) {
        self.head.extend_from_slice(data);
        let ends = |end: &[u8]| self.head.windows(end.len()).any(|piece| piece == end);
        if ends(b"\r\n\r\n") || ends(b"\n\n") {
            self.board.answer(&self.head).send(conn);
        } else if self.head.len() > MAX_HEAD_BYTES {
            Answer::text("400 Bad Request", "the head is too long").send(conn);
        }
    }
}
