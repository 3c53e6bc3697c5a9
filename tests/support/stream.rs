//! The transport of a client: a socket, or a peer in the simulation.
//!
//! Never: waits longer than it was told to.

use crate::{PATIENCE, lab};
use std::io::{self, Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

/// The transport of a client; reads and writes block.
#[derive(Debug)]
pub(crate) enum Stream {
    Tcp(TcpStream),
    Sim(SimStream),
}

/// A peer in the simulation of the thread that has made it.
#[derive(Debug)]
pub(crate) struct SimStream {
    number: usize,
    patience: Duration,
}

impl Stream {
    /// Connects in the simulation.
    pub(crate) fn dial(to: SocketAddr, window: Option<usize>) -> io::Result<Self> {
        Self::dialled(lab::dial(to, window))
    }

    /// Connects in the simulation, from this address.
    pub(crate) fn dial_from(to: SocketAddr, from: IpAddr) -> io::Result<Self> {
        Self::dialled(lab::dial_from(to, from))
    }

    fn dialled(number: usize) -> io::Result<Self> {
        let stream = SimStream { number, patience: PATIENCE };
        let outcome = |peer: &shardpoll_reactor::SimPeer| {
            let refused = io::ErrorKind::ConnectionRefused;
            let failed = peer.is_reset().then(|| Err(refused.into()));
            failed.or_else(|| peer.is_connected().then_some(Ok(())))
        };
        let stands: io::Result<()> = lab::wait_for(|| lab::peer(stream.number, outcome))
            .unwrap_or_else(|()| Err(io::ErrorKind::TimedOut.into()));
        stands.map(|()| Self::Sim(stream))
    }

    /// The socket.
    ///
    /// # Panics
    /// In the simulation, which has none.
    pub(crate) fn tcp(&self) -> &TcpStream {
        match self {
            Self::Tcp(stream) => stream,
            Self::Sim(_) => panic!("the simulation has no sockets"),
        }
    }

    pub(crate) fn local_addr(&self) -> SocketAddr {
        match self {
            Self::Tcp(stream) => stream.local_addr().expect("connected"),
            Self::Sim(stream) => lab::peer(stream.number, |peer| peer.addr()),
        }
    }

    /// How long a read may wait from now on.
    pub(crate) fn set_patience(&mut self, patience: Duration) {
        match self {
            Self::Tcp(stream) => stream.set_read_timeout(Some(patience)).expect("more than zero"),
            Self::Sim(stream) => stream.patience = patience,
        }
    }

    /// Ends our side.
    pub(crate) fn finish(&self) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.shutdown(Shutdown::Write),
            Self::Sim(stream) => lab::peer(stream.number, |peer| {
                let gone = peer.is_reset();
                peer.shutdown();
                if gone { Err(io::ErrorKind::NotConnected.into()) } else { Ok(()) }
            }),
        }
    }
}

impl SimStream {
    pub(crate) fn reset(&self) {
        lab::peer(self.number, |peer| peer.reset());
    }

    fn try_read(&self, buffer: &mut [u8]) -> Option<io::Result<usize>> {
        lab::peer(self.number, |peer| {
            let got = peer.recv(buffer.len());
            buffer[..got.len()].copy_from_slice(&got);
            if !got.is_empty() || buffer.is_empty() || peer.is_at_end() {
                return Some(Ok(got.len()));
            }
            peer.is_reset().then(|| Err(io::ErrorKind::ConnectionReset.into()))
        })
    }

    fn try_write(&self, data: &[u8]) -> Option<io::Result<usize>> {
        lab::peer(self.number, |peer| {
            if peer.is_reset() || peer.has_ended() {
                return Some(Err(io::ErrorKind::BrokenPipe.into()));
            }
            Some(peer.send(data)).filter(|&sent| sent > 0 || data.is_empty()).map(Ok)
        })
    }
}

impl Drop for SimStream {
    fn drop(&mut self) {
        lab::hang_up(self.number);
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let stream = match self {
            Self::Tcp(stream) => return stream.read(buffer),
            Self::Sim(stream) => stream,
        };
        let begun = lab::now();
        loop {
            if let Some(result) = stream.try_read(buffer) {
                return result;
            }
            if lab::has_passed(begun, stream.patience) {
                // As a socket says it that has a timeout.
                return Err(io::ErrorKind::WouldBlock.into());
            }
            lab::step();
        }
    }
}

impl Write for Stream {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.write(data),
            Self::Sim(stream) => lab::wait_for(|| stream.try_write(data))
                .unwrap_or_else(|()| Err(io::ErrorKind::WouldBlock.into())),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
