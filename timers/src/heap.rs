//! [`Heap`]: timers ordered by deadline, each reachable by its id.
//!
//! Never: reads a clock, calls anything of the caller's, or keeps a value that is no longer armed.
//!
//! Invariants (`heap/check.rs` asserts them all):
//! 1. `keys` is a heap of `ARITY` children: no key comes before its parent's.
//! 2. `slots[keys[p].slot]` is `Pending { position: p }`, and there are no other pending slots.
//! 3. A slot's value is there exactly while the slot is pending.
//! 4. The free list holds each vacant slot once, and nothing else.
//! 5. Keys are armed before `next_seq`, and no two at the same `seq`.
//! 6. A key armed at or after `mark` is not due before `now`. So the keys of this turn's timers
//!    come before all that were armed in it, and looking at the first key is enough.

use std::fmt;
use std::num::NonZeroU32;

use crate::{Tick, TimerId};

use key::{Key, earliest};
use slot::{Place, Slot};

mod check;
mod key;
mod slot;

/// Children per node.
///
/// Measured on 2026-11-22 with `cargo bench -p shardpoll-bench --bench timers`, for several values
/// of this number: nanoseconds with 2, 4 and 8 children, the least of 7 to 12 short runs on a busy
/// 2-core machine.
///
/// | pending | insert_remove | reschedule_later | reschedule_earlier | pop_rearm |
/// |---|---|---|---|---|
/// | 10^3 | 45, 40, 35 | 27, 18, 15 | 31, 21, 21 | 87, 78, 78 |
/// | 10^5 | 147, 118, 134 | 56, 41, 38 | 95, 84, 68 | 213, 205, 224 |
/// | 10^6 | 596, 533, 473 | 295, 233, 217 | 601, 516, 408 | 539, 586, 424 |
///
/// Two children lose; eight are seldom behind four and often ahead. Keys that lie in the array beat
/// keys kept by slot (a throw-away copy with 4 children): `pop_rearm` 285 to 357 ns at 10^5 and 586
/// to 1360 at 10^6, the others alike within the noise.
const ARITY: usize = 8;

// What a pending timer costs, besides its value.
const _: () = assert!(size_of::<Key>() == 24 && size_of::<Slot>() == 12);

/// Timers in order of their deadlines: an indexed heap that never reads a clock.
///
/// A timer is *pending* from [`insert`](Self::insert) until [`pop_due`](Self::pop_due) gives it
/// out, then *running* until [`rearm`](Self::rearm) makes it pending again or
/// [`retire`](Self::retire) ends it. Whoever takes a timer from `pop_due` owes it one of the two,
/// or its slot stays taken.
///
/// A *turn* lasts from one [`start_turn`](Self::start_turn) to the next. Timers that are armed,
/// armed again or rescheduled in a turn never run in it (S16).
///
/// The crate's front page has the cost of each method, and an example.
pub struct Heap<T> {
    keys: Vec<Key>,
    slots: Vec<Slot>,
    /// By slot; apart, so that a step in the heap touches no `T`, whatever its size.
    values: Vec<Option<T>>,
    free: Option<u32>,
    next_seq: u64,
    /// The first arming that belongs to the open turn.
    mark: u64,
    /// The open turn's time.
    now: Tick,
    operations: u64,
}

impl<T> Heap<T> {
    /// An empty heap; allocates nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::with_capacity(0)
    }

    /// An empty heap with room for `capacity` timers.
    #[must_use]
    pub fn with_capacity(capacity: usize) -> Self {
        Self {
            keys: Vec::with_capacity(capacity),
            slots: Vec::with_capacity(capacity),
            values: Vec::with_capacity(capacity),
            free: None,
            next_seq: 0,
            mark: 0,
            now: Tick::ZERO,
            operations: 0,
        }
    }

    /// How many timers are pending.
    #[must_use]
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether no timer is pending.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// The earliest deadline of all pending timers: how long the caller may wait (S6).
    ///
    /// [`Tick::MAX`] is given like any other.
    #[must_use]
    pub fn next_due(&self) -> Option<Tick> {
        self.keys.first().map(|key| key.due)
    }

    /// The deadline of a pending timer, `None` for any other.
    ///
    /// A timer that was armed with a deadline before the `now` of the open turn is due at that
    /// `now`.
    #[must_use]
    pub fn due(&self, id: TimerId) -> Option<Tick> {
        match self.place(id)? {
            Place::Pending { position } => Some(self.keys[position as usize].due),
            _ => None,
        }
    }

    /// Whether the timer is pending, or running and not stopped.
    #[must_use]
    pub fn is_live(&self, id: TimerId) -> bool {
        matches!(self.place(id), Some(Place::Pending { .. } | Place::Running))
    }

    /// Arms a new timer: from `due` on, and not in the open turn, it may be popped (S12, S16).
    ///
    /// # Panics
    ///
    /// When 2^32 timers exist at once, more than 150 GiB of them.
    pub fn insert(&mut self, due: Tick, value: T) -> TimerId {
        let slot = self.claim(value);
        self.push(due, slot);
        TimerId::new(self.slots[slot as usize].generation, slot)
    }

    /// Ends a timer: it will not run again (S17).
    ///
    /// A pending timer gives its value back and its id is dead. A running one is marked stopped,
    /// so that it cannot be armed again (S18). To any other id, nothing happens.
    pub fn remove(&mut self, id: TimerId) -> Option<T> {
        let slot = id.slot();
        match self.place(id)? {
            Place::Pending { position } => {
                self.unlink(position as usize);
                let value = self.values[slot as usize].take();
                self.release(slot);
                value
            }
            Place::Running => {
                self.slots[slot as usize].place = Place::Stopped;
                None
            }
            Place::Stopped | Place::Vacant { .. } | Place::Spent => None,
        }
    }

    /// Moves a pending timer to `due`, earlier or later; `false` for any other (S20).
    ///
    /// It counts as armed now: it queues behind those with the same deadline (S22), and does not
    /// run in the open turn (S16).
    pub fn reschedule(&mut self, id: TimerId, due: Tick) -> bool {
        let Some(Place::Pending { position }) = self.place(id) else {
            return false;
        };
        self.operations += 1;
        let key = self.next_key(due, id.slot());
        self.replace(position as usize, key);
        true
    }

    /// Opens a turn at `now`, which fixes the timers that [`pop_due`](Self::pop_due) may give in
    /// it: those due at or before `now` and armed by this call (S16).
    ///
    /// Without a first turn nothing is due. What an earlier turn left unpopped comes first. A `now`
    /// before the last one is taken as it is; no timer runs before its deadline for it (S24).
    pub fn start_turn(&mut self, now: Tick) {
        self.now = now;
        self.mark = self.next_seq;
    }

    /// Takes the next timer of the open turn, in order of deadline, then of arming (S22).
    ///
    /// The timer is now running: the caller owes it a [`rearm`](Self::rearm) or a
    /// [`retire`](Self::retire).
    pub fn pop_due(&mut self) -> Option<(TimerId, T)> {
        let first = self.keys.first()?;
        if first.due > self.now || first.seq >= self.mark {
            return None;
        }
        let slot = first.slot;
        self.unlink(0);
        let Slot { generation, place } = &mut self.slots[slot as usize];
        *place = Place::Running;
        let id = TimerId::new(*generation, slot);
        let value = self.values[slot as usize].take();
        Some((id, value.expect("a pending slot holds its value")))
    }

    /// Arms a running timer again under the same id (S15), not to run in the open turn (S16).
    ///
    /// # Errors
    ///
    /// Gives the value back when the timer was removed while it ran, which retires it (S18), and
    /// when `id` is not running, which changes nothing and is a mistake of the caller.
    pub fn rearm(&mut self, id: TimerId, due: Tick, value: T) -> Result<(), T> {
        let slot = id.slot();
        match self.place(id) {
            Some(Place::Running) => {
                self.values[slot as usize] = Some(value);
                self.push(due, slot);
                Ok(())
            }
            Some(Place::Stopped) => {
                self.release(slot);
                Err(value)
            }
            Some(Place::Pending { .. } | Place::Vacant { .. } | Place::Spent) | None => Err(value),
        }
    }

    /// Ends a running timer's life: its id is dead (S15). To any other id, nothing happens.
    pub fn retire(&mut self, id: TimerId) {
        if let Some(Place::Running | Place::Stopped) = self.place(id) {
            self.release(id.slot());
        }
    }

    /// How often the order was touched: by each insert, rearm and pop, and by each remove and
    /// reschedule of a pending timer.
    ///
    /// A caller that keeps its deadlines lazily proves by it that steady traffic costs none.
    #[must_use]
    pub fn operations(&self) -> u64 {
        self.operations
    }

    /// `None` for an id that is dead or another heap's.
    fn place(&self, id: TimerId) -> Option<Place> {
        let slot = self.slots.get(id.slot() as usize)?;
        (slot.generation.get() == id.generation()).then_some(slot.place)
    }

    /// Puts the value into a slot of its own.
    fn claim(&mut self, value: T) -> u32 {
        let Some(slot) = self.free else {
            let slot = u32::try_from(self.slots.len()).expect("fewer than 2^32 timers at once");
            // `push` makes it pending before anybody can look.
            self.slots.push(Slot { generation: NonZeroU32::MIN, place: Place::Running });
            self.values.push(Some(value));
            return slot;
        };
        if let Place::Vacant { next } = self.slots[slot as usize].place {
            self.free = next;
        }
        self.values[slot as usize] = Some(value);
        slot
    }

    /// Kills the slot's id and offers the slot to the next timer, unless its generations are used
    /// up: reusing it then would revive an old id, so it is left out for ever. That loses one slot
    /// in 2^32 - 1 timers.
    fn release(&mut self, slot: u32) {
        let entry = &mut self.slots[slot as usize];
        if let Some(generation) = entry.generation.checked_add(1) {
            *entry = Slot { generation, place: Place::Vacant { next: self.free } };
            self.free = Some(slot);
        } else {
            entry.place = Place::Spent;
        }
    }

    /// The key of an arming that happens now.
    ///
    /// A deadline in the past is moved to the turn's `now` (invariant 6). Else it would hide older
    /// timers that are due in this turn behind one that is not (S16).
    fn next_key(&mut self, due: Tick, slot: u32) -> Key {
        let key = Key { due: due.max(self.now), seq: self.next_seq, slot };
        self.next_seq += 1;
        key
    }

    fn push(&mut self, due: Tick, slot: u32) {
        self.operations += 1;
        let key = self.next_key(due, slot);
        let position = self.keys.len();
        self.keys.push(key);
        self.sift_up(position, key);
    }

    /// Takes a key out of the order; its slot still says `Pending`.
    fn unlink(&mut self, position: usize) {
        self.operations += 1;
        let last = self.keys.pop().expect("there is a key at `position`");
        if position < self.keys.len() {
            self.replace(position, last);
        }
    }

    /// Puts `key` in the place of the one at `position`, then where it belongs.
    fn replace(&mut self, position: usize, key: Key) {
        if key.is_before(&self.keys[position]) {
            self.sift_up(position, key);
        } else {
            self.sift_down(position, key);
        }
    }

    /// Sinks parents into the hole until `key` fits.
    fn sift_up(&mut self, mut hole: usize, key: Key) {
        while hole > 0 {
            let parent = (hole - 1) / ARITY;
            let above = self.keys[parent];
            if !key.is_before(&above) {
                break;
            }
            self.put(hole, above);
            hole = parent;
        }
        self.put(hole, key);
    }

    /// Raises the earliest children into the hole until `key` fits.
    fn sift_down(&mut self, mut hole: usize, key: Key) {
        while let Some((child, below)) = self.first_child(hole) {
            if key.is_before(&below) {
                break;
            }
            self.put(hole, below);
            hole = child;
        }
        self.put(hole, key);
    }

    /// The earliest child of a position, and where it is.
    fn first_child(&self, position: usize) -> Option<(usize, Key)> {
        let start = position * ARITY + 1;
        let children = self.keys.get(start..)?;
        // A whole family has a length the compiler knows: no bounds checks, and an unrolled loop.
        let (offset, key) = match children.first_chunk::<ARITY>() {
            Some(family) => earliest(family)?,
            None => earliest(children)?,
        };
        Some((start + offset, key))
    }

    #[expect(clippy::cast_possible_truncation, reason = "there are no more keys than slots")]
    fn put(&mut self, position: usize, key: Key) {
        self.keys[position] = key;
        self.slots[key.slot as usize].place = Place::Pending { position: position as u32 };
    }
}

impl<T> Default for Heap<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> fmt::Debug for Heap<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Heap")
            .field("len", &self.len())
            .field("next_due", &self.next_due())
            .field("now", &self.now)
            .field("operations", &self.operations)
            .finish_non_exhaustive()
    }
}
