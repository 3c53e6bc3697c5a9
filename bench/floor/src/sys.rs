//! The system calls, each as thin as its C wrapper; what they borrow outlives the call.
//!
//! Never: allocates, or tries again.

use libc::{c_int, epoll_event};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::ptr::null_mut;

/// Room for what one wait brings.
const EVENTS: usize = 512;

/// The same, as the kernel is told.
const ROOM: c_int = 512;

/// The length of an `int`, as socket options take it.
const INT: libc::socklen_t = 4;

/// Where a wait puts what is ready.
pub(crate) type Events = [epoll_event; EVENTS];

pub(crate) fn no_events() -> Events {
    [epoll_event { events: 0, u64: 0 }; EVENTS]
}

fn check(result: c_int) -> io::Result<c_int> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// What a `recv` or a `send` has done.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Moved {
    Bytes(usize),
    /// Nothing is there, or there is no room.
    Blocked,
    /// The connection is of no more use.
    Broken,
}

fn moved(result: isize) -> Moved {
    match usize::try_from(result) {
        Ok(count) => Moved::Bytes(count),
        Err(_) if io::Error::last_os_error().kind() == io::ErrorKind::WouldBlock => Moved::Blocked,
        Err(_) => Moved::Broken,
    }
}

/// epoll(7).
#[derive(Debug)]
pub(crate) struct Epoll {
    fd: OwnedFd,
}

impl Epoll {
    pub(crate) fn new() -> io::Result<Self> {
        // SAFETY: it takes no pointers.
        let fd = check(unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) })?;
        // SAFETY: the kernel has just given it to us, and to nobody else.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        Ok(Self { fd })
    }

    fn control(&self, what: c_int, fd: RawFd, interest: c_int, data: u64) -> io::Result<()> {
        let mut event = epoll_event { events: interest.cast_unsigned(), u64: data };
        // SAFETY: `event` lives through the call; the kernel checks the descriptors.
        check(unsafe { libc::epoll_ctl(self.fd.as_raw_fd(), what, fd, &raw mut event) })?;
        Ok(())
    }

    pub(crate) fn add(&self, fd: BorrowedFd<'_>, interest: c_int, data: u64) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_ADD, fd.as_raw_fd(), interest, data)
    }

    pub(crate) fn change(&self, fd: BorrowedFd<'_>, interest: c_int, data: u64) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_MOD, fd.as_raw_fd(), interest, data)
    }

    /// How many are ready; 0 also when a signal came. Milliseconds; -1 waits without end.
    pub(crate) fn wait(&self, events: &mut Events, timeout: c_int) -> io::Result<usize> {
        let (first, room) = (events.as_mut_ptr(), ROOM);
        // SAFETY: `first` is the beginning of `room` events that are borrowed for the call.
        let count = unsafe { libc::epoll_wait(self.fd.as_raw_fd(), first, room, timeout) };
        match usize::try_from(count) {
            Ok(count) => Ok(count),
            Err(_) => match io::Error::last_os_error() {
                error if error.kind() == io::ErrorKind::Interrupted => Ok(0),
                error => Err(error),
            },
        }
    }
}

pub(crate) fn recv(fd: BorrowedFd<'_>, buffer: &mut [u8]) -> Moved {
    let (first, room) = (buffer.as_mut_ptr().cast(), buffer.len());
    // SAFETY: `first` is the beginning of `room` bytes that are borrowed for the call.
    moved(unsafe { libc::recv(fd.as_raw_fd(), first, room, 0) })
}

pub(crate) fn send(fd: BorrowedFd<'_>, bytes: &[u8]) -> Moved {
    let (first, len) = (bytes.as_ptr().cast(), bytes.len());
    // SAFETY: `first` is the beginning of `len` bytes that are borrowed for the call.
    moved(unsafe { libc::send(fd.as_raw_fd(), first, len, libc::MSG_NOSIGNAL) })
}

/// The next connection, with TCP_NODELAY; none when there is none, or it has gone already.
pub(crate) fn accept(listener: BorrowedFd<'_>) -> Option<OwnedFd> {
    let flags = libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
    // SAFETY: no address is asked for, so nothing is written.
    let fd = unsafe { libc::accept4(listener.as_raw_fd(), null_mut(), null_mut(), flags) };
    if fd < 0 {
        return None;
    }
    // SAFETY: the kernel has just given it to us, and to nobody else.
    let fd = unsafe { OwnedFd::from_raw_fd(fd) };
    let one: c_int = 1;
    let (level, option) = (libc::IPPROTO_TCP, libc::TCP_NODELAY);
    // SAFETY: `one` lives through the call and is as long as `INT` says.
    unsafe { libc::setsockopt(fd.as_raw_fd(), level, option, (&raw const one).cast(), INT) };
    Some(fd)
}

/// Milliseconds of the monotonic clock, as of its last tick: a few nanoseconds to read.
pub(crate) fn now() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is borrowed for the call, and may be written.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC_COARSE, &raw mut time) };
    time.tv_sec.cast_unsigned() * 1000 + time.tv_nsec.cast_unsigned() / 1_000_000
}
