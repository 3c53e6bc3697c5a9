//! Where a connection is in its life. Each variant owns exactly what that part of life needs.
//!
//! ```text
//!  connect ──► Connecting ──► Handshaking ──► Open ──► Flushing ──► Lingering ──► (freed)
//!                  │  └──────── plain ─────────▲ │         ▲             │
//!  accept ──► ─────┼───────── plain ───────────┘ │         │             │
//!     └─► Preface ─┤                             │         │             │
//!  accept, TLS ──► ┼──────► Handshaking ── close ┼─────────┤             │
//!     └─► Preface ─┤                             │         │             │
//!  start_tls ──────┼─ Upgrading ──► Handshaking  │   close ┘             │
//!                  └──────────── errors, timeouts, abort ────► Closed ◄──┘ ──► (freed)
//! ```
//!
//! | stage | reads | writes | deadline |
//! |---|---|---|---|
//! | Preface | what belongs to its PROXY header | no | that of the header |
//! | Connecting | no | no | connect timeout |
//! | Upgrading | looked for, not read | what was written before | send timeout |
//! | Handshaking | yes | what TLS owes | handshake timeout, per step and over all |
//! | Open | unless gated | if queued | read: silence; write: no progress |
//! | Flushing | discarded | yes, then close_notify, then FIN | send timeout |
//! | Lingering | discarded, bounded | no | [`LINGER`] |
//! | Closed | no | no | none |
//!
//! Preface is left when the header is complete, for what the connection would have begun with, or
//! when it is none, or is late; Connecting when connected or refused; Upgrading, which comes from
//! Open, when all that was written before is out, for Handshaking; Handshaking when done, or failed
//! with the alert sent; Open by close, end of input, an error, a timeout; Flushing when all is out
//! and the handler was told; Lingering by the end of input, the bound or the deadline; a Closed
//! line is freed.
//!
//! Never: calls user code or the kernel.
//!
//! Invariants:
//! 1. A transition takes the old stage out and leaves `Closed(Internal)` in its place, so a
//!    forgotten arm shows as a closed connection, never as plaintext on a TLS line.
//! 2. `Closed` and `Lingering` are never left for another stage, except `Lingering` for `Closed`.
//! 3. Only `Open` delivers application bytes.

use std::fmt;
use std::time::Duration;

use super::channel::{Channel, TlsChannel};
use super::preface::Preface;
use super::upgrade::Upgrade;
use crate::api::CloseReason;
use shardpoll_tls::ClientContext;
use shardpoll_tls::rustls::pki_types::ServerName;

/// How long a connection that has sent everything waits for the peer's end, so that the kernel
/// does not answer late input with a reset that destroys what the peer has not read yet (O8).
pub(crate) const LINGER: Duration = Duration::from_secs(2);

/// How much late input is read and thrown away meanwhile (O8).
pub(crate) const LINGER_BYTES: usize = 64 * 1024;

// A tag of its own: which stage it is, is asked several times a message.
#[repr(u8)]
pub(crate) enum Stage {
    /// A PROXY header is to come, and nobody knows of the connection.
    Preface(Box<Preface>),
    /// The kernel is connecting; TLS follows at once if planned.
    Connecting(Option<Box<TlsDial>>),
    /// What was written before the upgrade leaves in clear; TLS begins behind it.
    Upgrading(Box<Upgrade>),
    /// TLS is being set up; no application bytes either way.
    Handshaking(Box<TlsChannel>),
    /// Application bytes flow.
    Open(Channel),
    /// What is queued is sent to its end; what still comes is discarded.
    Flushing { channel: Channel, reason: CloseReason },
    /// Our side has ended and the handler was told; `discarded` counts late input.
    Lingering { discarded: usize },
    /// The descriptor is closed as soon as the handler was told.
    Closed(CloseReason),
}

/// The TLS session to begin once an outgoing connection stands.
pub(crate) struct TlsDial {
    pub(crate) context: ClientContext,
    pub(crate) name: ServerName<'static>,
    /// A PROXY header, which leaves in clear before anything of TLS.
    pub(crate) preface: Vec<u8>,
    /// The session, when its first bytes went with the first packet (RFC 7413).
    pub(crate) begun: Option<Box<TlsChannel>>,
}

impl fmt::Debug for TlsDial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsDial").field("name", &self.name).finish_non_exhaustive()
    }
}

impl super::Line {
    /// As [`enter`](Self::enter), from a stage that owns nothing: to drop it would be a look for
    /// nothing.
    #[inline(always)]
    pub(crate) fn enter_from_plain(&mut self, stage: Stage) {
        debug_assert!(matches!(self.stage, Stage::Open(Channel::Plain)), "a stage is lost");
        #[cfg(feature = "sim")]
        self.journey.enter(&stage);
        std::mem::forget(std::mem::replace(&mut self.stage, stage));
    }

    /// Goes to another stage: the only way there is but one, so that the simulation sees each.
    #[inline(always)]
    pub(crate) fn enter(&mut self, stage: Stage) {
        #[cfg(feature = "sim")]
        self.journey.enter(&stage);
        self.stage = stage;
    }
}

impl Stage {
    /// Takes the stage out for a transition (invariant 1).
    #[inline]
    pub(crate) fn take(&mut self) -> Self {
        std::mem::replace(self, Self::Closed(CloseReason::Internal))
    }

    #[inline]
    pub(crate) fn is_open(&self) -> bool {
        matches!(self, Self::Open(_))
    }

    /// Whether what the application writes can still be sent.
    #[inline]
    pub(crate) fn takes_writes(&self) -> bool {
        matches!(
            self,
            Self::Open(_) | Self::Upgrading(_) | Self::Handshaking(_) | Self::Connecting(_)
        )
    }

    /// The TLS layer, once its handshake has begun.
    pub(crate) fn tls(&self) -> Option<&TlsChannel> {
        match self {
            Self::Handshaking(tls)
            | Self::Open(Channel::Tls(tls))
            | Self::Flushing { channel: Channel::Tls(tls), .. } => Some(tls),
            _ => None,
        }
    }

    pub(crate) fn into_tls(self) -> Option<Box<TlsChannel>> {
        match self {
            Self::Handshaking(tls)
            | Self::Open(Channel::Tls(tls))
            | Self::Flushing { channel: Channel::Tls(tls), .. } => Some(tls),
            _ => None,
        }
    }

    pub(crate) fn tls_mut(&mut self) -> Option<&mut TlsChannel> {
        match self {
            Self::Handshaking(tls)
            | Self::Open(Channel::Tls(tls))
            | Self::Flushing { channel: Channel::Tls(tls), .. } => Some(tls),
            _ => None,
        }
    }
}
