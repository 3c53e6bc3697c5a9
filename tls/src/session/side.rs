//! Who protects the records of a session: rustls, on either side, or we ourselves.
//!
//! Never: keeps input.

use rustls::client::UnbufferedClientConnection;
use rustls::server::UnbufferedServerConnection;

use crate::Error;
use crate::agreed::{Agreed, Kept};
use crate::traffic::{Traffic, suite_to_take_over};
use crate::walk::{self, Out};

pub(super) enum Side {
    Server(Box<UnbufferedServerConnection>),
    Client(Box<UnbufferedClientConnection>),
    /// Established, and taken over from rustls.
    Own(Box<Own>),
    /// Could not be taken over; the session has failed.
    Lost,
}

pub(super) struct Own {
    pub(super) traffic: Traffic,
    kept: Kept,
}

impl Side {
    pub(super) fn is_server(&self) -> bool {
        match self {
            Self::Server(_) => true,
            Self::Client(_) | Self::Lost => false,
            Self::Own(own) => own.traffic.is_server(),
        }
    }

    pub(super) fn is_handshaking(&self) -> bool {
        match self {
            Self::Server(machine) => machine.is_handshaking(),
            Self::Client(machine) => machine.is_handshaking(),
            Self::Own(_) | Self::Lost => false,
        }
    }

    pub(super) fn agreed(&self) -> Agreed<'_> {
        match self {
            Self::Server(machine) => Agreed::Rustls(machine),
            Self::Client(machine) => Agreed::Rustls(machine),
            Self::Own(own) => Agreed::Kept(&own.kept),
            Self::Lost => Agreed::Nothing,
        }
    }

    /// What it holds of input, beside what the session holds.
    pub(super) fn buffered(&self) -> usize {
        match self {
            Self::Own(own) => own.traffic.buffered(),
            _ => 0,
        }
    }

    pub(super) fn forget_input(&mut self) {
        if let Self::Own(own) = self {
            own.traffic.forget_input();
        }
    }

    /// Reads the records of `input`; gives how many bytes of it are done with.
    pub(super) fn walk(&mut self, input: &mut [u8], out: &mut Out<'_>) -> Result<usize, Error> {
        match self {
            Self::Server(machine) => walk::walk(&mut **machine, input, out),
            Self::Client(machine) => walk::walk(&mut **machine, input, out),
            Self::Own(own) => own.traffic.walk(input, out).map_err(Error::blame),
            Self::Lost => Err(lost()),
        }
    }

    /// Seals `plain` into `wire`. `pending` is the input rustls has left behind.
    #[inline]
    pub(super) fn seal(
        &mut self,
        pending: &mut [u8],
        plain: &[u8],
        wire: &mut Vec<u8>,
    ) -> Result<(), Error> {
        match self {
            Self::Own(own) => own.traffic.seal(plain, wire).map_err(Error::blame),
            Self::Server(machine) => walk::seal(&mut **machine, pending, plain, wire),
            Self::Client(machine) => walk::seal(&mut **machine, pending, plain, wire),
            Self::Lost => Err(lost()),
        }
    }

    /// Appends close_notify, if it can be sealed by now, and says whether it could.
    pub(super) fn say_close_notify(&mut self, pending: &mut [u8], out: &mut Out<'_>) -> bool {
        let queued = match self {
            Self::Server(machine) => walk::queue_close(&mut **machine, pending),
            Self::Client(machine) => walk::queue_close(&mut **machine, pending),
            Self::Own(own) => own.traffic.say_close_notify(out.wire).is_ok(),
            Self::Lost => false,
        };
        if queued {
            self.drain(out);
        }
        queued
    }

    /// Writes what rustls has queued, without looking at input.
    pub(super) fn drain(&mut self, out: &mut Out<'_>) {
        match self {
            Self::Server(machine) => walk::drain(&mut **machine, out),
            Self::Client(machine) => walk::drain(&mut **machine, out),
            Self::Own(_) | Self::Lost => {}
        }
    }

    /// Takes the records over from rustls, if it lets go of them; they are then sealed in pieces of
    /// at most so many bytes.
    ///
    /// To be called behind a piece of data that was sealed: with that, the answer to a KeyUpdate,
    /// which rustls may have kept until then, has left it.
    pub(super) fn take_over(&mut self, payload_max: usize) -> Result<(), Error> {
        let Agreed::Rustls(common) = self.agreed() else { return Ok(()) };
        let Some(suite) = suite_to_take_over(common) else { return Ok(()) };
        let kept = Kept::of(common, suite);
        let taken = match std::mem::replace(self, Self::Lost) {
            Self::Server(machine) => Traffic::of_server(*machine, suite, payload_max),
            Self::Client(machine) => Traffic::of_client(*machine, suite, payload_max),
            Self::Own(_) | Self::Lost => return Err(lost()),
        };
        let traffic =
            taken.map_err(|error| Error::internal("rustls kept its keys", Some(error)))?;
        *self = Self::Own(Box::new(Own { traffic, kept }));
        Ok(())
    }
}

fn lost() -> Error {
    Error::internal("the session was lost", None)
}
