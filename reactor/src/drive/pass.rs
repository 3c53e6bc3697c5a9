//! The short way of a small chunk through a link: from the read buffer to the target's kernel, with
//! no queue between.
//!
//! The source's service reads and is concluded; the target's follows at once: its predrain, and the
//! send. Both must be open, plain and without anything else that a service would look for; all
//! others take the long way (`links::forward`).
//!
//! Never: serves the target before the service of the source is over.
//!
//! Invariants:
//! 1. What is passed lies in `rx`, which nobody reads into before it is sent or queued.

use super::Reactor;
use super::read::receive;
use super::serve::Cause;
use crate::conn::Ready;
use crate::core::{Callback, Core, Door, Held};
use crate::id::ConnId;
use crate::sys::Sys;

/// A chunk on its way.
#[derive(Clone, Copy)]
pub(super) struct Passing {
    from: ConnId,
    to: ConnId,
    count: usize,
}

impl<S: Sys> Reactor<S> {
    /// The read of a line whose input can go the short way; false when it cannot.
    pub(super) fn takes_short_way(&mut self, id: ConnId, cause: Cause) -> bool {
        let Self { sys, fds, core, rx, .. } = self;
        let room = rx.len().min(core.queue_cap);
        let Some((to, size)) = core.short_way(id).filter(|(_, size)| *size <= room) else {
            return false;
        };
        let size = if size == 0 { room } else { size };
        let Some(Some(fd)) = fds.get(id.slot()).filter(|_| !matches!(cause, Cause::Owed(_))) else {
            return false;
        };
        let Core { table, traffic, now, .. } = core;
        let line = table.served_mut(id);
        match receive(sys, fd, &mut rx[..size], line, *now, traffic) {
            Ok(count @ 1..) => {
                line.is_bulk(count == size);
                self.passing = Some(Passing { from: id, to, count });
            }
            Ok(_) => self.input_ended(id),
            Err(error) => self.read_failed(id, error),
        }
        true
    }

    /// Concludes a service with a chunk on its way: that of its source, whose target's follows; or
    /// that of its target, whose predrain has panicked.
    #[inline(never)]
    pub(super) fn conclude_passing(&mut self, id: ConnId, held: &mut Held) {
        let Some(passing) = self.passing.take() else { return };
        if id == passing.to {
            self.send_passed(passing);
            return self.conclude_long(id, held);
        }
        self.conclude_short(id, held);
        self.serve_target(passing, held);
    }

    fn serve_target(&mut self, passing: Passing, held: &mut Held) {
        let to = passing.to;
        let Core { table, staging, pulse, .. } = &mut self.core;
        let line = table.served_mut(to);
        pulse.serve(Some(to), line.listener);
        staging.begin(to, 0, Door::Closed);
        std::mem::swap(held, &mut line.handler);
        self.passing = Some(passing);
        self.core.call_out(to, held, Callback::Predrain, |h, c| h.on_predrain(c));
        self.passing = None;
        if self.send_passed(passing) {
            self.conclude_short(to, held);
        } else {
            self.conclude_long(to, held);
        }
    }

    /// Sends what is passed, or queues it behind what its predrain has written; whether it went by
    /// no queue.
    fn send_passed(&mut self, passing: Passing) -> bool {
        let Passing { from, to, count } = passing;
        let at_once = self.core.line(to).takes_at_once();
        if at_once {
            self.send_read(to, count);
        } else {
            let now = self.core.now;
            self.core.line(to).keep(&self.rx[..count], now);
            self.core.recount(to);
            if self.core.line(to).ready.has(Ready::WRITABLE) && self.core.line(to).may_flush() {
                self.send(to);
            }
        }
        self.core.hold_source(from, to);
        at_once
    }

    /// Ends a service that has only passed something, with as little as that needs.
    fn conclude_short(&mut self, id: ConnId, held: &mut Held) {
        let Core { table, staging, spans, .. } = &mut self.core;
        let (line, alarm) = table.served_with_alarm(id);
        let at_rest = line.is_idle_link()
            && !line.ready.has(Ready::READABLE)
            && line.read_deadline(spans) >= alarm.due;
        if !at_rest {
            return self.conclude_long(id, held);
        }
        staging.end();
        std::mem::swap(held, &mut line.handler);
    }
}
