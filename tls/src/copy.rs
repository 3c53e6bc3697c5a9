//! How large pieces are copied here and in the reactor.
//!
//! glibc copies more than about 2 KiB by `rep movsb` where the processor says that this is fast. On
//! Zen 3 and 4 it is not when the target lies 1 to 31 bytes behind the source, counted within a
//! page (glibc bug 30994): 16 KiB then take 5 to 9 us instead of 0.2. Buffers of 16 or 64 KiB that
//! malloc has put side by side lie just so, 16 bytes apart.
//!
//! Never: matters to a small message.

/// What is still copied by plain loads and stores, in bytes.
pub const PIECE_BYTES: usize = 2048;

/// Appends a copy, in pieces of at most [`PIECE_BYTES`].
#[inline]
pub fn append(to: &mut Vec<u8>, data: &[u8]) {
    if data.len() <= PIECE_BYTES {
        return to.extend_from_slice(data);
    }
    append_large(to, data);
}

#[inline(never)]
fn append_large(to: &mut Vec<u8>, data: &[u8]) {
    to.reserve(data.len());
    for piece in data.chunks(PIECE_BYTES) {
        to.extend_from_slice(piece);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_appended_in_pieces_is_what_came() {
        for len in [0, 1, PIECE_BYTES, PIECE_BYTES + 1, 5 * PIECE_BYTES + 7] {
            let data: Vec<u8> = (0_u8..251).cycle().take(len).collect();
            let mut to = b"before".to_vec();
            append(&mut to, &data);
            assert_eq!(to, [&b"before"[..], &data].concat(), "{len} bytes");
        }
    }
}
