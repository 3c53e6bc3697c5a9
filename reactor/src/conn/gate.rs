//! Why a connection is not read: each reason is its own bit, and reading is on when none is set.
//!
//! Never: knows a clock or a descriptor.
//!
//! Invariants:
//! 1. Taking one reason away never takes another away (S102).

/// The reasons not to read.
#[derive(Clone, Copy, Default)]
pub(crate) struct Gate(u8);

/// `Conn::pause` was called (S94).
const USER: u8 = 1;

impl Gate {
    /// Whether nothing forbids reading.
    #[inline]
    pub(crate) fn is_open(self) -> bool {
        self.0 == 0
    }

    pub(crate) fn pause(&mut self) {
        self.0 |= USER;
    }

    pub(crate) fn resume(&mut self) {
        self.0 &= !USER;
    }
}
