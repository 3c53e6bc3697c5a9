//! A descriptor of a simulated process.
//!
//! Never: is copied; whoever has it owns it.

use super::files::What;
use super::net::{Net, Stage};
use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;

/// A descriptor of a [`Sim`](super::Sim); dropping it closes it.
pub struct SimFd {
    pub(super) net: Rc<RefCell<Net>>,
    pub(super) number: usize,
}

impl Drop for SimFd {
    fn drop(&mut self) {
        let net = &mut *self.net.borrow_mut();
        match net.files.remove(self.number).map(|file| file.what) {
            Some(What::Stream(end)) => net.close(end),
            Some(What::Listener(listener)) => {
                for end in listener.queue {
                    net.abort(end);
                }
            }
            Some(What::Nothing) | None => {}
        }
    }
}

impl SimFd {
    /// Whether input waits here that no event will tell of.
    pub(crate) fn has_untold_input(&self) -> bool {
        let net = self.net.borrow();
        let end = net.stream(self.number).ok().and_then(|end| net.end(end));
        end.is_some_and(|end| end.has_input()) && !net.files.is_event_pending(self.number)
    }

    /// Whether no event will tell of room to send, whatever the peer does.
    pub(crate) fn lacks_promise_of_room(&self) -> bool {
        let net = self.net.borrow();
        let end = net.stream(self.number).ok().and_then(|end| net.end(end));
        end.is_some_and(|end| end.stage != Stage::Connecting && !end.full)
            && !net.files.is_event_pending(self.number)
    }
}

impl fmt::Debug for SimFd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SimFd").field(&self.number).finish()
    }
}
