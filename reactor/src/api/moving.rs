//! Moves to another shard: how they are asked for, and why they are refused.
//!
//! Never: moves anything; the loop does when the connection is at rest.

use super::{Conn, Handler, LinkError, LinkOptions, Local, Status};
use crate::conn::{Moving, ThenLink, Travel};
use crate::core::{Core, Wish};
use crate::id::ConnId;
use std::any::Any;
use std::fmt;

/// Why a connection does not move to another shard.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum MoveError {
    /// There is no shard of this number.
    NoShard(usize),
    /// The connection is on this shard already.
    Here(usize),
    /// A move was asked for before, and has yet to be made.
    Asked,
    /// It is linked to another connection, or another to it: links are between connections of one
    /// shard.
    Linked,
    /// It is closing or gone.
    Ending,
    /// Its handler is of another type than was said.
    OtherHandler,
}

impl fmt::Display for MoveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoShard(shard) => write!(f, "there is no shard {shard}"),
            Self::Here(shard) => write!(f, "the connection is on shard {shard} already"),
            Self::Asked => f.write_str("a move was asked for before"),
            Self::Linked => f.write_str("the connection is linked to another"),
            Self::Ending => f.write_str("the connection is closing or gone"),
            Self::OtherHandler => f.write_str("the handler is of another type"),
        }
    }
}

impl std::error::Error for MoveError {}

fn as_send<H: Handler + Send>(
    handler: Box<dyn Handler>,
) -> Result<Box<dyn Handler + Send>, Box<dyn Handler>> {
    let any: &dyn Any = &*handler;
    if !any.is::<H>() {
        return Err(handler);
    }
    let any: Box<dyn Any> = handler;
    Ok(any.downcast::<H>().expect("it was asked whether it is one"))
}

impl Conn<'_> {
    /// Moves the connection, alive, to another shard, at its next quiet moment: when no callback of
    /// it runs, it is established, and a TLS handshake is over. `H` is the type of its handler,
    /// which goes with it, and so must be `Send`.
    ///
    /// Everything of the connection goes with it: what is queued and what was read and not yet
    /// delivered, its TLS, pauses, limits and waits. No byte is lost, and their order stays; the
    /// peer sees nothing. What does not: its id, timers and watches, which belong to the shard.
    /// [`Handler::on_moved`] is the first callback on the other shard, and tells the new id; what
    /// is sent to the old one from then on reaches nobody, like what is sent to a connection that
    /// has ended. A connection that is closed before the moment has come ends where it is.
    ///
    /// What was found out too late to be told here is told by [`Status::NotMoved`].
    ///
    /// # Errors
    /// [`MoveError`]: the caller's mistake, but for [`MoveError::Ending`]. The connection goes on
    /// as it was.
    pub fn move_to<H: Handler + Send>(&mut self, shard: usize) -> Result<(), MoveError> {
        self.core.ask_to_move::<H>(self.id, shard, None)
    }
}

impl Local<'_> {
    /// How many shards there are, this one included; 1 for a loop by itself. Their numbers are 0 to
    /// one less.
    #[must_use]
    pub fn shards(&self) -> usize {
        self.core.shards
    }

    /// The number of this shard.
    #[must_use]
    pub fn shard(&self) -> usize {
        usize::from(self.core.place.shard)
    }

    /// Moves `from`, a connection of this shard whose handler is an `H`, to the shard of `to`, and
    /// [links](Self::link_with) them there; at once if `to` is here.
    ///
    /// Told like a move: [`Handler::on_moved`] first, then the link stands, or
    /// [`Status::NotLinked`] says why not.
    ///
    /// # Errors
    /// [`MoveError`] and [`LinkError`], as of [`Conn::move_to`] and [`link`](Self::link).
    pub fn link_across<H: Handler + Send>(
        &mut self,
        from: ConnId,
        to: ConnId,
        options: LinkOptions,
    ) -> Result<(), LinkAcrossError> {
        self.link_far::<H>(from, ThenLink { to, options, both: false })
    }

    /// As [`link_across`](Self::link_across), in both directions, and ends are passed on: what a
    /// proxy does.
    ///
    /// # Errors
    /// As [`link_across`](Self::link_across).
    pub fn link_both_across<H: Handler + Send>(
        &mut self,
        from: ConnId,
        to: ConnId,
    ) -> Result<(), LinkAcrossError> {
        let options = LinkOptions::default().propagate(true);
        self.link_far::<H>(from, ThenLink { to, options, both: true })
    }

    fn link_far<H: Handler + Send>(
        &mut self,
        from: ConnId,
        link: ThenLink,
    ) -> Result<(), LinkAcrossError> {
        if link.to.shard() == self.shard() {
            return self.link_as(from, link).map_err(LinkAcrossError::Link);
        }
        if self.conn(from).is_none() {
            return Err(LinkAcrossError::Link(LinkError::Gone(from)));
        }
        let asked = self.core.ask_to_move::<H>(from, link.to.shard(), Some(link));
        asked.map_err(LinkAcrossError::Move)
    }

    /// Both are on this shard.
    pub(crate) fn link_as(&mut self, from: ConnId, link: ThenLink) -> Result<(), LinkError> {
        if link.both {
            self.link_both(from, link.to)
        } else {
            self.link_with(from, link.to, link.options)
        }
    }
}

/// Why two connections of different shards could not be linked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum LinkAcrossError {
    /// The one that has to move cannot.
    Move(MoveError),
    /// They could not be linked if they were on one shard.
    Link(LinkError),
}

impl fmt::Display for LinkAcrossError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Move(error) => error.fmt(f),
            Self::Link(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for LinkAcrossError {}

impl Core {
    /// Whether an id that a user has named can be one of this loop: others begin to count where it
    /// does.
    pub(crate) fn is_own(&self, id: ConnId) -> bool {
        id.shard() == usize::from(self.place.shard)
    }

    /// Notes that a line is to move, to be carried out when it is at rest.
    fn ask_to_move<H: Handler + Send>(
        &mut self,
        id: ConnId,
        to: usize,
        link: Option<ThenLink>,
    ) -> Result<(), MoveError> {
        if to >= self.shards {
            return Err(MoveError::NoShard(to));
        }
        if to == usize::from(self.place.shard) {
            return Err(MoveError::Here(to));
        }
        let line = self.line(id);
        line.may_leave()?;
        // One that is out on a call is looked at when it is back.
        if let Some(handler) = &line.handler {
            let any: &dyn Any = &**handler;
            if !any.is::<H>() {
                return Err(MoveError::OtherHandler);
            }
        }
        let travel = &mut line.tune().travel;
        if travel.is_some() {
            return Err(MoveError::Asked);
        }
        *travel = Some(Travel::Wished(Moving { to, as_send: as_send::<H>, link, wished: false }));
        if self.staging.holds_for(id) {
            // A line with limits of its own is not simply open any more.
            self.staging.close();
        }
        self.revisit(id);
        Ok(())
    }

    /// A service of a line with limits of its own is nearly over: if it is to move, and at rest,
    /// the loop hears of it.
    pub(crate) fn settle_travel(&mut self, id: ConnId) {
        let line = self.table.served_mut(id);
        let leaves = line.may_leave() != Ok(false);
        let travel = line.tuning.as_mut().and_then(|tuning| tuning.travel.as_mut());
        match travel {
            Some(Travel::Wished(moving)) if leaves && !moving.wished => {
                moving.wished = true;
                self.wishes.push(Wish::Move(id));
            }
            // The callback before it has panicked.
            Some(Travel::Linking(_)) if !line.on_agenda => {
                line.on_agenda = true;
                self.agenda.push(id);
            }
            _ => {}
        }
    }

    /// A move that was asked for is not made; its handler is told in the line's next service.
    pub(crate) fn stay(&mut self, id: ConnId, why: Status) {
        log::debug!("connection {id}: {why}");
        self.pulse.counters.failed_moves.add(1);
        self.line(id).tune().travel = Some(Travel::Failed(why));
        self.revisit(id);
    }
}
