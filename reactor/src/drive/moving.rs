//! Live lines that leave for another loop, and those that arrive; and what a listener has accepted
//! for another.
//!
//! Never: takes a line away while a cursor on it exists, or drops one that travels.
//!
//! Invariants:
//! 1. A line that has left has no slot, timer or registration here, and is counted in nothing but
//!    `moved_out`; one that arrives is counted in `moved_in`, not as accepted.

use super::Reactor;
use super::serve::Cause;
use crate::api::{Addr, CloseReason, Local, MoveError, Status};
use crate::conn::{Luggage, Moving, SendHandler, Travel};
use crate::core::{Callback, Held};
use crate::id::{ConnId, ListenerId};
use crate::router::{Fresh, Parcel, Router};
use crate::sys::{Interest, Sys};
use crate::table::Entry;
use std::rc::Rc;

impl<S: Sys> Reactor<S> {
    /// Connections may live on other loops too, from now on: this knows the way. Before the first
    /// listener is added.
    pub fn route(&mut self, router: Box<dyn Router<S::Fd>>) {
        self.core.shards = router.shards();
        self.router = Some(router);
    }

    /// Who is told where connections live, if they could live elsewhere.
    #[inline]
    pub(super) fn balancer(&mut self) -> Option<&mut Box<dyn Router<S::Fd>>> {
        let others = self.core.shards > 1;
        self.router.as_mut().filter(|_| others)
    }

    /// A line was at rest when its last service ended; if it still is, it leaves.
    pub(super) fn carry_out_move(&mut self, id: ConnId) {
        let Some(line) = self.core.table.line_mut(id) else { return };
        let leaves = line.may_leave();
        let Some(tuning) = &mut line.tuning else { return };
        let moving = match tuning.travel.take() {
            Some(Travel::Wished(moving)) => moving,
            other => return tuning.travel = other,
        };
        match leaves {
            Ok(true) => {}
            // The service that brings it to rest says so again.
            Ok(false) => {
                return tuning.travel = Some(Travel::Wished(Moving { wished: false, ..moving }));
            }
            // It is told of its end, and of nothing else.
            Err(MoveError::Ending) => return,
            Err(error) => return self.core.stay(id, Status::NotMoved(error)),
        }
        let handler = line.handler.take().expect("between services a live line has its handler");
        match (moving.as_send)(handler) {
            Ok(handler) => self.send_off(id, handler, &moving),
            Err(handler) => {
                line.handler = Some(handler);
                self.core.stay(id, Status::NotMoved(MoveError::OtherHandler));
            }
        }
    }

    /// A line leaves; it comes back at once if the other loop takes none.
    fn send_off(&mut self, id: ConnId, handler: SendHandler, moving: &Moving) {
        let fd = self.fds.get_mut(id.slot()).and_then(Option::take);
        let fd = fd.expect("an open line has a descriptor");
        if let Err(error) = self.sys.deregister(&fd) {
            // An event that comes all the same names nobody.
            log::debug!("connection {id}: cannot be unregistered: {error}");
        }
        let Some(Entry::Line(line)) = self.core.table.remove(id) else { return };
        let (luggage, counted) = Luggage::pack(line, handler);
        self.core.queued -= counted;
        self.core.pulse.counters.moved_out.add(1);
        self.core.count_gone(luggage.listener());
        let (to, link) = (moving.to, moving.link);
        let heard = self.core.phase.tells();
        let parcel = Parcel { fd, was: id, to, link, heard, luggage: Box::new(luggage) };
        let refused = match &mut self.router {
            Some(router) => {
                if parcel.is_accepted() && self.core.shards > 1 {
                    router.left(None);
                }
                router.send(parcel).err()
            }
            None => Some(parcel),
        };
        if let Some(parcel) = refused {
            if let Err(parcel) = self.arrive(parcel) {
                // Its own slot was the last one with a generation to give.
                log::error!("connection {}: there is no room for it anywhere", parcel.was);
            }
        }
    }

    /// A live connection has come from another loop: its handler is told
    /// ([`Handler::on_moved`](crate::Handler::on_moved)), and it goes on.
    ///
    /// While this loop quits it is closed, as all others are.
    ///
    /// # Errors
    /// The parcel, untouched, when the table of this loop is full.
    pub fn arrive(&mut self, parcel: Parcel<S::Fd>) -> Result<ConnId, Parcel<S::Fd>> {
        if self.core.table.is_full() {
            return Err(parcel);
        }
        self.core.now = self.sys.now();
        let Parcel { fd, was, link, heard, luggage, .. } = parcel;
        let accepted = luggage.listener().is_some();
        let (mut line, local) = luggage.unpack(self.core.now);
        line.local = local.map(|addr| self.share_addr(line.listener, addr));
        line.tune().travel = Some(Travel::Arrived { was, link, heard });
        let id = self.core.table.insert(Entry::Line(line)).expect("it was asked for room");
        let registered = self.sys.register(&fd, Interest::Stream, id.key());
        self.set_fd(id, fd);
        self.core.recount(id);
        #[cfg(feature = "sim")]
        self.core.note_arrival();
        self.core.pulse.counters.moved_in.add(1);
        let listener = self.core.line(id).listener;
        self.core.count_open(listener);
        if let (Some(router), true) = (self.balancer(), accepted) {
            router.entered();
        }
        if let Err(error) = registered {
            log::warn!("connection {id}: cannot be watched: {error}");
            self.core.line(id).fail(CloseReason::Io(error));
        }
        if self.core.phase.quits() {
            self.core.close(id, CloseReason::Asked);
        }
        self.serve(id, Cause::Asked);
        Ok(id)
    }

    /// An address as the listener of this loop shares it, if it has the same.
    fn share_addr(&mut self, listener: Option<ListenerId>, addr: Addr) -> Rc<Addr> {
        let keys = listener.map_or_else(Vec::new, |id| self.core.all_listener_keys(id));
        let key = keys.first().copied();
        match key.and_then(|key| self.core.table.listener_mut(key)) {
            Some(listener) if *listener.local == addr => Rc::clone(&listener.local),
            _ => Rc::new(addr),
        }
    }

    /// What a line's handler has to hear of a move: before anything else.
    #[cold]
    pub(super) fn tell_travel(&mut self, id: ConnId, held: &mut Held) {
        let line = self.core.line(id);
        let Some(tuning) = &mut line.tuning else { return };
        match tuning.travel.take() {
            Some(Travel::Arrived { was, link, heard }) => {
                // Behind the callback, also if it panics.
                tuning.travel = link.map(Travel::Linking);
                line.untune();
                self.core.call_out(id, held, Callback::Moved, |h, c| h.on_moved(c, was));
                if !heard && self.core.phase.tells() {
                    self.tell_drain_begin(id, held);
                }
                self.link_arrived(id, held);
            }
            Some(Travel::Linking(link)) => {
                tuning.travel = Some(Travel::Linking(link));
                self.link_arrived(id, held);
            }
            Some(Travel::Failed(status)) => {
                line.untune();
                if line.stage.is_open() {
                    self.core.call_out(id, held, Callback::Status, |h, c| h.on_status(c, &status));
                }
            }
            other => tuning.travel = other,
        }
    }

    /// Links a line that has come to be linked.
    fn link_arrived(&mut self, id: ConnId, held: &mut Held) {
        let line = self.core.line(id);
        let Some(tuning) = &mut line.tuning else { return };
        let Some(Travel::Linking(link)) = tuning.travel else { return };
        tuning.travel = None;
        line.untune();
        if let Err(error) = (Local { core: &mut self.core, lent: &[] }).link_as(id, link) {
            self.core.pulse.counters.failed_moves.add(1);
            let status = Status::NotLinked(error);
            log::debug!("connection {id}: {status}");
            if self.core.line(id).stage.is_open() {
                self.core.call_out(id, held, Callback::Status, |h, c| h.on_status(c, &status));
            }
        }
    }
}

/// Connections that were accepted for others.
impl<S: Sys> Reactor<S> {
    /// A connection was accepted: it is served here, unless the router has it.
    #[inline(always)]
    pub(super) fn pass_or_admit(
        &mut self,
        key: ConnId,
        listener: ListenerId,
        fd: S::Fd,
        addr: Addr,
        held: &mut Held,
    ) {
        let Some(router) = self.balancer() else {
            return self.admit_any(key, fd, addr, held);
        };
        match router.pass(Fresh { listener, fd, addr, refused: false }) {
            Some(Fresh { fd, addr, .. }) => {
                self.admit_any(key, fd, addr, held);
                self.settle_passes();
            }
            None => self.core.pulse.counters.passed_on.add(1),
        }
    }

    fn settle_passes(&mut self) {
        if let Some(router) = self.balancer() {
            router.settled();
        }
    }

    /// Serves a connection that another loop has accepted, as if it had been accepted here.
    ///
    /// # Errors
    /// The connection, when there is no such listener here, or it is paused, or
    /// this loop quits: the loop that has
    /// accepted it serves it itself when it is given it back by this same call. When it is given
    /// back even there, that listener was ended by force.
    pub fn admit_passed(&mut self, mut fresh: Fresh<S::Fd>) -> Result<(), Fresh<S::Fd>> {
        self.core.now = self.sys.now();
        let key = self.core.all_listener_keys(fresh.listener).first().copied();
        let takes = !self.core.phase.quits();
        let found = key.and_then(|key| Some((key, self.core.table.listener_mut(key)?)));
        match found {
            Some((key, listener)) if fresh.refused || takes && !listener.paused => {
                if let Some(router) = self.balancer() {
                    router.taken();
                }
                self.admit(key, fresh.fd, fresh.addr);
                self.settle_passes();
                Ok(())
            }
            _ => {
                fresh.refused = true;
                Err(fresh)
            }
        }
    }

    /// Nothing that this listener has accepted can come back any more
    /// ([`Router::closed`](crate::Router::closed)): if it is closed, its end is told.
    pub fn all_passed_on(&mut self, listener: ListenerId) {
        for key in self.core.all_listener_keys(listener) {
            if self.core.table.listener_mut(key).is_some_and(|listener| listener.deaf) {
                self.forget_listener(key);
            }
        }
    }
}
