//! The end that most connections have: the peer has finished, and nothing is left of them.
//!
//! Never: tells anybody.

use super::{Line, Origin, Stage};
use crate::api::{Addr, CloseReason};

impl Line {
    /// Whether nothing keeps a simple line whose peer has finished.
    #[inline]
    pub(crate) fn owes_nothing(&self) -> bool {
        self.outbox.is_empty() && self.tuning.is_none()
    }

    /// Its peer has finished, and it [owes nothing](Self::owes_nothing): it ends, which is counted
    /// and told at once.
    #[inline]
    pub(crate) fn part(&mut self) {
        self.input_ended = true;
        self.told = true;
        self.origin.add(Origin::END_COUNTED);
        self.enter_from_plain(Stage::Closed(CloseReason::PeerClosed));
    }

    /// Whether it owns nothing but its part of the listener's address, as most do in the end.
    #[inline(always)]
    pub(crate) fn is_bare(&self) -> bool {
        // All that may own something: whatever is added to a line has to be looked at here, too.
        let Self { handler, stage, outbox, tuning, race, ended_tls, peer, .. } = self;
        let alone = handler.is_none() && outbox.is_empty() && tuning.is_none();
        let plain = race.is_none() && ended_tls.is_none() && matches!(peer, Addr::Ip(_));
        alone && plain && matches!(stage, Stage::Closed(CloseReason::PeerClosed))
    }
}
