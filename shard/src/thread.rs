//! What the kernel says of a shard's thread: whether it ran, slept or waited for a CPU, and where
//! it may run.
//!
//! Never: needs any of it; where `/proc` is not to be had, nothing is known.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::time::Duration;

/// A thread of this process, by its folder in `/proc` (proc(5)).
pub(crate) struct Thread {
    folder: PathBuf,
    /// Kept open: of a busy shard it is read often.
    schedstat: File,
}

/// How a thread has spent its time so far.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub(crate) struct Spent {
    /// On a CPU.
    pub(crate) ran: Duration,
    /// Ready to run, on none.
    pub(crate) waited: Duration,
}

/// What a thread does now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum State {
    /// Runs, or waits for a CPU.
    Runnable,
    /// Waits in a system call.
    Asleep,
    /// A signal or a debugger has stopped it.
    Stopped,
}

impl Thread {
    /// The thread that calls; `None` where there is no `/proc`, or one that counts no such times.
    pub(crate) fn current() -> Option<Self> {
        let folder = PathBuf::from("/proc").join(fs::read_link("/proc/thread-self").ok()?);
        let schedstat = File::open(folder.join("schedstat")).ok()?;
        let thread = Self { folder, schedstat };
        // Both, or the watchdog would know half.
        (thread.spent().is_some() && thread.state().is_some()).then_some(thread)
    }

    /// How it has spent its time; `None` when it has ended.
    pub(crate) fn spent(&self) -> Option<Spent> {
        let mut text = [0; 128];
        let count = self.schedstat.read_at(&mut text, 0).ok()?;
        parse_schedstat(std::str::from_utf8(&text[..count]).ok()?)
    }

    /// What it does now; `None` when it has ended.
    pub(crate) fn state(&self) -> Option<State> {
        parse_state(&fs::read_to_string(self.folder.join("stat")).ok()?)
    }

    /// Whether it may run on this CPU, and on no other; `None` when that is not known.
    pub(crate) fn is_bound_to(&self, cpu: usize) -> Option<bool> {
        let status = fs::read_to_string(self.folder.join("status")).ok()?;
        let list = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"))?;
        Some(list.trim().parse() == Ok(cpu))
    }
}

/// `ran waited slices`, in nanoseconds.
fn parse_schedstat(text: &str) -> Option<Spent> {
    let mut fields = text.split_ascii_whitespace().map(|field| field.parse().ok());
    let mut next = || fields.next().flatten().map(Duration::from_nanos);
    Some(Spent { ran: next()?, waited: next()? })
}

/// `id (name) state ...`; a name may hold anything, so the last parenthesis counts.
fn parse_state(text: &str) -> Option<State> {
    let (_, rest) = text.rsplit_once(") ")?;
    Some(match rest.chars().next()? {
        'R' => State::Runnable,
        'T' | 't' => State::Stopped,
        _ => State::Asleep,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_proc_says_is_read() {
        let millis = Duration::from_millis;
        let times = parse_schedstat("3000000 1000000 7\n");
        assert_eq!(times, Some(Spent { ran: millis(3), waited: millis(1) }));
        assert_eq!(parse_schedstat(""), None);
        let state = |letter| parse_state(&format!("7 (a) R (b) {letter} 1 2 3\n"));
        assert_eq!(state('R'), Some(State::Runnable));
        assert_eq!((state('S'), state('D')), (Some(State::Asleep), Some(State::Asleep)));
        assert_eq!((state('T'), state('t')), (Some(State::Stopped), Some(State::Stopped)));
        assert_eq!(parse_state("7"), None);
    }

    #[test]
    fn a_thread_that_works_is_seen_to_run() {
        // Where the kernel does not tell, there is nothing to be seen.
        let Some(thread) = Thread::current() else { return };
        let before = thread.spent().expect("it runs");
        let mut sum = 0_u64;
        while thread.spent().expect("it runs").ran < before.ran + Duration::from_millis(3) {
            sum = std::hint::black_box(sum.wrapping_add(1));
        }
        assert_eq!(thread.state(), Some(State::Runnable));
        assert_eq!(thread.is_bound_to(usize::MAX), Some(false));
    }
}
