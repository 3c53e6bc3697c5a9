//! This engine's heap.
//!
//! Never: reads a clock.

use super::{Timers, millis};
use shardpoll_timers::{Heap, Tick, TimerId};

pub(super) struct Ours {
    heap: Heap<u64>,
    ids: Vec<TimerId>,
    now: Tick,
}

impl Default for Ours {
    fn default() -> Self {
        Self { heap: Heap::new(), ids: Vec::new(), now: Tick::ZERO }
    }
}

impl Timers for Ours {
    fn insert(&mut self, delays: &[u64]) {
        for &delay in delays {
            let id = self.heap.insert(self.now.saturating_add(millis(delay)), delay);
            self.ids.push(id);
        }
    }

    fn reschedule(&mut self, moves: &[(usize, u64)]) {
        for &(place, delay) in moves {
            self.heap.reschedule(self.ids[place], self.now.saturating_add(millis(delay)));
        }
    }

    fn cancel(&mut self, places: &[usize]) {
        for &place in places {
            self.heap.remove(self.ids.swap_remove(place));
        }
    }

    fn pass(&mut self, time: u64) {
        self.now = self.now.saturating_add(millis(time));
    }

    fn pop(&mut self) -> usize {
        self.heap.start_turn(self.now);
        let mut count = 0;
        while let Some((id, _)) = self.heap.pop_due() {
            self.heap.retire(id);
            count += 1;
        }
        count
    }

    fn len(&self) -> usize {
        self.ids.len()
    }

    fn settle(&mut self) {
        let Self { heap, ids, .. } = self;
        ids.retain(|id| heap.is_live(*id));
    }
}
