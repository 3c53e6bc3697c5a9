//! Connections that change their shard, or are linked across shards: what any thread may ask.
//!
//! Never: moves anything; the shard of the connection does.

use crate::error::Undelivered;
use crate::remote::{Job, Remote};
use shardpoll_reactor::{ConnId, Handler, LinkOptions, Sys};

impl<S: Sys> Remote<S> {
    /// Moves a connection whose handler is an `H` to another shard, as
    /// [`Conn::move_to`](crate::Conn::move_to) does: its handler is told of the new id by
    /// [`Handler::on_moved`].
    ///
    /// A refusal is logged; whoever wants to hear of it runs the verb of the connection on its
    /// shard.
    ///
    /// # Errors
    /// [`Undelivered`], with a job that does the same, when the shard's mailbox is full or the
    /// shard has ended.
    pub fn move_conn<H: Handler + Send>(
        &self,
        conn: ConnId,
        shard: usize,
    ) -> Result<(), Undelivered<Job>> {
        self.run(conn.shard(), move |local| {
            let asked = local.conn(conn).map(|mut conn| conn.move_to::<H>(shard));
            if let Some(Err(error)) = asked {
                log::warn!("connection {conn} stays: {error}");
            }
        })
    }

    /// Writes to `to` everything that is read from `from`, on whichever shards they are: `from`,
    /// whose handler is an `H`, moves to the shard of `to` if it must, and is linked there
    /// ([`Local::link_across`](crate::Local::link_across)).
    ///
    /// If `to` has ended when `from` arrives, `from`'s handler is told by
    /// [`Status::NotLinked`](crate::Status::NotLinked). A refusal before is logged; whoever wants
    /// to hear of it runs the verb of `Local` on the shard of `from`.
    ///
    /// # Errors
    /// As [`move_conn`](Self::move_conn).
    pub fn link<H: Handler + Send>(
        &self,
        from: ConnId,
        to: ConnId,
        options: LinkOptions,
    ) -> Result<(), Undelivered<Job>> {
        self.run(from.shard(), move |local| {
            if let Err(error) = local.link_across::<H>(from, to, options) {
                log::warn!("connection {from} is not linked to {to}: {error}");
            }
        })
    }

    /// As [`link`](Self::link), in both directions, and ends are passed on: what a proxy does.
    ///
    /// # Errors
    /// As [`move_conn`](Self::move_conn).
    pub fn link_both<H: Handler + Send>(
        &self,
        one: ConnId,
        other: ConnId,
    ) -> Result<(), Undelivered<Job>> {
        self.run(one.shard(), move |local| {
            if let Err(error) = local.link_both_across::<H>(one, other) {
                log::warn!("connections {one} and {other} are not linked: {error}");
            }
        })
    }
}
