//! Does what actions say, inside the callback that runs.
//!
//! Never: acts on a connection from another shard: such an action is sent there.

use crate::action::{Action, Actions, Timer, Verb};
use crate::methods;
use crate::record::Arg;
use crate::run::{Run, shard_here};
use crate::{dial, servers, watches};
use serde_json::Value;
use shardpoll::{Conn, LinkOptions, Local};
use std::panic::resume_unwind;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

/// Where actions run: in a callback of a connection, or in something else on a shard.
pub(crate) enum Here<'a, 'c> {
    Conn(&'a mut Conn<'c>),
    Shard(&'a mut Local<'c>),
}

impl Here<'_, '_> {
    pub(crate) fn local<R>(&mut self, f: impl FnOnce(&mut Local<'_>) -> R) -> R {
        match self {
            Self::Conn(conn) => f(&mut conn.local()),
            Self::Shard(local) => f(local),
        }
    }
}

/// For whom actions run.
#[derive(Clone, Debug)]
pub(crate) struct Scope {
    /// The label of the connection or server whose callback it is.
    pub(crate) own: Option<String>,
    /// Whose marks they are: that label, a timer's id, or `main`.
    pub(crate) origin: String,
    /// The first argument of the callback.
    pub(crate) arg: Option<Arg>,
    /// Its number.
    pub(crate) n: u64,
}

/// Whom a label names.
pub(crate) enum Target {
    /// The connection whose callback runs.
    Own,
    /// A connection, which may be gone.
    Conn(shardpoll::ConnId),
    Server(shardpoll::ListenerId),
    /// Nobody, or nobody yet.
    Nobody,
}

/// Runs a list of actions; gives what the callback returns.
pub(crate) fn perform(
    run: &Arc<Run>,
    here: &mut Here<'_, '_>,
    scope: &Scope,
    actions: &[Action],
) -> Value {
    let mut answer = Value::Null;
    for action in actions.iter().filter(|action| applies(action, scope)) {
        match &action.verb {
            Verb::Return(value) => answer = value.clone(),
            _ => perform_one(run, here, scope, action),
        }
    }
    answer
}

fn applies(action: &Action, scope: &Scope) -> bool {
    let arg = scope.arg.as_ref().and_then(Arg::bytes);
    let equals = |text: &String| arg == Some(text.as_bytes());
    let contains = |text: &String| {
        arg.is_some_and(|arg| {
            text.is_empty() || arg.windows(text.len()).any(|part| part == text.as_bytes())
        })
    };
    action.n.is_none_or(|n| scope.n == n)
        && action.from_n.is_none_or(|n| scope.n >= n)
        && action.is.as_ref().is_none_or(equals)
        && action.has.as_ref().is_none_or(contains)
}

fn perform_one(run: &Arc<Run>, here: &mut Here<'_, '_>, scope: &Scope, action: &Action) {
    match &action.verb {
        // Without the panic hook: it is no failure.
        Verb::Error(text) => resume_unwind(Box::new(text.clone())),
        Verb::Busy(time) => thread::sleep(*time),
        Verb::Timer(_) | Verb::Stop(_) | Verb::Reschedule { .. } => {
            let (task_scope, action) = (scope.clone(), action.clone());
            on_shard(run, here, 0, move |run, here| of_timer(run, here, &task_scope, &action));
        }
        Verb::AddClient(plan) => dial::add_client(run, here, action, plan),
        Verb::WrapClient(plan) => dial::wrap_client(run, here, action, plan),
        Verb::Listen { label, listener, port_of } => {
            servers::listen_later(run, label, listener, port_of.as_deref());
        }
        Verb::Watch(plan) => watches::watch(run, here, plan),
        Verb::AddEvent(plan) => watches::add_event(run, here, plan),
        Verb::Link { from, to, read_size } => {
            link(run, here, from, to, *read_size);
        }
        Verb::CloseAll => close_all(run, here),
        Verb::SetQuitting(quit) => set_quitting(run, here, *quit),
        _ => return on_target(run, here, scope, action),
    }
    let has_none = matches!(
        action.verb,
        Verb::Busy(_) | Verb::Link { .. } | Verb::CloseAll | Verb::SetQuitting(_)
    );
    if has_none {
        methods::record_results(run, &scope.origin, action, Vec::new());
    }
}

/// Runs a task on a shard: now if it is this one.
pub(crate) fn on_shard(
    run: &Arc<Run>,
    here: &mut Here<'_, '_>,
    shard: usize,
    task: impl FnOnce(&Arc<Run>, &mut Here<'_, '_>) + Send + 'static,
) {
    if shard == shard_here() {
        task(run, here);
    } else {
        run.send(shard, move |run, local| task(run, &mut Here::Shard(local)));
    }
}

/// Whom the action is about.
fn target(run: &Run, scope: &Scope, label: Option<&String>, here: &Here<'_, '_>) -> Target {
    let Some(label) = label else { return Target::Nobody };
    if matches!(here, Here::Conn(_)) && scope.own.as_ref() == Some(label) {
        return Target::Own;
    }
    let known = run.known();
    match (known.conns.get(label), known.servers.get(label)) {
        (Some(id), _) => Target::Conn(*id),
        (None, Some(id)) => Target::Server(*id),
        (None, None) => Target::Nobody,
    }
}

/// An action with a connection, a server or a watch as its object.
fn on_target(run: &Arc<Run>, here: &mut Here<'_, '_>, scope: &Scope, action: &Action) {
    let label = action.conn.as_ref().or(scope.own.as_ref());
    let whose = label.unwrap_or(&scope.origin).clone();
    let target = target(run, scope, label, here);
    if let Target::Conn(id) = target
        && id.shard() != shard_here()
    {
        let (scope, action) = (scope.clone(), action.clone());
        let task = move |run: &Arc<Run>, local: &mut Local<'_>| {
            on_target(run, &mut Here::Shard(local), &scope, &action);
        };
        run.send(id.shard(), task);
        return;
    }
    match &action.verb {
        Verb::Mark(text) => return run.record.server(&whose, "mark", vec![Arg::text(text)]),
        Verb::After { time, then } => {
            let own = label.cloned();
            methods::record_results(run, &whose, action, Vec::new());
            let scope = Scope { own, origin: whose, arg: scope.arg.clone(), n: 1 };
            return after(run, here, *time, scope, then);
        }
        _ => {}
    }
    if watches::method(run, here, &whose, action) {
        return;
    }
    if matches!(target, Target::Nobody) && servers::method_later(run, &whose, action) {
        return;
    }
    let results = match (target, here) {
        (Target::Own, Here::Conn(conn)) => Some(methods::of_conn(run, conn, scope, action, &whose)),
        (Target::Conn(id), here) => here.local(|local| match local.conn(id) {
            Some(mut conn) => Some(methods::of_conn(run, &mut conn, scope, action, &whose)),
            None => methods::of_nobody(run, action, &whose),
        }),
        (Target::Server(id), here) => Some(servers::method(run, here, id, action)),
        _ => methods::of_nobody(run, action, &whose),
    };
    // One that is gone returns nothing.
    methods::record_results(run, &whose, action, results.unwrap_or_default());
}

fn after(run: &Arc<Run>, here: &mut Here<'_, '_>, time: Duration, scope: Scope, then: &Actions) {
    let (run, then) = (Arc::clone(run), Arc::clone(then));
    here.local(|local| {
        local.add_timer(time, move |local, _| {
            if !run.record.is_over() {
                perform(&run, &mut Here::Shard(local), &scope, &then);
            }
            None
        })
    });
}

/// Timers are shard 0's.
fn of_timer(run: &Arc<Run>, here: &mut Here<'_, '_>, scope: &Scope, action: &Action) {
    let mut results = Vec::new();
    match &action.verb {
        Verb::Timer(timer) => add_timer(run, here, timer),
        Verb::Stop(id) => {
            let id = run.known().timers.get(id).copied();
            id.map(|id| here.local(|local| local.stop(id)));
        }
        Verb::Reschedule { id, time } => {
            let id = run.known().timers.get(id).copied();
            let done = id.map(|id| here.local(|local| local.reschedule(id, *time)));
            results.extend(done.map(Arg::from));
        }
        _ => {}
    }
    if action.record {
        let mut args = vec![Arg::text(&action.name)];
        args.extend(results);
        run.record.server(&scope.origin, "ret", args);
    }
}

fn add_timer(run: &Arc<Run>, here: &mut Here<'_, '_>, timer: &Arc<Timer>) {
    let mut runs = 0;
    let (task_run, plan) = (Arc::clone(run), Arc::clone(timer));
    let task = move |local: &mut Local<'_>, _| {
        if task_run.record.is_over() {
            return None;
        }
        runs += 1;
        run_timer(&task_run, &mut Here::Shard(local), &plan, runs)
    };
    let id = here.local(|local| local.add_timer(timer.time, task));
    run.known().timers.insert(timer.id.clone(), id);
}

/// One run of a timer; gives when it runs again.
fn run_timer(
    run: &Arc<Run>,
    here: &mut Here<'_, '_>,
    timer: &Timer,
    runs: u64,
) -> Option<Duration> {
    run.record.server(&timer.id, "timer", vec![Arg::from(runs), Arg::Value(timer.param.clone())]);
    let scope = Scope { own: None, origin: timer.id.clone(), arg: None, n: runs };
    perform(run, here, &scope, &timer.then);
    if timer.error_at == Some(runs) {
        resume_unwind(Box::new(String::from("error of a timer")));
    }
    let index = usize::try_from(runs - 1).ok()?;
    timer.returns.get(index).and_then(Value::as_f64).map(crate::fields::seconds)
}

/// Everything read from one is written to the other.
fn link(run: &Arc<Run>, here: &mut Here<'_, '_>, from: &str, to: &str, read_size: Option<usize>) {
    let known = run.known();
    let ids = (known.conns.get(from).copied(), known.conns.get(to).copied());
    drop(known);
    let (Some(from), Some(to)) = ids else { return };
    let mut options = LinkOptions::default();
    if let Some(size) = read_size {
        options = options.read_size(size);
    }
    on_shard(run, here, from.shard(), move |run, here| {
        let linked = here.local(|local| local.link_with(from, to, options));
        if let (Ok(()), Some(size)) = (linked, read_size) {
            run.known().read_sizes.insert(from, size);
        }
    });
}

/// The flag, and at once everything is closed (S147); the loops end when nothing is left.
fn set_quitting(run: &Arc<Run>, here: &mut Here<'_, '_>, quit: bool) {
    run.known().quitting = quit;
    if quit {
        // The engine's own quit comes with the end of this turn.
        close_all(run, here);
        run.remote.quit(run.scenario.settings.deadline);
    } else {
        run.remote.cancel_quit();
    }
}

fn close_all(run: &Arc<Run>, here: &mut Here<'_, '_>) {
    {
        let known = &mut *run.known();
        known.closing.extend(known.servers.values());
    }
    for shard in 0..run.remote.shards() {
        on_shard(run, here, shard, |_, here| here.local(|local| local.close_all()));
    }
}
