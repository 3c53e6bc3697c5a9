//! Channel binding: what ties a protocol to the session that it runs over, and why there is none.
//!
//! Never: holds a secret.

use std::fmt;

use rustls::pki_types::CertificateDer;

use crate::der::{self, Algorithm};
use crate::digest::Hash;

/// The label of `tls-exporter` (RFC 9266, section 2).
pub(crate) const TLS_EXPORTER: &[u8] = b"EXPORTER-Channel-Binding";

/// Why there is no keying material, or no channel binding.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum BindingError {
    /// The context was not asked to let its sessions keep what this needs
    /// ([`ServerContext::with_exporter`](crate::ServerContext::with_exporter),
    /// [`ClientContext::with_exporter`](crate::ClientContext::with_exporter), or their builders'
    /// `exporter`): ours to change.
    NotKept,
    /// The handshake is not done yet, or was never finished.
    Handshaking,
    /// A TLS 1.2 session without the extended master secret, which the peer did not offer: its
    /// keying material can be made the same as another session's (RFC 7627, section 1; RFC 9266,
    /// section 2).
    NoExtendedMasterSecret,
    /// So many bytes cannot be derived at once: none, or in TLS 1.3 more than 255 times what the
    /// hash has (RFC 8446, section 7.1).
    OutputLength {
        /// How many were asked for.
        len: usize,
    },
    /// A label must have a byte, and in TLS 1.3 at most 249 (RFC 8446, section 7.1).
    LabelLength {
        /// How many it has.
        len: usize,
    },
    /// A label that begins like one with which TLS 1.2 derives its own keys (RFC 5705, section 4).
    LabelReserved,
    /// A context in TLS 1.2 must have at most 65535 bytes (RFC 5705, section 4).
    ContextLength {
        /// How many it has.
        len: usize,
    },
    /// The server showed no certificate.
    NoCertificate,
    /// What the server showed cannot be read as an X.509 certificate; a raw public key is none.
    Certificate,
    /// The signature of the server's certificate has no hash of its own, or one that is not known
    /// here; so is that of Ed25519 (RFC 5929, section 4.1).
    NoHash,
}

impl fmt::Display for BindingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotKept => f.write_str("the TLS context was not asked to keep the secret"),
            Self::Handshaking => f.write_str("the TLS handshake is not done"),
            Self::NoExtendedMasterSecret => f.write_str("TLS 1.2 without extended master secret"),
            Self::OutputLength { len } => write!(f, "{len} bytes cannot be exported at once"),
            Self::LabelLength { len } => write!(f, "an exporter label of {len} bytes"),
            Self::LabelReserved => f.write_str("an exporter label that TLS has reserved"),
            Self::ContextLength { len } => write!(f, "an exporter context of {len} bytes"),
            Self::NoCertificate => f.write_str("the server showed no certificate"),
            Self::Certificate => f.write_str("the server's certificate cannot be read"),
            Self::NoHash => f.write_str("the server certificate's signature has no known hash"),
        }
    }
}

impl std::error::Error for BindingError {}

/// `tls-server-end-point` of a server that shows this certificate (RFC 5929, section 4.1).
pub(crate) fn server_end_point(certificate: &CertificateDer<'_>) -> Result<Vec<u8>, BindingError> {
    let algorithm = der::signature_algorithm(certificate).ok_or(BindingError::Certificate)?;
    let hash = signature_hash(algorithm).filter(|_| Hash::AVAILABLE);
    let hash = hash.ok_or(BindingError::NoHash)?;
    Ok(hash.of(certificate).as_ref().to_vec())
}

/// The hash of a signature, stronger where it is MD5 or SHA-1.
fn signature_hash(algorithm: Algorithm<'_>) -> Option<Hash> {
    /// 1.2.840.113549.1.1 (RFC 8017, appendix C).
    const PKCS_1: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1];
    /// 1.2.840.10045.4 (RFC 5758, section 3.2).
    const ECDSA: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 4];
    if let Some(rsa) = algorithm.oid.strip_prefix(PKCS_1) {
        return match rsa {
            // MD5, SHA-1.
            [4 | 5] => Some(Hash::Sha256),
            [10] => pss_hash(algorithm.pss_hash()?),
            [11] => Some(Hash::Sha256),
            [12] => Some(Hash::Sha384),
            [13] => Some(Hash::Sha512),
            _ => None,
        };
    }
    match algorithm.oid.strip_prefix(ECDSA)? {
        // SHA-1.
        [1] => Some(Hash::Sha256),
        [3, 2] => Some(Hash::Sha256),
        [3, 3] => Some(Hash::Sha384),
        [3, 4] => Some(Hash::Sha512),
        _ => None,
    }
}

fn pss_hash(named: Option<&[u8]>) -> Option<Hash> {
    /// 1.3.14.3.2.26 (RFC 8017, appendix C).
    const SHA_1: &[u8] = &[0x2b, 0x0e, 3, 2, 0x1a];
    /// 2.16.840.1.101.3.4.2 (RFC 8017, appendix C).
    const SHA_2: &[u8] = &[0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2];
    let Some(named) = named.filter(|&named| named != SHA_1) else { return Some(Hash::Sha256) };
    match named.strip_prefix(SHA_2)? {
        [1] => Some(Hash::Sha256),
        [2] => Some(Hash::Sha384),
        [3] => Some(Hash::Sha512),
        _ => None,
    }
}

#[cfg(all(test, any(feature = "ring", feature = "aws-lc-rs")))]
mod tests {
    use super::*;

    fn hash_of(oid: &[u8], parameters: Option<&[u8]>) -> Option<Hash> {
        signature_hash(Algorithm { oid, parameters })
    }

    #[test]
    fn md5_and_sha_1_become_sha_256_and_others_stay_what_they_are() {
        // RFC 5929, section 4.1
        let rsa = |last| hash_of(&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, last], Some(&[5, 0]));
        assert_eq!(rsa(4), Some(Hash::Sha256));
        assert_eq!(rsa(5), Some(Hash::Sha256));
        assert_eq!(rsa(11), Some(Hash::Sha256));
        assert_eq!(rsa(12), Some(Hash::Sha384));
        assert_eq!(rsa(13), Some(Hash::Sha512));
        // SHA-224, which is not known here; and an encryption, which is no signature.
        assert_eq!((rsa(14), rsa(1)), (None, None));
        let ecdsa =
            |last: &[u8]| hash_of(&[&[0x2a, 0x86, 0x48, 0xce, 0x3d, 4][..], last].concat(), None);
        assert_eq!(ecdsa(&[1]), Some(Hash::Sha256));
        assert_eq!(ecdsa(&[3, 1]), None);
        assert_eq!(ecdsa(&[3, 2]), Some(Hash::Sha256));
        assert_eq!(ecdsa(&[3, 3]), Some(Hash::Sha384));
        assert_eq!(ecdsa(&[3, 4]), Some(Hash::Sha512));
        assert_eq!(hash_of(&[0x2b, 0x65, 0x70], None), None, "Ed25519");
    }

    #[test]
    fn rsassa_pss_has_the_hash_that_its_parameters_name() {
        // RFC 4055, section 3.1
        let oid = [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 10];
        assert_eq!(hash_of(&oid, None), Some(Hash::Sha256), "SHA-1 by default");
        assert_eq!(hash_of(&oid, Some(&[0x30, 0])), Some(Hash::Sha256));
        let sha_1 = [0x30, 11, 0xa0, 9, 0x30, 7, 6, 5, 0x2b, 0x0e, 3, 2, 0x1a];
        assert_eq!(hash_of(&oid, Some(&sha_1)), Some(Hash::Sha256));
        for (last, hash) in
            [(1, Some(Hash::Sha256)), (2, Some(Hash::Sha384)), (3, Some(Hash::Sha512)), (4, None)]
        {
            let sha_2 =
                [0x30, 15, 0xa0, 13, 0x30, 11, 6, 9, 0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, last];
            assert_eq!(hash_of(&oid, Some(&sha_2)), hash);
        }
        assert_eq!(hash_of(&oid, Some(&[5, 0])), None, "not its parameters");
    }
}
