//! What is sent: a stream of bytes that each know their place.
//!
//! The bytes of a connection are words of 8, and word `i` is a bijection of `key + i`, with a key
//! far from every other connection's. So a word that is lost, doubled, moved or another
//! connection's is never equal to the one that should be there. From one word to the next is one
//! addition, so that making and checking them cost little beside sending them.
//!
//! Never: keeps what was sent; whoever checks makes it again.

/// A place in the stream of one connection, which it walks along.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pattern {
    /// The word it stands in, as a number of which the bytes come lowest first.
    word: u64,
    /// Bytes of that word which it has passed: fewer than a word has.
    passed: usize,
}

const WORD: usize = 8;

/// Odd, so that multiplying by it is a bijection; the golden ratio in 64 bits spreads the rest.
const SPREAD: u64 = 0x9E37_79B9_7F4A_7C15;

/// Words that are made and checked at once.
const BLOCK: usize = 8;
const BLOCK_STEP: u64 = SPREAD.wrapping_mul(BLOCK as u64);

/// From the first word of a block to each.
const STEPS: [u64; BLOCK] = {
    let mut steps = [0_u64; BLOCK];
    let mut word = 1;
    while word < BLOCK {
        steps[word] = steps[word - 1].wrapping_add(SPREAD);
        word += 1;
    }
    steps
};

impl Pattern {
    /// The beginning of the stream of the connection of this number.
    pub(crate) fn new(connection: u64) -> Self {
        // The finalizer of SplitMix64: neighbours get keys that have nothing in common.
        let mut key = connection.wrapping_add(1).wrapping_mul(SPREAD);
        key = (key ^ (key >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        key = (key ^ (key >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        key ^= key >> 31;
        Self { word: key.wrapping_mul(SPREAD), passed: 0 }
    }

    /// Fills `buffer` with the bytes that come next.
    #[inline(always)]
    pub(crate) fn fill(&mut self, buffer: &mut [u8]) {
        let (words, tail) = buffer.as_chunks_mut::<WORD>();
        if self.passed != 0 || !tail.is_empty() {
            return self.fill_any(buffer);
        }
        let (blocks, words) = words.as_chunks_mut::<BLOCK>();
        for block in blocks {
            for (place, step) in block.iter_mut().zip(STEPS) {
                *place = self.word.wrapping_add(step).to_le_bytes();
            }
            self.word = self.word.wrapping_add(BLOCK_STEP);
        }
        for place in words {
            *place = self.word.to_le_bytes();
            self.word = self.word.wrapping_add(SPREAD);
        }
    }

    /// As [`fill`](Self::fill), where words are cut.
    #[inline(never)]
    fn fill_any(&mut self, mut buffer: &mut [u8]) {
        if self.passed != 0 {
            let (first, rest) = buffer.split_at_mut((WORD - self.passed).min(buffer.len()));
            first.copy_from_slice(&self.word.to_le_bytes()[self.passed..][..first.len()]);
            self.pass(first.len());
            buffer = rest;
        }
        let (words, tail) = buffer.as_chunks_mut::<WORD>();
        for place in words {
            *place = self.word.to_le_bytes();
            self.pass(WORD);
        }
        if !tail.is_empty() {
            tail.copy_from_slice(&self.word.to_le_bytes()[..tail.len()]);
            self.passed = tail.len();
        }
    }

    /// Whether `data` is what comes next; if not, how many bytes of it are.
    #[inline(always)]
    pub(crate) fn check(&mut self, data: &[u8]) -> Result<(), usize> {
        let (words, tail) = data.as_chunks::<WORD>();
        if self.passed != 0 || !tail.is_empty() {
            return self.check_any(data);
        }
        let (before, mut differences) = (*self, 0);
        let (blocks, words) = words.as_chunks::<BLOCK>();
        // Without a branch a word: it is nearly always the same.
        for block in blocks {
            for (found, step) in block.iter().zip(STEPS) {
                differences |= u64::from_le_bytes(*found) ^ self.word.wrapping_add(step);
            }
            self.word = self.word.wrapping_add(BLOCK_STEP);
        }
        for found in words {
            differences |= u64::from_le_bytes(*found) ^ self.word;
            self.word = self.word.wrapping_add(SPREAD);
        }
        if differences == 0 { Ok(()) } else { Err(before.same(data)) }
    }

    /// As [`check`](Self::check), where words are cut.
    #[inline(never)]
    fn check_any(&mut self, data: &[u8]) -> Result<(), usize> {
        let before = *self;
        let mut expected = [0; 1024];
        for piece in data.chunks(expected.len()) {
            let expected = &mut expected[..piece.len()];
            self.fill_any(expected);
            if piece != expected {
                return Err(before.same(data));
            }
        }
        Ok(())
    }

    /// It goes on by so many bytes of its word, if need be to the next one.
    fn pass(&mut self, bytes: usize) {
        self.passed += bytes;
        if self.passed == WORD {
            self.passed = 0;
            self.word = self.word.wrapping_add(SPREAD);
        }
    }

    /// How many bytes of `data` are those that come next.
    #[cold]
    fn same(mut self, data: &[u8]) -> usize {
        let mut expected = vec![0; data.len()];
        self.fill_any(&mut expected);
        data.iter().zip(&expected).take_while(|(found, wanted)| found == wanted).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The stream from this offset on.
    fn stream(connection: u64, from: usize, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; from + len];
        Pattern::new(connection).fill(&mut bytes);
        bytes.split_off(from)
    }

    fn at(connection: u64, offset: usize) -> Pattern {
        let mut pattern = Pattern::new(connection);
        pattern.fill(&mut vec![0; offset]);
        pattern
    }

    #[test]
    fn pieces_of_any_size_make_the_same_stream() {
        let whole = stream(3, 0, 500);
        for piece in 1..200 {
            let (mut made, mut checked) = (Pattern::new(3), Pattern::new(3));
            for expected in whole.chunks(piece) {
                let mut bytes = vec![0; expected.len()];
                made.fill(&mut bytes);
                assert_eq!(bytes, expected, "pieces of {piece}");
                assert_eq!(checked.check(&bytes), Ok(()), "pieces of {piece}");
            }
        }
    }

    #[test]
    fn a_changed_byte_is_found_where_it_is() {
        for offset in 0..9 {
            let whole = stream(9, offset, 150);
            for place in 0..whole.len() {
                let mut changed = whole.clone();
                changed[place] ^= 1;
                assert_eq!(at(9, offset).check(&changed), Err(place), "{offset}");
            }
        }
    }

    #[test]
    fn neither_another_place_nor_another_connection_passes() {
        for shift in 1..1000 {
            assert!(Pattern::new(1).check(&stream(1, shift, 8)).is_err(), "{shift}");
        }
        for other in (0..1000).filter(|&other| other != 1) {
            assert!(Pattern::new(1).check(&stream(other, 0, 8)).is_err(), "{other}");
        }
    }
}
