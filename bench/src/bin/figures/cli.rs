//! The command line: which figures, and what becomes of a missed goal.
//!
//! Never: carries anything out.

use clap::{Parser, ValueEnum};
use std::net::SocketAddr;

const HELP: &str = "\
Before it: cargo build --release -p shardpoll-bench (the figures are those of its shardload).

Exit codes: 0 done, 1 --check and a goal is missed, 2 cannot be done as asked, 3 a tool is missing";

/// What an echo, a turn and an idle connection cost: counts and bytes, each beside its goal.
#[derive(Parser, Debug)]
#[command(name = "figures", version, after_help = HELP)]
pub(crate) struct Cli {
    /// Which figures
    #[arg(value_enum, default_value = "all")]
    pub(crate) what: What,
    /// End with exit code 1 when a goal is missed
    #[arg(long)]
    pub(crate) check: bool,
    /// Print one JSON object instead of the text
    #[arg(long)]
    pub(crate) json: bool,
    /// Be the clients of `closeall`
    #[arg(long, hide = true)]
    pub(crate) clients_of: Option<SocketAddr>,
    /// Likewise, over TLS
    #[arg(long, hide = true, requires = "clients_of")]
    pub(crate) tls: bool,
}

#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum What {
    /// System calls per echo (needs strace)
    Syscalls,
    /// User-space instructions per echo and per connection (needs valgrind and strace)
    Instructions,
    /// Resident memory per idle connection
    Memory,
    /// Operations on the timer heap over 100,000 echoes
    Heap,
    /// CPU, time and memory under attack; not part of all
    Attack,
    /// 15,000 connections closed at once: none that is not told
    Closeall,
    All,
}

impl Cli {
    pub(crate) fn wants(&self, what: What) -> bool {
        self.what == what || self.what == What::All && what != What::Attack
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
        let all = Cli::parse_from(["figures"]);
        assert!(all.wants(What::Heap) && all.wants(What::Syscalls) && !all.wants(What::Attack));
        let one = Cli::parse_from(["figures", "memory"]);
        assert!(one.wants(What::Memory) && !one.wants(What::Heap));
    }
}
