//! Whether a peer is too slow: what has moved in a window, against what should have.
//!
//! Never: reads a clock.
//!
//! Invariants:
//! 1. A window runs only between two services, and was begun at the end of one: what is counted in
//!    it has moved since.

use super::{Line, Ready, Stage, Tuning};
use crate::api::{Lifetime, MinRate};
use crate::id::ConnId;
use shardpoll_timers::Tick;
use std::num::NonZeroU64;
use std::time::Duration;

/// The shortest window that is judged.
const SHORTEST: Duration = Duration::from_millis(1);

/// How slow the peer may be, and how fast it is.
pub(crate) struct Pace {
    rate: MinRate,
    pub(super) output: Window,
    pub(super) input: Window,
}

/// What has moved in one direction.
#[derive(Default)]
pub(super) struct Window {
    /// When it is judged; `None` while nothing is expected.
    due: Option<Tick>,
    /// What has moved since it began.
    bytes: u64,
}

impl Window {
    fn begin(&mut self, now: Tick, time: Duration) {
        *self = Self { due: Some(now.saturating_add(time)), bytes: 0 };
    }

    /// It is not judged: the next one begins when something is expected again.
    pub(super) fn end(&mut self) {
        *self = Self::default();
    }

    fn count(&mut self, bytes: usize) {
        self.bytes = self.bytes.saturating_add(bytes as u64);
    }

    /// What the kernel or we have kept it waiting for does not count.
    fn prolong(&mut self, by: Duration) {
        self.due = self.due.map(|due| due.saturating_add(by));
    }

    /// A service is over: begins, or ends, with what is expected.
    fn follow(&mut self, expected: bool, now: Tick, time: Duration) {
        match (expected, self.due) {
            (true, None) => self.begin(now, time),
            (false, Some(_)) => self.end(),
            _ => {}
        }
    }

    /// Whether too little has moved in a window that is over; if not, the next one begins.
    fn judge(&mut self, rate: Option<NonZeroU64>, now: Tick, time: Duration) -> bool {
        let (Some(rate), true) = (rate, self.due.is_some_and(|due| due <= now)) else {
            return false;
        };
        let wanted = u128::from(rate.get()) * time.as_nanos() / 1_000_000_000;
        let slow = u128::from(self.bytes) < wanted;
        if !slow {
            self.begin(now, time);
        }
        slow
    }
}

impl Tuning {
    /// The kernel has taken so much.
    #[inline]
    pub(crate) fn sent(&mut self, bytes: usize) {
        // One that was set for this wait only (S89).
        self.write_due = None;
        if let Some(pace) = &mut self.pace {
            pace.output.count(bytes);
        }
    }

    /// Reading was stopped for a while, maybe without a service that saw it.
    pub(crate) fn expects_anew(&mut self) {
        if let Some(pace) = &mut self.pace {
            pace.input.end();
        }
    }

    /// Sending was, likewise.
    pub(crate) fn sends_anew(&mut self) {
        if let Some(pace) = &mut self.pace {
            pace.output.end();
        }
    }

    /// So much was read; whether nothing is to be read for a while.
    pub(crate) fn received(&mut self, bytes: usize, now: Tick) -> bool {
        // One that was set for this wait only (S84).
        self.read_due = None;
        let mut rest = Duration::ZERO;
        let mut owes = false;
        if let Some(rate) = &mut self.rate {
            let before = rate.paid.max(now);
            let paid = rate.charge(bytes, now);
            rest = paid.saturating_since(before);
            owes = paid > now;
        }
        if let Some(pace) = &mut self.pace {
            pace.input.count(bytes);
            pace.input.prolong(rest);
        }
        owes
    }
}

impl Line {
    pub(crate) fn set_min_rate(&mut self, rate: Option<MinRate>) {
        if rate.is_none() && self.tuning.is_none() {
            return;
        }
        let pace = rate.map(|mut rate| {
            rate.window = rate.window.max(SHORTEST);
            Box::new(Pace { rate, output: Window::default(), input: Window::default() })
        });
        // What is sent is counted on the short way too, what is read is not.
        let counts_input = rate.is_some_and(|rate| rate.input.is_some());
        let tuning = if counts_input { self.tune() } else { self.tuning.get_or_insert_default() };
        tuning.pace = pace;
    }

    pub(crate) fn set_lifetime(&mut self, id: ConnId, time: Option<Lifetime>) {
        if time.is_none() && self.tuning.is_none() {
            return;
        }
        let ends = time.map(|time| self.opened.saturating_add(time.of(id.key())));
        self.tuning.get_or_insert_default().life_ends = ends;
    }

    /// Whether output is to move.
    fn expects_output(&self) -> bool {
        matches!(self.stage, Stage::Open(_) | Stage::Flushing { .. }) && self.has_output()
    }

    /// Whether input is to come, a debt set aside.
    fn expects_input(&self) -> bool {
        self.stage.is_open() && self.gate.lets_deliver() && !self.input_ended
    }

    /// A service of the line is nearly over: windows begin and end with what is expected.
    pub(crate) fn keep_pace(&mut self, now: Tick) {
        let (output, input) = (self.expects_output(), self.expects_input());
        let Some(pace) = self.tuning.as_mut().and_then(|tuning| tuning.pace.as_mut()) else {
            return;
        };
        let MinRate { window, .. } = pace.rate;
        pace.output.follow(output && pace.rate.output.is_some(), now, window);
        pace.input.follow(input && pace.rate.input.is_some(), now, window);
    }

    /// When its pace is judged; [`Tick::MAX`] means never.
    pub(super) fn pace_due(&self, pace: &Pace) -> Tick {
        let of =
            |window: &Window, expected: bool| window.due.filter(|_| expected).unwrap_or(Tick::MAX);
        let output = of(&pace.output, self.expects_output());
        output.min(of(&pace.input, self.expects_input()))
    }

    /// A window is over and the line was served once more: whether the peer is too slow, and
    /// whether in sending. What is not judged slow begins anew.
    pub(crate) fn is_too_slow(&mut self, now: Tick) -> Option<bool> {
        let (output, input) = (self.expects_output(), self.expects_input());
        let ready = self.ready;
        let pace = self.tuning.as_mut().and_then(|tuning| tuning.pace.as_mut())?;
        let MinRate { window, output: out_rate, input: in_rate, .. } = pace.rate;
        let mut slow = None;
        if input && pace.input.judge(in_rate, now, window) {
            // What has come and waits is not the peer's delay. After *ended* a read says nothing
            // of what waits behind it.
            if ready.has(Ready::READABLE) && !ready.has(Ready::ENDED) {
                pace.input.begin(now, window);
            } else {
                slow = Some(true);
            }
        }
        if output && pace.output.judge(out_rate, now, window) {
            // It would take more now.
            if ready.has(Ready::WRITABLE) {
                pace.output.begin(now, window);
            } else {
                slow = Some(false);
            }
        }
        slow
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conn::Reason;

    fn second(n: u64) -> Tick {
        Tick::from_nanos(n * 1_000_000_000)
    }

    fn line(rate: MinRate) -> Line {
        let mut line = Line::for_test();
        line.set_min_rate(Some(rate));
        line.keep_pace(second(0));
        line
    }

    fn due(line: &Line) -> Tick {
        let pace = line.tuning.as_ref().and_then(|tuning| tuning.pace.as_ref());
        line.pace_due(pace.expect("set above"))
    }

    fn received(line: &mut Line, bytes: usize, at: Tick) {
        line.tuning.as_mut().expect("set above").received(bytes, at);
    }

    #[test]
    fn a_window_is_judged_as_a_whole() {
        let mut line = line(MinRate::input(100));
        assert_eq!(due(&line), second(10));
        // Silent for long, and then all at once.
        received(&mut line, 1000, second(9));
        assert_eq!(line.is_too_slow(second(10)), None);
        assert_eq!(due(&line), second(20));
        received(&mut line, 999, second(11));
        assert_eq!(line.is_too_slow(second(20)), Some(true));
    }

    #[test]
    fn what_is_not_expected_is_not_judged() {
        let mut line = line(MinRate::input(100));
        line.gate.close(Reason::User);
        assert_eq!((due(&line), line.is_too_slow(second(10))), (Tick::MAX, None));
        line.keep_pace(second(10));
        line.gate.open(Reason::User);
        line.keep_pace(second(15));
        assert_eq!(due(&line), second(25));
        // Nothing waits to be sent.
        line.set_min_rate(Some(MinRate::output(100)));
        line.keep_pace(second(15));
        assert_eq!(due(&line), Tick::MAX);
    }

    #[test]
    fn a_debt_prolongs_the_window_by_itself() {
        let mut line = line(MinRate::input(100));
        let bytes_per_second = NonZeroU64::new(100).expect("not 0");
        let rate = super::super::Rate { bytes_per_second, paid: Tick::ZERO };
        line.tune().rate = Some(rate);
        received(&mut line, 500, second(2));
        assert_eq!(due(&line), second(15));
        // Before the first is paid for.
        received(&mut line, 300, second(3));
        assert_eq!(due(&line), second(18));
    }

    #[test]
    fn input_that_waits_to_be_read_excuses_its_peer() {
        let mut line = line(MinRate::input(100));
        line.ready.add(Ready::READABLE);
        assert_eq!(line.is_too_slow(second(10)), None);
        // Urgent data could hold *readable* for ever.
        line.ready.add(Ready::ENDED);
        assert_eq!(line.is_too_slow(second(20)), Some(true));
    }
}
