//! Watched descriptors, and the emulation of events on them.
//!
//! Never: closes a descriptor that the scenario has only stopped watching.

use crate::action::{Action, EventPlan, Verb, WatchPlan};
use crate::dial::{blocking, port_of};
use crate::methods::record_results;
use crate::perform::{Here, on_shard};
use crate::record::Arg;
use crate::run::Run;
use serde_json::Value;
use shardpoll::{EventAnswer, EventMode, Local, Watch, WatchId, WatchInterest, Watcher, events};
use std::io::{self, Read};
use std::net::TcpStream;
use std::os::fd::OwnedFd;
use std::sync::Arc;

/// The most that is read at a call.
const ROOM: usize = 4096;

/// A socket to an upstream, connected before it is watched; `None` when that failed.
fn socket_to(run: &Run, label: &str, to: &str) -> Option<OwnedFd> {
    let connected = port_of(run, to).and_then(blocking).and_then(|stream| {
        stream.set_nonblocking(true).map_err(|error| error.to_string())?;
        Ok(stream.into())
    });
    connected.map_err(|error| run.record.fault(format!("{label}: {error}"))).ok()
}

/// What lies at a descriptor, and why there was no more: as the reference's sockets read.
fn read(watch: &Watch<'_>) -> (Vec<u8>, Option<&'static str>) {
    let mut got = vec![0; ROOM];
    let mut len = 0;
    let stream = watch.fd().try_clone_to_owned().map(TcpStream::from);
    let mut end = stream.is_err().then_some("closed");
    while let (Ok(mut stream), None) = (stream.as_ref(), end) {
        match stream.read(&mut got[len..]) {
            Ok(0) => end = Some("closed"),
            Ok(count) => len += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => end = Some("timeout"),
            Err(_) => end = Some("closed"),
        }
        if len == ROOM {
            break;
        }
    }
    got.truncate(len);
    (got, end)
}

/// A watch of the scenario.
struct Looker {
    run: Arc<Run>,
    plan: Arc<WatchPlan>,
    calls: u64,
}

impl Watcher for Looker {
    fn on_readable(&mut self, watch: &mut Watch<'_>) {
        self.calls += 1;
        let (data, end) = read(watch);
        let args = vec![Arg::data(&data), end.map_or_else(Arg::null, Arg::text)];
        self.run.record.server(&self.plan.label, "readable", args);
        if end == Some("closed") || self.plan.close_at == Some(self.calls) {
            watch.close();
        }
    }

    fn on_writable(&mut self, watch: &mut Watch<'_>) {
        self.run.record.server(&self.plan.label, "writable", Vec::new());
        let readable = (self.plan.readable && !self.plan.partial).then_some(true);
        watch.set(readable, Some(false));
    }

    fn on_closed(self: Box<Self>, _local: &mut Local<'_>, fd: OwnedFd, error: Option<io::Error>) {
        if let Some(error) = error {
            self.run.record.fault(format!("{}: {error}", self.plan.label));
        }
        // Once the run is over, all sockets are closed.
        if !self.run.record.is_over() {
            self.run.known().kept.push(fd);
        }
    }
}

/// The action `watchfd`.
pub(crate) fn watch(run: &Arc<Run>, here: &mut Here<'_, '_>, plan: &Arc<WatchPlan>) {
    let interest = WatchInterest { readable: plan.readable, writable: plan.writable };
    let looker = Looker { run: Arc::clone(run), plan: Arc::clone(plan), calls: 0 };
    begin(run, here, (&plan.label, &plan.to), interest, looker);
}

fn begin(
    run: &Arc<Run>,
    here: &mut Here<'_, '_>,
    (label, to): (&str, &str),
    interest: WatchInterest,
    watcher: impl Watcher,
) {
    let Some(fd) = socket_to(run, label, to) else { return };
    match here.local(|local| local.watch(fd, interest, watcher)) {
        Ok(id) => {
            run.known().watches.insert(label.to_owned(), id);
        }
        Err(refused) => run.record.fault(format!("{label}: {refused}")),
    }
}

/// The action `addevent`.
pub(crate) fn add_event(run: &Arc<Run>, here: &mut Here<'_, '_>, plan: &Arc<EventPlan>) {
    let mode = match plan.mode.as_str() {
        "r" => EventMode::Read,
        "w" => EventMode::Write,
        _ => EventMode::ReadWrite,
    };
    let (callback_run, callback_plan) = (Arc::clone(run), Arc::clone(plan));
    let mut calls = 0;
    let watcher = events(mode, move |watch| {
        let (data, end) = read(watch);
        callback_run.record.server(&callback_plan.label, "event", vec![Arg::data(&data)]);
        let answer = callback_plan.returns.get(calls);
        calls += 1;
        match answer {
            _ if end == Some("closed") => EventAnswer::Leave,
            Some(answer) if answer.as_f64() == Some(-1.0) => EventAnswer::Leave,
            None | Some(Value::Null | Value::Bool(false)) => EventAnswer::Unchanged,
            Some(_) => EventAnswer::Again,
        }
    });
    begin(run, here, (&plan.label, &plan.to), mode.into(), watcher);
}

/// A method of a watch; false when the label is none.
pub(crate) fn method(
    run: &Arc<Run>,
    here: &mut Here<'_, '_>,
    label: &str,
    action: &Action,
) -> bool {
    let Some(id) = run.known().watches.get(label).copied() else { return false };
    let (label, action) = (label.to_owned(), action.clone());
    on_shard(run, here, id.shard(), move |run, here| {
        let results = here.local(|local| of_watch(run, local, id, &action));
        record_results(run, &label, &action, results);
    });
    true
}

fn of_watch(run: &Arc<Run>, local: &mut Local<'_>, id: WatchId, action: &Action) -> Vec<Arg> {
    match &action.verb {
        Verb::SetFlags { readable, writable } => {
            let done = local.set_watch(id, *readable, *writable);
            return vec![Arg::from(done)];
        }
        Verb::Close => {
            local.stop_watch(id);
        }
        Verb::PauseFor(None) => {
            local.set_watch(id, Some(false), None);
        }
        Verb::PauseFor(Some(time)) => {
            local.set_watch(id, Some(false), None);
            local.add_timer(*time, move |local, _| {
                local.set_watch(id, Some(true), None);
                None
            });
        }
        other => run.record.fault(format!("{other:?} is for no watch")),
    }
    Vec::new()
}
