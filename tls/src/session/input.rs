//! How input is read: what is incomplete is put together first, the rest is read where it is.
//!
//! Never: says anything of the handshake; `handshake` listens to it.

use super::side::Side;
use super::{Progress, Session};
use crate::Error;
use crate::copy::append;
use crate::record::{RECORD_HEADER, check_pending, missing, record_len, whole_records};
use crate::traffic::Opened;

/// A close_notify without padding, sealed: its header, its two bytes and their type, and the tag of
/// any cipher of TLS 1.3 that is in use.
const END_LEN: usize = RECORD_HEADER + 2 + 1 + 16;

/// What [`Session::next`] has found.
#[derive(Debug)]
pub struct Next<'a> {
    /// How many bytes of the input are done with, or kept inside; at least 1.
    pub taken: usize,
    /// Plaintext, where it lies in the input; it came behind what was appended to `plain`.
    pub data: &'a [u8],
}

impl Session {
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
            let done = self.established || !self.side.is_handshaking();
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
    pub(super) fn read(
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
        let (side, mut out) = self.split(plain, wire);
        side.walk(input, &mut out)
    }

    /// Takes the next record of what an established session has received, or more than that,
    /// decrypting in place; to be called until all of the input is taken.
    ///
    /// As [`receive`](Self::receive), but that plaintext which lies in `input` as a whole is not
    /// copied. Once [`peer_closed`](Self::peer_closed), all that is left is taken and dropped.
    ///
    /// # Errors
    ///
    /// As [`receive`](Self::receive).
    pub fn next<'a>(
        &mut self,
        input: &'a mut [u8],
        plain: &mut Vec<u8>,
        wire: &mut Vec<u8>,
    ) -> Result<Next<'a>, Error> {
        let own = matches!(self.side, Side::Own(_));
        if !own || self.failure.is_some() || self.closed || self.peer_closed {
            let taken = input.len();
            self.receive(input, plain, wire)?;
            return Ok(Next { taken, data: &[] });
        }
        let next = if self.pending.is_empty() {
            self.open_next(input, plain, wire)
        } else {
            self.complete_next(input, plain, wire).map(|taken| Next { taken, data: &[] })
        };
        next.map_err(|error| self.fail(Error::blame(error)))
    }

    /// Opens the record that begins `input`, or keeps it until its rest comes.
    #[inline]
    fn open_next<'a>(
        &mut self,
        input: &'a mut [u8],
        plain: &mut Vec<u8>,
        wire: &mut Vec<u8>,
    ) -> Result<Next<'a>, rustls::Error> {
        let Side::Own(own) = &mut self.side else { return Ok(Next { taken: 0, data: &[] }) };
        let Some(taken) = own.traffic.whole(input, wire)? else {
            return Ok(Next { taken: self.keep(input), data: &[] });
        };
        let (record, behind) = input.split_at_mut(taken);
        let data = match own.traffic.open(record, wire)? {
            Opened::Data(data) if behind.len() == END_LEN => {
                return self.open_end(taken, data, behind, plain, wire);
            }
            Opened::Data(data) => data,
            Opened::Control => &[],
            Opened::End => {
                self.peer_closed = true;
                &[]
            }
        };
        Ok(Next { taken, data })
    }

    /// Opens what looks like close_notify together with the data before it: whoever is given that
    /// can then see that the end lies behind it.
    #[cold]
    fn open_end<'a>(
        &mut self,
        taken: usize,
        data: &'a [u8],
        end: &'a mut [u8],
        plain: &mut Vec<u8>,
        wire: &mut Vec<u8>,
    ) -> Result<Next<'a>, rustls::Error> {
        let Side::Own(own) = &mut self.side else { return Ok(Next { taken, data }) };
        if record_len(end) != Some(END_LEN) {
            return Ok(Next { taken, data });
        }
        let opened = match own.traffic.whole(end, wire) {
            Ok(_) => own.traffic.open(end, wire),
            Err(error) => Err(error),
        };
        let taken = taken + END_LEN;
        match opened {
            Ok(Opened::Data(last)) => {
                append(plain, data);
                Ok(Next { taken, data: last })
            }
            Ok(Opened::Control) => Ok(Next { taken, data }),
            Ok(Opened::End) => {
                self.peer_closed = true;
                Ok(Next { taken, data })
            }
            Err(error) => {
                append(plain, data);
                Err(error)
            }
        }
    }

    /// Keeps the beginning of a record.
    #[cold]
    fn keep(&mut self, input: &[u8]) -> usize {
        // What holds half of it already may hold all of it: then the rest moves nothing.
        if let Some(len) = record_len(input).filter(|len| *len <= 2 * input.len()) {
            self.pending.reserve_exact(len);
        }
        append(&mut self.pending, input);
        input.len()
    }

    /// Completes the pending record from `input`; gives how much of it that took.
    #[inline(never)]
    fn complete_next(
        &mut self,
        input: &[u8],
        plain: &mut Vec<u8>,
        wire: &mut Vec<u8>,
    ) -> Result<usize, rustls::Error> {
        let taken = missing(&self.pending).min(input.len());
        append(&mut self.pending, &input[..taken]);
        let Side::Own(own) = &mut self.side else { return Ok(taken) };
        if own.traffic.whole(&self.pending, wire)?.is_some() {
            let mut record = std::mem::take(&mut self.pending);
            match own.traffic.open(&mut record, wire)? {
                Opened::Data(data) => append(plain, data),
                Opened::Control => {}
                Opened::End => self.peer_closed = true,
            }
        }
        Ok(taken)
    }
}
