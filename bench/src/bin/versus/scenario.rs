//! The scenarios as data: what is sent, what one unit is, and what it may cost.
//!
//! Never: measures.

use crate::candidate::{Candidate, Peer, Provider};
use clap::ValueEnum;

#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Scenario {
    /// 64-byte echoes on 50 plain connections
    Echo50,
    /// 64-byte echoes on 50 connections with TLS 1.3
    Tlsecho,
    /// Full TLS 1.3 handshakes, each with one echo
    Tlschurn,
    /// The same, resumed by ticket
    Tlsresume,
    /// 64 KiB messages on 4 connections with TLS 1.3
    Tlsbulk,
    /// Resident memory per idle TLS connection
    Tlsidle,
    /// Letters from one thread to another: in a busy loop, and to one that sleeps
    Letters,
    /// User-space instructions per TLS echo and per handshake (needs valgrind and strace)
    Instructions,
}

/// Connections that stay, each with so many messages in flight.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Lines {
    pub(crate) connections: usize,
    pub(crate) size: usize,
    pub(crate) depth: usize,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    Lines(Lines),
    /// Connect, one echo, close; so many at a time.
    Visits {
        at_a_time: u64,
        resumed: bool,
    },
    Idle,
    Letters,
    Instructions,
}

/// The most a row may be.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) enum Goal {
    /// Over the base, in the same round.
    Ratio(f64),
    /// By itself.
    Value(f64),
}

impl Scenario {
    pub(crate) const ALL: &[Self] = &[
        Self::Echo50,
        Self::Tlsecho,
        Self::Tlschurn,
        Self::Tlsresume,
        Self::Tlsbulk,
        Self::Tlsidle,
        Self::Letters,
        Self::Instructions,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Echo50 => "echo50",
            Self::Tlsecho => "tlsecho",
            Self::Tlschurn => "tlschurn",
            Self::Tlsresume => "tlsresume",
            Self::Tlsbulk => "tlsbulk",
            Self::Tlsidle => "tlsidle",
            Self::Letters => "letters",
            Self::Instructions => "instructions",
        }
    }

    pub(crate) fn is_tls(self) -> bool {
        !matches!(self, Self::Echo50 | Self::Letters)
    }

    pub(crate) fn kind(self) -> Kind {
        match self {
            Self::Echo50 | Self::Tlsecho => {
                Kind::Lines(Lines { connections: 50, size: 64, depth: 1 })
            }
            Self::Tlsbulk => Kind::Lines(Lines { connections: 4, size: 64 * 1024, depth: 4 }),
            Self::Tlschurn => Kind::Visits { at_a_time: 16, resumed: false },
            Self::Tlsresume => Kind::Visits { at_a_time: 16, resumed: true },
            Self::Tlsidle => Kind::Idle,
            Self::Letters => Kind::Letters,
            Self::Instructions => Kind::Instructions,
        }
    }

    /// What stands above its table.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Echo50 => "64-byte echo, plain, 50 connections, one in flight on each",
            Self::Tlsecho => "64-byte echo, TLS 1.3, 50 connections, one in flight on each",
            Self::Tlschurn => {
                "connect, full TLS 1.3 handshake, one 64-byte echo, close; 16 at a time"
            }
            Self::Tlsresume => {
                "connect, resumed TLS 1.3 handshake, one 64-byte echo, close; 16 at a time"
            }
            Self::Tlsbulk => "64 KiB echo, TLS 1.3, 4 connections, 4 in flight on each",
            Self::Tlsidle => "idle TLS 1.3 connections, each after one 64-byte echo",
            Self::Letters => "letters (boxed tasks) from a thread on the second CPU to the first",
            Self::Instructions => "user-space instructions (callgrind)",
        }
    }

    /// What the value of a row is, and of what.
    pub(crate) fn unit(self) -> &'static str {
        match self {
            Self::Echo50 | Self::Tlsecho => "us/echo",
            Self::Tlschurn | Self::Tlsresume => "us/visit",
            Self::Tlsbulk => "us/MB",
            Self::Tlsidle => "bytes",
            Self::Letters => "ns",
            Self::Instructions => "instr",
        }
    }

    /// How many messages or visits are one unit.
    pub(crate) fn messages_per_unit(self) -> f64 {
        match self.kind() {
            Kind::Lines(lines) if self == Self::Tlsbulk => 1e6 / lines.size as f64,
            _ => 1.0,
        }
    }

    /// The goals are set with ring; with others the same numbers are shown beside the row.
    pub(crate) fn goal(self, of: Candidate) -> Option<Goal> {
        if of.peer != Peer::Shardpoll || of.provider.is_none() {
            return None;
        }
        match self {
            Self::Tlsecho => Some(Goal::Ratio(0.88)),
            Self::Tlschurn => Some(Goal::Ratio(0.90)),
            Self::Tlsbulk => Some(Goal::Ratio(0.75)),
            Self::Tlsidle => Some(Goal::Value(4200.0)),
            Self::Echo50 | Self::Tlsresume | Self::Letters | Self::Instructions => None,
        }
    }
}

/// Whether a missed goal fails `--check`.
pub(crate) fn binds(of: Candidate) -> bool {
    of.provider == Some(Provider::Ring)
}
