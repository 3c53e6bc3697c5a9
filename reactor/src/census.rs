//! How many connections there are, and how many there may be: in all, of a listener, and from one
//! peer. A loop asks before it takes one, and says when it has gone.
//!
//! Never: closes anything, or is asked on the path of a byte.
//!
//! Invariants:
//! 1. What was entered is left once, by whoever entered it: a line carries the bits (`Origin`).

use crate::api::{Addr, Config, ConfigError};
use crate::id::ListenerId;
use std::cell::RefCell;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;
use std::hash::Hash;
use std::net::IpAddr;

/// How many connections there may be.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
#[non_exhaustive]
pub struct Limits {
    /// At a time, at least 1; `None`, the default: no limit.
    pub max_connections: Option<usize>,
    /// At a time from one peer ([`PeerNet`]), at least 1; `None`, the default: no limit.
    pub max_connections_per_peer: Option<usize>,
}

impl Limits {
    /// Says whether they make sense.
    ///
    /// # Errors
    /// Names the first whose value makes none, with the value: the caller's mistake.
    pub fn check(&self) -> Result<(), ConfigError> {
        let fields = [
            ("max_connections", self.max_connections),
            ("max_connections_per_peer", self.max_connections_per_peer),
        ];
        for (field, value) in fields {
            if value == Some(0) {
                return Err(ConfigError::wrong(field, "0".into(), "at least 1"));
            }
        }
        Ok(())
    }

    /// Those of a whole loop, or engine.
    #[must_use]
    pub fn of(config: &Config) -> Self {
        let Config { max_connections, max_connections_per_peer, .. } = *config;
        Self { max_connections, max_connections_per_peer }
    }

    /// Whether there is any.
    #[must_use]
    pub fn any(&self) -> bool {
        *self != Self::default()
    }
}

/// Why a connection was turned away when it was accepted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum TooMany {
    /// [`Config::max_connections`](crate::Config::max_connections) is reached.
    InAll,
    /// [`Limits::max_connections`] of its listener is reached.
    OfListener,
    /// Its peer has as many as
    /// [`Config::max_connections_per_peer`](crate::Config::max_connections_per_peer) allows, or
    /// [`Limits::max_connections_per_peer`] of the listener.
    FromPeer,
}

impl fmt::Display for TooMany {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::InAll => "too many connections",
            Self::OfListener => "too many connections of its listener",
            Self::FromPeer => "too many connections of its peer",
        })
    }
}

impl std::error::Error for TooMany {}

/// Counts accepted connections against limits.
///
/// A reactor has one of its own, which knows this loop only. The loops of an engine are given one
/// that counts for all of them, by [`Reactor::set_census`](crate::Reactor::set_census). Connections
/// that we open are not counted: nobody but us decides on those.
pub trait Census {
    /// A listener begins, on this loop or another. Says whether its connections are to be counted:
    /// of others nothing is ever entered.
    fn add_listener(&self, listener: ListenerId, limits: Limits) -> bool;

    /// A connection was accepted.
    ///
    /// # Errors
    /// There are too many: nothing was entered, and it is to be closed.
    fn enter(&self, listener: ListenerId) -> Result<(), TooMany>;

    /// A connection that was entered has gone.
    fn leave(&self, listener: ListenerId);

    /// The peer of a connection that was entered is known.
    ///
    /// # Errors
    /// It has too many: the peer was not entered, and the connection is to be closed.
    fn enter_peer(&self, listener: ListenerId, peer: &Addr) -> Result<(), TooMany>;

    /// A connection whose peer was entered has gone.
    fn leave_peer(&self, listener: ListenerId, peer: &Addr);
}

/// What counts as one peer: an IPv4 address, or the first 64 bits of an IPv6 address, since a
/// single subscriber has at least as many (RFC 6177).
///
/// An IPv4 address is the same peer when it is written as IPv6: mapped (`::ffff:0:0/96`, RFC 4291),
/// or translated under the well-known prefix (`64:ff9b::/96`, RFC 6052).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct PeerNet(Net);

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Net {
    V4([u8; 4]),
    V6([u8; 8]),
}

/// The first 96 bits of an IPv4 address that was translated (RFC 6052 section 2.1).
const TRANSLATED: [u8; 12] = [0, 0x64, 0xff, 0x9b, 0, 0, 0, 0, 0, 0, 0, 0];

impl PeerNet {
    /// The peer behind an address; `None` for a unix socket, which has none.
    #[must_use]
    pub fn of(addr: &Addr) -> Option<Self> {
        let net = match addr.ip()?.ip().to_canonical() {
            IpAddr::V4(ip) => Net::V4(ip.octets()),
            IpAddr::V6(ip) => {
                let bytes = ip.octets();
                let (first, last) = bytes.split_at(TRANSLATED.len());
                if first == TRANSLATED {
                    Net::V4(last.try_into().expect("16 less 12 is 4"))
                } else {
                    Net::V6(bytes[..8].try_into().expect("8 of 16"))
                }
            }
        };
        Some(Self(net))
    }
}

/// Whether one more may come to those that are there.
#[must_use]
fn has_room(count: usize, max: Option<usize>) -> bool {
    max.is_none_or(|max| count < max)
}

/// The census of one loop.
pub(crate) struct Tally {
    limits: Limits,
    state: RefCell<State>,
}

#[derive(Default)]
struct State {
    all: usize,
    listeners: HashMap<ListenerId, (Limits, usize)>,
    /// By listener, and over all of them.
    peers: HashMap<(Option<ListenerId>, PeerNet), usize>,
}

impl Tally {
    pub(crate) fn new(limits: Limits) -> Self {
        Self { limits, state: RefCell::default() }
    }
}

impl State {
    fn limits(&self, listener: ListenerId) -> Limits {
        self.listeners.get(&listener).map(|(limits, _)| *limits).unwrap_or_default()
    }

    /// The counts a peer has, with their limits; those without one are not kept.
    fn peer_counts(&self, all: Limits, listener: ListenerId) -> [(Option<ListenerId>, usize); 2] {
        let own = self.limits(listener).max_connections_per_peer;
        let max = |max: Option<usize>| max.unwrap_or(usize::MAX);
        [(None, max(all.max_connections_per_peer)), (Some(listener), max(own))]
    }
}

impl Census for Tally {
    fn add_listener(&self, listener: ListenerId, limits: Limits) -> bool {
        self.state.borrow_mut().listeners.entry(listener).or_default().0 = limits;
        limits.any() || self.limits.any()
    }

    fn enter(&self, listener: ListenerId) -> Result<(), TooMany> {
        let state = &mut *self.state.borrow_mut();
        if !has_room(state.all, self.limits.max_connections) {
            return Err(TooMany::InAll);
        }
        let (limits, count) = state.listeners.entry(listener).or_default();
        if !has_room(*count, limits.max_connections) {
            return Err(TooMany::OfListener);
        }
        *count += 1;
        state.all += 1;
        Ok(())
    }

    fn leave(&self, listener: ListenerId) {
        let state = &mut *self.state.borrow_mut();
        state.all = state.all.saturating_sub(1);
        if let Some((_, count)) = state.listeners.get_mut(&listener) {
            *count = count.saturating_sub(1);
        }
    }

    fn enter_peer(&self, listener: ListenerId, peer: &Addr) -> Result<(), TooMany> {
        let Some(net) = PeerNet::of(peer) else { return Ok(()) };
        let state = &mut *self.state.borrow_mut();
        let counts = state.peer_counts(self.limits, listener);
        for (of, max) in counts {
            let count = state.peers.get(&(of, net)).copied().unwrap_or(0);
            if count >= max {
                return Err(TooMany::FromPeer);
            }
        }
        for (of, max) in counts {
            if max < usize::MAX {
                *state.peers.entry((of, net)).or_default() += 1;
            }
        }
        Ok(())
    }

    fn leave_peer(&self, listener: ListenerId, peer: &Addr) {
        let Some(net) = PeerNet::of(peer) else { return };
        let peers = &mut self.state.borrow_mut().peers;
        for of in [None, Some(listener)] {
            if let Entry::Occupied(mut count) = peers.entry((of, net)) {
                *count.get_mut() -= 1;
                if *count.get() == 0 {
                    count.remove();
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::SocketAddr;
    use std::path::Path;

    fn net(ip: &str) -> Option<PeerNet> {
        let ip: IpAddr = ip.parse().expect("an address");
        PeerNet::of(&SocketAddr::new(ip, 1).into())
    }

    #[test]
    fn a_peer_is_an_ipv4_address_or_the_first_64_bits_of_an_ipv6_address() {
        assert_ne!(net("192.0.2.1"), net("192.0.2.2"));
        assert_eq!(net("2001:db8:1:2::1"), net("2001:db8:1:2:ffff::9"));
        assert_ne!(net("2001:db8:1:2::1"), net("2001:db8:1:3::1"));
        for written in ["::ffff:192.0.2.1", "64:ff9b::192.0.2.1"] {
            assert_eq!(net(written), net("192.0.2.1"), "{written}");
            assert_ne!(net(written), net("192.0.2.2"), "{written}");
        }
        // Only the well-known prefix is known to be one.
        assert_ne!(net("64:ff9b:1::192.0.2.1"), net("192.0.2.1"));
        assert_eq!(PeerNet::of(&Addr::Unix(None)), None);
        assert_eq!(PeerNet::of(&Addr::Unix(Some(Path::new("/run/a").into()))), None);
    }

    #[test]
    fn what_was_turned_away_is_counted_nowhere() {
        let one = |max| Limits { max_connections: max, max_connections_per_peer: Some(1) };
        let tally = Tally::new(one(None));
        let id = ListenerId::new(7);
        assert!(tally.add_listener(id, one(Some(2))));
        let peer = |last| Addr::Ip(([192, 0, 2, last], 1).into());
        for _ in 0..3 {
            assert_eq!((tally.enter(id), tally.enter_peer(id, &peer(1))), (Ok(()), Ok(())));
            assert_eq!(tally.enter(id), Ok(()));
            assert_eq!(tally.enter_peer(id, &peer(1)), Err(TooMany::FromPeer));
            assert_eq!(tally.enter(id), Err(TooMany::OfListener));
            assert_eq!(tally.enter_peer(id, &peer(2)), Ok(()));
            for last in [1, 2] {
                tally.leave_peer(id, &peer(last));
                tally.leave(id);
            }
            let state = tally.state.borrow();
            assert_eq!((state.all, state.listeners[&id].1, state.peers.len()), (0, 0, 0));
        }
    }
}
