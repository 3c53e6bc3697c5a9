//! Listening sockets handed to the next process, so that nobody who waits at them is lost.
//!
//! Both processes hold the same sockets for a while, and with them the same queues. The old one
//! lets go of those that the new one has said it listens on; it closes nothing.
//!
//! ```text
//!   old                                      new
//!   "shardpoll 1"                      ──►
//!   "listener NAME COUNT FLAGS"  + fds ──►   for each listener; at most 253 with one message,
//!   "more"                       + fds ──►   the rest with further ones
//!   "end"                              ──►
//!                                      ◄──   "taken 0 2": those it listens on, as counted
//! ```
//!
//! Lines of text, so that a later version can say more; descriptors come in the order of the
//! listeners, whichever line they come with.
//!
//! Never: hands over a connection; trusts another user's process.

use crate::engine::Engine;
use crate::error::StartError;
use crate::listen::{Listen, is_name};
use crate::sockets::Passed;
use crate::worker::is_shard;
use shardpoll_reactor::{
    ListenerId, MAX_PASSED, Tick, monotonic_now, receive_descriptors, same_user, send_descriptors,
};
use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

const GREETING: &str = "shardpoll 1";

/// More than this is no list of listeners.
const MAX_TEXT: usize = 1024 * 1024;
const MAX_DESCRIPTORS: usize = 16_384;

/// What kept listeners from being handed over. The engine that wanted to goes on as before.
#[derive(Debug)]
#[non_exhaustive]
pub enum HandOverError {
    /// The other process runs as another user, of this number.
    Stranger(u32),
    /// What the other process says is not what was agreed on: this line.
    Protocol(String),
    /// The other process has gone before all was said.
    Gone,
    /// The time is over, and the other process has not said all.
    TimedOut,
    /// The kernel's reason.
    Io(io::Error),
    /// The engine cannot be asked: it has ended, or this is called from a callback.
    Engine(StartError),
}

impl fmt::Display for HandOverError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stranger(uid) => write!(f, "the other process runs as user {uid}"),
            Self::Protocol(line) => write!(f, "the other process says {line:?}"),
            Self::Gone => f.write_str("the other process has gone"),
            Self::TimedOut => f.write_str("the other process does not answer in time"),
            Self::Io(error) => error.fmt(f),
            Self::Engine(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for HandOverError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io(error) => Some(error),
            Self::Engine(error) => Some(error),
            _ => None,
        }
    }
}

impl From<io::Error> for HandOverError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => Self::TimedOut,
            io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset => Self::Gone,
            _ => Self::Io(error),
        }
    }
}

impl From<StartError> for HandOverError {
    fn from(error: StartError) -> Self {
        Self::Engine(error)
    }
}

/// A connection to the other process, with a deadline for all that is said.
struct Talk {
    stream: UnixStream,
    until: Tick,
    text: Vec<u8>,
    descriptors: VecDeque<OwnedFd>,
}

impl Talk {
    fn new(stream: UnixStream, patience: Duration) -> Result<Self, HandOverError> {
        stream.set_nonblocking(false)?;
        same_user(&stream)?.map_err(HandOverError::Stranger)?;
        let until = monotonic_now().saturating_add(patience);
        Ok(Self { stream, until, text: Vec::new(), descriptors: VecDeque::new() })
    }

    fn time_left(&self) -> Result<Option<Duration>, HandOverError> {
        let left = self.until.as_nanos().saturating_sub(monotonic_now().as_nanos());
        match left {
            0 => Err(HandOverError::TimedOut),
            left => Ok(Some(Duration::from_nanos(left))),
        }
    }

    fn say(&self, line: &str, with: &[OwnedFd]) -> Result<(), HandOverError> {
        let line = format!("{line}\n");
        let (mut rest, mut with) = (line.as_bytes(), with);
        while !rest.is_empty() {
            self.stream.set_write_timeout(self.time_left()?)?;
            let passed: Vec<_> = with.iter().map(AsFd::as_fd).collect();
            match send_descriptors(&self.stream, rest, &passed) {
                Ok(taken) => (rest, with) = (&rest[taken..], &[]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    fn hear(&mut self) -> Result<String, HandOverError> {
        loop {
            if let Some(end) = self.text.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.text.drain(..=end).collect();
                let line = String::from_utf8_lossy(&line[..end]);
                return Ok(line.into_owned());
            }
            if self.text.len() > MAX_TEXT || self.descriptors.len() > MAX_DESCRIPTORS {
                return Err(HandOverError::Protocol("much more than a list of listeners".into()));
            }
            self.stream.set_read_timeout(self.time_left()?)?;
            let (mut bytes, mut descriptors) = ([0; 4096], Vec::new());
            match receive_descriptors(&self.stream, &mut bytes, &mut descriptors) {
                Ok(0) => return Err(HandOverError::Gone),
                Ok(count) => self.text.extend_from_slice(&bytes[..count]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
            self.descriptors.extend(descriptors);
        }
    }
}

/// What became of an engine's listeners.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct HandedOver {
    /// The other process listens on these, and this one does no more.
    pub taken: Vec<ListenerId>,
    /// These were not wanted: this engine goes on with them.
    pub kept: Vec<ListenerId>,
}

impl Engine {
    /// Hands all listeners to another process of the same user, which
    /// [receives](Inheritance::receive) them at the other end of this connection, and lets go of
    /// those that it takes. Connections stay; [`quit`](Self::quit) waits for them.
    ///
    /// Until the other process says that it listens, both do, and nobody who waits is lost. The
    /// file of a unix socket is the other's to remove.
    ///
    /// Blocks, for as long as `patience` says.
    ///
    /// # Errors
    /// [`HandOverError`]: the other process is another user's, goes away, talks nonsense or not at
    /// all. The engine goes on as before.
    pub fn hand_over(
        &self,
        to: UnixStream,
        patience: Duration,
    ) -> Result<HandedOver, HandOverError> {
        if is_shard() {
            return Err(StartError::OnShard.into());
        }
        let mut talk = Talk::new(to, patience)?;
        let listeners = self.listeners.alive();
        talk.say(GREETING, &[])?;
        let mut graces = Vec::new();
        for (id, listening) in &listeners {
            let sockets = self.descriptors(*id)?;
            graces.push(self.set_handshake_grace(*id, None)?);
            let name = listening.name.clone().unwrap_or_else(|| id.number().to_string());
            let file = listening.alive.upgrade().and_then(|alive| alive.file());
            let flags = match (listening.steered, file) {
                (true, Some(_)) => "sf",
                (true, None) => "s",
                (false, Some(_)) => "f",
                (false, None) => "-",
            };
            let (first, rest) = sockets.split_at(sockets.len().min(MAX_PASSED));
            talk.say(&format!("listener {name} {} {flags}", sockets.len()), first)?;
            for chunk in rest.chunks(MAX_PASSED) {
                talk.say("more", chunk)?;
            }
        }
        talk.say("end", &[])?;
        let taken = talk.hear().and_then(|line| parse_taken(&line, listeners.len()));
        if matches!(taken, Err(HandOverError::Gone)) {
            // Nobody else holds the sockets any more.
            for ((id, _), grace) in listeners.iter().zip(graces) {
                self.set_handshake_grace(*id, grace)?;
            }
        }
        let taken = taken?;
        let mut outcome = HandedOver::default();
        for (number, (id, _)) in listeners.into_iter().enumerate() {
            if taken.contains(&number) {
                self.release_listener(id)?;
                outcome.taken.push(id);
            } else {
                outcome.kept.push(id);
            }
        }
        Ok(outcome)
    }
}

fn parse_taken(line: &str, listeners: usize) -> Result<Vec<usize>, HandOverError> {
    let wrong = || HandOverError::Protocol(line.into());
    let mut words = line.split(' ');
    if words.next() != Some("taken") {
        return Err(wrong());
    }
    let number = |word: &str| word.parse().ok().filter(|number| *number < listeners);
    words.map(|word| number(word).ok_or_else(wrong)).collect()
}

/// The listeners of another process, handed to this one.
pub struct Inheritance {
    talk: Talk,
    /// In the order in which they were told.
    listeners: Vec<Inherited>,
}

struct Inherited {
    name: String,
    passed: Option<Passed>,
    taken: bool,
}

impl Inheritance {
    /// Receives the listeners of the process at the other end, which calls
    /// [`Engine::hand_over`].
    ///
    /// Take those that are wanted, listen on them, and [`finish`](Self::finish): until then the
    /// other process listens too, and if this one fails it goes on.
    ///
    /// ```no_run
    /// use shardpoll::{Engine, Inheritance, Listen, incoming};
    /// use std::os::unix::net::UnixStream;
    /// use std::time::Duration;
    ///
    /// let old = UnixStream::connect("/run/service/hand-over.sock")?;
    /// let mut inheritance = Inheritance::receive(old, Duration::from_secs(5))?;
    /// let engine = Engine::builder().start()?;
    /// let at = inheritance.take("chat").unwrap_or(Listen::on(([0, 0, 0, 0], 7000)).name("chat"));
    /// engine.listen(at, |_| incoming(|conn, data| { conn.write(data); }))?;
    /// inheritance.finish()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`HandOverError`]: the other process is another user's, goes away, talks nonsense or not at
    /// all.
    pub fn receive(from: UnixStream, patience: Duration) -> Result<Self, HandOverError> {
        let mut talk = Talk::new(from, patience)?;
        let greeting = talk.hear()?;
        if greeting != GREETING {
            return Err(HandOverError::Protocol(greeting));
        }
        let mut told = Vec::new();
        loop {
            let line = talk.hear()?;
            let words: Vec<_> = line.split(' ').collect();
            match words[..] {
                ["more"] => {}
                ["end"] => break,
                ["listener", name, count, flags] if is_name(name) => match count.parse::<usize>() {
                    Ok(count) => told.push((name.to_owned(), count, flags.to_owned())),
                    Err(_) => return Err(HandOverError::Protocol(line)),
                },
                _ => return Err(HandOverError::Protocol(line)),
            }
        }
        let sum = told.iter().fold(0_usize, |sum, (_, count, _)| sum.saturating_add(*count));
        if sum != talk.descriptors.len() {
            let text = format!("{sum} descriptors, and sends {}", talk.descriptors.len());
            return Err(HandOverError::Protocol(text));
        }
        let mut listeners = Vec::with_capacity(told.len());
        for (name, count, flags) in told {
            let sockets = talk.descriptors.drain(..count).collect();
            let (steered, owns_file) = (flags.contains('s'), flags.contains('f'));
            let passed = Some(Passed { sockets, steered, owns_file });
            listeners.push(Inherited { name, passed, taken: false });
        }
        Ok(Self { talk, listeners })
    }

    /// What the listeners are called ([`Listen::name`]) that were not taken; one without a name by
    /// its number.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let left = self.listeners.iter().filter(|listener| !listener.taken);
        left.map(|listener| listener.name.as_str())
    }

    /// Where to listen instead of the other process, with the options that are set on it now; the
    /// first of this name. It keeps the name.
    ///
    /// More shards than the other process had get further sockets, fewer have several each.
    pub fn take(&mut self, name: &str) -> Option<Listen> {
        let mut all = self.listeners.iter_mut();
        let listener = all.find(|listener| listener.name == name && !listener.taken)?;
        listener.taken = true;
        Some(Listen::passed(listener.passed.take()?).name(name))
    }

    /// This process listens on what it has taken: the other one lets go of it, and goes on with the
    /// rest.
    ///
    /// # Errors
    /// [`HandOverError`] when the other process cannot be told. If it still lives, both listen.
    pub fn finish(self) -> Result<(), HandOverError> {
        let mut line = String::from("taken");
        for (number, listener) in self.listeners.iter().enumerate() {
            if listener.taken {
                line.push_str(&format!(" {number}"));
            }
        }
        self.talk.say(&line, &[])
    }
}

impl fmt::Debug for Inheritance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.names()).finish()
    }
}
