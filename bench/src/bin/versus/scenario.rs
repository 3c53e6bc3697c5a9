//! The scenarios: what is sent, what one unit is, who takes part, and what it may cost; `specs` has
//! the data.
//!
//! Never: measures.

use crate::candidate::{Candidate, Provider};
use crate::peer::Peer;
use crate::specs;
use clap::ValueEnum;
use serde::{Deserialize, Serialize};

#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Scenario {
    /// 64-byte echoes on 50 plain connections
    Echo50,
    /// The same on 1,000
    Echo1000,
    /// The same on 15,000, beside 50
    Echo15000,
    /// 1 KiB messages, 16 in flight on each of 50 plain connections
    Pipe,
    /// 64 KiB messages on 4 plain connections
    Bulk,
    /// Plain connections that come, have one message echoed, and go
    Churn,
    /// Resident memory per idle plain connection
    Idle,
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
    /// 64-byte echoes on 50 connections, through a proxy
    Link,
    /// 64 KiB messages on 4 connections, through a proxy
    Linkbulk,
    /// 64-byte echoes on two shards, beside one (needs valgrind and strace)
    Shards,
    /// One message to 10,000 connections, beside tokio's broadcast (needs valgrind)
    Fanout,
    /// Timers: insert, cancel, reschedule, pop, beside tokio-util's DelayQueue
    Timers,
    /// User-space instructions per message, connection and handshake (needs valgrind and strace)
    Instructions,
}

/// Connections that stay, each with so many messages in flight.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
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
    /// Echoes with few connections, and with many.
    Scale([usize; 2]),
    Idle,
    Letters,
    Shards,
    /// To so many connections.
    Fanout(usize),
    Timers,
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

/// All there is to know of a scenario.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spec {
    /// As on the command line.
    pub(crate) name: &'static str,
    /// What stands above its table.
    pub(crate) title: &'static str,
    /// What the value of a row is, and of what.
    pub(crate) unit: &'static str,
    pub(crate) kind: Kind,
    /// Who takes part, in the order of the table.
    pub(crate) peers: &'static [Peer],
    /// Whom each row is compared with, in the same round.
    pub(crate) base: Peer,
    pub(crate) tls: bool,
    /// Who serves behind them, if they are proxies.
    pub(crate) behind: Option<Peer>,
    /// For this engine.
    pub(crate) goal: Option<Goal>,
}

impl Scenario {
    pub(crate) fn spec(self) -> Spec {
        match self {
            Self::Echo50 => specs::ECHO50,
            Self::Echo1000 => specs::ECHO1000,
            Self::Echo15000 => specs::ECHO15000,
            Self::Pipe => specs::PIPE,
            Self::Bulk => specs::BULK,
            Self::Churn => specs::CHURN,
            Self::Idle => specs::IDLE,
            Self::Tlsecho => specs::TLSECHO,
            Self::Tlschurn => specs::TLSCHURN,
            Self::Tlsresume => specs::TLSRESUME,
            Self::Tlsbulk => specs::TLSBULK,
            Self::Tlsidle => specs::TLSIDLE,
            Self::Letters => specs::LETTERS,
            Self::Link => specs::LINK,
            Self::Linkbulk => specs::LINKBULK,
            Self::Shards => specs::SHARDS,
            Self::Fanout => specs::FANOUT,
            Self::Timers => specs::TIMERS,
            Self::Instructions => specs::INSTRUCTIONS,
        }
    }

    pub(crate) fn name(self) -> &'static str {
        self.spec().name
    }

    /// How many messages or visits are one unit.
    pub(crate) fn messages_per_unit(self) -> f64 {
        match self.spec() {
            Spec { kind: Kind::Lines(lines), unit: "us/MB", .. } => 1e6 / lines.size as f64,
            _ => 1.0,
        }
    }

    /// The goals of TLS are set with ring; with others the same numbers are shown beside the row.
    pub(crate) fn goal(self, of: Candidate) -> Option<Goal> {
        self.spec().goal.filter(|_| of.peer == Peer::Shardpoll)
    }

    /// Who takes part and is here; and who is not, and why.
    pub(crate) fn candidates(self, providers: &[Provider]) -> (Vec<Candidate>, Vec<Absent>) {
        let Spec { peers, tls, .. } = self.spec();
        let (absent, here) = present(peers);
        (Candidate::all(&here, if tls { providers } else { &[] }), absent)
    }
}

/// One who does not take part.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Absent {
    pub(crate) peer: Peer,
    pub(crate) why: String,
}

/// Who is not here, and who is.
pub(crate) fn present(peers: &[Peer]) -> (Vec<Absent>, Vec<Peer>) {
    let (mut absent, mut here) = (Vec::new(), Vec::new());
    for &peer in peers {
        match peer.missing() {
            Some(why) => absent.push(Absent { peer, why }),
            None => here.push(peer),
        }
    }
    (absent, here)
}

/// Whether a missed goal fails `--check`.
pub(crate) fn binds(of: Candidate) -> bool {
    of.provider.is_none_or(|provider| provider == Provider::Ring)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_calls_them_by_their_names() {
        for scenario in Scenario::value_variants() {
            let value = scenario.to_possible_value().expect("it is not skipped");
            assert_eq!(value.get_name(), scenario.name());
        }
    }

    #[test]
    fn everybody_is_compared_with_one_who_takes_part() {
        for scenario in Scenario::value_variants() {
            let Spec { peers, base, .. } = scenario.spec();
            assert!(peers.contains(&base) && peers.contains(&Peer::Shardpoll), "{scenario:?}");
        }
    }
}
