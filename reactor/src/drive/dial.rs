//! Outgoing connections, those that are adopted, and the other wishes that need a descriptor.
//!
//! Never: connects inside a callback.

use super::Reactor;
use super::serve::Cause;
use crate::api::{Addr, CloseReason, Handler, Options, Refused, SocketOption, Target};
use crate::conn::{Channel, Marks, Ready, Stage, TlsChannel, TlsDial};
use crate::core::{Dial, Wish};
use crate::counters::LoopCounts;
use crate::id::ConnId;
use crate::sys::{Interest, Sys};
use shardpoll_timers::Tick;
use shardpoll_tls::{Error, Session};
use std::io;
use std::net::IpAddr;
use std::rc::Rc;

impl<S: Sys> Reactor<S> {
    #[inline(always)]
    pub(super) fn carry_out_wishes(&mut self) {
        if !self.core.wishes.is_empty() {
            self.carry_out();
        }
    }

    #[inline(never)]
    fn carry_out(&mut self) {
        for wish in std::mem::take(&mut self.core.wishes) {
            match wish {
                Wish::Connect(id, dial) => self.dial(id, dial),
                Wish::Option(id, option) => self.set_option(id, option),
                Wish::CloseListener(id) => self.end_listener(id),
                Wish::FreeListener(id) => self.free_listener(id),
                Wish::Watch(id) => self.settle_watch(id),
                Wish::SettleListener(id) => self.settle_listener(id),
                Wish::Move(id) => self.carry_out_move(id),
            }
        }
    }

    fn dial(&mut self, id: ConnId, dial: Dial) {
        // It may have been closed before it was begun.
        if !self.core.table.line(id).is_some_and(|line| line.is_connecting()) {
            return;
        }
        let Dial { target, source, options, fast_open } = dial;
        let begun = match target {
            Target::One(to @ Addr::Ip(_)) if fast_open => self.connect_fast(id, &to, source),
            Target::One(to) => match connect(&mut self.sys, &to, source, None) {
                Ok((fd, _)) => Ok(fd),
                Err(error) => Err(CloseReason::Connect(error)),
            },
            Target::Adopted(stream) => self.sys.adopt(stream).map_err(CloseReason::Connect),
            Target::Any(list) => {
                self.begin_race(id, list, source, options);
                return self.serve(id, Cause::Asked);
            }
        };
        match begun {
            Ok(fd) => self.watch_stream(id, fd, options),
            Err(reason) => self.core.line(id).fail(reason),
        }
        self.serve(id, Cause::Asked);
    }

    /// Begins to connect with the first bytes of the connection, if there are any yet; the kernel
    /// takes all, some or none of them along (RFC 7413).
    fn connect_fast(
        &mut self,
        id: ConnId,
        to: &Addr,
        source: Option<IpAddr>,
    ) -> Result<S::Fd, CloseReason> {
        let now = self.core.now;
        let line = self.core.line(id);
        if let Stage::Connecting(Some(plan)) = &mut line.stage {
            plan.begun = Some(begin_tls(plan, now).map_err(CloseReason::from_tls)?);
        }
        let first = match &line.stage {
            Stage::Connecting(Some(plan)) => {
                plan.begun.as_ref().map_or(&[][..], |tls| tls.owed.as_slice())
            }
            _ => line.outbox.front(),
        };
        let begun = connect(&mut self.sys, to, source, Some(first));
        let (fd, taken) = begun.map_err(CloseReason::Connect)?;
        match &mut line.stage {
            Stage::Connecting(Some(plan)) => {
                if let Some(tls) = &mut plan.begun {
                    tls.owed.consume(taken);
                }
            }
            _ => line.outbox.consume(taken),
        }
        self.core.traffic.bytes_out += taken as u64;
        Ok(fd)
    }

    /// The descriptor of a line that has had none.
    fn watch_stream(&mut self, id: ConnId, fd: S::Fd, options: Options) {
        match self.sys.register(&fd, Interest::Stream, id.key()) {
            Ok(()) => {
                set_options(&mut self.sys, &self.core.pulse.counters, id, &fd, options);
                self.set_fd(id, fd);
            }
            Err(error) => self.core.line(id).fail(CloseReason::Connect(error)),
        }
    }

    /// Takes over a stream's descriptor, which must be non-blocking, as
    /// [`Local::adopt`](crate::Local::adopt) does; what comes of it is told in the turns to come.
    ///
    /// # Errors
    /// [`Refused`]; then the descriptor is closed, and there is no callback.
    pub fn adopt(&mut self, fd: S::Fd, handler: impl Handler) -> Result<ConnId, Refused> {
        self.core.now = self.sys.now();
        let id = self.core.add_outgoing(Addr::Unix(None), None, handler)?;
        self.watch_stream(id, fd, Options::default());
        self.core.revisit(id);
        Ok(id)
    }

    /// The descriptor of a connection; `None` when it is gone, or still without one (S154).
    ///
    /// For looking at. Whoever reads from it, writes to it or changes its flags breaks what the
    /// loop knows of it.
    #[must_use]
    pub fn socket(&self, id: ConnId) -> Option<&S::Fd> {
        self.core.table.line(id)?;
        self.fds.get(id.slot())?.as_ref()
    }

    fn set_option(&mut self, id: ConnId, option: SocketOption) {
        let mut options = Options::default();
        options.set(option);
        let Self { sys, fds, core, .. } = self;
        let Some(line) = core.table.line_mut(id) else { return };
        let mut tell = |slot: usize| {
            if let Some(Some(fd)) = fds.get(slot) {
                set_options(sys, &core.pulse.counters, id, fd, options);
            }
        };
        match &mut line.race {
            None => tell(id.slot()),
            // Whoever wins shall have it.
            Some(race) => {
                race.options.set(option);
                race.running.iter().for_each(|attempt| tell(attempt.slot()));
            }
        }
    }

    /// An event for a connection that is being established: looks what has become of it.
    pub(super) fn finish_dial(&mut self, id: ConnId) {
        let now = self.core.now;
        let line = self.core.line(id);
        if !line.ready.has(Ready::WRITABLE) && !line.ready.has(Ready::ENDED) {
            return;
        }
        let Some(Some(fd)) = self.fds.get(id.slot()) else {
            return;
        };
        match self.sys.connected(fd) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                line.ready.clear(Ready::WRITABLE);
                return;
            }
            Err(error) => return line.fail(CloseReason::Connect(error)),
        }
        // Names are for looking at: a socket that has none any more goes its way all the same.
        line.local = self.sys.local_addr(fd).ok().map(Rc::new);
        if line.peer == Addr::Unix(None) {
            line.peer = self.sys.peer_addr(fd).unwrap_or(Addr::Unix(None));
        }
        line.begins_to_listen(now);
        line.last_progress = now;
        match line.stage.take() {
            Stage::Connecting(None) => {
                line.enter(Stage::Open(Channel::Plain));
                line.marks.add(Marks::CONNECT);
                line.marks.add(Marks::DRAIN);
            }
            Stage::Connecting(Some(plan)) => match resume_tls(*plan, now) {
                Ok(tls) => {
                    line.enter(Stage::Handshaking(tls));
                    line.marks.add(Marks::STARTTLS);
                    let listener = line.listener;
                    self.core.count_handshake_begun(listener);
                }
                Err(error) => line.enter(Stage::Closed(CloseReason::from_tls(error))),
            },
            other => line.enter(other),
        }
    }
}

/// Begins to connect, from this address if one is named.
pub(super) fn connect<S: Sys>(
    sys: &mut S,
    to: &Addr,
    source: Option<IpAddr>,
    first: Option<&[u8]>,
) -> io::Result<(S::Fd, usize)> {
    match source {
        Some(source) if to.ip().is_none_or(|to| to.is_ipv4() != source.is_ipv4()) => {
            let text = format!("{to} cannot be reached from {source}, which is of another family");
            Err(io::Error::new(io::ErrorKind::InvalidInput, text))
        }
        _ => sys.connect(to, source, first),
    }
}

/// One that is refused is no reason to end: it is logged and counted.
pub(super) fn set_options<S: Sys>(
    sys: &mut S,
    counters: &LoopCounts,
    id: ConnId,
    fd: &S::Fd,
    options: Options,
) {
    for option in options.iter() {
        if let Err(error) = sys.set_option(fd, option) {
            log::warn!("connection {id}: {option:?} is refused: {error}");
            counters.refused_options.add(1);
        }
    }
}

/// The session that has begun with the first packet, or one that begins now.
fn resume_tls(mut plan: TlsDial, now: Tick) -> Result<Box<TlsChannel>, Error> {
    match plan.begun.take() {
        Some(mut tls) => {
            tls.began = now;
            Ok(tls)
        }
        None => begin_tls(&plan, now),
    }
}

fn begin_tls(plan: &TlsDial, now: Tick) -> Result<Box<TlsChannel>, Error> {
    let session = Session::client(&plan.context, plan.name.clone())?;
    let mut tls = TlsChannel::new(session, now);
    tls.owed.extend(&plan.preface);
    let mut wire = Vec::new();
    tls.session.start(&mut wire)?;
    tls.owed.extend(&wire);
    Ok(tls)
}
