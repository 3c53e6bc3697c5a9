//! Who may come in: accepted connections are counted, and one too many is turned away before
//! anybody hears of it.
//!
//! In two steps, since the peer of a connection that comes through a proxy is known later: `enter`
//! when it is accepted, `enter_peer` when its peer is known.
//!
//! Never: calls user code.
//!
//! Invariants:
//! 1. What the bits of a line say was entered is left once, when the line goes.

use super::Reactor;
use crate::api::Addr;
use crate::census::{Census, TooMany};
use crate::conn::Origin;
use crate::id::{ConnId, ListenerId};
use crate::sys::Sys;
use shardpoll_timers::Tick;
use std::time::Duration;

/// Who is turned away, and why, is logged once in this time: the log is no target either.
const QUIET: Duration = Duration::from_secs(10);

/// Lets one message pass in a while, and counts the others.
#[derive(Default)]
pub(super) struct Hush {
    until: Tick,
    unsaid: u64,
}

impl Hush {
    /// How many were not said before this one; `None` when this is not to be said either.
    pub(super) fn speak(&mut self, now: Tick) -> Option<u64> {
        if now < self.until {
            self.unsaid += 1;
            return None;
        }
        self.until = now.saturating_add(QUIET);
        Some(std::mem::take(&mut self.unsaid))
    }
}

impl<S: Sys> Reactor<S> {
    /// Counts connections by this census from now on, instead of one that knows this loop only:
    /// for loops that have limits in common. To be called before there is a listener.
    pub fn set_census(&mut self, census: Box<dyn Census>) {
        self.census = census;
    }

    /// A connection was accepted: what its line begins with; `None` when it is to be closed.
    #[inline]
    pub(super) fn enter(&mut self, key: ConnId, addr: &Addr) -> Option<Origin> {
        let listener = self.core.table.listener_mut(key)?;
        let mut origin = Origin::NOTHING;
        if listener.counted {
            let id = listener.id;
            if let Err(why) = self.census.enter(id) {
                self.turn_away(id, addr, why);
                return None;
            }
            origin.add(Origin::ENTERED);
        }
        Some(origin)
    }

    /// The peer of a connection is known; false when it is to be closed. No-op for one that is not
    /// counted.
    #[inline]
    pub(super) fn enter_peer(
        &mut self,
        listener: ListenerId,
        addr: &Addr,
        origin: &mut Origin,
    ) -> bool {
        if !origin.has(Origin::ENTERED) {
            return true;
        }
        match self.census.enter_peer(listener, addr) {
            Ok(()) => origin.add(Origin::PEER_ENTERED),
            Err(why) => {
                self.turn_away(listener, addr, why);
                return false;
            }
        }
        true
    }

    /// What was entered has gone.
    #[inline]
    pub(super) fn leave(&self, listener: Option<ListenerId>, peer: &Addr, origin: Origin) {
        let Some(listener) = listener else { return };
        if origin.has(Origin::PEER_ENTERED) {
            self.census.leave_peer(listener, peer);
        }
        if origin.has(Origin::ENTERED) {
            self.census.leave(listener);
        }
    }

    #[cold]
    fn turn_away(&mut self, listener: ListenerId, addr: &Addr, why: TooMany) {
        let Self { core, turned_away, .. } = self;
        let counters = &core.pulse.counters;
        let count = match why {
            TooMany::InAll => &counters.refused_in_all,
            TooMany::OfListener => &counters.refused_of_listener,
            TooMany::FromPeer => &counters.refused_from_peer,
        };
        count.add(1);
        if let Some(others) = turned_away.speak(core.now) {
            let number = listener.number();
            log::warn!("listener {number}: {addr} turned away: {why}; {others} others before it");
        }
    }
}
