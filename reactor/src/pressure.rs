//! What all connections of a shard have queued: counted, and held to a cap.
//!
//! Never: sends; the kernel has had its chance before.
//!
//! Invariants:
//! 1. Between two services `Core::queued` is the sum of what the lines have queued.

use crate::api::{CloseReason, WhenFull};
use crate::conn::{Marks, Stage};
use crate::core::Core;
use crate::id::ConnId;

/// What one flush may add to what was written: a TLS record more is 22 bytes, and 64 KiB of them
/// are sealed at once.
pub(crate) const SEALED_EXTRA: usize = 4 * 1024;

impl Core {
    /// Moves what is staged for a line to its outbox, so that something can be queued behind it;
    /// some of it may lie in the input that its callback was lent.
    #[cold]
    pub(crate) fn unstage(&mut self, id: ConnId, lent: &[u8]) {
        if !self.staging.holds_for(id) {
            return;
        }
        self.staging.close();
        if !self.staging.is_empty() {
            self.staging.settle(lent);
            let line = self.table.served_mut(id);
            if !matches!(line.stage, Stage::Closed(_)) {
                line.keep(self.staging.as_slice(), self.now);
            }
            self.staging.clear();
            self.recount(id);
        }
    }

    /// Brings what the shard has counted as queued up to date for a line.
    pub(crate) fn recount(&mut self, id: ConnId) {
        let line = self.table.served_mut(id);
        let len = line.queued();
        self.queued = self.queued - std::mem::replace(&mut line.counted, len) + len;
    }

    /// What callbacks of a line have staged may be more than the shard has room for, since the
    /// kernel takes it at once from most. When it has not, the line ends as if it had been queued.
    #[cold]
    pub(crate) fn hold_to_shard_cap(&mut self, id: ConnId) {
        let before = self.line(id).counted;
        self.recount(id);
        let line = self.table.served_mut(id);
        let grown = line.counted.saturating_sub(before);
        let kept = line.when_full == WhenFull::Refuse || line.marks.has(Marks::WRITE_LOCK);
        if self.queued > self.shard_queue_cap && grown > SEALED_EXTRA && !kept && line.may_flush() {
            line.fail(CloseReason::BufferFull);
            self.pulse.counters.refused_writes.add(1);
            self.recount(id);
        }
    }

    /// A line that arrives brings what it has queued, whatever the cap is.
    #[cfg(feature = "sim")]
    pub(crate) fn note_arrival(&mut self) {
        if self.queued > self.shard_queue_cap {
            self.carried = self.carried.max(self.queued);
        }
    }
}
