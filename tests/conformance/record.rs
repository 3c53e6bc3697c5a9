//! What happens in a run, as it happens: events, and who waits for them.
//!
//! Never: forgets an event that a `wait` counts; what is left out of a trace is left out later.
//!
//! Invariants:
//! 1. After the end of the run nothing of the server side is recorded; what clients see still is.

use serde_json::Value;
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

/// An argument of an event.
#[derive(Clone, Debug)]
pub(crate) enum Arg {
    Value(Value),
    Data(Arc<[u8]>),
}

impl Arg {
    pub(crate) fn null() -> Self {
        Self::Value(Value::Null)
    }

    pub(crate) fn text(text: impl Into<String>) -> Self {
        Self::Value(Value::String(text.into()))
    }

    pub(crate) fn data(data: &[u8]) -> Self {
        Self::Data(data.into())
    }

    /// Its bytes, if it has any.
    pub(crate) fn bytes(&self) -> Option<&[u8]> {
        match self {
            Self::Data(data) => Some(data),
            Self::Value(Value::String(text)) => Some(text.as_bytes()),
            Self::Value(_) => None,
        }
    }
}

impl<T: Into<Value>> From<T> for Arg {
    fn from(value: T) -> Self {
        Self::Value(value.into())
    }
}

/// One event.
#[derive(Clone, Debug)]
pub(crate) struct Event {
    /// Since time 0.
    pub(crate) at: Duration,
    pub(crate) label: String,
    pub(crate) name: String,
    pub(crate) args: Vec<Arg>,
}

#[derive(Default)]
struct State {
    events: Vec<Event>,
    counts: HashMap<(String, String), usize>,
    over: bool,
    /// Labels of listeners that have ended.
    closed: HashSet<String>,
    faults: Vec<String>,
}

/// The record of one run.
pub(crate) struct Record {
    zero: OnceLock<Instant>,
    state: Mutex<State>,
    changed: Condvar,
    silent: HashSet<String>,
}

impl Record {
    /// Events of these names are not recorded at all.
    pub(crate) fn new(silent: HashSet<String>) -> Self {
        let (zero, state, changed) = (OnceLock::new(), Mutex::default(), Condvar::new());
        Self { zero, state, changed, silent }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Time 0 is now.
    pub(crate) fn begin(&self) -> Instant {
        *self.zero.get_or_init(Instant::now)
    }

    fn push(&self, state: &mut State, label: &str, name: &str, args: Vec<Arg>) {
        if self.silent.contains(name) {
            return;
        }
        *state.counts.entry((label.into(), name.into())).or_default() += 1;
        let at = self.zero.get().map_or(Duration::ZERO, Instant::elapsed);
        state.events.push(Event { at, label: label.into(), name: name.into(), args });
        self.changed.notify_all();
    }

    /// An event of the server side.
    pub(crate) fn server(&self, label: &str, name: &str, args: Vec<Arg>) {
        let mut state = self.lock();
        if !state.over {
            self.push(&mut state, label, name, args);
        }
    }

    /// What a client saw.
    pub(crate) fn client(&self, label: &str, name: &str, args: Vec<Arg>) {
        self.push(&mut self.lock(), label, name, args);
    }

    /// The run is over; false when it was already.
    pub(crate) fn finish(&self, name: &str, args: Vec<Arg>) -> bool {
        let mut state = self.lock();
        if state.over {
            return false;
        }
        self.push(&mut state, "main", name, args);
        state.over = true;
        self.changed.notify_all();
        true
    }

    pub(crate) fn is_over(&self) -> bool {
        self.lock().over
    }

    /// The run cannot be what it should: it fails for this reason.
    pub(crate) fn fault(&self, what: impl Into<String>) {
        let what = what.into();
        let mut state = self.lock();
        if !state.faults.contains(&what) {
            state.faults.push(what);
        }
    }

    /// Waits until so many such events were recorded; whether they were in time.
    pub(crate) fn wait(&self, label: &str, name: &str, count: usize, limit: Duration) -> bool {
        let key = (label.to_owned(), name.to_owned());
        self.wait_until(limit, |state| state.counts.get(&key).is_some_and(|&seen| seen >= count))
    }

    /// Waits for the end of the run, for at most this long.
    pub(crate) fn wait_over(&self, limit: Duration) -> bool {
        self.wait_until(limit, |state| state.over)
    }

    /// A listener has ended.
    pub(crate) fn closed(&self, label: &str) {
        self.lock().closed.insert(label.into());
        self.changed.notify_all();
    }

    /// Waits for the end of a listener, for at most this long.
    pub(crate) fn wait_closed(&self, label: &str, limit: Duration) -> bool {
        self.wait_until(limit, |state| state.closed.contains(label))
    }

    fn wait_until(&self, limit: Duration, is_so: impl Fn(&State) -> bool) -> bool {
        let state = self.lock();
        let waited = self.changed.wait_timeout_while(state, limit, |state| !is_so(state));
        let (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        is_so(&state)
    }

    /// All events and faults of a run that has ended.
    pub(crate) fn take(&self) -> (Vec<Event>, Vec<String>) {
        let state = &mut *self.lock();
        (std::mem::take(&mut state.events), std::mem::take(&mut state.faults))
    }
}
