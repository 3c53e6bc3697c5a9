//! The handshakes that are under way on a loop: counted, and no more than so many, since each may
//! hold a half-received message and a peer pays nothing to leave it half.
//!
//! Never: calls user code or the kernel.
//!
//! Invariants:
//! 1. Between two services a line carries `Marks::HANDSHAKE` exactly while it is in its handshake,
//!    and `live` counts those lines.
//! 2. `order` has each of them, oldest first, among others that are over; it is at most as long as
//!    twice the limit and some.

use crate::api::CloseReason;
use crate::conn::{Marks, Stage};
use crate::core::Core;
use crate::id::ConnId;
use std::collections::VecDeque;
use std::time::Duration;

/// How long a handshake may have been under way before it is given up for a newer one: an honest
/// one takes a few round trips.
const GRACE: Duration = Duration::from_secs(5);

/// How many that are over `order` may hold before they are looked for.
const SLACK: usize = 64;

#[derive(Default)]
pub(crate) struct Handshakes {
    pub(crate) live: usize,
    order: VecDeque<ConnId>,
}

impl Core {
    /// A service of the line is nearly over: counts its handshake if it has begun, or is over.
    #[inline]
    pub(crate) fn count_handshake(&mut self, id: ConnId) {
        let line = self.table.served_mut(id);
        let under_way = line.is_handshaking();
        if under_way != line.marks.has(Marks::HANDSHAKE) {
            self.handshake_changed(id, under_way);
        }
    }

    #[inline(never)]
    fn handshake_changed(&mut self, id: ConnId, began: bool) {
        let listener = self.table.served_mut(id).listener;
        self.count_handshake_under_way(listener, began);
        let line = self.table.served_mut(id);
        if !began {
            line.marks.take(Marks::HANDSHAKE);
            self.handshakes.live -= 1;
            return;
        }
        line.marks.add(Marks::HANDSHAKE);
        self.handshakes.live += 1;
        if self.handshakes.order.len() > 2 * self.handshakes.live + SLACK {
            let Self { table, handshakes, .. } = self;
            handshakes
                .order
                .retain(|id| table.line(*id).is_some_and(|line| line.marks.has(Marks::HANDSHAKE)));
        }
        self.handshakes.order.push_back(id);
        if self.handshakes.live > self.config.max_handshakes {
            let one = self.too_old().unwrap_or(id);
            self.pulse.counters.shed_handshakes.add(1);
            self.fail(one, CloseReason::TooManyHandshakes);
            // Now: if it is the one that is served, its service has looked already.
            self.count_handshake(one);
        }
    }

    /// The oldest handshake, if an honest one would be over by now.
    fn too_old(&mut self) -> Option<ConnId> {
        while let Some(&id) = self.handshakes.order.front() {
            match self.table.line(id).map(|line| &line.stage) {
                Some(Stage::Handshaking(tls)) if tls.began.saturating_add(GRACE) > self.now => {
                    return None;
                }
                Some(Stage::Handshaking(_)) => return self.handshakes.order.pop_front(),
                _ => self.handshakes.order.pop_front(),
            };
        }
        None
    }
}
