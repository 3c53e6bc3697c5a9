//! One connection's messages as numbers: what was sent, what has come back, and when.
//!
//! Never: touches a connection or a clock; allocates after it was made.
//!
//! Invariants:
//! 1. `echoed <= sent <= echoed + depth`.
//! 2. A message counts as echoed only when each of its bytes, and of all before it, was right.

use crate::pattern::Pattern;
use std::fmt;

/// What is between the first byte sent and the last one echoed.
#[derive(Debug)]
pub struct Course {
    /// Where the next message begins.
    sending: Pattern,
    /// Where the next byte of the echo stands.
    receiving: Pattern,
    size: usize,
    /// Messages queued so far.
    sent: u64,
    /// Messages that are back whole.
    echoed: u64,
    /// Bytes of message `echoed` that are back.
    partial: usize,
    /// When each message in flight was queued; message `n` at `n` modulo their number, which is a
    /// power of two and no less than the depth: to divide by another takes longer than to check.
    stamps: Box<[u64]>,
}

/// What is wrong with an echo.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Wrong {
    /// The byte at this offset of the stream is not the one that was sent.
    Byte(u64),
    /// There came more bytes than were sent; this many more.
    Surplus(usize),
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Byte(offset) => write!(f, "byte {offset} of the echo is not what was sent"),
            Self::Surplus(bytes) => write!(f, "{bytes} bytes more came back than were sent"),
        }
    }
}

impl Course {
    /// That of the connection of this number: no two send the same.
    #[must_use]
    pub fn new(connection: u64, size: usize, depth: usize) -> Self {
        Self {
            sending: Pattern::new(connection),
            receiving: Pattern::new(connection),
            size,
            sent: 0,
            echoed: 0,
            partial: 0,
            stamps: vec![0; depth.next_power_of_two()].into(),
        }
    }

    /// Messages sent that are not back whole.
    #[must_use]
    pub fn in_flight(&self) -> u64 {
        self.sent - self.echoed
    }

    /// When the first of those was queued.
    #[must_use]
    pub fn oldest(&self) -> Option<u64> {
        (self.in_flight() > 0).then(|| self.stamps[self.slot(self.echoed)])
    }

    /// Bytes of a message.
    #[must_use]
    pub fn size(&self) -> usize {
        self.size
    }

    /// Messages queued so far.
    #[must_use]
    pub fn sent(&self) -> u64 {
        self.sent
    }

    fn slot(&self, message: u64) -> usize {
        let slot = message & (self.stamps.len() as u64 - 1);
        usize::try_from(slot).expect("less than a length")
    }

    /// Makes the next message and lends it to `queue`, in pieces of at most `scratch`.
    #[inline(always)]
    pub fn send(&mut self, now: u64, scratch: &mut [u8], mut queue: impl FnMut(&[u8])) {
        if let Some(whole) = scratch.get_mut(..self.size) {
            self.sending.fill(whole);
            queue(whole);
        } else {
            self.send_pieces(scratch, &mut queue);
        }
        let slot = self.slot(self.sent);
        self.stamps[slot] = now;
        self.sent += 1;
    }

    #[cold]
    fn send_pieces(&mut self, scratch: &mut [u8], queue: &mut dyn FnMut(&[u8])) {
        let mut left = self.size;
        while left > 0 {
            let len = scratch.len().min(left);
            let piece = &mut scratch[..len];
            self.sending.fill(piece);
            queue(piece);
            left -= len;
        }
    }

    /// Checks what came back, and gives the number of each message whose last byte is in it, and
    /// the time it was queued.
    ///
    /// # Errors
    /// [`Wrong`] when it is not what was sent; then nothing of `data` counts.
    #[inline(always)]
    pub fn receive(&mut self, data: &[u8], mut echoed: impl FnMut(u64, u64)) -> Result<(), Wrong> {
        if let Err(right) = self.receiving.check(data) {
            let offset = self.echoed * self.size as u64 + (self.partial + right) as u64;
            return Err(Wrong::Byte(offset));
        }
        // One message at a time, whole: nearly always.
        if self.partial == 0 && data.len() == self.size && self.echoed < self.sent {
            echoed(self.echoed, self.stamps[self.slot(self.echoed)]);
            self.echoed += 1;
            return Ok(());
        }
        self.partial += data.len();
        while self.partial >= self.size && self.echoed < self.sent {
            self.partial -= self.size;
            echoed(self.echoed, self.stamps[self.slot(self.echoed)]);
            self.echoed += 1;
        }
        if self.echoed == self.sent && self.partial > 0 {
            return Err(Wrong::Surplus(self.partial));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A course with so many messages sent, at times 100, 101 ..., and what was sent.
    fn sent(size: usize, messages: u64) -> (Course, Vec<u8>) {
        let mut course = Course::new(7, size, 8);
        let (mut scratch, mut wire) = ([0; 10], Vec::new());
        for message in 0..messages {
            course.send(100 + message, &mut scratch, |piece| wire.extend_from_slice(piece));
        }
        (course, wire)
    }

    #[test]
    fn every_split_of_the_echo_gives_each_message_once_and_in_order() {
        for size in [1, 7, 8, 10, 33] {
            for piece in 1..70 {
                let (mut course, wire) = sent(size, 5);
                let mut stamps = Vec::new();
                for data in wire.chunks(piece) {
                    course.receive(data, |_, stamp| stamps.push(stamp)).expect("as it was sent");
                }
                assert_eq!(stamps, [100, 101, 102, 103, 104], "{size} in pieces of {piece}");
                assert_eq!(course.in_flight(), 0);
            }
        }
    }

    #[test]
    fn a_message_that_lacks_a_byte_is_in_flight() {
        let (mut course, wire) = sent(16, 3);
        course.receive(&wire[..47], |_, _| {}).expect("as it was sent");
        assert_eq!((course.in_flight(), course.oldest()), (1, Some(102)));
        course.receive(&wire[47..], |_, _| {}).expect("as it was sent");
        assert_eq!(course.oldest(), None);
    }

    #[test]
    fn a_lost_message_is_wrong_where_it_is_missing() {
        let (mut course, wire) = sent(64, 3);
        course.receive(&wire[..64], |_, _| {}).expect("as it was sent");
        let error = course.receive(&wire[128..], |_, _| {}).expect_err("the second is missing");
        assert!(matches!(error, Wrong::Byte(64..128)), "{error}");
        assert_eq!(course.in_flight(), 2);
    }

    #[test]
    fn a_doubled_message_is_wrong() {
        let (mut course, wire) = sent(64, 2);
        course.receive(&wire[..64], |_, _| {}).expect("as it was sent");
        let error = course.receive(&wire[..64], |_, _| {}).expect_err("again");
        assert!(matches!(error, Wrong::Byte(64..128)), "{error}");
    }

    #[test]
    fn swapped_messages_are_wrong() {
        let (mut course, wire) = sent(64, 2);
        let swapped = [&wire[64..], &wire[..64]].concat();
        let error = course.receive(&swapped, |_, _| {}).expect_err("in another order");
        assert!(matches!(error, Wrong::Byte(0..64)), "{error}");
    }

    #[test]
    fn bytes_of_a_message_not_yet_sent_are_surplus() {
        let (mut ahead, wire) = sent(16, 2);
        let (mut course, _) = sent(16, 1);
        assert_eq!(ahead.receive(&wire, |_, _| {}), Ok(()));
        assert_eq!(course.receive(&wire, |_, _| {}), Err(Wrong::Surplus(16)));
    }
}
