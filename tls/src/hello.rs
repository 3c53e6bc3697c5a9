//! What a ServerHello says in the clear: the server's random, and whether the master secret is the
//! extended one.
//!
//! rustls tells neither, and the exporter of TLS 1.2 needs both. It reads the bytes that the server
//! sends, as they pass, until the hello is over.
//!
//! Never: judges a hello; rustls does. Keeps bytes, beyond the field that it is in.
//!
//! Invariants:
//! 1. How the stream is cut, into pieces or into records, makes no difference.

use rustls::ContentType;

/// Content type, version and length (RFC 8446, section 5.1).
const RECORD_HEADER: usize = 5;

/// The type of a ServerHello (RFC 5246, section 7.4).
const SERVER_HELLO: u8 = 2;

/// Message type and length, version, random, length of the session ID (RFC 5246, section 7.4.1.3).
const HEAD: usize = 4 + 2 + RANDOM + 1;

pub(crate) const RANDOM: usize = 32;

/// The cipher suite, the compression method and the length of the extensions.
const CHOICES: usize = 2 + 1 + 2;

/// Type and length of an extension.
const EXTENSION: usize = 4;

/// The type of that extension (RFC 7627, section 5.1).
const EXTENDED_MASTER_SECRET: u16 = 23;

/// Reads the first handshake message that a server sends.
pub(crate) struct ServerHello {
    pub(crate) random: [u8; RANDOM],
    /// RFC 7627.
    pub(crate) extended_master_secret: bool,
    record: Field<RECORD_HEADER>,
    /// Payload of the current record still to come.
    payload: usize,
    head: Field<HEAD>,
    extension: Field<EXTENSION>,
    /// Bytes to pass over.
    skip: usize,
    /// Bytes of the message after those, once its head has been read.
    left: usize,
    pub(crate) over: bool,
}

/// Bytes of a field of a known length, as they come.
struct Field<const N: usize> {
    bytes: [u8; N],
    have: usize,
}

impl<const N: usize> Field<N> {
    const fn new() -> Self {
        Self { bytes: [0; N], have: 0 }
    }

    /// Takes a byte; the field, when this was its last.
    fn push(&mut self, byte: u8) -> Option<[u8; N]> {
        self.bytes[self.have] = byte;
        self.have += 1;
        (self.have == N).then_some(self.bytes)
    }
}

impl ServerHello {
    pub(crate) const fn new() -> Self {
        Self {
            random: [0; RANDOM],
            extended_master_secret: false,
            record: Field::new(),
            payload: 0,
            head: Field::new(),
            extension: Field::new(),
            skip: 0,
            left: 0,
            over: false,
        }
    }

    /// Takes what the server sent next.
    pub(crate) fn pass(&mut self, mut wire: &[u8]) {
        while !self.over && !wire.is_empty() {
            if self.payload == 0 {
                if let Some([_, _, _, high, low]) = self.record.push(wire[0]) {
                    self.payload = usize::from(u16::from_be_bytes([high, low]));
                    self.record.have = 0;
                }
                wire = &wire[1..];
                continue;
            }
            let (now, rest) = wire.split_at(self.payload.min(wire.len()));
            self.payload -= now.len();
            wire = rest;
            // A warning may come first.
            if ContentType::from(self.record.bytes[0]) == ContentType::Handshake {
                now.iter().take_while(|&&byte| !self.byte(byte)).for_each(drop);
            }
        }
    }

    /// Takes a byte of the message; whether that was its last.
    fn byte(&mut self, byte: u8) -> bool {
        if self.skip > 0 {
            self.skip -= 1;
        } else if self.head.have < HEAD {
            if let Some(head) = self.head.push(byte) {
                self.enter(&head);
            }
            return self.over;
        } else if let Some([kind_high, kind_low, high, low]) = self.extension.push(byte) {
            let kind = u16::from_be_bytes([kind_high, kind_low]);
            self.extended_master_secret |= kind == EXTENDED_MASTER_SECRET;
            self.extension.have = 0;
            self.pass_over(usize::from(u16::from_be_bytes([high, low])), EXTENSION);
        }
        self.over |= self.left == 0 && self.skip == 0;
        self.over
    }

    fn enter(&mut self, head: &[u8; HEAD]) {
        self.over = head[0] != SERVER_HELLO;
        self.random.copy_from_slice(&head[6..6 + RANDOM]);
        self.left = usize::from(u16::from_be_bytes([head[2], head[3]])) + 4;
        self.pass_over(usize::from(head[HEAD - 1]) + CHOICES, HEAD);
    }

    /// Goes beyond a field of `read` bytes and the `skip` bytes that belong to it.
    fn pass_over(&mut self, skip: usize, read: usize) {
        match self.left.checked_sub(read + skip) {
            Some(left) => (self.skip, self.left) = (skip, left),
            // A hello without extensions ends here, and so does one that rustls will refuse.
            None => self.over = true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RENEGOTIATION_INFO: [u8; 5] = [0xff, 1, 0, 1, 0];

    /// A hello with these extensions, or with none, as a handshake message.
    fn hello(session_id: &[u8], extensions: Option<&[&[u8]]>) -> Vec<u8> {
        let id_len = u8::try_from(session_id.len()).expect("at most 32");
        let mut body =
            [&[3, 3][..], &[7; RANDOM], &[id_len], session_id, &[0xc0, 0x2f, 0]].concat();
        if let Some(extensions) = extensions.map(<[_]>::concat) {
            body.extend(u16::try_from(extensions.len()).expect("short").to_be_bytes());
            body.extend(extensions);
        }
        let len = u16::try_from(body.len()).expect("short").to_be_bytes();
        [&[SERVER_HELLO, 0][..], &len, &body].concat()
    }

    /// In records of so many bytes, each given in one piece of the stream.
    fn read(message: &[u8], record: usize, piece: usize) -> ServerHello {
        let mut wire = vec![21, 3, 3, 0, 2, 1, 112];
        for part in message.chunks(record) {
            let len = u16::try_from(part.len()).expect("short").to_be_bytes();
            wire.extend([&[22, 3, 3][..], &len, part].concat());
        }
        let mut hello = ServerHello::new();
        wire.chunks(piece).for_each(|piece| hello.pass(piece));
        hello
    }

    #[test]
    fn the_random_and_the_extended_master_secret_are_found_however_the_hello_is_cut() {
        // RFC 7627, section 5.1
        let with: &[&[u8]] = &[&RENEGOTIATION_INFO, &[0, 23, 0, 0], &[0, 11, 0, 2, 1, 0]];
        let last: &[&[u8]] = &[&RENEGOTIATION_INFO, &[0, 23, 0, 0]];
        // An extension whose body looks like the one in question.
        let without: &[&[u8]] = &[&[0, 16, 0, 4, 0, 23, 0, 0], &RENEGOTIATION_INFO];
        let hellos = [
            (Some(with), true),
            (Some(last), true),
            (Some(without), false),
            (Some(&[][..]), false),
            (None, false),
        ];
        for (extensions, extended) in hellos {
            for session_id in [&[][..], &[9; 32]] {
                let mut message = hello(session_id, extensions);
                let len = message.len();
                // What follows is another message, and no business of this one.
                message.extend([11, 0, 0, 4, 0, 23, 0, 0]);
                for (record, piece) in [(len, len), (1, 1), (7, 3), (len + 8, 1), (27, 500)] {
                    let read = read(&message, record, piece);
                    let seen = (read.over, read.random, read.extended_master_secret);
                    assert_eq!(seen, (true, [7; RANDOM], extended), "{extensions:?}");
                }
            }
        }
    }

    #[test]
    fn a_hello_with_lengths_that_do_not_fit_ends_without_harm() {
        let mut message = hello(&[], Some(&[&[0, 16, 0xff, 0xff]]));
        message.extend([0; 100]);
        assert!(!read(&message, 50, 50).extended_master_secret);
        for first in [0, 1, 11] {
            assert!(read(&[first; 60], 60, 60).over);
        }
    }
}
