//! Links between the lines of one loop: who is written what is read from whom, and what an end at
//! one side means for the other.
//!
//! Never: reads or sends; calls user code.
//!
//! Invariants:
//! 1. A line is among the sources of another exactly while it is linked to it.
//! 2. A line is closed for [`Reason::Linked`] only while it is linked to one with something queued,
//!    whose flush will open it, or to one that is about to pull (`drive/splice`).
//! 3. What is read from a linked line is queued at its target, or not read at all.
//! 4. A link fills no queue beyond the cap of a connection, and that of the shard only by one read
//!    into an empty queue.

use crate::api::{CloseReason, Conn};
use crate::conn::{Channel, Fin, Line, Link, Marks, Ready, Reason, Stage};
use crate::core::Core;
use crate::id::ConnId;

/// How many chunks are spliced at once at the most; a pipe seldom takes that many.
const SPLICED_CHUNKS: usize = 16;

impl Core {
    /// Links a line to another one; both are there.
    pub(crate) fn link(&mut self, from: ConnId, mut link: Link) {
        // Below the cap, so that a target with no more than this has room.
        link.high = link.high.min(self.queue_cap - 1);
        link.low = link.low.min(link.high);
        let line = self.line(from);
        let old = line.tune().link.replace(link);
        line.gate.open(Reason::Linked);
        if self.staging.holds_for(from) || self.staging.holds_for(link.to) {
            // A line with limits of its own is not simply open any more.
            self.staging.close();
        }
        let target = self.line(link.to);
        target.tune().sources.push(from);
        // One pair of predrain and drain, of which its handler hears the first (S144).
        target.marks.add(Marks::DRAIN);
        self.revisit(link.to);
        self.revisit(from);
        if let Some(old) = old {
            // Behind the new one, which may lead to the same target and pass the same end on.
            self.forget_source(from, old.to);
        }
    }

    /// Ends the link from a line; false when there was none.
    pub(crate) fn unlink(&mut self, from: ConnId) -> bool {
        let Some(line) = self.table.line_mut(from) else { return false };
        let Some(link) = line.tuning.as_mut().and_then(|tuning| tuning.link.take()) else {
            return false;
        };
        let was_closed = line.gate.open(Reason::Linked);
        if was_closed {
            line.begins_to_listen(self.now);
        }
        self.forget_source(from, link.to);
        self.revisit(from);
        true
    }

    /// A line is no source of this target any more.
    pub(crate) fn forget_source(&mut self, from: ConnId, to: ConnId) {
        if let Some(target) = self.table.line_mut(to) {
            if let Some(tuning) = &mut target.tuning {
                tuning.pulls = tuning.pulls.filter(|pull| pull.from != from);
                if let Some(at) = tuning.sources.iter().position(|source| *source == from) {
                    tuning.sources.remove(at);
                }
            }
            // The end it has waited for will not come.
            if target.gate.has(Reason::Ended) && !self.awaits_an_end(to) {
                self.half_close(to);
            }
        }
    }

    /// How much of what is read from a line the target of its link has room for. With 0 it is not
    /// read any more: the target has enough, or takes nothing, which dissolves the link.
    pub(crate) fn room_at_target(&mut self, from: ConnId, link: Link) -> usize {
        let target = self.table.line(link.to).filter(|to| !to.told && to.takes_writes());
        let Some(queued) = target.map(|to| to.queued()) else {
            self.forget_source(from, link.to);
            self.orphan(from);
            return 0;
        };
        let room = self.queue_cap.saturating_sub(queued);
        let shard_room = self.shard_queue_cap.saturating_sub(self.queued);
        if queued > link.high || queued > 0 && shard_room == 0 {
            self.line(from).gate.close(Reason::Linked);
            return 0;
        }
        // One read for an empty queue is always granted: its flush is what brings the next.
        if queued == 0 { room } else { room.min(shard_room) }
    }

    /// Writes what was read from a line to its target.
    pub(crate) fn forward(&mut self, from: ConnId, link: Link, data: &[u8]) {
        let queued = Conn { core: self, id: link.to, lent: &[] }.forward(data);
        if queued > link.high {
            self.line(from).gate.close(Reason::Linked);
        }
    }

    /// Where a small chunk of a line can go the short way (`drive/pass`), and how much is read at
    /// once; 0: as usual.
    pub(crate) fn short_way(&self, id: ConnId) -> Option<(ConnId, usize)> {
        let line = self.table.line(id).filter(|line| line.is_idle_link())?;
        let link = line.link().filter(|link| !link.bulk && line.ready.has(Ready::READABLE))?;
        let target = self.table.line(link.to)?;
        let takes = target.takes_at_once() && target.merely_links();
        takes.then(|| (link.to, line.read_size().unwrap_or(0)))
    }

    /// Whether what a line has in the kernel can go to the target of its link from there: both are
    /// plain, nothing limits how much is read, and nothing waits to be sent before it.
    pub(crate) fn may_splice(&self, from: ConnId, to: ConnId) -> bool {
        let (Some(source), Some(target)) = (self.table.line(from), self.table.line(to)) else {
            return false;
        };
        let gives = matches!(source.stage, Stage::Open(Channel::Plain))
            && source.gate.lets_pull()
            && source.tuning.as_ref().is_some_and(|tuning| {
                let linked = tuning.link.is_some_and(|link| link.to == to);
                linked && tuning.rate.is_none() && tuning.credit.is_none()
            });
        let takes = target.takes_at_once() && !target.told;
        let busy = target.tuning.as_ref().and_then(|tuning| tuning.pulls);
        gives && takes && busy.is_none_or(|pull| pull.from == from)
    }

    /// How much may be spliced at once from a line, whose target has nothing queued: what it does
    /// not take is queued, so no more than a link may queue, or one read.
    pub(crate) fn splice_room(&mut self, from: ConnId) -> usize {
        let chunk = self.read_size(from);
        let line = self.line(from);
        let own = line.read_size().is_some();
        let high = line.link().map_or(0, |link| link.high);
        let most = if own { chunk } else { chunk.saturating_mul(SPLICED_CHUNKS) };
        let room = self.shard_queue_cap.saturating_sub(self.queued);
        most.min(high).min(room).max(chunk).min(self.queue_cap)
    }

    /// A line whose input was left to a target is read by itself again.
    pub(crate) fn reads_again(&mut self, from: ConnId, to: ConnId, bulk: bool) {
        let Some(line) = self.table.line_mut(from) else { return };
        if line.link().is_none_or(|link| link.to != to) {
            return;
        }
        line.is_bulk(bulk);
        line.gate.open(Reason::Linked);
        if line.has_work() {
            self.revisit(from);
        }
        // Its limits were not watched meanwhile.
        self.arm(from);
    }

    /// Something was passed to a target: whether its source is to wait until some of that has gone.
    pub(crate) fn hold_source(&mut self, from: ConnId, to: ConnId) {
        let queued = self.line(to).queued();
        if queued == 0 {
            return;
        }
        let Some(line) = self.table.line_mut(from) else { return };
        if line.link().is_some_and(|link| link.to == to && queued > link.high) {
            line.gate.close(Reason::Linked);
        }
    }

    /// The target of a line's link has ended (S145).
    fn orphan(&mut self, from: ConnId) {
        let now = self.now;
        let awaits_others = self.awaits_an_end(from);
        let Some(line) = self.table.line_mut(from) else { return };
        let Some(link) = line.tuning.as_mut().and_then(|tuning| tuning.link.take()) else {
            return;
        };
        line.gate.open(Reason::Linked);
        let in_order = line.gate.has(Reason::Ended);
        if in_order && awaits_others {
            // Its part of the link was done, and others still write to it.
            return;
        }
        if link.propagate {
            let reason = if in_order { CloseReason::PeerClosed } else { CloseReason::LinkEnded };
            return self.close(from, reason);
        }
        line.gate.close(Reason::Orphaned);
        line.begins_to_listen(now);
        self.revisit(from);
    }

    /// A line has ended: those that are linked to it lose their target.
    pub(crate) fn release_sources(&mut self, to: ConnId) {
        let Some(tuning) = &mut self.line(to).tuning else { return };
        for source in std::mem::take(&mut tuning.sources) {
            self.orphan(source);
        }
    }

    /// So much of a line's output has gone that those linked to it may be read again (S143).
    pub(crate) fn feed(&mut self, to: ConnId) {
        let line = self.line(to);
        let queued = line.queued();
        let Some(tuning) = &line.tuning else { return };
        for at in 0..tuning.sources.len() {
            self.open_source(to, at, queued);
        }
    }

    fn open_source(&mut self, to: ConnId, at: usize, queued: usize) {
        let now = self.now;
        let tuning = self.line(to).tuning.as_ref();
        let Some(&source) = tuning.and_then(|tuning| tuning.sources.get(at)) else { return };
        let Some(line) = self.table.line_mut(source) else { return };
        let low = line.link().map_or(0, |link| link.low);
        let has_room = queued == 0 || queued <= low && self.queued < self.shard_queue_cap;
        if has_room && line.gate.open(Reason::Linked) {
            line.begins_to_listen(now);
            self.revisit(source);
        }
    }

    /// The input of a line has ended in order: whether its output goes on, because others have yet
    /// to end who pass their ends on to it.
    pub(crate) fn outlives_its_input(&mut self, id: ConnId) -> bool {
        let link = self.line(id).link();
        if let Some(link) = link.filter(|link| link.propagate) {
            self.half_close(link.to);
        }
        let sent = self.line(id).tuning.as_ref().is_none_or(|tuning| tuning.fin == Fin::Sent);
        let waits = !sent && self.awaits_an_end(id);
        if waits {
            self.line(id).gate.close(Reason::Ended);
        }
        waits
    }

    /// Whether somebody is linked to a line who passes the end on to it.
    fn awaits_an_end(&self, id: ConnId) -> bool {
        let tuning = self.table.line(id).and_then(|line| line.tuning.as_ref());
        let mut sources = tuning.into_iter().flat_map(|tuning| &tuning.sources);
        sources.any(|source| {
            let link = self.table.line(*source).and_then(|line| line.link());
            link.is_some_and(|link| link.propagate)
        })
    }

    /// Our side of a line ends behind what is queued, as soon as it is open.
    pub(crate) fn half_close(&mut self, id: ConnId) {
        let Some(line) = self.table.line_mut(id) else { return };
        if line.told || !line.stage.takes_writes() {
            return;
        }
        let tuning = line.tune();
        if tuning.fin == Fin::Open {
            tuning.fin = Fin::Asked;
        }
        if self.staging.holds_for(id) {
            self.staging.close();
        }
        self.revisit(id);
    }
}

impl Line {
    /// Whether links are all that is special about it.
    fn merely_links(&self) -> bool {
        self.marks == Marks::TUNED
            && !self.told
            && self.tuning.as_ref().is_some_and(|tuning| tuning.merely_links())
    }

    /// The same of one that is open and plain, and from which nothing waits to be sent.
    pub(crate) fn is_idle_link(&self) -> bool {
        matches!(self.stage, Stage::Open(Channel::Plain))
            && self.gate.is_open()
            && self.outbox.is_empty()
            && self.counted == 0
            && self.merely_links()
    }

    /// Whether what is sent to it now can go to the kernel before all else.
    pub(crate) fn takes_at_once(&self) -> bool {
        matches!(self.stage, Stage::Open(Channel::Plain))
            && self.outbox.is_empty()
            && self.is_unlocked()
            && self.takes_writes()
            && self.ready.has(Ready::WRITABLE)
    }
}
