//! PROXY headers: read in front of a connection, before TLS, its acceptor and its handler.
//!
//! Never: takes a byte of what lies behind a header.
//!
//! Invariants:
//! 1. A line that waits for its header has no handler, and counts as told: nobody hears of it.
//! 2. A listener that has ended is kept beside the table while such lines of it are left, since its
//!    acceptor is theirs.

use super::Reactor;
use super::read::receive;
use crate::api::{Addr, CloseReason, Peer};
use crate::conn::{Ready, Stage};
use crate::core::{Core, Held};
use crate::id::ConnId;
use crate::proxy::{ProxyError, ProxyHeader};
use crate::sys::Sys;
use std::sync::Arc;

/// How often one line is read in a service: a header in one piece takes fewer, one of the largest
/// that comes to a small buffer has several.
const MOST_READS: u32 = 32;

impl<S: Sys> Reactor<S> {
    /// Reads the header of a line; whether it was completed, and the line goes on like any other.
    #[cold]
    pub(super) fn read_preface(&mut self, id: ConnId, held: &mut Held) -> bool {
        for _ in 0..MOST_READS {
            let Self { sys, fds, core, rx, .. } = self;
            let Core { table, traffic, now, .. } = core;
            let line = table.served_mut(id);
            let (Stage::Preface(preface), Some(Some(fd))) = (&line.stage, fds.get(id.slot()))
            else {
                return false;
            };
            if !line.ready.has(Ready::READABLE) {
                return false;
            }
            let size = preface.needs().min(rx.len());
            let rx = &mut rx[..size];
            match receive(sys, fd, rx, line, *now, traffic) {
                Ok(0) => return self.refuse_header(id, ProxyError::Ended),
                Ok(count) => {
                    let Stage::Preface(preface) = &mut line.stage else { return false };
                    match preface.take(&rx[..count]) {
                        Ok(None) => {}
                        Ok(Some(header)) => return self.introduce(id, held, header),
                        Err(error) => return self.refuse_header(id, error),
                    }
                }
                Err(error) => {
                    self.read_failed(id, error);
                    let reset = matches!(self.core.line(id).stage, Stage::Closed(_));
                    self.core.pulse.counters.bad_proxy_headers.add(u64::from(reset));
                    return false;
                }
            }
        }
        false
    }

    /// Somebody who is no sender of headers has come to a listener for those only.
    #[cold]
    pub(super) fn refuse_sender(&mut self, addr: &Addr) {
        self.core.pulse.counters.refused_senders.add(1);
        if let Some(others) = self.no_headers.speak(self.core.now) {
            log::warn!("{addr} turned away: no sender of PROXY headers; {others} others before it");
        }
    }

    /// What came is no header, or none came.
    #[cold]
    pub(super) fn refuse_header(&mut self, id: ConnId, error: ProxyError) -> bool {
        let now = self.core.now;
        self.core.pulse.counters.bad_proxy_headers.add(1);
        let Self { core, no_headers, .. } = self;
        let line = core.line(id);
        if let Some(others) = no_headers.speak(now) {
            log::warn!("connection {id} of {}: {error}; {others} others before it", line.peer);
        }
        line.fail(CloseReason::Proxy(error));
        false
    }

    /// The header is complete: the line gets its address, its session and its handler.
    fn introduce(&mut self, id: ConnId, held: &mut Held, header: ProxyHeader) -> bool {
        let now = self.core.now;
        self.core.pulse.counters.proxy_headers.add(1);
        let header = Arc::new(header);
        let line = self.core.line(id);
        line.introduce(&header);
        let Stage::Preface(preface) = &mut line.stage else { return false };
        let (key, tls) = (preface.listener, preface.tls.take());
        let (addr, mut origin) = (line.peer.clone(), line.origin);
        let Some(listener) = line.listener else { return false };
        let enters = self.enter_peer(listener, &addr, &mut origin);
        let line = self.core.line(id);
        line.origin = origin;
        if !enters {
            line.fail(CloseReason::Asked);
            return false;
        }
        let peer = Peer { addr, listener, proxy: Some(header) };
        let Some((stage, owed, handler)) = self.greet(key, tls.as_ref(), &peer) else {
            self.core.line(id).fail(CloseReason::Internal);
            return false;
        };
        let line = self.core.line(id);
        line.enter(stage);
        line.marks.add(owed);
        line.begins_to_listen(now);
        line.last_progress = now;
        match handler {
            Some(handler) => {
                line.told = false;
                *held = Some(handler);
            }
            None => line.fail(CloseReason::HandlerPanic),
        }
        self.forget_ended_listeners();
        true
    }

    /// Lines that wait for their headers may have been the last of listeners that have ended.
    pub(super) fn forget_ended_listeners(&mut self) {
        for (key, listener) in std::mem::take(&mut self.ended_listeners) {
            self.tell_end(key, listener);
        }
    }
}
