//! Digests of the SHA-2 family, by the cryptography that the features chose.
//!
//! Never: hashes what is secret; implements a digest itself.

#[cfg(all(feature = "aws-lc-rs", not(feature = "ring")))]
use aws_lc_rs::digest as library;
#[cfg(feature = "ring")]
use ring::digest as library;

/// No digest at all, and [`Hash::AVAILABLE`] says so.
#[cfg(not(any(feature = "ring", feature = "aws-lc-rs")))]
mod library {
    pub(super) type Digest = [u8; 0];
    pub(super) static SHA256: () = ();
    pub(super) static SHA384: () = ();
    pub(super) static SHA512: () = ();

    pub(super) fn digest(_algorithm: &(), _data: &[u8]) -> Digest {
        []
    }
}

/// A hash function.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Hash {
    Sha256,
    Sha384,
    Sha512,
}

impl Hash {
    /// Whether a feature brings digests.
    pub(crate) const AVAILABLE: bool = cfg!(any(feature = "ring", feature = "aws-lc-rs"));

    /// Bytes of a digest.
    pub(crate) const fn len(self) -> usize {
        match self {
            Self::Sha256 => 32,
            Self::Sha384 => 48,
            Self::Sha512 => 64,
        }
    }

    /// The digest of `data`: [`len`](Self::len) bytes.
    pub(crate) fn of(self, data: &[u8]) -> Digest {
        let algorithm = match self {
            Self::Sha256 => &library::SHA256,
            Self::Sha384 => &library::SHA384,
            Self::Sha512 => &library::SHA512,
        };
        Digest(library::digest(algorithm, data))
    }
}

/// What a hash function made; its bytes are in `as_ref()`.
#[derive(Clone, Debug)]
pub(crate) struct Digest(library::Digest);

impl AsRef<[u8]> for Digest {
    fn as_ref(&self) -> &[u8] {
        self.0.as_ref()
    }
}

/// Whether two values are the same in length and content, in a time that tells nothing else.
pub(crate) fn same(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |differ, (a, b)| differ | (a ^ b)) == 0
}

#[cfg(all(test, any(feature = "ring", feature = "aws-lc-rs")))]
mod tests {
    use super::*;

    /// The vectors of FIPS 180-4's examples for "abc": their beginnings.
    #[test]
    fn digests_are_those_of_the_standard() {
        for (hash, begins) in [
            (Hash::Sha256, [0xba, 0x78, 0x16, 0xbf, 0x8f, 0x01, 0xcf, 0xea]),
            (Hash::Sha384, [0xcb, 0x00, 0x75, 0x3f, 0x45, 0xa3, 0x5e, 0x8b]),
            (Hash::Sha512, [0xdd, 0xaf, 0x35, 0xa1, 0x93, 0x61, 0x7a, 0xba]),
        ] {
            let digest = hash.of(b"abc");
            assert_eq!(digest.as_ref().len(), hash.len(), "{hash:?}");
            assert_eq!(digest.as_ref()[..8], begins, "{hash:?}");
        }
    }

    #[test]
    fn values_are_the_same_only_in_length_and_content() {
        assert!(same(b"", b"") && same(b"abc", b"abc"));
        for other in [&b""[..], b"ab", b"abd", b"abcd", b"bbc"] {
            assert!(!same(b"abc", other) && !same(other, b"abc"), "{other:?}");
        }
    }
}
