//! The kernel as the loop sees it: the verbs it asks for, and what comes back.
//!
//! ```text
//!   mod    trait Sys: what a loop asks of the world
//!   linux/ epoll and sockets: the only folder with `unsafe`
//!   sim/   a simulated network with a clock of its own (feature `sim`)
//! ```
//!
//! Never: calls the loop; knows what a connection is.
//!
//! Invariants:
//! 1. No verb blocks but `wait`.
//! 2. A stream is registered once, edge-triggered, and never touched again, but for the key of one
//!    that has won a race of attempts, and until it moves to another loop; a listener is
//!    level-triggered and may be muted; so is a watched descriptor, which stays its owner's.

#[expect(unsafe_code, reason = "system calls")]
mod linux;
#[cfg(feature = "sim")]
mod sim;

pub(crate) use linux::take_signal;
pub use linux::{
    Linux, MAX_PASSED, Pipe, Signal, Signals, SocketFile, Waker, bind_group, bind_unix,
    is_group_member, monotonic_now, pass_descriptors, prefer_cpu, raise_descriptor_limit,
    receive_descriptors, same_user, send_descriptors, share_listener, steer,
    take_passed_descriptors,
};
#[cfg(feature = "sim")]
pub use sim::{Counts, Fault, Faults, Sim, SimFd, SimPeer, SimPipe, SimWaker};

use crate::api::{Addr, SocketOption, WatchInterest};
use crate::conn::Ready;
use shardpoll_timers::Tick;
use std::io;
use std::net::IpAddr;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::time::SystemTime;

/// The most events one wait gives: enough to spread its cost, few enough that timers and the
/// agenda, which run between two waits, are not kept waiting long.
pub(crate) const MAX_EVENTS: usize = 256;

/// The key of the waker, which names no connection.
pub(crate) const WAKE_KEY: u64 = 0;

/// What a descriptor is registered for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Interest {
    /// Everything a stream can say, edge-triggered.
    Stream,
    /// Connections to accept, level-triggered.
    Accept,
    /// Nothing for now.
    Muted,
}

/// A batch of events, as the kernel writes it; decoded one by one when their turn comes.
#[derive(Debug)]
pub struct Events {
    raw: [libc::epoll_event; MAX_EVENTS],
    len: usize,
}

impl Default for Events {
    fn default() -> Self {
        Self { raw: [libc::epoll_event { events: 0, u64: 0 }; MAX_EVENTS], len: 0 }
    }
}

/// One event: what became ready, and the key it was registered with.
#[derive(Clone, Copy, Debug)]
pub struct Event {
    pub(crate) key: u64,
    pub(crate) ready: Ready,
}

impl Events {
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Whether more may wait in the kernel.
    pub(crate) fn is_full(&self) -> bool {
        self.len == self.raw.len()
    }

    #[cfg(feature = "sim")]
    fn clear(&mut self) {
        self.len = 0;
    }

    /// Adds an event as the kernel would write it; more than [`MAX_EVENTS`] do not fit.
    #[cfg(feature = "sim")]
    fn push(&mut self, key: u64, mask: libc::c_int) {
        self.raw[self.len] = libc::epoll_event { events: mask as u32, u64: key };
        self.len += 1;
    }

    /// The events, as the kernel writes them.
    #[inline]
    pub(crate) fn raw(&self) -> &[libc::epoll_event] {
        &self.raw[..self.len]
    }
}

// The bits of both are the same, so that most events are only taken over.
const _: () = assert!(Ready::READABLE.bits() as libc::c_int == libc::EPOLLIN);
const _: () = assert!(Ready::WRITABLE.bits() as libc::c_int == libc::EPOLLOUT);

impl Event {
    /// What the kernel has written.
    #[inline(always)]
    pub(crate) fn of(raw: &libc::epoll_event) -> Self {
        let (key, events) = (raw.u64, raw.events);
        const BOTH: u8 = Ready::READABLE.bits() | Ready::WRITABLE.bits();
        let ready = Ready::from_bits(events.to_le_bytes()[0] & BOTH);
        let only_both = events & !u32::from(BOTH) == 0;
        Self { key, ready: if only_both { ready } else { with_end(events as libc::c_int, ready) } }
    }
}

#[cold]
fn with_end(events: libc::c_int, mut ready: Ready) -> Ready {
    // Urgent data ends a read early as well, and no event comes for what lies behind it.
    let ends = libc::EPOLLRDHUP | libc::EPOLLHUP | libc::EPOLLERR | libc::EPOLLPRI;
    if events & ends != 0 {
        ready.add(Ready::READABLE);
        ready.add(Ready::ENDED);
        if events & (libc::EPOLLHUP | libc::EPOLLERR) != 0 {
            ready.add(Ready::WRITABLE);
        }
    }
    ready
}

/// Ends the wait of one loop from outside.
pub trait Wake: Clone + 'static {
    /// Makes the loop's wait, or its next one, return at once.
    fn wake(&self);
}

/// What a loop asks of the world. All verbs return at once but [`wait`](Sys::wait).
///
/// The loop is generic over this, so that the very same loop runs on Linux and on a simulation.
pub trait Sys: 'static {
    /// A descriptor; dropping it closes it.
    type Fd: 'static;

    /// What ends a wait from outside.
    type Waker: Wake;

    /// What bytes go through from one stream to another without being copied here.
    type Pipe: 'static;

    /// A handle that ends this loop's wait.
    fn waker(&self) -> Self::Waker;

    /// Nanoseconds of a clock that never goes back.
    fn now(&mut self) -> Tick;

    /// What the calendar says at this time of the clock (S23).
    fn wall_time(at: Tick) -> SystemTime
    where
        Self: Sized;

    /// Begins anew, as if nothing had been registered yet; wakers stay good.
    ///
    /// # Errors
    /// The kernel's, when there is no new poller to be had.
    fn renew(&mut self) -> io::Result<()>;

    /// Waits for events until the given time ([`Tick::MAX`]: for ever; one that has passed: not at
    /// all).
    ///
    /// # Errors
    /// Only what makes a further wait pointless; an interrupted wait gives no events.
    fn wait(&mut self, events: &mut Events, until: Tick) -> io::Result<()>;

    /// When the last wait began, if it had to know: the end of the turn before.
    fn wait_began(&self) -> Option<Tick> {
        None
    }

    /// Whether a signal handler ended the last wait.
    fn was_interrupted(&self) -> bool {
        false
    }

    /// Opens a descriptor that is good for nothing but its number.
    ///
    /// # Errors
    /// The kernel's, when there is none to be had.
    fn reserve(&mut self) -> io::Result<Self::Fd>;

    /// Begins to report events of `fd` under `key`.
    ///
    /// # Errors
    /// The kernel's, such as its limit of watches.
    fn register(&mut self, fd: &Self::Fd, interest: Interest, key: u64) -> io::Result<()>;

    /// Ends [`register`](Sys::register): nothing that happens from now on is reported, so that
    /// another loop can register the descriptor.
    ///
    /// # Errors
    /// The kernel's, such as that it was not registered.
    fn deregister(&mut self, fd: &Self::Fd) -> io::Result<()>;

    /// Changes what is reported of a descriptor, or under which key; what is ready is reported
    /// anew.
    ///
    /// # Errors
    /// The kernel's.
    fn reregister(&mut self, fd: &Self::Fd, interest: Interest, key: u64) -> io::Result<()>;

    /// Begins to report, level-triggered, what is ready of a descriptor that is not the loop's own.
    ///
    /// # Errors
    /// The kernel's: EPERM for what cannot be waited for, such as a regular file.
    fn watch(&mut self, fd: BorrowedFd<'_>, interest: WatchInterest, key: u64) -> io::Result<()>;

    /// Changes what is reported of a watched descriptor.
    ///
    /// # Errors
    /// The kernel's.
    fn rewatch(&mut self, fd: BorrowedFd<'_>, interest: WatchInterest, key: u64) -> io::Result<()>;

    /// Ends [`watch`](Sys::watch).
    ///
    /// # Errors
    /// The kernel's.
    fn unwatch(&mut self, fd: BorrowedFd<'_>) -> io::Result<()>;

    /// Takes one connection that waits at a listener.
    ///
    /// # Errors
    /// `WouldBlock` when none waits; else the kernel's.
    fn accept(&mut self, listener: &Self::Fd) -> io::Result<(Self::Fd, Addr)>;

    /// Lets no further handshake begin at a listener; those under way go on.
    ///
    /// A world in which a connection is there at once, or not at all, has none under way, and
    /// need not do anything.
    ///
    /// # Errors
    /// The kernel's, when it has no such thing.
    fn refuse_handshakes(&mut self, _listener: &Self::Fd) -> io::Result<()> {
        Ok(())
    }

    /// Frees a connection of what it has inherited from a listener that refuses.
    ///
    /// # Errors
    /// The kernel's.
    fn allow_handshakes(&mut self, _fd: &Self::Fd) -> io::Result<()> {
        Ok(())
    }

    /// Whether a handshake is under way at the address of a listener.
    ///
    /// # Errors
    /// The kernel's, when it does not tell.
    fn handshakes_pending(&mut self, _listener: &Self::Fd) -> io::Result<bool> {
        Ok(false)
    }

    /// Begins to connect, from this address of ours if one is named; the outcome comes as an event.
    /// `first` may go with the first packet (RFC 7413): gives how much of it does.
    ///
    /// # Errors
    /// What the kernel refuses at once.
    fn connect(
        &mut self,
        to: &Addr,
        from: Option<IpAddr>,
        first: Option<&[u8]>,
    ) -> io::Result<(Self::Fd, usize)>;

    /// Takes over a stream socket, which is non-blocking from then on.
    ///
    /// # Errors
    /// `InvalidInput` for what is no such thing; `Unsupported` where there are no such sockets;
    /// else the kernel's.
    fn adopt(&mut self, stream: OwnedFd) -> io::Result<Self::Fd>;

    /// The address of our end.
    ///
    /// # Errors
    /// The kernel's.
    fn local_addr(&mut self, fd: &Self::Fd) -> io::Result<Addr>;

    /// The address of the other end.
    ///
    /// # Errors
    /// The kernel's, such as that there is none.
    fn peer_addr(&mut self, fd: &Self::Fd) -> io::Result<Addr>;

    /// Sets an option of a stream.
    ///
    /// # Errors
    /// The kernel's; it names the option.
    fn set_option(&mut self, fd: &Self::Fd, option: SocketOption) -> io::Result<()>;

    /// Whether a connection begun by `connect` stands.
    ///
    /// # Errors
    /// `WouldBlock` while it is still pending; else why it failed.
    fn connected(&mut self, fd: &Self::Fd) -> io::Result<()>;

    /// Closes a descriptor, as to drop it does.
    #[inline]
    fn close(&mut self, fd: Self::Fd) {
        drop(fd);
    }

    /// Takes input; 0 is the end of it.
    ///
    /// # Errors
    /// `WouldBlock` when none is there; else the kernel's.
    fn recv(&mut self, fd: &Self::Fd, buffer: &mut [u8]) -> io::Result<usize>;

    /// Gives output; less than all of it means that more would block.
    ///
    /// # Errors
    /// `WouldBlock` when none can be taken; else the kernel's.
    fn send(&mut self, fd: &Self::Fd, bytes: &[u8]) -> io::Result<usize>;

    /// As [`send`](Self::send), of what [`shutdown`](Self::shutdown) follows at once: both may
    /// leave in one segment.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    fn send_last(&mut self, fd: &Self::Fd, bytes: &[u8]) -> io::Result<usize>;

    /// Opens a pipe, which is two descriptors; dropping it closes them.
    ///
    /// # Errors
    /// `Unsupported` when there shall be none here; else the kernel's, such as that there are no
    /// descriptors.
    fn pipe(&mut self) -> io::Result<Self::Pipe>;

    /// Moves input of a stream into an empty pipe; 0 is the end of input. Less than `most` says
    /// nothing about what is left: a pipe holds so many packets, whatever their size.
    ///
    /// # Errors
    /// `WouldBlock` when there is no input; `InvalidInput`, `Unsupported` or `PermissionDenied`
    /// when there is no such thing here; else those of [`recv`](Sys::recv).
    fn splice_in(
        &mut self,
        pipe: &mut Self::Pipe,
        from: &Self::Fd,
        most: usize,
    ) -> io::Result<usize>;

    /// Moves what is in a pipe, `count` bytes, to a stream; less than all of it means that more
    /// would block.
    ///
    /// # Errors
    /// As [`send`](Sys::send).
    fn splice_out(
        &mut self,
        pipe: &mut Self::Pipe,
        to: &Self::Fd,
        count: usize,
    ) -> io::Result<usize>;

    /// Takes what a stream has left in a pipe.
    ///
    /// # Errors
    /// The kernel's, such as that the pipe is empty.
    fn read_pipe(&mut self, pipe: &mut Self::Pipe, buffer: &mut [u8]) -> io::Result<usize>;

    /// Whether the end of input is what a read would find; takes nothing.
    ///
    /// # Errors
    /// What a read would give, but for `WouldBlock`.
    fn at_end(&mut self, fd: &Self::Fd) -> io::Result<bool>;

    /// Ends our side of a stream.
    ///
    /// # Errors
    /// The kernel's.
    fn shutdown(&mut self, fd: &Self::Fd) -> io::Result<()>;
}
