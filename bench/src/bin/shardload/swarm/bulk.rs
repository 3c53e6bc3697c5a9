//! A connection that carries as much as it can, one way.
//!
//! Never: checks what comes: a server that sends by itself sends what it likes.

use super::opening::{Role, Ticket};
use super::plan::BULK_DEPTH;
use super::{Phase, Swarm, Work};
use crate::tally::Fault;
use shardpoll::{CloseReason, Conn, Handler, Local, Silence};
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

/// Makes [`Bulk`] connections.
pub(super) struct Member;

impl Role for Member {
    fn usable(&self, swarm: &Rc<Swarm>, conn: &mut Conn<'_>, ticket: &Ticket) {
        let (size, sends) = match swarm.plan.work {
            Work::Upload { size } => (size, true),
            Work::Download { size } => (size, false),
            _ => unreachable!("bulk is one of these"),
        };
        let swarm = Rc::clone(swarm);
        conn.set_handler(Bulk { swarm, number: ticket.number, size, sends, queued: 0, rest: 0 });
    }

    fn failed(&self, swarm: &Rc<Swarm>, local: &mut Local<'_>, _ticket: &Ticket) {
        swarm.decided(local);
    }
}

thread_local! {
    /// What is sent, over and over: the same for all connections of this shard.
    static PIECE: RefCell<Arc<[u8]>> = RefCell::new(Arc::new([]));
}

fn piece(size: usize) -> Arc<[u8]> {
    PIECE.with_borrow_mut(|piece| {
        if piece.len() != size {
            *piece = vec![b'u'; size].into();
        }
        Arc::clone(piece)
    })
}

struct Bulk {
    swarm: Rc<Swarm>,
    number: u64,
    size: usize,
    sends: bool,
    /// Pieces that the kernel has not taken whole.
    queued: u64,
    /// Bytes received that make no whole piece yet.
    rest: usize,
}

impl Bulk {
    fn begin(&mut self, conn: &mut Conn<'_>) {
        conn.resume();
        if self.sends {
            self.send(conn);
        }
    }

    fn send(&mut self, conn: &mut Conn<'_>) {
        while self.queued < BULK_DEPTH as u64 {
            // A refusal is told by `on_disconnect`.
            conn.write_shared(piece(self.size));
            self.queued += 1;
        }
    }
}

impl Handler for Bulk {
    fn on_attach(&mut self, conn: &mut Conn<'_>) {
        // What a server sends before the window is not to be measured.
        conn.pause();
        let id = conn.id();
        self.swarm.enter(&mut conn.local(), id);
    }

    fn on_incoming(&mut self, _conn: &mut Conn<'_>, data: &[u8]) {
        let state = &mut *self.swarm.state.borrow_mut();
        state.tally.received_bytes += data.len() as u64;
        if !self.sends {
            self.rest += data.len();
            state.tally.operations += (self.rest / self.size) as u64;
            self.rest %= self.size;
        }
    }

    fn on_drain(&mut self, conn: &mut Conn<'_>) {
        let is_running = {
            let state = &mut *self.swarm.state.borrow_mut();
            state.tally.operations += self.queued;
            state.tally.sent_bytes += self.queued * self.size as u64;
            self.queued = 0;
            state.phase == Phase::Running
        };
        if self.sends && is_running {
            self.send(conn);
        }
    }

    fn on_read_timeout(&mut self, _conn: &mut Conn<'_>) -> Silence {
        // A server that takes and does not answer is silent by right.
        if self.sends { Silence::Keep } else { Silence::Close }
    }

    fn on_disconnect(&mut self, conn: &mut Conn<'_>, reason: &CloseReason) {
        let text = || format!("connection {}: {reason}", self.number);
        self.swarm.gone(&mut conn.local(), Fault::of(reason), 0, text);
    }
}

impl Swarm {
    pub(super) fn begin_bulk(self: &Rc<Self>, local: &mut Local<'_>) {
        let up = self.state.borrow().up.clone();
        for id in up {
            local.with::<Bulk, _>(id, Bulk::begin);
        }
    }
}
