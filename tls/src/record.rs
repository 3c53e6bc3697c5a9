//! The five bytes in front of a record, and how many bytes may wait for more.
//!
//! Never: judges a header that rustls will; it refuses a bad one before its length matters here.

use rustls::{ContentType, InvalidMessage};

use crate::Error;

/// Content type, version and length (RFC 8446, section 5.1).
pub(crate) const RECORD_HEADER: usize = 5;

/// The largest payload of a record (RFC 8446, section 5.1).
pub(crate) const RECORD_PAYLOAD: usize = 1 << 14;

/// What protection may add to a payload in TLS 1.3 (RFC 8446, section 5.2).
const PROTECTION_MAX: usize = 256;

/// The largest handshake message rustls takes, with its header.
pub(crate) const HANDSHAKE_MAX: usize = 4 + 0xffff;

/// The largest record rustls takes, with its header.
const RECORD_MAX: usize = RECORD_HEADER + RECORD_PAYLOAD + 2048;

/// Bytes a peer can make a session keep: a handshake message, in records of any sensible size.
const PENDING_MAX: usize = HANDSHAKE_MAX + RECORD_MAX;

/// Refuses to keep more than [`PENDING_MAX`].
pub(crate) fn check_pending(pending: usize) -> Result<(), Error> {
    if pending > PENDING_MAX {
        let reason = InvalidMessage::HandshakePayloadTooLarge;
        return Err(Error::blame(reason.into()));
    }
    Ok(())
}

/// The length of the record whose header begins `bytes`, header included, if it is all there.
#[inline]
pub(crate) fn record_len(bytes: &[u8]) -> Option<usize> {
    let header = bytes.first_chunk::<RECORD_HEADER>()?;
    Some(RECORD_HEADER + usize::from(u16::from_be_bytes([header[3], header[4]])))
}

/// Judges the header of a protected record of TLS 1.3, which is `len` bytes long in all (RFC 8446,
/// sections 5 and 5.2).
#[inline]
pub(crate) fn check_header(header: &[u8], len: usize) -> Result<(), rustls::Error> {
    let fits = len <= RECORD_HEADER + RECORD_PAYLOAD + PROTECTION_MAX;
    match header {
        // Whatever minor version it claims: section 5.1 has it ignored.
        [23, 3, ..] if fits => Ok(()),
        _ => Err(bad_header(header)),
    }
}

#[cold]
fn bad_header(header: &[u8]) -> rustls::Error {
    match header {
        [23, 3, ..] => rustls::Error::PeerSentOversizedRecord,
        [20..=24, 3, ..] => {
            let expect_types = vec![ContentType::ApplicationData];
            rustls::Error::InappropriateMessage { expect_types, got_type: header[0].into() }
        }
        [20..=24, ..] => InvalidMessage::UnknownProtocolVersion.into(),
        _ => InvalidMessage::InvalidContentType.into(),
    }
}

/// How many bytes the record that begins `bytes` lacks, or its header while that is incomplete.
pub(crate) fn missing(bytes: &[u8]) -> usize {
    record_len(bytes).unwrap_or(RECORD_HEADER).saturating_sub(bytes.len())
}

/// Where in `bytes` the records that are all there end.
pub(crate) fn whole_records(bytes: &[u8]) -> usize {
    let mut at = 0;
    while let Some(len) = record_len(&bytes[at..]).filter(|len| *len <= bytes.len() - at) {
        at += len;
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    const TWO: [u8; 13] = [23, 3, 3, 0, 1, 9, 21, 3, 3, 0, 2, 1, 0];

    #[test]
    fn a_record_lacks_its_header_first_and_then_its_payload() {
        for (have, lack) in [5, 4, 3, 2, 1, 1, 0].into_iter().enumerate() {
            assert_eq!(missing(&TWO[..have]), lack, "{have} bytes there");
        }
    }

    #[test]
    fn only_whole_records_are_counted() {
        for len in 0..=TWO.len() {
            let whole = match len {
                ..6 => 0,
                6..13 => 6,
                _ => 13,
            };
            assert_eq!(whole_records(&TWO[..len]), whole, "{len} bytes there");
        }
    }
}
