//! What is not data: alerts, KeyUpdate, tickets (RFC 8446, sections 4.6 and 6), and how much of it
//! a peer may send.
//!
//! Never: seals, or sees a cipher.
//!
//! Invariants:
//! 1. What is kept is the beginning of one handshake message: at a server of 4 bytes at most, at a
//!    client of 64 KiB, a ticket. No memory is kept when there is none.

use rustls::{AlertDescription, ContentType, Error, HandshakeType, InvalidMessage, PeerMisbehaved};

use super::{Keys, Opened, Traffic};
use crate::record::HANDSHAKE_MAX;

/// Empty records in a row, KeyUpdates without data between them, and warnings in all: as many as
/// rustls bears.
const EMPTY_MAX: u8 = 32;
const UPDATES_MAX: u8 = 32;
const WARNINGS_MAX: u8 = 4;

/// The header of a handshake message: its type and its length.
const MESSAGE_HEADER: usize = 4;

/// What is wrong with a record, and the alert for it.
pub(super) struct Refusal {
    pub(super) error: Error,
    pub(super) alert: Option<AlertDescription>,
}

impl Refusal {
    fn new(error: impl Into<Error>, alert: AlertDescription) -> Self {
        Self { error: error.into(), alert: Some(alert) }
    }

    fn unexpected(error: impl Into<Error>) -> Self {
        Self::new(error, AlertDescription::UnexpectedMessage)
    }
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        let alert = match &error {
            Error::DecryptError => AlertDescription::BadRecordMac,
            Error::PeerSentOversizedRecord => AlertDescription::RecordOverflow,
            Error::InvalidMessage(_) => AlertDescription::DecodeError,
            Error::PeerMisbehaved(_)
            | Error::InappropriateMessage { .. }
            | Error::InappropriateHandshakeMessage { .. } => AlertDescription::UnexpectedMessage,
            _ => AlertDescription::InternalError,
        };
        Self::new(error, alert)
    }
}

#[derive(Default)]
pub(super) struct Control {
    /// The beginning of a handshake message whose rest is to come.
    handshake: Vec<u8>,
    empty: u8,
    updates: u8,
    warnings: u8,
}

impl Control {
    /// Whether this is data to be delivered: not empty, and not amid a handshake message.
    #[inline]
    pub(super) fn takes_data(&mut self, data: &[u8]) -> bool {
        let takes = !data.is_empty() && self.handshake.is_empty();
        if takes {
            (self.empty, self.updates) = (0, 0);
        }
        takes
    }

    pub(super) fn buffered(&self) -> usize {
        self.handshake.capacity()
    }
}

/// One more of something that is allowed so many times.
fn count(count: &mut u8, most: u8, else_: PeerMisbehaved) -> Result<(), Refusal> {
    *count += 1;
    if *count > most { Err(Refusal::unexpected(else_)) } else { Ok(()) }
}

/// A KeyUpdate, which asks the peer for one or does not.
pub(super) fn key_update(request: bool) -> [u8; MESSAGE_HEADER + 1] {
    [HandshakeType::KeyUpdate.into(), 0, 0, 1, request.into()]
}

impl Traffic {
    /// Takes a record that holds no data to be delivered.
    #[cold]
    pub(super) fn take_control(
        &mut self,
        kind: ContentType,
        payload: &[u8],
    ) -> Result<Opened<'static>, Refusal> {
        if kind != ContentType::Handshake && !self.control.handshake.is_empty() {
            let interleaved = PeerMisbehaved::MessageInterleavedWithHandshakeMessage;
            return Err(Refusal::unexpected(interleaved));
        }
        match kind {
            ContentType::ApplicationData => {
                let many = PeerMisbehaved::TooManyEmptyFragments;
                count(&mut self.control.empty, EMPTY_MAX, many).map(|()| Opened::Control)
            }
            // Of these none may be empty (section 5.4).
            ContentType::Alert | ContentType::Handshake if payload.is_empty() => {
                Err(Refusal::unexpected(InvalidMessage::InvalidEmptyPayload))
            }
            ContentType::Alert => self.take_alert(payload),
            ContentType::Handshake => self.take_handshake(payload).map(|()| Opened::Control),
            got_type => {
                let expect_types = vec![ContentType::ApplicationData, ContentType::Handshake];
                Err(Error::InappropriateMessage { expect_types, got_type }.into())
            }
        }
    }

    fn take_alert(&mut self, payload: &[u8]) -> Result<Opened<'static>, Refusal> {
        let &[level, description] = payload else {
            return Err(Error::from(InvalidMessage::TrailingData("Alert")).into());
        };
        let description = AlertDescription::from(description);
        let received = Error::AlertReceived(description);
        match (level, description) {
            (1 | 2, AlertDescription::CloseNotify) => Ok(Opened::End),
            (1, AlertDescription::UserCanceled) => {
                let many = PeerMisbehaved::TooManyWarningAlertsReceived;
                count(&mut self.control.warnings, WARNINGS_MAX, many).map(|()| Opened::Control)
            }
            (1, _) => Err(Refusal::new(received, AlertDescription::DecodeError)),
            (2, _) => Err(Refusal { error: received, alert: None }),
            _ => Err(Refusal::new(received, AlertDescription::IllegalParameter)),
        }
    }

    /// Takes a piece of the stream of handshake messages.
    fn take_handshake(&mut self, payload: &[u8]) -> Result<(), Refusal> {
        let mut messages = std::mem::take(&mut self.control.handshake);
        messages.extend_from_slice(payload);
        let mut at = 0;
        while let Some(header) = messages[at..].first_chunk::<MESSAGE_HEADER>() {
            // Judged by its header: what can only be refused is not kept until it is whole.
            let (kind, len) = self.check_message(*header)?;
            let body = at + MESSAGE_HEADER;
            if body + len > messages.len() {
                break;
            }
            at = body + len;
            self.take_message(kind, &messages[body..at], at == messages.len())?;
        }
        if at < messages.len() {
            messages.drain(..at);
            self.control.handshake = messages;
        }
        Ok(())
    }

    /// Gives the type of a message and the length of its body.
    fn check_message(
        &self,
        header: [u8; MESSAGE_HEADER],
    ) -> Result<(HandshakeType, usize), Refusal> {
        let [kind, high, middle, low] = header;
        let (got_type, len) = (kind.into(), u32::from_be_bytes([0, high, middle, low]) as usize);
        if MESSAGE_HEADER + len > HANDSHAKE_MAX {
            return Err(Error::from(InvalidMessage::HandshakePayloadTooLarge).into());
        }
        match (got_type, &self.keys) {
            (HandshakeType::KeyUpdate, _) if len == 1 => Ok((got_type, len)),
            (HandshakeType::KeyUpdate, _) => {
                Err(Error::from(InvalidMessage::InvalidKeyUpdate).into())
            }
            (HandshakeType::NewSessionTicket, Keys::Client(_)) => Ok((got_type, len)),
            _ => {
                let expect_types = vec![HandshakeType::KeyUpdate];
                Err(Error::InappropriateHandshakeMessage { expect_types, got_type }.into())
            }
        }
    }

    /// Takes a message whose header has been checked.
    fn take_message(
        &mut self,
        kind: HandshakeType,
        body: &[u8],
        is_last: bool,
    ) -> Result<(), Refusal> {
        match &mut self.keys {
            Keys::Client(keys) if kind == HandshakeType::NewSessionTicket => {
                Ok(keys.handle_new_session_ticket(body)?)
            }
            _ => self.take_key_update(body, is_last),
        }
    }

    fn take_key_update(&mut self, body: &[u8], is_last: bool) -> Result<(), Refusal> {
        if !is_last {
            return Err(Refusal::unexpected(PeerMisbehaved::KeyEpochWithPendingFragment));
        }
        let many = PeerMisbehaved::TooManyKeyUpdateRequests;
        count(&mut self.control.updates, UPDATES_MAX, many)?;
        match body {
            [0] => {}
            // One answer is enough for all that come before it leaves (section 4.6.3).
            [1] if !self.queued.is_empty() => {}
            [1] => self.renew(false)?,
            _ => {
                let invalid = InvalidMessage::InvalidKeyUpdate;
                return Err(Refusal::new(invalid, AlertDescription::IllegalParameter));
            }
        }
        Ok(self.follow()?)
    }
}
