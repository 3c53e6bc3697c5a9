//! Upgrades in the hands of simulated handlers: a request in clear, an answer in clear, and the
//! rest of both streams in TLS.
//!
//! Never: writes in clear what is not the request or the answer, so that a peer who hears anything
//! else in clear has caught the loop.

use super::actor::Actor;
use super::history::Callback;
use shardpoll_reactor::tls::rustls::pki_types::ServerName;
use shardpoll_reactor::{Conn, StartTlsError, TlsPlan, Written};

/// What the client sends in clear, in bytes.
pub const REQUEST: u64 = 20;

/// What the server sends in clear, in bytes: too much for a small window.
pub const ANSWER: u64 = 3000;

/// Where a connection is with its upgrade.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum Upgrade {
    /// It is none of those.
    #[default]
    Never,
    /// It has yet to speak in clear, and nothing else.
    Due,
    /// `start_tls` was heard.
    Begun,
    /// Its handshake is done.
    Done,
}

impl Actor {
    pub fn upgrade(&self) -> Upgrade {
        self.shared.borrow().records[self.me].upgrade
    }

    /// Makes this connection one that is to be upgraded.
    pub fn plan_upgrade(&self) {
        self.shared.borrow_mut().records[self.me].upgrade = Upgrade::Due;
    }

    /// Something has come, or the connection stands: the upgrade goes on.
    pub fn carry_upgrade(&self, conn: &mut Conn<'_>, callback: Callback) {
        if self.upgrade() != Upgrade::Due || self.shared.borrow().records[self.me].closing {
            return;
        }
        let got = self.shared.borrow().records[self.me].got;
        let is_client = conn.listener().is_none();
        match callback {
            Callback::Connect if is_client => self.say_in_clear(conn, REQUEST),
            Callback::Incoming if is_client && got == ANSWER => self.start_tls(conn),
            Callback::Incoming if !is_client && got == REQUEST => {
                self.say_in_clear(conn, ANSWER);
                self.start_tls(conn);
            }
            _ => {}
        }
    }

    fn say_in_clear(&self, conn: &mut Conn<'_>, bytes: u64) {
        let len = usize::try_from(bytes).expect("a few");
        let data = self.shared.borrow().say(self.me, len);
        let written = conn.write(&data);
        let record = &mut self.shared.borrow_mut().records[self.me];
        if matches!(written, Written::Ok | Written::High) {
            record.written += bytes;
            record.flow.look_at_queue(conn.backlog());
        } else {
            // The other side would wait for ever.
            record.closing = true;
            conn.close();
        }
    }

    fn start_tls(&self, conn: &mut Conn<'_>) {
        let plan = if conn.listener().is_none() {
            let name = ServerName::try_from("localhost").expect("a name");
            TlsPlan::client(self.place.client.clone(), name)
        } else {
            TlsPlan::server(self.place.server.clone())
        };
        let offered = conn.start_tls_available();
        let result = conn.start_tls(plan);
        let heard = result.is_ok();
        let mut history = self.shared.borrow_mut();
        let record = &mut history.records[self.me];
        match result {
            Ok(()) => {
                record.upgrade = Upgrade::Begun;
                record.tls = true;
                // What TLS itself has to say is not held back.
                record.flow.locked = record.flow.locked.filter(|_| conn.backlog() > 0);
            }
            // It was closed, or has ended its side, before it came to this.
            Err(StartTlsError::Closing) if record.closing || record.half_closed => {}
            Err(error) => history.violation(format!("{}: no upgrade: {error}", self.me)),
        }
        if offered != heard {
            let text = format!("{}: an upgrade was available: {offered}", self.me);
            history.violation(text);
        }
        drop(history);
        match self.roll(20) {
            0..2 => {
                self.shared.borrow_mut().records[self.me].closing = true;
                conn.close();
            }
            2 => {
                self.shared.borrow_mut().records[self.me].aborted = true;
                conn.abort();
            }
            _ => {}
        }
    }
}
