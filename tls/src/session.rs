//! One TLS connection as data: wire bytes in and out, plaintext out and in.
//!
//! Never: sees a socket or a clock; waits; calls `complete_io`; panics on what a peer sends.
//!
//! Invariants:
//! 1. `pending` holds what rustls has not finished with: an incomplete record, or the records of an
//!    incomplete handshake message. It is bounded by `record::PENDING_MAX` between calls, and
//!    without capacity when empty.
//! 2. After an error rustls is not called again, and the error is what every later call returns.
//! 3. After `close`, and after the peer's close_notify, input is dropped unread.

mod handshake;
mod input;
mod side;

use std::fmt;

use rustls::client::UnbufferedClientConnection;
use rustls::pki_types::ServerName;
use rustls::server::UnbufferedServerConnection;

pub use self::input::Next;
use self::side::Side;
use crate::exporter::Exporter;
use crate::judge::Trial;
use crate::record::{RECORD_HEADER, RECORD_PAYLOAD};
use crate::walk::Out;
use crate::{ClientContext, Error, ServerContext};

/// A close_notify in the clear (RFC 8446, section 6.1), for a handshake without keys: rustls cannot
/// write it there.
const CLEAR_CLOSE_NOTIFY: [u8; 7] = [21, 3, 3, 0, 2, 1, 0];

/// Behind so many calls of `send` the records are taken over from rustls. To derive the keys once
/// more takes some 48,000 instructions, as many as 22 small echoes save: most sessions that have
/// said so much say that much more.
const TAKE_OVER_AFTER: u8 = 16;

/// How far a session has come, by the call that returns it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Progress {
    /// The handshake goes on; nothing can be sent yet.
    Handshaking,
    /// This call finished the handshake. Returned once, even if the same input also brought
    /// plaintext, or the peer's close_notify: see [`Session::peer_closed`].
    Established,
    /// Established before.
    Open,
    /// The peer's close_notify has come: no more plaintext will. What came before it in the same
    /// input is in `plain`.
    PeerClosed,
}

/// One side of one TLS connection.
///
/// Its methods are of three kinds: bytes come in by [`receive`](Self::receive) or
/// [`next`](Self::next), and [`end_of_input`](Self::end_of_input); bytes go out by
/// [`start`](Self::start), [`send`](Self::send) and [`close`](Self::close); the rest looks.
///
/// After an error each later call returns the same error, or does nothing.
pub struct Session {
    side: Side,
    pending: Vec<u8>,
    /// Where in `pending` the incomplete record begins; its length when there is none.
    tail: usize,
    server_name: Option<Box<str>>,
    /// Where the context wants a verdict on the peer's certificates.
    trial: Option<Box<Trial>>,
    /// Only where the context asks for it.
    exporter: Option<Box<Exporter>>,
    failure: Option<Error>,
    started: bool,
    established: bool,
    peer_closed: bool,
    closed: bool,
    /// Our close_notify has been said.
    output_ended: bool,
    /// Whether the peer expects our records sealed.
    sealing: bool,
    /// Whether its context lets the records be taken over.
    grows_old: bool,
    /// Calls of `send`, up to [`TAKE_OVER_AFTER`].
    sends: u8,
    /// The most that one record of ours carries, in bytes.
    payload_max: u16,
}

impl Session {
    fn new(
        side: Side,
        trial: Option<Box<Trial>>,
        exports: bool,
        fragment: Option<usize>,
        grows_old: bool,
    ) -> Self {
        let payload = fragment.map_or(RECORD_PAYLOAD, |bytes| bytes.saturating_sub(RECORD_HEADER));
        Self {
            side,
            pending: Vec::new(),
            tail: 0,
            server_name: None,
            trial,
            exporter: exports.then(Exporter::new),
            failure: None,
            started: false,
            established: false,
            peer_closed: false,
            closed: false,
            output_ended: false,
            sealing: false,
            grows_old,
            sends: 0,
            payload_max: u16::try_from(payload.clamp(1, RECORD_PAYLOAD)).unwrap_or(1),
        }
    }

    /// A session that answers a client.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] when the configuration cannot work, or allows early data: that can be
    /// replayed by an attacker (RFC 8446, section 8), and `plain` could not tell it apart.
    pub fn server(cx: &ServerContext) -> Result<Self, Error> {
        if cx.config().max_early_data_size != 0 {
            return Err(Error::Config { what: "max_early_data_size is not 0", source: None });
        }
        let clock = &cx.config().time_provider;
        let trial = cx.judge().map(|judge| Trial::new(judge, None, clock));
        let (fragment, own) = (cx.config().max_fragment_size, cx.config().enable_secret_extraction);
        UnbufferedServerConnection::new(cx.config().clone())
            .map(|server| {
                Self::new(Side::Server(server.into()), trial, cx.exports(), fragment, own)
            })
            .map_err(|error| Error::config("server session", error))
    }

    /// A session that opens a connection to the server called `name`.
    ///
    /// The name is what the certificate is checked against, and is sent as SNI unless it is an
    /// address or the configuration says otherwise.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] when the configuration cannot work.
    pub fn client(cx: &ClientContext, name: ServerName<'static>) -> Result<Self, Error> {
        let clock = &cx.config().time_provider;
        let trial = cx.judge().map(|judge| Trial::new(judge, Some(name.clone()), clock));
        let (fragment, own) = (cx.config().max_fragment_size, cx.config().enable_secret_extraction);
        UnbufferedClientConnection::new(cx.config().clone(), name)
            .map(|client| {
                Self::new(Side::Client(client.into()), trial, cx.exports(), fragment, own)
            })
            .map_err(|error| Error::config("client session", error))
    }

    /// Begins: a client appends its ClientHello to `wire`; a server appends nothing.
    ///
    /// # Errors
    ///
    /// [`Error::Internal`] when rustls cannot go on.
    pub fn start(&mut self, wire: &mut Vec<u8>) -> Result<Progress, Error> {
        // A start brings no plaintext: nothing has been received.
        self.receive(&mut [], &mut Vec::new(), wire)
    }

    /// Whether a client has yet to say its hello, the first thing of a session: a server waits for
    /// it, and says nothing before.
    pub fn is_to_start(&self) -> bool {
        !self.started && !self.closed && !self.side.is_server()
    }

    /// Seals `plain` into records of at most 16 KiB, appended to `wire`.
    ///
    /// # Errors
    ///
    /// [`Error::NotOpen`] before the handshake is done and after [`close`](Self::close): a
    /// mistake of the caller's, the session is as it was. [`Error::KeysExhausted`] when TLS 1.2
    /// keys are worn out: `wire` then holds a close_notify.
    pub fn send(&mut self, plain: &[u8], wire: &mut Vec<u8>) -> Result<(), Error> {
        if let Some(failure) = &self.failure {
            return Err(failure.clone());
        }
        if !self.established || self.closed || self.output_ended {
            return Err(Error::NotOpen);
        }
        if plain.is_empty() {
            return Ok(());
        }
        let sealed = self.side.seal(&mut self.pending, plain, wire).and_then(|()| self.grow_old());
        sealed.map_err(|error| {
            let mut none = Vec::new();
            let (side, mut out) = self.split(&mut none, wire);
            side.drain(&mut out);
            self.fail(error)
        })
    }

    /// Behind data that was sealed: takes the records over, once the session has lived long enough
    /// and rustls keeps none of them.
    #[inline]
    fn grow_old(&mut self) -> Result<(), Error> {
        let young = self.sends < TAKE_OVER_AFTER;
        self.sends += u8::from(young);
        if young || !self.grows_old || !matches!(self.side, Side::Server(_) | Side::Client(_)) {
            return Ok(());
        }
        // Before the tail lies what rustls has read, and has yet to let go of.
        if self.tail > 0 || self.peer_closed {
            return Ok(());
        }
        self.side.take_over(self.payload_max.into())
    }

    /// Appends close_notify to `wire`, once, and never waits for the peer's.
    ///
    /// Closing is for both directions (RFC 8446, section 6.1 allows it): what still comes is
    /// dropped unread. Before the handshake is done the notice goes out as far as TLS allows:
    /// sealed where rustls has keys for it, in the clear where nothing was sealed yet, else not at
    /// all; the session is then over.
    pub fn close(&mut self, wire: &mut Vec<u8>) {
        if self.failure.is_some() || self.closed {
            return;
        }
        self.closed = true;
        if !self.started {
            return;
        }
        if !std::mem::replace(&mut self.output_ended, true)
            && !self.say_close_notify(wire)
            && !self.established
            && !self.sealing
        {
            wire.extend_from_slice(&CLEAR_CLOSE_NOTIFY);
        }
        self.forget_input();
    }

    fn forget_input(&mut self) {
        self.pending = Vec::new();
        self.side.forget_input();
    }

    /// Appends close_notify to `wire`, once, and goes on receiving until the peer's comes: a
    /// half-close (RFC 8446, section 6.1).
    ///
    /// # Errors
    ///
    /// [`Error::NotOpen`] before the handshake is done: a mistake of the caller's, the session is
    /// as it was.
    pub fn end_output(&mut self, wire: &mut Vec<u8>) -> Result<(), Error> {
        if let Some(failure) = &self.failure {
            return Err(failure.clone());
        }
        if !self.established {
            return Err(Error::NotOpen);
        }
        if !std::mem::replace(&mut self.output_ended, true) {
            self.say_close_notify(wire);
        }
        Ok(())
    }

    fn say_close_notify(&mut self, wire: &mut Vec<u8>) -> bool {
        let mut pending = std::mem::take(&mut self.pending);
        let mut none = Vec::new();
        let (side, mut out) = self.split(&mut none, wire);
        let said = side.say_close_notify(&mut pending, &mut out);
        self.pending = pending;
        said
    }

    /// What reads and writes records, and where it puts what it finds.
    fn split<'a>(
        &'a mut self,
        plain: &'a mut Vec<u8>,
        wire: &'a mut Vec<u8>,
    ) -> (&'a mut Side, Out<'a>) {
        let Self { side, peer_closed, sealing, .. } = self;
        (side, Out { plain, wire, peer_closed, sealing })
    }

    /// Says that the transport has ended.
    ///
    /// # Errors
    ///
    /// [`Error::Truncated`] unless the peer's close_notify came before, or [`close`](Self::close)
    /// was called, after which nobody waits for the peer's.
    pub fn end_of_input(&mut self) -> Result<(), Error> {
        match &self.failure {
            Some(failure) => Err(failure.clone()),
            None if self.peer_closed || self.closed => Ok(()),
            None => Err(self.fail(Error::Truncated)),
        }
    }

    fn fail(&mut self, error: Error) -> Error {
        self.forget_input();
        self.failure = Some(error.clone());
        error
    }

    /// Whether the handshake was finished, by both sides. It stays so after an error.
    pub fn is_established(&self) -> bool {
        self.established
    }

    /// Whether the peer's close_notify has come.
    ///
    /// To be asked after a [`receive`](Self::receive) that returned [`Progress::Established`]: the
    /// same input may have brought the peer's whole life.
    pub fn peer_closed(&self) -> bool {
        self.peer_closed
    }

    /// Bytes of memory the session itself holds for input to be completed: 0 when it is idle.
    ///
    /// At most 164 KiB: a handshake message and a record, doubled by how a `Vec` grows.
    pub fn buffered(&self) -> usize {
        self.pending.capacity() + self.side.buffered()
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let side = if self.side.is_server() { "Server" } else { "Client" };
        f.debug_struct("Session")
            .field("side", &side)
            .field("own_records", &matches!(self.side, Side::Own(_)))
            .field("established", &self.established)
            .field("peer_closed", &self.peer_closed)
            .field("closed", &self.closed)
            .field("failure", &self.failure)
            .field("buffered", &self.buffered())
            .finish_non_exhaustive()
    }
}
