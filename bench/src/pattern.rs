//! What is sent: a stream of bytes that each know their place.
//!
//! The bytes of a connection are words of 8, and word `i` is a bijection of `key + i`, with a key
//! far from every other connection's. So a word that is lost, doubled, moved or another
//! connection's is never equal to the one that should be there. From one word to the next is one
//! addition, so that making and checking them cost little beside sending them.
//!
//! Never: keeps what was sent; whoever checks makes it again.

/// The stream of one connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pattern {
    key: u64,
}

const WORD: usize = 8;

/// Odd, so that multiplying by it is a bijection; the golden ratio in 64 bits spreads the rest.
const SPREAD: u64 = 0x9E37_79B9_7F4A_7C15;

impl Pattern {
    /// The stream of the connection of this number.
    pub(crate) fn new(connection: u64) -> Self {
        // The finalizer of SplitMix64: neighbours get keys that have nothing in common.
        let mut key = connection.wrapping_add(1).wrapping_mul(SPREAD);
        key = (key ^ (key >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        key = (key ^ (key >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        Self { key: key ^ (key >> 31) }
    }

    fn word(self, index: u64) -> u64 {
        self.key.wrapping_add(index).wrapping_mul(SPREAD)
    }

    /// Fills `buffer` with the bytes from `offset` on.
    pub(crate) fn fill(self, offset: u64, buffer: &mut [u8]) {
        let (index, skip) = place(offset);
        let (first, rest) = buffer.split_at_mut(head(skip).min(buffer.len()));
        let mut word = self.word(index);
        if !first.is_empty() {
            first.copy_from_slice(&word.to_le_bytes()[skip..][..first.len()]);
            word = word.wrapping_add(SPREAD);
        }
        let (words, tail) = rest.as_chunks_mut::<WORD>();
        for place in words {
            *place = word.to_le_bytes();
            word = word.wrapping_add(SPREAD);
        }
        if !tail.is_empty() {
            tail.copy_from_slice(&word.to_le_bytes()[..tail.len()]);
        }
    }

    /// The offset of the first byte of `data` that is not the one of the stream from `offset` on.
    pub(crate) fn first_difference(self, offset: u64, data: &[u8]) -> Option<u64> {
        let (index, skip) = place(offset);
        let (first, rest) = data.split_at(head(skip).min(data.len()));
        let mut word = self.word(index);
        let mut same = true;
        if !first.is_empty() {
            same = *first == word.to_le_bytes()[skip..][..first.len()];
            word = word.wrapping_add(SPREAD);
        }
        let (words, tail) = rest.as_chunks::<WORD>();
        // Without a branch a word: it is nearly always the same.
        let mut differences = 0;
        for found in words {
            differences |= u64::from_le_bytes(*found) ^ word;
            word = word.wrapping_add(SPREAD);
        }
        if !tail.is_empty() {
            same &= *tail == word.to_le_bytes()[..tail.len()];
        }
        if same && differences == 0 {
            return None;
        }
        (offset..).zip(data).find(|&(at, &byte)| byte != self.byte(at)).map(|(at, _)| at)
    }

    fn byte(self, offset: u64) -> u8 {
        let (index, skip) = place(offset);
        self.word(index).to_le_bytes()[skip]
    }
}

/// Bytes until the next word, of which none is begun.
fn head(skip: usize) -> usize {
    if skip == 0 { 0 } else { WORD - skip }
}

/// The word an offset is in, and where in it.
#[expect(clippy::cast_possible_truncation, reason = "the remainder is less than 8")]
fn place(offset: u64) -> (u64, usize) {
    (offset / WORD as u64, (offset % WORD as u64) as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream(connection: u64, from: u64, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        Pattern::new(connection).fill(from, &mut bytes);
        bytes
    }

    #[test]
    fn pieces_of_any_size_make_the_same_stream() {
        let whole = stream(3, 0, 100);
        for piece in 1..40 {
            let mut at = 0;
            while at < whole.len() {
                let len = piece.min(whole.len() - at);
                let made = stream(3, at as u64, len);
                assert_eq!(made, whole[at..at + len], "{len} from {at}");
                let found = Pattern::new(3).first_difference(at as u64, &made);
                assert_eq!(found, None, "{len} from {at}");
                at += len;
            }
        }
    }

    #[test]
    fn a_changed_byte_is_found_where_it_is() {
        let whole = stream(9, 5, 50);
        for at in 0..whole.len() {
            let mut changed = whole.clone();
            changed[at] ^= 1;
            let found = Pattern::new(9).first_difference(5, &changed);
            assert_eq!(found, Some(5 + at as u64));
        }
    }

    #[test]
    fn neither_another_place_nor_another_connection_passes() {
        let pattern = Pattern::new(1);
        for shift in 1..1000 {
            assert!(pattern.first_difference(0, &stream(1, shift, 8)).is_some(), "{shift}");
        }
        for other in (0..1000).filter(|&other| other != 1) {
            assert!(pattern.first_difference(0, &stream(other, 0, 8)).is_some(), "{other}");
        }
    }
}
