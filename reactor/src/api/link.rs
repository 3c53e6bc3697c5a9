//! Links: what is read from one connection is written to another, without its handler.
//!
//! Never: moves a byte; the loop does, when it reads.

use super::Local;
use crate::conn::Link;
use crate::core::Core;
use crate::id::ConnId;
use std::fmt;

/// How a link behaves.
///
/// ```
/// let options = shardpoll_reactor::LinkOptions::default().propagate(true);
/// # let _ = options;
/// ```
#[derive(Clone, Copy, Debug)]
pub struct LinkOptions {
    high_water_bytes: usize,
    low_water_bytes: usize,
    read_size_bytes: Option<usize>,
    propagate: bool,
}

impl Default for LinkOptions {
    fn default() -> Self {
        Self {
            high_water_bytes: 256 * 1024,
            low_water_bytes: 64 * 1024,
            read_size_bytes: None,
            propagate: false,
        }
    }
}

impl LinkOptions {
    /// With more than `high` bytes queued at the target the source is not read, until no more than
    /// `low` are (S143). Default 256 KiB and 64 KiB; a `low` above `high` is taken as `high`, a
    /// `high` beyond what a connection [may queue](crate::Config::max_queued_bytes) as just below.
    #[must_use]
    pub fn water_marks(mut self, low: usize, high: usize) -> Self {
        self.high_water_bytes = high;
        self.low_water_bytes = low.min(high);
        self
    }

    /// The largest chunk that is read at once, as by [`Conn::read_size`](crate::Conn::read_size)
    /// (S144). Default: as before; what the kernel moves by itself may be more (S143).
    #[must_use]
    pub fn read_size(mut self, bytes: usize) -> Self {
        self.read_size_bytes = Some(bytes);
        self
    }

    /// Whether ends are passed on (S145): the end of the source's input ends the target's output
    /// ([`Conn::half_close`](crate::Conn::half_close)), and the end of the target closes the
    /// source with [`CloseReason::LinkEnded`](crate::CloseReason). Default: no; handlers do it.
    #[must_use]
    pub fn propagate(mut self, ends: bool) -> Self {
        self.propagate = ends;
        self
    }
}

/// Why two connections could not be linked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum LinkError {
    /// There is no such connection on this shard, or it is ending; or our side of it has ended
    /// ([`Conn::half_close`](crate::Conn::half_close)), and it should be written to.
    Gone(ConnId),
    /// A connection cannot be linked to itself.
    Same(ConnId),
}

impl fmt::Display for LinkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Gone(id) => write!(f, "there is no connection {id} on this shard"),
            Self::Same(id) => write!(f, "connection {id} cannot be linked to itself"),
        }
    }
}

impl std::error::Error for LinkError {}

impl Local<'_> {
    /// Writes to `to` everything that is read from `from`, from now on (S142 to S145).
    ///
    /// `from`'s handler has no [`on_incoming`](crate::Handler::on_incoming) any more, and `to`'s no
    /// [`on_drain`](crate::Handler::on_drain). `from` is read even if it was paused (S144). When
    /// `to` ends, the link is dissolved: `from` is not read until it is
    /// [resumed](crate::Conn::resume) or linked again, and nothing of it is lost. A link that was
    /// there before is replaced. Both must be on this shard.
    ///
    /// # Errors
    /// [`LinkError`] when one of them is not there: the caller's mistake, or a race with its end.
    pub fn link(&mut self, from: ConnId, to: ConnId) -> Result<(), LinkError> {
        self.link_with(from, to, LinkOptions::default())
    }

    /// As [`link`](Self::link), in both directions, and ends are passed on: what a proxy does.
    ///
    /// # Errors
    /// As [`link`](Self::link); then neither is linked.
    pub fn link_both(&mut self, one: ConnId, other: ConnId) -> Result<(), LinkError> {
        let options = LinkOptions::default().propagate(true);
        self.core.may_link(one, other)?;
        self.core.may_link(other, one)?;
        self.link_with(one, other, options)?;
        self.link_with(other, one, options)
    }

    /// As [`link`](Self::link), with these options.
    ///
    /// # Errors
    /// As [`link`](Self::link).
    pub fn link_with(
        &mut self,
        from: ConnId,
        to: ConnId,
        options: LinkOptions,
    ) -> Result<(), LinkError> {
        self.core.may_link(from, to)?;
        self.core.link(
            from,
            Link {
                to,
                high: options.high_water_bytes,
                low: options.low_water_bytes,
                propagate: options.propagate,
                bulk: false,
            },
        );
        let mut source = self.conn(from).ok_or(LinkError::Gone(from))?;
        if let Some(bytes) = options.read_size_bytes {
            source.read_size(bytes);
        }
        source.resume();
        Ok(())
    }

    /// Ends the link from this connection, whose input goes to its handler again; false when there
    /// was none.
    pub fn unlink(&mut self, from: ConnId) -> bool {
        self.core.is_own(from) && self.core.unlink(from)
    }
}

impl Core {
    fn may_link(&self, from: ConnId, to: ConnId) -> Result<(), LinkError> {
        if from == to {
            return Err(LinkError::Same(from));
        }
        let stands = |id| {
            let line = self.table.line(id).filter(|_| self.is_own(id));
            line.filter(|line| !line.told && line.stage.takes_writes())
        };
        if stands(from).is_none() {
            return Err(LinkError::Gone(from));
        }
        // Our side may have ended where others are read from, not where they are written to.
        if !stands(to).is_some_and(|line| line.takes_writes()) {
            return Err(LinkError::Gone(to));
        }
        Ok(())
    }
}
