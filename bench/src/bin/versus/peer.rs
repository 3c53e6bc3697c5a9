//! The engines: what each is called, and whether it is here.
//!
//! Never: serves; `peers` does, or a program of the peer's own.

use clap::ValueEnum;
use std::path::PathBuf;

/// An engine.
#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Peer {
    /// This one: one shard, all its timeouts on
    Shardpoll,
    /// No engine: bare level-triggered epoll, without a timeout
    Floor,
    /// No engine: bare edge-triggered epoll, with a read timeout
    FloorEt,
    /// tokio's current-thread runtime; with TLS, tokio-rustls on it
    Tokio,
    /// No engine: a crossbeam channel, an eventfd and epoll, and nothing else; for `letters`
    #[value(skip)]
    Bare,
}

impl Peer {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Shardpoll => "shardpoll",
            Self::Floor => "floor",
            Self::FloorEt => "floor-et",
            Self::Tokio => "tokio",
            Self::Bare => "channel, eventfd, epoll",
        }
    }

    /// Whether it is something that others build on: neither this engine nor what none could use.
    pub(crate) fn is_library(self) -> bool {
        !matches!(self, Self::Shardpoll | Self::Floor | Self::FloorEt | Self::Bare)
    }

    /// The program that serves in its place, if it is not this one.
    pub(crate) fn program(self) -> Option<PathBuf> {
        None
    }

    /// Why it cannot take part on this machine, if it cannot.
    pub(crate) fn missing(self) -> Option<String> {
        let program = self.program().filter(|program| !program.is_file())?;
        Some(format!("no {}; scripts/install-peers.sh makes it", program.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_calls_them_by_their_names() {
        for peer in Peer::value_variants() {
            let value = peer.to_possible_value().expect("it is not skipped");
            assert_eq!(value.get_name(), peer.name());
        }
    }
}
