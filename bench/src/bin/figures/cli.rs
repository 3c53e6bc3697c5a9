//! The command line: which figures, and what becomes of a missed goal.
//!
//! Never: carries anything out.

use crate::subject::Subject;
use clap::{Parser, ValueEnum};
use std::net::SocketAddr;
use std::path::PathBuf;

const HELP: &str = "\
Before it: cargo build --release -p shardpoll-bench (the figures are those of its shardload).

A row that has a budget is compared with it: 2 % over is too much (10 % where another compiler was
used). A budget is lowered or raised by `figures guards --record REASON` alone.

Exit codes: 0 done, 1 --check and a goal or budget is missed, 2 cannot be done as asked,
3 a tool is missing";

/// What an echo, a turn and an idle connection cost: counts and bytes, each beside its goal.
#[derive(Parser, Debug)]
#[command(name = "figures", version, after_help = HELP)]
pub(crate) struct Cli {
    /// Which figures
    #[arg(value_enum, default_value = "all")]
    pub(crate) what: What,
    /// End with exit code 1 when a goal is missed, or a budget exceeded
    #[arg(long)]
    pub(crate) check: bool,
    /// Print one JSON object instead of the text
    #[arg(long)]
    pub(crate) json: bool,
    /// Make what is measured now the budget of each row that has moved; say why
    #[arg(long, value_name = "REASON", conflicts_with = "check", value_parser = reason)]
    pub(crate) record: Option<String>,
    /// The file of the budgets
    #[arg(long, value_name = "FILE", default_value = BUDGETS)]
    pub(crate) budgets: PathBuf,
    /// Be the clients of `closeall`
    #[arg(long, hide = true)]
    pub(crate) clients_of: Option<SocketAddr>,
    /// Likewise, over TLS
    #[arg(long, hide = true, requires = "clients_of")]
    pub(crate) tls: bool,
    /// Be what is counted
    #[arg(long, hide = true, requires = "times")]
    pub(crate) subject: Option<Subject>,
    /// So often
    #[arg(long, hide = true, requires = "subject")]
    pub(crate) times: Option<u64>,
    /// Be the bare generator, and drive this server
    #[arg(long, hide = true, requires = "millis", requires = "connections")]
    pub(crate) bare: Option<SocketAddr>,
    /// With so many connections
    #[arg(long, hide = true, requires = "bare")]
    pub(crate) connections: Option<usize>,
    /// For so long
    #[arg(long, hide = true, requires = "bare")]
    pub(crate) millis: Option<u64>,
}

/// Where the sources are that this program was built of.
const BUDGETS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/budgets.json");

/// What a budget's change is for, in one line.
fn reason(text: &str) -> Result<String, String> {
    let text = text.trim();
    let is_one_line = text.chars().all(|c| !c.is_control());
    if is_one_line && text.chars().any(char::is_alphabetic) {
        return Ok(text.into());
    }
    Err("want one line that says why".into())
}

#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum What {
    /// System calls per echo (needs strace)
    Syscalls,
    /// User-space instructions per echo, connection, timer and letter (needs valgrind and strace)
    Instructions,
    /// Both of these: the rows that have budgets
    Guards,
    /// Resident memory per idle connection
    Memory,
    /// Operations on the timer heap over 100,000 echoes
    Heap,
    /// CPU, time and memory under attack; not part of all
    Attack,
    /// 15,000 connections closed at once: none that is not told
    Closeall,
    /// What shardload costs beside the least that a load generator can be; not part of all (needs
    /// valgrind, strace and taskset)
    Generator,
    /// What shardload says of a server that stops 100 ms each second; not part of all
    Stall,
    All,
}

impl Cli {
    pub(crate) fn wants(&self, what: What) -> bool {
        match self.what {
            What::All => !matches!(what, What::Attack | What::Generator | What::Stall),
            What::Guards => matches!(what, What::Syscalls | What::Instructions),
            only => only == what,
        }
    }

    /// Whether each row that has a budget is measured.
    pub(crate) fn wants_every_guard(&self) -> bool {
        self.wants(What::Syscalls) && self.wants(What::Instructions)
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
        assert!(all.wants_every_guard() && !one.wants_every_guard());
        let generator = Cli::parse_from(["figures", "generator"]);
        assert!(generator.wants(What::Generator) && !generator.wants(What::Stall));
        assert!(!all.wants(What::Generator) && !all.wants(What::Stall));
    }

    #[test]
    fn no_budget_is_changed_without_a_reason() {
        for none in ["", "  ", "...", "one\ntwo"] {
            let asked = Cli::try_parse_from(["figures", "guards", "--record", none]);
            assert!(asked.is_err(), "{none:?}");
        }
        assert!(Cli::try_parse_from(["figures", "guards", "--record"]).is_err());
        let asked = Cli::parse_from(["figures", "guards", "--record", " a field less "]);
        assert_eq!(asked.record.as_deref(), Some("a field less"));
    }
}
