//! One loop in a test's own hands, on Linux and on the simulation, and what its watchers hear.
//!
//! Never: runs a thread; a turn is made when the test says so.

use crate::PATIENCE;
use shardpoll::{Config, Counters, Local, Watch, WatchId, WatchInterest, Watcher};
use shardpoll_reactor::{Faults, Linux, Place, Reactor, Sim, Sys, Turn};
use std::cell::RefCell;
use std::fmt;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::time::Duration;

/// A loop, whatever it runs on.
trait Loop {
    fn turn(&mut self, wait: Duration) -> Turn;
    fn local(&mut self, f: &mut dyn FnMut(&mut Local<'_>));
    fn counters(&self) -> Counters;
    fn quit(&mut self, deadline: Duration);
}

impl<S: Sys> Loop for Reactor<S> {
    fn turn(&mut self, wait: Duration) -> Turn {
        let turn = Self::turn(self, Some(wait)).expect("the poller works");
        self.check().expect("the invariants of the loop");
        turn
    }

    fn local(&mut self, f: &mut dyn FnMut(&mut Local<'_>)) {
        Self::local(self, f).expect("no panic outside a callback");
    }

    fn counters(&self) -> Counters {
        Self::counters(self)
    }

    fn quit(&mut self, deadline: Duration) {
        Self::quit(self, deadline);
    }
}

/// What happened, in order.
type Log = Rc<RefCell<Vec<String>>>;

/// A loop, and the log of its watchers.
pub struct Rig {
    reactor: Box<dyn Loop>,
    sim: Option<Sim>,
    log: Log,
}

impl fmt::Debug for Rig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rig").field("sim", &self.sim).field("log", &self.log).finish()
    }
}

impl Rig {
    /// On Linux.
    #[must_use]
    pub fn linux(config: Config) -> Self {
        let linux = Linux::new().expect("a descriptor or two");
        let reactor = Reactor::new(linux, Place::FIRST, config).expect("a good configuration");
        Self { reactor: Box::new(reactor), sim: None, log: Log::default() }
    }

    /// On a simulation with these faults.
    #[must_use]
    pub fn sim(config: Config, faults: Faults) -> Self {
        let sim = Sim::new(1, faults);
        let reactor = Reactor::new(sim.clone(), Place::FIRST, config);
        let reactor = Box::new(reactor.expect("a good configuration"));
        Self { reactor, sim: Some(sim), log: Log::default() }
    }

    /// One of each, with Prosody's limits.
    #[must_use]
    pub fn both() -> [Self; 2] {
        Self::both_with(|_| {})
    }

    /// One of each, with these limits.
    #[must_use]
    pub fn both_with(set: impl FnOnce(&mut Config)) -> [Self; 2] {
        let mut config = Config::default();
        set(&mut config);
        [Self::linux(config.clone()), Self::sim(config, Faults::none())]
    }

    /// A connected pair; the end to watch says nothing yet.
    #[must_use]
    pub fn pair(&self) -> Pair {
        let (ours, theirs) = UnixStream::pair().expect("two descriptors");
        theirs.set_read_timeout(Some(PATIENCE)).expect("not zero");
        let number = ours.as_raw_fd();
        let pair = Pair { ours: Some(ours), theirs, number, sim: self.sim.clone() };
        pair.tell(false);
        pair
    }

    /// Watches our end of a pair with a probe of this name.
    pub fn watch(
        &mut self,
        pair: &mut Pair,
        name: &'static str,
        interest: WatchInterest,
        react: impl FnMut(&mut Heard<'_, '_>) + 'static,
    ) -> WatchId {
        let (ours, probe) = (pair.take(), self.probe(name, react));
        self.local(|local| local.watch(ours, interest, probe)).expect("room, and no end in sight")
    }

    /// A watcher that logs what it hears, and reacts.
    pub fn probe(
        &self,
        name: &'static str,
        react: impl FnMut(&mut Heard<'_, '_>) + 'static,
    ) -> Probe {
        let (log, sim) = (Rc::clone(&self.log), self.sim.clone());
        Probe { name, log, sim, react: Box::new(react), calls: 0, back: Rc::default() }
    }

    /// Calls `f` on the loop.
    pub fn local<R>(&mut self, f: impl FnOnce(&mut Local<'_>) -> R) -> R {
        let (mut f, mut result) = (Some(f), None);
        self.reactor.local(&mut |local| result = f.take().map(|f| f(local)));
        result.expect("called once")
    }

    /// What the loop has done so far.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.reactor.counters()
    }

    /// How many entries the loop has.
    pub fn live(&mut self) -> usize {
        self.local(|local| local.live())
    }

    /// Asks the loop to end.
    pub fn quit(&mut self, deadline: Duration) {
        self.reactor.quit(deadline);
    }

    /// One turn without a wait.
    pub fn turn(&mut self) -> Turn {
        self.reactor.turn(Duration::ZERO)
    }

    /// Two turns: one tells the kernel what has changed, the next hears of it.
    pub fn settle(&mut self) {
        self.turn();
        self.turn();
    }

    /// Turns that wait, until so much is logged.
    pub fn turn_until(&mut self, logged: usize) {
        let since = std::time::Instant::now();
        while self.log.borrow().len() < logged {
            assert!(since.elapsed() < PATIENCE, "{:?}, not in time", self.log.borrow());
            self.reactor.turn(Duration::from_millis(20));
        }
    }

    /// Takes the log.
    #[must_use]
    pub fn heard(&self) -> Vec<String> {
        self.log.take()
    }
}

/// Two connected sockets: ours to be watched, theirs in the test's hands.
#[derive(Debug)]
pub struct Pair {
    ours: Option<UnixStream>,
    theirs: UnixStream,
    number: RawFd,
    sim: Option<Sim>,
}

impl Pair {
    /// Our end, once.
    ///
    /// # Panics
    /// The second time.
    pub fn take(&mut self) -> OwnedFd {
        self.ours.take().expect("taken once").into()
    }

    /// Sends from their end.
    pub fn send(&mut self, text: &str) {
        self.theirs.write_all(text.as_bytes()).expect("room for a word");
        self.tell(true);
    }

    /// Ends their side.
    pub fn finish(&mut self) {
        self.theirs.shutdown(std::net::Shutdown::Write).expect("connected");
        self.tell(true);
    }

    /// Waits for the end: our end is closed. A process that another test has just begun may hold
    /// a copy of it for a moment.
    pub fn expect_closed(&mut self) {
        let end = self.theirs.read_to_end(&mut Vec::new());
        // With unread input it ends by a reset.
        let reset = |error: &io::Error| error.kind() == io::ErrorKind::ConnectionReset;
        assert!(end.as_ref().map_or_else(reset, |count| *count == 0), "{end:?}");
    }

    /// Whether our end is open.
    pub fn is_open(&mut self) -> bool {
        self.theirs.set_nonblocking(true).expect("a socket");
        let read = self.theirs.read(&mut [0]);
        self.theirs.set_nonblocking(false).expect("a socket");
        read.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
    }

    fn tell(&self, readable: bool) {
        if let Some(sim) = &self.sim {
            sim.make_ready(self.number, readable, true);
        }
    }
}

/// Takes all that waits at a descriptor.
///
/// # Panics
/// When it cannot be read.
#[must_use]
pub fn read_text(fd: BorrowedFd<'_>) -> String {
    let mut file = File::from(fd.try_clone_to_owned().expect("a descriptor"));
    let mut buffer = [0; 1000];
    let count = file.read(&mut buffer).expect("something to read");
    String::from_utf8_lossy(&buffer[..count]).into_owned()
}

/// A call of a probe under way.
pub struct Heard<'a, 'w> {
    /// The half that is ready: true for the readable one.
    pub readable: bool,
    /// The how-manieth call of this probe it is, from 1.
    pub nth: usize,
    /// The cursor.
    pub watch: &'a mut Watch<'w>,
    sim: Option<&'a Sim>,
}

impl fmt::Debug for Heard<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Heard").field("watch", &self.watch).finish_non_exhaustive()
    }
}

impl Heard<'_, '_> {
    /// Takes all that has come; nothing is left to report then.
    pub fn read(&mut self) -> String {
        let text = read_text(self.watch.fd());
        if let Some(sim) = self.sim {
            sim.make_ready(self.watch.fd().as_raw_fd(), false, true);
        }
        text
    }
}

/// The logging watcher.
pub struct Probe {
    name: &'static str,
    log: Log,
    sim: Option<Sim>,
    react: Box<dyn FnMut(&mut Heard<'_, '_>)>,
    calls: usize,
    back: Rc<RefCell<Option<OwnedFd>>>,
}

impl fmt::Debug for Probe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Probe").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Probe {
    /// Where its descriptor is when it has come back.
    #[must_use]
    pub fn back(&self) -> Back {
        Back(Rc::clone(&self.back))
    }

    fn hear(&mut self, watch: &mut Watch<'_>, readable: bool) {
        let half = if readable { "readable" } else { "writable" };
        self.log.borrow_mut().push(format!("{} {half}", self.name));
        self.calls += 1;
        let nth = self.calls;
        (self.react)(&mut Heard { readable, nth, watch, sim: self.sim.as_ref() });
    }
}

impl Watcher for Probe {
    fn on_readable(&mut self, watch: &mut Watch<'_>) {
        self.hear(watch, true);
    }

    fn on_writable(&mut self, watch: &mut Watch<'_>) {
        self.hear(watch, false);
    }

    fn on_closed(self: Box<Self>, _: &mut Local<'_>, fd: OwnedFd, error: Option<io::Error>) {
        let how = error.map_or_else(|| "closed".into(), |error| format!("failed {error}"));
        self.log.borrow_mut().push(format!("{} {how}", self.name));
        *self.back.borrow_mut() = Some(fd);
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        self.log.borrow_mut().push(format!("{} dropped", self.name));
    }
}

/// A descriptor that may have come back.
#[derive(Clone, Debug)]
pub struct Back(Rc<RefCell<Option<OwnedFd>>>);

impl Back {
    /// Takes it.
    ///
    /// # Panics
    /// When it has not come back.
    #[must_use]
    pub fn take(&self) -> OwnedFd {
        self.0.take().expect("it has come back")
    }

    /// Reads from it, there.
    #[must_use]
    pub fn read(&self) -> String {
        read_text(self.0.borrow().as_ref().expect("it has come back").as_fd())
    }
}
