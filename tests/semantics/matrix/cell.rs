//! One cell of the matrix: where, what, and the handlers that do it.

use shardpoll::{Accept, Conn, ConnId, Handler, Local, Peer as Accepted};
use shardpoll_tests::{Call, Event, Recorder, Seen, is_simulated, server_context};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Where the deed is done.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Place {
    Starttls,
    Status,
    Connect,
    Incoming,
    Predrain,
    Drain,
    HighWater,
    LowWater,
    ReadTimeout,
    DrainBegin,
    Attach,
    Detach,
    Panic,
    Disconnect,
    Timer,
    Accept,
    ListenerClosed,
}

pub(super) const PLACES: [Place; 17] = [
    Place::Starttls,
    Place::Status,
    Place::Connect,
    Place::Incoming,
    Place::Predrain,
    Place::Drain,
    Place::HighWater,
    Place::LowWater,
    Place::ReadTimeout,
    Place::DrainBegin,
    Place::Attach,
    Place::Detach,
    Place::Panic,
    Place::Disconnect,
    Place::Timer,
    Place::Accept,
    Place::ListenerClosed,
];

impl Place {
    pub(super) fn is(self, event: &Event) -> bool {
        match event {
            Event::Starttls => self == Self::Starttls,
            Event::Status(_) => self == Self::Status,
            Event::Connect => self == Self::Connect,
            Event::Incoming(_) => self == Self::Incoming,
            Event::Predrain => self == Self::Predrain,
            Event::Drain => self == Self::Drain,
            Event::HighWater => self == Self::HighWater,
            Event::LowWater => self == Self::LowWater,
            Event::ReadTimeout => self == Self::ReadTimeout,
            Event::DrainBegin => self == Self::DrainBegin,
            Event::Attach => self == Self::Attach,
            Event::Detach => self == Self::Detach,
            Event::Panic(_) => self == Self::Panic,
            Event::Disconnect(_) => self == Self::Disconnect,
            Event::Note(_) | Event::Dropped => false,
        }
    }

    /// Whether a connection is lent there; elsewhere it is reached by its id.
    pub(super) fn is_of_a_handler(self) -> bool {
        !matches!(self, Self::Timer | Self::Accept | Self::ListenerClosed)
    }
}

/// What is done there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Deed {
    CloseSelf,
    AbortSelf,
    CloseOthers,
    CloseListener,
    CloseAll,
    Link,
    ChangeHandler,
    Panic,
    WritePastTheCap,
    StartTls,
}

pub(super) const WATER: usize = 20_000;

/// More than the kernel takes of a client that does not read.
pub(super) fn flood() -> usize {
    if is_simulated() { 300_000 } else { 12 * 1024 * 1024 }
}

/// One cell, and what its callbacks know of the world.
#[derive(Clone)]
pub(super) struct Cell {
    pub(super) place: Place,
    pub(super) deed: Deed,
    pub(super) flood: usize,
    pub(super) done: Arc<AtomicBool>,
    /// A callback is running.
    pub(super) inside: Arc<AtomicBool>,
    pub(super) others: Arc<Mutex<Vec<ConnId>>>,
    pub(super) subject: Arc<Mutex<Option<ConnId>>>,
    pub(super) log: Sender<Seen>,
}

impl Cell {
    /// What a handler of this cell does, while nothing else may run.
    pub(super) fn react(&self, call: &mut Call<'_, '_>, then: impl FnOnce(&mut Call<'_, '_>)) {
        assert!(!self.inside.swap(true, Ordering::Relaxed), "a callback in a callback");
        let leave = Leave(&self.inside);
        then(call);
        drop(leave);
    }

    fn is_first(&self) -> bool {
        !self.done.swap(true, Ordering::Relaxed)
    }

    fn note(&self, conn: Option<ConnId>, local: &Local<'_>) {
        let event = Event::note("done");
        let seen = Seen { conn, by: "", event, at: local.now(), cause: String::new() };
        self.log.send(seen).expect("the test listens");
    }

    /// What the first handler of the subject does.
    fn subject(&self, call: &mut Call<'_, '_>) {
        match call.event {
            Event::Incoming(data) if call.nth == 1 => self.lead_on(call, data),
            Event::Incoming(data) => call.say(data),
            Event::ReadTimeout => call.keep(),
            _ => {}
        }
        if self.place.is(call.event) && self.is_first() {
            self.act(call);
        }
    }

    /// The first input: on the way to the place.
    fn lead_on(&self, call: &mut Call<'_, '_>, data: &[u8]) {
        *self.subject.lock().expect("not poisoned") = Some(call.id());
        match self.place {
            Place::Attach | Place::Detach => self.hand_over(call),
            Place::HighWater | Place::LowWater => call.say_vec(vec![b'.'; self.flood]),
            Place::Panic => panic!("on the way"),
            Place::Timer => {
                let (cell, id) = (self.clone(), call.id());
                let task = move |local: &mut Local<'_>, _| {
                    cell.act_on(local, id);
                    None
                };
                call.local().add_timer(Duration::ZERO, task);
            }
            Place::ListenerClosed => {
                let listener = call.listener().expect("it was accepted");
                assert!(call.local().close_listener(listener));
            }
            _ => call.say(data),
        }
    }

    fn hand_over(&self, conn: &mut Conn<'_>) {
        let cell = self.clone();
        let react = move |call: &mut Call<'_, '_>| cell.clone().react(call, |call| cell.next(call));
        conn.set_handler(Recorder::named("next", self.log.clone(), react));
    }

    /// What a handler does that has taken over.
    fn next(&self, call: &mut Call<'_, '_>) {
        match call.event {
            Event::Incoming(data) => call.say(data),
            Event::ReadTimeout => call.keep(),
            _ => {}
        }
        if self.place == Place::Attach && *call.event == Event::Attach && self.is_first() {
            self.act(call);
        }
    }

    pub(super) fn bystander(&self, call: &mut Call<'_, '_>) {
        match call.event {
            Event::Connect => self.others.lock().expect("not poisoned").push(call.id()),
            Event::Incoming(data) => call.say(data),
            Event::ReadTimeout => call.keep(),
            _ => {}
        }
    }

    fn act_on(&self, local: &mut Local<'_>, id: ConnId) {
        let mut conn = local.conn(id).expect("it is there");
        self.act(&mut conn);
    }

    fn act(&self, conn: &mut Conn<'_>) {
        let id = conn.id();
        let listener = conn.listener();
        self.note(Some(id), &conn.local());
        let others = self.others.lock().expect("not poisoned").clone();
        match self.deed {
            Deed::CloseSelf => conn.close(),
            Deed::AbortSelf => conn.abort(),
            Deed::CloseOthers => {
                for other in others {
                    conn.local().conn(other).expect("it is there").close();
                }
            }
            Deed::CloseListener => {
                conn.local().close_listener(listener.expect("it was accepted"));
            }
            Deed::CloseAll => conn.local().close_all(),
            Deed::Link => {
                let linked = conn.local().link(others[0], id);
                assert_eq!(linked.is_err(), self.place == Place::Disconnect, "{linked:?}");
            }
            Deed::ChangeHandler => self.hand_over(conn),
            Deed::Panic => panic!("a test's panic"),
            Deed::StartTls => {
                let (available, result) =
                    (conn.start_tls_available(), conn.start_tls(server_context()));
                let plain = conn.tls().is_none() && self.place != Place::Disconnect;
                assert_eq!((available, result.is_ok()), (plain, plain), "{result:?}");
            }
            Deed::WritePastTheCap => {
                let written = conn.write_vec(vec![b'!'; self.flood * 2]);
                let over = self.place == Place::Disconnect;
                let want = if over { "Closed" } else { "Full" };
                assert_eq!(format!("{written:?}"), want);
            }
        }
    }
}

/// The callback is over, however it has ended.
pub(super) struct Leave<'a>(&'a AtomicBool);

impl Drop for Leave<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Relaxed);
    }
}

/// The subject's listener.
#[derive(Clone)]
pub(super) struct Door(pub(super) Cell);

impl Accept for Door {
    fn accept(&mut self, _: &Accepted) -> Box<dyn Handler> {
        let cell = self.0.clone();
        if cell.place == Place::Accept && cell.is_first() {
            panic!("a test's panic");
        }
        let log = cell.log.clone();
        let react =
            move |call: &mut Call<'_, '_>| cell.clone().react(call, |call| cell.subject(call));
        Box::new(Recorder::new(log, react))
    }

    fn on_close(&mut self, local: &mut Local<'_>) {
        let cell = &self.0;
        if cell.place == Place::ListenerClosed && cell.is_first() {
            let subject = cell.subject.lock().expect("not poisoned").expect("it has come");
            cell.act_on(local, subject);
        }
    }
}
