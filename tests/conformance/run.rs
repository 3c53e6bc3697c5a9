//! What one run knows: its record, who has which label, and the ways to its shards.
//!
//! Never: holds a lock while user code, which may panic, is called.

use crate::fields::Outcome;
use crate::record::{Arg, Record};
use crate::scenario::{Listener, Scenario};
use shardpoll::{Addr, ConnId, Engine, ListenerId, Local, Remote, TimerId, WatchId};
use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::os::fd::OwnedFd;
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

/// Something for the thread that may wait for shards.
pub(crate) type Errand = Box<dyn FnOnce(&Engine) + Send>;

thread_local! {
    /// On a shard's thread: its number and the run it belongs to.
    static HERE: RefCell<Option<(usize, Weak<Run>)>> = const { RefCell::new(None) };
}

/// One run of a scenario.
pub(crate) struct Run {
    pub(crate) scenario: Arc<Scenario>,
    pub(crate) record: Record,
    pub(crate) remote: Remote,
    /// Who does errands; `None` ends it.
    pub(crate) errands: Sender<Option<Errand>>,
    pub(crate) known: Mutex<Known>,
}

/// Who is who.
#[derive(Default)]
pub(crate) struct Known {
    pub(crate) ports: BTreeMap<String, u16>,
    pub(crate) conns: HashMap<String, ConnId>,
    pub(crate) servers: HashMap<String, ListenerId>,
    /// Listeners that were told to end.
    pub(crate) closing: HashSet<ListenerId>,
    /// Listeners that were destroyed, of whose end nobody is told (S79).
    pub(crate) destroyed: HashSet<ListenerId>,
    /// Labels that `listen` was asked for.
    pub(crate) coming: HashSet<String>,
    pub(crate) watches: HashMap<String, WatchId>,
    pub(crate) timers: HashMap<String, TimerId>,
    /// The engine was told to quit: it refuses new sockets from its next turn on (S150).
    pub(crate) quitting: bool,
    pub(crate) read_sizes: HashMap<ConnId, usize>,
    calls: HashMap<(String, String), u64>,
    strangers: usize,
    /// Descriptors that came back and must stay open until the end.
    pub(crate) kept: Vec<OwnedFd>,
}

impl Run {
    pub(crate) fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The label of whom a listener has accepted: whose port it is.
    pub(crate) fn label_of(&self, peer: &Addr) -> String {
        let port = match peer {
            Addr::Ip(addr) => Some(addr.port()),
            _ => None,
        };
        let known = &mut *self.known();
        let clients = self.scenario.clients.iter().map(|client| &client.label);
        let mut found = clients.filter(|label| known.ports.get(*label).copied() == port);
        if let Some(label) = found.next() {
            return label.clone();
        }
        known.strangers += 1;
        let label = format!("?{}", known.strangers);
        if !self.record.is_over() {
            self.record.fault(format!("{label}: a connection from {peer}, which is nobody's"));
        }
        label
    }

    /// The name of a port, as scenarios write it.
    pub(crate) fn name_of_port(&self, port: Option<u16>) -> Arg {
        let Some(port) = port else { return Arg::null() };
        let known = self.known();
        let found = known.ports.iter().find(|(_, known)| **known == port);
        Arg::text(found.map_or_else(|| "other".into(), |(label, _)| format!("port-of-{label}")))
    }

    /// How often this callback of this connection has been called, this time included.
    pub(crate) fn count_call(&self, label: &str, callback: &str) -> u64 {
        let known = &mut *self.known();
        let count = known.calls.entry((label.into(), callback.into())).or_default();
        *count += 1;
        *count
    }

    /// The read size of its own that a connection has, if it has one.
    pub(crate) fn read_size(&self, conn: ConnId) -> Option<usize> {
        self.known().read_sizes.get(&conn).copied()
    }

    pub(crate) fn listener(&self, name: &str) -> Outcome<Arc<Listener>> {
        self.scenario.listener(name)
    }

    /// Runs a task on a shard; false when it has ended.
    pub(crate) fn send(
        self: &Arc<Self>,
        shard: usize,
        task: impl FnOnce(&Arc<Self>, &mut Local<'_>) + Send + 'static,
    ) -> bool {
        let run = Arc::clone(self);
        self.remote.run(shard, move |local| task(&run, local)).is_ok()
    }

    /// Has something done by the thread that may wait for shards.
    pub(crate) fn errand(&self, errand: impl FnOnce(&Engine) + Send + 'static) {
        let _over = self.errands.send(Some(Box::new(errand)));
    }

    /// This thread is that shard of this run.
    pub(crate) fn arrive(self: &Arc<Self>, shard: usize) {
        HERE.set(Some((shard, Arc::downgrade(self))));
    }
}

/// The number of this thread's shard.
pub(crate) fn shard_here() -> usize {
    HERE.with_borrow(|here| here.as_ref().map_or(0, |(shard, _)| *shard))
}

/// The run whose shard this thread is.
pub(crate) fn run_here() -> Option<Arc<Run>> {
    HERE.with_borrow(|here| here.as_ref().and_then(|(_, run)| run.upgrade()))
}
