//! Deadlines in order: a heap of timers that never reads a clock.
//!
//! Never: reads a clock, calls back, allocates per operation (its arrays grow, and are then
//! reused), depends on another crate, or uses `unsafe`.
//!
//! Time is an argument: a [`Tick`] counts nanoseconds since an epoch the caller chose. So a test
//! runs a year of deadlines in a millisecond, and a simulation repeats a run exactly.
//!
//! # The promise
//!
//! - No timer is given out before its deadline (S24), nor twice in one turn (S16).
//! - A timer that is armed, armed again or rescheduled in a turn never runs in it, even with a
//!   deadline in the past (S16).
//! - Due timers come in order of deadline; equal deadlines in order of arming (S22).
//! - A removed timer does not come back: not when it was running (S18), not when it had been armed
//!   again in this turn (S19).
//! - A timer keeps its [`TimerId`] while it is armed again and again (S15). After that the id is
//!   dead for ever: a slot that has used up its 2^32 - 1 generations is never used again (S12).
//!
//! # The cost
//!
//! *n* is the number of pending timers. The right column is what [`Heap::operations`] counts.
//!
//! | method | time | counted |
//! |---|---|---|
//! | `insert`, `rearm` | O(log n), most often O(1) | 1 |
//! | `remove`, `reschedule` of a pending timer | O(log n) | 1 |
//! | `pop_due` that gives a timer | O(log n) | 1 |
//! | `pop_due` that gives none, `start_turn` | O(1) | 0 |
//! | `len`, `next_due`, `due`, `is_live`, `retire` | O(1) | 0 |
//! | any method on an id that is dead | O(1) | 0 |
//!
//! A pending timer takes 36 bytes and an `Option<T>`. A value leaves the heap when its timer is
//! popped or removed; the emptied arrays are kept for the next crowd.
//!
//! # Example
//!
//! ```
//! use std::time::Duration;
//! use shardpoll_timers::{Heap, Tick};
//!
//! let second = Duration::from_secs(1);
//! let start = Tick::from_nanos(42);
//!
//! let mut heap = Heap::new();
//! let once = heap.insert(start.saturating_add(second), "once");
//! let often = heap.insert(start.saturating_add(second), "often");
//! assert_eq!(heap.next_due(), Some(start.saturating_add(second)));
//!
//! let now = heap.next_due().expect("two timers are pending"); // the caller waits until then
//! heap.start_turn(now);
//! let mut ran = Vec::new();
//! while let Some((id, task)) = heap.pop_due() {
//!     ran.push(task);
//!     if id == often {
//!         heap.rearm(id, now.saturating_add(second), task).expect("nobody stopped it");
//!     } else {
//!         heap.retire(id);
//!     }
//! }
//! assert_eq!(ran, ["once", "often"]);
//! assert!(heap.is_live(often) && !heap.is_live(once));
//! assert_eq!(heap.remove(often), Some("often"));
//! assert!(heap.is_empty());
//! ```

#![forbid(unsafe_code)]

mod heap;
mod id;
mod tick;

pub use heap::Heap;
pub use id::TimerId;
pub use tick::Tick;
