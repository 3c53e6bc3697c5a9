//! A handler that records every callback and then does what the test wants.
//!
//! Never: changes what the engine sees; without a reaction it only listens.

use shardpoll::{CloseReason, Conn, ConnId, Handler, Silence, Status, Tick};
use std::fmt;
use std::mem::{Discriminant, discriminant};
use std::ops::{Deref, DerefMut};
use std::sync::mpsc::Sender;

/// One callback, or something a test noted in one.
#[derive(Clone, PartialEq, Eq)]
pub enum Event {
    /// `on_starttls`.
    Starttls,
    /// `on_status`, with its text.
    Status(String),
    /// `on_connect`.
    Connect,
    /// `on_incoming`.
    Incoming(Vec<u8>),
    /// `on_predrain`.
    Predrain,
    /// `on_drain`.
    Drain,
    /// `on_high_water`.
    HighWater,
    /// `on_low_water`.
    LowWater,
    /// `on_read_timeout`.
    ReadTimeout,
    /// `on_drain_begin`.
    DrainBegin,
    /// `on_attach`.
    Attach,
    /// `on_detach`.
    Detach,
    /// `on_panic`, with its message.
    Panic(String),
    /// `on_disconnect`, with the reason's text.
    Disconnect(String),
    /// What a reaction noted.
    Note(String),
    /// The handler was dropped.
    Dropped,
}

impl Event {
    /// `on_disconnect` with this text.
    #[must_use]
    pub fn ended(text: &str) -> Self {
        Self::Disconnect(text.into())
    }

    /// `on_incoming` with these bytes.
    #[must_use]
    pub fn incoming(data: &[u8]) -> Self {
        Self::Incoming(data.into())
    }

    /// `on_panic` with this message.
    #[must_use]
    pub fn panicked(message: &str) -> Self {
        Self::Panic(message.into())
    }

    /// A note with this text.
    #[must_use]
    pub fn note(text: &str) -> Self {
        Self::Note(text.into())
    }

    /// Whether it is an `on_disconnect`.
    #[must_use]
    pub fn is_end(&self) -> bool {
        matches!(self, Self::Disconnect(_))
    }
}

impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Incoming(data) if data.len() > 40 => write!(f, "Incoming({} bytes)", data.len()),
            Self::Incoming(data) => write!(f, "Incoming({:?})", String::from_utf8_lossy(data)),
            Self::Status(text) => write!(f, "Status({text:?})"),
            Self::Disconnect(text) => write!(f, "Disconnect({text:?})"),
            Self::Note(text) => write!(f, "Note({text:?})"),
            Self::Panic(message) => write!(f, "Panic({message:?})"),
            Self::Starttls => f.write_str("Starttls"),
            Self::Connect => f.write_str("Connect"),
            Self::Predrain => f.write_str("Predrain"),
            Self::Drain => f.write_str("Drain"),
            Self::HighWater => f.write_str("HighWater"),
            Self::LowWater => f.write_str("LowWater"),
            Self::ReadTimeout => f.write_str("ReadTimeout"),
            Self::DrainBegin => f.write_str("DrainBegin"),
            Self::Attach => f.write_str("Attach"),
            Self::Detach => f.write_str("Detach"),
            Self::Dropped => f.write_str("Dropped"),
        }
    }
}

/// An event, and where and when it was.
#[derive(Clone, Debug)]
pub struct Seen {
    /// The connection; `None` for the drop of a handler that was never called.
    pub conn: Option<ConnId>,
    /// The name of the handler it happened to; empty for one that a listener made.
    pub by: &'static str,
    /// What happened.
    pub event: Event,
    /// The engine's time of the turn.
    pub at: Tick,
    /// For `on_disconnect`: the reason in its `Debug` form.
    pub cause: String,
}

/// What a test does in a callback. Each connection has its own clone, and thus its own state.
pub trait React: FnMut(&mut Call<'_, '_>) + Clone + Send + 'static {}

impl<F: FnMut(&mut Call<'_, '_>) + Clone + Send + 'static> React for F {}

/// A callback under way: the connection, what is called, and how often it was before.
pub struct Call<'a, 'c> {
    /// What is called.
    pub event: &'a Event,
    /// The how-manieth call of this kind on this connection it is, from 1.
    pub nth: usize,
    conn: &'a mut Conn<'c>,
    by: &'static str,
    log: &'a Sender<Seen>,
    silence: &'a mut Silence,
}

impl Call<'_, '_> {
    /// Records a remark.
    pub fn note(&mut self, what: impl fmt::Display) {
        let event = Event::Note(what.to_string());
        let seen = Seen {
            conn: Some(self.conn.id()),
            by: self.by,
            event,
            at: self.conn.local().now(),
            cause: String::new(),
        };
        let _gone = self.log.send(seen);
    }

    /// Writes, whatever becomes of it.
    pub fn say(&mut self, data: &[u8]) {
        self.conn.write(data);
    }

    /// Writes without a copy, whatever becomes of it.
    pub fn say_vec(&mut self, data: Vec<u8>) {
        self.conn.write_vec(data);
    }

    /// Hands the connection to a recorder of this name.
    pub fn hand_to(&mut self, name: &'static str, react: impl React) {
        self.conn.set_handler(Recorder::named(name, self.log.clone(), react));
    }

    /// Answers a read timeout with `Silence::Keep`.
    pub fn keep(&mut self) {
        *self.silence = Silence::Keep;
    }
}

impl fmt::Debug for Call<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Call").field(&self.event).field(&self.nth).finish()
    }
}

impl<'c> Deref for Call<'_, 'c> {
    type Target = Conn<'c>;

    fn deref(&self) -> &Conn<'c> {
        self.conn
    }
}

impl<'c> DerefMut for Call<'_, 'c> {
    fn deref_mut(&mut self) -> &mut Conn<'c> {
        self.conn
    }
}

/// The recording handler.
pub struct Recorder {
    name: &'static str,
    log: Sender<Seen>,
    react: Box<dyn FnMut(&mut Call<'_, '_>)>,
    counts: Vec<(Discriminant<Event>, usize)>,
    last: Option<(ConnId, Tick)>,
}

impl Recorder {
    /// Records to `log`, and reacts.
    pub fn new(log: Sender<Seen>, react: impl React) -> Self {
        Self::named("", log, react)
    }

    /// The same, under a name, to be told from others on its connection.
    pub fn named(name: &'static str, log: Sender<Seen>, react: impl React) -> Self {
        Self { name, log, react: Box::new(react), counts: Vec::new(), last: None }
    }

    fn count(&mut self, event: &Event) -> usize {
        let kind = discriminant(event);
        if let Some((_, count)) = self.counts.iter_mut().find(|(known, _)| *known == kind) {
            *count += 1;
            return *count;
        }
        self.counts.push((kind, 1));
        1
    }

    fn record(&mut self, conn: &mut Conn<'_>, event: Event, cause: String) -> Silence {
        let (id, at) = (conn.id(), conn.local().now());
        self.last = Some((id, at));
        let nth = self.count(&event);
        let by = self.name;
        let seen = Seen { conn: Some(id), by, event: event.clone(), at, cause };
        // The test may have seen enough.
        let _gone = self.log.send(seen);
        let mut silence = Silence::Close;
        let (log, silent) = (&self.log, &mut silence);
        let call = &mut Call { event: &event, nth, conn, by, log, silence: silent };
        (self.react)(call);
        silence
    }

    fn plain(&mut self, conn: &mut Conn<'_>, event: Event) {
        self.record(conn, event, String::new());
    }
}

impl fmt::Debug for Recorder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recorder").field("last", &self.last).finish_non_exhaustive()
    }
}

impl Handler for Recorder {
    fn on_incoming(&mut self, conn: &mut Conn<'_>, data: &[u8]) {
        self.plain(conn, Event::Incoming(data.into()));
    }

    fn on_connect(&mut self, conn: &mut Conn<'_>) {
        self.plain(conn, Event::Connect);
    }

    fn on_predrain(&mut self, conn: &mut Conn<'_>) {
        self.plain(conn, Event::Predrain);
    }

    fn on_drain(&mut self, conn: &mut Conn<'_>) {
        self.plain(conn, Event::Drain);
    }

    fn on_high_water(&mut self, conn: &mut Conn<'_>) {
        self.plain(conn, Event::HighWater);
    }

    fn on_low_water(&mut self, conn: &mut Conn<'_>) {
        self.plain(conn, Event::LowWater);
    }

    fn on_read_timeout(&mut self, conn: &mut Conn<'_>) -> Silence {
        self.record(conn, Event::ReadTimeout, String::new())
    }

    fn on_status(&mut self, conn: &mut Conn<'_>, status: &Status) {
        self.plain(conn, Event::Status(status.to_string()));
    }

    fn on_starttls(&mut self, conn: &mut Conn<'_>) {
        self.plain(conn, Event::Starttls);
    }

    fn on_drain_begin(&mut self, conn: &mut Conn<'_>) {
        self.plain(conn, Event::DrainBegin);
    }

    fn on_attach(&mut self, conn: &mut Conn<'_>) {
        self.plain(conn, Event::Attach);
    }

    fn on_detach(&mut self, conn: &mut Conn<'_>) {
        self.plain(conn, Event::Detach);
    }

    fn on_panic(&mut self, conn: &mut Conn<'_>, message: &str) {
        self.plain(conn, Event::Panic(message.into()));
    }

    fn on_disconnect(&mut self, conn: &mut Conn<'_>, reason: &CloseReason) {
        self.record(conn, Event::Disconnect(reason.to_string()), format!("{reason:?}"));
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        let (conn, at) = self.last.unzip();
        let at = at.unwrap_or(Tick::ZERO);
        let by = self.name;
        let seen = Seen { conn, by, event: Event::Dropped, at, cause: String::new() };
        let _gone = self.log.send(seen);
    }
}
