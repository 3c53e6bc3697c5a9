//! What is counted of connections, for the loop and for the listener each came from.
//!
//! Never: decides anything.
//!
//! Invariants:
//! 1. Every line that comes to be on the loop is counted as open until it is gone; its end is
//!    counted once, by the reason that stands.
//! 2. Between two services the handshakes begun are those that came to a good end, those that came
//!    to none, and those under way.

use crate::api::CloseKind;
use crate::conn::Origin;
use crate::core::Core;
use crate::counters::{Count, Counters, ListenerCounts};
use crate::id::{ConnId, ListenerId};
use crate::pulse::Pulse;
use std::sync::Arc;

/// What the counting of ends needs beside the counters.
pub(crate) struct Ledger {
    begun: u64,
    listeners: Vec<ListenerEntry>,
}

struct ListenerEntry {
    id: ListenerId,
    begun: u64,
    under_way: u64,
    counts: Arc<ListenerCounts>,
}

impl Ledger {
    /// Goes on where another loop has left off.
    pub(crate) fn new(pulse: &Pulse) -> Self {
        let counters = &pulse.counters;
        let begun = counters.handshakes.value() + counters.failed_handshakes.value();
        Self { begun, listeners: Vec::new() }
    }
}

/// Those that are neither done nor under way have failed.
fn count_failed(failed: &Count, begun: u64, done: &Count, under_way: u64) {
    failed.set(begun.saturating_sub(done.value()).saturating_sub(under_way));
}

impl Core {
    /// All that has been counted, up to now.
    pub(crate) fn counters(&self) -> Counters {
        self.show_traffic();
        self.pulse.counters()
    }

    /// Shows others what is not counted where they can see it.
    #[inline]
    pub(crate) fn show_traffic(&self) {
        let Self { pulse, traffic, timers, table, .. } = self;
        pulse.counters.bytes_in.set(traffic.bytes_in);
        pulse.counters.bytes_out.set(traffic.bytes_out);
        pulse.counters.timers.set((timers.len() - table.spare_alarms()) as u64);
        pulse.counters.timer_operations.set(timers.operations());
    }

    /// A listener is there, or a line of it: it is among those that are shown.
    pub(crate) fn know_listener(&mut self, id: ListenerId) {
        self.entry_of(id);
    }

    #[inline]
    fn entry_of(&mut self, id: ListenerId) -> &mut ListenerEntry {
        // Numbers that are given out in order are their places.
        let number = id.number() as usize;
        let at = match self.ledger.listeners.get(number) {
            Some(known) if known.id == id => number,
            _ => self.find_entry(id),
        };
        &mut self.ledger.listeners[at]
    }

    #[cold]
    fn find_entry(&mut self, id: ListenerId) -> usize {
        let Self { ledger, pulse, .. } = self;
        let listeners = &mut ledger.listeners;
        listeners.iter().position(|known| known.id == id).unwrap_or_else(|| {
            let counts = pulse.listener(id);
            let begun = counts.handshakes.value() + counts.failed_handshakes.value();
            listeners.push(ListenerEntry { id, begun, under_way: 0, counts });
            listeners.len() - 1
        })
    }

    /// A line has come to be on this loop.
    pub(crate) fn count_open(&mut self, listener: Option<ListenerId>) {
        self.pulse.counters.open.add(1);
        if let Some(id) = listener {
            self.entry_of(id).counts.open.add(1);
        }
    }

    /// A line is no more on this loop.
    #[inline]
    pub(crate) fn count_gone(&mut self, listener: Option<ListenerId>) {
        self.pulse.counters.open.take_one();
        if let Some(id) = listener {
            self.entry_of(id).counts.open.take_one();
        }
    }

    /// The kernel has accepted a connection, and it has become a line.
    #[inline]
    pub(crate) fn count_accepted(&mut self, listener: ListenerId) {
        self.pulse.counters.accepted.add(1);
        self.pulse.counters.open.add(1);
        let counts = &self.entry_of(listener).counts;
        counts.accepted.add(1);
        counts.open.add(1);
    }

    /// A line has ended; only the first reason counts.
    pub(crate) fn count_end(&mut self, id: ConnId, kind: CloseKind) {
        let line = self.line(id);
        let listener = line.listener;
        if line.origin.has(Origin::END_COUNTED) {
            return;
        }
        line.origin.add(Origin::END_COUNTED);
        self.pulse.counters.closed_by.add(kind);
        let counters = &self.pulse.counters;
        let (done, under_way) = (&counters.handshakes, self.handshakes.live as u64);
        count_failed(&counters.failed_handshakes, self.ledger.begun, done, under_way);
        if let Some(id) = listener {
            let ListenerEntry { begun, under_way, counts, .. } = self.entry_of(id);
            counts.closed_by.add(kind);
            count_failed(&counts.failed_handshakes, *begun, &counts.handshakes, *under_way);
        }
    }

    /// As [`count_end`](Self::count_end), for a line that no handshake is counted of, and whose end
    /// has not been counted.
    #[inline]
    pub(crate) fn count_plain_end(&mut self, listener: Option<ListenerId>, kind: CloseKind) {
        self.pulse.counters.closed_by.add(kind);
        if let Some(id) = listener {
            self.entry_of(id).counts.closed_by.add(kind);
        }
    }

    /// A handshake begins.
    pub(crate) fn count_handshake_begun(&mut self, listener: Option<ListenerId>) {
        self.ledger.begun += 1;
        if let Some(id) = listener {
            self.entry_of(id).begun += 1;
        }
    }

    /// A handshake is under way, or no more.
    pub(crate) fn count_handshake_under_way(&mut self, listener: Option<ListenerId>, began: bool) {
        if let Some(id) = listener {
            let entry = self.entry_of(id);
            entry.under_way =
                if began { entry.under_way + 1 } else { entry.under_way.saturating_sub(1) };
        }
    }

    /// A handshake has come to a good end.
    pub(crate) fn count_handshake_done(&mut self, listener: Option<ListenerId>, resumed: bool) {
        let counters = &self.pulse.counters;
        counters.handshakes.add(1);
        counters.resumed_handshakes.add(u64::from(resumed));
        if let Some(id) = listener {
            let counts = &self.entry_of(id).counts;
            counts.handshakes.add(1);
            counts.resumed_handshakes.add(u64::from(resumed));
        }
    }
}
