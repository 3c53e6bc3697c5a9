//! The entries of one reactor, by slot: connections, listeners, watches, attempts to connect.
//!
//! Never: reads a clock, calls user code, or touches a descriptor.
//!
//! Invariants:
//! 1. A slot's generation changes whenever its entry is taken out, so an old id finds nothing.
//! 2. The generation of an id is never 0; a slot that has used all others is never given out again.
//! 3. `live` is the number of occupied slots.
//! 4. `spare` is the number of slots that have an alarm and no line.

use crate::conn::{Attempt, Line};
use crate::id::{ConnId, MAX_SLOTS};
use crate::listener::Listener;
use crate::watch::Watched;
use shardpoll_timers::{Tick, TimerId};
use std::num::NonZeroU32;

/// What a slot holds.
pub(crate) enum Entry {
    /// Nothing; the number is the next vacant slot, or `NO_SLOT`.
    Vacant(u32),
    Line(Line),
    /// Few and cold, so they do not set the size of the slot.
    Listener(Box<Listener>),
    Watch(Box<Watched>),
    /// One of the attempts of a line that connects to any of several addresses.
    Attempt(Attempt),
}

struct Slot {
    generation: u32,
    alarm: Alarm,
    entry: Entry,
}

/// The entry of a slot in the timer heap, and the time it stands at; it serves one line of the slot
/// after the other. Until it comes up it stays where it is, also when its line is gone: most lines
/// live for less than their deadlines, and so cost the heap nothing.
pub(crate) struct Alarm {
    pub(crate) entry: Option<TimerId>,
    pub(crate) due: Tick,
}

impl Alarm {
    pub(crate) const NONE: Self = Self { entry: None, due: Tick::MAX };
}

// Idle connections are counted by the hundred thousand: three cache lines, no more. (The simulation
// remembers the stages of each.)
const _: () = assert!(size_of::<Slot>() <= if cfg!(feature = "sim") { 200 } else { 192 });

const NO_SLOT: u32 = u32::MAX;

pub(crate) struct Table {
    slots: Vec<Slot>,
    first_vacant: u32,
    live: usize,
    spare: usize,
    shard: u16,
    /// What a slot begins with, and where it is used up.
    first_generation: NonZeroU32,
}

impl Table {
    pub(crate) fn new(shard: u16, first_generation: NonZeroU32) -> Self {
        let (slots, first_vacant) = (Vec::new(), NO_SLOT);
        Self { slots, first_vacant, live: 0, spare: 0, shard, first_generation }
    }

    /// Occupied slots.
    #[inline]
    pub(crate) fn live(&self) -> usize {
        self.live
    }

    /// Entries of the timer heap that no line has now.
    #[inline]
    pub(crate) fn spare_alarms(&self) -> usize {
        self.spare
    }

    /// Whether all slots are taken.
    #[inline]
    pub(crate) fn is_full(&self) -> bool {
        self.first_vacant == NO_SLOT && self.slots.len() >= MAX_SLOTS
    }

    /// `None`, and the entry is dropped, when the table is full.
    #[inline(always)]
    pub(crate) fn insert(&mut self, entry: Entry) -> Option<ConnId> {
        let index = self.first_vacant;
        let (index, generation) = if let Some(slot) = self.slots.get_mut(index as usize) {
            if let Entry::Vacant(next) = slot.entry {
                self.first_vacant = next;
            }
            let has_alarm = slot.alarm.entry.is_some();
            self.spare -= usize::from(has_alarm && matches!(entry, Entry::Line(_)));
            // What is vacant owns nothing: to drop it would be a look for nothing.
            std::mem::forget(std::mem::replace(&mut slot.entry, entry));
            (index, slot.generation)
        } else {
            self.append(entry)?
        };
        self.live += 1;
        ConnId::new(self.shard, index, generation)
    }

    /// Puts an entry into a slot that has never been.
    #[inline(never)]
    fn append(&mut self, entry: Entry) -> Option<(u32, u32)> {
        let index = u32::try_from(self.slots.len()).ok().filter(|_| !self.is_full())?;
        let generation = self.first_generation.get();
        self.slots.push(Slot { generation, alarm: Alarm::NONE, entry });
        Some((index, generation))
    }

    /// Takes the entry out; from here on its id is dead.
    pub(crate) fn remove(&mut self, id: ConnId) -> Option<Entry> {
        let (entry, vacant) = self.vacate(id)?;
        Some(std::mem::replace(entry, vacant))
    }

    /// As [`remove`](Self::remove); what nobody wants is dropped where it is.
    #[inline]
    pub(crate) fn discard(&mut self, id: ConnId) {
        if let Some((entry, vacant)) = self.vacate(id) {
            *entry = vacant;
        }
    }

    /// The entry of an id that is dead now, and what is to take its place.
    #[inline(always)]
    fn vacate(&mut self, id: ConnId) -> Option<(&mut Entry, Entry)> {
        let slot = self.slots.get_mut(id.slot())?;
        if slot.generation != id.generation() || matches!(slot.entry, Entry::Vacant(_)) {
            return None;
        }
        self.live -= 1;
        let has_alarm = slot.alarm.entry.is_some();
        self.spare += usize::from(has_alarm && matches!(slot.entry, Entry::Line(_)));
        // 0 is no generation, so 1 follows the largest.
        slot.generation = slot.generation.checked_add(1).unwrap_or(1);
        let next = if slot.generation == self.first_generation.get() {
            // Used up: it stays vacant for ever, on no list, under a generation no id has.
            slot.generation = 0;
            NO_SLOT
        } else {
            let index = u32::try_from(id.slot()).expect("a slot's number has 22 bits");
            std::mem::replace(&mut self.first_vacant, index)
        };
        Some((&mut slot.entry, Entry::Vacant(next)))
    }

    /// Where the alarm of a slot is in the heap, and when it comes up.
    #[cfg(feature = "sim")]
    pub(crate) fn alarm(&self, id: ConnId) -> (Option<TimerId>, Tick) {
        let Alarm { entry, due } = self.slots[id.slot()].alarm;
        (entry, due)
    }

    /// [`spare_alarms`](Self::spare_alarms), counted.
    #[cfg(feature = "sim")]
    pub(crate) fn count_spare(&self) -> usize {
        let is_spare =
            |slot: &&Slot| slot.alarm.entry.is_some() && !matches!(slot.entry, Entry::Line(_));
        self.slots.iter().filter(is_spare).count()
    }

    /// The alarm of a slot has come up: whose it is, unless it has no line now, and so no alarm
    /// any more.
    pub(crate) fn rings_for(&mut self, slot: u32) -> Option<ConnId> {
        let (shard, number) = (self.shard, slot);
        let slot = self.slots.get_mut(slot as usize)?;
        if matches!(slot.entry, Entry::Line(_)) {
            return ConnId::new(shard, number, slot.generation);
        }
        slot.alarm = Alarm::NONE;
        self.spare -= 1;
        None
    }

    #[inline]
    pub(crate) fn entry_mut(&mut self, id: ConnId) -> Option<&mut Entry> {
        let slot = self.slots.get_mut(id.slot())?;
        (slot.generation == id.generation()).then_some(&mut slot.entry)
    }

    pub(crate) fn entry(&self, id: ConnId) -> Option<&Entry> {
        let slot = self.slots.get(id.slot())?;
        (slot.generation == id.generation()).then_some(&slot.entry)
    }

    #[inline]
    pub(crate) fn line(&self, id: ConnId) -> Option<&Line> {
        let slot = self.slots.get(id.slot())?;
        match &slot.entry {
            Entry::Line(line) if slot.generation == id.generation() => Some(line),
            _ => None,
        }
    }

    #[inline]
    pub(crate) fn line_mut(&mut self, id: ConnId) -> Option<&mut Line> {
        match self.entry_mut(id) {
            Some(Entry::Line(line)) => Some(line),
            _ => None,
        }
    }

    /// The line of an id that is known to be alive, at the price of an index.
    ///
    /// # Panics
    /// If there is no line: only the service of a line frees it, so one that is served is there.
    #[inline(always)]
    pub(crate) fn served_mut(&mut self, id: ConnId) -> &mut Line {
        let slot = &mut self.slots[id.slot()];
        debug_assert_eq!(slot.generation, id.generation(), "a line is freed by its service only");
        match &mut slot.entry {
            Entry::Line(line) => line,
            _ => unreachable!("a line is freed by its service only"),
        }
    }

    /// As [`served_mut`](Self::served_mut), with the alarm of its slot.
    ///
    /// # Panics
    /// As [`served_mut`](Self::served_mut).
    #[inline(always)]
    pub(crate) fn served_with_alarm(&mut self, id: ConnId) -> (&mut Line, &mut Alarm) {
        let slot = &mut self.slots[id.slot()];
        debug_assert_eq!(slot.generation, id.generation(), "a line is freed by its service only");
        match &mut slot.entry {
            Entry::Line(line) => (line, &mut slot.alarm),
            _ => unreachable!("a line is freed by its service only"),
        }
    }

    pub(crate) fn listener_mut(&mut self, id: ConnId) -> Option<&mut Listener> {
        match self.entry_mut(id) {
            Some(Entry::Listener(listener)) => Some(listener),
            _ => None,
        }
    }

    pub(crate) fn watch(&self, id: ConnId) -> Option<&Watched> {
        let slot = self.slots.get(id.slot())?;
        match &slot.entry {
            Entry::Watch(watch) if slot.generation == id.generation() => Some(watch),
            _ => None,
        }
    }

    pub(crate) fn watch_mut(&mut self, id: ConnId) -> Option<&mut Watched> {
        match self.entry_mut(id) {
            Some(Entry::Watch(watch)) => Some(watch),
            _ => None,
        }
    }

    /// The ids of all that is there now: what comes later is not in it (S146).
    pub(crate) fn snapshot(&self) -> Vec<ConnId> {
        let occupied = |(index, slot): (usize, &Slot)| {
            if matches!(slot.entry, Entry::Vacant(_)) {
                return None;
            }
            ConnId::new(self.shard, u32::try_from(index).ok()?, slot.generation)
        };
        self.slots.iter().enumerate().filter_map(occupied).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conn::Line;

    fn entry() -> Entry {
        Entry::Line(Line::for_test())
    }

    #[test]
    fn an_old_id_never_finds_the_new_owner_of_its_slot() {
        let mut table = Table::new(3, NonZeroU32::MIN);
        let first = table.insert(entry()).expect("room");
        assert!(table.remove(first).is_some());
        let second = table.insert(entry()).expect("room");
        assert_eq!(first.slot(), second.slot());
        assert_ne!(first, second);
        assert!(table.line(first).is_none());
        assert!(table.line_mut(first).is_none());
        assert!(table.remove(first).is_none());
        assert!(table.line(second).is_some());
        assert_eq!(table.live(), 1);
    }

    #[test]
    fn a_slot_whose_generations_are_used_up_is_not_given_out_again() {
        let first = NonZeroU32::new(7).expect("not 0");
        let mut table = Table::new(0, first);
        let id = table.insert(entry()).expect("room");
        assert_eq!(id.generation(), 7);
        // As if all but two generations had gone by.
        table.slots[id.slot()].generation = 5;
        let before_last = ConnId::new(0, 0, 5).expect("not 0");
        assert!(table.remove(before_last).is_some());
        let last = table.insert(entry()).expect("room");
        assert_eq!((last.slot(), last.generation()), (0, 6));
        assert!(table.remove(last).is_some());
        let next = table.insert(entry()).expect("room");
        assert_ne!(next.slot(), last.slot());
        assert!(table.line(last).is_none() && table.line(id).is_none());
    }

    #[test]
    fn generations_go_on_with_1_after_the_largest() {
        let mut table = Table::new(0, NonZeroU32::MAX);
        let largest = table.insert(entry()).expect("room");
        assert_eq!(largest.generation(), u32::MAX);
        assert!(table.remove(largest).is_some());
        assert_eq!(table.insert(entry()).expect("room").generation(), 1);
    }

    #[test]
    fn an_alarm_stays_with_its_slot_and_is_spare_while_no_line_is_there() {
        let mut heap = shardpoll_timers::Heap::new();
        let mut table = Table::new(0, NonZeroU32::MIN);
        let first = table.insert(entry()).expect("room");
        let due = Tick::from_nanos(7);
        let timer = Some(heap.insert(due, ()));
        *table.served_with_alarm(first).1 = Alarm { entry: timer, due };
        assert_eq!(table.spare_alarms(), 0);
        table.discard(first);
        assert_eq!(table.spare_alarms(), 1);
        let second = table.insert(entry()).expect("room");
        let alarm = table.served_with_alarm(second).1;
        assert_eq!((alarm.entry, alarm.due), (timer, due));
        assert_eq!((table.spare_alarms(), table.rings_for(0)), (0, Some(second)));
        assert!(table.remove(second).is_some());
        let attempt = Attempt { line: second, to: ([127, 0, 0, 1], 1).into() };
        table.insert(Entry::Attempt(attempt)).expect("room");
        assert_eq!((table.spare_alarms(), table.rings_for(0)), (1, None));
        assert_eq!(table.spare_alarms(), 0);
    }

    #[test]
    fn vacant_slots_are_used_before_new_ones_and_a_snapshot_names_the_live() {
        let mut table = Table::new(1, NonZeroU32::MIN);
        let ids: Vec<_> = (0..5).map(|_| table.insert(entry()).expect("room")).collect();
        table.remove(ids[1]);
        table.remove(ids[3]);
        assert_eq!(table.snapshot(), [ids[0], ids[2], ids[4]]);
        let again: Vec<_> = (0..2).map(|_| table.insert(entry()).expect("room")).collect();
        assert_eq!(again[0].slot(), 3);
        assert_eq!(again[1].slot(), 1);
        assert_eq!(table.live(), 5);
    }
}
