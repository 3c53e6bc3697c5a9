//! The invariants of [`Heap`], checked from inside.
//!
//! Never: changes a heap, or is called by one.

use super::{ARITY, Heap, Place};

impl<T> Heap<T> {
    /// Panics unless every invariant at the head of `heap.rs` holds. Takes O(n): for tests.
    #[doc(hidden)]
    pub fn assert_invariants(&self) {
        self.assert_order();
        self.assert_slots();
        self.assert_free_list();
    }

    /// How many timers were popped and neither armed again nor ended: 0 between turns, unless the
    /// caller lost one. Takes O(n): for tests.
    #[doc(hidden)]
    #[must_use]
    pub fn running(&self) -> usize {
        let runs = |place: &Place| matches!(place, Place::Running | Place::Stopped);
        self.slots.iter().filter(|entry| runs(&entry.place)).count()
    }

    /// Invariants 1, 5 and 6.
    fn assert_order(&self) {
        let mut armings: Vec<u64> = self.keys.iter().map(|key| key.seq).collect();
        armings.sort_unstable();
        assert!(armings.windows(2).all(|pair| pair[0] < pair[1]), "an arming happened twice");
        assert!(armings.last().is_none_or(|&seq| seq < self.next_seq), "an arming not yet made");
        for (position, key) in self.keys.iter().enumerate() {
            if position > 0 {
                let parent = &self.keys[(position - 1) / ARITY];
                assert!(parent.is_before(key), "position {position} comes before its parent");
            }
            assert!(
                key.seq < self.mark || key.due >= self.now,
                "position {position} was armed in this turn and hides older timers",
            );
        }
    }

    /// Invariants 2 and 3.
    fn assert_slots(&self) {
        assert_eq!(self.slots.len(), self.values.len(), "a value for each slot");
        let mut pending = 0;
        for (slot, (entry, value)) in self.slots.iter().zip(&self.values).enumerate() {
            if let Place::Pending { position } = entry.place {
                pending += 1;
                let key = self.keys.get(position as usize);
                let owner = key.map(|key| key.slot as usize);
                assert_eq!(owner, Some(slot), "slot {slot} is not at its position {position}");
            }
            assert_eq!(
                value.is_some(),
                matches!(entry.place, Place::Pending { .. }),
                "slot {slot} holds a value when it should not, or none when it should",
            );
        }
        assert_eq!(pending, self.keys.len(), "a key for each pending slot, and no other");
    }

    /// Invariant 4.
    fn assert_free_list(&self) {
        let is_vacant = |place: &Place| matches!(place, Place::Vacant { .. });
        let vacant = self.slots.iter().filter(|entry| is_vacant(&entry.place)).count();
        let mut listed = 0;
        let mut free = self.free;
        while let Some(slot) = free {
            // A ring would not end, so the count is bounded before the next link is followed.
            assert!(listed < vacant, "the free list is longer than there are vacant slots");
            listed += 1;
            let Place::Vacant { next } = self.slots[slot as usize].place else {
                panic!("slot {slot} is on the free list and not vacant");
            };
            free = next;
        }
        assert_eq!(listed, vacant, "a vacant slot is missing on the free list");
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::{Heap, Place};
    use crate::Tick;

    #[test]
    fn a_slot_out_of_generations_is_never_used_again() {
        let mut heap = Heap::new();
        let first = heap.insert(Tick::ZERO, 'a');
        assert_eq!(heap.remove(first), Some('a'));
        heap.slots[0].generation = NonZeroU32::MAX;

        let last = heap.insert(Tick::ZERO, 'b');
        assert_eq!((last.slot(), last.generation()), (0, u32::MAX));
        heap.start_turn(Tick::ZERO);
        assert_eq!(heap.pop_due(), Some((last, 'b')));
        heap.retire(last);
        heap.assert_invariants();
        assert!(matches!(heap.slots[0].place, Place::Spent));

        let next = heap.insert(Tick::ZERO, 'c');
        assert_eq!(next.slot(), 1, "slot 0 would repeat the id {first:?}");
        assert!(!heap.is_live(last) && !heap.is_live(first));
        assert_eq!((heap.remove(last), heap.due(last)), (None, None));
        assert_eq!(heap.rearm(last, Tick::ZERO, 'd'), Err('d'));
        heap.retire(last);
        assert_eq!(heap.len(), 1);
        heap.assert_invariants();
    }
}
