//! The handler of every connection: records each callback, then does what its listener says.
//!
//! Never: does anything once the run is over.

use crate::perform::{Here, Scope, perform};
use crate::record::Arg;
use crate::run::Run;
use crate::scenario::Listener;
use serde_json::Value;
use shardpoll::{CloseReason, Conn, Handler, Input, Silence, Status};
use std::sync::Arc;

pub(crate) struct Player {
    run: Arc<Run>,
    label: String,
    listener: Arc<Listener>,
    /// What `setlistener` gave along.
    data: Value,
    known: bool,
    read_size: Option<usize>,
    /// TLS has begun and is not established.
    handshaking: bool,
}

impl Player {
    pub(crate) fn new(run: &Arc<Run>, label: String, listener: Arc<Listener>) -> Self {
        let (run, data) = (Arc::clone(run), Value::Null);
        Self { run, label, listener, data, known: false, read_size: None, handshaking: false }
    }

    /// Of a connection that began with a read size of its own.
    pub(crate) fn read_size(mut self, bytes: Option<usize>) -> Self {
        self.read_size = bytes;
        self
    }

    /// One that takes over, with data.
    pub(crate) fn attached(mut self, data: Value) -> Self {
        self.data = data;
        self
    }

    /// Before the first callback: this label is that connection.
    fn arrive(&mut self, conn: &Conn<'_>) {
        if !std::mem::replace(&mut self.known, true) {
            self.run.known().conns.insert(self.label.clone(), conn.id());
            if let Some(bytes) = self.read_size {
                self.run.known().read_sizes.insert(conn.id(), bytes);
            }
        }
    }

    /// Records a callback, and runs its actions; gives what they return.
    fn call(&mut self, conn: &mut Conn<'_>, name: &str, args: Vec<Arg>) -> Value {
        self.arrive(conn);
        let Some(actions) = self.listener.callback(name).map(Arc::clone) else {
            return Value::Null;
        };
        if self.run.record.is_over() {
            return Value::Null;
        }
        let n = self.run.count_call(&self.label, name);
        let arg = args.first().cloned();
        self.run.record.server(&self.label, name, args);
        let scope = Scope { own: Some(self.label.clone()), origin: self.label.clone(), arg, n };
        perform(&self.run, &mut Here::Conn(conn), &scope, &actions)
    }

    /// What a read says of itself: null when it was full, else what lies behind it (S46).
    fn after_input(&self, conn: &Conn<'_>, data: &[u8]) -> Arg {
        let usual = self.run.scenario.settings.config.read_size_bytes;
        if data.len() >= self.run.read_size(conn.id()).unwrap_or(usual) {
            return Arg::null();
        }
        Arg::text(if conn.input() == Input::Ended { "closed" } else { "timeout" })
    }

    fn reason(&self, reason: &CloseReason) -> Arg {
        let text = reason.to_string();
        match reason {
            CloseReason::Asked => Arg::null(),
            // Whatever ends a handshake but a timeout is the TLS library's to tell.
            _ if self.handshaking && !text.ends_with("timeout") => Arg::text("<error>"),
            _ => Arg::text(text),
        }
    }
}

impl Handler for Player {
    fn on_incoming(&mut self, conn: &mut Conn<'_>, data: &[u8]) {
        self.arrive(conn);
        let after = self.after_input(conn, data);
        self.call(conn, "incoming", vec![Arg::data(data), after]);
    }

    fn on_connect(&mut self, conn: &mut Conn<'_>) {
        self.call(conn, "connect", Vec::new());
    }

    fn on_predrain(&mut self, conn: &mut Conn<'_>) {
        self.call(conn, "predrain", Vec::new());
    }

    fn on_drain(&mut self, conn: &mut Conn<'_>) {
        self.call(conn, "drain", Vec::new());
    }

    fn on_read_timeout(&mut self, conn: &mut Conn<'_>) -> Silence {
        match self.call(conn, "readtimeout", Vec::new()) {
            Value::Null | Value::Bool(false) => Silence::Close,
            _ => Silence::Keep,
        }
    }

    fn on_status(&mut self, conn: &mut Conn<'_>, status: &Status) {
        self.handshaking = false;
        self.call(conn, "status", vec![Arg::text(status.to_string())]);
    }

    fn on_starttls(&mut self, conn: &mut Conn<'_>) {
        self.handshaking = true;
        self.call(conn, "starttls", Vec::new());
    }

    fn on_attach(&mut self, conn: &mut Conn<'_>) {
        let data = std::mem::take(&mut self.data);
        self.call(conn, "attach", vec![Arg::Value(data)]);
    }

    fn on_detach(&mut self, conn: &mut Conn<'_>) {
        self.call(conn, "detach", Vec::new());
    }

    fn on_panic(&mut self, conn: &mut Conn<'_>, message: &str) {
        let settings = &self.run.scenario.settings;
        let record = |name| self.run.record.server("log", name, vec![Arg::text(message)]);
        if !settings.protect {
            // Where an error would leave the loop of the reference.
            record("escaped-error");
        } else if self.listener.on_error {
            record("onerror");
        }
        if settings.protect && settings.fatal {
            conn.abort();
        }
    }

    fn on_disconnect(&mut self, conn: &mut Conn<'_>, reason: &CloseReason) {
        let reason = self.reason(reason);
        self.call(conn, "disconnect", vec![reason]);
    }
}
