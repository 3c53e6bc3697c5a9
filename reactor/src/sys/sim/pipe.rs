//! Pipes between the streams of a simulated process.
//!
//! Never: holds more than a pipe does; is watched.

use super::SimFd;
use super::calls::errno;
use super::faults::Fault;
use super::net::Net;
use std::collections::VecDeque;
use std::io;

/// What a pipe holds at the most.
const PIPE_BYTES: usize = 64 * 1024;

/// A pipe of a [`Sim`](crate::Sim).
#[derive(Debug)]
pub struct SimPipe {
    _ends: [SimFd; 2],
    bytes: VecDeque<u8>,
}

impl SimPipe {
    pub(super) fn new(ends: [SimFd; 2]) -> Self {
        Self { _ends: ends, bytes: VecDeque::new() }
    }

    pub(super) fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.bytes.is_empty() {
            return errno(libc::EAGAIN);
        }
        let count = buffer.len().min(self.bytes.len());
        for (to, byte) in buffer.iter_mut().zip(self.bytes.drain(..count)) {
            *to = byte;
        }
        Ok(count)
    }
}

impl Net {
    /// The numbers of both ends.
    pub(super) fn pipe(&mut self) -> io::Result<(usize, usize)> {
        if self.dice.strikes(Fault::SpliceRefused) {
            return errno(libc::EMFILE);
        }
        let first = self.reserve()?;
        match self.reserve() {
            Ok(second) => Ok((first, second)),
            Err(error) => {
                self.files.remove(first);
                Err(error)
            }
        }
    }

    /// A `recv` that may stop early without a reason that an edge would tell of.
    pub(super) fn splice_in(
        &mut self,
        pipe: &mut SimPipe,
        from: usize,
        most: usize,
    ) -> io::Result<usize> {
        if self.dice.strikes(Fault::SpliceRefused) {
            return errno(libc::EINVAL);
        }
        let mut room = most.min(PIPE_BYTES - pipe.bytes.len());
        if room == 0 {
            return errno(libc::EAGAIN);
        }
        if room > 1 && self.dice.strikes(Fault::ShortRead) {
            room = self.piece(room);
        }
        let mut bytes = vec![0; room];
        let count = self.recv(from, &mut bytes)?;
        pipe.bytes.extend(&bytes[..count]);
        Ok(count)
    }

    pub(super) fn splice_out(
        &mut self,
        pipe: &mut SimPipe,
        to: usize,
        count: usize,
    ) -> io::Result<usize> {
        let count = count.min(pipe.bytes.len());
        let bytes: Vec<u8> = pipe.bytes.range(..count).copied().collect();
        let taken = self.send(to, &bytes)?;
        pipe.bytes.drain(..taken);
        Ok(taken)
    }
}
