//! What must have happened when a world is over.
//!
//! Never: is asked before the end.

use super::history::{HEADER, History};
use super::record::Record;

impl History {
    /// Everything is over: what must have been, has it?
    pub fn judge(&mut self) {
        let mut wrong = Vec::new();
        for (number, _) in self.seats.iter().enumerate().filter(|(_, seat)| !seat.dropped) {
            wrong.push(format!("handler {number} was never dropped"));
        }
        for (number, _) in self.doors.iter().enumerate().filter(|(_, door)| !door.closed) {
            wrong.push(format!("listener {number} was not told of its end"));
        }
        for (me, record) in self.records.iter().enumerate().filter(|(_, r)| r.is_handler) {
            let silent = record.aborted || record.panicked || record.refused;
            let silent = silent || record.panic_due && record.may_end_silently;
            if record.disconnects == 0 && !silent {
                wrong.push(format!("{me} was not told of its end"));
            }
        }
        for (me, record) in self.records.iter().enumerate() {
            let sender = u64::from_le_bytes(record.header);
            if record.got < HEADER {
                continue;
            }
            let Some(other) = self.records.get(usize::try_from(sender).unwrap_or(usize::MAX))
            else {
                wrong.push(format!("{me} got bytes of nobody: {sender}"));
                continue;
            };
            if record.got > other.written {
                wrong.push(format!("{me} got {}, {sender} sent {}", record.got, other.written));
            }
            let relayed = self.relay_was_graceful(record, other);
            if record.clean_end && other.graceful && relayed && record.got < other.written {
                let (got, written) = (record.got, other.written);
                wrong.push(format!("{me} got {got} and an orderly end, {sender} sent {written}"));
            }
        }
        self.violations.extend(wrong);
    }

    /// Whether nothing but the ends of the two has ended the relay between them, if there is one.
    fn relay_was_graceful(&self, one: &Record, other: &Record) -> bool {
        if one.is_handler || other.is_handler {
            return true;
        }
        let front = |record: &Record| self.fronts.get(&record.addr?).copied();
        let front = front(one).or_else(|| front(other));
        let pair = self.pairs.iter().find(|(known, _)| Some(*known) == front);
        pair.is_some_and(|&(front, back)| {
            self.records[front].clean_end && self.records[back].clean_end
        })
    }

    /// Directions over relays that were checked to be whole.
    pub fn relayed(&self) -> u64 {
        let whole = self.records.iter().filter(|record| {
            let sender = usize::try_from(u64::from_le_bytes(record.header)).unwrap_or(usize::MAX);
            let sender = self.records.get(sender).filter(|_| record.got >= HEADER);
            !record.is_handler
                && sender.is_some_and(|sender| {
                    let through = !sender.is_handler && self.relay_was_graceful(record, sender);
                    through && record.clean_end && record.got == sender.written
                })
        });
        whole.count() as u64
    }

    /// Sides that got all of what the other had written, up to an orderly end.
    pub fn complete(&self) -> u64 {
        let whole = self.records.iter().filter(|record| {
            let sender = usize::try_from(u64::from_le_bytes(record.header)).unwrap_or(usize::MAX);
            let sent = self.records.get(sender).map(|other| other.written);
            record.clean_end && record.got >= HEADER && sent == Some(record.got)
        });
        whole.count() as u64
    }
}
