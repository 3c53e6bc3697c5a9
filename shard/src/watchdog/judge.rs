//! Whether one shard is stalled, as far as the kernel lets one see.
//!
//! Never: reads a clock, or reports anything.

use crate::thread::{Spent, State, Thread};
use shardpoll_reactor::{Doing, Tick};
use std::time::Duration;

/// How a thread spends its time, as the kernel says.
pub(super) trait Schedule {
    fn spent(&self) -> Option<Spent>;
    fn state(&self) -> Option<State>;
}

impl Schedule for Thread {
    fn spent(&self) -> Option<Spent> {
        self.spent()
    }

    fn state(&self) -> Option<State> {
        self.state()
    }
}

/// What is to be said of a shard.
#[derive(PartialEq, Debug)]
pub(super) enum Verdict {
    Fine,
    /// Noticed now.
    Stalled(Doing),
    /// For so long by now.
    StillStalled(Duration),
    Over {
        doing: Doing,
        lasting: Duration,
        reported: bool,
    },
}

/// What is known of one shard's turn.
#[derive(Default)]
pub(super) struct Judge {
    turn: Option<Turn>,
    /// The stall that was noticed has been reported.
    pub(super) reported: bool,
}

#[derive(Clone, Copy)]
struct Turn {
    since: Tick,
    /// From when on it counts: later than its beginning if the watcher did not run meanwhile.
    counts_from: Tick,
    /// What its thread had spent when it was first seen.
    spent: Option<Spent>,
    stalled: Option<Doing>,
}

impl Judge {
    /// Looks at a shard: what it is at, if it does not wait, and how its thread spends its time.
    pub(super) fn look(
        &mut self,
        now: Tick,
        late: bool,
        threshold: Duration,
        doing: Option<Doing>,
        thread: Option<&impl Schedule>,
    ) -> Verdict {
        let spent = || thread.and_then(Schedule::spent);
        let same = |turn: &Turn| doing.is_some_and(|doing| doing.since == turn.since);
        let Some(turn) = self.turn.as_mut().filter(|turn| same(turn)) else {
            let before = self.turn.take().and_then(|turn| turn.stalled);
            self.turn = doing.map(|doing| Turn {
                since: doing.since,
                counts_from: if late { now } else { doing.since },
                spent: spent(),
                stalled: None,
            });
            let reported = std::mem::take(&mut self.reported);
            return before.map_or(Verdict::Fine, |doing| {
                let lasting = now.saturating_since(doing.since);
                Verdict::Over { doing, lasting, reported }
            });
        };
        if turn.stalled.is_some() {
            return Verdict::StillStalled(now.saturating_since(turn.since));
        }
        if late {
            (turn.counts_from, turn.spent) = (now, spent());
            return Verdict::Fine;
        }
        let lasting = now.saturating_since(turn.counts_from);
        if lasting < threshold || !has_worked(lasting, threshold, turn.spent, thread) {
            return Verdict::Fine;
        }
        turn.stalled = doing;
        doing.map_or(Verdict::Fine, Verdict::Stalled)
    }
}

/// Whether a thread has run or slept for as long as the threshold, not merely waited for a CPU.
fn has_worked(
    lasting: Duration,
    threshold: Duration,
    before: Option<Spent>,
    thread: Option<&impl Schedule>,
) -> bool {
    let now = thread.and_then(|thread| Some((thread.spent()?, thread.state()?)));
    // Where nobody tells, the clock alone decides.
    let (Some(before), Some((now, state))) = (before, now) else { return true };
    let waited = now.waited.saturating_sub(before.waited);
    if lasting.saturating_sub(waited) < threshold {
        return false;
    }
    match state {
        State::Stopped => false,
        State::Asleep => true,
        // How long it has waited this time is told only when it runs again. What it did before it
        // was first seen, and since the clock's last tick, is not known: half is enough.
        State::Runnable => now.ran.saturating_sub(before.ran) >= threshold / 2,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    const THRESHOLD: Duration = Duration::from_millis(24);

    fn at(millis: u64) -> Tick {
        Tick::from_nanos((1000 + millis) * 1_000_000)
    }

    /// A turn that began then.
    fn doing(millis: u64) -> Option<Doing> {
        Some(Doing::new(at(millis), None, None, "a timer"))
    }

    /// A thread that does what a test says.
    struct Script(Cell<(u64, u64, State)>);

    impl Script {
        fn new() -> Self {
            Self(Cell::new((0, 0, State::Runnable)))
        }

        /// So many milliseconds on a CPU, and ready on none, by now.
        fn set(&self, ran: u64, waited: u64, state: State) {
            self.0.set((ran, waited, state));
        }
    }

    impl Schedule for Script {
        fn spent(&self) -> Option<Spent> {
            let (ran, waited, _) = self.0.get();
            let millis = Duration::from_millis;
            Some(Spent { ran: millis(ran), waited: millis(waited) })
        }

        fn state(&self) -> Option<State> {
            Some(self.0.get().2)
        }
    }

    #[test]
    fn a_long_turn_is_reported_once_and_its_end_once() {
        let (mut judge, nobody) = (Judge::default(), None::<&Script>);
        let mut look = |now, turn| judge.look(at(now), false, THRESHOLD, doing(turn), nobody);
        assert_eq!(look(10, 0), Verdict::Fine);
        assert_eq!(look(22, 0), Verdict::Fine);
        let stalled = doing(0).expect("it works");
        assert_eq!(look(34, 0), Verdict::Stalled(stalled));
        assert_eq!(look(46, 0), Verdict::StillStalled(Duration::from_millis(46)));
        let lasting = Duration::from_millis(58);
        assert_eq!(look(58, 57), Verdict::Over { doing: stalled, lasting, reported: false });
        // Short turns follow.
        for now in (70..200).step_by(12) {
            assert_eq!(look(now, now - 1), Verdict::Fine);
        }
    }

    #[test]
    fn a_shard_that_is_not_scheduled_is_not_stalled() {
        let (mut judge, thread) = (Judge::default(), Script::new());
        for now in (5..500).step_by(12) {
            // Ready to run all the time; told only when it runs again.
            assert_eq!(
                judge.look(at(now), false, THRESHOLD, doing(0), Some(&thread)),
                Verdict::Fine
            );
        }
        // It has run a little since, and what it had waited is told.
        thread.set(2, 490, State::Runnable);
        assert_eq!(judge.look(at(500), false, THRESHOLD, doing(0), Some(&thread)), Verdict::Fine);
        // Now it computes.
        thread.set(26, 490, State::Runnable);
        let verdict = judge.look(at(524), false, THRESHOLD, doing(0), Some(&thread));
        assert!(matches!(verdict, Verdict::Stalled(_)), "{verdict:?}");
    }

    #[test]
    fn a_shard_that_sleeps_in_a_callback_is_stalled_and_one_that_was_stopped_is_not() {
        for (state, stalled) in [(State::Asleep, true), (State::Stopped, false)] {
            let (mut judge, thread) = (Judge::default(), Script::new());
            thread.set(0, 0, state);
            let mut verdict = Verdict::Fine;
            for now in [2, 14, 26] {
                verdict = judge.look(at(now), false, THRESHOLD, doing(0), Some(&thread));
            }
            assert_eq!(matches!(verdict, Verdict::Stalled(_)), stalled, "{state:?}: {verdict:?}");
        }
    }

    #[test]
    fn a_watcher_that_was_late_waits_for_one_more_period() {
        let (mut judge, nobody) = (Judge::default(), None::<&Script>);
        let mut look = |now, late| judge.look(at(now), late, THRESHOLD, doing(0), nobody);
        assert_eq!(look(5, false), Verdict::Fine);
        // The process was stopped for a second.
        assert_eq!(look(1005, true), Verdict::Fine);
        assert_eq!(look(1017, false), Verdict::Fine);
        assert!(matches!(look(1029, false), Verdict::Stalled(_)));
    }
}
