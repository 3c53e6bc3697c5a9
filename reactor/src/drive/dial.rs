//! Outgoing connections, and the other wishes that need a descriptor.
//!
//! Never: connects inside a callback.

use super::Reactor;
use super::serve::Cause;
use crate::api::CloseReason;
use crate::conn::{Channel, Marks, Ready, Stage, TlsChannel, TlsPlan};
use crate::core::Wish;
use crate::id::ConnId;
use crate::sys::{Interest, Sys};
use shardpoll_timers::Tick;
use shardpoll_tls::{Error, Session};
use std::io;
use std::net::SocketAddr;

impl<S: Sys> Reactor<S> {
    #[inline]
    pub(super) fn carry_out_wishes(&mut self) {
        if !self.core.wishes.is_empty() {
            let wishes = std::mem::take(&mut self.core.wishes);
            self.carry_out(wishes);
        }
    }

    fn carry_out(&mut self, wishes: Vec<Wish>) {
        for wish in wishes {
            match wish {
                Wish::Connect(id, to) => self.dial(id, to),
                Wish::CloseListener(id) => self.free_listener(id),
                Wish::Watch(id) => self.settle_watch(id),
                Wish::SettleListener(id) => self.settle_listener(id),
            }
        }
    }

    fn dial(&mut self, id: ConnId, to: SocketAddr) {
        // It may have been closed before it was begun.
        if !self.core.table.line(id).is_some_and(|line| line.is_connecting()) {
            return;
        }
        let begun = self.sys.connect(to).and_then(|fd| {
            self.sys.register(&fd, Interest::Stream, id.key())?;
            Ok(fd)
        });
        match begun {
            Ok(fd) => self.set_fd(id, fd),
            Err(error) => self.core.line(id).fail(CloseReason::Connect(error)),
        }
        self.serve(id, Cause::Asked);
    }

    /// An event for a connection that is being established: looks what has become of it.
    pub(super) fn finish_dial(&mut self, id: ConnId) {
        let now = self.core.now;
        let line = self.core.line(id);
        if !line.ready.has(Ready::WRITABLE) && !line.ready.has(Ready::ENDED) {
            return;
        }
        let Some(Some(fd)) = self.fds.get(id.slot()) else {
            return;
        };
        match self.sys.connected(fd) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                line.ready.clear(Ready::WRITABLE);
                return;
            }
            Err(error) => return line.fail(CloseReason::Connect(error)),
        }
        line.last_read = now;
        line.last_progress = now;
        match line.stage.take() {
            Stage::Connecting(None) => {
                line.stage = Stage::Open(Channel::Plain);
                line.marks.add(Marks::CONNECT);
                line.marks.add(Marks::DRAIN);
            }
            Stage::Connecting(Some(plan)) => match begin_tls(&plan, now) {
                Ok(tls) => {
                    line.stage = Stage::Handshaking(tls);
                    line.marks.add(Marks::STARTTLS);
                }
                Err(error) => line.stage = Stage::Closed(CloseReason::from_tls(error)),
            },
            other => line.stage = other,
        }
    }
}

fn begin_tls(plan: &TlsPlan, now: Tick) -> Result<Box<TlsChannel>, Error> {
    let session = Session::client(&plan.context, plan.name.clone())?;
    let mut tls = TlsChannel::new(session, now);
    let mut wire = Vec::new();
    tls.session.start(&mut wire)?;
    tls.owed.extend(&wire);
    Ok(tls)
}
