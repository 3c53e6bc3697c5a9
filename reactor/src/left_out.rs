//! Which handlers have neither `on_predrain` nor `on_drain`: a flush of theirs calls nobody.
//!
//! The bodies that the trait gives note whose they are. A handler may pass its own call on to
//! another one, whose bodies run then; so the note names the type that has left the callback out,
//! and counts for a line whose handler is of that very type. A type that has a body of its own
//! never notes anything, since nobody can call the one it has replaced.
//!
//! Never: guesses; a handler nothing is known of is called.

use crate::api::Handler;
use crate::conn::Hears;
use crate::core::{Callback, Core, Held};
use crate::id::ConnId;
use std::any::{Any, TypeId};

/// The types that were last found to leave these out.
#[derive(Default)]
pub(crate) struct LeftOut {
    pub(crate) predrain: Option<TypeId>,
    pub(crate) drain: Option<TypeId>,
    /// The one that was last found to leave out both, so that the next of it need not be called.
    neither: Option<TypeId>,
}

impl LeftOut {
    /// What a handler that is new to its line hears of a flush, as far as its type is known.
    #[inline(always)]
    pub(crate) fn hears(&self, handler: &dyn Handler) -> Hears {
        let any: &dyn Any = handler;
        match self.neither {
            Some(kind) if kind == any.type_id() => Hears::NOTHING,
            _ => Hears::UNKNOWN,
        }
    }
}

impl Core {
    /// A flush is about to begin: calls the handler, unless it is known to have nothing to call.
    #[inline(always)]
    pub(crate) fn call_predrain(&mut self, id: ConnId, held: &mut Held) {
        if self.line(id).hears == Hears::UNKNOWN {
            self.learn_hearing(id, held, false);
        }
        if self.line(id).hears != Hears::NOTHING {
            self.call(id, held, Callback::Predrain, |h, c| h.on_predrain(c));
        }
    }

    /// A flush is over, and nothing is left: the same.
    #[inline(always)]
    pub(crate) fn call_drain(&mut self, id: ConnId, held: &mut Held) {
        if self.line(id).hears == Hears::NOTHING {
            return;
        }
        self.call(id, held, Callback::Drain, |h, c| h.on_drain(c));
        if self.line(id).hears == Hears::UNKNOWN {
            self.learn_hearing(id, held, true);
        }
    }

    /// Notes what the handler of a line hears of a flush, if that is known now; `called`: it was
    /// told of one just now.
    #[cold]
    fn learn_hearing(&mut self, id: ConnId, held: &Held, called: bool) {
        let Some(handler) = held.as_deref() else { return };
        let any: &dyn Any = handler;
        let kind = Some(any.type_id());
        let LeftOut { predrain, drain, .. } = self.left_out;
        if predrain == kind && drain == kind {
            self.left_out.neither = kind;
            self.line(id).hears = Hears::NOTHING;
        } else if called {
            self.line(id).hears = Hears::FLUSHES;
        }
    }
}
