//! The service of nearly every event: a line that is simply open has input, and what its handler
//! writes goes out at once. And that of a line which has only been written to.
//!
//! Never: does what [`super::serve`] would not have done; what is in any way special is left to it.
//!
//! Invariants:
//! 1. A line that comes here has an entry in the timer heap at or before its deadline, or is on the
//!    agenda, and input only puts the deadline off: nothing has to be armed.

use super::Reactor;
use super::flush::FLUSH_BYTES;
use super::read::receive;
use super::serve::Cause;
use crate::api::Conn;
use crate::conn::{Channel, Ready, Stage};
use crate::core::{Callback, Core, Door, Held};
use crate::id::ConnId;
use crate::sys::{Event, Sys};
use crate::table::Entry;
use std::io;

impl<S: Sys> Reactor<S> {
    /// Serves what an event speaks of. The line is looked up again after its callback, which may
    /// have moved the table.
    #[inline(always)]
    pub(super) fn serve_event(&mut self, event: Event, held: &mut Held) {
        // The waker's key names nothing: the turn it has begun is all it wants.
        let Some(id) = ConnId::from_key(event.key) else { return };
        let Self { sys, fds, core, rx, .. } = self;
        let Core { table, staging, traffic, now, pulse, first_room, .. } = core;
        let (Some(line), Some(Some(fd))) = (table.line_mut(id), fds.get(id.slot())) else {
            return self.serve_no_line(id, event.ready, held);
        };
        if !line.is_ready_by(event.ready) {
            if line.is_ended_by(event.ready) {
                return self.serve_ended(id, event.ready, held);
            }
            return self.service(id, Cause::Event(event.ready), held);
        }
        pulse.serve(Some(id), line.listener);
        pulse.call(Callback::Incoming);
        std::mem::swap(held, &mut line.handler);
        staging.begin(id, *first_room, Door::Direct);
        let count = match sys.recv(fd, rx) {
            Ok(count @ 1..) => count,
            other => return self.without_input(id, event.ready, held, other),
        };
        let data = if count < rx.len() {
            // Saves the read that would only fail: new input is a new edge.
            line.ready = Ready::WRITABLE;
            &rx[..count]
        } else {
            line.ready.add(event.ready);
            &rx[..]
        };
        line.last_read = *now;
        traffic.bytes_in += count as u64;
        if let Some(handler) = held {
            handler.on_incoming(&mut Conn { core, id, lent: data }, data);
        }
        let Core { table, staging, traffic, .. } = core;
        let line = table.served_mut(id);
        if !staging.is_direct() || !line.is_quiet() {
            return self.finish_simple(id, held);
        }
        let staged = staging.as_slice();
        if staged.is_empty() {
            if staging.is_lent() {
                return self.send_lent(id, held);
            }
        } else {
            match sys.send(fd, staged) {
                Ok(taken) if taken == staged.len() => {
                    traffic.bytes_out += taken as u64;
                    staging.clear_copied();
                }
                result => return self.keep_rest(id, held, result),
            }
        }
        std::mem::swap(held, &mut line.handler);
    }

    /// An event for something else than a line; a listener has a short way as well.
    #[inline(never)]
    fn serve_no_line(&mut self, id: ConnId, event: Ready, held: &mut Held) {
        match self.core.table.entry_mut(id) {
            Some(Entry::Listener(_)) => self.accept(id, held),
            _ => self.service(id, Cause::Event(event), held),
        }
    }

    /// The service of a line whose peer has ended, and which has no more than what is to be read.
    #[inline(never)]
    fn serve_ended(&mut self, id: ConnId, event: Ready, held: &mut Held) {
        let Self { sys, fds, core, rx, .. } = self;
        let Core { table, staging, traffic, now, pulse, first_room, .. } = core;
        let (line, Some(Some(fd))) = (table.served_mut(id), fds.get(id.slot())) else { return };
        line.ready.add(event);
        pulse.serve(Some(id), line.listener);
        std::mem::swap(held, &mut line.handler);
        match receive(sys, fd, rx, line, *now, traffic) {
            Ok(0) if line.owes_nothing() => {
                line.part();
                staging.begin(id, 0, Door::Closed);
                let listener = line.listener;
                self.part(id, listener, held);
            }
            other => {
                staging.begin(id, *first_room, Door::Direct);
                self.take_in_simple(id, held, other);
            }
        }
    }

    /// The read has not brought input.
    #[cold]
    #[inline(never)]
    fn without_input(
        &mut self,
        id: ConnId,
        event: Ready,
        held: &mut Held,
        result: io::Result<usize>,
    ) {
        self.core.line(id).ready.add(event);
        self.no_input(id, held, result);
    }

    /// The callback has lent, and nothing else has happened. Apart from the others, which would
    /// have fewer registers.
    #[inline(never)]
    fn send_lent(&mut self, id: ConnId, held: &mut Held) {
        let Self { sys, fds, core, rx, .. } = self;
        let Core { table, staging, traffic, .. } = core;
        let Some(Some(fd)) = fds.get(id.slot()) else { return self.finish(id, held) };
        let piece = staging.piece(rx);
        match sys.send(fd, piece) {
            Ok(taken) if taken == piece.len() => {
                traffic.bytes_out += taken as u64;
                staging.clear();
                std::mem::swap(held, &mut table.served_mut(id).handler);
            }
            result => self.keep_rest(id, held, result),
        }
    }

    /// The callback has lent, or there may be more input: still simple. All else is not.
    #[inline(never)]
    fn finish_simple(&mut self, id: ConnId, held: &mut Held) {
        let Self { sys, fds, core, rx, .. } = self;
        let Core { table, staging, traffic, agenda, .. } = core;
        let line = table.served_mut(id);
        let simple = staging.is_direct() && line.is_quiet_but_readable();
        let (true, Some(Some(fd))) = (simple, fds.get(id.slot())) else {
            return self.finish(id, held);
        };
        if !staging.is_empty() {
            let piece = staging.piece(rx);
            match sys.send(fd, piece) {
                Ok(taken) if taken == piece.len() => {
                    traffic.bytes_out += taken as u64;
                    staging.clear();
                }
                result => return self.keep_rest(id, held, result),
            }
        }
        if line.ready.has(Ready::READABLE) && !line.on_agenda {
            line.on_agenda = true;
            agenda.push(id);
        }
        std::mem::swap(held, &mut line.handler);
    }

    /// Sends what was queued for a line from elsewhere, such as one message for many, when that is
    /// all there is to do for it and nobody is to be told; false when it is to be served.
    #[inline]
    pub(super) fn sends_queued(&mut self, id: ConnId) -> bool {
        let Self { sys, fds, core, .. } = self;
        let Core { table, traffic, spare, queued, now, .. } = core;
        let (Some(line), Some(Some(fd))) = (table.line_mut(id), fds.get(id.slot())) else {
            return false;
        };
        let quiet = line.is_quiet() && matches!(line.stage, Stage::Open(Channel::Plain));
        let Some(piece) = line.outbox.only().filter(|piece| quiet && piece.len() <= FLUSH_BYTES)
        else {
            return false;
        };
        let offered = piece.len();
        match sys.send(fd, piece) {
            Ok(taken) if taken == offered => {
                line.last_progress = *now;
                traffic.bytes_out += taken as u64;
                line.outbox.clear_into(spare);
                *queued -= std::mem::take(&mut line.counted);
                true
            }
            result => {
                self.sent_in_part(id, offered, result);
                false
            }
        }
    }

    #[cold]
    fn sent_in_part(&mut self, id: ConnId, offered: usize, result: io::Result<usize>) {
        if let Some(mut out) = self.out(id) {
            let taken = out.account(result, offered);
            let outbox = &mut self.core.line(id).outbox;
            outbox.consume(taken);
            outbox.trim();
        }
        self.core.recount(id);
    }

    /// The kernel has not taken all that was written: the rest waits, and so does what is read.
    #[cold]
    #[inline(never)]
    fn keep_rest(&mut self, id: ConnId, held: &mut Held, result: io::Result<usize>) {
        self.keep_staged(id, result);
        self.conclude_other(id, held);
    }
}
