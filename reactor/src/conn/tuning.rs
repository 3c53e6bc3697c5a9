//! What few connections have: limits of their own. In a box, so that the others pay one word.
//!
//! Never: reads a clock.
//!
//! Invariants:
//! 1. A wait of its own is used once: the next read, or the next progress of output, ends it (S84,
//!    S89), and its own end, when nobody waited then.

use super::pace::Pace;
use super::{Line, Marks, Travel};
use crate::api::Credit;
use crate::id::ConnId;
use crate::proxy::ProxyHeader;
use shardpoll_timers::Tick;
use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::Duration;

/// The settings of one connection that differ from the configuration.
#[derive(Default)]
pub(crate) struct Tuning {
    /// When silence is too long, instead of the configured timeout; [`Tick::MAX`]: never.
    pub(crate) read_due: Option<Tick>,
    /// When output has waited too long, likewise.
    pub(crate) write_due: Option<Tick>,
    /// When a timed pause ends; `None` while its clock is stopped.
    pub(crate) pause_ends: Option<Tick>,
    /// The largest chunk, in bytes.
    pub(crate) read_size: Option<usize>,
    pub(crate) rate: Option<Rate>,
    /// What may still be read; `None`: whatever comes.
    pub(crate) credit: Option<Credit>,
    pub(crate) link: Option<Link>,
    /// The lines that are linked to this one.
    pub(crate) sources: Vec<ConnId>,
    /// The one of them that has left its input in the kernel for this one to take.
    pub(crate) pulls: Option<Pull>,
    pub(crate) fin: Fin,
    /// It is to move to another loop, or has moved, or could not.
    pub(crate) travel: Option<Travel>,
    /// How slow its peer may be.
    pub(crate) pace: Option<Box<Pace>>,
    /// When it is too old.
    pub(crate) life_ends: Option<Tick>,
    /// What the balancer in front has said.
    pub(crate) proxy: Option<Arc<ProxyHeader>>,
}

impl Tuning {
    fn says_nothing(&self) -> bool {
        matches!(
            self,
            Self {
                read_due: None,
                write_due: None,
                pause_ends: None,
                read_size: None,
                rate: None,
                credit: None,
                link: None,
                sources,
                pulls: None,
                fin: Fin::Open,
                travel: None,
                pace: None,
                life_ends: None,
                proxy: _,
            } if sources.is_empty()
        )
    }

    /// Whether links are all there is, and none is about to pull.
    pub(crate) fn merely_links(&self) -> bool {
        matches!(
            self,
            Self {
                read_due: None,
                write_due: None,
                pause_ends: None,
                read_size: _,
                rate: None,
                credit: None,
                link: _,
                sources: _,
                pulls: None,
                fin: Fin::Open,
                travel: None,
                pace: None,
                life_ends: None,
                proxy: _,
            }
        )
    }

    /// Whether nothing limits how much is read.
    pub(crate) fn lets_all_in(&self) -> bool {
        self.rate.is_none() && self.credit.is_none() && self.link.is_none()
    }
}

impl Line {
    /// Gives up limits of its own that say nothing (any more), so that the line is as simple as
    /// those that never had any.
    pub(crate) fn untune(&mut self) {
        let Some(tuning) = &self.tuning else { return };
        if tuning.says_nothing() {
            self.marks.take(Marks::TUNED);
            // That is only read by who asks for it.
            if tuning.proxy.is_none() {
                self.tuning = None;
            }
        }
    }
}

/// Where the input of a line goes, instead of to its handler.
#[derive(Clone, Copy)]
pub(crate) struct Link {
    pub(crate) to: ConnId,
    /// With more than this queued at its target the line is not read, in bytes,
    pub(crate) high: usize,
    /// until no more than this is.
    pub(crate) low: usize,
    /// An end at one side is passed on to the other.
    pub(crate) propagate: bool,
    /// Its last read filled its chunk, or its last pull was as much: there is likely more.
    pub(crate) bulk: bool,
}

impl Line {
    /// Whether much comes through its link, if it has one.
    pub(crate) fn is_bulk(&mut self, much: bool) {
        if let Some(link) = self.tuning.as_mut().and_then(|tuning| tuning.link.as_mut()) {
            link.bulk = much;
        }
    }
}

/// A source whose input its target takes from the kernel.
#[derive(Clone, Copy)]
pub(crate) struct Pull {
    pub(crate) from: ConnId,
    /// The handler of the target has had its predrain, which may have panicked.
    pub(crate) told: bool,
}

/// How far our side of a line that stays open has ended.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) enum Fin {
    #[default]
    Open,
    /// It ends behind what is queued.
    Asked,
    /// close_notify is queued, and the kernel's FIN follows.
    Sealed,
    Sent,
}

/// The largest read size, in bytes.
const MAX_READ_SIZE: usize = 1024 * 1024;

impl Line {
    /// Sets the largest chunk its handler is given; what lies beyond is taken as the nearer end
    /// (S54).
    pub(crate) fn set_read_size(&mut self, bytes: usize) {
        self.tune().read_size = Some(bytes.clamp(1, MAX_READ_SIZE));
    }
}

/// The beginnings of a wait: one of its own that passed while nobody waited is over.
impl Line {
    /// It is read again: the peer's silence begins anew (S103).
    pub(crate) fn begins_to_listen(&mut self, now: Tick) {
        self.last_read = now;
        if let Some(tuning) = &mut self.tuning {
            tuning.read_due = tuning.read_due.filter(|due| *due > now);
        }
    }

    /// The first byte that waits to be sent (S92).
    pub(crate) fn begins_to_wait(&mut self, now: Tick) {
        self.last_progress = now;
        if let Some(tuning) = &mut self.tuning {
            tuning.write_due = tuning.write_due.filter(|due| *due > now);
        }
    }
}

/// A limit of bytes per second, and what has been read beyond it.
#[derive(Clone, Copy)]
pub(crate) struct Rate {
    pub(crate) bytes_per_second: NonZeroU64,
    /// When what has been read is paid for: no credit is saved, and debts add up (S101).
    pub(crate) paid: Tick,
}

impl Rate {
    /// Takes note of bytes that were read; gives when they are paid for.
    pub(crate) fn charge(&mut self, bytes: usize, now: Tick) -> Tick {
        let nanos = u128::from(self.bytes_per_second.get());
        let cost = (bytes as u128).saturating_mul(1_000_000_000) / nanos;
        let cost = Duration::from_nanos(u64::try_from(cost).unwrap_or(u64::MAX));
        self.paid = self.paid.max(now).saturating_add(cost);
        self.paid
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debts_add_up_and_no_credit_is_saved() {
        let bytes_per_second = NonZeroU64::new(1000).expect("not 0");
        let mut rate = Rate { bytes_per_second, paid: Tick::ZERO };
        let second = |n: u64| Tick::from_nanos(n * 1_000_000_000);
        // A long silence before is no credit.
        assert_eq!(rate.charge(500, second(10)), Tick::from_nanos(10_500_000_000));
        assert_eq!(rate.charge(500, second(10)), second(11));
        // One byte costs a millisecond, and it counts.
        assert_eq!(rate.charge(1, second(20)), Tick::from_nanos(20_001_000_000));
    }
}
