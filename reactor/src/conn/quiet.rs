//! Whether there is nothing special about a line: four of its bytes, looked at as one number.
//!
//! Never: knows more than those bytes say; what else has to hold is asked beside them.

use super::{Channel, Gate, Hears, Line, Marks, Ready, Stage};

/// [`Line::four`] of a line that can be read from and written to.
const READY: u32 = {
    let both = Ready::from_bits(Ready::READABLE.bits() | Ready::WRITABLE.bits());
    four(both, Gate::OPEN, Marks::NOTHING, Hears::UNKNOWN)
};

/// The same of one that has been read to the end, and whose handler is not told of a flush.
const QUIET: u32 = four(Ready::WRITABLE, Gate::OPEN, Marks::NOTHING, Hears::NOTHING);

/// Readiness lowest, so that an event is added by a single operation.
#[inline]
const fn four(ready: Ready, gate: Gate, marks: Marks, hears: Hears) -> u32 {
    u32::from_le_bytes([ready.bits(), gate.bits(), marks.bits(), hears.bits()])
}

impl Line {
    /// What it is ready for, and all that could stand in the way, as one number.
    #[inline]
    fn four(&self) -> u32 {
        let Self { ready, gate, marks, hears, .. } = self;
        four(*ready, *gate, *marks, *hears)
    }

    /// Whether this event makes it one to read from and to write to, and there is nothing else to
    /// be done for it: [`is_simple`](Self::is_simple), with nothing queued.
    #[inline]
    pub(crate) fn is_ready_by(&self, event: Ready) -> bool {
        const NOT_HEARS: u32 = !four(Ready::NOTHING, Gate::OPEN, Marks::NOTHING, Hears::ALL);
        self.four() & NOT_HEARS | u32::from(event.bits()) == READY
            && matches!(self.stage, Stage::Open(Channel::Plain))
            && self.outbox.is_empty()
    }

    /// Whether it waits for input and for nothing else, and its handler hears nothing of a flush.
    #[inline]
    pub(crate) fn is_quiet(&self) -> bool {
        self.four() == QUIET
    }

    /// The same of one that may have input waiting.
    #[inline]
    pub(crate) fn is_quiet_but_readable(&self) -> bool {
        self.four() | u32::from(Ready::READABLE.bits()) == QUIET | READY
    }
}
