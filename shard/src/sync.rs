//! What mailboxes are made of, in one place, so that the model check can put its own there.
//!
//! Never: adds anything of its own.

pub(crate) use crossbeam_channel::{Receiver, Sender, TrySendError, bounded, unbounded};
pub(crate) use std::sync::Arc;
pub(crate) use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering, fence};
