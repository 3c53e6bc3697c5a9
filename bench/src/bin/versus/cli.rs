//! The command line: which scenarios, with which providers, and where the figures go.
//!
//! Never: carries anything out.

use crate::candidate::Provider;
use crate::clients::Handshake;
use crate::failure::Failure;
use crate::peer::Peer;
use crate::scenario::Scenario;
use clap::{Args, Parser, Subcommand, ValueEnum, value_parser};
use shardpoll_bench::command_line;
use std::net::SocketAddr;
use std::path::PathBuf;

const HELP: &str = "\
Examples:
  versus                                  every scenario, with every provider that was built in
  versus tlsecho tlsbulk --rounds 20
  versus peers                            who is here, and who is not
  versus --provider aws-lc-rs tlschurn    needs --features peers,aws-lc-rs

Exit codes: 0 done, 1 --check and a goal is missed, 2 cannot be done as asked, 3 a tool is missing";

/// This engine beside its peers: all servers stand at once, short windows go round over them.
#[derive(Parser, Debug)]
#[command(name = "versus", version, after_help = HELP, args_conflicts_with_subcommands = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
    /// Which scenarios; none named: all
    #[arg(value_enum, value_name = "SCENARIO")]
    scenarios: Vec<Scenario>,
    /// Whose cryptography the servers use; the clients always use ring
    #[arg(long, value_enum, value_delimiter = ',', value_name = "PROVIDER")]
    provider: Vec<Provider>,
    /// How often the windows go round
    #[arg(long, value_name = "N", default_value = "16")]
    #[arg(value_parser = value_parser!(u32).range(2..=1000))]
    pub(crate) rounds: u32,
    /// How long one window is, in milliseconds
    #[arg(long, value_name = "MS", default_value = "300")]
    #[arg(value_parser = value_parser!(u64).range(50..=10_000))]
    pub(crate) window: u64,
    /// Write a line of JSON for each row to this file
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
    /// End with exit code 1 when a goal is missed
    #[arg(long)]
    pub(crate) check: bool,
}

#[derive(Subcommand, Debug)]
pub(crate) enum Command {
    /// Tell of each peer whether it is here, and if not why
    Peers,
    #[command(hide = true)]
    Serve(Serve),
    #[command(hide = true)]
    Load(Load),
}

/// The clients of one server, until standard input, which tells them what to do, ends.
#[derive(Args, Debug)]
pub(crate) struct Load {
    pub(crate) addr: SocketAddr,
    /// The CPU to stay on
    #[arg(long)]
    pub(crate) cpu: Option<usize>,
    /// With TLS, and this handshake; without it: plain
    #[arg(long, value_enum)]
    pub(crate) tls: Option<Handshake>,
}

/// One server, until its standard input ends.
#[derive(Args, Debug)]
pub(crate) struct Serve {
    #[arg(value_enum)]
    pub(crate) peer: Peer,
    /// TLS with this provider, and a certificate made for this run; without it: plain
    #[arg(long, value_enum)]
    pub(crate) provider: Option<Provider>,
    /// A proxy of the server at this address, in place of a server
    #[arg(long, value_name = "ADDR")]
    pub(crate) behind: Option<SocketAddr>,
    /// How many shards this engine has
    #[arg(long, default_value_t = 1)]
    pub(crate) shards: usize,
    /// Tell all connections what one of them says, in place of an echo
    #[arg(long)]
    pub(crate) fanout: bool,
    /// The CPU to stay on
    #[arg(long)]
    pub(crate) cpu: Option<usize>,
    /// How many seconds a client may be silent
    #[arg(long, default_value = "60")]
    pub(crate) read_timeout: u64,
}

impl Cli {
    pub(crate) fn scenarios(&self) -> Vec<Scenario> {
        let all = || Scenario::value_variants().to_vec();
        if self.scenarios.is_empty() { all() } else { self.scenarios.clone() }
    }

    pub(crate) fn providers(&self) -> Vec<Provider> {
        if self.provider.is_empty() { Provider::built_in().to_vec() } else { self.provider.clone() }
    }
}

/// Reads the command line of this process; `--help` and `--version` are answered here.
pub(crate) fn parse() -> Result<Cli, Failure> {
    let asked: Cli = command_line::parse()?;
    match asked.provider.iter().find(|provider| !Provider::built_in().contains(provider)) {
        Some(provider) => Err(Failure::NotBuiltIn(*provider)),
        None => Ok(asked),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn nothing_named_is_everything() {
        let all = Cli::parse_from(["versus"]);
        assert_eq!(all.scenarios(), Scenario::value_variants());
        assert_eq!(all.providers(), Provider::built_in());
        let one = Cli::parse_from(["versus", "tlsecho", "--provider", "ring"]);
        assert_eq!(one.scenarios(), [Scenario::Tlsecho]);
        assert_eq!(one.providers(), [Provider::Ring]);
    }
}
