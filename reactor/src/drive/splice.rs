//! Links through which much goes: from the source's kernel buffer to the target's, through a pipe,
//! without a copy here.
//!
//! A link begins with copies, which cost less than a pipe while chunks are small. When a read has
//! filled its chunk there is likely more: the source then leaves its input to its target
//! (`Tuning::pulls`), whose service pulls it, behind its predrain. A pull that has brought less
//! than a chunk, or was more than the target could take, leads back to copies.
//!
//! Never: leaves a byte in the pipe; calls a handler while there is one.
//!
//! Invariants:
//! 1. The pipe is empty between two services, and there is one a loop, from the first need on.
//! 2. A line that pulls is on the agenda when the loop waits, and its source is held back by it.

use super::Reactor;
use super::flush::FLUSH_BYTES;
use crate::api::CloseReason;
use crate::conn::{Chunk, Link, Pull, Ready, Reason};
use crate::core::{Callback, Core, Held};
use crate::id::ConnId;
use crate::sys::Sys;
use std::io;

/// The pipe of a loop.
#[derive(Debug)]
pub(super) enum Pipe<P> {
    /// Not needed so far.
    Unopened,
    Open(P),
    /// The system does not splice, or not safely.
    Refused,
}

/// Why a pull ends.
enum End {
    /// There is more, and others have their turn.
    Turn,
    /// The kernel has no more input of the source.
    Dry,
    /// A read of the source will say more.
    Other,
    Failed(CloseReason),
}

impl<S: Sys> Reactor<S> {
    /// Leaves the input of a line to the target of its link, when it can take it from the kernel;
    /// false when it is to be read.
    pub(super) fn leaves_input(&mut self, from: ConnId, link: Link) -> bool {
        let splices = link.bulk && !matches!(self.pipe, Pipe::Refused);
        let leaves = splices && self.core.may_splice(from, link.to);
        if leaves {
            self.core.line(from).gate.close(Reason::Linked);
            self.core.line(link.to).tune().pulls = Some(Pull { from, told: false });
            self.core.revisit(link.to);
        }
        leaves
    }

    /// Pulls what a source has left to this line.
    pub(super) fn pull(&mut self, id: ConnId, held: &mut Held) {
        let Some(tuning) = &mut self.core.line(id).tuning else { return };
        let Some(pull) = &mut tuning.pulls else { return };
        let (from, told) = (pull.from, std::mem::replace(&mut pull.told, true));
        if !told && self.core.may_splice(from, id) {
            self.core.call_out(id, held, Callback::Predrain, |h, c| h.on_predrain(c));
        }
        // A link that was made in there has left nothing to pull.
        let Some(tuning) = &mut self.core.line(id).tuning else { return };
        if tuning.pulls.take().is_none_or(|pull| pull.from != from) {
            return;
        }
        if self.core.has_output(id) {
            self.send(id);
        }
        let mut moved = 0;
        let end = loop {
            if moved >= FLUSH_BYTES {
                break End::Turn;
            }
            if !self.core.may_splice(from, id) {
                break End::Other;
            }
            match self.splice(from, id) {
                Ok(count) => moved += count,
                Err(end) => break end,
            }
        };
        self.end_pull(from, id, moved, end);
    }

    fn end_pull(&mut self, from: ConnId, id: ConnId, moved: usize, end: End) {
        let much = moved >= self.core.read_size(from);
        match end {
            End::Turn if self.core.may_splice(from, id) => {
                let Core { table, agenda, .. } = &mut self.core;
                let line = table.served_mut(id);
                line.tune().pulls = Some(Pull { from, told: false });
                if !line.on_agenda {
                    line.on_agenda = true;
                    agenda.push(id);
                }
            }
            End::Dry => {
                let line = self.core.line(from);
                // Urgent data may stand in the way, which only a read passes by.
                let ended = line.ready.has(Ready::ENDED);
                if !ended {
                    line.ready.clear(Ready::READABLE);
                }
                self.core.reads_again(from, id, much && !ended);
            }
            End::Turn | End::Other => self.core.reads_again(from, id, false),
            End::Failed(reason) => {
                self.core.reads_again(from, id, false);
                self.core.fail(from, reason);
            }
        }
    }

    /// One splice into the pipe and one out of it; gives how many bytes that were.
    fn splice(&mut self, from: ConnId, to: ConnId) -> Result<usize, End> {
        let most = self.core.splice_room(from);
        let mut pipe = self.take_pipe()?;
        let Self { sys, fds, core, .. } = self;
        let Some(Some(fd)) = fds.get(from.slot()) else { return Err(End::Other) };
        let spliced = sys.splice_in(&mut pipe, fd, most);
        if let Ok(count @ 1..) = spliced {
            let now = core.now;
            let source = core.table.served_mut(from);
            source.last_read = now;
            core.traffic.bytes_in += count as u64;
            if let Some(tuning) = &mut source.tuning {
                tuning.received(count, now);
            }
            self.pour(to, pipe, count);
            return Ok(count);
        }
        self.pipe = Pipe::Open(pipe);
        match spliced {
            Err(error) => Err(self
                .no_splice(&error)
                .unwrap_or_else(|| End::Failed(CloseReason::from_io(error)))),
            // The end of input, which a read finds again.
            Ok(_) => Err(End::Other),
        }
    }

    /// The pipe of this loop, which is put back when it is empty again.
    fn take_pipe(&mut self) -> Result<S::Pipe, End> {
        match std::mem::replace(&mut self.pipe, Pipe::Unopened) {
            Pipe::Open(pipe) => Ok(pipe),
            Pipe::Unopened => self.sys.pipe().map_err(|error| {
                self.no_splice(&error);
                End::Other
            }),
            Pipe::Refused => {
                self.pipe = Pipe::Refused;
                Err(End::Other)
            }
        }
    }

    /// Why nothing was spliced; `None` when it is the source that has failed.
    fn no_splice(&mut self, error: &io::Error) -> Option<End> {
        match error.kind() {
            io::ErrorKind::WouldBlock => Some(End::Dry),
            io::ErrorKind::Interrupted => Some(End::Other),
            io::ErrorKind::InvalidInput
            | io::ErrorKind::Unsupported
            | io::ErrorKind::PermissionDenied => {
                log::debug!("links are copied from now on: {error}");
                self.pipe = Pipe::Refused;
                Some(End::Other)
            }
            _ => None,
        }
    }

    /// Moves what is in the pipe to a line; what its kernel does not take is queued.
    fn pour(&mut self, to: ConnId, mut pipe: S::Pipe, count: usize) {
        let Some(mut out) = self.out(to) else { return self.core.fail(to, lost()) };
        let spliced = out.splice(&mut pipe, count);
        let taken = spliced.unwrap_or(0);
        let Self { sys, core, .. } = self;
        core.pulse.counters.spliced_bytes.add(taken as u64);
        let now = core.now;
        let line = core.table.served_mut(to);
        if !line.stage.is_open() {
            // The rest is lost with the line, and the pipe with it.
            return;
        }
        if taken < count {
            let mut left = vec![0; count - taken];
            let mut copied = 0;
            while copied < left.len() {
                match sys.read_pipe(&mut pipe, &mut left[copied..]) {
                    Ok(more @ 1..) => copied += more,
                    Ok(_) => return core.fail(to, lost()),
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => return core.fail(to, CloseReason::from_io(error)),
                }
            }
            line.keep(&[], now);
            line.outbox.push_chunk(Chunk::Owned(left));
            core.recount(to);
        }
        self.pipe = if spliced.is_some() { Pipe::Open(pipe) } else { Pipe::Refused };
    }
}

/// A pipe that has lost bytes.
fn lost() -> CloseReason {
    CloseReason::from_io(io::ErrorKind::UnexpectedEof.into())
}
