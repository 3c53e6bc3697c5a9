//! The bytes a connection has yet to send, in the order they were written.
//!
//! Most never come here: what a callback writes to its own connection waits in the shard's staging
//! buffer and is sent when the callback returns. An outbox holds what the kernel did not take, and
//! what was written to a connection from elsewhere.
//!
//! Never: sends, seals, or looks at a limit; who writes checks the cap first.
//!
//! Invariants:
//! 1. An empty outbox owns no memory.
//! 2. `len` is the number of bytes not yet consumed, over all chunks.
//! 3. After a short send the front chunk takes no more memory than twice what is left of it.
//! 4. No chunk is empty, and `sent` is less than the length of the front one.

use shardpoll_tls::copy::append;
use std::collections::VecDeque;
use std::sync::Arc;

/// How far a chunk of copied bytes grows before a further one is begun: one TLS record.
pub(crate) const CHUNK_BYTES: usize = 16 * 1024;

/// How many [`Spare`] queues there are at most; each is less than 100 bytes.
const SPARE: usize = 256;

/// Queued bytes; one word, `None` while there are none.
#[derive(Default)]
pub(crate) struct Outbox {
    queue: Option<Box<Queue>>,
}

struct Queue {
    len: usize,
    /// Consumed bytes of the front chunk.
    sent: usize,
    /// Apart from the others, since most queues have but one.
    front: Chunk,
    rest: VecDeque<Chunk>,
}

pub(crate) enum Chunk {
    Owned(Vec<u8>),
    Shared(Arc<[u8]>),
}

impl Chunk {
    const NONE: Self = Self::Owned(Vec::new());

    pub(crate) fn bytes(&self) -> &[u8] {
        match self {
            Self::Owned(bytes) => bytes,
            Self::Shared(bytes) => bytes,
        }
    }

    /// Takes more bytes in, if it may grow by as many.
    fn extend(&mut self, more: &[u8]) -> bool {
        match self {
            Self::Owned(bytes) if bytes.len() + more.len() <= CHUNK_BYTES => {
                append(bytes, more);
                true
            }
            _ => false,
        }
    }
}

impl Outbox {
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.queue.is_none()
    }

    /// Bytes not yet consumed.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.queue.as_ref().map_or(0, |queue| queue.len)
    }

    /// Copies `data` to the end.
    pub(crate) fn push(&mut self, data: &[u8]) {
        if let Some(queue) = &mut self.queue {
            if queue.rest.back_mut().unwrap_or(&mut queue.front).extend(data) {
                queue.len += data.len();
                return;
            }
        }
        let mut bytes = Vec::new();
        append(&mut bytes, data);
        self.push_chunk(Chunk::Owned(bytes));
    }

    /// Appends a chunk without a copy.
    pub(crate) fn push_chunk(&mut self, chunk: Chunk) {
        self.push_chunk_into(chunk, &mut Spare::default());
    }

    /// The same; a queue that begins with it lies where another one has ended, if any has.
    pub(crate) fn push_chunk_into(&mut self, chunk: Chunk, spare: &mut Spare) {
        let len = chunk.bytes().len();
        if len == 0 {
            return;
        }
        if let Some(queue) = &mut self.queue {
            queue.len += len;
            queue.rest.push_back(chunk);
            return;
        }
        self.queue = Some(match spare.0.pop() {
            Some(mut queue) => {
                (queue.len, queue.sent, queue.front) = (len, 0, chunk);
                queue
            }
            None => Box::new(Queue { len, sent: 0, front: chunk, rest: VecDeque::new() }),
        });
    }

    /// The bytes to send next, up to the end of their chunk; empty when nothing is queued.
    pub(crate) fn front(&self) -> &[u8] {
        self.queue.as_ref().map_or(&[], |queue| &queue.front.bytes()[queue.sent..])
    }

    /// All that is queued, when that is one piece.
    pub(crate) fn only(&self) -> Option<&[u8]> {
        self.queue.as_ref().filter(|queue| queue.rest.is_empty()).map(|_| self.front())
    }

    /// Drops the first `count` bytes; at most what [`front`](Self::front) showed.
    pub(crate) fn consume(&mut self, count: usize) {
        let Some(queue) = &mut self.queue else { return };
        debug_assert!(count <= queue.front.bytes().len() - queue.sent, "more than was shown");
        queue.len -= count;
        queue.sent += count;
        if queue.sent == queue.front.bytes().len() {
            queue.sent = 0;
            match queue.rest.pop_front() {
                Some(next) => queue.front = next,
                None => self.queue = None,
            }
        }
    }

    /// Gives back the memory of what has gone, once it is more than what is left of its chunk: a
    /// peer that takes all but the last bytes shall not hold the others. Each byte is copied at
    /// most once by this, and only after a send that was short.
    pub(crate) fn trim(&mut self) {
        let Some(queue) = &mut self.queue else { return };
        if let Chunk::Owned(bytes) = &mut queue.front {
            let left = &bytes[queue.sent..];
            if queue.sent > left.len() {
                *bytes = left.to_vec();
                queue.sent = 0;
            }
        }
    }

    /// Forgets everything that is queued.
    pub(crate) fn clear(&mut self) {
        self.queue = None;
    }

    /// Forgets [all there is](Self::only), and leaves its place to others.
    pub(crate) fn clear_into(&mut self, spare: &mut Spare) {
        let Some(mut queue) = self.queue.take() else { return };
        if spare.0.len() < SPARE {
            queue.front = Chunk::NONE;
            spare.0.push(queue);
        }
    }
}

/// Queues that have ended, for those that begin: one message for many is one piece for each, and
/// they come and go by hundreds.
#[derive(Default)]
#[expect(clippy::vec_box, reason = "the boxes are what is kept")]
pub(crate) struct Spare(Vec<Box<Queue>>);

#[cfg(test)]
mod tests {
    use super::*;

    fn drain(outbox: &mut Outbox, step: usize) -> Vec<u8> {
        let mut out = Vec::new();
        while !outbox.is_empty() {
            let front = outbox.front();
            assert!(!front.is_empty(), "no chunk is empty");
            let count = front.len().min(step);
            out.extend_from_slice(&front[..count]);
            outbox.consume(count);
        }
        out
    }

    #[test]
    fn bytes_leave_in_the_order_they_came_whatever_carried_them() {
        let pattern = |len: usize, seed: usize| -> Vec<u8> {
            (0..len).map(|i| u8::try_from((i * 7 + seed) % 251).expect("below 251")).collect()
        };
        for step in [1, 3, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, usize::MAX] {
            let mut outbox = Outbox::default();
            let mut all = Vec::new();
            let lens = [1, CHUNK_BYTES - 1, 1, 5, CHUNK_BYTES, 3 * CHUNK_BYTES, 0, 17, CHUNK_BYTES];
            for (seed, len) in lens.into_iter().enumerate() {
                let data = pattern(len, seed);
                all.extend_from_slice(&data);
                match seed % 3 {
                    0 => outbox.push(&data),
                    1 => outbox.push_chunk(Chunk::Owned(data)),
                    _ => outbox.push_chunk(Chunk::Shared(data.into())),
                }
                assert_eq!(outbox.len(), all.len());
            }
            assert_eq!(drain(&mut outbox, step), all, "step {step}");
            assert!(outbox.queue.is_none(), "an empty outbox owns no memory");
        }
    }

    #[test]
    fn a_partly_consumed_chunk_takes_more_without_losing_its_place() {
        let mut outbox = Outbox::default();
        outbox.push(b"abcdef");
        outbox.consume(4);
        outbox.push(b"ghi");
        assert_eq!(outbox.front(), b"efghi");
        assert_eq!(outbox.len(), 5);
        assert_eq!(drain(&mut outbox, 2), b"efghi");
    }

    #[test]
    fn a_queue_that_has_ended_leaves_its_place_and_nothing_else() {
        let (mut spare, mut outbox) = (Spare::default(), Outbox::default());
        let data: Arc<[u8]> = Arc::from(&b"for all"[..]);
        for _ in 0..3 {
            outbox.push_chunk_into(Chunk::Shared(Arc::clone(&data)), &mut spare);
            assert_eq!((outbox.only(), outbox.len(), spare.0.len()), (Some(&data[..]), 7, 0));
            outbox.clear_into(&mut spare);
            assert_eq!((outbox.len(), spare.0.len(), Arc::strong_count(&data)), (0, 1, 1));
        }
        outbox.push_chunk_into(Chunk::Owned(b"ab".into()), &mut spare);
        outbox.push_chunk_into(Chunk::Owned(b"c".into()), &mut spare);
        assert_eq!(outbox.only(), None);
        assert_eq!(drain(&mut outbox, 1), b"abc");
        for _ in 0..2 {
            let mut many: Vec<_> = (0..=SPARE).map(|_| Outbox::default()).collect();
            many.iter_mut().for_each(|one| {
                one.push_chunk_into(Chunk::Owned(vec![1]), &mut Spare::default());
            });
            many.iter_mut().for_each(|one| one.clear_into(&mut spare));
        }
        assert_eq!(spare.0.len(), SPARE, "no more than that");
    }

    #[test]
    fn nothing_is_queued_by_an_empty_write() {
        let mut outbox = Outbox::default();
        outbox.push(b"");
        outbox.push_chunk(Chunk::Shared(Arc::from([])));
        assert!(outbox.is_empty());
        assert_eq!(outbox.front(), b"");
    }

    #[test]
    fn what_has_gone_takes_no_memory_after_a_short_send() {
        let mut outbox = Outbox::default();
        outbox.push(&[1; 1000]);
        outbox.push_chunk(Chunk::Owned(vec![2; CHUNK_BYTES]));
        let capacity = |outbox: &Outbox| match &outbox.queue.as_ref().expect("not empty").front {
            Chunk::Owned(bytes) => bytes.capacity(),
            Chunk::Shared(bytes) => bytes.len(),
        };
        let before = capacity(&outbox);
        outbox.consume(500);
        outbox.trim();
        assert_eq!(capacity(&outbox), before, "half of it is still to come");
        outbox.consume(490);
        outbox.trim();
        assert_eq!(
            (capacity(&outbox), outbox.front(), outbox.len()),
            (10, &[1; 10][..], 10 + CHUNK_BYTES)
        );
        outbox.consume(10);
        assert_eq!(outbox.front(), &[2; CHUNK_BYTES]);
        // What is shared is not ours to give back.
        let mut shared = Outbox::default();
        shared.push_chunk(Chunk::Shared(vec![3; 100].into()));
        shared.consume(99);
        shared.trim();
        assert_eq!((capacity(&shared), shared.front()), (100, &[3][..]));
    }
}
