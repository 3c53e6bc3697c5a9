//! What a loop has done, in numbers.
//!
//! The numbers are atomic and have one writer, the loop's thread: any thread may read them at any
//! time, also when the loop is stuck, and adding to one costs what adding to a plain one does.
//!
//! Never: decides anything; orders anything: what is read of two counters may be of two moments.

use crate::api::CloseKind;
use std::ops::Index;
use std::sync::atomic::{AtomicU64, Ordering};

/// One number that one thread changes and any thread may read.
#[derive(Default, Debug)]
pub(crate) struct Count(AtomicU64);

impl Count {
    /// By its one writer only: another's addition could get lost.
    #[inline]
    pub(crate) fn add(&self, more: u64) {
        self.set(self.value().wrapping_add(more));
    }

    /// As [`add`](Self::add).
    #[inline]
    pub(crate) fn take_one(&self) {
        self.set(self.value().saturating_sub(1));
    }

    #[inline]
    pub(crate) fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }

    #[inline]
    pub(crate) fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Connections that have ended, by the kind of their reason.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Closes([u64; CloseKind::ALL.len()]);

impl Closes {
    /// All of them.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }

    /// Adds those of another.
    pub fn add(&mut self, other: &Self) {
        for (sum, more) in self.0.iter_mut().zip(other.0) {
            *sum += more;
        }
    }
}

impl Index<CloseKind> for Closes {
    type Output = u64;

    fn index(&self, kind: CloseKind) -> &u64 {
        &self.0[kind as usize]
    }
}

/// [`Closes`] as the loop counts them.
#[derive(Default, Debug)]
pub(crate) struct CloseCounts([Count; CloseKind::ALL.len()]);

impl CloseCounts {
    #[inline]
    pub(crate) fn add(&self, kind: CloseKind) {
        self.0[kind as usize].add(1);
    }

    fn read(&self) -> Closes {
        Closes(std::array::from_fn(|kind| self.0[kind].value()))
    }
}

/// Numbers as they are read, and the same as they are counted.
macro_rules! counters {
    ($(#[$about:meta])* $name:ident, $counted:ident {
        $($(#[$doc:meta])* $field:ident,)*
    }) => {
        $(#[$about])*
        #[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
        #[non_exhaustive]
        pub struct $name {
            $($(#[$doc])* pub $field: u64,)*
            /// Connections that have ended, by why.
            pub closed_by: Closes,
        }

        impl $name {
            /// Adds the numbers of another, to sum up several loops.
            pub fn add(&mut self, other: &Self) {
                $(self.$field += other.$field;)*
                self.closed_by.add(&other.closed_by);
            }
        }

        #[derive(Default, Debug)]
        pub(crate) struct $counted {
            $(pub(crate) $field: Count,)*
            pub(crate) closed_by: CloseCounts,
        }

        impl $counted {
            pub(crate) fn read(&self) -> $name {
                $name {
                    $($field: self.$field.value(),)*
                    closed_by: self.closed_by.read(),
                }
            }
        }
    };
}

counters! {
    /// What a loop has done since it began.
    Counters, LoopCounts {
        /// Passes of the loop.
        turns,
        /// Events the kernel reported.
        events,
        /// Events for entries that were gone by then.
        stale_events,
        /// Connections accepted.
        accepted,
        /// Connections that were opened from here, or adopted.
        dialed,
        /// Connections there are now; those that only wait for the peer's end are among them.
        open,
        /// Times a listener had to rest because descriptors or memory had run out.
        accept_rests,
        /// Peers that were closed at once because descriptors had run out.
        refused_peers,
        /// Connections that were closed at once because there were as many as
        /// [`Config::max_connections`](crate::Config::max_connections) allows.
        refused_in_all,
        /// Likewise, because of [`Limits::max_connections`](crate::Limits) of their listener.
        refused_of_listener,
        /// Likewise, because their peer had as many as
        /// [`Config::max_connections_per_peer`](crate::Config::max_connections_per_peer) allows, or
        /// [`Limits::max_connections_per_peer`](crate::Limits) of the listener.
        refused_from_peer,
        /// Connections that the kernel accepted for us and that could not be served.
        accept_failures,
        /// Peers that were closed at once because they are no senders of PROXY headers
        /// ([`Others::Refuse`](crate::Others)).
        refused_senders,
        /// PROXY headers that were believed.
        proxy_headers,
        /// Connections that ended because their PROXY header was wrong, late or not there.
        bad_proxy_headers,
        /// Options of connections that the kernel has refused.
        refused_options,
        /// Connections that the router of this loop has sent to another when they were accepted.
        passed_on,
        /// Live connections that have left for another loop; they are not counted as ended here.
        moved_out,
        /// Live connections that have come from another loop; they are not counted as accepted
        /// here.
        moved_in,
        /// Live connections that were to move and stay, or were to be linked and are not.
        failed_moves,
        /// Connections that have ended and are gone, whether or not they were ever established.
        closed,
        /// Writes that were refused, or end their connection, because a queue was full.
        refused_writes,
        /// TLS handshakes that came to a good end, those that resumed a session among them.
        handshakes,
        /// TLS handshakes that resumed an earlier session.
        resumed_handshakes,
        /// TLS handshakes that came to no good end, whoever ended them.
        failed_handshakes,
        /// Handshakes that were given up because too many were under way.
        shed_handshakes,
        /// Connections that were ended because their peers were too slow
        /// ([`MinRate`](crate::MinRate)).
        too_slow,
        /// Connections that were ended because of their age ([`Lifetime`](crate::Lifetime)).
        too_old,
        /// Bytes taken from the kernel.
        bytes_in,
        /// Bytes given to the kernel.
        bytes_out,
        /// Of the bytes given to the kernel, those of links that went from one of its buffers to
        /// another, by splice(2).
        spliced_bytes,
        /// Times the kernel was told what to watch of a descriptor that is not the loop's own.
        watch_changes,
        /// Panics in user code, all caught.
        panics,
        /// Timers there are now; a connection has at most one.
        timers,
        /// Changes to the order of the timer heap.
        timer_operations,
    }
}

counters! {
    /// What has become of the connections of one listener on one loop.
    ListenerCounters, ListenerCounts {
        /// Connections accepted.
        accepted,
        /// Connections there are now; those that only wait for the peer's end are among them.
        open,
        /// TLS handshakes that came to a good end, those that resumed a session among them.
        handshakes,
        /// TLS handshakes that resumed an earlier session.
        resumed_handshakes,
        /// TLS handshakes that came to no good end, whoever ended them.
        failed_handshakes,
    }
}

/// What every small message adds to: plain numbers, shown to others once a turn.
pub(crate) struct Traffic {
    pub(crate) bytes_in: u64,
    pub(crate) bytes_out: u64,
}

impl Traffic {
    /// Goes on where another loop has left off.
    pub(crate) fn resumed(counters: &LoopCounts) -> Self {
        Self { bytes_in: counters.bytes_in.value(), bytes_out: counters.bytes_out.value() }
    }
}
