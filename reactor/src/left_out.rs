//! Which handlers have neither `on_predrain` nor `on_drain`: a flush of theirs calls nobody.
//!
//! The bodies that the trait gives note whose they are. A handler may pass its own call on to
//! another one, whose bodies run then; so the note names the type that has left the callback out,
//! and counts for a line whose handler is of that very type. A type that has a body of its own
//! never notes anything, since nobody can call the one it has replaced.
//!
//! Never: guesses; a handler nothing is known of is called.

use crate::conn::Hears;
use crate::core::{Core, Held};
use crate::id::ConnId;
use std::any::{Any, TypeId};

/// The types that were last found to leave these out.
#[derive(Default)]
pub(crate) struct LeftOut {
    pub(crate) predrain: Option<TypeId>,
    pub(crate) drain: Option<TypeId>,
}

impl Core {
    /// Notes what the handler of a line hears of a flush, if that is known now; `called`: it was
    /// told of one just now.
    #[cold]
    pub(crate) fn learn_hearing(&mut self, id: ConnId, held: &Held, called: bool) {
        let Some(handler) = held.as_deref() else { return };
        let any: &dyn Any = handler;
        let kind = Some(any.type_id());
        let LeftOut { predrain, drain } = self.left_out;
        if predrain == kind && drain == kind {
            self.line(id).hears = Hears::NOTHING;
        } else if called {
            self.line(id).hears = Hears::FLUSHES;
        }
    }
}
