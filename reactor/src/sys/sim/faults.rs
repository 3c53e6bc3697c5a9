//! What can go wrong, how likely it is, how often it has happened, and the generator behind it.
//!
//! Never: acts; the network does.
//!
//! Invariants:
//! 1. A kind whose probability is 0 draws no number, so adding a kind does not change the runs of
//!    worlds that do not use it.

use std::fmt;

/// One kind of fault that a simulated kernel or network can make.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Fault {
    /// A `recv` gives less than there is; an edge follows, unless the peer's end was reported.
    ShortRead,
    /// A `send` takes less than there is room for; an edge follows.
    ShortWrite,
    /// A `recv` would block though there is input; an edge follows.
    ReadBlocked,
    /// A `send` would block though there is room; an edge follows.
    WriteBlocked,
    /// `recv` is interrupted by a signal (EINTR).
    RecvInterrupted,
    /// `send` is interrupted by a signal (EINTR).
    SendInterrupted,
    /// The kernel has no memory for a `send` (ENOMEM).
    SendMemory,
    /// A wait is interrupted by a signal, which gives no events.
    WaitInterrupted,
    /// A stream is reported readable and writable that is neither.
    SpuriousEvent,
    /// An event comes for a registration that is gone.
    StaleEvent,
    /// The events of a batch come in another order.
    Reordered,
    /// A batch gives less events than there are; the next one gives the others.
    BatchCut,
    /// An outgoing connection is refused (ECONNREFUSED).
    ConnectRefused,
    /// An outgoing connection takes up to two seconds.
    ConnectLate,
    /// An outgoing connection is never answered.
    ConnectHangs,
    /// `connect` fails at once (EMFILE or EADDRNOTAVAIL).
    ConnectFails,
    /// A connection is reset: while it is read, written, or data is on its way.
    Reset,
    /// What a peer has begun to send ends by a FIN in the middle.
    HalfClose,
    /// `accept` finds no descriptor (EMFILE).
    AcceptDescriptors,
    /// `accept` finds no buffers (ENOBUFS).
    AcceptBuffers,
    /// `accept` finds no memory (ENOMEM).
    AcceptMemory,
    /// The connection to accept is gone (ECONNABORTED).
    AcceptAborted,
    /// `accept` is interrupted by a signal (EINTR).
    AcceptInterrupted,
    /// The kernel watches no more descriptors (ENOSPC).
    RegisterRefused,
    /// There is no pipe to be had (EMFILE), or none that a stream's input can go into (EINVAL).
    SpliceRefused,
    /// The clock steps forward by up to five seconds, as after a stall of the loop.
    ClockStep,
}

const KINDS: usize = Fault::ClockStep as usize + 1;

impl Fault {
    /// Every kind, in the order in which [`Counts`] shows them.
    pub const ALL: [Self; KINDS] = [
        Self::ShortRead,
        Self::ShortWrite,
        Self::ReadBlocked,
        Self::WriteBlocked,
        Self::RecvInterrupted,
        Self::SendInterrupted,
        Self::SendMemory,
        Self::WaitInterrupted,
        Self::SpuriousEvent,
        Self::StaleEvent,
        Self::Reordered,
        Self::BatchCut,
        Self::ConnectRefused,
        Self::ConnectLate,
        Self::ConnectHangs,
        Self::ConnectFails,
        Self::Reset,
        Self::HalfClose,
        Self::AcceptDescriptors,
        Self::AcceptBuffers,
        Self::AcceptMemory,
        Self::AcceptAborted,
        Self::AcceptInterrupted,
        Self::RegisterRefused,
        Self::SpliceRefused,
        Self::ClockStep,
    ];
}

/// How likely each kind of fault is, each time it could happen.
///
/// ```
/// use shardpoll_reactor::{Fault, Faults};
///
/// let faults = Faults::none().with(Fault::ShortRead, 0.5).with(Fault::Reset, 0.001);
/// # let _ = faults;
/// ```
#[derive(Clone, Debug)]
pub struct Faults {
    odds: [f64; KINDS],
}

impl Faults {
    /// A world without faults.
    #[must_use]
    pub const fn none() -> Self {
        Self { odds: [0.0; KINDS] }
    }

    /// Every kind with the same probability, 0 to 1.
    #[must_use]
    pub const fn uniform(probability: f64) -> Self {
        Self { odds: [probability; KINDS] }
    }

    /// Sets the probability of one kind, 0 to 1.
    #[must_use]
    pub const fn with(mut self, fault: Fault, probability: f64) -> Self {
        self.odds[fault as usize] = probability;
        self
    }
}

/// How often each kind of fault has happened.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Counts {
    counts: [u64; KINDS],
}

impl Counts {
    /// How often this kind has happened.
    #[must_use]
    pub const fn of(&self, fault: Fault) -> u64 {
        self.counts[fault as usize]
    }

    /// Faults of all kinds.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Adds what happened in another world.
    pub fn add(&mut self, other: &Self) {
        for (count, more) in self.counts.iter_mut().zip(other.counts) {
            *count += more;
        }
    }
}

/// One line a kind.
impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for fault in Fault::ALL {
            writeln!(f, "{:>10}  {fault:?}", self.of(fault))?;
        }
        Ok(())
    }
}

/// SplitMix64: one word of state, every seed good (Steele, Lea, Flood 2014).
#[derive(Debug)]
pub(super) struct Dice {
    state: u64,
    faults: Faults,
    pub(super) counts: Counts,
}

impl Dice {
    pub(super) fn new(seed: u64, faults: Faults) -> Self {
        Self { state: seed, faults, counts: Counts::default() }
    }

    pub(super) fn set_faults(&mut self, faults: Faults) {
        self.faults = faults;
    }

    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number from 0 to below `end`, which is not 0.
    pub(super) fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    /// An index below `len`, which is not 0.
    #[expect(clippy::cast_possible_truncation, reason = "below a usize")]
    pub(super) fn index(&mut self, len: usize) -> usize {
        self.below(len as u64) as usize
    }

    /// Whether this fault happens now; counted.
    pub(super) fn strikes(&mut self, fault: Fault) -> bool {
        let odds = self.faults.odds[fault as usize];
        if odds <= 0.0 {
            return false;
        }
        // The upper 53 bits are a uniform fraction.
        let strikes = (self.next() >> 11) as f64 / ((1_u64 << 53) as f64) < odds;
        self.counts.counts[fault as usize] += u64::from(strikes);
        strikes
    }

    /// Puts a slice in random order.
    pub(super) fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            let other = self.index(last + 1);
            items.swap(last, other);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_stands_once_in_the_list_of_all() {
        for (index, fault) in Fault::ALL.into_iter().enumerate() {
            assert_eq!(fault as usize, index);
        }
    }

    #[test]
    fn a_fault_strikes_as_often_as_its_probability_says() {
        let mut dice = Dice::new(7, Faults::none().with(Fault::Reset, 0.25));
        let strikes = (0..10_000).filter(|_| dice.strikes(Fault::Reset)).count();
        assert!((2_300..2_700).contains(&strikes), "{strikes}");
        assert_eq!(dice.counts.of(Fault::Reset), strikes as u64);
        assert!((0..100).all(|_| !dice.strikes(Fault::ShortRead)));
    }
}
