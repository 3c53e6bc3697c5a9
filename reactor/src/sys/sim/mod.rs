//! A simulated kernel and network: seeded, with a clock of its own and faults.
//!
//! ```text
//!   mod     Sim: the handle to a world, and its verbs as the loop names them
//!   calls   the system calls: what the kernel answers, and the faults of each
//!   fd      SimFd: a descriptor, closed when it is dropped
//!   files   descriptors, and what is watched of them
//!   net     connections, and what arrives on them
//!   flight  what is on its way
//!   listen  listening descriptors, alone and in groups
//!   tokens  watched descriptors, whose readiness a test decides
//!   pipe    what is on its way from one descriptor to another
//!   peer    SimPeer: the other side of a connection, in a test's hands
//!   waker   what ends a wait from outside
//!   faults  what goes wrong, how often, and the seeded generator
//! ```
//!
//! Edges are those of Linux: a registration goes on the ready list when something changes (input,
//! the peer's end, a reset, room after a send found none, our own shutdown, and registering
//! itself), and what is reported is all that is ready at the moment of the wait. So data and a FIN
//! that came before the wait are one event, and none comes after it.
//!
//! Never: reads a real clock, or opens a real descriptor or looks into one.
//!
//! Invariants:
//! 1. Time moves only in a wait that has nothing to report, by [`Sim::advance`], and by
//!    [`Fault::ClockStep`].
//! 2. Same seed, same calls, same answers.
//! 3. After every fault that takes readiness away from a ready descriptor an edge comes.

mod calls;
mod faults;
mod fd;
mod files;
mod flight;
mod listen;
mod net;
mod peer;
mod pipe;
#[cfg(test)]
mod tests;
mod tokens;
mod waker;

pub use faults::{Counts, Fault, Faults};
pub use fd::SimFd;
pub use peer::SimPeer;
pub use pipe::SimPipe;
pub use waker::SimWaker;

use super::{Events, Interest, Sys};
use crate::api::{Addr, SocketOption, WatchInterest};
use calls::errno;
use faults::Dice;
use net::{HOST, Net, Stage};
use shardpoll_timers::Tick;
use std::cell::RefCell;
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::rc::Rc;
use std::time::{Duration, SystemTime};

/// A simulated kernel and network; clones are handles to the same one.
///
/// [`Simulation`](crate::Simulation) has all of it ready for tests of handlers. Alone:
///
/// Give one handle to the [`Reactor`](crate::Reactor) and keep another to play the peers. Nothing
/// happens on a socket, and no time passes but the clock's own, so a test of hours runs in
/// microseconds, and every run with the same seed is the same.
///
/// ```
/// use shardpoll_reactor::{
///     Config, Faults, ListenerId, ListenerOptions, Place, Reactor, Sim, incoming,
/// };
/// use std::time::Duration;
///
/// let sim = Sim::new(7, Faults::none());
/// let mut reactor = Reactor::new(sim.clone(), Place::FIRST, Config::default())?;
/// let addr = ([10, 0, 0, 1], 5222).into();
/// let echo = |_: &shardpoll_reactor::Peer| -> Box<dyn shardpoll_reactor::Handler> {
///     Box::new(incoming(|conn, data| { conn.write(data); }))
/// };
/// let options = ListenerOptions::default();
/// reactor.add_listener(ListenerId::new(0), sim.listen(addr, 16)?, options, Box::new(echo))?;
///
/// let peer = sim.peer(addr);
/// let mut got = Vec::new();
/// while got != b"hello" {
///     if peer.is_connected() && peer.sent() == 0 {
///         peer.send(b"hello");
///     }
///     reactor.turn(Some(Duration::from_millis(1)))?;
///     got.extend(peer.recv(usize::MAX));
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Sim {
    net: Rc<RefCell<Net>>,
    /// The epoll of the loop that has this handle.
    poller: usize,
}

/// When the simulated calendar begins, in seconds since 1970.
const YEAR_2000: u64 = 946_684_800;

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

impl Sim {
    /// A world in which these faults happen.
    #[must_use]
    pub fn new(seed: u64, faults: Faults) -> Self {
        let net = Net::new(Dice::new(seed, faults));
        Self { net: Rc::new(RefCell::new(net)), poller: 0 }
    }

    /// A handle for one more loop in the same world, with events of its own.
    ///
    /// Clock and network are shared: a loop that waits makes time pass for the others, too.
    #[must_use]
    pub fn another_loop(&self) -> Self {
        let poller = self.net.borrow_mut().files.add_poller();
        Self { net: Rc::clone(&self.net), poller }
    }

    /// Begins to connect from outside; time must pass until the connection stands.
    #[must_use]
    pub fn peer(&self, to: SocketAddr) -> SimPeer {
        let end = self.net.borrow_mut().open(to, HOST, None, None);
        SimPeer::new(&self.net, end)
    }

    /// As [`peer`](Self::peer); no more than `window` bytes wait unread at the peer.
    #[must_use]
    pub fn peer_with_window(&self, to: SocketAddr, window: usize) -> SimPeer {
        let end = self.net.borrow_mut().open(to, HOST, None, Some(window));
        SimPeer::new(&self.net, end)
    }

    /// Moves the clock forward; what is due meanwhile arrives at the next wait.
    pub fn advance(&self, by: Duration) {
        let net = &mut *self.net.borrow_mut();
        net.now = net.now.saturating_add(nanos(by));
    }

    /// The clock, in nanoseconds.
    #[must_use]
    pub fn time(&self) -> Tick {
        Tick::from_nanos(self.net.borrow().now)
    }

    /// From now on, these faults happen.
    pub fn set_faults(&self, faults: Faults) {
        self.net.borrow_mut().dice.set_faults(faults);
    }

    /// How many descriptors may be open; more are EMFILE. Default: no limit.
    pub fn set_descriptor_limit(&self, limit: usize) {
        self.net.borrow_mut().files.limit = limit;
    }

    /// How many bytes may wait unread at an end made from now on; at least 1, default 64 KiB.
    pub fn set_window(&self, bytes: usize) {
        self.net.borrow_mut().window = bytes.max(1);
    }

    /// How long what is sent is on its way. Default 0.1 to 1 ms.
    pub fn set_latency(&self, least: Duration, most: Duration) {
        self.net.borrow_mut().latency = (nanos(least), nanos(most));
    }

    /// How often each kind of fault has happened.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.net.borrow().dice.counts
    }

    /// How many descriptors are open.
    #[must_use]
    pub fn open_descriptors(&self) -> usize {
        self.net.borrow().files.open()
    }

    /// When something happens next in the network; now, if something has happened that this loop
    /// was not told of, and `None` when nothing is on its way.
    #[must_use]
    pub fn next_event(&self) -> Option<Tick> {
        if self.has_news() {
            return Some(self.time());
        }
        let net = self.net.borrow();
        net.next_arrival().map(|at| Tick::from_nanos(at.max(net.now)))
    }

    /// Whether this loop would be told of something at once, if it waited now.
    #[must_use]
    pub fn has_news(&self) -> bool {
        let net = self.net.borrow();
        net.files.has_news(self.poller) || net.tokens.has_news(self.poller)
    }

    /// A number below this, which must not be 0, as the seed has it.
    #[must_use]
    pub fn pick(&self, below: usize) -> usize {
        self.net.borrow_mut().dice.index(below)
    }

    fn fd(&self, number: usize) -> SimFd {
        SimFd { net: Rc::clone(&self.net), number }
    }
}

impl fmt::Debug for Sim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let net = self.net.borrow();
        f.debug_struct("Sim")
            .field("now", &net.now)
            .field("descriptors", &net.files.open())
            .finish_non_exhaustive()
    }
}

impl Sys for Sim {
    type Fd = SimFd;
    type Waker = SimWaker;
    type Pipe = SimPipe;

    fn waker(&self) -> SimWaker {
        SimWaker::new(&self.net, self.poller)
    }

    fn now(&mut self) -> Tick {
        self.time()
    }

    fn renew(&mut self) -> io::Result<()> {
        self.net.borrow_mut().files.renew_poller(self.poller);
        Ok(())
    }

    fn wait(&mut self, events: &mut Events, until: Tick) -> io::Result<()> {
        events.clear();
        self.net.borrow_mut().wait(self.poller, events, until.as_nanos())
    }

    fn wait_began(&self) -> Option<Tick> {
        Some(Tick::from_nanos(self.net.borrow().wait_began))
    }

    fn was_interrupted(&self) -> bool {
        self.net.borrow().interrupted
    }

    fn wall_time(at: Tick) -> SystemTime {
        let since_1970 = Duration::from_secs(YEAR_2000) + Duration::from_nanos(at.as_nanos());
        SystemTime::UNIX_EPOCH + since_1970
    }

    fn reserve(&mut self) -> io::Result<SimFd> {
        let number = self.net.borrow_mut().reserve()?;
        Ok(self.fd(number))
    }

    fn register(&mut self, fd: &SimFd, interest: Interest, key: u64) -> io::Result<()> {
        let net = &mut *self.net.borrow_mut();
        if net.dice.strikes(Fault::RegisterRefused) {
            return errno(libc::ENOSPC);
        }
        net.files.register(self.poller, fd.number, interest, key)
    }

    fn deregister(&mut self, fd: &SimFd) -> io::Result<()> {
        self.net.borrow_mut().files.deregister(fd.number)
    }

    fn reregister(&mut self, fd: &SimFd, interest: Interest, key: u64) -> io::Result<()> {
        self.net.borrow_mut().files.reregister(fd.number, interest, key)
    }

    fn watch(&mut self, fd: BorrowedFd<'_>, interest: WatchInterest, key: u64) -> io::Result<()> {
        self.net.borrow_mut().watch(self.poller, fd, interest, key)
    }

    fn rewatch(&mut self, fd: BorrowedFd<'_>, interest: WatchInterest, key: u64) -> io::Result<()> {
        self.net.borrow_mut().rewatch(fd, interest, key)
    }

    fn unwatch(&mut self, fd: BorrowedFd<'_>) -> io::Result<()> {
        self.net.borrow_mut().unwatch(fd)
    }

    fn accept(&mut self, listener: &SimFd) -> io::Result<(SimFd, Addr)> {
        let (number, addr) = self.net.borrow_mut().accept(listener.number)?;
        Ok((self.fd(number), Addr::Ip(addr)))
    }

    /// No byte goes with the first packet: no server here has been connected to before.
    fn connect(
        &mut self,
        to: &Addr,
        from: Option<IpAddr>,
        _first: Option<&[u8]>,
    ) -> io::Result<(SimFd, usize)> {
        let Addr::Ip(to) = *to else { return errno(libc::EAFNOSUPPORT) };
        let number = self.net.borrow_mut().connect(to, from.unwrap_or(HOST))?;
        Ok((self.fd(number), 0))
    }

    fn adopt(&mut self, _stream: OwnedFd) -> io::Result<SimFd> {
        let text = "a simulated world has no sockets of the system's";
        Err(io::Error::new(io::ErrorKind::Unsupported, text))
    }

    fn local_addr(&mut self, fd: &SimFd) -> io::Result<Addr> {
        self.net.borrow().local_addr(fd.number).map(Addr::Ip)
    }

    fn peer_addr(&mut self, fd: &SimFd) -> io::Result<Addr> {
        let net = self.net.borrow();
        let end = net.end(net.stream(fd.number)?);
        end.map_or_else(|| errno(libc::ENOTCONN), |end| Ok(Addr::Ip(end.remote)))
    }

    /// Streams have no options here: each is taken.
    fn set_option(&mut self, _fd: &SimFd, _option: SocketOption) -> io::Result<()> {
        Ok(())
    }

    fn connected(&mut self, fd: &SimFd) -> io::Result<()> {
        let net = &mut *self.net.borrow_mut();
        let id = net.stream(fd.number)?;
        let Some(end) = net.end_mut(id) else { return errno(libc::EBADF) };
        match end.error.take() {
            Some(error) => errno(error),
            None if end.stage == Stage::Connecting => errno(libc::EAGAIN),
            None => Ok(()),
        }
    }

    fn recv(&mut self, fd: &SimFd, buffer: &mut [u8]) -> io::Result<usize> {
        self.net.borrow_mut().recv(fd.number, buffer)
    }

    fn at_end(&mut self, fd: &SimFd) -> io::Result<bool> {
        self.net.borrow().at_end(fd.number)
    }

    fn send(&mut self, fd: &SimFd, bytes: &[u8]) -> io::Result<usize> {
        self.net.borrow_mut().send(fd.number, bytes)
    }

    /// Segments are not simulated.
    fn send_last(&mut self, fd: &SimFd, bytes: &[u8]) -> io::Result<usize> {
        self.send(fd, bytes)
    }

    fn pipe(&mut self) -> io::Result<SimPipe> {
        let (read, write) = self.net.borrow_mut().pipe()?;
        Ok(SimPipe::new([self.fd(read), self.fd(write)]))
    }

    fn splice_in(&mut self, pipe: &mut SimPipe, from: &SimFd, most: usize) -> io::Result<usize> {
        self.net.borrow_mut().splice_in(pipe, from.number, most)
    }

    fn splice_out(&mut self, pipe: &mut SimPipe, to: &SimFd, count: usize) -> io::Result<usize> {
        self.net.borrow_mut().splice_out(pipe, to.number, count)
    }

    fn read_pipe(&mut self, pipe: &mut SimPipe, buffer: &mut [u8]) -> io::Result<usize> {
        pipe.read(buffer)
    }

    fn shutdown(&mut self, fd: &SimFd) -> io::Result<()> {
        let net = &mut *self.net.borrow_mut();
        let id = net.stream(fd.number)?;
        net.shutdown(id)
    }
}
