//! What must hold between two turns, looked at from inside: for the simulation and for tests.
//!
//! Never: changes anything; is compiled without the feature `sim`.

use super::Reactor;
use super::splice::Pipe;
use crate::conn::journey::{Step, Transitions};
use crate::conn::{Fin, Line, Marks, Pull, Ready, Reason, Stage};
use crate::core::Wish;
use crate::id::ConnId;
use crate::listener::Listener;
use crate::sys::{Sim, Sys};
use crate::table::Entry;
use shardpoll_timers::Tick;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

/// Says what is broken, unless it is not.
fn hold(holds: bool, text: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(text()) }
}

impl<S: Sys> Reactor<S> {
    /// How many descriptors this loop owns.
    #[must_use]
    pub fn descriptors(&self) -> usize {
        let pipe = if matches!(self.pipe, Pipe::Open(_)) { 2 } else { 0 };
        self.fds.iter().flatten().count() + usize::from(self.reserve.is_some()) + pipe
    }

    /// The connections on this loop.
    #[must_use]
    pub fn connections(&self) -> Vec<ConnId> {
        let mut ids = self.core.table.snapshot();
        ids.retain(|id| self.core.table.line(*id).is_some());
        ids
    }

    /// How often connections went from one stage to another; each is counted when it is freed.
    #[must_use]
    pub fn transitions(&self) -> Transitions {
        self.transitions
    }

    /// Verifies the invariants of the loop, which hold between any two turns. Takes O(n).
    ///
    /// # Errors
    /// Says which one is broken, and where: a bug in this library.
    pub fn check(&self) -> Result<(), String> {
        let heap = catch_unwind(AssertUnwindSafe(|| self.core.timers.assert_invariants()));
        hold(heap.is_ok(), || "the timer heap is broken".into())?;
        let running = self.core.timers.running();
        hold(running == 0, || format!("{running} timers run between turns"))?;
        let staging = &self.core.staging;
        hold(staging.is_empty(), || "bytes are staged between turns".into())?;
        hold(staging.line().is_none(), || "the staging buffer has an owner".into())?;
        hold(self.passing.is_none(), || "a chunk is on its way between turns".into())?;
        let ids = self.core.table.snapshot();
        let live = self.core.table.live();
        hold(ids.len() == live, || format!("{} slots are taken, not {live}", ids.len()))?;
        let mut agenda = self.core.agenda.clone();
        agenda.sort_unstable();
        for pair in agenda.windows(2) {
            let twice = pair[0] == pair[1] && self.core.table.line(pair[0]).is_some();
            hold(!twice, || format!("{} is on the agenda twice", pair[0]))?;
        }
        let watches = ids.iter().filter(|id| self.core.table.watch(**id).is_some()).count();
        let counted = self.core.watches;
        hold(counted == watches, || format!("{counted} watches are counted, not {watches}"))?;
        for &id in &ids {
            match self.core.table.line(id) {
                Some(line) => self.check_line(id, line, agenda.binary_search(&id).is_ok())?,
                None => self.check_other(id)?,
            }
        }
        for (id, listener) in &self.ended_listeners {
            self.check_listener(*id, listener)?;
        }
        let lines = || ids.iter().filter_map(|id| self.core.table.line(*id));
        let (counted, queued) = (lines().map(|line| line.counted).sum(), self.core.queued);
        hold(queued == counted, || format!("{queued} bytes are counted as queued, not {counted}"))?;
        let beyond: usize = lines().map(|line| self.beyond_cap(line)).sum();
        let cap = self.core.shard_queue_cap.max(self.core.carried).saturating_add(beyond);
        hold(queued <= cap, || format!("{queued} bytes are queued on the shard, above {cap}"))?;
        let marked = lines().filter(|line| line.marks.has(Marks::HANDSHAKE)).count();
        let live = self.core.handshakes.live;
        hold(live == marked, || format!("{live} handshakes are counted, not {marked}"))?;
        let (spare, found) = (self.core.table.spare_alarms(), self.core.table.count_spare());
        hold(spare == found, || format!("{spare} alarms are counted as spare, not {found}"))?;
        self.check_counters(lines().count() as u64)?;
        // A snapshot is in the order of slots.
        for (slot, fd) in self.fds.iter().enumerate() {
            let owned = fd.is_none() || ids.binary_search_by_key(&slot, |id| id.slot()).is_ok();
            hold(owned, || format!("the descriptor of slot {slot} belongs to nobody"))?;
        }
        Ok(())
    }

    /// Each connection that has come is open, or gone with a reason.
    fn check_counters(&self, lines: u64) -> Result<(), String> {
        let counters = self.counters();
        let (open, ended) = (counters.open, counters.closed_by.total());
        hold(open == lines, || format!("{open} connections are counted as open, not {lines}"))?;
        let came = counters.accepted + counters.dialed + counters.moved_in;
        let gone = counters.closed + counters.moved_out;
        hold(came == open + gone, || {
            format!("{came} connections came, {open} + {gone} are known")
        })?;
        // Those that linger have ended, and are open.
        let told = counters.closed <= ended && ended <= came;
        hold(told, || format!("{ended} connections have ended, of {came}; {gone} are gone"))?;
        let listeners = self.core.pulse.listeners();
        let accepted = listeners.iter().map(|(_, counters)| counters.accepted).sum();
        let from = counters.accepted;
        hold(from == accepted, || format!("{from} were accepted, of listeners {accepted}"))
    }

    /// The alarm of a line's slot is in the heap; gives when it comes up.
    fn check_alarm(&self, id: ConnId) -> Result<Tick, String> {
        let (entry, due) = self.core.table.alarm(id);
        let due_in_heap = |entry| self.core.timers.due(entry).unwrap_or(Tick::ZERO);
        let stands = entry.map_or(Tick::MAX, due_in_heap);
        let same = stands == due || entry.is_some() && due < stands;
        hold(same, || format!("{id}: its alarm stands at {stands:?}, not {due:?}"))?;
        Ok(stands)
    }

    /// A listener or a watch.
    fn check_other(&self, id: ConnId) -> Result<(), String> {
        let has_fd = self.owns_fd(id);
        let Some(watch) = self.core.table.watch(id) else {
            let deaf = matches!(self.core.table.entry(id), Some(Entry::Listener(it)) if it.deaf);
            hold(has_fd != deaf, || format!("listener or attempt {id} has no descriptor"))?;
            if let Some(Entry::Listener(listener)) = self.core.table.entry(id) {
                self.check_listener(id, listener)?;
            }
            return self.check_attempt(id);
        };
        // Its descriptor is in its entry.
        hold(!has_fd, || format!("watch {id} has the descriptor of another"))?;
        let wishes = self.core.wishes.iter();
        let wished = wishes.filter(|wish| matches!(wish, Wish::Watch(of) if *of == id)).count();
        let flag = watch.wished;
        hold(wished == usize::from(flag), || format!("{id}: wished {flag}, {wished} wishes"))?;
        let settled = watch.wanted() == watch.registered && !watch.closing;
        hold(flag || settled, || format!("{id}: has changed, and nobody tells the kernel"))?;
        hold(flag || watch.watcher.is_some(), || format!("{id}: has lost its watcher"))?;
        let pending = |pause| self.core.timers.due(pause).is_some();
        hold(watch.pause.is_none_or(pending), || format!("{id}: is paused for ever"))
    }

    /// A listener knows how many wait for their headers; one that has ended is kept for them.
    fn check_listener(&self, id: ConnId, listener: &Listener) -> Result<(), String> {
        let waits = |line: &Line| matches!(&line.stage, Stage::Preface(p) if p.listener == id);
        let ids = self.core.table.snapshot();
        let waiting = ids.iter().filter_map(|id| self.core.table.line(*id)).filter(|l| waits(l));
        let (waiting, known) = (waiting.count(), Rc::strong_count(&listener.prefaces) - 1);
        hold(waiting == known, || format!("listener {id}: {waiting} wait, {known} are known"))?;
        // Those that were ended from elsewhere are freed when they are served.
        let ended = self.ended_listeners.iter().any(|(kept, _)| *kept == id);
        let needed = waiting > 0 || !self.core.agenda.is_empty();
        hold(!ended || needed, || format!("listener {id} has ended, and nobody waits"))
    }

    /// Nobody knows of a line that waits for its header.
    fn check_preface(&self, id: ConnId, line: &Line) -> Result<(), String> {
        let Stage::Preface(preface) = &line.stage else { return Ok(()) };
        let unknown = line.told && line.handler.is_none() && !line.connected;
        hold(unknown, || format!("{id}: is known before its header is"))?;
        let key = preface.listener;
        let accepts = matches!(self.core.table.entry(key), Some(Entry::Listener(_)))
            || self.ended_listeners.iter().any(|(ended, _)| *ended == key);
        hold(accepts, || format!("{id}: nobody is left who accepts it"))?;
        hold(line.queued() == 0, || format!("{id}: is written to before its header is there"))
    }

    /// An attempt belongs to one line, which knows of it.
    fn check_attempt(&self, id: ConnId) -> Result<(), String> {
        let Some(Entry::Attempt(attempt)) = self.core.table.entry(id) else { return Ok(()) };
        let race = self.core.table.line(attempt.line).and_then(|line| line.race.as_ref());
        let named = race.is_some_and(|race| race.running.contains(&id));
        hold(named, || format!("attempt {id} belongs to nobody"))
    }

    /// A line that connects to any of several addresses: its attempts are its own, and one runs.
    fn check_race(&self, id: ConnId, line: &Line, listed: bool) -> Result<(), String> {
        let Some(race) = &line.race else { return Ok(()) };
        for attempt in &race.running {
            let entry = self.core.table.entry(*attempt);
            let own = matches!(entry, Some(Entry::Attempt(attempt)) if attempt.line == id);
            hold(own, || format!("{id}: its attempt {attempt} is none"))?;
        }
        // One that was ended from elsewhere ends its attempts when it is served.
        let runs = listed || line.is_connecting() && !race.running.is_empty();
        hold(runs, || format!("{id}: has a race in which nobody runs"))?;
        hold(!self.owns_fd(id), || format!("{id}: has a descriptor before one has won"))
    }

    fn owns_fd(&self, id: ConnId) -> bool {
        matches!(self.fds.get(id.slot()), Some(Some(_)))
    }

    fn check_line(&self, id: ConnId, line: &Line, listed: bool) -> Result<(), String> {
        let core = &self.core;
        let (stage, step) = (Step::of(&line.stage), line.journey.last());
        hold(stage == step, || format!("{id}: is {stage:?} and was seen to be {step:?}"))?;
        let flag = line.on_agenda;
        hold(flag == listed, || format!("{id}: on_agenda {flag}, on the agenda {listed}"))?;
        hold(listed || !line.has_work(), || {
            let (stage, ready) = (Step::of(&line.stage), line.ready);
            format!("{id}: {stage:?}, {ready:?}: has work, and nobody comes back")
        })?;
        let under_way = matches!(line.stage, Stage::Handshaking(_));
        let counted = line.marks.has(Marks::HANDSHAKE) == under_way;
        // One that was ended from elsewhere is no longer counted once it is served.
        hold(listed || counted, || format!("{id}: {stage:?}, and its handshake is not"))?;
        self.check_race(id, line, listed)?;
        self.check_preface(id, line)?;
        let has_fd = self.owns_fd(id);
        // One that connects has none until its wish is carried out, or one of its attempts has won;
        // one that failed before may end.
        let may_lack = matches!(line.stage, Stage::Connecting(_) | Stage::Closed(_));
        hold(has_fd || may_lack, || format!("{id}: has no descriptor"))?;
        // One that was aborted from elsewhere drops its handler when it is served.
        let untold = line.handler.is_none() || !line.told;
        hold(listed || untold, || format!("{id}: was told of its end and has a handler"))?;
        let served = line.handler.is_some() || line.told;
        hold(served, || format!("{id}: has lost its handler"))?;
        let (queued, cap) = (line.queued(), core.queue_cap.saturating_add(self.beyond_queue(line)));
        hold(queued <= cap, || format!("{id}: {queued} bytes are queued, above {cap}"))?;
        let counted = line.counted;
        hold(counted == queued, || format!("{id}: {counted} bytes are counted, not {queued}"))?;
        self.check_links(id, line)?;
        let stands = self.check_alarm(id)?;
        let (due, limit) = line.deadline(&core.spans);
        // A line that is on the agenda is settled before the loop waits.
        let in_time = listed || stands <= due.max(core.now);
        hold(in_time, || format!("{id}: {limit:?} is due at {due:?}, its alarm at {stands:?}"))
    }
}

impl<S: Sys> Reactor<S> {
    /// How much of a line's queue may be beyond the cap of the shard: what a callback staged, or a
    /// link brought, when nothing was queued.
    fn beyond_cap(&self, line: &Line) -> usize {
        let read = self.rx.len().max(self.wide_rx.len());
        line.queued().min(read.max(self.core.staged_cap)) + self.beyond_queue(line)
    }

    /// How much of what a line has queued no limit was asked for: what TLS has to say, and what it
    /// has added.
    fn beyond_queue(&self, line: &Line) -> usize {
        line.stage.tls().map_or(0, |tls| tls.owed.as_slice().len())
    }

    fn check_links(&self, id: ConnId, line: &Line) -> Result<(), String> {
        let table = &self.core.table;
        let held_back = line.gate.has(Reason::Linked);
        hold(line.link().is_some() || !held_back, || format!("{id}: waits for no target"))?;
        let Some(tuning) = &line.tuning else { return Ok(()) };
        if let Some(link) = tuning.link {
            let target = table.line(link.to).and_then(|to| Some((to, to.tuning.as_ref()?)));
            let Some((to, its)) = target else {
                return Err(format!("{id}: is linked to {}, which is gone", link.to));
            };
            let known = its.sources.iter().filter(|source| **source == id).count();
            hold(known == 1, || format!("{id}: is {known} times a source of {}", link.to))?;
            // Without room on the shard it waits until the target has nothing queued.
            let low = if self.core.shard_queue_cap == usize::MAX { link.low } else { 0 };
            let fed = !held_back || to.on_agenda || to.queued() > low;
            hold(fed, || format!("{id}: waits for {}, which has nothing to send", link.to))?;
        }
        if let Some(Pull { from, told: _ }) = tuning.pulls {
            hold(line.on_agenda, || format!("{id}: has yet to pull from {from}, and does not"))?;
            let held = table.line(from).is_some_and(|from| from.gate.has(Reason::Linked));
            hold(held, || format!("{id}: is to pull from {from}, which is read"))?;
        }
        for source in &tuning.sources {
            let linked = table.line(*source).and_then(Line::link).map(|link| link.to);
            hold(linked == Some(id), || {
                format!("{id}: {source} is no source, but linked {linked:?}")
            })?;
        }
        let owed = matches!(tuning.fin, Fin::Asked | Fin::Sealed) && line.is_drained();
        hold(!owed || line.on_agenda, || format!("{id}: its side could end, and nobody ends it"))
    }
}

impl Reactor<Sim> {
    /// Verifies against the simulated kernel that no line waits for an event that will never come.
    ///
    /// # Errors
    /// As [`check`](Self::check).
    pub fn check_edges(&self) -> Result<(), String> {
        for id in self.core.table.snapshot() {
            let (Some(line), Some(Some(fd))) = (self.core.table.line(id), self.fds.get(id.slot()))
            else {
                continue;
            };
            let deaf = line.wants_read()
                && !line.ready.has(Ready::READABLE)
                && !line.on_agenda
                && fd.has_untold_input();
            hold(!deaf, || format!("{id}: has input in the kernel, and no edge will come"))?;
            let mute = line.has_output()
                && !line.ready.has(Ready::WRITABLE)
                && !line.on_agenda
                && fd.lacks_promise_of_room();
            hold(!mute, || format!("{id}: has output, and no edge will come"))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
