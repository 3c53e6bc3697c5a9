//! Handlers that take over from the one a line has, when its callback has returned.
//!
//! Never: calls a handler that was aborted.

use crate::callback::Callback;
use crate::conn::{Hears, Marks};
use crate::core::{Core, Held};
use crate::id::ConnId;

impl Core {
    /// Those named for this line take over, one after the other; one that is named meanwhile waits
    /// for the next service, so that two which hand over to each other cannot stop the loop.
    #[inline]
    pub(crate) fn exchange_handlers(&mut self, id: ConnId, held: &mut Held) {
        if self.line(id).marks.take(Marks::ATTACH) {
            self.attach_all(id, held);
        }
    }

    #[cold]
    fn attach_all(&mut self, id: ConnId, held: &mut Held) {
        let count = self.next_handlers.iter().filter(|(to, _)| *to == id).count();
        for _ in 0..count {
            // Aborted: nothing more is called (S79).
            if self.line(id).told {
                return;
            }
            self.call(id, held, Callback::Detach, |h, c| h.on_detach(c));
            self.attach_next(id, held);
        }
    }

    /// The next handler named for a line takes over; the old one has been told.
    pub(crate) fn attach_next(&mut self, id: ConnId, held: &mut Held) {
        if self.line(id).told {
            return;
        }
        let Some(next) = self.take_next_handler(id) else { return };
        let old = held.replace(next);
        self.line(id).hears = Hears::UNKNOWN;
        self.drop_user_value(old);
        self.call(id, held, Callback::Attach, |h, c| h.on_attach(c));
    }

    pub(crate) fn take_next_handler(&mut self, id: ConnId) -> Held {
        let at = self.next_handlers.iter().position(|(to, _)| *to == id)?;
        Some(self.next_handlers.remove(at).1)
    }
}
