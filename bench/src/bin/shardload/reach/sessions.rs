//! The TLS sessions of earlier connections, for later ones to resume.
//!
//! What rustls brings keeps 8 tickets of a server, too few for many connections that begin at
//! once: most handshakes would be full ones. So this keeps as many as there may be connections.
//!
//! Never: gives a TLS 1.3 ticket twice (RFC 8446 appendix C.4).

use shardpoll::tls::rustls::NamedGroup;
use shardpoll::tls::rustls::client::{
    ClientSessionStore, Tls12ClientSessionValue, Tls13ClientSessionValue,
};
use shardpoll::tls::rustls::pki_types::ServerName;
use std::collections::VecDeque;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Tickets that wait at most; the oldest make room. A ticket is about a kilobyte.
const MOST: usize = 16 * 1024;

/// Those of one target, which all have one name.
#[derive(Default)]
pub(super) struct Sessions {
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    group: Option<NamedGroup>,
    tls12: Option<Tls12ClientSessionValue>,
    tls13: VecDeque<Tls13ClientSessionValue>,
}

impl Sessions {
    /// What a thread has left there when it panicked is whole: each change is one step.
    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ClientSessionStore for Sessions {
    fn set_kx_hint(&self, _: ServerName<'static>, group: NamedGroup) {
        self.kept().group = Some(group);
    }

    fn kx_hint(&self, _: &ServerName<'_>) -> Option<NamedGroup> {
        self.kept().group
    }

    fn set_tls12_session(&self, _: ServerName<'static>, session: Tls12ClientSessionValue) {
        self.kept().tls12 = Some(session);
    }

    fn tls12_session(&self, _: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        self.kept().tls12.clone()
    }

    fn remove_tls12_session(&self, _: &ServerName<'static>) {
        self.kept().tls12 = None;
    }

    fn insert_tls13_ticket(&self, _: ServerName<'static>, ticket: Tls13ClientSessionValue) {
        let tickets = &mut self.kept().tls13;
        if tickets.len() == MOST {
            tickets.pop_front();
        }
        tickets.push_back(ticket);
    }

    fn take_tls13_ticket(&self, _: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        // The newest is the one that a server is the least likely to have forgotten.
        self.kept().tls13.pop_back()
    }
}

impl fmt::Debug for Sessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sessions")
            .field("tickets", &self.kept().tls13.len())
            .finish_non_exhaustive()
    }
}
