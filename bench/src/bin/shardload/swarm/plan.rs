//! What one shard is to do.
//!
//! Never: changes once it has been sent.

use crate::cli::AttackKind;
use crate::reach::Endpoint;
use crate::script::Script;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

/// What one shard is to do.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    /// Connection `n` goes to endpoint `n` modulo their number.
    pub(crate) endpoints: Arc<[Endpoint]>,
    /// The numbers of its connections; no two of a run have the same.
    pub(crate) numbers: Range<u64>,
    /// Connections of all shards and instances: what comes and goes counts on by so many.
    pub(crate) stride: u64,
    pub(crate) work: Work,
    /// Operations a second in an open loop.
    pub(crate) per_second: Option<f64>,
    pub(crate) warmup: Duration,
    pub(crate) duration: Duration,
    /// How long an answer may take.
    pub(crate) timeout: Duration,
}

/// What is done on the connections.
#[derive(Clone, Debug)]
pub(crate) enum Work {
    /// Messages there and back, `depth` of them at a time.
    Echo { size: usize, depth: usize },
    /// Visits, with one message there and back or without.
    Churn { size: Option<usize> },
    /// Conversations.
    Script(Arc<Script>),
    /// Nothing.
    Idle,
    /// Pieces of `size` bytes to a server that does not answer.
    Upload { size: usize },
    /// Whatever a server sends by itself, counted in pieces of `size`.
    Download { size: usize },
    /// Legitimate echo, and beside it so many of each kind.
    Abuse { size: usize, kinds: Arc<[AttackKind]>, abusers: u64 },
}

/// Pieces of bulk that are under way on a connection: while one is taken there is always another.
pub(crate) const BULK_DEPTH: usize = 4;

impl Work {
    /// The size and the number of what one connection has under way.
    pub(crate) fn in_flight(&self) -> Option<(usize, usize)> {
        match *self {
            Self::Upload { size } | Self::Download { size } => Some((size, BULK_DEPTH)),
            _ => self.echo(),
        }
    }

    /// All connections are opened before anything is measured.
    pub(crate) fn opens_first(&self) -> bool {
        !matches!(self, Self::Churn { .. } | Self::Script(_))
    }

    /// The size and the depth of messages that come back.
    pub(crate) fn echo(&self) -> Option<(usize, usize)> {
        match *self {
            Self::Echo { size, depth } => Some((size, depth)),
            Self::Abuse { size, .. } => Some((size, 1)),
            Self::Churn { size } => size.map(|size| (size, 1)),
            Self::Script(_) | Self::Idle | Self::Upload { .. } | Self::Download { .. } => None,
        }
    }
}

impl Plan {
    /// Whom this connection goes to.
    pub(crate) fn endpoint(&self, number: u64) -> &Endpoint {
        let place = number % self.endpoints.len() as u64;
        &self.endpoints[usize::try_from(place).expect("less than a length")]
    }

    pub(crate) fn connections(&self) -> u64 {
        self.numbers.end - self.numbers.start
    }
}
