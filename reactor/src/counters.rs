//! What a loop has done, in numbers.
//!
//! Never: decides anything.

/// What a loop has done since it began; plain numbers, each counted where it happens.
#[derive(Clone, Copy, Default, Debug)]
#[non_exhaustive]
pub struct Counters {
    /// Passes of the loop.
    pub turns: u64,
    /// Events the kernel reported.
    pub events: u64,
    /// Events for entries that were gone by then.
    pub stale_events: u64,
    /// Connections accepted.
    pub accepted: u64,
    /// Times a listener had to rest because descriptors or memory had run out.
    pub accept_rests: u64,
    /// Peers that were closed at once because descriptors had run out.
    pub refused_peers: u64,
    /// Connections that were closed at once because there were as many as
    /// [`Config::max_connections`](crate::Config::max_connections) allows.
    pub refused_in_all: u64,
    /// Likewise, because of [`Limits::max_connections`](crate::Limits) of their listener.
    pub refused_of_listener: u64,
    /// Likewise, because their peer had as many as
    /// [`Config::max_connections_per_peer`](crate::Config::max_connections_per_peer) allows, or
    /// [`Limits::max_connections_per_peer`](crate::Limits) of the listener.
    pub refused_from_peer: u64,
    /// Connections that the kernel accepted for us and that could not be served.
    pub accept_failures: u64,
    /// Peers that were closed at once because they are no senders of PROXY headers
    /// ([`Others::Refuse`](crate::Others)).
    pub refused_senders: u64,
    /// PROXY headers that were believed.
    pub proxy_headers: u64,
    /// Connections that ended because their PROXY header was wrong, late or not there.
    pub bad_proxy_headers: u64,
    /// Options of connections that the kernel has refused.
    pub refused_options: u64,
    /// Connections that the router of this loop has sent to another one when they were accepted.
    pub passed_on: u64,
    /// Live connections that have left for another loop; they are not counted as ended here.
    pub moved_out: u64,
    /// Live connections that have come from another loop; they are not counted as accepted here.
    pub moved_in: u64,
    /// Live connections that were to move and stay, or were to be linked and are not.
    pub failed_moves: u64,
    /// Connections that have ended, whether or not they were ever established.
    pub closed: u64,
    /// Writes that were refused, or end their connection, because a queue was full.
    pub refused_writes: u64,
    /// Handshakes that were given up because too many were under way.
    pub shed_handshakes: u64,
    /// Connections that were ended because their peers were too slow
    /// ([`MinRate`](crate::MinRate)).
    pub too_slow: u64,
    /// Connections that were ended because of their age ([`Lifetime`](crate::Lifetime)).
    pub too_old: u64,
    /// Bytes taken from the kernel.
    pub bytes_in: u64,
    /// Bytes given to the kernel.
    pub bytes_out: u64,
    /// Times the kernel was told what to watch of a descriptor that is not the loop's own.
    pub watch_changes: u64,
    /// Panics in user code, all caught.
    pub panics: u64,
    /// Changes to the order of the timer heap.
    pub timer_operations: u64,
}
