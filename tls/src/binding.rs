//! Channel binding: values that tie what runs over a session to that session, and why there is none.
//!
//! Never: holds a secret.

use std::fmt;

/// The label of `tls-exporter` (RFC 9266, section 2).
pub(crate) const TLS_EXPORTER: &[u8] = b"EXPORTER-Channel-Binding";

/// Why there is no keying material, or no channel binding.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum BindingError {
    /// The context was not asked to let its sessions keep what this needs
    /// ([`ServerContext::with_exporter`](crate::ServerContext::with_exporter),
    /// [`ClientContext::with_exporter`](crate::ClientContext::with_exporter)): ours to change.
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
    /// The server showed no certificate, but perhaps a raw public key.
    NoCertificate,
    /// The server's certificate cannot be read as X.509.
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
