//! The mailboxes' protocol, played through schedules: the file `shard/src/mailbox.rs` itself,
//! compiled again between doubles of its neighbours.
//!
//! - `exact`, by loom: the memory of C11, SC fences included. Every schedule, and every value that
//!   a weak load may give, of one sender; of two, the schedules with two interruptions.
//! - `buffered`, by shuttle: a machine with store buffers. Every state of two senders, and random
//!   schedules of more.
//!
//! A letter left behind a sleeping shard is a deadlock here: nothing else ends the sleep. Both
//! worlds find the planted bugs that their machine can show.
//!
//! The channel is a double (`channel`), since crossbeam's own atomics cannot be scheduled. It
//! promises less than crossbeam's, so what holds on it holds there. `play` reads letters as
//! `Worker::turn` does.
//!
//! `MODEL_SCHEDULES=334000` tries as many random schedules of each of three worlds.

#![forbid(unsafe_code)]
#![allow(clippy::duplicate_mod, reason = "the same sources, once in each world")]

mod buffered;
mod exact;
mod planted;
mod shape;
