//! The command line: what may be asked for, with its defaults.
//!
//! | file | what is in it |
//! |---|---|
//! | `target` | whom to drive and how to reach him: options that all loads share |
//! | `load` | the loads, each with its own options |
//! | `serve` | the servers |
//! | `results` | what can be done with results: compare, merge; what a shell wants to know |
//!
//! Never: carries anything out.

mod load;
mod results;
mod serve;
mod target;

pub(crate) use load::{
    Abuse, AttackKind, Bulk, Churn, Direction, Echo, Idle, Measure, Script, Scripts,
};
pub(crate) use results::{Compare, Completions, Man, Merge};
pub(crate) use serve::{Serve, Service};
pub(crate) use target::{ProviderName, ProxyVersion, Reach, TlsVersion};

use crate::units::duration;
use clap::{Args, Parser, Subcommand};
use std::path::PathBuf;
use std::time::Duration;

const EXAMPLES: &str = "\
Examples:
  shardload                                   the main job: plain and TLS, a table and a report
  shardload --duration 1s                     the same in a hurry
  shardload serve --addr 127.0.0.1:7000       an echo server; try it with: nc 127.0.0.1 7000
  shardload echo tcp://127.0.0.1:7000 --connections 1000 --duration 10s
  shardload echo tcp://127.0.0.1:7000 --rate 50k --report out.html --assert 'p99<5ms'
  shardload churn tls://localhost:7443 --ca chain.pem --no-resumption
  shardload script redis-ping tcp://127.0.0.1:6379

Each command has its own --help, with examples that run.

Exit codes: 0 done, 1 an assertion failed, messages were lost or wrong, or the server went away,
2 cannot be done as asked, 3 target not reached";

/// Load for servers that speak anything but HTTP, every byte checked; and servers to try it on.
///
/// Without a command: starts an echo server twice in child processes, plain and with TLS, drives
/// each with small and large messages and at a fixed rate, checks every byte that comes back,
/// prints a table, and writes a report to look at in a browser.
#[derive(Parser, Debug)]
#[command(name = "shardload", version, after_help = EXAMPLES)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
    #[command(flatten)]
    pub(crate) job: Job,
}

/// The main job.
#[derive(Args, Debug)]
pub(crate) struct Job {
    /// How long each of its loads takes
    #[arg(long, value_name = "TIME", default_value = "4s", value_parser = duration)]
    #[arg(allow_hyphen_values = true)]
    pub(crate) duration: Duration,
    /// Print one JSON object instead of the table
    #[arg(long)]
    pub(crate) json: bool,
    /// Where to write the report; it is one HTML page
    #[arg(long, value_name = "FILE", default_value = "shardload.html")]
    pub(crate) report: PathBuf,
}

#[derive(Subcommand, Debug)]
pub(crate) enum Command {
    Serve(Serve),
    Echo(Echo),
    Churn(Churn),
    Idle(Idle),
    Bulk(Bulk),
    Script(Script),
    Abuse(Abuse),
    Scripts(Scripts),
    Compare(Compare),
    Merge(Merge),
    Completions(Completions),
    Man(Man),
}

/// A whole number from 1 to `MAX`; `10k` and `2m` are understood.
fn number<const MAX: usize>(text: &str) -> Result<usize, String> {
    let wrong = || format!("want a whole number from 1 to {MAX}, such as 50 or 10k");
    let (digits, factor) = match text.as_bytes().last() {
        Some(b'k' | b'K') => (&text[..text.len() - 1], 1_000),
        Some(b'm' | b'M') => (&text[..text.len() - 1], 1_000_000),
        _ => (text, 1),
    };
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(wrong());
    }
    match digits.parse::<usize>().ok().and_then(|number| number.checked_mul(factor)) {
        Some(number) if (1..=MAX).contains(&number) => Ok(number),
        _ => Err(wrong()),
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
    fn numbers_may_be_thousands_and_millions() {
        assert_eq!(number::<100>("100"), Ok(100));
        assert_eq!(number::<10_000>("10k"), Ok(10_000));
        assert_eq!(number::<2_000_000>("2M"), Ok(2_000_000));
        for wrong in ["", "0", "k", "-3", "+3", "1.5k", "101", "99999999999999999999m"] {
            assert!(number::<100>(wrong).is_err(), "{wrong:?}");
        }
    }
}
