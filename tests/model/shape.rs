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
}

/// Two senders of one letter each.
pub(crate) const ONE_LETTER: Shape = Shape { senders: 2, letters: 1, capacity: 6, orders: false };

/// Two senders of two letters each.
pub(crate) const TWO_LETTERS: Shape = Shape { letters: 2, ..ONE_LETTER };

/// Two senders of three letters each.
pub(crate) const THREE_LETTERS: Shape = Shape { letters: 3, ..ONE_LETTER };
