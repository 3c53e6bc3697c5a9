//! What a task that was asked for gives back, on its way to who asked.
//!
//! Never: leaves who waits without an answer; a task that is dropped undone gives one too.

use crate::worker::is_shard;
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, TryRecvError, bounded};
use std::fmt;
use std::time::Duration;

/// Why there is no answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum NoAnswer {
    /// The shard ended before it came to the task, which was dropped.
    Ended,
    /// The task panicked, or its shard did.
    Panicked,
    /// Waited for on a shard's thread, which would stop all its connections, and might be waiting
    /// for itself. [`Answer::try_take`] can be called anywhere.
    OnShard,
    /// The answer has been taken already.
    Taken,
}

impl fmt::Display for NoAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ended => "the shard has ended",
            Self::Panicked => "the task has panicked",
            Self::OnShard => "waited for on a shard, which might wait for itself",
            Self::Taken => "the answer has been taken already",
        })
    }
}

impl std::error::Error for NoAnswer {}

/// What a task gives, once its shard has done it: see [`Remote::ask`](crate::Remote::ask).
///
/// Dropped, it changes nothing: the task is done all the same.
#[must_use = "the task is done all the same: `run` asks for no answer"]
pub struct Answer<R> {
    replies: Receiver<Result<R, NoAnswer>>,
}

impl<R> Answer<R> {
    /// Waits for it.
    ///
    /// # Errors
    /// [`NoAnswer`] when there is none, and at once when called on a shard's thread.
    pub fn wait(self) -> Result<R, NoAnswer> {
        if is_shard() {
            return Err(NoAnswer::OnShard);
        }
        self.replies.recv().unwrap_or(Err(NoAnswer::Taken))
    }

    /// Waits for it for this long at most; `None` when it has not come by then.
    ///
    /// # Errors
    /// As [`wait`](Self::wait).
    pub fn wait_timeout(&self, at_most: Duration) -> Result<Option<R>, NoAnswer> {
        if is_shard() {
            return Err(NoAnswer::OnShard);
        }
        match self.replies.recv_timeout(at_most) {
            Ok(reply) => reply.map(Some),
            Err(RecvTimeoutError::Timeout) => Ok(None),
            Err(RecvTimeoutError::Disconnected) => Err(NoAnswer::Taken),
        }
    }

    /// Takes it if it has come; `None` when it has not.
    ///
    /// # Errors
    /// [`NoAnswer`] when there is none, or not any more.
    pub fn try_take(&self) -> Result<Option<R>, NoAnswer> {
        match self.replies.try_recv() {
            Ok(reply) => reply.map(Some),
            Err(TryRecvError::Empty) => Ok(None),
            Err(TryRecvError::Disconnected) => Err(NoAnswer::Taken),
        }
    }
}

impl<R> fmt::Debug for Answer<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answer").field("has_come", &!self.replies.is_empty()).finish()
    }
}

/// The task's side: gives one reply, whatever becomes of the task.
pub(crate) struct Reply<R> {
    /// `None` once it has been given.
    replies: Option<Sender<Result<R, NoAnswer>>>,
}

/// An answer and who gives it.
pub(crate) fn answer<R>() -> (Reply<R>, Answer<R>) {
    let (sender, replies) = bounded(1);
    (Reply { replies: Some(sender) }, Answer { replies })
}

impl<R> Reply<R> {
    pub(crate) fn give(mut self, result: R) {
        self.send(Ok(result));
    }

    fn send(&mut self, reply: Result<R, NoAnswer>) {
        if let Some(replies) = self.replies.take() {
            // There is room for one; whoever asked may have gone.
            let _gone = replies.try_send(reply);
        }
    }
}

impl<R> Drop for Reply<R> {
    fn drop(&mut self) {
        let why = if std::thread::panicking() { NoAnswer::Panicked } else { NoAnswer::Ended };
        self.send(Err(why));
    }
}
