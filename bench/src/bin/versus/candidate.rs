//! Who takes part: an engine, and for TLS whose cryptography it uses.
//!
//! Never: serves; `peers` does.

use crate::failure::Failure;
use clap::ValueEnum;
use shardpoll_bench::child::Child;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::process::Command;

/// An engine.
#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Peer {
    /// This one: one shard, all its timeouts on
    Shardpoll,
    /// tokio's current-thread runtime; with TLS, tokio-rustls on it
    Tokio,
    /// No engine: a crossbeam channel, an eventfd and epoll, and nothing else; for `letters`
    #[value(skip)]
    Bare,
}

/// Whose cryptography rustls uses.
#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Provider {
    Ring,
    AwsLcRs,
}

impl Provider {
    /// Those that this program was built with.
    pub(crate) fn built_in() -> &'static [Self] {
        if cfg!(feature = "aws-lc-rs") { &[Self::Ring, Self::AwsLcRs] } else { &[Self::Ring] }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Ring => "ring",
            Self::AwsLcRs => "aws-lc-rs",
        }
    }
}

impl fmt::Display for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// One server of a scenario; without a provider it is plain.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Candidate {
    pub(crate) peer: Peer,
    pub(crate) provider: Option<Provider>,
}

impl Candidate {
    /// All of a scenario, each beside what it is compared with.
    pub(crate) fn all(tls: bool, providers: &[Provider]) -> Vec<Self> {
        let providers: Vec<_> =
            if tls { providers.iter().copied().map(Some).collect() } else { vec![None] };
        let both =
            |provider| Peer::value_variants().iter().map(move |&peer| Self { peer, provider });
        providers.into_iter().flat_map(both).collect()
    }

    /// Whom it is compared with.
    pub(crate) fn base(self) -> Self {
        Self { peer: Peer::Tokio, ..self }
    }

    pub(crate) fn name(self) -> &'static str {
        match (self.peer, self.provider) {
            (Peer::Shardpoll, _) => "shardpoll",
            (Peer::Tokio, None) => "tokio",
            (Peer::Tokio, Some(_)) => "tokio-rustls",
            (Peer::Bare, _) => "channel, eventfd, epoll",
        }
    }

    /// Starts it in a child process: this very program; `under` a tool, perhaps.
    pub(crate) fn start(self, under: &[OsString], options: &[String]) -> Result<Child, Failure> {
        let program = std::env::current_exe().map_err(Failure::io("this program's own path"))?;
        let words: Vec<&OsStr> =
            under.iter().map(OsString::as_os_str).chain([program.as_os_str()]).collect();
        let mut command = Command::new(words[0]);
        command.args(&words[1..]).arg("serve");
        command.arg(match self.peer {
            Peer::Shardpoll => "shardpoll",
            Peer::Tokio => "tokio",
            Peer::Bare => unreachable!("it serves nobody"),
        });
        if let Some(provider) = self.provider {
            command.args(["--provider", provider.name()]);
        }
        command.args(options);
        Child::start(command).map_err(|error| self.failed(error.to_string()))
    }

    pub(crate) fn failed(self, why: String) -> Failure {
        Failure::Server { server: self.to_string(), why }
    }
}

impl fmt::Display for Candidate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())?;
        self.provider.map_or(Ok(()), |provider| write!(f, ", {provider}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_provider_has_its_own_base_and_plain_has_one() {
        let all = Candidate::all(true, &[Provider::Ring, Provider::AwsLcRs]);
        assert_eq!(all.len(), 4);
        for candidate in all.iter().copied() {
            assert!(all.contains(&candidate.base()));
            assert_eq!(candidate.base().provider, candidate.provider);
        }
        let plain = Candidate::all(false, &[Provider::Ring, Provider::AwsLcRs]);
        assert_eq!(
            plain.iter().map(Candidate::to_string).collect::<Vec<_>>(),
            ["shardpoll", "tokio"]
        );
    }
}
