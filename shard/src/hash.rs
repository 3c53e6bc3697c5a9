//! SipHash-2-4 with a fixed key: which shard a key belongs to, the same in every process.
//!
//! After Aumasson and Bernstein, "SipHash: a fast short-input PRF", 2012; the key is that of the
//! paper's test vectors, bytes 0 to 15. `std`'s hashers are not used: they promise nothing from one
//! version to the next.
//!
//! Never: keeps a secret. Whoever chooses keys can choose their shard.

const KEY: [u64; 2] = [0x0706_0504_0302_0100, 0x0f0e_0d0c_0b0a_0908];

struct State([u64; 4]);

impl State {
    fn round(&mut self) {
        let [a, b, c, d] = &mut self.0;
        *a = a.wrapping_add(*b);
        *c = c.wrapping_add(*d);
        *b = b.rotate_left(13) ^ *a;
        *d = d.rotate_left(16) ^ *c;
        *a = a.rotate_left(32).wrapping_add(*d);
        *c = c.wrapping_add(*b);
        *d = d.rotate_left(21) ^ *a;
        *b = b.rotate_left(17) ^ *c;
        *c = c.rotate_left(32);
    }

    fn take(&mut self, word: u64) {
        self.0[3] ^= word;
        self.round();
        self.round();
        self.0[0] ^= word;
    }
}

/// The hash of these bytes.
pub(crate) fn siphash(bytes: &[u8]) -> u64 {
    let mut state = State([
        KEY[0] ^ 0x736f_6d65_7073_6575,
        KEY[1] ^ 0x646f_7261_6e64_6f6d,
        KEY[0] ^ 0x6c79_6765_6e65_7261,
        KEY[1] ^ 0x7465_6462_7974_6573,
    ]);
    let mut words = bytes.chunks_exact(8);
    for word in words.by_ref() {
        let word: [u8; 8] = word.try_into().expect("chunks of eight");
        state.take(u64::from_le_bytes(word));
    }
    let mut last = [0; 8];
    last[..words.remainder().len()].copy_from_slice(words.remainder());
    // The paper's: the length modulo 256 is the last byte.
    last[7] = u8::try_from(bytes.len() & 0xff).expect("a byte");
    state.take(u64::from_le_bytes(last));
    state.0[2] ^= 0xff;
    for _ in 0..4 {
        state.round();
    }
    state.0.iter().fold(0, |all, word| all ^ word)
}

/// Which of so many a hash belongs to: its place in the range, scaled.
pub(crate) fn scale(hash: u64, count: usize) -> usize {
    let place = (u128::from(hash) * count as u128) >> 64;
    usize::try_from(place).expect("below a count")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of the paper's reference implementation: the hashes of 0 to 15 bytes, 00 01 02 and so on.
    const VECTORS: [u64; 16] = [
        0x726f_db47_dd0e_0e31,
        0x74f8_39c5_93dc_67fd,
        0x0d6c_8009_d9a9_4f5a,
        0x8567_6696_d7fb_7e2d,
        0xcf27_94e0_2771_87b7,
        0x1876_5564_cd99_a68d,
        0xcbc9_466e_58fe_e3ce,
        0xab02_00f5_8b01_d137,
        0x93f5_f579_9a93_2462,
        0x9e00_82df_0ba9_e4b0,
        0x7a5d_bbc5_94dd_b9f3,
        0xf4b3_2f46_226b_ada7,
        0x751e_8fbc_860e_e5fb,
        0x14ea_5627_c084_3d90,
        0xf723_ca90_8e7a_f2ee,
        0xa129_ca61_49be_45e5,
    ];

    #[test]
    fn hashes_are_those_of_the_paper() {
        let input: Vec<u8> = (0..16).collect();
        for (len, want) in VECTORS.into_iter().enumerate() {
            assert_eq!(siphash(&input[..len]), want, "{len} bytes");
        }
    }

    #[test]
    fn a_hash_is_scaled_to_its_place() {
        assert_eq!(scale(u64::MAX, 3), 2);
        assert_eq!(scale(0, 3), 0);
        assert_eq!(scale(1 << 63, 4), 2);
        assert_eq!(scale(u64::MAX, 1), 0);
    }
}
