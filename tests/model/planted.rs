//! Bugs that the shims can have, to show that the check finds them.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// What is wrong with the world.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Bug {
    /// A sender looks at the flag without a fence behind its push.
    NoFenceInWake,
    /// The shard looks at the channels without a fence behind its flag.
    NoFenceInPark,
    /// The shard does not look at the channels again.
    NoSecondLook,
    /// Senders look at the flag, and do not take it.
    FlagNotTaken,
}

thread_local! {
    /// Both libraries run all threads of a world on the thread that checks it.
    static PLANTED: Cell<Option<Bug>> = const { Cell::new(None) };
}

/// Whether this world has this bug.
pub(crate) fn is_planted(bug: Bug) -> bool {
    PLANTED.get() == Some(bug)
}

/// Whether `check` fails in worlds with this bug.
pub(crate) fn finds(bug: Bug, check: impl FnOnce()) -> bool {
    PLANTED.set(Some(bug));
    let found = catch_unwind(AssertUnwindSafe(check)).is_err();
    PLANTED.set(None);
    found
}
