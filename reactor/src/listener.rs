//! A listening socket's side of the loop, as data.
//!
//! Never: holds the descriptor, or calls the acceptor.
//!
//! Invariants:
//! 1. The kernel reports those who wait exactly while the listener neither rests, nor is paused,
//!    nor ends.

use crate::api::{Accept, Addr, ConfigError, Lifetime, MinRate, ProxyProtocol, WhenFull};
use crate::census::Limits;
use crate::id::ListenerId;
use shardpoll_timers::{Tick, TimerId};
use shardpoll_tls::ServerContext;
use std::rc::Rc;
use std::time::Duration;

/// What decides on the connections of a listener.
pub type Acceptor = Box<dyn Accept>;

/// What the connections of a listener begin with.
#[derive(Clone, Default, Debug)]
#[non_exhaustive]
pub struct ListenerOptions {
    /// TLS from the first byte on. Default: none.
    pub tls: Option<ServerContext>,
    /// What becomes of one that writes more than it may queue. Default: as the configuration says.
    pub when_full: Option<WhenFull>,
    /// The largest chunk a handler is given, in bytes, as
    /// [`Conn::read_size`](crate::Conn::read_size) sets it. Default: as the configuration says.
    pub read_size: Option<usize>,
    /// Whose PROXY headers are believed. Default: nobody's, and everybody is served as they are.
    pub proxy: Option<ProxyProtocol>,
    /// How many of them there may be, over all loops that share a census. Default: no limit.
    pub limits: Limits,
    /// How slow their peers may be. Default: as slow as they like.
    pub min_rate: Option<MinRate>,
    /// How long they may live. Default: for ever.
    pub max_lifetime: Option<Lifetime>,
    /// How long handshakes that are under way may take when the listener ends. Default: none.
    ///
    /// The socket is told to let no other begin, and is closed when nobody is left, at the latest
    /// after this time. `None`: it is closed as soon as nobody waits to be accepted, which is right
    /// for a socket that others hold too, and listen at on.
    pub handshake_grace: Option<Duration>,
}

impl ListenerOptions {
    /// Says whether a listener can have these options.
    ///
    /// # Errors
    /// Names the first limit that makes no sense, with its value: the caller's mistake.
    pub fn check(&self) -> Result<(), ConfigError> {
        self.limits.check()?;
        self.min_rate.map_or(Ok(()), |rate| rate.check())?;
        self.max_lifetime.map_or(Ok(()), |time| time.check())
    }
}

/// The end of a listener, which waits for those who are about to be connected.
pub(crate) struct Ending {
    /// Who has not come by then is reset.
    pub(crate) until: Tick,
    /// How long it waits before it looks again.
    pub(crate) look_after: Duration,
}

pub(crate) struct Listener {
    pub(crate) id: ListenerId,
    pub(crate) options: ListenerOptions,
    /// The address it listens on, lent to what it accepts. One that listens on every address lends
    /// the one that the last connection came to.
    pub(crate) local: Rc<Addr>,
    pub(crate) is_wildcard: bool,
    /// Whether its connections are counted against limits.
    pub(crate) counted: bool,
    /// `None` while it is called.
    pub(crate) accept: Option<Acceptor>,
    /// Descriptors or memory have run out (S127).
    pub(crate) resting: bool,
    /// User code has stopped it (S128).
    pub(crate) paused: bool,
    /// It ends with everything else: whom it still accepts ends likewise.
    pub(crate) ends_all: bool,
    /// Its socket is closed; it stays for what other loops may give back.
    pub(crate) deaf: bool,
    /// Each line that came to it and waits for its PROXY header has a clone.
    pub(crate) prefaces: Rc<()>,
    /// What ends the pause, if it was given a time.
    pub(crate) pause_ends: Option<TimerId>,
    /// It has been told to end; those who wait are accepted by the looks that it takes.
    pub(crate) ending: Option<Ending>,
}

impl Listener {
    pub(crate) fn new(
        id: ListenerId,
        local: Addr,
        options: ListenerOptions,
        accept: Acceptor,
    ) -> Box<Self> {
        Box::new(Self {
            id,
            options,
            is_wildcard: local.is_wildcard(),
            local: Rc::new(local),
            counted: false,
            accept: Some(accept),
            resting: false,
            paused: false,
            ends_all: false,
            deaf: false,
            prefaces: Rc::new(()),
            pause_ends: None,
            ending: None,
        })
    }

    /// Whether it takes connections when they come.
    pub(crate) fn is_accepting(&self) -> bool {
        !self.resting && !self.paused && !self.deaf && self.ending.is_none()
    }

    /// Whether its connections begin as plain as they can: no limit, no header, no TLS.
    #[inline]
    pub(crate) fn asks_nothing(&self) -> bool {
        let ListenerOptions { tls, read_size, proxy, min_rate, max_lifetime, .. } = &self.options;
        let plain = tls.is_none() && proxy.is_none();
        let free = read_size.is_none() && min_rate.is_none() && max_lifetime.is_none();
        plain && free && !self.counted && !self.ends_all
    }

    /// Whether its acceptor is yet to be asked, even if it has ended.
    pub(crate) fn is_needed(&self) -> bool {
        Rc::strong_count(&self.prefaces) > 1
    }
}
