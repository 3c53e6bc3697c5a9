//! Why a connection is not read: each reason is its own bit, and reading is on when none is set.
//!
//! Never: knows a clock or a descriptor.
//!
//! Invariants:
//! 1. Taking one reason away never takes another away (S102).

/// One reason not to read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Reason {
    /// `Conn::pause` was called (S94).
    User = 1,
    /// `Conn::pause_for` was called, and its time is not over (S96).
    Timed = 2,
    /// More was read than the rate limit allows until now (S100).
    Limited = 4,
    /// What it is linked to has enough to send (S143).
    Linked = 8,
    /// All that was granted has been read.
    Credit = 16,
    /// Too much of its own output waits.
    Pressure = 32,
    /// What it was linked to has ended (S145).
    Orphaned = 64,
    /// Its input has ended, and its output goes on.
    Ended = 128,
}

/// The reasons not to read.
#[derive(Clone, Copy, Default)]
pub(crate) struct Gate(u8);

impl Gate {
    pub(crate) const OPEN: Self = Self(0);

    #[inline]
    pub(crate) const fn bits(self) -> u8 {
        self.0
    }

    /// Whether nothing forbids reading.
    #[inline]
    pub(crate) fn is_open(self) -> bool {
        self.0 == 0
    }

    /// Whether silence is the peer's own: a timed pause does not stop the read timeout (S88), nor
    /// does the end of a link (S145); the others do.
    pub(crate) fn expects_input(self) -> bool {
        self.0 & !(Reason::Timed as u8 | Reason::Orphaned as u8) == 0
    }

    /// Whether the end of input may be told: nothing forbids reading but the end of a link (S145).
    pub(crate) fn hears_end(self) -> bool {
        self.0 & !(Reason::Orphaned as u8) == 0
    }

    /// Whether the end of input is to be looked for, although nothing is read.
    pub(crate) fn lets_end(self) -> bool {
        self.has(Reason::Orphaned) && self.hears_end()
    }

    /// A debt stops reading, not the delivery of what has been read.
    pub(crate) fn lets_deliver(self) -> bool {
        self.0 & !(Reason::Limited as u8) == 0
    }

    /// Whether at most the target of its link holds it back.
    pub(crate) fn lets_pull(self) -> bool {
        self.0 & !(Reason::Linked as u8) == 0
    }

    pub(crate) fn has(self, reason: Reason) -> bool {
        self.0 & reason as u8 != 0
    }

    pub(crate) fn close(&mut self, reason: Reason) {
        self.0 |= reason as u8;
    }

    /// Takes a reason away; whether it was there.
    pub(crate) fn open(&mut self, reason: Reason) -> bool {
        let had = self.has(reason);
        self.0 &= !(reason as u8);
        had
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_reason_never_takes_another_away() {
        let mut gate = Gate::default();
        gate.close(Reason::User);
        gate.close(Reason::Timed);
        assert!(gate.open(Reason::Timed));
        assert!(!gate.is_open() && gate.has(Reason::User));
        assert!(!gate.open(Reason::Limited), "it was not there");
        assert!(gate.open(Reason::User));
        assert!(gate.is_open());
    }

    #[test]
    fn only_a_timed_pause_leaves_the_read_timeout_running() {
        let mut gate = Gate::default();
        gate.close(Reason::Timed);
        assert!(gate.expects_input() && !gate.is_open());
        gate.close(Reason::Limited);
        assert!(!gate.expects_input());
    }
}
