//! What can be set: the limits of the loop. Every field with unit and default.
//!
//! Never: holds a setting that nothing reads.

use super::Addr;
use crate::census::Limits;
use crate::id::ListenerId;
use crate::proxy::ProxyHeader;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// The limits of one loop and all connections on it.
///
/// ```
/// let mut config = shardpoll_reactor::Config::default();
/// config.read_timeout = Some(std::time::Duration::from_secs(60));
/// assert!(config.check().is_ok());
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Config {
    /// How long a peer may be silent before [`Handler::on_read_timeout`](crate::Handler);
    /// `None`: for ever. Default 14 minutes (Prosody's).
    pub read_timeout: Option<Duration>,
    /// How long queued output may wait without any of it being sent; `None`: for ever. Default 3
    /// minutes.
    pub send_timeout: Option<Duration>,
    /// How long an outgoing connection may take to be established. Default 20 s.
    pub connect_timeout: Duration,
    /// How long a peer may take for one step of a TLS handshake. Default 60 s (S93).
    pub handshake_timeout: Duration,
    /// How long a peer may take for all of a TLS handshake, however many its steps. Default 4
    /// minutes.
    pub handshake_deadline: Duration,
    /// How many accepted connections there may be at a time, over all shards of an engine, at least
    /// 1; `None`, the default: no limit. One too many is closed at once, no callback is called, and
    /// [`Counters::refused_in_all`](crate::Counters) counts it. Those that we open do not count.
    pub max_connections: Option<usize>,
    /// How many accepted connections one [peer](crate::PeerNet) may have at a time, over all
    /// listeners and shards, at least 1; `None`, the default: no limit. Unix sockets are not
    /// counted. One too many is treated as above, and counted in
    /// [`Counters::refused_from_peer`](crate::Counters).
    pub max_connections_per_peer: Option<usize>,
    /// How many TLS handshakes may be under way on a shard, incoming and outgoing, at least 1.
    /// Beyond them the oldest ends with [`CloseReason::TooManyHandshakes`](crate::CloseReason) if
    /// it has gone on for 5 s, else the new one does. Default 2,000: each may hold up to 164 KiB of
    /// a message that is not complete.
    pub max_handshakes: usize,
    /// The largest chunk given to [`Handler::on_incoming`](crate::Handler::on_incoming), in bytes,
    /// 1 to 1 MiB; the loop owns one buffer of this size, and one of the largest that a connection
    /// or a listener has set for itself, or of up to 64 KiB as soon as TLS is read. Default 64 KiB:
    /// four TLS records, few system calls for much data, and small enough to stay in a processor's
    /// second cache.
    pub read_size_bytes: usize,
    /// How many bytes a connection may queue; a write that does not fit ends it (S69). 0: no limit.
    /// Default 32 MiB.
    pub max_queued_bytes: usize,
    /// How many bytes all connections of a shard may queue together; a write that does not fit is
    /// treated as one that its connection may not queue. 0: no limit. Default 1 GiB.
    ///
    /// A connection with nothing queued may be written up to 256 KiB all the same, since the kernel
    /// takes that at once from most. When it does not take it, and leaves more than 4 KiB that the
    /// shard has no room for, the connection ends as if that had been queued; with
    /// [`WhenFull::Refuse`] it is kept beyond the limit, as is one read of a link whose target has
    /// nothing queued.
    pub max_shard_queued_bytes: usize,
    /// With more than this queued, writes answer [`Written::High`](crate::Written), and
    /// [`Handler::on_high_water`](crate::Handler::on_high_water) is called if the kernel does not
    /// take it at once. Default 1 MiB.
    pub high_water_bytes: usize,
    /// With no more than this left of it,
    /// [`Handler::on_low_water`](crate::Handler::on_low_water) is called. At most
    /// `high_water_bytes`. Default 256 KiB.
    pub low_water_bytes: usize,
    /// What becomes of a connection that writes more than it may queue, unless its listener or
    /// whoever opened it has said otherwise. Default: it is cut.
    pub when_full: WhenFull,
    /// What becomes of a connection whose handler panics. Default: it ends.
    pub panic_policy: PanicPolicy,
    /// What a listener does when the process is out of descriptors. Default: it rests.
    pub when_exhausted: WhenExhausted,
    /// How long a listener rests when the process is out of descriptors or the kernel out of
    /// memory. A descriptor that a loop of the same engine closes wakes it earlier. Default 50 ms
    /// (S127).
    pub accept_retry_interval: Duration,
    /// Whether TCP connections send small pieces at once (`TCP_NODELAY`, tcp(7)). Default: yes
    /// (S130).
    pub no_delay: bool,
    /// After how much silence the kernel probes whether the peer of a TCP connection is still there
    /// (`SO_KEEPALIVE` in socket(7), `TCP_KEEPIDLE` in tcp(7)), 1 s to 32767 s, rounded up to whole
    /// seconds; `None`, the default: never (S130).
    pub keep_alive: Option<Duration>,
}

/// What becomes of a connection that writes more than it may queue.
///
/// Whatever is chosen, the write that did not fit took nothing, and answers
/// [`Written::Full`](crate::Written).
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
#[non_exhaustive]
pub enum WhenFull {
    /// It ends with [`CloseReason::BufferFull`](crate::CloseReason): a peer that does not read
    /// costs no more memory (S69).
    #[default]
    Cut,
    /// Nothing: the writer is told by the answer, and decides.
    Refuse,
    /// As `Cut`; but before that, from the high to the low water mark, nothing is read from the
    /// peer: one that asks and asks and takes no answer is not asked for more.
    PausePeer,
}

/// What a listener does when the process is out of descriptors (S127).
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
#[non_exhaustive]
pub enum WhenExhausted {
    /// It rests until one is free; those who connect wait in the kernel's queue.
    #[default]
    Rest,
    /// A descriptor that is kept in reserve takes those who wait, one by one, and they are closed
    /// at once: they learn now that they are not served. Without one in reserve it rests.
    Refuse,
}

/// What becomes of a connection whose handler panics, or of a watch whose watcher does; either way
/// the panic is counted and logged.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
#[non_exhaustive]
pub enum PanicPolicy {
    /// It ends: a half-run handler is not called again.
    #[default]
    Close,
    /// It goes on as if the callback had returned (S27), after
    /// [`Handler::on_panic`](crate::Handler::on_panic).
    Continue,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            read_timeout: Some(Duration::from_secs(14 * 60)),
            send_timeout: Some(Duration::from_secs(3 * 60)),
            connect_timeout: Duration::from_secs(20),
            handshake_timeout: Duration::from_secs(60),
            handshake_deadline: Duration::from_secs(4 * 60),
            max_connections: None,
            max_connections_per_peer: None,
            max_handshakes: 2000,
            read_size_bytes: 64 * 1024,
            max_queued_bytes: 32 * 1024 * 1024,
            max_shard_queued_bytes: 1024 * 1024 * 1024,
            high_water_bytes: 1024 * 1024,
            low_water_bytes: 256 * 1024,
            when_full: WhenFull::Cut,
            panic_policy: PanicPolicy::Close,
            when_exhausted: WhenExhausted::Rest,
            accept_retry_interval: Duration::from_millis(50),
            no_delay: true,
            keep_alive: None,
        }
    }
}

impl Config {
    /// How many bytes a connection may have queued (S69).
    #[inline]
    pub(crate) fn queue_cap(&self) -> usize {
        if self.max_queued_bytes == 0 { usize::MAX } else { self.max_queued_bytes }
    }

    /// How many bytes all connections together may have queued.
    pub(crate) fn shard_queue_cap(&self) -> usize {
        if self.max_shard_queued_bytes == 0 { usize::MAX } else { self.max_shard_queued_bytes }
    }
}

const MAX_READ_SIZE: usize = 1024 * 1024;

/// The kernel's limit (`MAX_TCP_KEEPIDLE`).
const MAX_KEEP_ALIVE: Duration = Duration::from_secs(32_767);

impl Config {
    /// Says whether a loop can run with these settings.
    ///
    /// # Errors
    /// Names the first field whose value makes no sense, with the value: the caller's mistake.
    pub fn check(&self) -> Result<(), ConfigError> {
        let wrong = |field, value: &dyn fmt::Debug, want| {
            Err(ConfigError::wrong(field, format!("{value:?}"), want))
        };
        if self.read_size_bytes == 0 || self.read_size_bytes > MAX_READ_SIZE {
            return wrong("read_size_bytes", &self.read_size_bytes, "1 to 1048576");
        }
        Limits::of(self).check()?;
        if self.max_handshakes == 0 {
            return wrong("max_handshakes", &self.max_handshakes, "at least 1");
        }
        if self.low_water_bytes > self.high_water_bytes {
            return wrong("low_water_bytes", &self.low_water_bytes, "at most high_water_bytes");
        }
        let durations = [
            ("read_timeout", self.read_timeout),
            ("send_timeout", self.send_timeout),
            ("connect_timeout", Some(self.connect_timeout)),
            ("handshake_timeout", Some(self.handshake_timeout)),
            ("handshake_deadline", Some(self.handshake_deadline)),
            ("accept_retry_interval", Some(self.accept_retry_interval)),
        ];
        for (field, value) in durations {
            if let Some(zero @ Duration::ZERO) = value {
                return wrong(field, &zero, "more than zero");
            }
        }
        if let Some(idle) = self.keep_alive {
            if idle.is_zero() || idle > MAX_KEEP_ALIVE {
                return wrong("keep_alive", &idle, "more than zero, at most 32767 s");
            }
        }
        Ok(())
    }
}

/// A setting that makes no sense, or does not exist.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ConfigError(Fault);

#[derive(Clone, PartialEq, Eq, Debug)]
enum Fault {
    Wrong { field: &'static str, value: String, want: &'static str },
    Unknown { name: String },
}

impl ConfigError {
    pub(crate) fn wrong(field: &'static str, value: String, want: &'static str) -> Self {
        Self(Fault::Wrong { field, value, want })
    }

    pub(super) fn unknown(name: &str) -> Self {
        Self(Fault::Unknown { name: name.into() })
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Fault::Wrong { field, value, want } => {
                write!(f, "{field} is {value}: it must be {want}")
            }
            Fault::Unknown { name } => write!(f, "{name:?} is no setting"),
        }
    }
}

impl std::error::Error for ConfigError {}

/// Who has connected: what the acceptor makes a handler from.
#[derive(Clone, Debug)]
pub struct Peer {
    /// The peer's address; behind a balancer whose headers are believed
    /// ([`ProxyProtocol`](crate::ProxyProtocol)), that of the client.
    pub addr: Addr,
    /// The listener it came to.
    pub listener: ListenerId,
    /// What the balancer has said, if it was asked.
    pub proxy: Option<Arc<ProxyHeader>>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_absurd_setting_is_refused_by_name_and_value() {
        assert_eq!(Config::default().check(), Ok(()));
        let size = |bytes| Config { read_size_bytes: bytes, ..Config::default() }.check();
        assert!(size(1).is_ok() && size(MAX_READ_SIZE).is_ok());
        let error = size(MAX_READ_SIZE + 1).expect_err("too large").to_string();
        assert_eq!(error, "read_size_bytes is 1048577: it must be 1 to 1048576");
        assert!(size(0).is_err());
        let zero = Config { read_timeout: Some(Duration::ZERO), ..Config::default() };
        let error = zero.check().expect_err("zero").to_string();
        assert_eq!(error, "read_timeout is 0ns: it must be more than zero");
        let idle = |idle| Config { keep_alive: Some(idle), ..Config::default() }.check();
        assert!(idle(MAX_KEEP_ALIVE).is_ok() && idle(Duration::ZERO).is_err());
        let error = idle(MAX_KEEP_ALIVE + Duration::from_secs(1)).expect_err("too long");
        assert!(error.to_string().starts_with("keep_alive is 32768s"), "{error}");
    }
}
