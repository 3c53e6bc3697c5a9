//! How far a loop is on its way out, as data.
//!
//! ```text
//!                       the time to accept is over      no line is left, or the deadline
//!  Serving ──drain──► Accepting ──────────────► Refusing ────────────────► Quitting ──► (over)
//!     └──────────────────────────── quit ─────────────────────────────────────▲
//! ```
//!
//! Every phase goes back to Serving when it is withdrawn (S149).
//!
//! Never: closes anything.

use crate::api::{EngineState, ShardReport};
use crate::core::{Core, Counters};
use crate::id::ConnId;
use shardpoll_timers::Tick;

/// How far a loop is on its way out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Phase {
    Serving,
    /// Lines have been told; listeners go on until then.
    Accepting {
        until: Tick,
        deadline: Tick,
    },
    /// Nothing new; lines end by themselves.
    Refusing {
        deadline: Tick,
    },
    /// Everything has been closed; what is still there at the deadline is cut.
    Quitting {
        deadline: Tick,
    },
}

impl Phase {
    /// When it ends by itself.
    #[inline]
    pub(crate) fn due(self) -> Tick {
        match self {
            Self::Serving => Tick::MAX,
            Self::Accepting { until, .. } => until,
            Self::Refusing { deadline } | Self::Quitting { deadline } => deadline,
        }
    }

    /// When lines are cut.
    pub(crate) fn deadline(self) -> Tick {
        match self {
            Self::Serving => Tick::MAX,
            Self::Accepting { deadline, .. }
            | Self::Refusing { deadline }
            | Self::Quitting { deadline } => deadline,
        }
    }

    /// Whether nothing new is opened.
    pub(crate) fn refuses(self) -> bool {
        matches!(self, Self::Refusing { .. } | Self::Quitting { .. })
    }

    /// Whether everything is closed, what comes late too.
    pub(crate) fn quits(self) -> bool {
        matches!(self, Self::Quitting { .. })
    }

    /// Whether the loop does not end.
    #[inline]
    pub(crate) fn serves(self) -> bool {
        matches!(self, Self::Serving)
    }

    /// Whether a line that is established now is to be told of the drain.
    pub(crate) fn tells(self) -> bool {
        matches!(self, Self::Accepting { .. } | Self::Refusing { .. })
    }
}

/// What has happened since the loop was told to end.
#[derive(Clone, Copy, Default)]
pub(crate) struct Shutdown {
    /// Lines that had ended before.
    closed_before: u64,
    /// Lines that the deadline has cut.
    pub(crate) cut: u64,
}

impl Shutdown {
    /// Lines that linger have had their end, though they are yet to be freed.
    pub(crate) fn begin(counters: &Counters, lingering: u64) -> Self {
        Self { closed_before: counters.closed + lingering, cut: 0 }
    }
}

impl Core {
    /// Lines, with the attempts of those that connect to any of several addresses.
    pub(crate) fn lines(&self) -> usize {
        self.table.live() - self.listeners.len() - self.watches
    }

    /// Whether no line is left, and no listener that may still bring one, or have one back from
    /// another loop.
    pub(crate) fn awaits_nobody(&self) -> bool {
        self.lines() == 0 && self.listeners.is_empty()
    }

    /// Whether the loop has quit and nothing is left on it.
    pub(crate) fn is_over(&self) -> bool {
        self.phase.quits() && self.table.live() == 0
    }

    /// What ends from now on is reported.
    pub(crate) fn begin_report(&mut self) {
        let told = |id: &ConnId| self.table.line(*id).is_some_and(|line| line.told);
        let lingering = self.table.snapshot().iter().filter(|id| told(id)).count();
        self.shutdown = Shutdown::begin(&self.counters(), lingering as u64);
    }

    pub(crate) fn state(&self) -> EngineState {
        match self.phase {
            Phase::Serving => EngineState::Serving,
            Phase::Accepting { .. } => EngineState::DrainingAccepting,
            Phase::Quitting { .. } if self.is_over() => EngineState::Closed,
            Phase::Refusing { .. } | Phase::Quitting { .. } => EngineState::DrainingRefusing,
        }
    }

    pub(crate) fn drain_report(&self) -> ShardReport {
        let Shutdown { closed_before, cut } = self.shutdown;
        let freed = self.counters().closed.saturating_sub(closed_before);
        match self.phase {
            Phase::Serving => ShardReport::default(),
            // One that is cut is freed a moment later.
            _ => ShardReport { finished: freed.saturating_sub(cut), cut },
        }
    }
}
