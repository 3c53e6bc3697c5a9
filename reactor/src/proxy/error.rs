//! Why bytes are no header, and why a value is in none.
//!
//! Never: decides anything.

use std::fmt;

/// Why what a trusted sender has sent is no header: its mistake, or that of whoever has listed it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum ProxyError {
    /// They begin like neither version.
    NoHeader,
    /// A line that names neither TCP4 nor TCP6 nor UNKNOWN.
    Protocol,
    /// A line with an address that is none of its protocol, or without one.
    Address,
    /// A line with a port that is none, or without one.
    Port,
    /// A line whose CR no LF follows, or with something before it.
    LineEnd,
    /// No CRLF within 107 bytes.
    LineTooLong,
    /// This byte is no known version and command.
    Command(u8),
    /// This byte is no known family and transport.
    Family(u8),
    /// It is said to be too short for the addresses of its family.
    TooShort {
        /// How long it is said to be, behind its first 16 bytes.
        bytes: u16,
        /// The byte that names the family.
        family: u8,
    },
    /// It is longer than the listener allows.
    TooLarge {
        /// How long it would be, all in all.
        bytes: u32,
    },
    /// A value of this type does not end where the header does, or has not the length of its type.
    Value(u8),
    /// The checksum it carries is not its own.
    Checksum,
    /// It was not complete in time.
    Late,
    /// The connection ended before it was complete.
    Ended,
}

// It stands in a close reason.
const _: () = assert!(size_of::<ProxyError>() <= 8);

impl fmt::Display for ProxyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PROXY header: ")?;
        match self {
            Self::NoHeader => f.write_str("what came is none"),
            Self::Protocol => f.write_str("its protocol is not TCP4, TCP6 or UNKNOWN"),
            Self::Address => f.write_str("an address is none of its protocol"),
            Self::Port => f.write_str("a port is none"),
            Self::LineEnd => f.write_str("its line does not end as it should"),
            Self::LineTooLong => f.write_str("its line has no end within 107 bytes"),
            Self::Command(byte) => write!(f, "{byte:#04x} is no version and command"),
            Self::Family(byte) => write!(f, "{byte:#04x} is no family and transport"),
            Self::TooShort { bytes, family } => {
                write!(f, "{bytes} bytes are too few for the addresses of family {family:#04x}")
            }
            Self::TooLarge { bytes } => write!(f, "its {bytes} bytes are more than allowed"),
            Self::Value(kind) => write!(f, "the length of its value {kind:#04x} is wrong"),
            Self::Checksum => f.write_str("its checksum is wrong"),
            Self::Late => f.write_str("it did not come in time"),
            Self::Ended => f.write_str("the connection ended before it"),
        }
    }
}

impl std::error::Error for ProxyError {}

/// Why a value cannot be added to a header.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum ProxyTlvError {
    /// Values of this type the header writes itself: those that check and those that pad.
    Reserved(u8),
    /// The header has no room for it.
    TooLarge {
        /// Its type.
        kind: u8,
        /// Its length.
        bytes: usize,
    },
}

impl fmt::Display for ProxyTlvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Reserved(kind) => write!(f, "values {kind:#04x} are the header's own to write"),
            Self::TooLarge { kind, bytes } => {
                write!(f, "a PROXY header has no room for {bytes} bytes of value {kind:#04x}")
            }
        }
    }
}

impl std::error::Error for ProxyTlvError {}
