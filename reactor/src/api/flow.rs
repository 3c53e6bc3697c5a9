//! Flow control of one connection: when it is read, how fast, and how long it may wait.
//!
//! Never: calls the kernel.

use super::Conn;
use crate::conn::{Marks, Rate, Ready, Reason};
use std::num::NonZeroU64;
use std::time::Duration;

/// How long a connection may wait, from now on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Wait {
    /// As long as the configuration says.
    Default,
    /// For ever.
    Off,
    /// This long, from now.
    After(Duration),
}

/// How much may still be read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Credit {
    /// So many bytes.
    Bytes(usize),
    /// So many calls of [`Handler::on_incoming`](crate::Handler::on_incoming).
    Chunks(usize),
}

impl Credit {
    fn is_none(self) -> bool {
        matches!(self, Self::Bytes(0) | Self::Chunks(0))
    }

    /// Both together; of two kinds the newer one.
    fn and(self, more: Self) -> Self {
        match (self, more) {
            (Self::Bytes(left), Self::Bytes(more)) => Self::Bytes(left.saturating_add(more)),
            (Self::Chunks(left), Self::Chunks(more)) => Self::Chunks(left.saturating_add(more)),
            (_, more) => more,
        }
    }
}

/// What lies behind the input of a running [`Handler::on_incoming`](crate::Handler::on_incoming),
/// as far as the kernel has said (S46).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Input {
    /// Probably more: the read was full, or under TLS has brought more records.
    More,
    /// Nothing now.
    Dry,
    /// The end of the peer's side, or an error. After a read that was full, there may be more
    /// before it.
    Ended,
}

impl Conn<'_> {
    /// What lies behind the input that `on_incoming` was given: whether it is worth waiting for
    /// more before it is answered. Anywhere else it says nothing of use.
    #[must_use]
    pub fn input(&self) -> Input {
        let line = self.line();
        let (ended, unread) = match line.stage.tls() {
            Some(tls) => (tls.session.peer_closed(), tls.has_unread),
            None => (line.ready.has(Ready::ENDED), false),
        };
        match unread || line.ready.has(Ready::READABLE) {
            _ if ended => Input::Ended,
            true => Input::More,
            false => Input::Dry,
        }
    }

    /// Stops reading; the read timeout stops too (S94). Idempotent.
    ///
    /// What the peer sends waits in the kernel, its end too; nothing is delivered meanwhile (S55).
    pub fn pause(&mut self) {
        self.line_mut().gate.close(Reason::User);
    }

    /// Ends [`pause`](Self::pause) and [`pause_for`](Self::pause_for): reads again, the read
    /// timeout begins anew, and what has already come is looked at (S95). A rate limit stays.
    pub fn resume(&mut self) {
        let now = self.core.now;
        let line = self.line_mut();
        line.gate.open(Reason::User);
        line.gate.open(Reason::Timed);
        line.gate.open(Reason::Orphaned);
        if let Some(tuning) = &mut line.tuning {
            tuning.pause_ends = None;
            tuning.read_due = None;
            tuning.expects_anew();
        }
        line.last_read = now;
        self.core.revisit(self.id);
    }

    /// Stops reading for this long; a running one is replaced (S96, S98). The read timeout goes on,
    /// and begins anew at the end.
    ///
    /// `None` stops the clock and leaves the connection paused (S97).
    pub fn pause_for(&mut self, time: Option<Duration>) {
        let now = self.core.now;
        let line = self.line_mut();
        if time.is_some() {
            line.gate.close(Reason::Timed);
        }
        line.tune().pause_ends = time.map(|time| now.saturating_add(time));
        self.core.revisit(self.id);
    }

    /// Queues what is written, and sends nothing until [`resume_writes`](Self::resume_writes); the
    /// send timeout stops too (S70). Closing the connection sends what is queued all the same
    /// (S75).
    pub fn pause_writes(&mut self) {
        self.core.unstage(self.id, self.lent);
        self.line_mut().marks.add(Marks::WRITE_LOCK);
    }

    /// Sends again; the send timeout begins anew (S71).
    pub fn resume_writes(&mut self) {
        let now = self.core.now;
        let line = self.line_mut();
        if line.marks.take(Marks::WRITE_LOCK) {
            if let Some(tuning) = &mut line.tuning {
                tuning.write_due = None;
                tuning.sends_anew();
            }
            line.last_progress = now;
        }
        self.core.revisit(self.id);
    }

    /// Reads at most this many bytes per second on average; `None`: as fast as they come (S100).
    ///
    /// After each read the connection rests until what was read is paid for. No credit is saved,
    /// and small debts add up (S101), so the first read is never delayed. A limit that is
    /// set anew does not forgive what is owed; lifting it does.
    pub fn limit(&mut self, bytes_per_second: Option<NonZeroU64>) {
        let now = self.core.now;
        let line = self.line_mut();
        let tuning = line.tune();
        let owed = tuning.rate.map(|rate| rate.paid).filter(|paid| *paid > now);
        let paid = owed.unwrap_or(now);
        tuning.rate = bytes_per_second.map(|bytes_per_second| Rate { bytes_per_second, paid });
        let may_read = owed.is_none() || bytes_per_second.is_none();
        if may_read && line.gate.open(Reason::Limited) {
            line.begins_to_listen(now);
        }
        self.core.revisit(self.id);
    }

    /// Sets how long the peer may be silent from now on; the next read brings the configured
    /// timeout back (S84).
    pub fn set_read_timeout(&mut self, wait: Wait) {
        let due = self.due(wait);
        let now = self.core.now;
        let line = self.line_mut();
        line.last_read = now;
        line.tune().read_due = due;
        self.core.revisit(self.id);
    }

    /// Sets how long output may wait from now on without any of it being sent; the next progress
    /// brings the configured timeout back (S89). Without anything queued there is nothing to wait
    /// for.
    pub fn set_write_timeout(&mut self, wait: Wait) {
        let due = self.due(wait);
        let now = self.core.now;
        let line = self.line_mut();
        line.last_progress = now;
        line.tune().write_due = due;
        self.core.revisit(self.id);
    }

    /// Sets the largest chunk this connection is given, from the next read on: 1 byte to 1 MiB,
    /// what lies beyond is taken as the nearer end (S54).
    pub fn read_size(&mut self, bytes: usize) {
        self.line_mut().set_read_size(bytes);
    }

    /// Lets nothing be read beyond this from now on, until more is [granted](Self::grant); `None`:
    /// whatever comes.
    ///
    /// For whoever consumes on another thread, or may change the protocol at any chunk: what was
    /// not granted stays in the kernel. Under TLS, whose records cannot be read in part, up to one
    /// read is decrypted ahead, and held back. Without credit the read timeout rests, as in
    /// [`pause`](Self::pause).
    pub fn set_credit(&mut self, credit: Option<Credit>) {
        let now = self.core.now;
        let line = self.line_mut();
        line.tune().credit = credit;
        if credit.is_some_and(Credit::is_none) {
            line.gate.close(Reason::Credit);
        } else if line.gate.open(Reason::Credit) {
            line.begins_to_listen(now);
        }
        self.core.revisit(self.id);
    }

    /// Adds to what may be read; credit of the other kind replaces what is left. On a connection
    /// that reads whatever comes, the first grant begins to count.
    pub fn grant(&mut self, more: Credit) {
        let left = self.line().tuning.as_ref().and_then(|tuning| tuning.credit);
        self.set_credit(Some(left.map_or(more, |left| left.and(more))));
    }

    fn due(&self, wait: Wait) -> Option<shardpoll_timers::Tick> {
        match wait {
            Wait::Default => None,
            Wait::Off => Some(shardpoll_timers::Tick::MAX),
            Wait::After(time) => Some(self.core.now.saturating_add(time)),
        }
    }
}
