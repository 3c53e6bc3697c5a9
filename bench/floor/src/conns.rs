//! The connections, by descriptor: the kernel hands out the lowest that is free.
//!
//! Never: keeps a buffer for a connection that has nothing pending.

use crate::rest::Rest;
use std::os::fd::{AsRawFd, OwnedFd};

/// What there is to know of a connection.
#[derive(Debug)]
pub(crate) struct Conn {
    pub(crate) fd: OwnedFd,
    /// What epoll has told, and reading has not yet used up; for `edge`.
    pub(crate) ready: u32,
    /// When something was read last, in milliseconds; for `edge`.
    pub(crate) heard: u64,
    pub(crate) rest: Option<Box<Rest>>,
}

#[derive(Debug, Default)]
pub(crate) struct Conns {
    by_fd: Vec<Option<Conn>>,
}

impl Conns {
    /// Gives what its events are to carry.
    pub(crate) fn insert(&mut self, fd: OwnedFd, now: u64) -> (&Conn, u64) {
        let at = usize::try_from(fd.as_raw_fd()).expect("descriptors are not negative");
        if at >= self.by_fd.len() {
            self.by_fd.resize_with(at + 1, || None);
        }
        let conn = Conn { fd, ready: 0, heard: now, rest: None };
        (self.by_fd[at].insert(conn), at as u64)
    }

    /// None when it was closed since the kernel told of it.
    #[expect(clippy::cast_possible_truncation, reason = "a descriptor is an int")]
    pub(crate) fn of(&mut self, data: u64) -> Option<&mut Conn> {
        self.by_fd.get_mut(data as usize)?.as_mut()
    }

    #[expect(clippy::cast_possible_truncation, reason = "a descriptor is an int")]
    pub(crate) fn close(&mut self, data: u64) {
        self.by_fd[data as usize] = None;
    }

    /// Closes those that have been silent since then.
    pub(crate) fn sweep(&mut self, since: u64) {
        for place in &mut self.by_fd {
            if place.as_ref().is_some_and(|conn| conn.heard < since) {
                *place = None;
            }
        }
    }
}
