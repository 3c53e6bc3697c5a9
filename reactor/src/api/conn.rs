//! The cursor on one connection that a callback is lent.
//!
//! Never: outlives the callback, or calls the kernel.
//!
//! Invariants:
//! 1. A slot is freed only by the loop and only while no cursor exists, so a cursor's id is alive.

use super::{Addr, CloseReason, Handler, Local, WhenFull};
use crate::conn::{Chunk, Line, Marks, Spare, Stage};
use crate::core::Core;
use crate::id::{ConnId, ListenerId};
use shardpoll_timers::Tick;
use shardpoll_tls as tls;
use std::fmt;
use std::sync::Arc;

/// A cursor on one live connection, lent for one callback.
///
/// Everything done through it takes effect when the callback returns: writes are flushed together,
/// and a connection that was closed is told so after its running callback, never inside it.
pub struct Conn<'a> {
    pub(crate) core: &'a mut Core,
    pub(crate) id: ConnId,
    /// The input that the running callback was given, if it lies in the shard's read buffer.
    pub(crate) lent: &'a [u8],
}

/// What became of a write.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Written {
    /// The bytes are queued.
    Ok,
    /// They are queued, and more is queued now than the high water mark: whoever can wait had
    /// better wait for [`Handler::on_low_water`].
    High,
    /// Nothing was taken: the queue of the connection, or of its shard, is full. Unless
    /// [`WhenFull::Refuse`](crate::WhenFull) holds, or writes are paused
    /// ([`Conn::pause_writes`]), the connection ends with [`CloseReason::BufferFull`], and there is
    /// nothing to do here (S69).
    Full,
    /// Nothing was taken: the connection is closing or gone (S72), or our side of it has ended.
    Closed,
}

impl Conn<'_> {
    /// The name of this connection, to keep and to reach it by later.
    #[must_use]
    pub fn id(&self) -> ConnId {
        self.id
    }

    /// The address of the peer.
    #[must_use]
    pub fn peer(&self) -> &Addr {
        &self.line().peer
    }

    /// When the connection was accepted, or asked for; [`Local::wall_time`] gives the calendar's
    /// time of it (S154).
    #[must_use]
    pub fn opened(&self) -> Tick {
        self.line().opened
    }

    /// The listener that accepted the connection; `None` for an outgoing one (S153).
    #[must_use]
    pub fn listener(&self) -> Option<ListenerId> {
        self.line().listener
    }

    /// Queues a copy of `data` (S56).
    ///
    /// It is sent when the callback returns, together with whatever else was written. Before
    /// `on_connect` it waits for the connection, and under TLS for the end of the handshake.
    #[inline]
    pub fn write(&mut self, data: &[u8]) -> Written {
        if self.core.staging.take(self.id, data) { Written::Ok } else { self.write_large(data) }
    }

    /// Apart from the rest, which needs more registers.
    #[cold]
    #[inline(never)]
    fn write_large(&mut self, data: &[u8]) -> Written {
        let Self { core, id, lent } = self;
        if core.staging.lend(*id, data, core.staged_cap, lent) {
            return Written::Ok;
        }
        self.write_queued(data)
    }

    /// Cold beside the other way, so that its arguments cost that one no register.
    #[cold]
    #[inline(never)]
    fn write_queued(&mut self, data: &[u8]) -> Written {
        if self.core.staging.take_large(self.id, data, self.core.staged_cap, self.lent) {
            return Written::Ok;
        }
        self.queue(data.len(), |line, now, _| line.keep(data, now))
    }

    /// Queues `data` without copying it; worth it from some 16 KiB on.
    pub fn write_vec(&mut self, data: Vec<u8>) -> Written {
        self.write_chunk(Chunk::Owned(data))
    }

    /// Queues a reference to `data`: one buffer, many receivers.
    pub fn write_shared(&mut self, data: Arc<[u8]>) -> Written {
        self.write_chunk(Chunk::Shared(data))
    }

    fn write_chunk(&mut self, chunk: Chunk) -> Written {
        self.queue(chunk.bytes().len(), |line, now, spare| {
            line.keep(&[], now);
            line.outbox.push_chunk_into(chunk, spare);
        })
    }

    fn queue(&mut self, len: usize, push: impl FnOnce(&mut Line, Tick, &mut Spare)) -> Written {
        if self.core.staging.holds_for(self.id) {
            self.core.unstage(self.id, self.lent);
        }
        let now = self.core.now;
        let line = self.core.table.served_mut(self.id);
        if !line.takes_writes() {
            return Written::Closed;
        }
        if len > self.core.queue_cap.saturating_sub(line.queued())
            || len > self.core.shard_queue_cap.saturating_sub(self.core.queued)
        {
            return self.overflow();
        }
        push(line, now, &mut self.core.spare);
        let high = line.queued() > self.core.config.high_water_bytes;
        self.core.recount(self.id);
        self.core.revisit(self.id);
        if high { Written::High } else { Written::Ok }
    }

    #[cold]
    fn overflow(&mut self) -> Written {
        self.core.pulse.counters.refused_writes.add(1);
        // While writes are paused the peer has no part in it: the writer is told, and that is all.
        let line = self.line();
        if line.when_full != WhenFull::Refuse && !line.marks.has(Marks::WRITE_LOCK) {
            self.fail(CloseReason::BufferFull);
        }
        Written::Full
    }

    /// Queues what came from a link, which has looked for room.
    pub(crate) fn forward(&mut self, data: &[u8]) -> usize {
        self.core.unstage(self.id, self.lent);
        let now = self.core.now;
        let line = self.core.table.served_mut(self.id);
        line.keep(data, now);
        let queued = line.queued();
        self.core.recount(self.id);
        self.core.revisit(self.id);
        queued
    }

    pub(super) fn fail(&mut self, reason: CloseReason) {
        self.core.unstage(self.id, self.lent);
        self.core.fail(self.id, reason);
    }

    /// How many bytes are queued and not yet given to the kernel; what TLS has sealed already
    /// counts with what TLS added.
    #[must_use]
    pub fn backlog(&self) -> usize {
        let core = &*self.core;
        let staged = if core.staging.holds_for(self.id) { core.staging.len() } else { 0 };
        self.line().queued() + staged
    }

    /// Ends the connection once everything queued has been sent (S74, S75). Before it is
    /// established, or its TLS handshake done, nothing can be sent: what is queued is dropped; but
    /// what was written before an upgrade still leaves in clear.
    ///
    /// Input that still comes is discarded. A second call does nothing (S78).
    pub fn close(&mut self) {
        self.core.close(self.id, CloseReason::Asked);
    }

    /// Ends our side once everything queued has been sent, and goes on reading: FIN, and under TLS
    /// close_notify before it. The connection ends when the peer's side has ended too.
    ///
    /// Nothing can be written any more. On a connection that is yet to be established, or in its
    /// TLS handshake, all this happens once it stands.
    pub fn half_close(&mut self) {
        self.core.half_close(self.id);
    }

    /// Ends the connection now and silently: queued output is lost, nothing more is called (S79).
    pub fn abort(&mut self) {
        self.line_mut().told = true;
        self.fail(CloseReason::Asked);
    }

    /// Ends the connection now, and its handler is told, with [`CloseReason::Asked`]: queued output
    /// is lost. What a cap or a deadline does; [`abort`](Self::abort) is the silent way.
    pub fn cut(&mut self) {
        self.fail(CloseReason::Asked);
    }

    /// Hands the connection to another handler when the running callback returns (S31).
    ///
    /// The old one is told [`on_detach`](Handler::on_detach) and dropped, the new one
    /// [`on_attach`](Handler::on_attach); no `on_connect` is repeated. On a connection that is
    /// closing or has ended the new one is dropped.
    pub fn set_handler(&mut self, next: impl Handler) {
        let line = self.line_mut();
        if line.told || line.is_ending() {
            return;
        }
        line.marks.add(Marks::ATTACH);
        if self.core.staging.holds_for(self.id) {
            self.core.staging.close();
        }
        self.core.next_handlers.push((self.id, Box::new(next)));
        self.core.revisit(self.id);
    }

    /// What TLS has agreed on so far, from the beginning of the handshake to the end of
    /// [`Handler::on_disconnect`](crate::Handler::on_disconnect); `None` without TLS (S119).
    #[must_use]
    pub fn tls(&self) -> Option<tls::Info<'_>> {
        let line = self.line();
        line.stage.tls().or(line.ended_tls.as_deref()).map(|tls| tls.session.info())
    }

    /// This shard: its timers and other connections.
    pub fn local(&mut self) -> Local<'_> {
        Local { core: self.core, lent: self.lent }
    }

    pub(super) fn line(&self) -> &Line {
        self.core.table.line(self.id).expect("a cursor's connection is alive")
    }

    pub(super) fn line_mut(&mut self) -> &mut Line {
        self.core.line(self.id)
    }
}

impl fmt::Debug for Conn<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let line = self.line();
        let ending = !matches!(line.stage, Stage::Open(_));
        f.debug_struct("Conn")
            .field("id", &self.id)
            .field("peer", &line.peer)
            .field("backlog", &self.backlog())
            .field("open", &!ending)
            .finish()
    }
}
