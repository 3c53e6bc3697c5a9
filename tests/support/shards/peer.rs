//! The far side of a connection: frames of many senders, each in its order.
//!
//! Never: loses a byte.

use shardpoll::sim::SimPeer;
use std::collections::HashMap;

/// A frame: who has sent it (2 bytes), the how-manieth of its frames to this connection (4 bytes),
/// and a byte of its own making.
pub const FRAME: usize = 7;

pub fn frame(from: u16, number: u32) -> [u8; FRAME] {
    let ([a, b], [c, d, e, f]) = (from.to_le_bytes(), number.to_le_bytes());
    [a, b, c, d, e, f, a ^ c ^ 0x5A]
}

/// Takes bytes in any pieces, and sees whether the frames of each sender are whole and in order.
#[derive(Default, Debug)]
pub struct Reader {
    rest: Vec<u8>,
    next: HashMap<u16, u32>,
}

impl Reader {
    /// # Errors
    /// What is not what was sent.
    pub fn take(&mut self, data: &[u8]) -> Result<(), String> {
        self.rest.extend(data);
        let whole = self.rest.len() / FRAME * FRAME;
        for piece in self.rest[..whole].chunks(FRAME) {
            let from = u16::from_le_bytes([piece[0], piece[1]]);
            let number = u32::from_le_bytes([piece[2], piece[3], piece[4], piece[5]]);
            let want = self.next.entry(from).or_default();
            if piece != frame(from, number) || number != *want {
                return Err(format!("{piece:?} comes instead of frame {want} of {from}"));
            }
            *want += 1;
        }
        self.rest.drain(..whole);
        Ok(())
    }

    /// How many frames of this sender have come.
    pub fn count(&self, from: u16) -> u64 {
        self.next.get(&from).copied().map_or(0, u64::from)
    }
}

/// A peer, and what it has read and sent.
#[derive(Debug)]
pub struct Far {
    pub peer: SimPeer,
    pub reader: Reader,
    /// What is left of a frame that did not go out whole.
    rest: Vec<u8>,
    frames: u32,
}

/// The number that every peer sends as.
pub const PEER: u16 = u16::MAX;

impl Far {
    pub fn new(peer: SimPeer) -> Self {
        Self { peer, reader: Reader::default(), rest: Vec::new(), frames: 0 }
    }

    /// Sends a few frames, as far as there is room.
    pub fn say(&mut self, frames: u32) {
        for _ in 0..frames {
            self.rest.extend(frame(PEER, self.frames));
            self.frames += 1;
        }
        let taken = self.peer.send(&self.rest);
        self.rest.drain(..taken);
    }

    /// # Errors
    /// As [`Reader::take`].
    pub fn read(&mut self) -> Result<(), String> {
        let data = self.peer.recv_all();
        self.reader.take(&data)
    }
}
