//! A ClientHello whose server_name is what a test wants, and what a server answers in the clear.
//!
//! Never: goes on with such a handshake: the client knows nothing of the change.

use rustls::SupportedProtocolVersion;
use shardpoll_tls::Session;

use super::{NAME, insecure, records};

const SERVER_NAME: u16 = 0;
const CERTIFICATE: u8 = 11;

/// A hello of this version whose server_name extension holds one host name: these bytes.
pub(crate) fn with_server_name(version: &'static SupportedProtocolVersion, name: &[u8]) -> Vec<u8> {
    let mut session = Session::client(&insecure(version), NAME.try_into().unwrap()).unwrap();
    let mut wire = Vec::new();
    session.start(&mut wire).unwrap();
    let extensions = extensions_at(&wire);
    let mut at = extensions + 2;
    while u16_at(&wire, at) != SERVER_NAME {
        at += 4 + usize::from(u16_at(&wire, at + 2));
    }
    let old = 4 + usize::from(u16_at(&wire, at + 2));
    // Extension: type, length; list: length; entry: type 0, length, name (RFC 6066, section 3).
    let len = name.len();
    let lens = [len + 5, len + 3, len].map(|len| u16::try_from(len).unwrap().to_be_bytes());
    let new = [&[0, 0], &lens[0][..], &lens[1], &[0], &lens[2], name].concat();
    let change = isize::try_from(new.len()).unwrap() - isize::try_from(old).unwrap();
    wire.splice(at..at + old, new);
    // The lengths around it: of the record, of the message (the lower bytes), of the extensions.
    for at in [3, 7, extensions] {
        let len = usize::from(u16_at(&wire, at)).checked_add_signed(change).unwrap();
        wire[at..at + 2].copy_from_slice(&u16::try_from(len).unwrap().to_be_bytes());
    }
    wire
}

fn u16_at(wire: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([wire[at], wire[at + 1]])
}

/// Where the length of the extensions is, in a record with a hello.
fn extensions_at(wire: &[u8]) -> usize {
    // Record header, message header, version and random; then session id, suites, compression.
    let mut at = 5 + 4 + 2 + 32;
    at += 1 + usize::from(wire[at]);
    at += 2 + usize::from(u16_at(wire, at));
    at + 1 + usize::from(wire[at])
}

/// The first certificate of a TLS 1.2 server's first flight.
pub(crate) fn first_certificate(wire: &[u8]) -> Vec<u8> {
    let flight: Vec<u8> =
        records(wire).into_iter().flat_map(|(_, payload)| payload).copied().collect();
    let len_at = |at: usize| usize::from(flight[at]) << 16 | usize::from(u16_at(&flight, at + 1));
    let mut at = 0;
    while flight[at] != CERTIFICATE {
        at += 4 + len_at(at + 1);
    }
    // Message header, length of the list, length of the first.
    flight[at + 10..][..len_at(at + 7)].to_vec()
}
