//! What can be done with results that are there already; and what a shell wants to know.
//!
//! Never: reads a file.

use clap::Args;
use clap_complete::Shell;
use std::path::PathBuf;

const COMPARE_EXAMPLES: &str = "\
Examples:
  shardload echo tcp://127.0.0.1:7000 --duration 20s --json > before.json
  shardload echo tcp://127.0.0.1:7000 --duration 20s --json > after.json
  shardload compare before.json after.json

Runs are matched by name and shape; a single one with a single one, whatever their names. Rates,
p50, p99 and max are taken from every second of both runs. Their ratio is the median of the ratios
of all pairs of seconds, and its spread the 95 % confidence interval of that (Hodges and Lehmann,
with ranks by Mann and Whitney). A spread that includes 1 is noise; fewer than 5 whole seconds
tell nothing. Figures that a run has once have a ratio and no spread. All of it is of these two
runs: how runs of a kind differ from each other, only more of them tell.";

/// Say what differs between two results, and whether it is more than noise
#[derive(Args, Clone, Debug)]
#[command(after_help = COMPARE_EXAMPLES)]
pub(crate) struct Compare {
    /// What `--json` has printed, before
    #[arg(value_name = "BEFORE")]
    pub(crate) before: PathBuf,
    /// And after
    #[arg(value_name = "AFTER")]
    pub(crate) after: PathBuf,
    /// Print one JSON object instead of the table
    #[arg(long)]
    pub(crate) json: bool,
}

const MERGE_EXAMPLES: &str = "\
Examples:
  shardload echo tcp://10.0.0.1:7000 --rate 50k --instance 1/2 --hdr-out 1.hlog
  shardload echo tcp://10.0.0.1:7000 --rate 50k --instance 2/2 --hdr-out 2.hlog
  shardload merge 1.hlog 2.hlog --hdr-out all.hlog

Histograms are added, so the percentiles are those of all messages of all instances, exactly. It
says when each log began, and warns when they began more than 1 s apart or one of N is missing or
there twice. A log that was cut, or is not in nanoseconds, is refused. HdrHistogram's own tools read
these logs too.";

/// Add up the latencies of several instances, exactly
#[derive(Args, Clone, Debug)]
#[command(after_help = MERGE_EXAMPLES)]
pub(crate) struct Merge {
    /// What `--hdr-out` has written
    #[arg(value_name = "HLOG", required = true)]
    pub(crate) logs: Vec<PathBuf>,
    /// Write the sum as another such log
    #[arg(long, value_name = "FILE")]
    pub(crate) hdr_out: Option<PathBuf>,
    /// Print one JSON object instead of the table
    #[arg(long)]
    pub(crate) json: bool,
}

const COMPLETIONS_EXAMPLES: &str = "\
Examples:
  shardload completions bash > ~/.local/share/bash-completion/completions/shardload
  shardload completions fish > ~/.config/fish/completions/shardload.fish
  shardload completions zsh > ~/.zfunc/_shardload";

/// Print completions for a shell
#[derive(Args, Clone, Debug)]
#[command(after_help = COMPLETIONS_EXAMPLES)]
pub(crate) struct Completions {
    /// Which shell
    #[arg(value_name = "SHELL")]
    pub(crate) shell: Shell,
}

const MAN_EXAMPLES: &str = "\
Examples:
  shardload man > shardload.1
  shardload man --dir /usr/local/share/man/man1";

/// Print the manual page, or write one of each command, for man(1)
#[derive(Args, Clone, Debug)]
#[command(after_help = MAN_EXAMPLES)]
pub(crate) struct Man {
    /// Write shardload.1, shardload-echo.1 and so on into this folder instead
    #[arg(long, value_name = "DIR")]
    pub(crate) dir: Option<PathBuf>,
}
