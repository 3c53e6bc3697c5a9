//! The clients of one server: a process of their own, so that each has all the descriptors that a
//! process may have, and a clock of processor time for itself.
//!
//! They are told what to do in lines of JSON over their standard input, and answer each when it is
//! done.
//!
//! Never: measures; has two orders under way.

use crate::candidate::own_program;
use crate::failure::Failure;
use crate::scenario::Lines;
use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use shardpoll_bench::child::{Child, ChildError};
use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

/// How long an order may take beyond the time that it names.
const PATIENCE: Duration = Duration::from_secs(90);

/// How the clients begin a TLS connection.
#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Handshake {
    Full,
    Resumed,
}

/// What clients are told.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) enum Order {
    /// Open lasting connections until there are this many.
    GrowTo(Lines),
    /// Keep all of them busy for so many milliseconds, then let come back what is in flight.
    LinesFor(u64),
    /// Keep so many visits going for so many milliseconds, then let them end.
    VisitsFor { millis: u64, at_a_time: u64 },
    /// The messages of its depth on every connection, then all echoes; so many times.
    Rounds(u64),
    /// One echo on each connection from this one on.
    EchoFrom(usize),
    /// So many visits, one after the other.
    Visits(u64),
    /// Open connections that hear what one of them says until there are this many.
    Gather(usize),
    /// Let one speak, and all hear it, again and again for so many milliseconds.
    SayFor(u64),
    /// The same, so many times.
    Say(u64),
}

/// What they answer.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) enum Answer {
    /// So many messages came back, or visits are over.
    Done(u64),
    Failed(String),
}

/// The process.
#[derive(Debug)]
pub(crate) struct Clients {
    child: Child,
}

impl Clients {
    /// For the server there; on this CPU, or wherever the scheduler puts it.
    pub(crate) fn start(
        addr: SocketAddr,
        tls: Option<Handshake>,
        cpu: Option<usize>,
    ) -> Result<Self, Failure> {
        let mut command = Command::new(own_program()?);
        command.arg("load").arg(addr.to_string());
        if let Some(cpu) = cpu {
            command.args(["--cpu", &cpu.to_string()]);
        }
        match tls {
            None => {}
            Some(Handshake::Full) => drop(command.args(["--tls", "full"])),
            Some(Handshake::Resumed) => drop(command.args(["--tls", "resumed"])),
        }
        Ok(Self { child: Child::start(command).map_err(failed)? })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.pid
    }

    /// Gives how many messages came back meanwhile, or how many visits were paid.
    pub(crate) fn order(&mut self, order: Order) -> Result<u64, Failure> {
        let line = serde_json::to_string(&order).expect("numbers only");
        self.child.tell(&line).map_err(failed)?;
        let answer = self.child.answer(PATIENCE + order.time()).map_err(failed)?;
        match serde_json::from_str(&answer) {
            Ok(Answer::Done(count)) => Ok(count),
            Ok(Answer::Failed(why)) => Err(Failure::Echo { why }),
            Err(_) => Err(Failure::Echo { why: format!("the clients said {answer:?}") }),
        }
    }

    /// Ends them all.
    pub(crate) fn end(self) -> Result<(), Failure> {
        self.child.end().map_err(failed)
    }
}

#[expect(clippy::needless_pass_by_value, reason = "map_err gives it away")]
fn failed(error: ChildError) -> Failure {
    Failure::Server { server: "the clients".into(), why: error.to_string() }
}

impl Order {
    fn time(self) -> Duration {
        match self {
            Self::LinesFor(millis) | Self::VisitsFor { millis, .. } | Self::SayFor(millis) => {
                Duration::from_millis(millis)
            }
            _ => Duration::ZERO,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_is_read_as_it_was_written() {
        let orders = [
            Order::GrowTo(Lines { connections: 50, size: 64, depth: 1 }),
            Order::LinesFor(300),
            Order::VisitsFor { millis: 300, at_a_time: 16 },
            Order::Rounds(20),
            Order::EchoFrom(500),
            Order::Visits(7),
            Order::Gather(10_000),
            Order::SayFor(300),
            Order::Say(3),
        ];
        for order in orders {
            let line = serde_json::to_string(&order).expect("numbers only");
            assert_eq!(serde_json::from_str::<Order>(&line).expect("an order"), order);
            assert_eq!(line.lines().count(), 1);
        }
    }
}
