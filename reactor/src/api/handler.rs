//! What a user implements: one object per connection.
//!
//! Never: is called while another callback runs on the same shard, or from another thread.

use super::{CloseReason, Conn, LinkError, MoveError};
use crate::id::ConnId;
use std::any::{Any, TypeId};
use std::fmt;

/// Decides what happens on one connection.
///
/// Called by the loop, never nested, never from another thread; so a handler need not be `Send`,
/// and its state is its own fields. Everything done through `conn` takes effect when the callback
/// returns. Order of callbacks: [`on_starttls`](Self::on_starttls) and
/// [`on_status`](Self::on_status) (TLS only), [`on_connect`](Self::on_connect), any of the others,
/// and [`on_disconnect`](Self::on_disconnect), exactly once and last. Two connections have no
/// `on_disconnect`: one whose handler called [`Conn::abort`], and one whose handler panicked.
///
/// # Panics
/// A panic in a callback ends this connection only ([`CloseReason::HandlerPanic`], counted and
/// logged): the handler is dropped and never called again. See [`PanicPolicy`](crate::PanicPolicy)
/// for the other way.
pub trait Handler: Any {
    /// Bytes arrived: never empty, at most the configured read size, gone after the call (S34).
    fn on_incoming(&mut self, conn: &mut Conn<'_>, data: &[u8]);

    /// The connection is usable; at most once. For TLS from the first byte: after the handshake
    /// (S33).
    fn on_connect(&mut self, _conn: &mut Conn<'_>) {}

    /// A flush is about to begin: the last moment to add bytes to it (S36).
    fn on_predrain(&mut self, conn: &mut Conn<'_>) {
        conn.core.left_out.predrain = Some(TypeId::of::<Self>());
    }

    /// All queued bytes have reached the kernel (S37).
    ///
    /// Also once, with nothing sent, after an outgoing connect and after a TLS handshake (S63): a
    /// producer that writes from here starts by itself. Not called for the flush of a closing
    /// connection (S77).
    fn on_drain(&mut self, conn: &mut Conn<'_>) {
        conn.core.left_out.drain = Some(TypeId::of::<Self>());
    }

    /// More is queued than the high water mark, and the kernel does not take it now: the moment to
    /// stop producing. Not again before [`on_low_water`](Self::on_low_water).
    fn on_high_water(&mut self, _conn: &mut Conn<'_>) {}

    /// No more than the low water mark is left of it: the moment to go on.
    fn on_low_water(&mut self, _conn: &mut Conn<'_>) {}

    /// The peer was silent for the read timeout; the answer says whether it may stay (S86).
    fn on_read_timeout(&mut self, _conn: &mut Conn<'_>) -> Silence {
        Silence::Close
    }

    /// Something worth knowing happened (S39).
    fn on_status(&mut self, _conn: &mut Conn<'_>, _status: &Status) {}

    /// TLS is in place, and its handshake begins (S40).
    fn on_starttls(&mut self, _conn: &mut Conn<'_>) {}

    /// This handler has taken over by [`Conn::set_handler`] (S31).
    fn on_attach(&mut self, _conn: &mut Conn<'_>) {}

    /// This handler has been replaced; it is dropped next (S31).
    fn on_detach(&mut self, _conn: &mut Conn<'_>) {}

    /// The connection has come to this shard by [`Conn::move_to`]: the first callback here. Its id
    /// is new ([`Conn::id`]); nothing is reached any more by the one it had, and the timers and
    /// watches that were begun for it are where they were.
    ///
    /// When the other shard takes no connections any more, the connection comes back: this is
    /// called on the shard it has left.
    fn on_moved(&mut self, _conn: &mut Conn<'_>, _was: ConnId) {}

    /// A callback of this handler has panicked, and [`PanicPolicy::Continue`](crate::PanicPolicy)
    /// holds: the callback counts as returned, and the connection goes on (S28).
    ///
    /// A panic in here ends the connection.
    fn on_panic(&mut self, _conn: &mut Conn<'_>, _message: &str) {}

    /// The shard drains: the moment to say goodbye, as the protocol has it, and to
    /// [`close`](Conn::close) when that is done.
    ///
    /// Told once a drain, after `on_connect`; a connection that is established while the shard
    /// drains is told right after it. Nothing is closed for that reason before the deadline of the
    /// [`DrainPlan`](crate::DrainPlan), so a handler that does nothing here keeps an idle peer, and
    /// the engine, until then. Not for a connection that is ending already.
    fn on_drain_begin(&mut self, _conn: &mut Conn<'_>) {}

    /// The end, also of a connection that never came to be. Writing here goes nowhere (S35).
    fn on_disconnect(&mut self, _conn: &mut Conn<'_>, _reason: &CloseReason) {}
}

/// What becomes of a silent peer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Silence {
    /// The connection ends with [`CloseReason::Silent`].
    Close,
    /// The connection stays, and the read timeout begins anew.
    Keep,
}

/// What [`Handler::on_status`] reports.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Status {
    /// The TLS handshake is done; [`Conn::tls`] tells what was agreed on.
    HandshakeComplete,
    /// [`Conn::move_to`] was heard and cannot be carried out: the connection goes on where it is.
    NotMoved(MoveError),
    /// A link to a connection of another shard ([`Local::link_across`](crate::Local::link_across))
    /// cannot be made: that connection has ended meanwhile. This one goes on unlinked, and has
    /// moved if [`Handler::on_moved`] said so.
    NotLinked(LinkError),
}

/// Prosody's text: "ssl-handshake-complete"; in words what Prosody has not.
impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::HandshakeComplete => f.write_str("ssl-handshake-complete"),
            Self::NotMoved(error) => write!(f, "not moved: {error}"),
            Self::NotLinked(error) => write!(f, "not linked: {error}"),
        }
    }
}

/// Makes a handler of one closure, for protocols that need no other callback.
///
/// ```
/// use shardpoll_reactor::{Conn, incoming};
///
/// let echo = incoming(|conn: &mut Conn<'_>, data: &[u8]| {
///     conn.write(data);
/// });
/// # let _: &dyn shardpoll_reactor::Handler = &echo;
/// ```
pub fn incoming(f: impl FnMut(&mut Conn<'_>, &[u8]) + 'static) -> impl Handler {
    Incoming(f)
}

struct Incoming<F>(F);

impl<F: FnMut(&mut Conn<'_>, &[u8]) + 'static> Handler for Incoming<F> {
    fn on_incoming(&mut self, conn: &mut Conn<'_>, data: &[u8]) {
        (self.0)(conn, data);
    }
}
