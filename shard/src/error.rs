//! What can go wrong with more than one thread.
//!
//! Never: describes the end of a connection; `CloseReason` does.

use shardpoll_reactor::{Addr, ConfigError};
use std::fmt;
use std::io;
use std::os::fd::RawFd;

/// What kept an engine from starting, listening, or going on.
#[derive(Debug)]
#[non_exhaustive]
pub enum StartError {
    /// A setting makes no sense: the caller's mistake.
    Config(ConfigError),
    /// The number of shards is 0 or more than [`MAX_SHARDS`](shardpoll_reactor::MAX_SHARDS).
    Shards(usize),
    /// This CPU is not one the process may run on.
    Cpu(usize),
    /// The list of CPUs to bind shards to is empty.
    NoCpu,
    /// [`Balance::CpuLocal`](crate::Balance::CpuLocal) where a shard is bound to no CPU.
    Unpinned,
    /// The address cannot be listened on: in use, not ours, privileged, or none at all.
    Listen {
        /// The address asked for.
        addr: Addr,
        /// The kernel's reason.
        source: io::Error,
    },
    /// The descriptor handed over cannot be listened on: it is no listening stream socket.
    Inherited {
        /// The descriptor's number.
        fd: RawFd,
        /// What is wrong with it.
        source: io::Error,
    },
    /// This is no name for a listener; see [`Listen::name`](crate::Listen::name).
    Name(String),
    /// What another process has handed over as a listener has no descriptor.
    NoDescriptor,
    /// The kernel refused what a shard needs, such as a descriptor or a thread.
    Shard {
        /// The shard's number.
        shard: usize,
        /// The kernel's reason.
        source: io::Error,
    },
    /// The kernel refused the watchdog its thread.
    Watchdog(io::Error),
    /// A shard cannot be retired: it is retired already, never was, or is the last one.
    NotRetired {
        /// The shard's number.
        shard: usize,
    },
    /// A shard's thread panicked: a bug of this library.
    Panicked {
        /// The shard's number.
        shard: usize,
    },
    /// Called from a callback, where it would wait for itself.
    OnShard,
    /// A worker was dropped before its shard had ended, which ends the engine.
    Abandoned,
    /// The engine has ended.
    Ended,
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Config(error) => error.fmt(f),
            Self::Shards(count) => {
                write!(f, "{count} shards: there must be 1 to {}", shardpoll_reactor::MAX_SHARDS)
            }
            Self::Cpu(cpu) => write!(f, "CPU {cpu} is not one this process may run on"),
            Self::NoCpu => f.write_str("the list of CPUs is empty"),
            Self::Unpinned => f.write_str("a shard that is to serve one CPU is bound to none"),
            Self::Listen { addr, source } => write!(f, "cannot listen on {addr}: {source}"),
            Self::Inherited { fd, source } => {
                write!(f, "cannot listen on descriptor {fd}: {source}")
            }
            Self::Name(name) => write!(f, "{name:?} is no name for a listener"),
            Self::NoDescriptor => f.write_str("a listener without a descriptor was handed over"),
            Self::Shard { shard, source } => write!(f, "shard {shard}: {source}"),
            Self::Watchdog(source) => write!(f, "watchdog: {source}"),
            Self::NotRetired { shard } => {
                write!(f, "shard {shard} is retired already, never was, or is the last one")
            }
            Self::Panicked { shard } => write!(f, "shard {shard} panicked"),
            Self::OnShard => f.write_str("called from a callback, where it would wait for itself"),
            Self::Abandoned => f.write_str("a worker was dropped before its shard had ended"),
            Self::Ended => f.write_str("the engine has ended"),
        }
    }
}

impl std::error::Error for StartError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Config(error) => Some(error),
            Self::Watchdog(source) => Some(source),
            Self::Listen { source, .. }
            | Self::Inherited { source, .. }
            | Self::Shard { source, .. } => Some(source),
            _ => None,
        }
    }
}

/// A letter that could not be posted, given back. Posting never blocks: two shards that wait for
/// each other's mailbox would stop the world.
#[derive(Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Undelivered<T> {
    /// The shard has 4,096 letters to read already; try again later.
    Full(T),
    /// The shard has ended, or the id is not one of this engine's.
    Ended(T),
}

impl<T> Undelivered<T> {
    /// What was to be posted.
    pub fn into_inner(self) -> T {
        match self {
            Self::Full(letter) | Self::Ended(letter) => letter,
        }
    }

    pub(crate) fn map<U>(self, f: impl FnOnce(T) -> U) -> Undelivered<U> {
        match self {
            Self::Full(letter) => Undelivered::Full(f(letter)),
            Self::Ended(letter) => Undelivered::Ended(f(letter)),
        }
    }

    fn text(&self) -> &'static str {
        match self {
            Self::Full(_) => "the shard's mailbox is full",
            Self::Ended(_) => "the shard has ended",
        }
    }
}

// By hand: a closure is no `Debug`.
impl<T> fmt::Debug for Undelivered<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full(_) => "Full(..)",
            Self::Ended(_) => "Ended(..)",
        })
    }
}

impl<T> fmt::Display for Undelivered<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

impl<T> std::error::Error for Undelivered<T> {}

/// Whom a letter to many could not be posted to: connections or shards. All others have it.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Unreached<T> {
    /// Their shards have 4,096 letters to read already; try again later.
    pub full: Vec<T>,
    /// Their shards have ended, or never were of this engine.
    pub ended: Vec<T>,
}

impl<T> Unreached<T> {
    pub(crate) fn none(self) -> Result<(), Self> {
        if self.full.is_empty() && self.ended.is_empty() { Ok(()) } else { Err(self) }
    }
}

impl<T> fmt::Display for Unreached<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (full, ended) = (self.full.len(), self.ended.len());
        write!(f, "not reached: {full} of shards whose mailbox is full, {ended} of ended shards")
    }
}

impl<T: fmt::Debug> std::error::Error for Unreached<T> {}
