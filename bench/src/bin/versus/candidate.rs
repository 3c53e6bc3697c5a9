//! Who takes part: an engine, and for TLS whose cryptography it uses.
//!
//! Never: serves; `peers` does.

use crate::failure::Failure;
use crate::peer::Peer;
use clap::ValueEnum;
use shardpoll_bench::child::Child;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::path::PathBuf;
use std::process::Command;

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

/// This very program.
pub(crate) fn own_program() -> Result<PathBuf, Failure> {
    std::env::current_exe().map_err(Failure::io("this program's own path"))
}

impl Candidate {
    /// Without TLS.
    pub(crate) fn plain(peer: Peer) -> Self {
        Self { peer, provider: None }
    }

    /// These with each provider; without providers, plain.
    pub(crate) fn all(peers: &[Peer], providers: &[Provider]) -> Vec<Self> {
        if providers.is_empty() {
            return peers.iter().copied().map(Self::plain).collect();
        }
        let with =
            |&provider| peers.iter().map(move |&peer| Self { peer, provider: Some(provider) });
        providers.iter().flat_map(with).collect()
    }

    /// The same with this peer in its place.
    pub(crate) fn beside(self, peer: Peer) -> Self {
        Self { peer, ..self }
    }

    pub(crate) fn name(self) -> &'static str {
        match (self.peer, self.provider) {
            (Peer::Tokio, Some(_)) => "tokio-rustls",
            (Peer::FloorEt, Some(_)) => "floor-rustls",
            (peer, _) => peer.name(),
        }
    }

    /// Starts it in a child process, `under` a tool, perhaps: this very program, or the peer's.
    pub(crate) fn start(self, under: &[OsString], options: &[String]) -> Result<Child, Failure> {
        let (program, serve) = match self.peer.program() {
            Some(program) => (program, None),
            None => (own_program()?, Some(["serve", self.peer.name()])),
        };
        let words: Vec<&OsStr> =
            under.iter().map(OsString::as_os_str).chain([program.as_os_str()]).collect();
        let mut command = Command::new(words[0]);
        command.args(&words[1..]).args(serve.into_iter().flatten());
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
    fn each_provider_has_all_peers_and_plain_has_them_once() {
        let peers = [Peer::Shardpoll, Peer::Tokio];
        let names = |providers: &[Provider]| {
            let all = Candidate::all(&peers, providers);
            all.iter().map(Candidate::to_string).collect::<Vec<_>>()
        };
        assert_eq!(names(&[]), ["shardpoll", "tokio"]);
        assert_eq!(
            names(&[Provider::Ring, Provider::AwsLcRs]),
            [
                "shardpoll, ring",
                "tokio-rustls, ring",
                "shardpoll, aws-lc-rs",
                "tokio-rustls, aws-lc-rs"
            ]
        );
    }
}
