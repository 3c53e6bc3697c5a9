//! A loop that is broken begins anew: its connections end, its listeners stay.
//!
//! Never: trusts what the broken turn has left; only descriptors, handlers and acceptors are taken
//! out of it.
//!
//! Invariants:
//! 1. Every line that was not told of its end yet is told, each under its own `catch_unwind`.

use super::Reactor;
use super::decrypt::Unread;
use super::splice::Pipe;
use crate::api::{CloseReason, Conn, Watcher};
use crate::conn::Stage;
use crate::core::{Callback, Core, Due};
use crate::id::{ConnId, Place};
use crate::listener::Listener;
use crate::phase::Phase;
use crate::sys::{Interest, Sys};
use crate::table::Entry;
use shardpoll_timers::Tick;
use std::io;
use std::os::fd::{AsFd, OwnedFd};

/// What is taken out of a broken loop.
struct Salvage<F> {
    /// Listeners, their descriptors, and when their pauses end.
    listeners: Vec<(Box<Listener>, F, Option<Tick>)>,
    watches: Vec<(OwnedFd, Box<dyn Watcher>)>,
}

impl<S: Sys> Reactor<S> {
    /// Begins anew, in another place, after a turn that has failed or panicked.
    ///
    /// Every connection ends with [`CloseReason::Internal`], which its handler is told. Timers are
    /// dropped; watches end, and get their descriptors back. Listeners stay as they were: their
    /// sockets are not touched, so who waits in their queues is served by the new loop. Counters
    /// go on, and so does a shutdown that is under way.
    ///
    /// # Errors
    /// The kernel's when there is no new poller to be had, or a listener cannot be watched.
    pub fn restart(&mut self, at: Place) -> io::Result<()> {
        let now = self.sys.now();
        self.core.now = now;
        let (phase, shutdown) = (self.core.phase, self.core.shutdown);
        // Nothing new begins on what is given up.
        self.core.phase = Phase::Quitting { deadline: Tick::MAX };
        for id in self.core.table.snapshot() {
            self.tell_lost(id);
        }
        let salvage = self.salvage();
        self.drop_user_values();
        self.fds.clear();
        self.resting.clear();
        self.unread = Unread::default();
        self.plain.clear();
        self.wire.clear();
        self.delivered = 0;
        // It may have broken in the middle of a splice.
        self.pipe = Pipe::Unopened;
        self.passing = None;
        self.events = None;
        let (config, pulse) = (self.core.config.clone(), self.pulse());
        let shards = self.core.shards;
        self.core = Core::new(at, config, now, S::wall_time, pulse);
        self.core.shards = shards;
        self.sys.renew()?;
        for (listener, fd, pause_ends) in salvage.listeners {
            self.take_over(listener, fd, pause_ends)?;
        }
        (self.core.phase, self.core.shutdown) = (phase, shutdown);
        self.forget_ended_listeners();
        for (fd, watcher) in salvage.watches {
            self.core.run(Callback::WatchClosed, |local| watcher.on_closed(local, fd, None));
        }
        self.freed_for_others = true;
        Ok(())
    }

    /// A line of the broken loop has ended.
    fn tell_lost(&mut self, id: ConnId) {
        let Some(line) = self.core.table.line_mut(id) else { return };
        let (handler, listener, opened) = (line.handler.take(), line.listener, line.opened);
        let now = self.core.now;
        self.core.pulse.counters.closed.add(1);
        if let (Some(router), Some(_)) = (self.balancer(), listener) {
            router.left(Some(now.saturating_since(opened)));
        }
        let line = self.core.line(id);
        line.fail(CloseReason::Internal);
        let told = std::mem::replace(&mut line.told, true);
        if let Some(mut handler) = handler {
            // The first reason stands.
            let reason = match line.stage.take() {
                Stage::Closed(reason) => reason,
                _ => CloseReason::Internal,
            };
            self.core.count_end(id, reason.kind());
            if !told {
                self.core.run(Callback::Disconnect, |local| {
                    handler.on_disconnect(
                        &mut Conn { core: &mut *local.core, id, lent: &[] },
                        &reason,
                    );
                });
            }
            self.core.drop_user_value(handler);
        } else {
            // Its handler was lost in the panic, or it had none.
            self.core.count_end(id, CloseReason::Internal.kind());
        }
    }

    fn salvage(&mut self) -> Salvage<S::Fd> {
        let mut salvage = Salvage { listeners: Vec::new(), watches: Vec::new() };
        for id in self.core.table.snapshot() {
            match self.core.table.entry_mut(id) {
                Some(Entry::Listener(_) | Entry::Watch(_)) => {}
                _ => continue,
            }
            match self.core.table.remove(id) {
                Some(Entry::Listener(listener)) => {
                    if listener.deaf {
                        self.ended_listeners.push((id, listener));
                        continue;
                    }
                    let fd = self.fds.get_mut(id.slot()).and_then(Option::take);
                    let pause = listener.pause_ends.and_then(|timer| self.core.timers.due(timer));
                    match fd {
                        Some(fd) if listener.accept.is_some() => {
                            salvage.listeners.push((listener, fd, pause));
                        }
                        _ => log::error!("listener {id}: was lost with its loop"),
                    }
                }
                Some(Entry::Watch(watch)) => {
                    if let Err(error) = self.sys.unwatch(watch.fd.as_fd()) {
                        log::debug!("watch {id}: {error}");
                    }
                    if let Some(watcher) = watch.watcher {
                        salvage.watches.push((watch.fd, watcher));
                    }
                }
                _ => {}
            }
        }
        salvage
    }

    /// A listener of the broken loop goes on.
    fn take_over(
        &mut self,
        mut listener: Box<Listener>,
        fd: S::Fd,
        pause_ends: Option<Tick>,
    ) -> io::Result<()> {
        listener.resting = false;
        listener.pause_ends = None;
        let (id, accepting) = (listener.id, listener.is_accepting());
        let ending = listener.ending.is_some();
        let Some(key) = self.core.table.insert(Entry::Listener(listener)) else {
            return Err(io::Error::other("too many listeners for a new loop"));
        };
        let interest = if accepting { Interest::Accept } else { Interest::Muted };
        self.sys.register(&fd, interest, key.key())?;
        self.set_fd(key, fd);
        self.core.listeners.push((id, key));
        self.core.know_listener(id);
        if ending {
            self.core.timers.insert(self.core.now, Due::ListenerEnd(key));
        }
        if let Some(due) = pause_ends {
            let timer = self.core.timers.insert(due, Due::ListenerPause(key));
            if let Some(listener) = self.core.table.listener_mut(key) {
                listener.pause_ends = Some(timer);
            }
        }
        Ok(())
    }
}
