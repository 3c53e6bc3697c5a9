//! [`Slot`]: the life of a timer as the heap's table has it.
//!
//! Never: holds the deadline (that is the key's) or the value.
//!
//! Invariants:
//! 1. A generation is given to one timer only: it goes up when the timer ends, and never down.

use std::num::NonZeroU32;

/// The state of a slot's timer.
///
/// ```text
///            insert              pop_due
///   Vacant ──────────► Pending ──────────► Running ── remove ──► Stopped
///     ▲                │     ▲               │  │                   │
///     ├──── remove ────┘     └──── rearm ────┘  │                   │
///     └──────────────── retire ─────────────────┴── rearm, retire ──┘
/// ```
///
/// Where an arrow leads to `Vacant`, the id dies. After the last generation it leads to `Spent`.
#[derive(Clone, Copy)]
pub(super) enum Place {
    /// Armed; its key is at this position of the heap.
    Pending { position: u32 },
    /// Given out by `pop_due`, and neither armed again nor retired yet.
    Running,
    /// Removed while it ran: it cannot be armed again (S18).
    Stopped,
    /// Nobody's; the next link of the free list.
    Vacant { next: Option<u32> },
    /// Out of generations: no id of it can be new, so it is never used again.
    Spent,
}

/// What the heap knows of a timer besides its key and its value.
#[derive(Clone, Copy)]
pub(super) struct Slot {
    /// Of the timer in the slot, or of the next one when the slot is vacant.
    pub(super) generation: NonZeroU32,
    pub(super) place: Place,
}
