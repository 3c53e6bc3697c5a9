//! All that was seen of an engine, and the rules that hold for every connection in it.
//!
//! Never: orders events of different shards.

use crate::{Event, Seen};
use shardpoll::ConnId;
use std::collections::{HashMap, HashSet};

/// All that was seen of an engine.
#[derive(Debug)]
pub struct Trace {
    /// In order; between connections of several shards the order means nothing.
    pub seen: Vec<Seen>,
}

impl Trace {
    /// What was seen of one connection; consecutive input is joined, and the drop is left out.
    #[must_use]
    pub fn of(&self, conn: ConnId) -> Vec<Event> {
        let mut events: Vec<Event> = Vec::new();
        for seen in self.seen.iter().filter(|seen| seen.conn == Some(conn)) {
            match (&seen.event, events.last_mut()) {
                (Event::Dropped, _) => {}
                (Event::Incoming(more), Some(Event::Incoming(data))) => data.extend(more),
                (event, _) => events.push(event.clone()),
            }
        }
        events
    }

    /// What was seen of one connection by whom, drops and all.
    #[must_use]
    pub fn by(&self, conn: ConnId) -> Vec<(&'static str, Event)> {
        let of = self.seen.iter().filter(|seen| seen.conn == Some(conn));
        of.map(|seen| (seen.by, seen.event.clone())).collect()
    }

    /// The connections, in order of their first event.
    #[must_use]
    pub fn connections(&self) -> Vec<ConnId> {
        let mut ids: Vec<ConnId> = Vec::new();
        let mut known = HashSet::new();
        ids.extend(self.seen.iter().filter_map(|seen| seen.conn).filter(|id| known.insert(*id)));
        ids
    }

    /// What was seen of the only connection there was.
    ///
    /// # Panics
    /// When there was not exactly one.
    #[must_use]
    pub fn only(&self) -> Vec<Event> {
        let ids = self.connections();
        assert_eq!(ids.len(), 1, "connections: {ids:?}");
        self.of(ids[0])
    }

    /// The ends of connections, each with its reason in the `Debug` form.
    #[must_use]
    pub fn ends(&self) -> Vec<(ConnId, String)> {
        let ends = self.seen.iter().filter(|seen| seen.event.is_end());
        ends.filter_map(|seen| Some((seen.conn?, seen.cause.clone()))).collect()
    }

    /// How many events are exactly this.
    #[must_use]
    pub fn count(&self, event: &Event) -> usize {
        self.seen.iter().filter(|seen| seen.event == *event).count()
    }

    pub(crate) fn check(&self) {
        let mut records: HashMap<ConnId, Vec<&Event>> = HashMap::new();
        for seen in &self.seen {
            if let Some(conn) = seen.conn {
                records.entry(conn).or_default().push(&seen.event);
            }
        }
        for (conn, events) in records {
            let count = |fits: &dyn Fn(&Event) -> bool| events.iter().filter(|e| fits(e)).count();
            let connects = count(&|e| *e == Event::Connect);
            let ends = count(&Event::is_end);
            let drops = count(&|e| *e == Event::Dropped);
            let told = events.iter().position(|e| e.is_end());
            let after = told.map_or(&[][..], |at| &events[at + 1..]);
            let quiet = after.iter().all(|e| matches!(e, Event::Dropped | Event::Note(_)));
            let early = events.iter().position(|e| **e == Event::Connect).unwrap_or(events.len());
            let input = |e: &&&Event| matches!(e, Event::Incoming(_) | Event::ReadTimeout);
            let premature = events[..early].iter().find(input);
            assert!(connects <= 1 && ends <= 1 && quiet, "{conn}: {events:?}");
            let handlers = 1 + count(&|e| *e == Event::Attach);
            assert_eq!(drops, handlers, "{conn}: a handler is dropped once: {events:?}");
            assert!(premature.is_none(), "{conn}: input before on_connect: {events:?}");
        }
    }
}
