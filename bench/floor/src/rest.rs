//! What a `send` did not take, until the kernel has room for it.
//!
//! Never: grows; who has something pending does not read.

use crate::sys::{self, Moved};
use std::os::fd::BorrowedFd;

#[derive(Debug)]
pub(crate) struct Rest {
    bytes: Box<[u8]>,
    sent: usize,
}

/// How sending has ended.
#[derive(Debug)]
pub(crate) enum Sent {
    All,
    Some(Box<Rest>),
    Broken,
}

/// Sends what the kernel takes, and keeps the rest.
pub(crate) fn send(fd: BorrowedFd<'_>, bytes: &[u8]) -> Sent {
    match sys::send(fd, bytes) {
        Moved::Bytes(count) if count == bytes.len() => Sent::All,
        Moved::Bytes(count) => keep(&bytes[count..]),
        Moved::Blocked => keep(bytes),
        Moved::Broken => Sent::Broken,
    }
}

#[cold]
fn keep(bytes: &[u8]) -> Sent {
    Sent::Some(Box::new(Rest { bytes: bytes.into(), sent: 0 }))
}

impl Rest {
    /// Sends on.
    pub(crate) fn flush(mut self: Box<Self>, fd: BorrowedFd<'_>) -> Sent {
        match sys::send(fd, &self.bytes[self.sent..]) {
            Moved::Bytes(count) => {
                self.sent += count;
                if self.sent == self.bytes.len() { Sent::All } else { Sent::Some(self) }
            }
            Moved::Blocked => Sent::Some(self),
            Moved::Broken => Sent::Broken,
        }
    }
}
