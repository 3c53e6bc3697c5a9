//! The walk over rustls' states: one table, each state with what it does to the bytes.
//!
//! Never: keeps bytes; looks into a record beyond its header.
//!
//! Invariants:
//! 1. Every walk ends: it takes at most [`STEPS_MAX`] steps and one more per input byte.
//! 2. What rustls owes the peer is in `wire` when a walk returns, after an error as well.
//! 3. rustls is never called with fewer bytes than it left behind (it would panic), except while it
//!    owes output, which it gives before it looks at input.

use rustls::client::{ClientConnectionData, UnbufferedClientConnection};
use rustls::server::{ServerConnectionData, UnbufferedServerConnection};
use rustls::unbuffered::{
    ConnectionState, EncodeError, EncodeTlsData, EncryptError, UnbufferedStatus, WriteTraffic,
};
use rustls::{CommonState, ContentType};

use crate::Error;
use crate::copy::append;
use crate::record::RECORD_PAYLOAD;

/// Steps a walk may take without input: a flight of the handshake is one step for each record, and
/// 4096 records of the smallest size a configuration may ask for hold a 64 KiB chain.
///
/// Input allows one step more for each byte: no byte has cause for two.
const STEPS_MAX: usize = 4096;

/// What a record adds at most to its payload: header 5, and for TLS 1.2 AES-GCM nonce 8 and tag 16;
/// TLS 1.3 needs 22. A guess that is too small costs one more call, nothing else.
const RECORD_OVERHEAD: usize = 5 + 8 + 16;

/// The two rustls connections, which have no trait in common.
pub(crate) trait Machine {
    type Data;
    fn process<'c, 'i>(&'c mut self, input: &'i mut [u8]) -> UnbufferedStatus<'c, 'i, Self::Data>;
    fn common(&self) -> &CommonState;
}

impl Machine for UnbufferedServerConnection {
    type Data = ServerConnectionData;

    fn process<'c, 'i>(&'c mut self, input: &'i mut [u8]) -> UnbufferedStatus<'c, 'i, Self::Data> {
        self.process_tls_records(input)
    }

    fn common(&self) -> &CommonState {
        self
    }
}

impl Machine for UnbufferedClientConnection {
    type Data = ClientConnectionData;

    fn process<'c, 'i>(&'c mut self, input: &'i mut [u8]) -> UnbufferedStatus<'c, 'i, Self::Data> {
        self.process_tls_records(input)
    }

    fn common(&self) -> &CommonState {
        self
    }
}

/// Where a walk puts what it finds.
pub(crate) struct Out<'a> {
    pub(crate) plain: &'a mut Vec<u8>,
    pub(crate) wire: &'a mut Vec<u8>,
    /// Set when the peer's close_notify was met.
    pub(crate) peer_closed: &'a mut bool,
    /// Set when a record was written that the peer must decrypt, or the announcement of such.
    pub(crate) sealing: &'a mut bool,
}

enum Next {
    /// Ask again: more may follow.
    Again,
    /// Plaintext was handed over: more follows only if there is more input.
    Read,
    /// Nothing more without new input.
    Rest,
}

/// Walks until rustls wants more input. Returns how many bytes of `input` are done with; the rest,
/// as changed in place, must be the beginning of the next input.
pub(crate) fn walk<M: Machine>(
    machine: &mut M,
    input: &mut [u8],
    out: &mut Out<'_>,
) -> Result<usize, Error> {
    let (mut taken, owed_before) = (0, out.wire.len());
    for _ in 0..STEPS_MAX.saturating_add(input.len()) {
        let (discard, next) = step(machine, &mut input[taken..], out);
        taken += discard;
        match next {
            Ok(Next::Again) => {}
            // Only more input, or output not yet done with, can follow plaintext.
            Ok(Next::Read)
                if taken < input.len()
                    || out.wire.len() > owed_before
                    || machine.common().wants_write() => {}
            Ok(Next::Read | Next::Rest) => return Ok(taken),
            Err(error) => {
                drain(machine, out);
                return Err(error);
            }
        }
    }
    Err(Error::internal("rustls did not settle", None))
}

/// Writes what rustls has queued, without looking at input: the alert after an error.
pub(crate) fn drain<M: Machine>(machine: &mut M, out: &mut Out<'_>) {
    for _ in 0..STEPS_MAX {
        if !machine.common().wants_write() || step(machine, &mut [], out).1.is_err() {
            return;
        }
    }
}

/// The table: what each state does.
fn step<M: Machine>(
    machine: &mut M,
    input: &mut [u8],
    out: &mut Out<'_>,
) -> (usize, Result<Next, Error>) {
    let UnbufferedStatus { mut discard, state } = machine.process(input);
    let next = match state {
        Err(error) => Err(Error::blame(error)),
        Ok(ConnectionState::ReadTraffic(mut traffic)) => loop {
            match traffic.next_record() {
                Some(Ok(record)) => {
                    append(out.plain, record.payload);
                    discard += record.discard;
                }
                Some(Err(error)) => break Err(Error::blame(error)),
                None => break Ok(Next::Read),
            }
        },
        Ok(ConnectionState::EncodeTlsData(record)) => encode(record, out).map(|()| Next::Again),
        Ok(ConnectionState::TransmitTlsData(sent)) => {
            sent.done();
            Ok(Next::Again)
        }
        Ok(ConnectionState::PeerClosed) => {
            *out.peer_closed = true;
            Ok(Next::Again)
        }
        Ok(
            ConnectionState::BlockedHandshake
            | ConnectionState::WriteTraffic(_)
            | ConnectionState::Closed,
        ) => Ok(Next::Rest),
        // Early data cannot come: `Session::server` refuses configurations that allow it.
        Ok(_) => Err(Error::internal("unforeseen rustls state", None)),
    };
    (discard, next)
}

fn encode<D>(mut record: EncodeTlsData<'_, D>, out: &mut Out<'_>) -> Result<(), Error> {
    let at = out.wire.len();
    // rustls tells the size of a record only by refusing a buffer that is too small.
    if let Err(EncodeError::InsufficientSize(short)) = record.encode(&mut []) {
        out.wire.resize(at + short.required_size, 0);
    }
    let Ok(written) = record.encode(&mut out.wire[at..]) else {
        out.wire.truncate(at);
        return Err(Error::internal("rustls withheld a record", None));
    };
    out.wire.truncate(at + written);
    *out.sealing |= out.wire.get(at).is_some_and(|&kind| {
        [ContentType::ChangeCipherSpec, ContentType::ApplicationData].contains(&kind.into())
    });
    Ok(())
}

/// Seals `plain` into `wire`. `pending` is the input rustls left behind.
pub(crate) fn seal<M: Machine>(
    machine: &mut M,
    pending: &mut [u8],
    plain: &[u8],
    wire: &mut Vec<u8>,
) -> Result<(), Error> {
    match machine.process(pending).state {
        Ok(ConnectionState::WriteTraffic(mut traffic)) => encrypt(&mut traffic, plain, wire),
        Ok(_) => Err(Error::internal("rustls not ready to seal", None)),
        Err(error) => Err(Error::blame(error)),
    }
}

fn encrypt<D>(
    traffic: &mut WriteTraffic<'_, D>,
    plain: &[u8],
    wire: &mut Vec<u8>,
) -> Result<(), Error> {
    let at = wire.len();
    let mut room = plain.len() + RECORD_OVERHEAD * plain.len().div_ceil(RECORD_PAYLOAD);
    // The second round has the size rustls asked for: more when it adds a key update, or when the
    // configuration wants smaller records.
    for _ in 0..2 {
        wire.resize(at + room, 0);
        let sealed = traffic.encrypt(plain, &mut wire[at..]);
        wire.truncate(at + *sealed.as_ref().unwrap_or(&0));
        match sealed {
            Ok(_) => return Ok(()),
            Err(EncryptError::InsufficientSize(short)) => room = short.required_size,
            Err(EncryptError::EncryptExhausted) => return Err(Error::KeysExhausted),
        }
    }
    Err(Error::internal("rustls did not say how much room it needs", None))
}

/// Queues close_notify inside rustls, if it can be sealed by now, and says whether it could.
pub(crate) fn queue_close<M: Machine>(machine: &mut M, pending: &mut [u8]) -> bool {
    let Ok(ConnectionState::WriteTraffic(mut traffic)) = machine.process(pending).state else {
        return false;
    };
    // Without room the alert stays queued, and `drain` fetches it in its size.
    let _refused_but_queued = traffic.queue_close_notify(&mut []);
    true
}

#[cfg(all(test, any(feature = "ring", feature = "aws-lc-rs")))]
mod tests {
    use super::*;
    use crate::ClientContext;

    /// A rustls gone wrong: whatever it is given, it has news and takes nothing.
    struct Restless(UnbufferedClientConnection);

    impl Machine for Restless {
        type Data = ClientConnectionData;

        fn process<'c, 'i>(
            &'c mut self,
            _input: &'i mut [u8],
        ) -> UnbufferedStatus<'c, 'i, Self::Data> {
            UnbufferedStatus { discard: 0, state: Ok(ConnectionState::PeerClosed) }
        }

        fn common(&self) -> &CommonState {
            &self.0
        }
    }

    #[test]
    fn a_walk_that_does_not_settle_is_an_internal_error() {
        let config = ClientContext::insecure().config().clone();
        let name = "localhost".try_into().expect("a host name");
        let client = UnbufferedClientConnection::new(config, name).expect("a sound configuration");
        let mut out = Out {
            plain: &mut Vec::new(),
            wire: &mut Vec::new(),
            peer_closed: &mut false,
            sealing: &mut false,
        };
        let walked = walk(&mut Restless(client), &mut [0; 100], &mut out);
        assert!(matches!(walked, Err(Error::Internal { .. })), "{walked:?}");
    }
}
