//! What is on its way in the simulated network.
//!
//! Never: acts; the network lets it arrive.

use super::net::EndId;
use std::cmp::Ordering;

/// What is on its way.
pub(super) enum Cargo {
    Syn,
    SynAck {
        from: EndId,
    },
    Refusal,
    Data {
        from: EndId,
        bytes: Vec<u8>,
    },
    Fin,
    Reset,
    /// The other end has read so much.
    Window(usize),
}

pub(super) enum Target {
    End(EndId, Cargo),
    /// An edge that a fault owes to this descriptor.
    Edge {
        number: usize,
        serial: u64,
    },
}

/// Something that arrives; the order is that of time, then of departure.
pub(super) struct Flight {
    pub(super) at: u64,
    pub(super) seq: u64,
    pub(super) target: Target,
}

impl PartialEq for Flight {
    fn eq(&self, other: &Self) -> bool {
        (self.at, self.seq) == (other.at, other.seq)
    }
}

impl Eq for Flight {}

impl PartialOrd for Flight {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Flight {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.at, self.seq).cmp(&(other.at, other.seq))
    }
}
