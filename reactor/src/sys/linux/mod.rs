//! Linux: epoll, and the streams on it. With the rest of this folder the only `unsafe` there is.
//!
//! Never: keeps state about a connection; the kernel's answers go up as they are.
//!
//! Invariants:
//! 1. Each `unsafe` block is one system call; its pointers come from live Rust values that outlive
//!    it.
//! 2. Every descriptor made here is close-on-exec, and owned by an `OwnedFd` or `File` at once.

mod address;
mod call;
mod cpu;
mod limits;
mod option;
mod pass;
mod signals;
mod socket;
mod splice;
mod steer;
mod time;
mod unix;
mod wall;

pub use cpu::prefer_cpu;
pub use limits::raise_descriptor_limit;
pub use pass::{
    MAX_PASSED, pass_descriptors, receive_descriptors, same_user, send_descriptors,
    take_passed_descriptors,
};
pub(crate) use signals::take_signal;
pub use signals::{Signal, Signals};
pub use socket::{bind_group, is_group_member, share_listener};
pub use splice::Pipe;
pub use steer::steer;
pub use time::monotonic_now;
pub use unix::{SocketFile, bind_unix};

use super::{Events, Interest, MAX_EVENTS, Sys, WAKE_KEY, Wake};
use crate::api::{Addr, SocketOption, WatchInterest};
use address::RawAddr;
use libc::{EPOLLET, EPOLLIN, EPOLLOUT, EPOLLPRI, EPOLLRDHUP, c_int};
use shardpoll_timers::Tick;
use std::fs::File;
use std::io::{self, Write};
use std::net::IpAddr;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd};
use std::ptr;
use std::sync::Arc;
use std::time::SystemTime;

/// For system calls that could name a peer: none.
const NO_ADDR: *const libc::sockaddr = ptr::null();

/// For waits that could change the signals that are blocked: they do not.
const NO_MASK: usize = 0;

/// The kernel, for one loop: an epoll descriptor and an eventfd that wakes it.
#[derive(Debug)]
pub struct Linux {
    epoll: OwnedFd,
    wake: Arc<File>,
    /// Set when the kernel has no `epoll_pwait2` (before 5.11): milliseconds then.
    only_millis: bool,
    wait_began: Option<Tick>,
    interrupted: bool,
    /// Where the kernel writes whom it has accepted.
    peer: RawAddr,
}

/// Ends the wait of one loop from any thread.
#[derive(Clone, Debug)]
pub struct Waker {
    wake: Arc<File>,
}

impl Wake for Waker {
    /// A single write(2).
    fn wake(&self) {
        // Fails only when the counter is full: then 2^64 wake-ups are pending already.
        let _full = (&*self.wake).write(&1_u64.to_ne_bytes());
    }
}

/// "Negative means errno", in one place.
#[inline]
fn check<T>(result: T) -> io::Result<usize>
where
    usize: TryFrom<T>,
{
    usize::try_from(result).map_err(|_| io::Error::last_os_error())
}

/// The same of a call whose errno comes as it is.
#[inline(always)]
fn or_error(result: i64) -> io::Result<usize> {
    usize::try_from(result).map_err(|_| errno(result))
}

#[cold]
fn errno(result: i64) -> io::Error {
    io::Error::from_raw_os_error(c_int::try_from(-result).unwrap_or(libc::EIO))
}

#[inline]
fn check_int(result: c_int) -> io::Result<c_int> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// Owns a descriptor that a system call has just returned.
fn own(result: c_int) -> io::Result<OwnedFd> {
    own_new(i64::from(check_int(result)?))
}

/// The same of a call whose errno comes as it is.
#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "the kernel's descriptors are ints")]
fn own_new(result: i64) -> io::Result<OwnedFd> {
    let fd = or_error(result)?;
    // SAFETY: the kernel has just made `fd` for us, and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as c_int) })
}

fn new_epoll() -> io::Result<OwnedFd> {
    // SAFETY: takes no pointer.
    own(unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) })
}

impl Linux {
    /// Opens an epoll descriptor and its waker.
    ///
    /// # Errors
    /// The kernel's, such as running out of descriptors.
    pub fn new() -> io::Result<Self> {
        let epoll = new_epoll()?;
        // SAFETY: takes no pointer.
        let wake = own(unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) })?;
        // The system call takes a time of 64 bits, which there is not on 32.
        let only_millis = cfg!(target_pointer_width = "32");
        let wake = Arc::new(File::from(wake));
        let (wait_began, interrupted, peer) = (None, false, RawAddr::empty());
        let linux = Self { epoll, wake, only_millis, wait_began, interrupted, peer };
        linux.register_wake()?;
        Ok(linux)
    }

    fn register_wake(&self) -> io::Result<()> {
        // Edge-triggered, so that nobody has to read it: each write is an edge.
        self.control(libc::EPOLL_CTL_ADD, &*self.wake, EPOLLIN | EPOLLET, WAKE_KEY)
    }

    #[inline]
    fn control(&self, verb: c_int, fd: &impl AsRawFd, mask: c_int, key: u64) -> io::Result<()> {
        let event = libc::epoll_event { events: mask as u32, u64: key };
        let [epoll, verb, fd] = [self.epoll.as_raw_fd(), verb, fd.as_raw_fd()].map(word);
        let event = ptr::from_ref(&event).expose_provenance();
        // SAFETY: `event` lives through the call, which copies it.
        or_error(unsafe { call::four(libc::SYS_epoll_ctl, [epoll, verb, fd, event]) }).map(drop)
    }

    /// Waits for this many nanoseconds, `None` for ever; gives the number of events.
    #[inline(always)]
    fn wait_raw(&mut self, events: &mut Events, nanos: Option<u64>) -> io::Result<usize> {
        let (epoll, raw) = (word(self.epoll.as_raw_fd()), events.raw.as_mut_ptr());
        let raw = raw.expose_provenance();
        if !self.only_millis {
            let time = nanos.map(time::timespec);
            let time_ptr = time.as_ref().map_or(ptr::null(), ptr::from_ref);
            let arguments = [epoll, raw, MAX_EVENTS, time_ptr.expose_provenance(), NO_MASK, 0];
            // SAFETY: `raw` has room for the number of events named, `time` is null or lives
            // through the call, and a null signal mask needs no size.
            match or_error(unsafe { call::six(libc::SYS_epoll_pwait2, arguments) }) {
                // Old kernels do not know it, and old sandboxes do not allow it.
                Err(error) if matches!(error.raw_os_error(), Some(libc::ENOSYS | libc::EPERM)) => {
                    self.only_millis = true;
                }
                other => return other,
            }
        }
        let millis = nanos.map_or(usize::MAX, time::millis);
        let arguments = [epoll, raw, MAX_EVENTS, millis, NO_MASK, 0];
        // SAFETY: `raw` has room for the number of events named, and no signal mask is given.
        or_error(unsafe { call::six(libc::SYS_epoll_pwait, arguments) })
    }
}

/// An argument of a system call.
#[inline(always)]
fn word(number: c_int) -> usize {
    number as usize
}

fn mask(interest: Interest) -> c_int {
    match interest {
        Interest::Stream => EPOLLIN | EPOLLOUT | EPOLLPRI | EPOLLRDHUP | EPOLLET,
        Interest::Accept => EPOLLIN,
        Interest::Muted => 0,
    }
}

/// A hang-up and an error are always reported; the peer's end is input (S3).
fn watch_mask(interest: WatchInterest) -> c_int {
    let input = if interest.readable { EPOLLIN | EPOLLRDHUP } else { 0 };
    let output = if interest.writable { EPOLLOUT } else { 0 };
    input | output
}

impl Sys for Linux {
    type Fd = OwnedFd;
    type Waker = Waker;
    type Pipe = Pipe;

    fn waker(&self) -> Waker {
        Waker { wake: Arc::clone(&self.wake) }
    }

    fn now(&mut self) -> Tick {
        monotonic_now()
    }

    fn renew(&mut self) -> io::Result<()> {
        self.epoll = new_epoll()?;
        self.register_wake()
    }

    #[inline]
    fn wait(&mut self, events: &mut Events, until: Tick) -> io::Result<()> {
        self.interrupted = false;
        let nanos = match until {
            Tick::ZERO => {
                self.wait_began = None;
                Some(0)
            }
            until => {
                let now = self.now();
                self.wait_began = Some(now);
                let rest = until.as_nanos().saturating_sub(now.as_nanos());
                (until != Tick::MAX).then_some(rest)
            }
        };
        let waited = self.wait_raw(events, nanos);
        events.len = *waited.as_ref().unwrap_or(&0);
        match waited {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => self.interrupted = true,
            other => drop(other?),
        }
        Ok(())
    }

    fn wait_began(&self) -> Option<Tick> {
        self.wait_began
    }

    fn was_interrupted(&self) -> bool {
        self.interrupted
    }

    fn wall_time(at: Tick) -> SystemTime {
        wall::wall_time(monotonic_now(), at)
    }

    fn reserve(&mut self) -> io::Result<OwnedFd> {
        self.epoll.try_clone()
    }

    #[inline]
    fn register(&mut self, fd: &OwnedFd, interest: Interest, key: u64) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_ADD, fd, mask(interest), key)
    }

    fn deregister(&mut self, fd: &OwnedFd) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_DEL, fd, 0, WAKE_KEY)
    }

    fn reregister(&mut self, fd: &OwnedFd, interest: Interest, key: u64) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_MOD, fd, mask(interest), key)
    }

    fn watch(&mut self, fd: BorrowedFd<'_>, interest: WatchInterest, key: u64) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_ADD, &fd, watch_mask(interest), key)
    }

    fn rewatch(&mut self, fd: BorrowedFd<'_>, interest: WatchInterest, key: u64) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_MOD, &fd, watch_mask(interest), key)
    }

    fn unwatch(&mut self, fd: BorrowedFd<'_>) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_DEL, &fd, 0, WAKE_KEY)
    }

    #[inline(always)]
    fn accept(&mut self, listener: &OwnedFd) -> io::Result<(OwnedFd, Addr)> {
        socket::accept_from(listener, &mut self.peer)
    }

    fn refuse_handshakes(&mut self, listener: &OwnedFd) -> io::Result<()> {
        steer::refuse_handshakes(listener)
    }

    fn allow_handshakes(&mut self, fd: &OwnedFd) -> io::Result<()> {
        steer::allow_handshakes(fd)
    }

    fn handshakes_pending(&mut self, listener: &OwnedFd) -> io::Result<bool> {
        steer::handshakes_pending(listener)
    }

    fn connect(
        &mut self,
        to: &Addr,
        from: Option<IpAddr>,
        first: Option<&[u8]>,
    ) -> io::Result<(OwnedFd, usize)> {
        socket::connect(to, from, first)
    }

    fn adopt(&mut self, stream: OwnedFd) -> io::Result<OwnedFd> {
        socket::adopt(stream)
    }

    fn local_addr(&mut self, fd: &OwnedFd) -> io::Result<Addr> {
        address::local_addr(fd)
    }

    fn peer_addr(&mut self, fd: &OwnedFd) -> io::Result<Addr> {
        address::peer_addr(fd)
    }

    fn set_option(&mut self, fd: &OwnedFd, option: SocketOption) -> io::Result<()> {
        option::set_option(fd, option)
    }

    fn connected(&mut self, fd: &OwnedFd) -> io::Result<()> {
        socket::connected(fd)
    }

    #[inline]
    fn close(&mut self, fd: OwnedFd) {
        let arguments = [word(fd.into_raw_fd()), 0, 0, 0];
        // What it says is of no use: the descriptor is gone all the same (close(2)).
        // SAFETY: takes no pointer; `fd` was owned, and is nobody's now.
        let _gone = unsafe { call::four(libc::SYS_close, arguments) };
    }

    #[inline(always)]
    fn recv(&mut self, fd: &OwnedFd, buffer: &mut [u8]) -> io::Result<usize> {
        // SAFETY: `buffer` may be written for its whole length.
        or_error(unsafe { call::recv(fd.as_raw_fd(), buffer.as_mut_ptr(), buffer.len()) })
    }

    #[inline(always)]
    fn send(&mut self, fd: &OwnedFd, bytes: &[u8]) -> io::Result<usize> {
        // SAFETY: `bytes` may be read for its whole length.
        or_error(unsafe { call::send(fd.as_raw_fd(), bytes.as_ptr(), bytes.len()) })
    }

    fn send_last(&mut self, fd: &OwnedFd, bytes: &[u8]) -> io::Result<usize> {
        // The kernel holds it back for 200 ms at most (tcp(7)), should no shutdown follow.
        let (from, flags) = (bytes.as_ptr().cast(), libc::MSG_NOSIGNAL | libc::MSG_MORE);
        // SAFETY: `bytes` may be read for its whole length.
        check(unsafe { libc::send(fd.as_raw_fd(), from, bytes.len(), flags) })
    }

    fn at_end(&mut self, fd: &OwnedFd) -> io::Result<bool> {
        socket::at_end(fd)
    }

    fn pipe(&mut self) -> io::Result<Pipe> {
        splice::pipe()
    }

    fn splice_in(&mut self, pipe: &mut Pipe, from: &OwnedFd, most: usize) -> io::Result<usize> {
        splice::splice_in(pipe, from, most)
    }

    fn splice_out(&mut self, pipe: &mut Pipe, to: &OwnedFd, count: usize) -> io::Result<usize> {
        splice::splice_out(pipe, to, count)
    }

    fn read_pipe(&mut self, pipe: &mut Pipe, buffer: &mut [u8]) -> io::Result<usize> {
        splice::read_pipe(pipe, buffer)
    }

    fn shutdown(&mut self, fd: &OwnedFd) -> io::Result<()> {
        // SAFETY: takes no pointer.
        check_int(unsafe { libc::shutdown(fd.as_raw_fd(), libc::SHUT_WR) }).map(drop)
    }
}
