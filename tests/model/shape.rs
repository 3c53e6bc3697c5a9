//! Who sends how much.

/// What a world is made of, beside its shard.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    pub(crate) senders: usize,
    /// Tasks of each.
    pub(crate) letters: usize,
    /// Tasks the mailbox has room for.
    pub(crate) capacity: usize,
    /// Each ends with an order, which is never refused.
    pub(crate) orders: bool,
    /// How often the shard is woken by something else than a letter, before all else.
    pub(crate) events: usize,
}

/// Two senders of one letter each.
pub(crate) const ONE_LETTER: Shape =
    Shape { senders: 2, letters: 1, capacity: 6, orders: false, events: 0 };

/// Two senders of two letters each.
pub(crate) const TWO_LETTERS: Shape = Shape { letters: 2, ..ONE_LETTER };

/// Two senders of three letters each.
pub(crate) const THREE_LETTERS: Shape = Shape { letters: 3, ..ONE_LETTER };

/// Two senders of one letter each, and an event that wakes the shard before.
pub(crate) const AN_EVENT: Shape = Shape { events: 1, ..ONE_LETTER };
