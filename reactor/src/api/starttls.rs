//! The upgrade of an open connection to TLS: how it is asked for, and why it is refused.
//!
//! Never: calls the kernel, or begins a handshake; the loop does when the callback has returned.

use super::{CloseReason, Conn};
use crate::conn::{Channel, Marks, Stage, TlsChannel, Upgrade};
use shardpoll_tls::rustls::pki_types::ServerName;
use shardpoll_tls::{self as tls, ClientContext, ServerContext, Session};
use std::fmt;

/// How an open connection becomes a TLS one: as which side, and what becomes of what the peer has
/// sent too early.
///
/// ```
/// use shardpoll_reactor::{Conn, Handler, TlsPlan, tls};
///
/// struct Greeter {
///     tls: tls::ServerContext,
/// }
///
/// impl Handler for Greeter {
///     fn on_incoming(&mut self, conn: &mut Conn<'_>, data: &[u8]) {
///         if let Some(rest) = data.strip_prefix(b"STARTTLS\r\n") {
///             conn.write(b"220 go ahead\r\n");
///             // What lies behind the command is an injection, unless the plan says otherwise.
///             let plan = TlsPlan::server(self.tls.clone()).leftover(rest);
///             if let Err(error) = conn.start_tls(plan) {
///                 println!("{}: {error}", conn.peer());
///             }
///         }
///     }
/// }
/// ```
#[derive(Clone, Debug)]
pub struct TlsPlan {
    side: Side,
    pipelined: Pipelined,
    leftover: Vec<u8>,
}

#[derive(Clone, Debug)]
enum Side {
    Server(ServerContext),
    Client(ClientContext, ServerName<'static>),
}

/// What becomes of bytes that the peer has sent behind the command that begins TLS, before it was
/// answered (S122).
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
#[non_exhaustive]
pub enum Pipelined {
    /// The connection ends with [`CloseReason::Injected`]: whoever sits between could have put them
    /// there, to be taken later for something that came encrypted (CVE-2011-0411).
    ///
    /// It is judged by what is there before the last byte of the answer leaves in clear; afterwards
    /// an honest ClientHello looks the same. A server with nothing queued has answered before, so
    /// what lies there is taken for the ClientHello; a client looks before it sends its own.
    #[default]
    Refuse,
    /// They are the beginning of the handshake, as where a header and the ClientHello come in one
    /// segment.
    FeedToHandshake,
}

impl TlsPlan {
    /// As the server of this context.
    #[must_use]
    pub fn server(context: ServerContext) -> Self {
        Self::new(Side::Server(context))
    }

    /// As a client of the server of this name, which is sent to it and checked in its certificate.
    #[must_use]
    pub fn client(context: ClientContext, name: ServerName<'static>) -> Self {
        Self::new(Side::Client(context, name))
    }

    fn new(side: Side) -> Self {
        Self { side, pipelined: Pipelined::default(), leftover: Vec::new() }
    }

    /// What becomes of bytes that came too early. Default: they are refused.
    #[must_use]
    pub fn pipelined(mut self, then: Pipelined) -> Self {
        self.pipelined = then;
        self
    }

    /// What the handler has been given already, and lies behind the command; more is appended.
    ///
    /// It is treated as [`pipelined`](Self::pipelined) says, like what was not yet read.
    #[must_use]
    pub fn leftover(mut self, bytes: &[u8]) -> Self {
        self.leftover.extend_from_slice(bytes);
        self
    }

    fn session(&self) -> Result<Session, tls::Error> {
        match &self.side {
            Side::Server(context) => Session::server(context),
            Side::Client(context, name) => Session::client(context, name.clone()),
        }
    }
}

impl From<ServerContext> for TlsPlan {
    fn from(context: ServerContext) -> Self {
        Self::server(context)
    }
}

impl From<&ServerContext> for TlsPlan {
    fn from(context: &ServerContext) -> Self {
        Self::server(context.clone())
    }
}

/// Why a connection is not upgraded.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum StartTlsError {
    /// It has TLS already, or has asked for it (S107, S116).
    Already,
    /// The outgoing connection is yet to be established; [`Connect::tls`](crate::Connect::tls)
    /// plans TLS from its first byte on.
    NotConnected,
    /// It is closing or gone, or one of its two sides has ended.
    Closing,
    /// The plan refuses what came too early, and was handed some; the connection ends with
    /// [`CloseReason::Injected`].
    Injected {
        /// How many bytes they were.
        bytes: usize,
    },
    /// The context cannot make a session; the connection goes on as it was.
    Tls(tls::Error),
}

impl fmt::Display for StartTlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Already => f.write_str("TLS is there already, or was asked for"),
            Self::NotConnected => f.write_str("the connection is not yet established"),
            Self::Closing => f.write_str("the connection is closing or gone"),
            Self::Injected { bytes } => {
                write!(f, "{bytes} bytes in clear lie behind the command that begins TLS")
            }
            Self::Tls(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for StartTlsError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Tls(error) => Some(error),
            _ => None,
        }
    }
}

impl Conn<'_> {
    /// Upgrades the connection to TLS, once (S105 to S107).
    ///
    /// What was written before leaves in clear first, without an `on_drain`; nothing is read until
    /// it is out, and what is written from now on waits for the handshake and leaves encrypted.
    /// Then [`Handler::on_starttls`](crate::Handler::on_starttls) is called and the handshake
    /// begins, within [`Config::handshake_timeout`](crate::Config::handshake_timeout);
    /// [`Handler::on_status`](crate::Handler::on_status) tells of its end.
    ///
    /// A pause, a rate limit and a write pause of the handler's stay as they are: they hold back
    /// application bytes, not the handshake. Paused writes hold back what leaves in clear, and so
    /// the handshake behind it.
    ///
    /// # Errors
    /// [`StartTlsError`] says what stands against it. The connection stays as it was, but for
    /// [`StartTlsError::Injected`], which ends it.
    pub fn start_tls(&mut self, plan: impl Into<TlsPlan>) -> Result<(), StartTlsError> {
        self.may_start_tls()?;
        let plan = plan.into();
        let bytes = plan.leftover.len();
        if bytes > 0 && plan.pipelined == Pipelined::Refuse {
            self.fail(CloseReason::Injected);
            return Err(StartTlsError::Injected { bytes });
        }
        let session = plan.session().map_err(StartTlsError::Tls)?;
        self.core.unstage(self.id, self.lent);
        let now = self.core.now;
        let line = self.core.table.served_mut(self.id);
        let clear = std::mem::take(&mut line.outbox);
        let speaks_first = matches!(plan.side, Side::Client(..));
        // A server that has nothing to send has answered before: what is there is the ClientHello.
        let refuses_input =
            plan.pipelined == Pipelined::Refuse && (speaks_first || !clear.is_empty());
        let tls = TlsChannel::new(session, now);
        let upgrade = Upgrade { tls, clear, leftover: plan.leftover, refuses_input };
        line.enter(Stage::Upgrading(Box::new(upgrade)));
        // The pair that an outgoing connection is owed comes behind the handshake (S77, S112).
        line.marks.take(Marks::DRAIN);
        self.core.recount(self.id);
        self.core.revisit(self.id);
        Ok(())
    }

    /// Whether [`start_tls`](Self::start_tls) would be heard: the connection is established and
    /// plain, both its sides are open, and it was not upgraded before.
    #[must_use]
    pub fn start_tls_available(&self) -> bool {
        self.may_start_tls().is_ok()
    }

    fn may_start_tls(&self) -> Result<(), StartTlsError> {
        let line = self.line();
        match &line.stage {
            Stage::Open(Channel::Plain)
                if !line.told && !line.input_ended && line.takes_writes() =>
            {
                Ok(())
            }
            Stage::Open(Channel::Tls(_)) | Stage::Handshaking(_) | Stage::Upgrading(_) => {
                Err(StartTlsError::Already)
            }
            Stage::Connecting(None) => Err(StartTlsError::NotConnected),
            Stage::Connecting(Some(_)) => Err(StartTlsError::Already),
            _ => Err(StartTlsError::Closing),
        }
    }
}
