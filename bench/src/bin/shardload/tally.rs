//! What a shard counts: times, operations, bytes, and what went wrong.
//!
//! Never: shared between threads; a tally is sent away when it is full of a second, and a new one
//! begun.
//!
//! Invariants:
//! 1. `Errors::total` is the sum of all kinds but `lost`.

use crate::counts::{Counts, histogram};
use crate::outcome::Errors;
use hdrhistogram::Histogram;
use shardpoll::{CloseReason, tls};
use std::io;

/// What happened within an interval.
#[derive(Debug)]
pub(crate) struct Tally {
    /// Of each operation that went well, in nanoseconds.
    pub(crate) latency: Counts,
    /// In an open loop, from the real start.
    pub(crate) uncorrected: Option<Counts>,
    pub(crate) operations: u64,
    pub(crate) sent_bytes: u64,
    pub(crate) received_bytes: u64,
    /// Connections that came to be usable.
    pub(crate) connects: u64,
    pub(crate) errors: Errors,
}

impl Tally {
    pub(crate) fn new(open_loop: bool) -> Self {
        Self {
            latency: Counts::new(),
            uncorrected: open_loop.then(Counts::new),
            operations: 0,
            sent_bytes: 0,
            received_bytes: 0,
            connects: 0,
            errors: Errors::default(),
        }
    }

    /// One more operation has gone well: due, begun and done at these times.
    pub(crate) fn done(&mut self, due: u64, begun: u64, now: u64) {
        self.latency.record(now.saturating_sub(due));
        if let Some(uncorrected) = &mut self.uncorrected {
            uncorrected.record(now.saturating_sub(begun));
        }
        self.operations += 1;
    }

    pub(crate) fn add(&mut self, other: &Self) {
        self.latency.add(&other.latency);
        if let (Some(uncorrected), Some(other)) = (&mut self.uncorrected, &other.uncorrected) {
            uncorrected.add(other);
        }
        self.operations += other.operations;
        self.sent_bytes += other.sent_bytes;
        self.received_bytes += other.received_bytes;
        self.connects += other.connects;
        self.errors.add(&other.errors);
    }
}

/// Adds the one to the other.
pub(crate) fn add(histogram: &mut Histogram<u64>, other: &Histogram<u64>) {
    histogram.add(other).expect("all have the same bounds");
}

/// What was opened: the times it took, and how TLS came to be.
#[derive(Debug)]
pub(crate) struct Openings {
    /// Until TCP or the unix socket stood, in nanoseconds.
    pub(crate) connect: Histogram<u64>,
    /// Of TLS alone, in nanoseconds.
    pub(crate) handshake: Histogram<u64>,
    pub(crate) resumed: u64,
}

impl Openings {
    pub(crate) fn new() -> Self {
        Self { connect: histogram(), handshake: histogram(), resumed: 0 }
    }

    pub(crate) fn add(&mut self, other: &Self) {
        add(&mut self.connect, &other.connect);
        add(&mut self.handshake, &other.handshake);
        self.resumed += other.resumed;
    }
}

/// What went wrong on one connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Fault {
    Refused,
    Reset,
    Closed,
    Timeout,
    Tls,
    Wrong,
    Other,
}

impl Fault {
    /// Of a connection that ended before we had done with it.
    pub(crate) fn of(reason: &CloseReason) -> Self {
        match reason {
            CloseReason::Connect(error) if is_refusal(error) => Self::Refused,
            CloseReason::Connect(error) if error.kind() == io::ErrorKind::ConnectionReset => {
                Self::Reset
            }
            CloseReason::ConnectTimeout
            | CloseReason::HandshakeTimeout { .. }
            | CloseReason::Silent
            | CloseReason::NotDraining => Self::Timeout,
            CloseReason::Connect(error) if error.kind() == io::ErrorKind::TimedOut => Self::Timeout,
            CloseReason::Reset => Self::Reset,
            // The end of TCP in the middle of TLS: whoever closes without a word has closed.
            CloseReason::PeerClosed => Self::Closed,
            CloseReason::Tls(error) if matches!(**error, tls::Error::Truncated) => Self::Closed,
            CloseReason::Tls(_) | CloseReason::Injected => Self::Tls,
            _ => Self::Other,
        }
    }
}

/// Nobody listens there; for a unix socket also that there is none, or that its queue is full.
fn is_refusal(error: &io::Error) -> bool {
    use io::ErrorKind as Kind;
    matches!(error.kind(), Kind::ConnectionRefused | Kind::NotFound | Kind::WouldBlock)
}

impl Errors {
    pub(crate) fn count(&mut self, fault: Fault) {
        self.total += 1;
        *match fault {
            Fault::Refused => &mut self.refused,
            Fault::Reset => &mut self.reset,
            Fault::Closed => &mut self.closed,
            Fault::Timeout => &mut self.timeout,
            Fault::Tls => &mut self.tls,
            Fault::Wrong => &mut self.wrong,
            Fault::Other => &mut self.other,
        } += 1;
    }

    pub(crate) fn add(&mut self, more: &Self) {
        self.total += more.total;
        self.refused += more.refused;
        self.reset += more.reset;
        self.closed += more.closed;
        self.timeout += more.timeout;
        self.tls += more.tls;
        self.wrong += more.wrong;
        self.other += more.other;
        self.lost += more.lost;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stall_shows_in_the_corrected_time_only() {
        let mut tally = Tally::new(true);
        tally.done(1_000, 100_001_000, 100_051_000);
        let latency = tally.latency.histogram();
        assert!(latency.equivalent(latency.max(), 100_050_000));
        let uncorrected = tally.uncorrected.expect("an open loop has it").histogram();
        assert!(uncorrected.equivalent(uncorrected.max(), 50_000));
    }

    #[test]
    fn tallies_add_up_to_the_whole() {
        let (mut whole, mut sum) = (Tally::new(false), Tally::new(false));
        for part in 0..5_u64 {
            let mut tally = Tally::new(false);
            for time in part * 100..part * 100 + 50 {
                tally.done(0, 0, time * 1_000);
                whole.done(0, 0, time * 1_000);
            }
            tally.errors.count(Fault::Reset);
            whole.errors.count(Fault::Reset);
            sum.add(&tally);
        }
        assert_eq!(sum.latency, whole.latency);
        assert_eq!((sum.operations, sum.errors), (whole.operations, whole.errors));
        assert_eq!((sum.errors.total, sum.errors.reset), (5, 5));
    }

    #[test]
    fn faults_are_sorted_by_what_a_user_would_look_for() {
        let connect = |kind: io::ErrorKind| CloseReason::Connect(io::Error::from(kind));
        for (reason, fault) in [
            (connect(io::ErrorKind::ConnectionRefused), Fault::Refused),
            (connect(io::ErrorKind::NotFound), Fault::Refused),
            (connect(io::ErrorKind::TimedOut), Fault::Timeout),
            (connect(io::ErrorKind::AddrNotAvailable), Fault::Other),
            (CloseReason::ConnectTimeout, Fault::Timeout),
            (CloseReason::Silent, Fault::Timeout),
            (CloseReason::Reset, Fault::Reset),
            (CloseReason::PeerClosed, Fault::Closed),
            (CloseReason::Tls(Box::new(tls::Error::Truncated)), Fault::Closed),
            (CloseReason::Tls(Box::new(tls::Error::KeysExhausted)), Fault::Tls),
            (CloseReason::Internal, Fault::Other),
        ] {
            assert_eq!(Fault::of(&reason), fault, "{reason:?}");
        }
    }
}
