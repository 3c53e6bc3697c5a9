//! What becomes of bytes on their way: flips, cuts, splices, repeats, lengths, and records that
//! nobody would send.
//!
//! Never: looks at what a session makes of them.

use fastrand::Rng;
use std::ops::Range;

/// A flight grows to so many bytes at the most.
const LONGEST: usize = 256 * 1024;

/// How often something is repeated at the most.
const STORM: usize = 2000;

const HANDSHAKE: u8 = 22;

/// What a peer may say that no TLS peer says, or not there.
const STRANGE: [&[u8]; 12] = [
    b"GET / HTTP/1.1\r\nHost: shard.example\r\n\r\n",
    b"STARTTLS\r\n",
    // A hello of SSL 2.
    &[0x80, 0x2e, 1, 0, 2, 0, 0x15, 0, 0, 0, 0x10, 1, 0, 0x80],
    // close_notify, a fatal alert, and one of no level.
    &[21, 3, 3, 0, 2, 1, 0],
    &[21, 3, 3, 0, 2, 2, 40],
    &[21, 3, 3, 0, 2, 9, 9],
    // Records without a payload, and one without an end.
    &[22, 3, 3, 0, 0],
    &[23, 3, 3, 0, 0],
    &[23, 3, 3, 0x48, 0],
    &[20, 3, 3, 0, 1, 1],
    // A handshake message of 64 KiB begins; a HelloRequest.
    &[22, 3, 3, 0, 4, 1, 0, 0xff, 0xff],
    &[22, 3, 3, 0, 4, 0, 0, 0, 0],
];

/// Handshake messages to be sealed: key updates that ask and do not, an empty ticket, a request for
/// a certificate, a hello.
const INNER: [&[u8]; 6] = [
    &[24, 0, 0, 1, 0],
    &[24, 0, 0, 1, 1],
    &[24, 0, 0, 1, 2],
    &[4, 0, 0, 0],
    &[13, 0, 0, 3, 0, 0, 0],
    &[1, 0, 0, 0],
];

/// Changes bytes as its seed decides.
#[derive(Debug)]
pub(super) struct Changer {
    rng: Rng,
    /// Of so many flights or records one is changed.
    one_in: u8,
    /// Flights that went by, to be sent again and to be spliced.
    heard: Vec<Vec<u8>>,
}

impl Changer {
    pub(super) fn new(rng: &mut Rng) -> Self {
        let one_in = [1, 1, 2, 3, 6][rng.usize(..5)];
        Self { rng: rng.fork(), one_in, heard: Vec::new() }
    }

    /// Changes what is on its way, or not.
    pub(super) fn change(&mut self, flight: &mut Vec<u8>) {
        if !flight.is_empty() {
            self.heard.push(flight.clone());
        }
        if self.rng.u8(..self.one_in) == 0 {
            for _ in 0..self.rng.usize(1..4) {
                self.change_once(flight);
            }
            flight.truncate(LONGEST);
        }
    }

    /// Changes a record before it is sealed, to one that is not longer.
    pub(super) fn change_record(&mut self, kind: &mut u8, payload: &mut Vec<u8>) {
        if self.rng.u8(..self.one_in) != 0 {
            return;
        }
        let room = payload.len();
        match self.rng.u8(..6) {
            0 => *kind = self.rng.choice([20, 21, 22, 23, 24, 0, 255]).expect("some"),
            1 => {
                *kind = HANDSHAKE;
                let message = INNER[self.rng.usize(..INNER.len())];
                *payload = message.repeat(self.rng.usize(1..40));
            }
            2 => {
                *kind = 21;
                *payload = vec![self.rng.u8(..4), self.rng.u8(..)];
            }
            3 => self.message_length(0, payload),
            _ => self.change_once(payload),
        }
        payload.truncate(room);
    }

    fn change_once(&mut self, bytes: &mut Vec<u8>) {
        let part = self.part(bytes.len());
        match self.rng.u8(..14) {
            0 | 1 => self.flip(bytes),
            2 => bytes[part].fill(self.rng.u8(..)),
            3 => drop(bytes.drain(part)),
            4 => bytes.truncate(part.start),
            5 => {
                let junk: Vec<u8> = (0..self.rng.usize(1..100)).map(|_| self.rng.u8(..)).collect();
                drop(bytes.splice(part.start..part.start, junk));
            }
            6 => {
                let again = bytes[part.clone()].repeat(self.rng.usize(2..6));
                drop(bytes.splice(part, again));
            }
            7 => self.splice(bytes),
            8 => self.record_length(bytes),
            9 => self.handshake_length(bytes),
            10 => self.record_kind(bytes),
            11 => self.rearrange(bytes),
            12 => self.reframe(bytes),
            _ => self.strange(bytes),
        }
    }

    /// Some part of so many bytes, short ones more often.
    fn part(&mut self, len: usize) -> Range<usize> {
        let start = self.rng.usize(..=len);
        let most = if self.rng.bool() { 8.min(len - start) } else { len - start };
        start..start + self.rng.usize(..=most)
    }

    fn flip(&mut self, bytes: &mut [u8]) {
        for _ in 0..self.rng.usize(1..4) {
            if let Some(byte) = self.rng.choice(bytes.iter_mut()) {
                *byte ^= 1 << self.rng.u8(..8);
            }
        }
    }

    /// Something that went by before, in whole or in part, put in or put over.
    fn splice(&mut self, bytes: &mut Vec<u8>) {
        let Some(other) = self.rng.choice(&self.heard).cloned() else { return };
        let from = self.part(other.len());
        let from = if self.rng.bool() { 0..other.len() } else { from };
        let at = self.part(bytes.len());
        let at = if self.rng.bool() { at } else { at.start..at.start };
        drop(bytes.splice(at, other[from].iter().copied()));
    }

    fn some_record(&mut self, bytes: &[u8]) -> Option<Range<usize>> {
        self.rng.choice(records(bytes))
    }

    fn other_length(&mut self, now: u16) -> u16 {
        let most = (1 << 14) + 2048;
        let near = [now.wrapping_add(1), now.wrapping_sub(1), now / 2, now.wrapping_mul(2)];
        let far = [0, 1, 1 << 14, (1 << 14) + 1, most, most + 1, u16::MAX, self.rng.u16(..)];
        let all = [&near[..], &far].concat();
        all[self.rng.usize(..all.len())]
    }

    fn record_length(&mut self, bytes: &mut [u8]) {
        let Some(record) = self.some_record(bytes) else { return };
        let now = u16::from_be_bytes([bytes[record.start + 3], bytes[record.start + 4]]);
        let then = self.other_length(now).to_be_bytes();
        bytes[record.start + 3..record.start + 5].copy_from_slice(&then);
    }

    fn handshake_length(&mut self, bytes: &mut [u8]) {
        let Some(record) = self.some_record(bytes) else { return };
        self.message_length(record.start + 5, bytes);
    }

    /// The length of a message, or of something within it that looks like one.
    fn message_length(&mut self, at: usize, bytes: &mut [u8]) {
        let within = if self.rng.bool() { 2 } else { self.rng.usize(..200) };
        let Some(field) = bytes.get_mut(at + within..).and_then(<[u8]>::first_chunk_mut) else {
            return;
        };
        *field = self.other_length(u16::from_be_bytes(*field)).to_be_bytes();
    }

    fn record_kind(&mut self, bytes: &mut [u8]) {
        let Some(record) = self.some_record(bytes) else { return };
        let (at, to) =
            self.rng.choice([(0, 20), (0, 21), (0, 22), (0, 23), (0, 24)]).expect("some");
        bytes[record.start + at] = to;
        if self.rng.u8(..4) == 0 {
            bytes[record.start + self.rng.usize(1..3)] = self.rng.u8(..5);
        }
    }

    /// Records that change their places, that are lost, that come again and again.
    fn rearrange(&mut self, bytes: &mut Vec<u8>) {
        let mut all: Vec<Vec<u8>> =
            records(bytes).into_iter().map(|record| bytes[record].to_vec()).collect();
        if all.is_empty() {
            return;
        }
        let at = self.rng.usize(..all.len());
        match self.rng.u8(..4) {
            0 => self.rng.shuffle(&mut all),
            1 => drop(all.remove(at)),
            2 => all.insert(at, all[at].clone()),
            _ => all[at] = all[at].repeat(self.rng.usize(2..STORM).min(LONGEST / all[at].len())),
        }
        *bytes = all.concat();
    }

    /// The same payload in other records, as TLS allows for what is not sealed.
    fn reframe(&mut self, bytes: &mut Vec<u8>) {
        let Some(record) = self.some_record(bytes) else { return };
        let (head, payload) = bytes[record.clone()].split_at(5);
        let size = self.rng.usize(1..60);
        let mut again = Vec::new();
        for part in payload.chunks(size) {
            again.extend([head[0], head[1], head[2], 0, u8::try_from(part.len()).unwrap_or(0)]);
            again.extend(part);
        }
        drop(bytes.splice(record, again));
    }

    fn strange(&mut self, bytes: &mut Vec<u8>) {
        let what = STRANGE[self.rng.usize(..STRANGE.len())];
        let times = if self.rng.u8(..4) == 0 { self.rng.usize(2..STORM) } else { 1 };
        let starts: Vec<_> = records(bytes).into_iter().map(|record| record.start).collect();
        let at = self.rng.choice(starts).unwrap_or(bytes.len());
        drop(bytes.splice(at..at, what.repeat(times)));
    }
}

/// Where the records in these bytes are, as far as they are whole.
fn records(bytes: &[u8]) -> Vec<Range<usize>> {
    let (mut found, mut at) = (Vec::new(), 0);
    while let Some(head) = bytes.get(at..).and_then(<[u8]>::first_chunk::<5>) {
        let end = at + 5 + usize::from(u16::from_be_bytes([head[3], head[4]]));
        if end > bytes.len() {
            break;
        }
        found.push(at..end);
        at = end;
    }
    found
}
