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

use std::fmt;

use rustls::CommonState;
use rustls::client::UnbufferedClientConnection;
use rustls::pki_types::ServerName;
use rustls::server::UnbufferedServerConnection;

use crate::copy::append;
use crate::exporter::Exporter;
use crate::judge::Trial;
use crate::record::{check_pending, missing, whole_records};
use crate::walk::{self, Out};
use crate::{ClientContext, Error, ServerContext};

/// A close_notify in the clear (RFC 8446, section 6.1), for a handshake without keys: rustls cannot
/// write it there.
const CLEAR_CLOSE_NOTIFY: [u8; 7] = [21, 3, 3, 0, 2, 1, 0];

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

enum Side {
    Server(UnbufferedServerConnection),
    Client(UnbufferedClientConnection),
}

/// Runs an expression on either connection: they have no type in common.
macro_rules! on_side {
    ($side:expr, $machine:ident => $run:expr) => {
        match $side {
            Side::Server($machine) => $run,
            Side::Client($machine) => $run,
        }
    };
}

/// One side of one TLS connection. Large: box it to move it.
///
/// Its methods are of three kinds: bytes come in by [`receive`](Self::receive) and
/// [`end_of_input`](Self::end_of_input); bytes go out by [`start`](Self::start),
/// [`send`](Self::send) and [`close`](Self::close); the rest looks.
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
}

impl Session {
    fn new(side: Side, trial: Option<Box<Trial>>, exports: bool) -> Self {
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
        UnbufferedServerConnection::new(cx.config().clone())
            .map(|server| Self::new(Side::Server(server), trial, cx.exports()))
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
        UnbufferedClientConnection::new(cx.config().clone(), name)
            .map(|client| Self::new(Side::Client(client), trial, cx.exports()))
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
        matches!(self.side, Side::Client(_)) && !self.started && !self.closed
    }

    /// Takes any number of wire bytes, decrypting them in place.
    ///
    /// Appends plaintext to `plain` and bytes owed to the peer to `wire`. Incomplete records are
    /// kept inside until the rest comes.
    ///
    /// # Errors
    ///
    /// Any [`Error`]; each is final. Plaintext decrypted before it is in `plain`, and `wire` holds
    /// the alert, where TLS has one for it: send it, then close. If the same input finished the
    /// handshake, only [`is_established`](Self::is_established) tells.
    pub fn receive(
        &mut self,
        input: &mut [u8],
        plain: &mut Vec<u8>,
        wire: &mut Vec<u8>,
    ) -> Result<Progress, Error> {
        if let Some(failure) = &self.failure {
            return Err(failure.clone());
        }
        if !self.closed && !self.peer_closed {
            self.started = true;
            let read = if self.established {
                self.read(input, plain, wire)
            } else {
                self.shake_hands(input, plain, wire)
            };
            let done = !self.common().is_handshaking();
            let finished = done && !std::mem::replace(&mut self.established, done);
            if let Err(error) = read {
                return Err(self.fail(error));
            }
            if finished {
                return Ok(Progress::Established);
            }
        }
        Ok(match (self.peer_closed, self.established) {
            (true, _) => Progress::PeerClosed,
            (false, true) => Progress::Open,
            (false, false) => Progress::Handshaking,
        })
    }

    /// Completes the pending record from `input`, then reads the rest of `input` where it is.
    fn read(
        &mut self,
        mut input: &mut [u8],
        plain: &mut Vec<u8>,
        wire: &mut Vec<u8>,
    ) -> Result<(), Error> {
        while !self.pending.is_empty() {
            let lack = missing(&self.pending[self.tail..]);
            let (head, rest) = input.split_at_mut(lack.min(input.len()));
            append(&mut self.pending, head);
            if head.len() < lack {
                return Ok(());
            }
            input = rest;
            // Else it is a header alone, which rustls may refuse.
            let whole = missing(&self.pending[self.tail..]) == 0;
            let mut pending = std::mem::take(&mut self.pending);
            let taken = self.walk(&mut pending, plain, wire)?;
            if self.peer_closed {
                return Ok(());
            }
            check_pending(pending.len() - taken)?;
            pending.drain(..taken);
            self.tail = if whole { pending.len() } else { self.tail - taken };
            self.pending = pending;
        }
        // The headers must be looked at before rustls moves fragments over them.
        let whole = whole_records(input);
        let taken = self.walk(input, plain, wire)?;
        if self.peer_closed {
            return Ok(());
        }
        check_pending(input.len() - taken)?;
        self.tail = whole.saturating_sub(taken);
        if taken == input.len() {
            self.pending = Vec::new();
        } else {
            // What the last incomplete record needed serves the next one.
            append(&mut self.pending, &input[taken..]);
        }
        Ok(())
    }

    fn walk(
        &mut self,
        input: &mut [u8],
        plain: &mut Vec<u8>,
        wire: &mut Vec<u8>,
    ) -> Result<usize, Error> {
        let mut out =
            Out { plain, wire, peer_closed: &mut self.peer_closed, sealing: &mut self.sealing };
        on_side!(&mut self.side, machine => walk::walk(machine, input, &mut out))
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
        let pending = &mut self.pending;
        on_side!(&mut self.side, machine => walk::seal(machine, pending, plain, wire)).map_err(
            |error| {
                self.drain(wire);
                self.fail(error)
            },
        )
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
        if !std::mem::replace(&mut self.output_ended, true) {
            let pending = &mut self.pending;
            if on_side!(&mut self.side, machine => walk::queue_close(machine, pending)) {
                self.drain(wire);
            } else if !self.established && !self.sealing {
                wire.extend_from_slice(&CLEAR_CLOSE_NOTIFY);
            }
        }
        self.pending = Vec::new();
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
            let pending = &mut self.pending;
            on_side!(&mut self.side, machine => walk::queue_close(machine, pending));
            self.drain(wire);
        }
        Ok(())
    }

    fn drain(&mut self, wire: &mut Vec<u8>) {
        let mut out = Out {
            plain: &mut Vec::new(),
            wire,
            peer_closed: &mut self.peer_closed,
            sealing: &mut self.sealing,
        };
        on_side!(&mut self.side, machine => walk::drain(machine, &mut out));
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
        self.pending = Vec::new();
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
        self.pending.capacity()
    }

    fn common(&self) -> &CommonState {
        on_side!(&self.side, machine => machine)
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let side = match self.side {
            Side::Server(_) => "Server",
            Side::Client(_) => "Client",
        };
        f.debug_struct("Session")
            .field("side", &side)
            .field("established", &self.established)
            .field("peer_closed", &self.peer_closed)
            .field("closed", &self.closed)
            .field("failure", &self.failure)
            .field("buffered", &self.buffered())
            .finish_non_exhaustive()
    }
}
