//! What a shard can be told: tasks, for one connection or a piece of work, and orders, which
//! concern the shard as a whole.
//!
//! An order that is posted (`Mailbox::order` says `Ok`) is carried out, also by a shard that
//! drains, quits or ends: what it brings, such as a descriptor, is taken in and then ends in order,
//! or is refused with an answer. So it must be one that [`Order::carry_out`] can do, or answer,
//! whatever the shard's state. One that is not posted comes back to its sender, whole.
//!
//! Never: waits; a reply goes into a channel that has room for it.

use crate::mailbox::{Inbox, Mailbox};
use crate::way::{Arrival, Passed};
use crossbeam_channel::Sender;
use shardpoll_reactor::tls::ServerContext;
use shardpoll_reactor::{
    Accept, ConnId, DrainPlan, ListenerId, ListenerOptions, Local, Reactor, Signal, Signals, Sys,
};
use std::io;
use std::sync::Arc;
use std::time::Duration;

/// Tasks that may wait for one shard.
pub(crate) const TASKS: usize = 4096;

/// Tasks a shard does in one turn, so that connections have theirs.
pub(crate) const TASKS_PER_TURN: usize = 256;

/// Connections that one letter names at most: no letter is a turn's whole work.
pub(crate) const LIST: usize = TASKS_PER_TURN;

/// The mailbox of a shard in this world.
pub(crate) type ShardMailbox<S> = Mailbox<Task, Order<S>, <S as Sys>::Waker>;

/// The other end of it.
pub(crate) type ShardInbox<S> = Inbox<Task, Order<S>>;

/// Something to do with one connection or the whole shard.
pub(crate) enum Task {
    Write(ConnId, Vec<u8>),
    WriteShared(ConnId, Arc<[u8]>),
    WriteToAll(Box<[ConnId]>, Arc<[u8]>),
    Close(ConnId),
    Abort(ConnId),
    Run(Box<dyn FnOnce(&mut Local<'_>) + Send>),
}

const _: () = assert!(size_of::<Task>() <= 64);

impl Task {
    /// How many tasks of a turn this is worth: each connection that it names is one.
    pub(crate) fn weight(&self) -> usize {
        match self {
            Self::WriteToAll(to, _) => to.len(),
            _ => 1,
        }
    }

    pub(crate) fn carry_out(self, local: &mut Local<'_>) {
        match self {
            Self::Write(to, data) => {
                if let Some(mut conn) = local.conn(to) {
                    conn.write_vec(data);
                }
            }
            Self::WriteShared(to, data) => {
                if let Some(mut conn) = local.conn(to) {
                    conn.write_shared(data);
                }
            }
            Self::WriteToAll(to, data) => {
                for &to in &to {
                    if let Some(mut conn) = local.conn(to) {
                        conn.write_shared(Arc::clone(&data));
                    }
                }
            }
            Self::Close(id) => {
                if let Some(mut conn) = local.conn(id) {
                    conn.close();
                }
            }
            Self::Abort(id) => {
                if let Some(mut conn) = local.conn(id) {
                    conn.cut();
                }
            }
            Self::Run(job) => job(local),
        }
    }
}

/// What needs the loop itself.
pub(crate) type ReactorJob<S> = Box<dyn FnOnce(&mut Reactor<S>) + Send>;

/// What concerns the shard as a whole.
pub(crate) enum Order<S: Sys> {
    Listen(Box<ListenOrder<S>>),
    Listener(ListenerId, ListenerVerb),
    Signals(Box<SignalOrder>),
    /// Between two turns.
    Do(ReactorJob<S>),
    Passed(Box<Passed<S>>),
    Arrive(Box<Arrival<S>>),
    AllPassedOn(ListenerId),
    CloseAll,
    Drain(DrainPlan),
    Quit(Duration),
    CancelQuit,
}

/// What a listener is told on each shard.
pub(crate) enum ListenerVerb {
    Pause,
    PauseFor(Duration),
    Resume,
    Tls(Option<ServerContext>),
    Close,
}

/// An acceptor on its way to its shard.
pub(crate) type SendAcceptor = Box<dyn Accept + Send>;

pub(crate) struct ListenOrder<S: Sys> {
    pub(crate) id: ListenerId,
    pub(crate) socket: S::Fd,
    pub(crate) options: ListenerOptions,
    pub(crate) accept: SendAcceptor,
    pub(crate) reply: Sender<io::Result<()>>,
}

/// What is called for a signal.
pub(crate) type SignalCallback = Box<dyn FnMut(&mut Local<'_>, Signal) + Send>;

/// Signals on their way to their shard.
pub(crate) struct SignalOrder {
    pub(crate) signals: Signals,
    pub(crate) callback: SignalCallback,
    pub(crate) reply: Sender<io::Result<()>>,
}

impl<S: Sys> Order<S> {
    pub(crate) fn carry_out(self, reactor: &mut Reactor<S>) {
        match self {
            Self::Listen(order) => {
                let ListenOrder { id, socket, options, accept, reply } = *order;
                let result = reactor.add_listener(id, socket, options, accept);
                // Whoever asked may have gone; the listener stands all the same.
                let _gone = reply.send(result);
            }
            Self::Listener(id, ListenerVerb::Close) => reactor.close_listener(id),
            Self::Listener(id, verb) => {
                reactor.local(|local| match verb {
                    ListenerVerb::Pause => local.pause_listener(id),
                    ListenerVerb::PauseFor(time) => local.pause_listener_for(id, time),
                    ListenerVerb::Tls(context) => local.set_listener_tls(id, context),
                    ListenerVerb::Resume | ListenerVerb::Close => local.resume_listener(id),
                });
            }
            Self::Signals(order) => {
                let result = reactor.on_signals(order.signals, order.callback);
                let _gone = order.reply.send(result);
            }
            Self::Do(f) => f(reactor),
            Self::Passed(passed) => passed.carry_out(reactor),
            Self::Arrive(arrival) => arrival.carry_out(reactor),
            Self::AllPassedOn(listener) => reactor.all_passed_on(listener),
            Self::CloseAll => {
                reactor.local(|local| local.close_all());
            }
            Self::Drain(plan) => reactor.drain(plan),
            Self::Quit(deadline) => reactor.quit(deadline),
            Self::CancelQuit => reactor.cancel_quit(),
        }
    }
}
