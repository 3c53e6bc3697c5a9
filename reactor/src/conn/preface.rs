//! A connection whose first bytes are a PROXY header: what of it has come, and what follows it.
//!
//! Never: calls user code or the kernel.
//!
//! Invariants:
//! 1. Nothing behind the header is taken: no more is asked for than surely belongs to it.
//! 2. What is kept is no longer than the longest header the listener allows.

use super::Line;
use crate::id::ConnId;
use crate::proxy::{Decoded, ProxyError, ProxyHeader};
use shardpoll_timers::Tick;
use shardpoll_tls::ServerContext;
use std::rc::Rc;
use std::sync::Arc;

/// A header that is yet to be complete.
pub(crate) struct Preface {
    /// The entry of the listener it came to, which stays until all such lines have gone on.
    pub(crate) listener: ConnId,
    /// When it is late; the pieces it comes in change nothing.
    pub(crate) due: Tick,
    /// The TLS that begins behind it.
    pub(crate) tls: Option<ServerContext>,
    got: Vec<u8>,
    needs: usize,
    most: usize,
    /// By how many there are of it the listener knows who is left.
    _kept: Rc<()>,
}

impl Preface {
    pub(crate) fn new(
        listener: ConnId,
        due: Tick,
        tls: Option<ServerContext>,
        most: usize,
        kept: Rc<()>,
    ) -> Box<Self> {
        // As many belong to any header.
        let needs = match ProxyHeader::decode_at_most(&[], most) {
            Ok(Decoded::Needs(bytes)) => bytes,
            _ => 1,
        };
        Box::new(Self { listener, due, tls, got: Vec::new(), needs, most, _kept: kept })
    }

    /// How many bytes may be read, at least 1.
    pub(crate) fn needs(&self) -> usize {
        self.needs
    }

    /// Takes what was read; gives the header once it is complete.
    pub(crate) fn take(&mut self, piece: &[u8]) -> Result<Option<ProxyHeader>, ProxyError> {
        self.got.extend_from_slice(piece);
        match ProxyHeader::decode_at_most(&self.got, self.most)? {
            Decoded::Header(header, _) => Ok(Some(header)),
            Decoded::Needs(bytes) => {
                self.needs = bytes;
                Ok(None)
            }
        }
    }
}

impl Line {
    /// Whose connection it is in truth, if the header says so.
    pub(crate) fn introduce(&mut self, header: &Arc<ProxyHeader>) {
        if let Some(source) = header.source() {
            self.peer = source.clone();
        }
        // Without the mark: nothing of it is asked for in a service.
        self.tuning.get_or_insert_default().proxy = Some(Arc::clone(header));
    }
}
