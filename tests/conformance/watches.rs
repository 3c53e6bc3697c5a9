//! Watched descriptors, and the emulation of events on them.
//!
//! Never: closes a descriptor that the scenario has only stopped watching.

use crate::action::{Action, EventPlan, WatchPlan};
use crate::perform::Here;
use crate::run::Run;
use std::sync::Arc;

pub(crate) fn watch(run: &Arc<Run>, _here: &mut Here<'_, '_>, _plan: &Arc<WatchPlan>) {
    run.not_offered("watchfd");
}

pub(crate) fn add_event(run: &Arc<Run>, _here: &mut Here<'_, '_>, _plan: &Arc<EventPlan>) {
    run.not_offered("addevent");
}

/// A method of a watch; false when the label is none.
pub(crate) fn method(_run: &Arc<Run>, _here: &mut Here<'_, '_>, _label: &str, _a: &Action) -> bool {
    false
}
